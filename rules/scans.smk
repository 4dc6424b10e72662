if SIMULATED:

    rule simulate_scan:
        input:
            stimuli="results/stimuli.h5",
        output:
            "results/simulated_scans/{scan}.h5",
        log:
            "results/logs/simulate_scan/{scan}.log",
        benchmark:
            "results/benchmarks/simulate_scan/{scan}.tsv"
        wildcard_constraints:
            scan="|".join(SIMULATED),
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=by_neurons(400, 0.05),
            runtime=longer_each_try(60),
        params:
            drawn=lambda wildcards: {
                "n_neurons": by_name(config["scans"], wildcards.scan)["n_neurons"],
                "seed": config["seed"],
            },
            settings=config["simulator"],
            code=code("simulate_scan"),
        script:
            "../workflow_scripts/simulate_scan.py"

    # Known of simulated scans alone: for tests, made when asked for by name, read by no rule.
    rule simulate_truth:
        input:
            stimuli="results/stimuli.h5",
        output:
            "results/simulated_truth/{scan}.h5",
        log:
            "results/logs/simulate_truth/{scan}.log",
        benchmark:
            "results/benchmarks/simulate_truth/{scan}.tsv"
        wildcard_constraints:
            scan="|".join(SIMULATED),
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=by_neurons(400, 0.05),
            runtime=longer_each_try(60),
        params:
            drawn=lambda wildcards: {
                "n_neurons": by_name(config["scans"], wildcards.scan)["n_neurons"],
                "seed": config["seed"],
            },
            settings=config["simulator"],
            code=code("simulate_truth"),
        script:
            "../workflow_scripts/simulate_truth.py"


if DOWNLOADED:

    # The archive of gigabytes is no output: Snakemake deletes outputs before a rule runs again and when it fails.
    # The output is a record of where the archive lies and of its SHA-256.
    rule download_scan:
        output:
            "results/downloads/{scan}.json",
        log:
            "results/logs/download_scan/{scan}.log",
        benchmark:
            "results/benchmarks/download_scan/{scan}.tsv"
        wildcard_constraints:
            scan="|".join(DOWNLOADED),
        # The script tries again by itself.
        retries: 0
        # Compute nodes often have no network.
        localrule: True
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=300,
            runtime=1440,
            download=1,
        params:
            settings=download,
            replaced=lambda wildcards: replaced_download(f"results/downloads/{wildcards.scan}.json"),
            code=code("download_scan"),
        script:
            "../workflow_scripts/download_scan.py"


rule ingest_scan:
    input:
        raw_scan,
    output:
        scan="results/scans/{scan}.h5",
        summary="results/scans/{scan}.json",
    log:
        "results/logs/ingest_scan/{scan}.log",
    benchmark:
        "results/benchmarks/ingest_scan/{scan}.tsv"
    # It reads what users bring, which another try does not change.
    retries: 0
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        # Responses twice where neurons are chosen; another try has no more.
        mem_mb=by_neurons(450, 0.06),
        runtime=longer_each_try(60),
    params:
        recorded=recorded_scan,
        neurons=config["neurons"],
        missing=config["missing"],
        code=code("ingest_scan"),
    script:
        "../workflow_scripts/ingest_scan.py"


rule fit_response_model:
    input:
        scan="results/scans/{scan}.h5",
    output:
        weights="results/response_models/{scan}.safetensors",
        scores="results/response_models/{scan}.json",
    log:
        "results/logs/fit_response_model/{scan}.log",
    benchmark:
        "results/benchmarks/fit_response_model/{scan}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=by_neurons(850 + CUDA_MEMORY, 0.15),
        runtime=longer_each_try(lambda wildcards, input: times.fit(config, wildcards.scan)),
        gpu=GPU,
        devices=DEVICES,
    params:
        settings=config["response_model"],
        bias_correction=config["reliability"]["bias_correction"],
        device=config["device"],
        seed=config["seed"],
        code=code("fit_response_model"),
    script:
        "../workflow_scripts/fit_response_model.py"


rule fit_baselines:
    input:
        scan="results/scans/{scan}.h5",
    output:
        "results/baselines/{scan}.json",
    log:
        "results/logs/fit_baselines/{scan}.log",
    benchmark:
        "results/benchmarks/fit_baselines/{scan}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=by_neurons(700, 0.17),
        runtime=longer_each_try(60),
    params:
        code=code("fit_baselines"),
    script:
        "../workflow_scripts/fit_baselines.py"


rule predict_responses:
    input:
        stimuli="results/stimuli.h5",
        scan="results/scans/{scan}.h5",
        weights="results/response_models/{scan}.safetensors",
        scores="results/response_models/{scan}.json",
    output:
        "results/responses/{scan}.h5",
    log:
        "results/logs/predict_responses/{scan}.log",
    benchmark:
        "results/benchmarks/predict_responses/{scan}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=by_neurons(700 + CUDA_MEMORY, 0.15),
        runtime=longer_each_try(60),
        gpu=GPU,
        devices=DEVICES,
    params:
        device=config["device"],
        code=code("predict_responses"),
    script:
        "../workflow_scripts/predict_responses.py"
