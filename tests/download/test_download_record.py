import hashlib
import re

import pytest

from neuroreg.download.obtain import recorded_file, write_record
from neuroreg.errors import InputError

URL = "https://gin.g-node.org/scan.zip"


@pytest.fixture
def record(tmp_path):
    """A record of a file."""
    (tmp_path / "scan.zip").write_bytes(b"PK")
    path = tmp_path / "results" / "scan.json"
    write_record(path, tmp_path / "scan.zip", hashlib.sha256(b"PK").hexdigest(), URL)
    return path


def test_a_record_leads_to_its_file(record, tmp_path):
    assert recorded_file(record) == tmp_path / "scan.zip"


def test_other_paths_stay_what_they_are(tmp_path):
    for name in ("scan.h5", "scan.zip", "folder"):
        assert recorded_file(tmp_path / name) == tmp_path / name


def test_the_same_content_makes_the_same_record(record, tmp_path):
    again = tmp_path / "again.json"
    write_record(again, tmp_path / "scan.zip", hashlib.sha256(b"PK").hexdigest(), URL)
    assert again.read_bytes() == record.read_bytes()


def test_a_file_that_is_gone_or_another_is_refused(record, tmp_path):
    (tmp_path / "scan.zip").write_bytes(b"PK!")
    with pytest.raises(
        InputError, match=rf"scan\.zip: SHA-256 .*; expected .* from {re.escape(str(record))}"
    ):
        recorded_file(record)
    (tmp_path / "scan.zip").unlink()
    with pytest.raises(InputError, match=r"scan\.zip: no such file or folder; expected the download"):
        recorded_file(record)


@pytest.mark.parametrize("text", ["[]", '{"kind": "scores"}', "{}"])
def test_other_files_are_no_records(record, text):
    record.write_text(text)
    with pytest.raises(InputError, match=r"scan\.json: is no record of a download"):
        recorded_file(record)
