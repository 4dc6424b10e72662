"""Which image each predicted row is of."""

import numpy as np
import pytest
import torch

from neuroreg.images.stimuli import Stimuli
from neuroreg.response_model.fit import build_model
from neuroreg.response_model.predict import predict_pool
from neuroreg.response_model.settings import FitSettings
from neuroreg.scans.scan import Scan
from neuroreg.similarity.predicted import predict_responses
from neuroreg.similarity.units import response_units


@pytest.fixture(scope="module")
def scan():
    """Four images shown twice among twenty shown once."""
    rng = np.random.default_rng(0)
    image = rng.permutation(
        np.concatenate([np.repeat(np.arange(4) * 5, 2), np.setdiff1d(np.arange(24), np.arange(4) * 5)])
    )
    return Scan(
        images=rng.integers(0, 256, (24, 36, 64), np.uint8),
        key=np.array([f"c/{number}" for number in range(24)]),
        image=image,
        tier=np.where(np.isin(image, np.arange(4) * 5), "test", "train"),
        responses=rng.gamma(2.0, 1.0, (len(image), 6)).astype(np.float32),
        behavior=rng.random((len(image), 2), np.float32),
        pupil_center=rng.random((len(image), 2), np.float32),
        unit_id=np.arange(6),
    )


def test_each_row_is_the_prediction_of_the_image_with_its_key(scan):
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (7, 36, 64), np.uint8)
    oracle = np.array([0, 1, 0, 0, 1, 0, 0], bool)  # among the others
    stimuli = Stimuli(images, np.array([f"s/{n}" for n in (4, 2, 9, 1, 0, 7, 3)]), oracle)
    torch.manual_seed(0)
    settings = FitSettings(channels=2, input_kernel=3, contexts=4)
    model = build_model(scan, scan.trials_of("train"), settings, seed=1)
    w, v = rng.random((2, 6)).astype(np.float32)
    found = predict_responses(model, w, v, stimuli, scan)
    assert sorted(found.key) == sorted(stimuli.key[~oracle])
    assert sorted(found.oracle_key) == ["c/0", "c/10", "c/15", "c/5"]
    of_key = dict(zip(stimuli.key, images, strict=True)) | dict(zip(scan.key, scan.images, strict=True))
    for keys, rows in ((found.key, found.predicted), (found.oracle_key, found.oracle_predicted)):
        for key, row in zip(keys, rows, strict=True):
            np.testing.assert_allclose(row, predict_pool(model, of_key[key][None])[0], rtol=1e-4)
        assert len(np.unique(rows.round(6), axis=0)) == len(rows)  # so that another image would be seen
    assert (found.w is w) and (found.v is v)
    np.testing.assert_array_equal(found.std, response_units(scan, "std").astype(np.float32))
