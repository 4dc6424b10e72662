import numpy as np
import pytest
from lab_files import FORMS, assert_same_scan

from neuroreg.errors import InputError
from neuroreg.files.records import write_record
from neuroreg.scans.loading import load_scan


def parts():
    rng = np.random.default_rng(0)
    return {
        "images": rng.integers(0, 256, (6, 1, 36, 64)).astype(np.float32),
        "responses": rng.gamma(2.0, 1.0, (6, 3)),
        "tiers": np.array(["train", "train", "train", "validation", "validation", "test"]),
        "image_id": np.arange(6),
        "image_class": np.array(["a"] * 6),
    }


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read(form, tmp_path):
    write, read = FORMS[form]
    write(tmp_path / "lab", parts())
    scan = load_scan(tmp_path / "lab")
    assert_same_scan(scan, read(tmp_path / "lab"))
    write_record(tmp_path / "own.h5", scan)
    assert_same_scan(load_scan(str(tmp_path / "own.h5")), scan)


def test_missing_values_are_dropped_on_demand(tmp_path):
    values = parts()
    values["responses"][0, 1] = np.nan
    FORMS["static_hdf5"][0](tmp_path / "lab", values)
    with pytest.raises(InputError, match="NaN"):
        load_scan(tmp_path / "lab")
    assert len(load_scan(tmp_path / "lab", "drop_trials").image) == 5


def test_anything_else_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        load_scan(tmp_path / "absent")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(InputError, match="is a text file"):
        load_scan(tmp_path / "text")
