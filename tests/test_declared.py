import re

import pytest

from neuroreg.declared import declared
from neuroreg.errors import InputError


def test_tables_are_found_by_module_without_importing_any(tmp_path):
    (tmp_path / "b.py").write_text('"""Two."""\nraise SystemExit\nTABLE = {"two": 2, "three": (3, "drei")}\n')
    (tmp_path / "a.py").write_text('import nothing_of_this_name\nTABLE: dict = {"one": 1}\n')
    (tmp_path / "c.py").write_text("OTHER = {}\nx = TABLE = 3 if OTHER else 4\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "d.py").write_text('TABLE = {"four": 4}\n')
    assert declared(tmp_path, "TABLE") == {"a": {"one": 1}, "b": {"two": 2, "three": (3, "drei")}}
    assert list(declared(tmp_path, "TABLE")) == ["a", "b"]


@pytest.mark.parametrize(
    "text",
    [
        "TABLE = {'one': print('run')}",
        "TABLE = ['one']",
        "TABLE = {1: 'one'}",
        "TABLE = {'one'",
        "TABLE: dict",
    ],
)
def test_what_is_no_literal_table_is_refused(tmp_path, text):
    (tmp_path / "a.py").write_text(f"{text}\n")
    with pytest.raises(InputError, match=f"{re.escape(str(tmp_path / 'a.py'))}: TABLE is no literal dict"):
        declared(tmp_path, "TABLE")


def test_two_entries_of_one_name_are_refused(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text('TABLE = {"one": 1}\n')
    with pytest.raises(InputError, match=r"b\.py: TABLE has 'one'; expected another name, a\.py has it"):
        declared(tmp_path, "TABLE")
