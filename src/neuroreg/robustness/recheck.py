"""A second look at an attack's file: every row from the file alone, none of it taken on trust.

``python -m neuroreg.robustness.recheck ATTACK_FILE MODEL_FILE [--data CLASSIFICATION_FILE]``
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from neuroreg.errors import InputError
from neuroreg.files.records import read_mapping, read_record
from neuroreg.files.storage import open_h5, sha256
from neuroreg.images.classification import ClassificationData
from neuroreg.robustness.attack_result import NORMS, AttackResult
from neuroreg.robustness.evaluation import label_lead, predict, to_input
from neuroreg.training.checkpoints import load_model

# Distances are stored as float32, which rounds by less than this; a logit's sum depends on the batch's shape.
TOLERANCE = 1e-6
LOGIT_TOLERANCE = 1e-5
_ORDERS = {"l0": 0, "l1": 1, "l2": 2, "linf": np.inf}
_ALONE = {"batch_size": 1, "device": torch.device("cpu")}


@dataclass(frozen=True)
class Recheck:
    """What a second look found.

    Attributes
    ----------
    table
        One row per norm: rows, adversarials, misclassified, not_found, deviation (the largest relative
        difference of a recorded distance from that measured again), failed (rows).
    complaints
        One sentence each; none if everything holds.
    """

    table: pd.DataFrame
    complaints: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """One line: whether all rows hold."""
        rows, failed = self.table["rows"].sum(), self.table["failed"].sum()
        if not self.complaints:
            return f"All {rows} rows hold."
        return f"{failed} of {rows} rows fail; complaints: {len(self.complaints)}."


def recheck(attack_path: str | Path, model_path: str | Path, data_path: str | Path | None = None) -> Recheck:
    """Check every row (sample and norm) of an attack's file.

    A row with an adversarial holds if its pixels are finite and in [0, 1]; the model, asked with this one
    image in float32, names another class than the label, and the one recorded; the distance, measured in
    float64 from the two images, is the recorded minimum, and that of the try said to have found it; and no
    distance recorded under another norm is above what this adversarial has there. A row of a misclassified
    sample holds if the model does not name the label for the clean image and all distances are 0; one without
    an adversarial if nothing is recorded as found. The model's file must be the one that the search names.

    Parameters
    ----------
    attack_path
        Of an `AttackResult`.
    model_path
        The classifier attacked.
    data_path
        Where the samples come from; their images and labels are compared with it. None compares nothing: the
        attack's file holds the images too.

    Raises
    ------
    InputError
        If a file is missing, of another kind or incomplete.
    """
    result = read_record(attack_path, AttackResult)
    complaints = _provenance(attack_path, model_path)
    if data_path is not None:
        complaints += _origin(result, data_path)
    model = load_model(model_path)
    clean = to_input(result.clean)
    agrees = _agrees(model, clean, result)
    smallest = {norm: result.distance[norm].min(axis=(0, 1)).astype(np.float64) for norm in NORMS}
    rows = []
    for norm in NORMS:
        best = result.best_adversarial[norm]
        difference = (best.astype(np.float64) - clean[:, 0].numpy()).reshape(len(best), -1)
        measured = {name: np.linalg.norm(difference, order, axis=1) for name, order in _ORDERS.items()}
        logits = _logits(model, best)
        reasons = []
        for row in range(len(best)):
            found = _bookkeeping(result, norm, row, agrees[row])
            if not result.clean_correct[row]:
                found += _misclassified(result, norm, row, measured["l0"][row] > 0)
            elif np.isinf(smallest[norm][row]):
                if not np.isnan(best[row]).all() or result.predicted[norm][row] != -1:
                    found.append("no distance is recorded, but an adversarial is")
            else:
                found += _adversarial(result, norm, row, logits[row], measured, smallest)
            reasons.append(found)
            complaints += [f"{norm}, sample {result.sample[row]}: {reason}." for reason in found]
        shown = np.isfinite(smallest[norm]) & (smallest[norm] > 0)
        adversarial = result.clean_correct & shown & np.isfinite(best).all(axis=(1, 2))
        deviation = np.abs(measured[norm][adversarial] / smallest[norm][adversarial] - 1.0)
        rows.append(
            {
                "norm": norm,
                "rows": len(best),
                "adversarials": int(adversarial.sum()),
                "misclassified": int((~result.clean_correct).sum()),
                "not_found": int(np.isinf(smallest[norm]).sum()),
                "deviation": float(deviation.max(initial=0.0)),
                "failed": sum(map(bool, reasons)),
            }
        )
    return Recheck(pd.DataFrame(rows), tuple(complaints))


def _logits(model: nn.Module, images: np.ndarray) -> np.ndarray:
    """Return float64 (S, classes), each image (S, H, W) asked by itself; NaN where it is not finite."""
    finite = np.isfinite(images).all(axis=(1, 2))
    inputs = torch.from_numpy(np.where(finite[:, None, None], images, 0))[:, None]
    logits = predict(model, inputs, **_ALONE, finite=False).double().numpy()
    return np.where(finite[:, None], logits, np.nan)


def _provenance(attack_path: str | Path, model_path: str | Path) -> list[str]:
    with open_h5(attack_path, AttackResult.KIND) as file:
        inputs = read_mapping(attack_path, file, "inputs")
    if not inputs or sha256(model_path) in inputs.values():
        return []
    return [f"{model_path}: is not the model attacked: its SHA-256 is none of those in {attack_path}."]


def _origin(result: AttackResult, data_path: str | Path) -> list[str]:
    data = read_record(data_path, ClassificationData)
    known = (result.sample >= 0) & (result.sample < len(data.test_labels))
    index = np.where(known, result.sample, 0)
    same = known & (data.test_labels[index] == result.label)
    same &= (data.test_images[index] == result.clean).all(axis=(1, 2))
    return [f"sample {sample}: image or label is not that of {data_path}." for sample in result.sample[~same]]


def _agrees(model: nn.Module, clean: torch.Tensor, result: AttackResult) -> np.ndarray:
    """Return bool (S,): whether the model takes each clean image as the search says, by itself or in a tie.

    An image whose logits are not finite is misclassified.
    """
    logits = predict(model, clean, **_ALONE, finite=False)
    lead = label_lead(logits, torch.from_numpy(result.label)).numpy()
    scale, finite = logits.abs().amax(dim=1).numpy(), torch.isfinite(logits).all(dim=1).numpy()
    tied = finite & (np.abs(lead) <= LOGIT_TOLERANCE * scale)
    return tied | ((finite & (logits.argmax(dim=1).numpy() == result.label)) == result.clean_correct)


def _bookkeeping(result: AttackResult, norm: str, row: int, agrees: bool) -> list[str]:
    """Return what is wrong with a row whatever was found."""
    reasons = []
    distances = np.stack([result.distance[name][..., row] for name in NORMS])
    if np.isnan(distances).any() or (distances < 0).any():
        reasons.append("a recorded distance is NaN or negative")
    if not agrees:
        said = "right" if result.clean_correct[row] else "wrong"
        reasons.append(f"the clean image is recorded as {said} but is not")
    if not np.array_equal(result.verified[..., row], np.isfinite(result.distance[norm][..., row])):
        reasons.append("the flag 'verified' and the finite distances disagree")
    return reasons


def _misclassified(result: AttackResult, norm: str, row: int, changed: bool) -> list[str]:
    reasons = []
    if (result.distance[norm][..., row] != 0).any():
        reasons.append("the clean image is misclassified, but a distance is not 0")
    if changed:
        reasons.append("the clean image is misclassified, but another one is stored as adversarial")
    return reasons


def _adversarial(
    result: AttackResult,
    norm: str,
    row: int,
    logits: np.ndarray,
    measured: dict[str, np.ndarray],
    smallest: dict[str, np.ndarray],
) -> list[str]:
    """Return what is wrong with an adversarial; its norms are in `measured`, the recorded in `smallest`."""
    measured, smallest = ({name: values[row] for name, values in of.items()} for of in (measured, smallest))
    best, label = result.best_adversarial[norm][row], result.label[row]
    predicted = result.predicted[norm][row]
    if not np.isfinite(best).all():
        return ["the adversarial has pixels that are NaN or infinite"]
    if not np.isfinite(logits).all():
        return ["the model's logits are NaN or infinite: not adversarial"]
    reasons = []
    if best.min() < 0 or best.max() > 1:
        reasons.append(
            f"the adversarial's pixels go from {best.min():g} to {best.max():g}, not within 0 to 1"
        )
    if logits.argmax() == label:
        reasons.append(f"the model names the label, {label}: not adversarial")
    # A near tie between two other classes may be broken otherwise with one image than in a batch.
    elif not 0 <= predicted < len(logits) or (
        logits.max() - logits[predicted] > LOGIT_TOLERANCE * np.abs(logits).max()
    ):
        reasons.append(f"the model names class {logits.argmax()}, recorded is {predicted}")
    if abs(measured[norm] - smallest[norm]) > TOLERANCE * smallest[norm]:
        reasons.append(f"distance {measured[norm]:.9g}, recorded is {smallest[norm]:.9g}")
    for other in NORMS:
        if other != norm and measured[other] < smallest[other] * (1 - TOLERANCE):
            reasons.append(
                f"its {other} is {measured[other]:.9g}, below the recorded minimum {smallest[other]:.9g}"
            )
    setting, repetition = result.found_by[norm][row]
    settings, repetitions = result.distance[norm].shape[:2]
    if not (0 <= setting < settings and 0 <= repetition < repetitions):
        reasons.append(f"found by setting {setting}, repetition {repetition}, which the search did not have")
    elif result.distance[norm][setting, repetition, row] != np.float32(smallest[norm]):
        reasons.append(f"setting {setting}, repetition {repetition} did not find the smallest distance")
    return reasons


def main(arguments: list[str] | None = None, program: str = "neuroreg.robustness.recheck") -> int:
    """Print the table, the complaints and the verdict; return 0 if every row holds, 1 if not."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {program}",
        description="Check every row of an attack's file against the model attacked.",
    )
    parser.add_argument("attack", help="results/attacks/<model>/seed<seed>/<attack>.h5")
    parser.add_argument("model", help="results/models/<model>/seed<seed>/model.safetensors")
    parser.add_argument("--data", help="results/classification.h5: compare images and labels with it too")
    options = parser.parse_args(arguments)
    try:
        found = recheck(options.attack, options.model, options.data)
    except (InputError, OSError) as error:
        print(f"recheck: {error}", file=sys.stderr)
        return 1
    print(found.table.to_string(index=False, float_format="{:.1e}".format))
    for complaint in found.complaints:
        print(complaint)
    print(found.verdict)
    return 1 if found.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
