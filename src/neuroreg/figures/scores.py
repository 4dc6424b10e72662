"""How well the response model of each scan predicts, beside its baselines and the oracle."""

import math
from collections.abc import Iterable, Mapping

import pandas as pd

from neuroreg.errors import InputError
from neuroreg.files.forms import NUMBER_LISTS
from neuroreg.response_model.reliability import fraction_of_oracle, mean_score

RESPONSE_MODEL, ORACLE = "response model", "oracle"
BASELINES = {"linear_nonlinear": "linear-nonlinear", "ridge": "ridge"}
SCORES = ("single_trial_correlation", "correlation_to_average", "feve")
SCORE_FORM = dict.fromkeys((*SCORES, "oracle"), NUMBER_LISTS) | {
    "single_trial_correlation": [(float, None)],
    "summary": {"tier": str, "validation_correlation": (float, None)},
}
"""What the JSON file of a response model must hold, as `neuroreg.files.forms` has it; of baselines: each."""
BASELINES_FORM = dict.fromkeys(BASELINES, SCORE_FORM)


def score_table(scans: Iterable[tuple[str, Mapping, Mapping]]) -> pd.DataFrame:
    """Return the mean scores of each scan's response model, its baselines and its oracle.

    Parameters
    ----------
    scans
        Name, content of the response model's JSON file and of the baselines'.

    Returns
    -------
    pandas.DataFrame
        Columns scan, model, tier, neurons; validation_correlation, single_trial_correlation,
        correlation_to_average and feve, means over neurons; explainable_neurons, those in the mean of feve;
        fraction_of_oracle; beats_baselines (``yes`` if the mean single-trial correlation is above both
        baselines', ``no`` if not, empty for other rows). NaN where a score is not to be had.

    Raises
    ------
    InputError
        If the scores of a scan are of different neurons or tiers.
    """
    rows = []
    for name, response_model, baselines in scans:
        models = {RESPONSE_MODEL: response_model}
        models |= {label: baselines[key] for key, label in BASELINES.items()}
        scored = [_row(name, label, content) for label, content in models.items()]
        for row in scored[1:]:
            if any(row[key] != scored[0][key] for key in ("tier", "neurons")):
                raise InputError(
                    f"scan '{name}': the {row['model']} is scored on {row['neurons']} neurons, tier "
                    f"'{row['tier']}'; expected {scored[0]['neurons']} and '{scored[0]['tier']}', "
                    "as for the response model."
                )
        score, *others = (row["single_trial_correlation"] for row in scored)
        scored[0]["beats_baselines"] = "yes" if score > max(others) else "no"
        rows += scored
        oracle = mean_score(response_model["oracle"])
        if oracle is not None:
            head = {key: scored[0][key] for key in ("scan", "tier", "neurons")}
            rows.append(head | {"model": ORACLE, "single_trial_correlation": oracle, "beats_baselines": ""})
    return pd.DataFrame(rows).astype({"explainable_neurons": "Int64"})


def _row(scan: str, label: str, content: Mapping) -> dict:
    single, oracle, summary = (content[key] for key in ("single_trial_correlation", "oracle", "summary"))
    fraction = None if oracle is None else fraction_of_oracle(single, oracle)
    explained = content["feve"] or []
    return {
        "scan": scan,
        "model": label,
        "tier": summary["tier"],
        "neurons": len(single),
        "validation_correlation": summary["validation_correlation"],
        **{name: _or_nan(mean_score(content[name])) for name in SCORES},
        "explainable_neurons": sum(value is not None for value in explained) if explained else math.nan,
        "fraction_of_oracle": _or_nan(fraction),
        "beats_baselines": "",
    }


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
