"""A small training: handwritten digits and stimuli whose similarity is known."""

import numpy as np
from sklearn.datasets import load_digits

from neuroreg.training.run import SimilarityTarget, train
from neuroreg.training.settings import TrainingSettings

SETTINGS = TrainingSettings(
    width=4,
    epochs=4,
    batch_size=32,
    pairs_per_step=4,
    cycles=1,
    phases=2,
    stimuli_in_batch_norm=True,
)


def digits(count=300):
    """Images, uint8 (count, 32, 32), and labels."""
    data = load_digits()
    images = np.kron(data.images[:count], np.ones((4, 4))) * (255 / 16)
    return images.astype(np.uint8), data.target[:count]


def target(count=40):
    """Similarity of the weights of five smooth patterns of which the stimuli are made."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:36, :64] / 10
    patterns = np.stack([np.sin(x), np.cos(x), np.sin(y), np.cos(y), np.sin(x + y)])
    weights = rng.normal(size=(count, 5))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    stimuli = np.clip(128 + 60 * np.tensordot(weights, patterns, 1), 0, 255).astype(np.uint8)
    return SimilarityTarget(stimuli, (weights @ weights.T).astype(np.float32))


def run(**changes):
    """Train with some arguments of `train` replaced."""
    images, labels = digits()
    arguments = {"settings": SETTINGS, "seed": 1, "alpha": 5.0, "target": target()} | changes
    return train(images, labels, 10, **arguments)
