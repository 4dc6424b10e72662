rule train_model:
    input:
        target=model_target,
        data="results/classification.h5",
    output:
        model="results/models/{model}/seed{seed}/model.safetensors",
        history="results/models/{model}/seed{seed}/history.csv",
    log:
        "results/logs/train_model/{model}/seed{seed}.log",
    benchmark:
        "results/benchmarks/train_model/{model}/seed{seed}.tsv"
    wildcard_constraints:
        model="|".join(TRAINED),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=by_pool(
            700 + CUDA_MEMORY + COMPILER_MEMORY + 30 * WIDTH,
            8e-6,
            lambda input: input.target[0] if input.target else None,
        ),
        runtime=longer_each_try(
            lambda wildcards, input: times.training(config, bool(input.target), images_of("train", input))
        ),
        gpu=GPU,
        devices=DEVICES,
    params:
        settings=config["network"] | config["training"],
        alpha=lambda wildcards: by_name(config["models"], wildcards.model)["alpha"],
        device=config["device"],
        code=code("train_model"),
    script:
        "../workflow_scripts/train_model.py"


if ELSEWHERE:

    rule take_model:
        input:
            data="results/classification.h5",
        output:
            "results/models/{model}/seed{seed}/model.pt2",
        log:
            "results/logs/take_model/{model}/seed{seed}.log",
        benchmark:
            "results/benchmarks/take_model/{model}/seed{seed}.tsv"
        wildcard_constraints:
            model="|".join(ELSEWHERE),
        # It reads what users bring, which another try does not change.
        retries: 0
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=by_network(1500, 5),
            runtime=longer_each_try(60),
        params:
            network=own_network,
            code=code("take_model"),
        script:
            "../workflow_scripts/take_model.py"
