"""Damaged, wrong and hostile scans through the readers: a sentence each, on one line, in bounded time."""

import bad_scans
import pytest

# A flip that hits no structure, or a value, is no fault that a reader can see.
MAY_BE_READ = {name for name in bad_scans.CASES if name.startswith("flip_")}


# These write 2 GB before they are packed.
SLOW = {"zip_bomb"}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.soak] * (name in SLOW)) for name in bad_scans.CASES]
)
def test_a_bad_scan_is_refused_in_a_sentence(tmp_path, name):
    sentence = bad_scans.sentence_of(bad_scans.CASES[name][2](tmp_path))
    if sentence is None:
        assert name in MAY_BE_READ
    else:
        assert "expected" in sentence
