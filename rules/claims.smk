# The paper's claims are of networks that are trained here; of others there is none.
CLAIMED = [run for run in CONDITIONS if run.model in TRAINED] or CONDITIONS


rule tabulate_claims:
    input:
        sweep=run_files("results/noise/{model}/seed{seed}.h5", SWEEP),
        conditions=run_files("results/noise/{model}/seed{seed}.h5", CLAIMED),
        histories=run_files("results/models/{model}/seed{seed}/history.csv", SWEEP),
        distances="results/distances.csv",
    output:
        table=report(
            "results/claims.csv",
            caption="../report/claims.rst",
            category="Claims",
            labels={"figure": "Claims", "shows": "what the paper claims and what is found"},
        ),
        made="results/claims.json",
    log:
        "results/logs/tabulate_claims.log",
    benchmark:
        "results/benchmarks/tabulate_claims.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=more_each_try(600),
        runtime=longer_each_try(30),
    params:
        sweep=run_table(SWEEP),
        runs=run_table(CLAIMED),
        conditions=condition_models(config),
        classified=config["classification"]["source"],
        note=NOTE,
        made=made,
        code=code("tabulate_claims"),
    script:
        "../workflow_scripts/tabulate_claims.py"
