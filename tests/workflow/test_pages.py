"""Pages that readers follow, followed to the letter."""

import re

import numpy as np
import pytest
from pages import blocks, copy_project, follow

from neuroreg.files.records import read_record
from neuroreg.files.storage import read_csv
from neuroreg.similarity.matrix import SimilarityMatrix


@pytest.fixture
def project(root, tmp_path):
    return copy_project(root, tmp_path / "neuroreg")


@pytest.mark.soak
def test_python(root, project):
    printed = follow((root / "docs/python.md").read_text(), project)
    assert (project / "neural.pt2").stat().st_size > 10_000
    assert "('0', '1', '2'" in printed
    assert re.search(r"\(10, 10\) \(\d+, \d+\) \(60, 60\)", printed)
    assert "[0.0, 1.0]" in printed


def test_blocks_are_told_apart():
    page = "Save as `a/b.py`:\n\n```python\n1\n```\n\nThen\n\n```sh\nls\n```\nand `x`:\nno\n```yaml\n2\n```\n"
    assert [tuple(block) for block in blocks(page)] == [
        ("a/b.py", "python", "1\n"),
        (None, "sh", "ls\n"),
        (None, "yaml", "2\n"),
    ]


@pytest.mark.soak
def test_own_scan(root, project):
    printed = follow((root / "docs/examples/own_scan.md").read_text(), project)
    assert "(540, 40) trials and neurons; 30 images repeated" in printed
    assert "{'test': 240, 'train': 270, 'validation': 30}" in printed
    assert "(300, 300)" in printed
    assert (project / "results/similarity.pdf").read_bytes().startswith(b"%PDF")
    # Neurons of one pattern each: the response model finds it.
    scores = read_csv(project / "results/scores.csv")
    assert scores.loc[scores["model"] == "response model", "single_trial_correlation"].item() > 0.3


@pytest.mark.soak
def test_own_condition(root, project):
    printed = follow((root / "docs/examples/own_condition.md").read_text(), project)
    assert "(60, 60)" in printed
    drawn = read_csv(project / "results/noise.csv")
    assert {"None", "Neural", "Edges"} <= set(drawn["label"])
    similarity = read_record(project / "results/similarity/edges.h5", SimilarityMatrix)
    assert similarity.provenance["of"] == {"features": "HOG, 6x8 pixels"}
    np.testing.assert_array_equal(
        similarity.matrix, read_record(project / "edges.h5", SimilarityMatrix).matrix
    )


@pytest.mark.soak
def test_own_model(root, project):
    printed = follow((root / "docs/examples/own_model.md").read_text(), project)
    assert "a network exported by neuroreg" in printed
    for name in ("noise", "fig2"):
        assert {"None", "Neural", "Smooth"} == set(read_csv(project / f"results/{name}.csv")["label"])
    log = (project / "results/logs/take_model/smooth/seed2.log").read_text()
    assert float(re.search(r"smooth2\.pt2: ([\d.]+) % of 60 test images", log)[1]) > 80


@pytest.mark.soak
def test_own_attack(root, project):
    printed = follow((root / "docs/examples/own_attack.md").read_text(), project)
    assert re.search(r"^\d+ passed", printed, re.MULTILINE)
    assert re.search(r"^found: [1-4] ", printed, re.MULTILINE)
    assert "| `straight_line` | L2 | `noise` | 0.5 |" in (project / "docs/attacks.md").read_text()
    table = read_csv(project / "results/distances.csv")
    l2 = table[(table["norm"] == "l2") & table["correct"]]
    assert np.isfinite(l2["distance_straight_line"]).mean() > 0.5
    assert (l2["distance_straight_line"] >= l2["tightened"]).all()
    assert (project / "results/tightening.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.soak
def test_own_architecture(root, project):
    printed = follow((root / "docs/examples/own_architecture.md").read_text(), project)
    assert "PlainNet (1, 2, 3, 4, 5)" in printed
    assert "`plain`" in (project / "docs/config.md").read_text()
    gammas = read_csv(project / "results/table1.csv").filter(regex=r"^g\d+$")
    assert list(gammas) == ["g1", "g2", "g3", "g4", "g5"]
    np.testing.assert_allclose(gammas.sum(axis=1), 1, atol=1e-5)
    assert (project / "plain.pt2").is_file()
