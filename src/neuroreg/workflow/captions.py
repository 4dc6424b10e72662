"""What captions say of how a figure or table was made: as its job noted it, whatever the config is now."""

from pathlib import Path

from neuroreg.errors import InputError
from neuroreg.files.storage import read_json


def noted(path: str | Path) -> dict:
    """Return what a job has noted beside its figure or table, see `neuroreg.workflow.job.run_job`.

    Where there is no such note, a caption is to say so.
    """
    try:
        found = read_json(path)
    except InputError:
        found = {}
    found = found if isinstance(found, dict) else {}
    lacking = f"What this was made from is not known: {path} is missing or damaged."
    return {"note": lacking, "weighting": {"units": "not known"}, "conditions": ""} | found
