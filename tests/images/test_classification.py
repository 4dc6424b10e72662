import hashlib
import pickle
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from neuroreg.errors import InputError
from neuroreg.files.records import read_record, write_record
from neuroreg.files.storage import write_h5
from neuroreg.images.classification import (
    ClassificationData,
    make_classification,
    read_cifar,
    stratified_sample,
)


def small():
    rng = np.random.default_rng(0)
    return ClassificationData(
        rng.integers(0, 256, (6, 32, 32), dtype=np.uint8),
        np.arange(6) % 2,
        rng.integers(0, 256, (4, 32, 32), dtype=np.uint8),
        np.arange(4) % 2,
        np.array(["cat", "dog"]),
    )


def assert_equal(a, b):
    for name in ("train_images", "train_labels", "test_images", "test_labels", "classes"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


# Digits


def test_digits_keep_their_pixels_classes_and_split():
    from sklearn.datasets import load_digits

    data = make_classification("digits", seed=1)
    assert len(data.train_labels) + len(data.test_labels) == 1797
    assert len(data.test_labels) == 359
    whole = np.bincount(load_digits().target)
    assert np.abs(np.bincount(data.test_labels) - 0.2 * whole).max() < 1
    np.testing.assert_array_equal(np.bincount(data.train_labels) + np.bincount(data.test_labels), whole)
    # Each enlarged digit, averaged back to 8x8, is nearest to exactly its own original.
    images = np.concatenate([data.train_images, data.test_images]).astype(np.float64)
    back = images.reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4)).reshape(1797, 64) * 16 / 255
    back -= back.mean(axis=1, keepdims=True)
    original = load_digits().data - load_digits().data.mean(axis=1, keepdims=True)
    scores = (back / np.linalg.norm(back, axis=1)[:, None]) @ (
        original / np.linalg.norm(original, axis=1)[:, None]
    ).T
    assert scores.max(axis=1).min() > 0.9
    nearest = scores.argmax(axis=1)
    labels = np.concatenate([data.train_labels, data.test_labels])
    np.testing.assert_array_equal(load_digits().target[nearest], labels)
    assert len({image.tobytes() for image in images}) == 1797  # so training and test share no digit


def test_digits_depend_on_the_seed():
    assert_equal(make_classification("digits", seed=1), make_classification("digits", seed=1))
    other = make_classification("digits", seed=2)
    assert not np.array_equal(make_classification("digits", seed=1).test_images, other.test_images)


@pytest.mark.parametrize("size", [10, 57, 1438])
def test_subset_is_stratified(size):
    whole = make_classification("digits", seed=1)
    part = make_classification("digits", seed=1, train_size=size, test_size=20)
    assert len(part.train_labels) == size
    share = np.bincount(whole.train_labels) * size / len(whole.train_labels)
    assert np.abs(np.bincount(part.train_labels, minlength=10) - share).max() < 1
    np.testing.assert_array_equal(np.bincount(part.test_labels), 2)
    rows = {image.tobytes() for image in whole.train_images}
    assert all(image.tobytes() in rows for image in part.train_images)


def test_a_rare_class_is_trained_on_or_the_size_refused(tmp_path):
    rng = np.random.default_rng(0)
    for part, counts in (("train", {"rare": 3, "often": 40}), ("test", {"rare": 1, "often": 9})):
        for name, count in counts.items():
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (32, 32), np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / name / f"{number}.png")
    trained = []
    for size in range(1, 44):
        # The rare class has its share of the size, rounded.
        if round(size * 3 / 43) == 0:
            with pytest.raises(InputError, match=f"train_size is {size}, .* 1 of 2 classes .* at least 15,"):
                make_classification("image_folder", path=tmp_path, train_size=size, seed=1)
        else:
            data = make_classification("image_folder", path=tmp_path, train_size=size, test_size=2, seed=1)
            trained.append(np.bincount(data.train_labels).tolist())
    assert [sum(counts) for counts in trained] == list(range(8, 44))
    assert all(min(counts) for counts in trained)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"source": "digits", "train_size": 1439}, "train_size is 1439; expected at most 1438"),
        (
            {"source": "digits", "train_size": 5},
            "classification: train_size is 5, which leaves 5 of 10 classes without an image; "
            "expected at least 11, to train on some of each",
        ),
        ({"source": "digits", "train_size": 1, "test_size": 1}, "train_size is 1, which leaves 9 of 10 cl"),
        ({"source": "digits", "test_size": 360}, "test_size is 360; expected at most 359"),
        ({"source": "mnist"}, "source 'mnist'; expected photograph_patches, digits, cifar10, cifar100"),
        ({"source": "cifar10"}, "source 'cifar10' without a path"),
        ({"source": "image_folder"}, "source 'image_folder' without a path"),
    ],
)
def test_request_errors(kwargs, message):
    with pytest.raises(InputError, match=message):
        make_classification(**kwargs, seed=0)


# CIFAR: the test writes its own batches and a subclass that knows their checksums; the rest is torchvision's.


def write_batch(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    return [path.name, hashlib.md5(path.read_bytes()).hexdigest()]


def pictures(count, seed):
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)


@pytest.fixture
def cifar10(tmp_path):
    from torchvision.datasets import CIFAR10

    folder = tmp_path / "cifar-10-batches-py"
    batches = [
        write_batch(folder / name, {"data": pictures(4, i).reshape(4, -1), "labels": [i, 1, 2, 3]})
        for i, name in enumerate(["data_batch_1", "data_batch_2", "test_batch"])
    ]
    names = write_batch(folder / "batches.meta", {"label_names": [f"class{i}" for i in range(10)]})

    class TwoBatches(CIFAR10):
        train_list = batches[:2]
        test_list = batches[2:]
        meta = {"filename": "batches.meta", "key": "label_names", "md5": names[1]}  # noqa: RUF012

    return TwoBatches


def test_cifar10_is_read_in_gray(cifar10, tmp_path):
    data = read_cifar(cifar10, tmp_path, download=False)
    assert data.train_labels.tolist() == [0, 1, 2, 3, 1, 1, 2, 3]
    assert data.test_labels.tolist() == [2, 1, 2, 3]
    assert data.classes.tolist() == [f"class{i}" for i in range(10)]
    for images, rgb in (
        (data.train_images, np.concatenate([pictures(4, 0), pictures(4, 1)])),
        (data.test_images, pictures(4, 2)),
    ):
        luma = np.tensordot(rgb, [0.299, 0.587, 0.114], axes=([1], [0]))
        assert images.dtype == np.uint8
        assert np.abs(images - luma).max() < 0.51
        each = [np.asarray(Image.fromarray(p.transpose(1, 2, 0)).convert("L")) for p in rgb]
        np.testing.assert_array_equal(images, each)


def test_cifar100_layout(tmp_path):
    from torchvision.datasets import CIFAR100

    folder = tmp_path / "cifar-100-python"
    train = write_batch(folder / "train", {"data": pictures(3, 0).reshape(3, -1), "fine_labels": [99, 0, 5]})
    test = write_batch(folder / "test", {"data": pictures(2, 1).reshape(2, -1), "fine_labels": [7, 8]})
    names = write_batch(folder / "meta", {"fine_label_names": [f"c{i}" for i in range(100)]})

    class Small(CIFAR100):
        train_list = [train]  # noqa: RUF012
        test_list = [test]  # noqa: RUF012
        meta = {"filename": "meta", "key": "fine_label_names", "md5": names[1]}  # noqa: RUF012

    data = read_cifar(Small, tmp_path, download=False)
    assert data.train_labels.tolist() == [99, 0, 5]
    assert len(data.classes) == 100


def test_altered_cifar_is_refused(cifar10, tmp_path):
    with pytest.raises(
        InputError, match=r"cifar-10-batches-py: not the files of CIFAR10 .*complete and unchanged"
    ):
        make_classification("cifar10", path=tmp_path, seed=0)  # the true checksums do not fit our batches
    batch = tmp_path / "cifar-10-batches-py" / "data_batch_1"
    batch.write_bytes(batch.read_bytes()[:-1])
    with pytest.raises(InputError, match="not the files of TwoBatches"):
        read_cifar(cifar10, tmp_path, download=False)


@pytest.mark.parametrize(
    ("source", "folder"), [("cifar10", "cifar-10-batches-py"), ("cifar100", "cifar-100-python")]
)
def test_absent_cifar_without_download(tmp_path, source, folder):
    with pytest.raises(InputError, match=f"absent: no folder '{folder}'; expected it, or download: true"):
        make_classification(source, path=tmp_path / "absent", seed=0)


# Image folder


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (("train", 3), ("test", 2)):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(count):
                picture = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(picture).save(tmp_path / part / name / f"{i}.png")
    return tmp_path


def test_image_folder_is_read_as_torchvision_reads_it(folder):
    from torchvision.datasets import ImageFolder

    Image.fromarray(np.full((80, 48, 3), 77, np.uint8)).save(folder / "train" / "dog" / "large.png")
    data = make_classification("image_folder", path=folder, seed=0)
    for part, images, labels in (
        ("train", data.train_images, data.train_labels),
        ("test", data.test_images, data.test_labels),
    ):
        reference = ImageFolder(folder / part)
        assert data.classes.tolist() == reference.classes
        assert labels.tolist() == reference.targets
        for image, (path, _) in zip(images, reference.samples, strict=True):
            if "large" in path:
                np.testing.assert_array_equal(image, 77)
            else:
                np.testing.assert_array_equal(image, np.asarray(Image.open(path).convert("L")))


def test_image_folder_errors(folder):
    picture = folder / "test" / "dog" / "1.png"
    whole = picture.read_bytes()
    picture.write_bytes(whole[:100])
    with pytest.raises(InputError, match=r"1\.png: not a readable image"):
        make_classification("image_folder", path=folder, seed=0)
    picture.write_bytes(whole)
    (folder / "train" / "cow").mkdir()
    with pytest.raises(InputError, match="class 'cow' only in train; expected the same classes"):
        make_classification("image_folder", path=folder, seed=0)
    (folder / "test" / "cow").mkdir()
    with pytest.raises(InputError, match="train/cow: no images; expected some of each"):
        make_classification("image_folder", path=folder, seed=0)
    with pytest.raises(InputError, match="no folder 'train'; expected train/<class>/ and test/<class>/"):
        make_classification("image_folder", path=folder / "test", seed=0)
    (folder / "empty" / "train").mkdir(parents=True)
    with pytest.raises(InputError, match="empty/train: no folders; expected one folder of images per class"):
        make_classification("image_folder", path=folder / "empty", seed=0)


def test_classes_and_images_are_found_by_one_rule(folder):
    """What is hidden is no class and no image; a class of links in another format is one."""
    plain = make_classification("image_folder", path=folder, seed=0)
    hidden = folder / "train" / ".ipynb_checkpoints"
    hidden.mkdir()
    for place in (hidden, folder / "train" / "cat" / ".ipynb_checkpoints"):
        place.mkdir(exist_ok=True)
        Image.new("L", (32, 32)).save(place / "0-checkpoint.png")
    (folder / "train" / "list.txt").touch()
    assert_equal(make_classification("image_folder", path=folder, seed=0), plain)
    for part in ("train", "test"):
        store = folder / "store" / part
        (folder / part / "dog").rename(folder / part / "kept")
        store.mkdir(parents=True)
        for file in (folder / part / "kept").iterdir():
            with Image.open(file) as image:
                image.save(store / f"{file.stem}.bmp")
            file.unlink()
        (folder / part / "kept").rmdir()
        (folder / part / "dog").symlink_to(store)
    assert_equal(make_classification("image_folder", path=folder, seed=0), plain)


def test_an_image_on_its_side_is_read_upright(folder):
    upright = np.add.outer(np.arange(32), 4 * np.arange(32)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(upright)).save(folder / "train" / "cat" / "0.png", exif=exif)
    data = make_classification("image_folder", path=folder, seed=0)
    np.testing.assert_array_equal(data.train_images[0], upright)


def test_one_class_is_refused(folder):
    """As when the folder is given one level too high."""
    (folder / "deep" / "train").mkdir(parents=True)
    (folder / "deep" / "test").mkdir()
    for part in ("train", "test"):
        (folder / part).rename(folder / "deep" / part / "images")
    with pytest.raises(
        InputError, match=r"deep/train: one folder, 'images'; expected .* two classes or more"
    ):
        make_classification("image_folder", path=folder / "deep", seed=0)


# Stratified samples


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.floats(0, 1), st.integers(0, 9))
def test_every_class_keeps_its_share_by_largest_remainder(labels, fraction, seed):
    size = round(fraction * len(labels))
    chosen = stratified_sample(np.array(labels), size, np.random.default_rng(seed))
    assert chosen.dtype == np.int64
    assert len(chosen) == size
    assert (np.diff(chosen) > 0).all()
    exact = {label: Fraction(size * labels.count(label), len(labels)) for label in set(labels)}
    share = {label: int(value) for label, value in exact.items()}
    by_remainder = sorted(exact, key=lambda label: (share[label] - exact[label], label))
    for label in by_remainder[: size - sum(share.values())]:
        share[label] += 1
    assert {label: [labels[i] for i in chosen].count(label) for label in share} == share


def test_every_member_is_equally_likely():
    labels = np.repeat(np.arange(4), 25)
    rng, times = np.random.default_rng(0), np.zeros(100)
    for _ in range(400):
        times[stratified_sample(labels, 20, rng)] += 1
    # Binomial(400, 0.2): mean 80, standard deviation 8.
    assert np.abs(times - 80).max() < 5 * 8


def test_the_generator_decides():
    labels = np.arange(1000) % 10
    first, again, other = (stratified_sample(labels, 50, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


# Files


def test_round_trip(tmp_path):
    write_record(tmp_path / "data.h5", small(), config={"source": "digits"})
    loaded = read_record(tmp_path / "data.h5", ClassificationData)
    assert_equal(loaded, small())
    assert loaded.train_labels.dtype == np.int64 and loaded.train_images.dtype == np.uint8


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "train_images",
            np.zeros((6, 28, 28), np.uint8),
            r"train images uint8 \(6, 28, 28\); expected uint8",
        ),
        ("test_images", np.zeros((4, 32, 32)), "test images float64"),
        ("train_labels", np.zeros(5, np.int64), r"train labels int64 \(5,\); expected int64 \(6,\)"),
        ("test_labels", np.full(4, 2), "test labels: 2 to 2; expected 0 to 1"),
        ("classes", np.array(["cat", "cat"]), "classes hold a name twice"),
        ("classes", np.array(["cat"]), "classes: found 1; expected at least 2"),
        ("classes", np.array([1, 2]), r"classes int64 \(2,\); expected str"),
    ],
)
def test_validation(name, value, message):
    fields = {field: getattr(small(), field) for field in ClassificationData.__dataclass_fields__}
    with pytest.raises(InputError, match=message):
        ClassificationData(**{**fields, name: value})


def test_bad_file_is_named(tmp_path):
    write_h5(tmp_path / "data.h5", "classification", {"train/images": np.zeros(1)})
    with pytest.raises(InputError, match=r"data\.h5: no dataset 'train/labels'"):
        read_record(tmp_path / "data.h5", ClassificationData)
    content = {
        name: getattr(small(), name.replace("/", "_"))
        for name in ("train/images", "train/labels", "test/images", "test/labels", "classes")
    }
    write_h5(tmp_path / "data.h5", "classification", {**content, "test/labels": np.full(4, -1)})
    with pytest.raises(InputError, match=r"data\.h5: test labels: -1 to -1"):
        read_record(tmp_path / "data.h5", ClassificationData)


def test_reading_digits_imports_neither_torch_nor_torchvision():
    code = (
        "import sys; from neuroreg.images.classification import make_classification;"
        "make_classification('digits', seed=0); print(sorted({'torch', 'torchvision'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
