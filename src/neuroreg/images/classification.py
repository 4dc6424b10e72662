"""Labelled gray 32x32 images to train and test the classifiers on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from neuroreg.errors import InputError
from neuroreg.files.records import check_record, dataset
from neuroreg.images.folders import class_folders, find_images, open_image
from neuroreg.images.patches import photograph_patches
from neuroreg.seeds import derive_seed

SOURCES = ("photograph_patches", "digits", "cifar10", "cifar100", "image_folder")
_SIDE = 32
_DIGITS_TEST_FRACTION = 0.2


@dataclass(frozen=True, eq=False)
class ClassificationData:
    """A training set and a test set over the same classes.

    Parameters
    ----------
    train_images, test_images
        uint8 (N, 32, 32), gray levels 0..255.
    train_labels, test_labels
        int64 (N,), indices into `classes`.
    classes
        str (C,), the names of the classes, all different.

    Raises
    ------
    InputError
        If the arrays do not fit this description.
    """

    KIND = "classification"

    train_images: np.ndarray = dataset("train/images", np.uint8, "N", _SIDE, _SIDE)
    train_labels: np.ndarray = dataset("train/labels", np.int64, "N")
    test_images: np.ndarray = dataset("test/images", np.uint8, "M", _SIDE, _SIDE)
    test_labels: np.ndarray = dataset("test/labels", np.int64, "M")
    classes: np.ndarray = dataset("classes", np.str_, "C")

    def __post_init__(self):
        check_record(self)
        if len(self.classes) < 2:
            raise InputError(f"classes: found {len(self.classes)}; expected at least 2.")
        if len(np.unique(self.classes)) < len(self.classes):
            raise InputError("classes hold a name twice; expected different names.")
        for part in ("train", "test"):
            labels = getattr(self, f"{part}_labels")
            if not len(labels) or labels.min() < 0 or labels.max() >= len(self.classes):
                found = f"{labels.min()} to {labels.max()}" if len(labels) else "no labels"
                raise InputError(f"{part} labels: {found}; expected 0 to {len(self.classes) - 1}.")


def make_classification(
    source: str,
    *,
    path: str | Path | None = None,
    download: bool = False,
    train_size: int | None = None,
    test_size: int | None = None,
    seed: int,
) -> ClassificationData:
    """Return gray 32x32 images with labels.

    Parameters
    ----------
    source
        ``"photograph_patches"`` (see `patches.photograph_patches`), ``"digits"`` (inside scikit-learn),
        ``"cifar10"``, ``"cifar100"`` or ``"image_folder"``.
    path
        The folder that holds the data, for the last three.
    download
        Whether CIFAR may be fetched into `path` when it is not there.
    train_size, test_size
        How many images, in the proportions of the classes; None takes all. Of each class some are trained
        on; a test set may lack classes.
    seed
        Decides the subsets, of digits also what is trained on and what tested, and which patches there are.

    Raises
    ------
    InputError
        If the source is unknown, its files are missing or damaged, it holds fewer images than asked for, or
        the training set would lack a class.
    """
    data = _read_source(source, path, download, seed)
    train = _subset(data.train_labels, train_size, "train_size", seed)
    _expect_all_classes(data.train_labels, train)
    test = _subset(data.test_labels, test_size, "test_size", seed)
    return ClassificationData(
        data.train_images[train],
        data.train_labels[train],
        data.test_images[test],
        data.test_labels[test],
        data.classes,
    )


def _read_source(source: str, path: str | Path | None, download: bool, seed: int) -> ClassificationData:
    if source not in SOURCES:
        raise InputError(f"classification: source '{source}'; expected {', '.join(SOURCES)}.")
    if source == "photograph_patches":
        return ClassificationData(*photograph_patches(seed))
    if source == "digits":
        return read_digits(seed)
    if path is None:
        raise InputError(
            f"classification: source '{source}' without a path; expected the folder of the data."
        )
    if source == "image_folder":
        return read_image_folder(path)
    from torchvision import datasets  # brings torch, which the other sources do without

    return read_cifar({"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[source], path, download)


def read_digits(seed: int) -> ClassificationData:
    """Return scikit-learn's 1,797 digits, enlarged bilinearly from 8x8, a fifth of each class for testing."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.stack([_resize(image) for image in digits.images.astype(np.float32) * (255 / 16)])
    labels = digits.target.astype(np.int64)
    rng = np.random.default_rng(derive_seed(seed, "digits split"))
    test = stratified_sample(labels, round(_DIGITS_TEST_FRACTION * len(labels)), rng)
    train = np.setdiff1d(np.arange(len(labels)), test)
    classes = digits.target_names.astype(np.str_)
    return ClassificationData(images[train], labels[train], images[test], labels[test], classes)


def read_cifar(dataset: type, path: str | Path, download: bool) -> ClassificationData:
    """Return CIFAR in gray (ITU-R 601), through torchvision, which compares the files with known checksums.

    Parameters
    ----------
    dataset
        ``torchvision.datasets.CIFAR10`` or ``CIFAR100``, or a subclass for another copy of the batches.
    path
        The folder that holds ``cifar-10-batches-py`` or ``cifar-100-python``.
    download
        Whether to fetch the files when they are not there.

    Raises
    ------
    InputError
        If the files are missing or their checksums differ, or the download fails.
    """
    path = Path(path)
    if not download and not (path / dataset.base_folder).is_dir():
        raise InputError(
            f"{path}: no folder '{dataset.base_folder}'; expected it, or download: true to fetch it."
        )
    try:
        parts = [dataset(root=path, train=train, download=download) for train in (True, False)]
    except (RuntimeError, OSError) as error:
        raise InputError(
            f"{path / dataset.base_folder}: not the files of {dataset.__name__} ({error}); "
            f"expected them complete and unchanged."
        ) from error
    arrays = []
    for part in parts:
        # One tall picture, so that Pillow converts them all at once, exactly as it would one by one.
        tall = Image.fromarray(np.ascontiguousarray(part.data).reshape(-1, _SIDE, 3))
        arrays += [np.asarray(tall.convert("L")).reshape(-1, _SIDE, _SIDE), np.array(part.targets, np.int64)]
    return ClassificationData(*arrays, np.array(parts[0].classes, dtype=np.str_))  # type: ignore[call-arg]


def read_image_folder(path: str | Path) -> ClassificationData:
    """Return images from ``train/<class>/`` and ``test/<class>/``, in gray (ITU-R 601) and resized to 32x32.

    What counts as an image or is skipped: see `folders.find_images`.

    Raises
    ------
    InputError
        If a folder is missing, empty or unreadable, there are fewer than two classes, train and
        test have different ones, or an image is unreadable.
    """
    path = Path(path)
    train, test = _class_names(path, "train"), _class_names(path, "test")
    different = sorted(set(train) ^ set(test))
    if different:
        where = "train" if different[0] in train else "test"
        raise InputError(
            f"{path}: class '{different[0]}' only in {where}; expected the same classes in both."
        )
    parts = (_read_classes(path / part, train) for part in ("train", "test"))
    return ClassificationData(*(array for part in parts for array in part), np.array(train, dtype=np.str_))  # type: ignore[call-arg]


def _class_names(path: Path, part: str) -> list[str]:
    if not (path / part).is_dir():
        raise InputError(
            f"{path}: no folder '{part}'; expected train/<class>/ and test/<class>/ with images."
        )
    names = class_folders(path / part)
    if len(names) < 2:
        found = f"one folder, '{names[0]}'" if names else "no folders"
        raise InputError(
            f"{path / part}: {found}; expected one folder of images per class, of two classes or more."
        )
    return names


def _read_classes(folder: Path, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the images and labels of the folders of these names."""
    images, labels = [], []
    for label, name in enumerate(classes):
        files = find_images(folder / name)
        if not files:
            raise InputError(f"{folder / name}: no images; expected some of each class.")
        images += [_gray_square(file) for file in files]
        labels += [label] * len(files)
    return np.stack(images), np.array(labels, np.int64)


def _gray_square(file: Path) -> np.ndarray:
    gray = open_image(file).convert("L")
    if gray.size == (_SIDE, _SIDE):
        return np.asarray(gray)
    return _resize(np.asarray(gray, np.float32))


def _resize(gray: np.ndarray) -> np.ndarray:
    """Return float32 (H, W) in 0..255 as uint8 (32, 32): bilinear, with antialiasing where it shrinks."""
    resized = Image.fromarray(gray).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    return np.clip(np.rint(np.asarray(resized)), 0, 255).astype(np.uint8)


def _subset(labels: np.ndarray, size: int | None, name: str, seed: int) -> np.ndarray:
    if size is None:
        return np.arange(len(labels))
    if size > len(labels):
        raise InputError(f"classification: {name} is {size}; expected at most {len(labels)}, all there are.")
    return stratified_sample(labels, size, np.random.default_rng(derive_seed(seed, name)))


def _expect_all_classes(labels: np.ndarray, train: np.ndarray) -> None:
    classes, counts = np.unique(labels, return_counts=True)
    lacking = len(classes) - len(np.unique(labels[train]))
    if lacking:
        # As many as give the smallest class a whole share.
        enough = -(-len(labels) // int(counts.min()))
        raise InputError(
            f"classification: train_size is {len(train)}, which leaves {lacking} of {len(classes)} classes "
            f"without an image; expected at least {enough}, to train on some of each."
        )


def stratified_sample(labels: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return indices drawn without replacement, as many of each class as its share of `size`.

    Shares are rounded down; what is left over goes, one each, to the classes with the largest remainders, of
    equal ones to the smaller label.

    Parameters
    ----------
    labels
        int (N,).
    size
        How many, 0 to N.
    rng
        Decides which of each class; the classes draw in ascending order.

    Returns
    -------
    numpy.ndarray
        int64 (size,), ascending, without repeats.
    """
    classes, counts = np.unique(labels, return_counts=True)
    # In whole numbers: rounding would put equal remainders in any order.
    share, remainder = np.divmod(counts * size, len(labels))
    share[np.argsort(-remainder, kind="stable")[: size - share.sum()]] += 1
    chosen = [
        rng.choice(np.flatnonzero(labels == label), number, replace=False)
        for label, number in zip(classes, share, strict=True)
    ]
    return np.sort(np.concatenate(chosen))
