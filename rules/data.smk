rule prepare_stimuli:
    input:
        scan=lambda _: (
            f"results/scans/{config['stimuli']['scan']}.h5" if config["stimuli"]["source"] == "scan" else []
        ),
    output:
        "results/stimuli.h5",
    log:
        "results/logs/prepare_stimuli.log",
    benchmark:
        "results/benchmarks/prepare_stimuli.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=600,
        runtime=60,
    params:
        settings=config["stimuli"],
        seed=config["seed"],
        code=code("prepare_stimuli"),
    script:
        "../workflow_scripts/prepare_stimuli.py"


rule prepare_classification:
    output:
        "results/classification.h5",
    log:
        "results/logs/prepare_classification.log",
    benchmark:
        "results/benchmarks/prepare_classification.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        settings=config["classification"],
        seed=config["seed"],
        code=code("prepare_classification"),
    script:
        "../workflow_scripts/prepare_classification.py"
