DENOISED = [target["name"] for target in config["targets"] if target["kind"] == "denoised"]
SHUFFLED = [target["name"] for target in config["targets"] if target["kind"] == "shuffled"]


if DENOISED:

    rule average_similarity:
        input:
            responses=lambda wildcards: [
                f"results/responses/{scan}.h5"
                for scan in by_name(config["targets"], wildcards.target)["scans"]
            ],
        output:
            "results/similarity/{target}.h5",
        log:
            "results/logs/average_similarity/{target}.log",
        benchmark:
            "results/benchmarks/average_similarity/{target}.tsv"
        wildcard_constraints:
            target="|".join(DENOISED),
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=600,
            runtime=60,
        params:
            scans=lambda wildcards: by_name(config["targets"], wildcards.target)["scans"],
            weight_exponent=config["reliability"]["weight_exponent"],
            code=code("average_similarity"),
        script:
            "../workflow_scripts/average_similarity.py"


if SHUFFLED:

    rule shuffle_similarity:
        input:
            lambda wildcards: (f"results/similarity/{by_name(config['targets'], wildcards.target)['of']}.h5"),
        output:
            "results/similarity/{target}.h5",
        log:
            "results/logs/shuffle_similarity/{target}.log",
        benchmark:
            "results/benchmarks/shuffle_similarity/{target}.tsv"
        wildcard_constraints:
            target="|".join(SHUFFLED),
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=600,
            runtime=60,
        params:
            seed=config["seed"],
            code=code("shuffle_similarity"),
        script:
            "../workflow_scripts/shuffle_similarity.py"
