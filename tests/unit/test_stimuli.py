import h5py
import numpy as np
import pytest
from PIL import Image

from neuroreg.data.stimuli import Stimuli, load_stimuli, make_stimuli, save_stimuli, stimuli_from_scan
from neuroreg.errors import InputError
from neuroreg.scans.scan import Scan
from neuroreg.storage import write_h5


def arrays(count=4):
    rng = np.random.default_rng(0)
    return {
        "images": rng.integers(0, 256, (count, 36, 64), dtype=np.uint8),
        "key": np.array([f"class/{i}" for i in range(count)]),
        "oracle": np.arange(count) < 1,
    }


def scan_of(shown, tier):
    """A scan of as many images as `shown` names, two neurons."""
    trials, count = len(shown), max(shown) + 1
    return Scan(
        images=np.arange(count, dtype=np.uint8)[:, None, None] * np.ones((1, 36, 64), np.uint8),
        key=np.array([f"class/{i}" for i in range(count)]),
        image=np.array(shown, dtype=np.int64),
        tier=np.array(tier),
        responses=np.ones((trials, 2), np.float32),
        behavior=np.ones((trials, 3), np.float32),
        pupil_center=np.ones((trials, 2), np.float32),
        unit_id=np.arange(2, dtype=np.int64),
    )


def test_photographs_are_split_into_pool_and_oracle():
    stimuli = make_stimuli("photographs", 30, 8, seed=2)
    assert stimuli.images.shape == (38, 36, 64)
    assert stimuli.oracle.sum() == 8
    same = make_stimuli("photographs", 30, 8, seed=2)
    np.testing.assert_array_equal(stimuli.oracle, same.oracle)
    assert not np.array_equal(stimuli.oracle, make_stimuli("photographs", 30, 8, seed=3).oracle)


def test_image_folder(tmp_path):
    for i in range(4):
        Image.fromarray(np.full((36, 64), 10 * i, np.uint8)).save(tmp_path / f"{i}.png")
    stimuli = make_stimuli("image_folder", 3, 1, tmp_path, seed=0)
    assert stimuli.key.tolist() == [f"{tmp_path.name}/{i}" for i in range(4)]
    np.testing.assert_array_equal(stimuli.images[:, 0, 0], [0, 10, 20, 30])
    assert stimuli.oracle.sum() == 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("image_folder", "source 'image_folder' without a path; expected the folder"),
        ("imagenet", "source 'imagenet'; expected 'photographs' or 'image_folder'"),
    ],
)
def test_source_errors(source, message):
    with pytest.raises(InputError, match=message):
        make_stimuli(source, 1, 1)


def test_scan_gives_its_repeated_test_images_as_oracle():
    # Image 0: test, three times; 1: train, twice; 2: test, once (others were dropped); 3, 4: single.
    scan = scan_of(
        [0, 1, 2, 0, 3, 1, 4, 0], ["test", "train", "test", "test", "train", "train", "validation", "test"]
    )
    stimuli = stimuli_from_scan(scan, None, seed=0)
    assert stimuli.key.tolist() == scan.key.tolist()
    assert stimuli.oracle.tolist() == [True, False, False, False, False]
    samples = {tuple(stimuli_from_scan(scan, 2, seed=s).key) for s in range(12)}
    assert all(len(keys) == 3 and keys[0] == "class/0" for keys in samples)
    assert len(samples) > 1
    with pytest.raises(
        InputError, match="the scan has 4 images outside the repeated ones; pool_size asks for 5"
    ):
        stimuli_from_scan(scan, 5, seed=0)


def test_withheld_responses_do_not_hide_the_oracle_images():
    scan = scan_of([0, 0, 1], ["test", "test", "train"])
    scan.responses[:2] = 0
    assert stimuli_from_scan(scan, None, seed=0).oracle.tolist() == [True, False]


def test_round_trip(tmp_path):
    stimuli = Stimuli(**arrays())
    save_stimuli(tmp_path / "stimuli.h5", stimuli, config={"source": "photographs"})
    loaded = load_stimuli(tmp_path / "stimuli.h5")
    for name in ("images", "key", "oracle"):
        assert getattr(loaded, name).dtype.kind == getattr(stimuli, name).dtype.kind
        np.testing.assert_array_equal(getattr(loaded, name), getattr(stimuli, name))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("images", np.zeros((4, 36, 64)), r"images float64 \(4, 36, 64\); expected uint8"),
        (
            "images",
            np.zeros((4, 32, 32), np.uint8),
            r"images uint8 \(4, 32, 32\); expected uint8 \(P, 36, 64\)",
        ),
        ("key", np.array(["a", "b"]), r"key .* \(2,\); expected str \(4,\)"),
        ("key", np.array(["a/1", "a/2", "a/1", "a/3"]), "key 'a/1' found twice"),
        ("oracle", np.zeros(4), r"oracle float64 \(4,\); expected bool \(4,\)"),
    ],
)
def test_validation(tmp_path, name, value, message):
    content = {**arrays(), name: value}
    with pytest.raises(InputError, match=message):
        Stimuli(**content)
    write_h5(tmp_path / "bad.h5", "stimuli", content)
    with pytest.raises(InputError, match=rf"bad\.h5: stimuli: .*{message}"):
        load_stimuli(tmp_path / "bad.h5")


def test_missing_dataset_is_named(tmp_path):
    save_stimuli(tmp_path / "stimuli.h5", Stimuli(**arrays()))
    with h5py.File(tmp_path / "stimuli.h5", "a") as file:
        del file["oracle"]
    with pytest.raises(InputError, match=r"stimuli\.h5: no dataset 'oracle'"):
        load_stimuli(tmp_path / "stimuli.h5")
