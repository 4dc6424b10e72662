import h5py
import numpy as np
import pytest
from PIL import Image

from neuroreg.errors import InputError
from neuroreg.files.records import read_record, write_record
from neuroreg.files.storage import write_h5
from neuroreg.images.stimuli import Stimuli, make_stimuli, stimuli_from_scans
from neuroreg.scans.scan import Scan
from neuroreg.scans.shown_images import ShownImages, load_shown_images


def arrays(count=4):
    rng = np.random.default_rng(0)
    return {
        "images": rng.integers(0, 256, (count, 36, 64), dtype=np.uint8),
        "key": np.array([f"class/{i}" for i in range(count)]),
        "oracle": np.arange(count) < 1,
    }


def shown(scan, gray, repeated=()):
    """A scan that showed even images: key to gray level, and which keys were repeated."""
    images = np.array(list(gray.values()), np.uint8)[:, None, None] * np.ones((1, 36, 64), np.uint8)
    return ShownImages(scan, images, np.array(list(gray)), np.isin(list(gray), list(repeated)))


def described(stimuli):
    return dict(zip(stimuli.key.tolist(), stimuli.images[:, 0, 0].tolist(), strict=True))


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


def test_what_is_cut_from_the_images_of_a_folder(tmp_path):
    gray = np.zeros((200, 300), np.uint8)
    gray[28:172, 22:278] = 200
    Image.fromarray(gray).save(tmp_path / "a.png")
    centre, largest = (
        make_stimuli("image_folder", 1, 0, tmp_path, crop=crop) for crop in ("centre", "largest")
    )
    assert centre.images.min() == 200
    assert largest.images.min() == 0


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


@pytest.mark.parametrize("withheld", [False, True])
def test_a_scan_file_gives_its_images_and_which_are_repeated(tmp_path, withheld):
    # Image 0: test, three times; 1: train, twice; 2: test, once (others were dropped); 3, 4: single.
    tier = np.array(["test", "train", "test", "test", "train", "train", "validation", "test"])
    responses = np.ones((8, 2), np.float32)
    responses[(tier == "test") & withheld] = 0
    rng = np.random.default_rng(0)
    scan = Scan(
        images=rng.integers(0, 256, (5, 36, 64), np.uint8),
        key=np.array([f"class/{i}" for i in range(5)]),
        image=np.array([0, 1, 2, 0, 3, 1, 4, 0], dtype=np.int64),
        tier=tier,
        responses=responses,
        behavior=np.ones((8, 3), np.float32),
        pupil_center=np.ones((8, 2), np.float32),
        unit_id=np.arange(2, dtype=np.int64),
    )
    write_record(tmp_path / "a.h5", scan)
    images = load_shown_images("a", tmp_path / "a.h5")
    np.testing.assert_array_equal(images.images, scan.images)
    assert images.key.tolist() == scan.key.tolist()
    assert images.repeated.tolist() == [True, False, False, False, False]
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["trials/tier"]
    with pytest.raises(InputError, match=r"a\.h5: no dataset 'trials/tier'; expected images, key"):
        load_shown_images("a", tmp_path / "a.h5")


def test_a_sample_of_one_scan():
    scan = shown("a", {f"c/{i}": i for i in range(6)}, ["c/2"])
    stimuli = stimuli_from_scans([scan], None, seed=0)
    assert stimuli.key.tolist() == scan.key.tolist()
    assert stimuli.oracle.tolist() == [False, False, True, False, False, False]
    samples = {tuple(stimuli_from_scans([scan], 2, seed=s).key) for s in range(20)}
    assert all(len(keys) == 3 and "c/2" in keys and list(keys) == sorted(keys) for keys in samples)
    assert len(samples) > 3
    with pytest.raises(
        InputError, match=r"5 images in scan 'a', repeated .*; expected at least 6 \(pool_size\)"
    ):
        stimuli_from_scans([scan], 6, seed=0)


SCANS = [
    shown("a", {"c/0": 0, "c/1": 1, "c/2": 2, "c/3": 3, "c/9": 9, "c/8": 8}, ["c/0"]),
    shown("b", {"c/1": 1, "c/4": 4, "c/2": 2, "c/3": 3, "d/0": 0, "d/4": 4, "c/8": 8}, ["c/3"]),
    shown("c", {"c/2": 2, "c/3": 3, "c/1": 1, "c/5": 5, "c/8": 8}),
]


def test_the_union_holds_each_image_of_any_scan_once():
    stimuli = stimuli_from_scans(SCANS, None, seed=0)
    # d/0 is c/0 and d/4 is c/4, by their pixels.
    assert described(stimuli) == {f"c/{i}": i for i in (0, 1, 2, 3, 9, 8, 4, 5)}
    assert set(stimuli.key[stimuli.oracle]) == {"c/0", "c/3"}
    sample = stimuli_from_scans(SCANS, 3, seed=0)
    assert (~sample.oracle).sum() == 3
    with pytest.raises(InputError, match=r"6 images in any scan, .*; expected at least 7 \(pool_size\)\."):
        stimuli_from_scans(SCANS, 7, seed=0)
    assert set(sample.key) < set(stimuli.key)


def test_the_intersection_holds_the_images_of_every_scan():
    stimuli = stimuli_from_scans(SCANS, None, seed=0, shared=True)
    assert described(stimuli) == {f"c/{i}": i for i in (1, 2, 3, 8)}
    assert stimuli.key[stimuli.oracle].tolist() == ["c/3"]
    with pytest.raises(InputError, match=r"3 images in every scan, .*; expected at least 4 \(pool_size\)\."):
        stimuli_from_scans(SCANS, 4, seed=0, shared=True)
    others = [SCANS[0], shown("z", {"z/1": 1, "z/2": 2})]
    with pytest.raises(InputError, match=r"0 images in every scan, .*; expected at least 2\."):
        stimuli_from_scans(others, None, seed=0, shared=True)


def test_an_image_that_another_scan_repeats_under_another_key_is_not_in_the_pool():
    scans = [shown("a", {"c/0": 0, "c/1": 1, "c/2": 2}), shown("b", {"d/0": 0, "d/3": 3}, ["d/0"])]
    stimuli = stimuli_from_scans(scans, None, seed=0)
    assert stimuli.key[stimuli.oracle].tolist() == ["c/0"]


def test_what_another_scan_repeats_is_not_in_the_pool_of_one_scan():
    one = shown("a", {f"c/{i}": i for i in range(6)}, ["c/0"])
    # d/1 is c/1, c/2 another image, d/7 shown by b alone; d/3, which is c/3, is not repeated.
    other = shown("b", {"d/1": 1, "c/2": 8, "d/7": 7, "d/3": 3}, ["d/1", "c/2", "d/7"])
    stimuli = stimuli_from_scans([one], None, seed=0, others=[other, shown("c", {"e/5": 5}, ["e/5"])])
    assert described(stimuli) == {f"c/{i}": i for i in range(6)}
    assert stimuli.key[stimuli.oracle].tolist() == ["c/0", "c/1", "c/5"]
    with pytest.raises(InputError, match=r"3 images in scan 'a', .*; expected at least 4 \(pool_size\)\."):
        stimuli_from_scans([one], 4, seed=0, others=[other, shown("c", {"e/5": 5}, ["e/5"])])


@pytest.mark.parametrize("shared", [False, True])
def test_one_key_with_different_pixels_is_refused(shared):
    scans = [*SCANS, shown("wrong", {"c/1": 1, "c/2": 7, "c/3": 3})]
    with pytest.raises(InputError, match="scan 'wrong' has other pixels under the key 'c/2'"):
        stimuli_from_scans(scans, None, seed=0, shared=shared)


def test_round_trip(tmp_path):
    stimuli = Stimuli(**arrays())
    write_record(tmp_path / "stimuli.h5", stimuli, config={"source": "photographs"})
    loaded = read_record(tmp_path / "stimuli.h5", Stimuli)
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
            r"images uint8 \(4, 32, 32\); expected uint8 \(4, 36, 64\)",
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
        read_record(tmp_path / "bad.h5", Stimuli)


def test_missing_dataset_is_named(tmp_path):
    write_record(tmp_path / "stimuli.h5", Stimuli(**arrays()))
    with h5py.File(tmp_path / "stimuli.h5", "a") as file:
        del file["oracle"]
    with pytest.raises(InputError, match=r"stimuli\.h5: no dataset 'oracle'"):
        read_record(tmp_path / "stimuli.h5", Stimuli)
