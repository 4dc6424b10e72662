"""Fitted response models on disk: safetensors with the settings in the metadata, and JSON beside it."""

import json
from pathlib import Path

import numpy as np

from neuroreg.files.storage import read_json, write_json
from neuroreg.files.weights import check_finite, reading_weights, write_weights
from neuroreg.response_model.fit import FittedResponseModel, empty_model
from neuroreg.response_model.model import ResponseModel
from neuroreg.response_model.reliability import NeuronQuality, fraction_of_oracle, mean_score
from neuroreg.response_model.settings import FitSettings


def save_response_model(
    weights_path: str | Path, summary_path: str | Path, fitted: FittedResponseModel, quality: NeuronQuality
) -> None:
    """Write a fitted model as safetensors and what is known of its neurons as JSON.

    The JSON holds per-neuron lists ``w, v, single_trial_correlation, correlation_to_average, feve,
    oracle`` (null where it cannot be measured), a ``summary`` with their means, ``settings`` and ``history``.

    Parameters
    ----------
    weights_path, summary_path
        A ``.safetensors`` and a ``.json`` file.
    fitted
        From `fit_response_model`.
    quality
        From `neuroreg.response_model.reliability.measure_neurons`.
    """
    per_neuron = {
        name: None if values is None else [float(value) for value in values]
        for name, values in vars(quality).items()
        if name != "tier"
    }
    summary = {f"mean_{name}": mean_score(values) for name, values in per_neuron.items()}
    oracle, correlation = quality.oracle, quality.single_trial_correlation
    summary |= {
        "fraction_of_oracle": None if oracle is None else fraction_of_oracle(correlation, oracle),
        "neurons": len(quality.w),
        "tier": quality.tier,  # type: ignore[dict-item]
        "epochs": len(fitted.history),
        "validation_correlation": fitted.validation_correlation,
    }
    settings = fitted.settings.model_dump()
    metadata = {"settings": json.dumps(settings, sort_keys=True)}
    write_weights(weights_path, fitted.model.state_dict(), metadata)
    content = {"summary": summary, "settings": settings, "history": fitted.history}
    write_json(summary_path, per_neuron | content)


def load_response_model(weights_path: str | Path) -> ResponseModel:
    """Return the model stored by `save_response_model`, on the CPU, in eval mode.

    Raises
    ------
    InputError
        If the file is missing or does not hold a response model of this project.
    """
    with reading_weights(weights_path, "response model", "fit") as file:
        settings = FitSettings(**json.loads((file.metadata() or {})["settings"]))
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        (neurons,), (_, behaviors) = tensors["response_std"].shape, tensors["context_behavior"].shape
        model = empty_model(neurons, behaviors, settings)
        model.load_state_dict(tensors)
        check_finite(tensors)
    return model.eval()


def load_weighting(summary_path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the neurons' w and v, float32 (N,) each, from the JSON file of `save_response_model`.

    Raises
    ------
    InputError
        If the file is missing or holds no such numbers.
    """
    content = read_json(summary_path, {"w": [float], "v": [float]})
    return tuple(np.asarray(content[name], np.float32) for name in ("w", "v"))  # type: ignore[return-value]
