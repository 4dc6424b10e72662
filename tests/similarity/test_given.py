import numpy as np
import pytest

from neuroreg.errors import InputError
from neuroreg.files.records import read_record, write_record
from neuroreg.images.stimuli import Stimuli
from neuroreg.similarity.given import given_similarity
from neuroreg.similarity.matrix import SimilarityMatrix, centred_cosine

KEY = np.array([f"c/{number}" for number in range(9)])  # the last two are oracle images


@pytest.fixture
def stimuli():
    images = np.random.default_rng(0).integers(0, 256, (9, 36, 64), np.uint8)
    return Stimuli(images, KEY, np.arange(9) >= 7)


def similarity(key, seed=1):
    matrix = centred_cosine(np.random.default_rng(seed).normal(size=(len(key), 30)))
    return SimilarityMatrix(matrix, np.asarray(key), (), {"kind": "mine", "layer": 3})


def test_it_is_taken_as_it_is(stimuli, tmp_path):
    given = similarity(KEY[[4, 0, 6]])
    write_record(tmp_path / "mine.h5", given)
    found = given_similarity(tmp_path / "mine.h5", stimuli)
    np.testing.assert_array_equal(found.matrix, given.matrix)
    assert found.key.tolist() == ["c/4", "c/0", "c/6"]
    assert found.provenance == {
        "kind": "given",
        "file": "mine.h5",
        "of": {"kind": "mine", "layer": 3},
    }
    write_record(tmp_path / "again.h5", found)
    assert read_record(tmp_path / "again.h5", SimilarityMatrix).provenance == found.provenance


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (["c/0", "c/1", "d/1", "d/2"], "2 of 4 keys are not in the pool, the first is 'd/1'"),
        (["c/0", "c/8", "c/1"], "1 of 3 keys are not in the pool, the first is 'c/8'"),
        (["c/0", "c/1"], "2 images; expected at least 3"),
    ],
)
def test_other_images_are_refused(stimuli, tmp_path, key, message):
    write_record(tmp_path / "mine.h5", similarity(key))
    with pytest.raises(InputError, match=rf"mine\.h5: {message}"):
        given_similarity(tmp_path / "mine.h5", stimuli)


def test_other_files_are_refused(stimuli, tmp_path):
    write_record(tmp_path / "stimuli.h5", stimuli)
    with pytest.raises(InputError, match=r"is of kind 'stimuli'; expected .* kind 'similarity'"):
        given_similarity(tmp_path / "stimuli.h5", stimuli)


@pytest.mark.parametrize(
    ("pairs", "warnings"),
    [
        ((0.2, -0.7, 0.998), []),
        ((0.2, 1.0, -0.9995), ["2 of 3 pairs have a similarity beyond 0.999"]),
        ((0.3, 0.3, 0.3), ["all 3 pairs are equally similar"]),
        ((1.0, 1.0, 1.0), ["3 of 3 pairs have a similarity beyond 0.999", "all 3 pairs are equally"]),
    ],
)
def test_pairs_that_nothing_is_learnt_from_are_warned_of(stimuli, tmp_path, caplog, pairs, warnings):
    matrix = np.eye(3, dtype=np.float32)
    for (i, j), value in zip(((0, 1), (0, 2), (1, 2)), pairs, strict=True):
        matrix[i, j] = matrix[j, i] = value
    write_record(tmp_path / "mine.h5", SimilarityMatrix(matrix, KEY[:3], (), {"kind": "mine"}))
    given_similarity(tmp_path / "mine.h5", stimuli)
    assert len(caplog.records) == len(warnings)
    for record, warning in zip(caplog.records, warnings, strict=True):
        assert record.levelname == "WARNING" and f"mine.h5: {warning}" in record.getMessage()
