"""Damaged, wrong and hostile scans through the readers: a sentence each, on one line, in bounded time."""

import bad_scans
import pytest

from neuroreg.errors import InputError
from neuroreg.files.refusals import refusal
from neuroreg.scans.readers import find_reader

# A flip that hits no structure, or a value, is no fault that a reader can see.
MAY_BE_READ = {name for name in bad_scans.CASES if name.startswith("flip_")}


# These write 2 GB before they are packed.
SLOW = {"zip_bomb"}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.soak] * (name in SLOW)) for name in bad_scans.CASES]
)
def test_a_bad_scan_is_refused_in_a_sentence(tmp_path, name):
    path = bad_scans.CASES[name][2](tmp_path)
    try:
        find_reader(path).read(path, "refuse")
    except InputError as error:
        sentence = str(error)
    except OSError as error:
        sentence = refusal(error)
        assert sentence is not None
    else:
        assert name in MAY_BE_READ
        return
    assert str(path) in sentence
    assert sentence.isprintable() and sentence.endswith(".") and "expected" in sentence
    assert len(sentence) < 2500
