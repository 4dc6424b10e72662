LABELS = Labels(
    (name, by_name(config["models"], name).get("label") or name) for name in config["conditions"]["models"]
)
# Of every model that is trained here.
TRAINED_LABELS = Labels(
    (run.model, by_name(config["models"], run.model).get("label") or run.model) for run in TRAINED_RUNS
)
# The figure shows the target that is averaged over the most scans.
SHOWN_TARGET = max(
    (target for target in config["targets"] if target["kind"] == "denoised"),
    key=lambda target: len(target["scans"]),
)["name"]

# A rule for each entry. Rule plot_x draws results/x.pdf and x.svg and writes the numbers drawn to results/x.csv, tabulate_x
# writes results/x.csv and results/x.tex; both with the script of the rule's name and the caption report/x.rst, and both
# note in results/x.json what captions say of their making.
FIGURES = {
    "plot_fig1": {
        "labels": {"figure": "Fig. 1", "shows": "accuracy under noise, per alpha"},
        "input": {"noise": run_files("results/noise/{model}/seed{seed}.h5", SWEEP)},
        "params": {"runs": run_table(SWEEP)},
    },
    "tabulate_table1": {
        "labels": {"figure": "Table 1", "shows": "final gamma, per alpha"},
        "input": {"histories": run_files("results/models/{model}/seed{seed}/history.csv", SWEEP)},
        "params": {"runs": run_table(SWEEP)},
    },
    "plot_noise": {
        "labels": {"figure": "Noise", "shows": "accuracy under noise, per condition"},
        "input": {"noise": run_files("results/noise/{model}/seed{seed}.h5", CONDITIONS)},
        "params": {
            "runs": run_table(CONDITIONS),
            "models": LABELS,
            "apart": ELSEWHERE,
            "conditions": CONDITIONS_NOTE,
        },
    },
    "plot_fig2": {
        "labels": {"figure": "Fig. 2", "shows": "minimal adversarial distance"},
        "input": {"distances": "results/distances.csv"},
        "params": {"models": LABELS, "apart": ELSEWHERE},
    },
    "plot_tightening": {
        "labels": {
            "figure": "Tightening",
            "shows": "minimal distance of the paper's attacks and of stronger ones",
        },
        "input": {"distances": tightened},
        "params": {"models": LABELS, "attacks": TIGHTENING, "apart": ELSEWHERE},
    },
    "plot_survival": {
        "labels": {"figure": "Survival", "shows": "accuracy against the adversary's distance"},
        "input": {"distances": "results/distances.csv"},
        "params": {"models": LABELS},
    },
    "plot_convergence": {
        "labels": {"figure": "Convergence", "shows": "minimal distance against the effort of the search"},
        "input": {"attacks": ATTACK_FILES},
        "params": {
            "runs": [(run.model, run.seed) for run in CONDITIONS],
            "attacks": ATTACKS,
            "models": LABELS,
        },
        "mem_mb": more_each_try(1500),
        "runtime": 60,
    },
    "plot_examples": {
        "labels": {"figure": "Examples", "shows": "closest adversarials of a few images"},
        "input": {
            "attacks": [
                f"results/attacks/{model}/seed{config['conditions']['seeds'][0]}/{attack}.h5"
                for model in LABELS
                for attack in ATTACKS
            ],
            "data": "results/classification.h5",
        },
        "params": {"models": LABELS, "attacks": ATTACKS, "seed": config["seed"]},
    },
    "tabulate_table2": {
        "labels": {"figure": "Table 2", "shows": "minimal adversarial distance, wins per attack"},
        "input": {"distances": "results/distances.csv"},
        "params": {"models": LABELS, "apart": ELSEWHERE},
    },
    "tabulate_scores": {
        "labels": {"figure": "Scores", "shows": "response models beside baselines"},
        "input": {
            "models": expand("results/response_models/{scan}.json", scan=SCANS),
            "baselines": expand("results/baselines/{scan}.json", scan=SCANS),
        },
        "params": {"scans": SCANS},
    },
    "plot_similarity": {
        "labels": {"figure": "Similarity", "shows": "measured and modelled similarity"},
        "input": {
            "scans": expand("results/scans/{scan}.h5", scan=SCANS),
            "responses": expand("results/responses/{scan}.h5", scan=SCANS),
            "target": f"results/similarity/{SHOWN_TARGET}.h5",
        },
        "params": {
            "scans": SCANS,
            "weighting": config["reliability"],
            "seed": config["seed"],
        },
        "mem_mb": by_pool(1000, 4e-5, lambda input: input.target),
    },
    "plot_training": {
        "labels": {"figure": "Training", "shows": "gamma and losses against epoch"},
        "input": {"histories": run_files("results/models/{model}/seed{seed}/history.csv", TRAINED_RUNS)},
        "params": {"runs": run_table(TRAINED_RUNS), "models": TRAINED_LABELS},
    },
}


# `rule`, because Snakemake evaluates the path of a script again when a job runs: by then a variable of the loop has
# its last value, but `rule` is the name of the job's rule.
for rule, entry in FIGURES.items():
    verb, stem = rule.split("_", 1)
    shown = {"caption": f"../report/{stem}.rst", "labels": entry["labels"]}
    if verb == "plot":
        products = {
            "figure": report(f"results/{stem}.pdf", category="Figures", **shown),
            "screen": f"results/{stem}.svg",
            "numbers": f"results/{stem}.csv",
        }
    else:
        products = {
            "numbers": report(f"results/{stem}.csv", category="Tables", **shown),
            "latex": f"results/{stem}.tex",
        }
    products["made"] = f"results/{stem}.json"

    rule:
        name:
            rule
        input:
            **entry["input"],
        output:
            **products,
        log:
            f"results/logs/{rule}.log",
        benchmark:
            f"results/benchmarks/{rule}.tsv"
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=entry.get("mem_mb", more_each_try(600)),
            runtime=longer_each_try(entry.get("runtime", 30)),
        params:
            **entry["params"],
            note=NOTE,
            made=made,
            code=code(rule),
        script:
            f"../workflow_scripts/{rule}.py"
