# Scans decide what is in the pool: one or all by what they have shown, all by what they repeat.
POOL_SCANS = SCANS if config["stimuli"]["source"] in SHOWN else []


rule prepare_stimuli:
    input:
        scans=expand("results/scans/{scan}.h5", scan=POOL_SCANS),
    output:
        "results/stimuli.h5",
    log:
        "results/logs/prepare_stimuli.log",
    benchmark:
        "results/benchmarks/prepare_stimuli.tsv"
    # It reads what users bring, which another try does not change.
    retries: 0
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=more_each_try(600),
        runtime=longer_each_try(60),
    params:
        settings=without(config["stimuli"], "path"),
        read=lambda wildcards, output: {"path": config["stimuli"]["path"]},
        content=content("stimuli.path"),
        scans=POOL_SCANS,
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
    # It reads what users bring, which another try does not change.
    retries: 0
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=more_each_try(1000),
        runtime=longer_each_try(60),
    params:
        settings=without(config["classification"], "path", "download"),
        read=lambda wildcards, output: {key: config["classification"][key] for key in ("path", "download")},
        content=content("classification.path"),
        seed=config["seed"],
        code=code("prepare_classification"),
    script:
        "../workflow_scripts/prepare_classification.py"


rule tabulate_overlap:
    input:
        expand("results/scans/{scan}.h5", scan=SCANS),
    output:
        report(
            "results/overlap.csv",
            caption="../report/overlap.rst",
            category="Tables",
            labels={"figure": "Overlap", "shows": "images that scans share"},
        ),
        made="results/overlap.json",
    log:
        "results/logs/tabulate_overlap.log",
    benchmark:
        "results/benchmarks/tabulate_overlap.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=more_each_try(600),
        runtime=longer_each_try(30),
    params:
        scans=SCANS,
        note=NOTE,
        made=made,
        code=code("tabulate_overlap"),
    script:
        "../workflow_scripts/tabulate_overlap.py"
