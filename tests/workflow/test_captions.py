"""What captions take from the note that a job leaves beside its figure."""

import json
from types import SimpleNamespace

import pytest

from neuroreg.workflow.captions import noted
from neuroreg.workflow.job import run_job


def job(tmp_path, **params):
    return SimpleNamespace(
        rule="plot_x",
        threads=1,
        log=[str(tmp_path / "x.log")],
        output=SimpleNamespace(made=str(tmp_path / "x.json")),
        params=SimpleNamespace(**params),
    )


def test_a_job_notes_what_captions_say_of_it_once_it_has_ended_well(tmp_path):
    weighting = {"units": "source"}
    run_job(lambda _: None, job(tmp_path, note="A note.", weighting=weighting, seed=3))
    assert json.loads((tmp_path / "x.json").read_text()) == {"note": "A note.", "weighting": weighting}
    assert noted(tmp_path / "x.json") == {"note": "A note.", "weighting": weighting, "conditions": ""}


def test_a_job_that_fails_notes_nothing(tmp_path):
    def fail(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_job(fail, job(tmp_path, note="A note."))
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize("text", [None, "{", "[]", "\0", "3"])
def test_where_there_is_no_note_the_caption_says_so(tmp_path, text):
    path = tmp_path / "x.json"
    if text is not None:
        path.write_text(text)
    found = noted(path)
    assert found["note"] == f"What this was made from is not known: {path} is missing or damaged."
    assert found["weighting"]["units"] == "not known"
