import io
from pathlib import Path
from types import SimpleNamespace

import docutils.core
import jinja2
import pytest
from figure_frames import NOTE

REPORT = Path(__file__).parents[2] / "report"


@pytest.mark.parametrize("path", sorted(REPORT.glob("*.rst")), ids=lambda path: path.stem)
@pytest.mark.parametrize("note", ["", NOTE])
def test_captions_render_without_a_complaint(path, note):
    template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(
        path.read_text(encoding="utf-8")
    )
    params = SimpleNamespace(note=note, weighting={"units": "std"}, conditions="``none``: alone.")
    text = template.render(snakemake=SimpleNamespace(params=params, config={}))
    complaints = io.StringIO()
    html = docutils.core.publish_string(
        text, writer="html5", settings_overrides={"warning_stream": complaints}
    )
    assert complaints.getvalue() == ""
    if path.stem != "workflow":
        assert (NOTE in html.decode()) == bool(note)
