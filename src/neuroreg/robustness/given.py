"""A network that was trained elsewhere, before it is compared with those trained here."""

import logging
from pathlib import Path

import numpy as np
import torch

from neuroreg.errors import InputError, naming
from neuroreg.images.classification import ClassificationData
from neuroreg.robustness.evaluation import predict, to_input
from neuroreg.training.programs import Program, count_classes, load_program

logger = logging.getLogger(__name__)

IMAGES = 500  # that it classifies, at the most
FEW = 8  # at a time, since it may be large
_ERRORS = 3.0  # standard errors by which guessing is to be passed


def given_network(path: str | Path, data: ClassificationData) -> Program:
    """Return the network in a file, after checking that it is a classifier of these images.

    How many of the test images it classifies rightly goes to the log, with a warning if that is no more than
    guessing: pixels are in another range, or classes in another order, where it was trained.

    Parameters
    ----------
    path
        A ``.pt2`` file of `neuroreg.training.export.export_model` or torch.export.
    data
        The images that are classified.

    Raises
    ------
    InputError
        If the file is missing, is no program or no classifier (`count_classes`), has another number of
        classes, or names them otherwise.
    """
    network, _ = load_program(path)
    with naming(path):
        classes = count_classes(network)
        if classes != len(data.classes):
            raise InputError(
                f"has {classes} outputs; expected {len(data.classes)}, one for each class of the images."
            )
        if network.class_names and len(network.class_names) != classes:
            names = len(network.class_names)
            raise InputError(f"names {names} classes for {classes} outputs; expected a name for each.")
        for number, (found, expected) in enumerate(zip(network.class_names, data.classes, strict=False)):
            if found != expected:
                raise InputError(
                    f"names class {number} '{found}'; expected '{expected}', as the images do, or no names."
                )
        _log_accuracy(path, network, data)
    return network


def _log_accuracy(path: str | Path, network: Program, data: ClassificationData) -> None:
    total = len(data.test_labels)
    shown = np.unique(np.linspace(0, total - 1, min(IMAGES, total)).round().astype(int))
    inputs, labels = to_input(data.test_images[shown]), data.test_labels[shown]
    logits = predict(network, inputs, batch_size=FEW, device=torch.device("cpu"))
    right = float((logits.argmax(dim=1).numpy() == labels).mean())
    guessed = np.bincount(labels).max() / len(labels)
    logger.info("%s: %.1f %% of %d test images are classified rightly", path, 100 * right, len(labels))
    if right <= guessed + _ERRORS * np.sqrt(guessed * (1 - guessed) / len(labels)):
        logger.warning(
            "%s: no more than guessing; expected pixels in [0, 1] and classes in the order %s",
            path,
            ", ".join(map(str, data.classes)),
        )
