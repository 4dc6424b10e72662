"""What holds for a scan of the lab in whichever form it comes: static HDF5, FileTree folder, FileTree zip."""

import tempfile

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from lab_files import FORMS, assert_same_scan, read_as, write_hdf5

from neuroreg.errors import InputError
from neuroreg.scans.scan import Scan
from neuroreg.scans.static_hdf5 import read_static_hdf5

# Twelve trials, so that 10 and 11 come before 2 as text.
TIERS = ["train", "test", "validation", "test", "test", "train", "test", "test", "validation", "test"]
TIERS += ["test", "train"]
SHOWN = [12, 7, 3, 8, 7, 30, 8, 7, 4, 8, 7, 5]


def picture(number):
    """Image `number` is that gray, but for its last row, columns counted in steps of 4, and one pixel."""
    image = np.full((1, 36, 64), float(number))
    image[0, 35] = np.arange(0, 256, 4)
    image[0, 2, 1] = 255
    return image


def parts(**changes):
    trial = np.arange(12)
    return {
        "images": np.array([picture(number) for number in SHOWN]),
        "responses": trial[:, None] + np.array([0, 0.25, -0.5]),
        "behavior": np.column_stack([30 + trial, -trial / 8, trial % 3]),
        "pupil_center": np.column_stack([80 - trial / 2, 60 + trial / 4]),
        "tiers": np.array(TIERS),
        "image_id": np.array(SHOWN),
        "image_class": np.array(["imagenet" if number != 30 else "texture" for number in SHOWN]),
        "unit_ids": np.array([40, 7, 19], np.uint16),
        "area": np.array(["V1", "LM", "V1"]),
        "layer": np.array(["L2/3", "L2/3", "L4"]),
    } | changes


def without(*names):
    return {name: values for name, values in parts().items() if name not in names}


@pytest.fixture(params=FORMS)
def read(request, tmp_path):
    return lambda parts: read_as(request.param, tmp_path, parts)


def test_a_scan_known_to_the_digit(read):
    scan = read(parts())
    # Sorted as text; one entry for each image.
    assert scan.key.tolist() == [
        "imagenet/12",
        "imagenet/3",
        "imagenet/4",
        "imagenet/5",
        "imagenet/7",
        "imagenet/8",
        "texture/30",
    ]
    assert scan.image.tolist() == [0, 4, 1, 5, 4, 6, 5, 4, 2, 5, 4, 3]
    assert scan.tier.tolist() == TIERS
    assert scan.images.shape == (7, 36, 64)
    assert scan.images[:, 0, 0].tolist() == [12, 3, 4, 5, 7, 8, 30]
    assert scan.images[4, 35, :5].tolist() == [0, 4, 8, 12, 16]
    assert scan.images[4, 2, :3].tolist() == [7, 255, 7]
    assert int(scan.images[4].sum()) == 35 * 64 * 7 - 7 + 255 + 8064
    assert scan.responses.tolist() == [[t, t + 0.25, t - 0.5] for t in range(12)]
    assert scan.behavior[:3].tolist() == [[30, 0, 0], [31, -0.125, 1], [32, -0.25, 2]]
    assert scan.behavior[11].tolist() == [41, -1.375, 2]
    assert scan.pupil_center[[0, 10, 11]].tolist() == [[80, 60], [75, 62.5], [74.5, 62.75]]
    assert scan.unit_id.tolist() == [40, 7, 19]
    assert scan.area.tolist() == ["V1", "LM", "V1"]
    assert scan.layer.tolist() == ["L2/3", "L2/3", "L4"]
    assert scan.left_out.tolist() == []
    assert {i: t.tolist() for i, t in scan.oracle_trials().items()} == {4: [1, 4, 7, 10], 5: [3, 6, 9]}


@st.composite
def recordings(draw):
    """A recording of any repeats in any tiers, and each trial's key."""
    trials, neurons = draw(st.integers(1, 13)), draw(st.integers(1, 3))
    numbers = draw(st.lists(st.integers(0, 20), min_size=trials, max_size=trials))
    tiers = draw(
        st.lists(
            st.sampled_from(["train", "validation", "test", "test", "final_test", "none"]),
            min_size=trials,
            max_size=trials,
        ).filter(lambda tiers: {"train", "validation", "test"} & set(tiers))
    )
    finite = {"allow_nan": False, "allow_infinity": False, "width": 32}
    rows = {
        name: draw(st_numpy.arrays(np.float32, (trials, columns), elements=st.floats(**finite)))
        for name, columns in (
            ("responses", neurons),
            ("behavior", draw(st.integers(0, 3))),
            ("pupil_center", 2),
        )
    }
    pixels = np.random.default_rng(draw(st.integers(0, 9))).integers(0, 256, (21, 1, 36, 64), np.uint8)
    classes = np.where(np.array(numbers) % 3 == 0, "texture", "imagenet")
    return rows | {
        "images": pixels[numbers],
        "tiers": np.array(tiers),
        "image_id": np.array(numbers),
        "image_class": classes,
        "unit_ids": np.array(draw(st.permutations(range(neurons)))),
    }


@settings(deadline=None, max_examples=60)
@given(recordings(), st.sampled_from(sorted(FORMS)))
def test_whatever_was_written_is_read(recording, form):
    with tempfile.TemporaryDirectory() as folder:
        scan = read_as(form, folder, recording)
    tiers = recording["tiers"].tolist()
    kept = [t for t, tier in enumerate(tiers) if tier in ("train", "validation", "test")]
    assert scan.tier.tolist() == [tiers[t] for t in kept]
    assert sorted(scan.left_out.tolist()) == sorted(set_aside(tiers))
    for name in ("responses", "behavior", "pupil_center"):
        np.testing.assert_array_equal(getattr(scan, name), recording[name][kept])
    keys = [f"{recording['image_class'][t]}/{recording['image_id'][t]}" for t in kept]
    assert scan.key[scan.image].tolist() == keys
    assert scan.key.tolist() == sorted(set(keys))
    np.testing.assert_array_equal(scan.images[scan.image], recording["images"][kept, 0])
    shown = {}
    for position, key in enumerate(keys):
        if scan.tier[position] == "test":
            shown.setdefault(key, []).append(position)
    repeated = {key: trials for key, trials in shown.items() if len(trials) > 1}
    assert scan.key[scan.repeated_images()].tolist() == sorted(repeated)
    if not scan.withheld_tiers():
        assert {scan.key[i]: t.tolist() for i, t in scan.oracle_trials().items()} == repeated


def set_aside(tiers):
    return [tier for tier in tiers if tier in ("final_test", "none")]


def test_columns_as_bytes_or_text_are_the_same(read, tmp_path):
    columns = ("tiers", "image_id", "image_class", "area", "layer")
    changed = {name: parts()[name].astype(np.bytes_) for name in columns}
    reference = read_as("zip", tmp_path, parts() | {"image_id": parts()["image_id"].astype(np.str_)})
    assert_same_scan(read(parts(**changed)), reference)


@pytest.mark.parametrize("spelling", ["stimulus_Frame", "stimulus_frame", "stimulus.Frame"])
def test_statistics_are_ignored_however_they_are_spelled(read, tmp_path, spelling):
    extra = {
        f"{group}/{kind}/{which}/mean": np.full(3, np.nan)
        for group in ("statistics", "meta/statistics")
        for kind in ("responses", "images")
        for which in ("all", spelling)
    }
    assert_same_scan(read(parts(**extra)), read_as("static_hdf5", tmp_path, parts()))


@pytest.mark.parametrize(
    ("factor", "number"), [(2, np.uint8), (3, np.float32), (4, np.uint8), (4, np.float64), (5, np.float32)]
)
def test_large_images_are_reduced_by_area(read, factor, number):
    rng = np.random.default_rng(0)
    pixels = {image: rng.integers(0, 256, (1, 36 * factor, 64 * factor)) for image in set(SHOWN)}
    scan = read(parts(images=np.array([pixels[image] for image in SHOWN]).astype(number)))
    for trial, image in enumerate(SHOWN):
        for row, column in ((0, 0), (35, 63), (17, 5)):
            top, left = factor * row, factor * column
            block = pixels[image][0, top : top + factor, left : left + factor]
            assert scan.images[scan.image[trial], row, column] == round(block.sum() / factor**2)


def test_an_area_mean_keeps_the_golden_images(read, tmp_path):
    # Blocks of 4 x 4 pixels that are half above and half below their mean.
    small = np.clip(parts()["images"], 3, 252)
    checks = np.tile([[3.0, -3.0], [-3.0, 3.0]], (72, 128))
    large = small.repeat(4, axis=2).repeat(4, axis=3) + checks
    assert_same_scan(read(parts(images=large)), read_as("zip", tmp_path, parts(images=small)))


@pytest.mark.parametrize("missing", [("behavior",), ("pupil_center",), ("behavior", "pupil_center")])
def test_missing_covariates(read, caplog, missing):
    scan = read(without(*missing))
    messages = [record.getMessage().partition(": ")[2] for record in caplog.records]
    assert messages == [f"no {kind}; predictions will not depend on it" for kind in missing]
    whole = read(parts())
    assert scan.behavior.shape == ((12, 0) if "behavior" in missing else (12, 3))
    assert scan.behavior.dtype == scan.pupil_center.dtype == np.float32
    if "pupil_center" in missing:
        assert scan.pupil_center.shape == (12, 2) and not scan.pupil_center.any()
    else:
        np.testing.assert_array_equal(scan.pupil_center, whole.pupil_center)
    np.testing.assert_array_equal(scan.responses, whole.responses)


def test_covariates_of_zeros_are_called_withheld(read, caplog):
    read(parts(behavior=np.zeros((12, 3))))
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "behavior is exactly 0 in all trials, so withheld"
    ]


def test_neurons_without_names_or_places(read, caplog):
    caplog.set_level("INFO")
    scan = read(without("unit_ids", "area", "layer"))
    assert scan.unit_id.dtype == np.int64 and scan.unit_id.tolist() == [1, 2, 3]
    assert scan.area.tolist() == scan.layer.tolist() == ["unknown"] * 3
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "no unit ids; neurons are numbered 1 to 3"
    ]
    assert read(parts(area=np.array(["V1", "", "LM"]))).area.tolist() == ["V1", "unknown", "LM"]


def test_other_tiers_are_left_out_and_named(read, caplog):
    tiers = np.array(TIERS, "<U10")
    tiers[[1, 4, 7, 10]], tiers[5] = "final_test", "live"
    responses = parts()["responses"]
    responses[tiers == "final_test"] = np.nan  # not measured, so not looked at
    images = parts()["images"]
    images[4] = 99  # nor is another image under a key that is left out
    scan, whole = read(parts(tiers=tiers, responses=responses, images=images)), read(parts())
    kept = [0, 2, 3, 6, 8, 9, 11]
    assert scan.tier.tolist() == [TIERS[t] for t in kept]
    assert sorted(scan.left_out.tolist()) == ["final_test"] * 4 + ["live"]
    assert scan.key.tolist() == [f"imagenet/{number}" for number in (12, 3, 4, 5, 8)]
    for name in ("responses", "behavior", "pupil_center"):
        np.testing.assert_array_equal(getattr(scan, name), getattr(whole, name)[kept])
    np.testing.assert_array_equal(scan.images[scan.image], whole.images[whole.image[kept]])
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "tier 'final_test' left out, 4 trials; not train, validation or test",
        "tier 'live' left out, 1 trials; not train, validation or test",
    ]


def test_a_withheld_tier_is_named_and_not_used(read):
    scan = read(parts(responses=np.where(np.array(TIERS) == "test", 0, 1)[:, None] * np.ones(3)))
    assert scan.withheld_tiers() == ("test",)
    with pytest.raises(InputError, match="tier 'test' is withheld"):
        scan.oracle_trials()


def changed(name, index, value):
    values = parts()[name].copy()
    values[index] = value
    return parts(**{name: values})


@pytest.mark.parametrize(
    ("recording", "message"),
    [
        (parts(tiers=np.array(["final_test"] * 12)), "tiers.* has only tiers 'final_test'; expected train"),
        (parts(tiers=np.array(TIERS[:11])), "for (each of )?the 11 trials of '.*tiers"),
        (parts(image_id=np.arange(11)), "has 12 entries, the images' class 12 and id 11; expected equally"),
        (parts(image_id=np.array(SHOWN) * 1.0), "image_id.* holds float64; expected text or whole numbers"),
        (
            without("image_id"),
            "no (dataset|file) '.*/image_id.*'; expected it or colorframeprojector_image_id",
        ),
        (without("responses"), "no (dataset|file) '.*responses"),
        (without("images"), "no (dataset|file) '.*images"),
        (
            parts(images=np.zeros((12, 2, 36, 64))),
            "images.* has 2 channels, so .* made with colored images .*; expected 1 channel of gray",
        ),
        (parts(images=np.zeros((12, 1, 18, 32))), r"images.*: an image has shape \(1, 18, 32\); expected"),
        (parts(images=np.zeros((12, 1, 72, 192))), r"images.*: an image has shape \(1, 72, 192\); expected"),
        (parts(images=np.zeros((12, 1, 0, 0))), r"images.*: an image has shape \(1, 0, 0\); expected"),
        (
            parts(images=np.zeros((12, 2, 108, 192))),
            "images.* has 2 channels, so the scan was made with colored",
        ),
        (
            parts(images=np.zeros((12, 1, 72, 127))),
            r"images.*: an image has shape \(1, 72, 127\); expected \(1, 36, 64\), or both of its",
        ),
        (
            changed("image_id", 9, 7),
            "key 'imagenet/7' has other pixels in trial 9 than before; expected one image per key",
        ),
        (
            changed("images", (3, 0, 5, 5), np.nan),
            "the image of trial 3 holds values from nan to nan; expected gray levels 0 to 255",
        ),
        (
            changed("images", (3, 0, 5, 5), -7),
            "the image of trial 3 holds values from -7 to 255; expected gray",
        ),
        (changed("images", (11, 0, 5, 5), 999), "the image of trial 11 holds values from 0 to 999; expected"),
        (parts(images=parts()["images"] / 255), "images reach 1 at most; expected gray levels 0 to 255"),
        (
            changed("responses", (10, 1), np.nan),
            "responses.* holds 1 values that are NaN or infinite.*expected",
        ),
        (changed("responses", (10, 1), 1e300), "responses.* holds 1 values that are NaN or infinite"),
        (changed("behavior", (3, 1), np.inf), "behavior.* holds 1 values that are NaN or infinite"),
        (changed("pupil_center", 3, np.nan), "pupil_center.* holds 2 values that are NaN or infinite"),
        (parts(pupil_center=np.zeros((12, 3))), "pupil_center.* has shape"),
        (parts(responses=np.zeros((12, 4))), "responses.* has shape"),
        (parts(responses=np.array([[b"x"] * 3] * 12)), "responses.* holds .S1; expected numbers"),
        (
            without("unit_ids") | {"responses": np.zeros((12, 0))},
            "no neuron in the responses; expected at least",
        ),
        (parts(unit_ids=np.array([1, 2, 1])), "unit_id '1' found twice"),
        (
            parts(unit_ids=np.arange(3.0)),
            r"unit_ids.* holds float64 \(3,\); expected one whole number per neuron",
        ),
        (parts(area=np.array(["V1"] * 4)), "area.*' has 4 entries; expected one for each of 3 neurons"),
        (parts(layer=np.array([["L4"] * 3])), r"layer.*' has shape \(1, 3\); expected one dimension"),
    ],
)
def test_errors_say_what_is_wrong(read, recording, message):
    with pytest.raises(InputError, match=rf"lab\.\w+: .*{message}") as error:
        read(recording)
    assert str(error.value).count(". ") == 0  # one sentence


def test_packed_hdf5_reads_the_same(tmp_path):
    whole = read_as("static_hdf5", tmp_path, parts())
    write_hdf5(tmp_path / "packed.h5", without("images", "responses"))
    with h5py.File(tmp_path / "packed.h5", "a") as file:
        for name, chunks in (("images", (5, 1, 9, 16)), ("responses", (7, 2))):
            file.create_dataset(name, data=parts()[name], chunks=chunks, compression="gzip")
    assert_same_scan(read_static_hdf5(tmp_path / "packed.h5"), whole)


def test_images_of_many_blocks_of_trials(tmp_path):
    rng = np.random.default_rng(0)
    number, trials = rng.integers(0, 40, 300), 300
    tiers = np.where(rng.random(trials) < 0.3, "live", np.where(number < 10, "test", "train"))
    pixels = rng.integers(0, 256, (40, 1, 36, 64), np.uint8)
    recording = {
        "images": pixels[number],
        "responses": rng.random((trials, 2)),
        "tiers": tiers,
        "image_id": number,
        "image_class": np.array(["a"] * trials),
    }
    scan = read_as("static_hdf5", tmp_path, recording)
    np.testing.assert_array_equal(scan.images[scan.image], pixels[number[tiers != "live"], 0])
    assert_same_scan(scan, read_as("zip", tmp_path, recording))
    assert isinstance(scan, Scan)


def test_a_zero_byte_within_a_text_is_refused(tmp_path):
    area = np.array([b"V1", b"L\0M", b"V1"])
    with pytest.raises(InputError, match=r"holds 'L.x00M', with a zero byte in it; expected plain text"):
        read_as("static_hdf5", tmp_path, parts(area=area))


def test_a_level_that_rounds_to_256_is_white(read):
    images = parts()["images"].astype(np.float32)
    images[TIERS.index("train"), ..., :2, :2] = 255.5
    changed = read(parts(images=images[np.arange(len(images))]))
    assert changed.images.max() == 255
