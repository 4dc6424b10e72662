"""What `import neuroreg` hands out."""

import re
import subprocess
import sys

import neuroreg
from neuroreg.training.checkpoints import load_model


def test_what_it_lists_is_there_and_described(root):
    page = (root / "docs" / "python.md").read_text()
    assert neuroreg.__all__
    for name in neuroreg.__all__:
        assert name in dir(neuroreg)
        assert getattr(neuroreg, name).__doc__
        assert f"`{name}`" in page, f"{name}: not in docs/python.md"
    assert neuroreg.load_model is load_model


def test_the_page_names_nothing_else(root):
    page = (root / "docs" / "python.md").read_text()
    used = set(re.findall(r"\bneuroreg\.(\w+)\(", page))
    assert used
    assert used <= set(neuroreg.__all__)


def test_rooms_are_handed_out_by_a_fresh_import(root):
    page = (root / "docs" / "python.md").read_text()
    rooms = {path.parent.name for path in (root / "src" / "neuroreg").glob("*/__init__.py")}
    listing = {
        room for room in rooms if "lazy_loader" in (root / f"src/neuroreg/{room}/__init__.py").read_text()
    }
    used = listing & set(neuroreg.__all__) | {"response_model", "similarity"}
    assert used == listing
    for room in sorted(used):
        assert f"`{room}`" in page
        code = f"import neuroreg; print(neuroreg.{room}.__name__, *dir(neuroreg.{room}))"
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert said.split()[0] == f"neuroreg.{room}"
        assert len(said.split()) > 2


def test_importing_it_loads_nothing_heavy():
    code = "import sys, neuroreg; dir(neuroreg); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy = {"torch", "numpy", "foolbox", "pandas", "matplotlib", "skimage", "h5py", "snakemake"}
    assert "neuroreg" in loaded
    assert not heavy & set(loaded.split())


def test_distances_and_similarities_do_without_torch():
    names = "load_distances", "load_scan", "measured_similarity", "centred_cosine", "read_record"
    code = f"import sys, neuroreg; [getattr(neuroreg, name) for name in {names}]; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "neuroreg.similarity.measured" in loaded
    assert not {"torch", "foolbox", "matplotlib", "skimage"} & set(loaded.split())
