# All of the comparison: run by run, attack by attack.
ATTACK_FILES = [
    f"results/attacks/{run.model}/seed{run.seed}/{attack}.h5" for run in CONDITIONS for attack in ATTACKS
]

SEARCH = {
    "samples": config["adversarial"]["samples"],
    "repetitions": config["adversarial"]["repetitions"],
    "batch_size": BATCH_SIZE,
    "logit_margin": config["adversarial"]["logit_margin"],
    "device": config["device"],
    "seed": config["seed"],
}


rule search_adversarials:
    input:
        model=network,
        data="results/classification.h5",
    output:
        search_outputs("results/attacks/{model}/seed{seed}/{attack}.h5"),
    log:
        per_search("results/logs/search_adversarials/{model}/seed{seed}/{attack}.log"),
    benchmark:
        per_search("results/benchmarks/search_adversarials/{model}/seed{seed}/{attack}.tsv")
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=more_each_try(700 + CUDA_MEMORY + 0.15 * WIDTH * ROWS),
        runtime=longer_each_try(lambda wildcards, input: times.search(config, attacks(wildcards))),
        gpu=GPU,
        devices=DEVICES,
    params:
        attacks=attacks,
        # Together: Snakemake compares the values of params without their names, as a set.
        settings=SEARCH | {"parts": PARTS},
        code=lambda wildcards: [
            code("search_adversarials", attack_module(entry))(wildcards) for entry in attacks(wildcards)
        ],
    script:
        "../workflow_scripts/search_adversarials.py"


if PARTS > 1:

    rule join_searches:
        input:
            parts=expand(
                per_part("results/attacks/{model}/seed{seed}/{attack}.h5"),
                part=range(PARTS),
                allow_missing=True,
            ),
            model=network,
            data="results/classification.h5",
        output:
            "results/attacks/{model}/seed{seed}/{attack}.h5",
        log:
            "results/logs/join_searches/{model}/seed{seed}/{attack}.log",
        benchmark:
            "results/benchmarks/join_searches/{model}/seed{seed}/{attack}.tsv"
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=more_each_try(600),
            runtime=longer_each_try(30),
        params:
            attack=lambda wildcards: attacks(wildcards)[0],
            settings=SEARCH,
            code=code("join_searches"),
        script:
            "../workflow_scripts/join_searches.py"


rule collect_distances:
    input:
        [
            path
            for attack in [*ATTACKS, *TIGHTENING]
            for path in run_files(f"results/attacks/{{model}}/seed{{seed}}/{attack}.h5", CONDITIONS)
        ],
    output:
        "results/distances.csv",
    log:
        "results/logs/collect_distances.log",
    benchmark:
        "results/benchmarks/collect_distances.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=more_each_try(600),
        runtime=longer_each_try(60),
    params:
        entries=[(run.model, run.seed, attack) for attack in [*ATTACKS, *TIGHTENING] for run in CONDITIONS],
        tightening=TIGHTENING,
        code=code("collect_distances"),
    script:
        "../workflow_scripts/collect_distances.py"


rule check_masking:
    input:
        models=[network(run) for run in CONDITIONS],
        attacks=ATTACK_FILES,
    output:
        report(
            "results/masking.csv",
            caption="../report/masking.rst",
            category="Tables",
            labels={"figure": "Masking", "shows": "signs of masked gradients"},
        ),
        made="results/masking.json",
    log:
        "results/logs/check_masking.log",
    benchmark:
        "results/benchmarks/check_masking.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=more_each_try(1500 + CUDA_MEMORY),
        runtime=longer_each_try(240),
        gpu=GPU,
        devices=DEVICES,
    params:
        runs=[(run.model, run.seed) for run in CONDITIONS],
        attacks=ATTACKS,
        reference=REFERENCE,
        apart=ELSEWHERE,
        settings={"batch_size": ROWS, "seed": config["seed"]},
        device=config["device"],
        note=NOTE,
        made=made,
        code=code("check_masking"),
    script:
        "../workflow_scripts/check_masking.py"


rule rank_settings:
    input:
        ATTACK_FILES,
    output:
        report(
            "results/settings.csv",
            caption="../report/settings.rst",
            category="Tables",
            labels={"figure": "Settings", "shows": "which attack settings the distances rest on"},
        ),
        made="results/settings.json",
    log:
        "results/logs/rank_settings.log",
    benchmark:
        "results/benchmarks/rank_settings.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=more_each_try(1500),
        runtime=longer_each_try(60),
    params:
        runs=[(run.model, run.seed) for run in CONDITIONS],
        attacks=ATTACKS,
        tolerance=config["adversarial"]["trim_tolerance"],
        most=config["adversarial"]["trim_passes"],
        norms={entry["name"]: find_method(entry["method"]).norm for entry in config["adversarial"]["attacks"]},
        note=NOTE,
        made=made,
        code=code("rank_settings"),
    script:
        "../workflow_scripts/rank_settings.py"
