DENOISED, RAW, FEATURES, GIVEN, SHUFFLED = (
    [target["name"] for target in config["targets"] if target["kind"] == kind]
    for kind in ("denoised", "raw", "features", "given", "shuffled")
)


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
            mem_mb=by_pool(500, 2.4e-5, lambda input: input.responses[0]),
            runtime=longer_each_try(60),
        params:
            scans=lambda wildcards: by_name(config["targets"], wildcards.target)["scans"],
            weighting=config["reliability"],
            code=code("average_similarity"),
        script:
            "../workflow_scripts/average_similarity.py"


if RAW:

    rule measure_raw_similarity:
        input:
            stimuli="results/stimuli.h5",
            scans=lambda wildcards: [
                f"results/scans/{scan}.h5" for scan in by_name(config["targets"], wildcards.target)["scans"]
            ],
        output:
            "results/similarity/{target}.h5",
        log:
            "results/logs/measure_raw_similarity/{target}.log",
        benchmark:
            "results/benchmarks/measure_raw_similarity/{target}.tsv"
        wildcard_constraints:
            target="|".join(RAW),
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=by_pool(500, 2.4e-5, lambda input: input.stimuli),
            runtime=longer_each_try(60),
        params:
            scans=lambda wildcards: by_name(config["targets"], wildcards.target)["scans"],
            weighting=config["reliability"],
            seed=config["seed"],
            code=code("measure_raw_similarity"),
        script:
            "../workflow_scripts/measure_raw_similarity.py"


if FEATURES:

    rule measure_feature_similarity:
        input:
            stimuli="results/stimuli.h5",
        output:
            "results/similarity/{target}.h5",
        log:
            "results/logs/measure_feature_similarity/{target}.log",
        benchmark:
            "results/benchmarks/measure_feature_similarity/{target}.tsv"
        wildcard_constraints:
            target="|".join(FEATURES),
        # It reads what users bring, which another try does not change.
        retries: 0
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=by_pool(1000 + CUDA_MEMORY, 8e-6, lambda input: input.stimuli, each_image=0.16),
            runtime=longer_each_try(60),
            gpu=GPU,
            devices=DEVICES,
        params:
            weights=lambda wildcards: by_name(config["targets"], wildcards.target).get("weights"),
            content=lambda wildcards: entry_content("targets", wildcards.target, "weights"),
            device=config["device"],
            code=code("measure_feature_similarity"),
        script:
            "../workflow_scripts/measure_feature_similarity.py"


if GIVEN:

    rule take_similarity:
        input:
            stimuli="results/stimuli.h5",
        output:
            "results/similarity/{target}.h5",
        log:
            "results/logs/take_similarity/{target}.log",
        benchmark:
            "results/benchmarks/take_similarity/{target}.tsv"
        wildcard_constraints:
            target="|".join(GIVEN),
        # It reads what users bring, which another try does not change.
        retries: 0
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=by_pool(500, 2.4e-5, lambda input: input.stimuli),
            runtime=longer_each_try(60),
        params:
            path=lambda wildcards: by_name(config["targets"], wildcards.target)["path"],
            content=lambda wildcards: entry_content("targets", wildcards.target, "path"),
            code=code("take_similarity"),
        script:
            "../workflow_scripts/take_similarity.py"


if SHUFFLED:

    # One for all models, and one for each training seed.
    rule shuffle_similarity:
        input:
            lambda wildcards: (
                f"results/similarity/{by_name(config['targets'], shuffle_names(wildcards)[0])['of']}.h5"
            ),
        output:
            "results/similarity/{shuffle}.h5",
        log:
            "results/logs/shuffle_similarity/{shuffle}.log",
        benchmark:
            "results/benchmarks/shuffle_similarity/{shuffle}.tsv"
        wildcard_constraints:
            shuffle=rf"({'|'.join(SHUFFLED)})(/seed\d+)?",
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=by_pool(600, 8e-6, lambda input: input[0]),
            runtime=longer_each_try(60),
        params:
            seed=config["seed"],
            names=shuffle_names,
            code=code("shuffle_similarity"),
        script:
            "../workflow_scripts/shuffle_similarity.py"
