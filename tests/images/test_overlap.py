"""Overlap of scans against sets."""

import logging

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from neuroreg.images.overlap import COLUMNS, image_overlap
from neuroreg.scans.shown_images import ShownImages


def shown(scan, gray):
    images = np.array(list(gray.values()), np.uint8)[:, None, None] * np.ones((1, 36, 64), np.uint8)
    return ShownImages(scan, images, np.array(list(gray), dtype=np.str_), np.zeros(len(gray), np.bool_))


def test_shared_keys_pixels_and_conflicts_are_counted_and_logged(caplog):
    one = shown("one", {"c/0": 0, "c/1": 1, "c/2": 2, "c/3": 3, "c/4": 4})
    # c/0 shared; c/1 with other pixels; 2 under another key; c/3 and 4 as well, crossed.
    other = shown("other", {"c/0": 0, "c/1": 9, "d/2": 2, "c/3": 4})
    with caplog.at_level(logging.INFO):
        table = image_overlap([one, other, shown("none", {"e/0": 100})])
    assert table.columns.tolist() == list(COLUMNS)
    assert table.to_numpy().tolist() == [
        ["one", "other", 5, 4, 3, 3, 4],
        ["one", "none", 5, 1, 0, 0, 0],
        ["other", "none", 4, 1, 0, 0, 0],
    ]
    assert "one and other: 5 and 4 images, 3 keys shared" in caplog.text
    assert "4 conflicts (the first: 'c/1')" in caplog.text


def test_one_scan_has_no_pair():
    table = image_overlap([shown("one", {"c/0": 0})])
    assert len(table) == 0
    assert table.columns.tolist() == list(COLUMNS)


grays = st.dictionaries(st.sampled_from([f"c/{i}" for i in range(6)]), st.integers(0, 5), min_size=1)


@given(grays, grays)
def test_counts_equal_those_of_sets(a, b):
    row = image_overlap([shown("a", a), shown("b", b)]).iloc[0]
    assert row["shared_keys"] == len(a.keys() & b.keys())
    assert row["shared_pixels"] == sum(gray in b.values() for gray in a.values())
    agree = len(a.items() & b.items())
    neither = sum(key not in b and gray not in b.values() for key, gray in a.items())
    assert row["conflicts"] == len(a) - agree - neither
