"""What the project's imports say: one way down, no circles, from modules; and what the rooms hand out."""

import ast
import importlib
import re
import subprocess
import sys
from graphlib import TopologicalSorter

import pytest

# From top to bottom; rooms of one line do not know each other, but for the ground's.
ROOMS = (
    ("workflow",),
    ("page",),
    ("figures", "claims"),
    ("analysis",),
    ("robustness",),
    ("training",),
    ("simulator",),
    ("similarity",),
    ("response_model",),
    ("images",),
    ("scans",),
    ("download",),
    ("files",),
    ("errors", "seeds", "devices", "settings", "declared"),
)
GROUND = ROOMS[-1]
FACES = ("robustness", "training", "simulator", "similarity", "response_model", "images", "scans", "files")


def imports(text, modules):
    """The modules and packages that Python code imports from; `modules` are those of this project."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in modules else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.fixture(scope="module")
def modules(root):
    """The text of each module of the project, packages and what stands above the rooms left out."""
    source = root / "src"
    above = ("__init__.py", "__main__.py")
    paths = [path for path in source.rglob("*.py") if path.name not in above]
    return {".".join(path.relative_to(source).with_suffix("").parts): path.read_text() for path in paths}


@pytest.fixture(scope="module")
def imported(modules):
    """What each module imports of the project."""
    return {
        name: {other for other in imports(text, modules) if other.startswith("neuroreg.")}
        for name, text in modules.items()
    }


def room(module):
    return module.split(".")[1]


def test_imports_run_down_only(imported):
    level = {name: number for number, names in enumerate(ROOMS) for name in names}
    assert {room(module) for module in imported} == set(level)
    up = [
        f"{module} imports {other}"
        for module, others in imported.items()
        for other in others
        if room(module) != room(other)
        and level[room(other)] <= level[room(module)]
        and not {room(module), room(other)} <= set(GROUND)
    ]
    assert up == []


def test_no_modules_import_each_other_in_a_circle(imported):
    assert len(list(TopologicalSorter(imported).static_order())) >= len(imported)


def test_the_project_imports_from_modules_only(root, modules, imported):
    found = dict(imported)
    for path in root.glob("workflow_scripts/*.py"):
        found[path.name] = {
            name for name in imports(path.read_text(), modules) if name.startswith("neuroreg")
        }
    for path in [root / "Snakefile", *root.glob("rules/*.smk")]:
        # Rules are no Python: only their imports are read.
        lines = re.findall(r"^(?:from|import) neuroreg[^\n(]*(?:\([^)]*\))?", path.read_text(), re.MULTILINE)
        found[path.name] = set(imports("\n".join(lines), modules))
    assert any(found[path.name] for path in root.glob("rules/*.smk")) or found["Snakefile"]
    assert {name: others - set(modules) for name, others in found.items() if others - set(modules)} == {}


def test_the_map_in_contributing_is_this_one(root):
    rows = re.findall(r"^ *\| (`\w+`(?:, `\w+`)*) \|", (root / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert tuple(tuple(re.findall(r"\w+", row)) for row in rows) == ROOMS


@pytest.mark.parametrize("name", FACES)
def test_a_room_hands_out_what_it_lists(name):
    package = importlib.import_module(f"neuroreg.{name}")
    assert package.__all__
    for attribute in package.__all__:
        assert attribute in dir(package)
        assert getattr(package, attribute).__module__.startswith(f"neuroreg.{name}.")
    with pytest.raises(AttributeError):
        package.no_such_name  # noqa: B018


def test_importing_the_rooms_loads_nothing_heavy():
    code = f"import sys, {', '.join(f'neuroreg.{name}' for name in FACES)}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"torch", "numpy", "foolbox", "pandas", "matplotlib", "skimage", "h5py"} & set(loaded.split())


WRITING = ("write_text", "write_bytes", "to_csv", "to_json", "savefig", "save_file", "tofile")
# What opens a file for writing by itself: each is given a full disk by a test of its own, or writes nothing.
OPENING = ("neuroreg.files.h5_stream", "neuroreg.download.transfer", "neuroreg.devices")


def test_every_file_is_written_under_another_name_first(root, modules):
    """Else a full disk would leave half of it: see tests/files/test_refusals.py."""
    texts = modules | {path.name: path.read_text() for path in root.glob("workflow_scripts/*.py")}
    found = []
    for name, text in texts.items():
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Call):
                continue
            plain = ast.unparse(node.func) if isinstance(node.func, ast.Name) else ""
            called = "open" if plain == "open" else getattr(node.func, "attr", "")
            arguments = [ast.unparse(one) for one in [*node.args, *(word.value for word in node.keywords)]]
            modes = any(re.fullmatch(r"'[rbt]*[wax+][wbt+]*'", one) for one in arguments)
            opened = {"open": name not in OPENING, "File": "stream" not in arguments}
            written = modes and opened.get(called, False)
            if called in WRITING and arguments:
                place = ast.unparse(node.func.value) if called.startswith("write_") else arguments[0]
                written = place not in ("partial", "content", "io.BytesIO()")
            if written:
                found.append((name, ast.unparse(node)))
    assert found == []
