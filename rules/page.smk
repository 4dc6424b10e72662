PAGE_FIGURES = [stem for name in FIGURES for verb, stem in [name.split("_", 1)] if verb == "plot"]
if not TIGHTENING:
    PAGE_FIGURES.remove("tightening")
PAGE_TABLES = [
    *("claims", "table1", "table2", "similarity", "scores", "masking", "settings", "overlap", "convergence")
]
# What wildcards can be: files of other names in the folder of benchmarks are from another config.
PAGE_NAMES = [
    *(*SCANS, *TARGETS, *entry_names(config["models"]), *ATTACKS, *TIGHTENING),
    *{f"seed{run.seed}" for run in ALL_RUNS},
]


rule write_page:
    input:
        template=BASE / "report/page.html.j2",
        captions=expand(f"{BASE}/report/{{name}}.rst", name=sorted({*PAGE_FIGURES, *PAGE_TABLES})),
        drawings=expand("results/{name}.svg", name=PAGE_FIGURES),
        tables=expand("results/{name}.csv", name=PAGE_TABLES),
        scans=expand("results/scans/{scan}.json", scan=SCANS),
        data=["results/classification.h5", "results/stimuli.h5", "results/distances.csv"],
    output:
        "results/index.html",
    log:
        "results/logs/write_page.log",
    benchmark:
        "results/benchmarks/write_page.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=more_each_try(600),
        runtime=longer_each_try(30),
    params:
        titles={name.split("_", 1)[1]: entry["labels"]["shows"] for name, entry in FIGURES.items()},
        # The choice of GPUs reruns nothing.
        config={key: value for key, value in config.items() if key != "devices"},
        sizes=lambda wildcards: compare_sizes(config, read_paper(BASE)),  # read for this job alone
        elsewhere=Labels(
            (LABELS[name], by_name(config["models"], name)["path"]) for name in LABELS if name in ELSEWHERE
        ),
        names=sorted(PAGE_NAMES),
        note=NOTE,
        conditions=CONDITIONS_NOTE,
        code=code("write_page"),
    script:
        "../workflow_scripts/write_page.py"
