LABELS = {name: by_name(config["models"], name).get("label", name) for name in config["conditions"]["models"]}
# The figure shows the target that is averaged over the most scans.
SHOWN_TARGET = max(
    (target for target in config["targets"] if target["kind"] == "denoised"),
    key=lambda target: len(target["scans"]),
)["name"]


rule plot_fig1:
    input:
        paths("results/noise/{model}/seed{seed}.csv", SWEEP),
    output:
        figure=report(
            "results/fig1.pdf",
            caption="../report/fig1.rst",
            category="Figures",
            labels={"figure": "Fig. 1", "shows": "accuracy under noise, per alpha"},
        ),
        numbers="results/fig1.csv",
    log:
        "results/logs/plot_fig1.log",
    benchmark:
        "results/benchmarks/plot_fig1.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=600,
        runtime=30,
    params:
        runs=described(SWEEP),
        note=NOTE,
        code=code("plot_fig1"),
    script:
        "../workflow_scripts/plot_fig1.py"


rule tabulate_table1:
    input:
        paths("results/models/{model}/seed{seed}/history.csv", SWEEP),
    output:
        numbers=report(
            "results/table1.csv",
            caption="../report/table1.rst",
            category="Tables",
            labels={"figure": "Table 1", "shows": "final gamma, per alpha"},
        ),
        latex="results/table1.tex",
    log:
        "results/logs/tabulate_table1.log",
    benchmark:
        "results/benchmarks/tabulate_table1.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=600,
        runtime=30,
    params:
        runs=described(SWEEP),
        note=NOTE,
        code=code("tabulate_table1"),
    script:
        "../workflow_scripts/tabulate_table1.py"


rule plot_noise:
    input:
        paths("results/noise/{model}/seed{seed}.csv", CONDITIONS),
    output:
        figure=report(
            "results/noise.pdf",
            caption="../report/noise.rst",
            category="Figures",
            labels={"figure": "Noise", "shows": "accuracy under noise, per condition"},
        ),
        numbers="results/noise.csv",
    log:
        "results/logs/plot_noise.log",
    benchmark:
        "results/benchmarks/plot_noise.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=600,
        runtime=30,
    params:
        runs=described(CONDITIONS),
        models=LABELS,
        note=NOTE,
        code=code("plot_noise"),
    script:
        "../workflow_scripts/plot_noise.py"


rule plot_fig2:
    input:
        "results/distances.csv",
    output:
        figure=report(
            "results/fig2.pdf",
            caption="../report/fig2.rst",
            category="Figures",
            labels={"figure": "Fig. 2", "shows": "minimal adversarial distance"},
        ),
        numbers="results/fig2.csv",
    log:
        "results/logs/plot_fig2.log",
    benchmark:
        "results/benchmarks/plot_fig2.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=600,
        runtime=30,
    params:
        models=LABELS,
        seed=config["seed"],
        note=NOTE,
        code=code("plot_fig2"),
    script:
        "../workflow_scripts/plot_fig2.py"


rule plot_tightening:
    input:
        "results/distances.csv",
    output:
        figure=report(
            "results/tightening.pdf",
            caption="../report/tightening.rst",
            category="Figures",
            labels={
                "figure": "Tightening",
                "shows": "minimal distance of the paper's attacks and of stronger ones",
            },
        ),
        numbers="results/tightening.csv",
    log:
        "results/logs/plot_tightening.log",
    benchmark:
        "results/benchmarks/plot_tightening.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=600,
        runtime=30,
    params:
        models=LABELS,
        attacks=TIGHTENING,
        seed=config["seed"],
        note=NOTE,
        code=code("plot_tightening"),
    script:
        "../workflow_scripts/plot_tightening.py"


rule plot_survival:
    input:
        "results/distances.csv",
    output:
        figure=report(
            "results/survival.pdf",
            caption="../report/survival.rst",
            category="Figures",
            labels={"figure": "Survival", "shows": "accuracy against the adversary's distance"},
        ),
        numbers="results/survival.csv",
    log:
        "results/logs/plot_survival.log",
    benchmark:
        "results/benchmarks/plot_survival.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=600,
        runtime=30,
    params:
        models=LABELS,
        note=NOTE,
        code=code("plot_survival"),
    script:
        "../workflow_scripts/plot_survival.py"


rule plot_convergence:
    input:
        ATTACK_FILES,
    output:
        figure=report(
            "results/convergence.pdf",
            caption="../report/convergence.rst",
            category="Figures",
            labels={"figure": "Convergence", "shows": "minimal distance against the effort of the search"},
        ),
        numbers="results/convergence.csv",
    log:
        "results/logs/plot_convergence.log",
    benchmark:
        "results/benchmarks/plot_convergence.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1500,
        runtime=60,
    params:
        runs=[(run.model, run.seed) for run in CONDITIONS],
        attacks=ATTACKS,
        models=LABELS,
        note=NOTE,
        code=code("plot_convergence"),
    script:
        "../workflow_scripts/plot_convergence.py"


rule plot_examples:
    input:
        attacks=[
            f"results/attacks/{model}/seed{config['conditions']['seeds'][0]}/{attack}.h5"
            for model in LABELS
            for attack in ATTACKS
        ],
        data="results/classification.h5",
    output:
        figure=report(
            "results/examples.pdf",
            caption="../report/examples.rst",
            category="Figures",
            labels={"figure": "Examples", "shows": "closest adversarials of a few images"},
        ),
        numbers="results/examples.csv",
    log:
        "results/logs/plot_examples.log",
    benchmark:
        "results/benchmarks/plot_examples.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=600,
        runtime=30,
    params:
        models=LABELS,
        attacks=ATTACKS,
        seed=config["seed"],
        note=NOTE,
        code=code("plot_examples"),
    script:
        "../workflow_scripts/plot_examples.py"


rule tabulate_table2:
    input:
        "results/distances.csv",
    output:
        numbers=report(
            "results/table2.csv",
            caption="../report/table2.rst",
            category="Tables",
            labels={"figure": "Table 2", "shows": "minimal adversarial distance, wins per attack"},
        ),
        latex="results/table2.tex",
    log:
        "results/logs/tabulate_table2.log",
    benchmark:
        "results/benchmarks/tabulate_table2.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=600,
        runtime=30,
    params:
        models=LABELS,
        note=NOTE,
        code=code("tabulate_table2"),
    script:
        "../workflow_scripts/tabulate_table2.py"


rule tabulate_scores:
    input:
        models=expand("results/response_models/{scan}.json", scan=SCANS),
        baselines=expand("results/baselines/{scan}.json", scan=SCANS),
    output:
        numbers=report(
            "results/scores.csv",
            caption="../report/scores.rst",
            category="Tables",
            labels={"figure": "Scores", "shows": "response models beside baselines"},
        ),
        latex="results/scores.tex",
    log:
        "results/logs/tabulate_scores.log",
    benchmark:
        "results/benchmarks/tabulate_scores.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=600,
        runtime=30,
    params:
        scans=SCANS,
        note=NOTE,
        code=code("tabulate_scores"),
    script:
        "../workflow_scripts/tabulate_scores.py"


rule plot_similarity:
    input:
        scans=expand("results/scans/{scan}.h5", scan=SCANS),
        responses=expand("results/responses/{scan}.h5", scan=SCANS),
        target=f"results/similarity/{SHOWN_TARGET}.h5",
    output:
        figure=report(
            "results/similarity.pdf",
            caption="../report/similarity.rst",
            category="Figures",
            labels={"figure": "Similarity", "shows": "measured and modelled similarity"},
        ),
        numbers="results/similarity.csv",
    log:
        "results/logs/plot_similarity.log",
    benchmark:
        "results/benchmarks/plot_similarity.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=int(1000 + 4e-5 * PAIRS),
        runtime=30,
    params:
        scans=SCANS,
        weight_exponent=config["reliability"]["weight_exponent"],
        seed=config["seed"],
        note=NOTE,
        code=code("plot_similarity"),
    script:
        "../workflow_scripts/plot_similarity.py"


rule plot_training:
    input:
        paths("results/models/{model}/seed{seed}/history.csv", dict.fromkeys([*SWEEP, *CONDITIONS])),
    output:
        figure=report(
            "results/training.pdf",
            caption="../report/training.rst",
            category="Figures",
            labels={"figure": "Training", "shows": "gamma and losses against epoch"},
        ),
        numbers="results/training.csv",
    log:
        "results/logs/plot_training.log",
    benchmark:
        "results/benchmarks/plot_training.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=600,
        runtime=30,
    params:
        runs=described(dict.fromkeys([*SWEEP, *CONDITIONS])),
        note=NOTE,
        code=code("plot_training"),
    script:
        "../workflow_scripts/plot_training.py"
