"""Patches of the photographs inside the installed wheels, to classify: which photograph is it from?"""

import numpy as np

from neuroreg.errors import InputError
from neuroreg.images.photographs import MIN_CONTRAST, area_reduce, held_out_rows, shipped_photographs
from neuroreg.seeds import derive_seed

SIDE = 32
# Of each photograph. Decided by the time that a training takes and by what is lost under noise without a
# regulariser (docs/default_run.md), before anything regularised was trained on them.
TRAIN, TEST = 110, 100
SMALLEST, LARGEST = 40.0, 96.0  # pixels: no patch is enlarged, and the largest just fits a held-out band
_MAX_DRAWS = 100_000


def photograph_patches(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return gray patches of each photograph to train on and, of its held-out rows, to test on.

    A patch is a square of random size (log-uniform from 40 to 96 pixels) and position, reduced by area to
    32x32; one of too little contrast is drawn again. Test patches lie wholly within the rows that
    `photographs.held_out_rows` names, training patches wholly outside, so that no pixel is in both; stimuli
    from the same photographs keep outside too. What does not is drawn again, size and all, so that small
    patches are more frequent than that, most of all in the test set.

    Parameters
    ----------
    seed
        Decides size and position of each.

    Returns
    -------
    train_images, train_labels : np.ndarray
        uint8 (110 C, 32, 32) and int64 (110 C,), class by class.
    test_images, test_labels : np.ndarray
        uint8 (100 C, 32, 32) and int64 (100 C,).
    classes : np.ndarray
        str (C,), the photographs' names, in alphabetical order.

    Raises
    ------
    InputError
        If a photograph has too little contrast.
    """
    photographs = shipped_photographs()
    classes = sorted(photographs)
    parts = []
    for part, count in (("train", TRAIN), ("test", TEST)):
        images = [_patches(photographs[name], name, part == "test", count, seed) for name in classes]
        parts += [np.concatenate(images), np.repeat(np.arange(len(classes)), count)]
    return *parts, np.array(classes, dtype=np.str_)  # type: ignore[return-value]


def _patches(photograph: np.ndarray, name: str, held_out: bool, count: int, seed: int) -> np.ndarray:
    part = "test" if held_out else "train"
    rng = np.random.default_rng(derive_seed(seed, "patches", part, name))
    height, width = photograph.shape
    reserved, images = held_out_rows(height), []
    for _ in range(_MAX_DRAWS):
        side = float(np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST))))
        top, left = rng.uniform(0, height - side), rng.uniform(0, width - side)
        touched = reserved[int(top) : int(np.ceil(top + side))]
        if not (touched.all() if held_out else not touched.any()):
            continue
        patch = area_reduce(photograph, (top, left, side, side), (SIDE, SIDE))
        if patch.std() >= MIN_CONTRAST:
            images.append(np.rint(patch).astype(np.uint8))
        if len(images) == count:
            return np.stack(images)
    raise InputError(
        f"source 'photograph_patches': {len(images)} {part} patches of '{name}' with enough contrast; "
        f"expected {count}."
    )
