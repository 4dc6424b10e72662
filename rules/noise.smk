rule evaluate_noise:
    input:
        model=network,
        data="results/classification.h5",
    output:
        accuracy="results/noise/{model}/seed{seed}.csv",
        counts="results/noise/{model}/seed{seed}.h5",
    log:
        "results/logs/evaluate_noise/{model}/seed{seed}.log",
    benchmark:
        "results/benchmarks/evaluate_noise/{model}/seed{seed}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=more_each_try(900 + CUDA_MEMORY + 5 * WIDTH),
        runtime=longer_each_try(lambda wildcards, input: times.noise(config, images_of("test", input))),
        gpu=GPU,
        devices=DEVICES,
    params:
        settings=config["noise"],
        device=config["device"],
        seed=config["seed"],
        code=code("evaluate_noise"),
    script:
        "../workflow_scripts/evaluate_noise.py"
