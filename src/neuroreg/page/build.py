"""What stands on the page of a run, and its way through the template."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docutils.core
import jinja2
import pandas as pd
from markupsafe import Markup

from neuroreg import __version__
from neuroreg.claims.verdict import NOT_REPRODUCED, PLACES, REPRODUCED, UNDECIDED
from neuroreg.files.records import read_fields
from neuroreg.files.storage import read_json
from neuroreg.images.classification import ClassificationData
from neuroreg.images.stimuli import Stimuli
from neuroreg.page import tables
from neuroreg.page.drawings import inline_svg
from neuroreg.page.frames import read_frames
from neuroreg.page.provenance import file_digests, machine, stage_times, versions

JOB = "write_page"  # the rule, whose time no page of its own can hold


def make_page(
    template: str,
    drawings: Mapping[str, str | Path],
    frames: Mapping[str, str | Path],
    captions: Mapping[str, str | Path],
    titles: Mapping[str, str],
    *,
    data: Mapping[str, str | Path],
    scans: Iterable[str | Path],
    folder: str | Path,
    config: Mapping[str, Any],
    sizes: Iterable[Mapping],
    elsewhere: Mapping[str, str],
    note: str,
    conditions: str,
    names: Iterable[str],
) -> str:
    """Return the page of a run as HTML that is complete in itself.

    Parameters
    ----------
    template
        Of Jinja, every text escaped.
    drawings
        Each figure's name to its SVG file.
    frames
        Tables' names to CSV files: claims, table1, table2, similarity, scores, masking, settings, overlap,
        convergence.
    captions
        Names of figures and tables to their captions, reStructuredText.
    titles
        Names of figures and tables to what they show, in a few words.
    data
        ``classification`` and ``stimuli`` to HDF5 files; other names only get their digests.
    scans
        Summaries of the scans, JSON.
    folder
        Where the page will stand; its ``benchmarks`` tell how long jobs took.
    config
        The whole config.
    sizes
        As of `neuroreg.workflow.sizes.compare_sizes`.
    elsewhere
        Labels of the conditions that the run did not train to where their networks come from.
    note
        What must be said of simulated scans, empty if there are none.
    conditions
        What each condition is, for captions.
    names
        What wildcards of jobs can be, see `stage_times`.

    Returns
    -------
    str
        The same for the same results, but for ``machine`` and ``times``.

    Raises
    ------
    InputError
        If a file is missing or is not what it should be.
    """
    found = read_frames(frames)
    claims = found["claims"]
    scans = list(scans)
    sources = {scan["name"]: scan["source"] for scan in config["scans"]}
    times = stage_times(folder, set(names))
    digested = [*frames.values(), *drawings.values(), *data.values(), *scans]
    context = {
        "version": __version__,
        "note": note,
        "figures": {name: inline_svg(path, name, titles[name]) for name, path in drawings.items()},
        "titles": titles,
        "captions": {name: _caption(path, config, conditions) for name, path in captions.items()},
        "claims": {place: _claims(claims[claims["place"] == place]) for place in PLACES},
        "verdicts": _counts(claims["verdict"]),
        "tables": {
            "table1": tables.gamma_table(found["table1"]),
            "table2": tables.distance_table(found["table2"]),
            "similarity": tables.correlation_table(found["similarity"]),
            "masking": tables.masking_table(found["masking"]),
            "scores": tables.whole_table(found["scores"], _SCORES),
            "overlap": tables.whole_table(found["overlap"], _OVERLAP),
        },
        "kept": _kept(found["settings"]),
        "converged": _sentences(found["convergence"]),
        "scans": tables.scan_table((read_json(path, tables.SUMMARY) for path in scans), sources),
        "data": _data(data),
        "elsewhere": elsewhere,
        "config_sources": {part: config[part]["source"].replace("_", " ") for part in _SECTIONS},
        "sizes": list(sizes),
        "config": json.dumps(config, indent=2, ensure_ascii=False),
        "seeds": {
            "everything but training": [config["seed"]],
            "training, Fig. 1 and Table 1": config["sweep"]["seeds"],
            "training, conditions": config["conditions"]["seeds"],
        },
        "versions": versions(),
        "digests": file_digests(digested, folder),
        "machine": machine(),
        "times": tables.time_table(times[times["stage"] != JOB]),
    }
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template).render(context) + "\n"


_SCORES = {
    "scan": "scan",
    "model": "model",
    "single_trial_correlation": "single-trial correlation",
    "correlation_to_average": "correlation to average",
    "feve": "FEVE",
    "fraction_of_oracle": "fraction of oracle",
}
_OVERLAP = {
    "scan": "scan",
    "other": "other",
    "images": "images",
    "shared_keys": "same keys",
    "shared_pixels": "same pixels",
    "conflicts": "conflicts",
}
_SECTIONS = ("stimuli", "classification")
_COLOURS = {REPRODUCED: "yes", NOT_REPRODUCED: "no", UNDECIDED: "open"}


def _claims(rows: pd.DataFrame) -> list[dict]:
    """Return what the template needs of each claim."""
    return [
        {key: row[key] for key in ("claim", "sentence", "statistic", "holds_if", "paper", "verdict")}
        | {
            "estimate": tables.show_number(row["estimate"]),
            "interval": tables.show_interval(row["low"], row["high"]),
            "bound": "" if pd.isna(row["bound"]) else tables.show_number(row["bound"]),
            "bound_interval": tables.show_interval(row["bound_low"], row["bound_high"]),
            "kind": _COLOURS[row["verdict"]],
            **{name: 0 if pd.isna(row[name]) else int(row[name]) for name in ("seeds", "samples")},
            "note": "" if pd.isna(row["note"]) else row["note"],
        }
        for row in rows.to_dict("records")
    ]


def _counts(verdicts: pd.Series) -> list[dict]:
    counts = verdicts.value_counts()
    return [
        {"verdict": name, "count": int(counts.get(name, 0)), "kind": kind} for name, kind in _COLOURS.items()
    ]


def _caption(path: str | Path, config: Mapping, conditions: str) -> Markup:
    """Return a caption as HTML, without the sentence on simulated scans: the page has it above all."""
    text = Path(path).read_text(encoding="utf-8")
    params = SimpleNamespace(note="", weighting=config["reliability"], conditions=conditions)
    # What a caption asks of its job beyond this is left empty.
    environment = jinja2.Environment(undefined=jinja2.ChainableUndefined, autoescape=False)
    filled = environment.from_string(text).render(snakemake=SimpleNamespace(params=params))
    settings = {"raw_enabled": False, "file_insertion_enabled": False, "report_level": 5}
    parts = docutils.core.publish_parts(filled, writer="html5", settings_overrides=settings)
    return Markup(parts["body"])


def _sentences(convergence: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the norms' names and what is said of their convergence."""
    rows = convergence.loc[convergence["verdict"].notna(), ["norm", "verdict"]]
    return [
        (tables.NORMS[norm], sentence.replace(" %", "\u00a0%"))  # not at the end of a line
        for norm, sentence in rows.itertuples(index=False)
    ]


def _kept(settings: pd.DataFrame) -> tuple[int, int]:
    """Return how many settings a smaller list would keep, of how many; see `rank_settings`."""
    each = settings.drop_duplicates(["attack", "setting"])
    return int((each["kept"] == "yes").sum()), len(each)


def _data(data: Mapping[str, str | Path]) -> dict[str, Any]:
    """Return how many images there are, and of which classes."""
    images = read_fields(
        data["classification"], ClassificationData, ("train_labels", "test_labels", "classes")
    )
    oracle = read_fields(data["stimuli"], Stimuli, ("oracle",))["oracle"]
    return {
        "train": len(images["train_labels"]),
        "test": len(images["test_labels"]),
        "classes": images["classes"].tolist(),
        "stimuli": len(oracle),
        "oracle": int(oracle.sum()),
    }
