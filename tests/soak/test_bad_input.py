"""Damaged configs and files on the command line, as users type it: a sentence each, nothing half written."""

from pathlib import Path

import bad_inputs
import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "bad_input.md"
_START, _END = "<!-- outcomes -->", "<!-- end -->"


def refuse(outcomes):
    assert [(one.kind, one.what, one.sentence, one.faults) for one in outcomes if one.faults] == []


SAMPLE = (
    bad_inputs.CONFIGS[40],
    next(case for case in bad_inputs.CONFIGS if "code for Python" in case.what),
    next(case for case in bad_inputs.CONFIGS if case.kind == "command line"),
    next(case for case in bad_inputs.FOLDERS if "cut off" in case.what),
)


@pytest.mark.parametrize("case", SAMPLE, ids=lambda case: case.kind)
def test_a_damaged_input_gets_one_sentence_on_the_command_line(tmp_path, case):
    refuse([bad_inputs.run_case(case, tmp_path)])


def test_damaged_scans_of_one_run_get_a_sentence_each(tmp_path):
    refuse(bad_inputs.end_scans(tmp_path, bad_inputs.SCANS[:3]))


def test_the_page_holds_every_case_and_says_how_many():
    text = PAGE.read_text()
    count = len(bad_inputs.CASES) + sum(len(damaged) for _, damaged in bad_inputs.GROUPS)
    assert text.count("\n| ") - 2 * text.count("\n| what was damaged") == count
    assert f"{count} damaged" in text
    assert count > 200


@pytest.mark.soak
def test_every_damaged_input_gets_one_sentence_on_the_command_line(tmp_path):
    outcomes = list(bad_inputs.run_all(tmp_path))
    before, _, rest = PAGE.read_text().partition(_START)
    PAGE.write_text(f"{before}{_START}\n\n{bad_inputs.tables(outcomes)}\n{_END}{rest.partition(_END)[2]}")
    refuse(outcomes)
