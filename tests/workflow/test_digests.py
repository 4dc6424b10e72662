import ast
import random
import shutil
from functools import cache
from modulefinder import ModuleFinder
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuroreg.robustness.attacks.registry import ATTACK_METHODS, find_method
from neuroreg.workflow import digests

NOISE = "robustness/noise.py"


def forget():
    """Have every file looked for again."""
    digests._module_path.cache_clear()


@pytest.fixture
def package(tmp_path, monkeypatch, root):
    """A folder with a copy of the package and of the scripts that reach into it."""
    shutil.copytree(root / "src" / "neuroreg", tmp_path / "neuroreg")
    shutil.copytree(root / "workflow_scripts", tmp_path / "scripts")
    monkeypatch.setattr(digests, "SOURCE", tmp_path / "neuroreg")
    read, known = digests._read.__wrapped__, {}

    def by_content(path):
        """Files change in these tests; those that do not are parsed once."""
        key = path, path.read_bytes()
        return known.get(key) or known.setdefault(key, read(path))

    monkeypatch.setattr(digests, "_read", by_content)
    yield tmp_path
    forget()


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


NETWORK = {"neuroreg.training.architectures": "neuroreg.training.networks"}


def digests_of_all(package, by_name=None):
    forget()
    scripts = sorted((package / "scripts").glob("*.py"))
    return {path.stem: digests.code_digest(path, by_name=by_name) for path in scripts}


def test_a_comment_a_docstring_and_layout_change_nothing(package):
    before = digests_of_all(package)
    path = package / "neuroreg" / NOISE
    edit(path, '"""Accuracy under', '"""Share of right answers under')
    edit(package / "neuroreg" / "training" / "settings.py", '"""40 in the paper."""', '"""How many."""')
    path.write_text("# a comment\n\n\n" + path.read_text() + '\n"""Of an attribute."""\n')
    assert digests_of_all(package) == before


def test_a_statement_changes_exactly_what_reaches_it(package):
    before = digests_of_all(package)
    path = package / "neuroreg" / NOISE
    path.write_text(path.read_text() + "\nEXTRA = 1\n")
    after = digests_of_all(package)
    assert {rule for rule in before if before[rule] != after[rule]} == {"evaluate_noise"}


def test_a_module_deep_below_reaches_every_rule_above(package):
    before = digests_of_all(package, NETWORK)
    path = package / "neuroreg" / "training" / "networks.py"
    path.write_text(path.read_text() + "\nEXTRA = 1\n")
    after = digests_of_all(package, NETWORK)
    changed = {rule for rule in before if before[rule] != after[rule]}
    assert changed == {"train_model", "take_model", "evaluate_noise", "search_adversarials", "check_masking"}


def test_an_attack_and_a_network_more_change_no_job_that_loads_neither(package):
    before = digests_of_all(package, NETWORK)
    own = package / "neuroreg" / "robustness" / "attacks" / "straight_line.py"
    own.write_text('METHODS = {"straight_line": {"norm": "l2", "settings": {}}}\n')
    (package / "neuroreg" / "training" / "plain.py").write_text('ARCHITECTURES = {"plain": "PlainNet"}\n')
    assert digests_of_all(package, NETWORK) == before


def test_the_network_that_a_job_loads_by_name_counts(package):
    plain = {"neuroreg.training.architectures": "neuroreg.training.plain"}
    path = package / "neuroreg" / "training" / "plain.py"
    path.write_text('ARCHITECTURES = {"plain": "PlainNet"}\n')
    before = digests_of_all(package, plain)
    path.write_text(path.read_text() + "EXTRA = 1\n")
    after = digests_of_all(package, plain)
    changed = {rule for rule in before if before[rule] != after[rule]}
    assert changed == {"train_model", "take_model", "evaluate_noise", "search_adversarials", "check_masking"}
    # And no other network's jobs.
    assert {rule for rule in before if before[rule] != digests_of_all(package, NETWORK)[rule]} == changed


def test_the_attack_family_that_a_job_loads_by_name_counts(package):
    script = package / "scripts" / "search_adversarials.py"

    families = sorted({method.module for method in ATTACK_METHODS.values()})

    def of_each():
        forget()
        return {name: digests.code_digest(script, f"neuroreg.robustness.attacks.{name}") for name in families}

    # What is random there, and the settings, are those of our families.
    foolbox_reads = {"boundary_attack", "carlini_wagner", "ddn", "projected_gradient"}
    assert foolbox_reads == {
        find_method(name.removeprefix("foolbox_")).module for name in ATTACK_METHODS if "foolbox" in name
    }
    for edited in families:
        before = of_each()
        path = package / "neuroreg" / "robustness" / "attacks" / f"{edited}.py"
        path.write_text(path.read_text() + "\nEXTRA = 1\n")
        after = of_each()
        readers = {"foolbox": foolbox_reads, "warm_start": {"boundary_attack", "ddn", "projected_gradient"}}
        expected = {edited, *(name for name, read in readers.items() if edited in read)}
        assert {name for name in families if before[name] != after[name]} == expected


@cache
def reached(script, source):
    """The modules of the package that a script imports, by the standard library's reading of its bytecode."""
    finder = ModuleFinder(path=[str(source)])
    finder.run_script(str(script))
    return frozenset(
        Path(module.__file__).relative_to(source / "neuroreg")
        for name, module in finder.modules.items()
        if name.startswith("neuroreg.") and module.__file__
    )


def statements(tree):
    """Each list of statements of a module and each place in it, docstrings left out."""
    for node in ast.walk(tree):
        for body in (getattr(node, name, None) for name in ("body", "orelse", "finalbody")):
            if isinstance(body, list):
                for place, statement in enumerate(body):
                    if not digests._is_docstring(statement):
                        yield body, place


def with_another_statement(text, seed):
    """The code with one statement, at any depth, taken out, put in, or with another number or name in it."""
    tree = ast.parse(text)
    rng = random.Random(seed)
    body, place = rng.choice(list(statements(tree)))
    kind = rng.choice(["taken out", "put in", "a constant", "a name"])
    if kind == "taken out":
        body[place] = ast.Pass() if not isinstance(body[place], ast.Pass) else ast.parse("x = 1").body[0]
    elif kind == "put in":
        body.insert(place, ast.parse("if other:\n    other += 1").body[0])
    elif kind == "a constant":
        found = [
            node
            for node in ast.walk(body[place])
            if isinstance(node, ast.Constant) and isinstance(node.value, int | float)
        ]
        if found:
            rng.choice(found).value = 7919
        else:
            body.insert(place, ast.parse("7919").body[0])
    else:
        found = [node for node in ast.walk(body[place]) if isinstance(node, ast.Name)]
        if found:
            rng.choice(found).id += "_"
        else:
            body.insert(place, ast.parse("name_").body[0])
    return ast.unparse(ast.fix_missing_locations(tree))


def with_other_remarks(text, seed):
    """The same code with other comments, docstrings, blank lines and line breaks."""
    tree = ast.parse(text)
    rng = random.Random(seed)
    remark = ast.Expr(ast.Constant(f"A remark, {seed}."))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and isinstance(
            node, ast.Module | ast.FunctionDef | ast.ClassDef | ast.If | ast.With | ast.For
        ):
            if digests._is_docstring(body[0]) and len(body) > 1 and rng.random() < 0.5:
                del body[0]
            elif rng.random() < 0.5:
                body.insert(0, remark)
    lines = ast.unparse(ast.fix_missing_locations(tree)).splitlines()
    return f"# {seed}\n\n" + "\n".join(lines) + f"\n\n\n# the end, {seed}\n"


FILES = sorted(
    path.relative_to(Path(digests.SOURCE))
    for path in digests.SOURCE.rglob("*.py")
    if path.name != "__init__.py"
)


@pytest.fixture
def before(package):
    return digests_of_all(package)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(FILES), st.integers(0, 10**6))
def test_any_changed_statement_changes_exactly_what_reaches_it_and_no_remark_does(
    package, before, path, seed
):
    place = package / "neuroreg" / path
    original = place.read_text()
    readers = {
        script.stem for script in (package / "scripts").glob("*.py") if path in reached(script, package)
    }
    try:
        place.write_text(with_other_remarks(original, seed))
        assert digests_of_all(package) == before
        place.write_text(with_another_statement(original, seed))
        after = digests_of_all(package)
        assert {rule for rule in before if before[rule] != after[rule]} == readers
        place.write_text(original)
        place.touch()
        assert digests_of_all(package) == before
    finally:
        place.write_text(original)


def test_every_rule_that_runs_a_script_carries_its_digest_of_code(root):
    text = "\n".join(path.read_text() for path in [root / "Snakefile", *(root / "rules").glob("*.smk")])
    scripts = {path.stem for path in (root / "workflow_scripts").glob("*.py")}
    named = {name for name in scripts if f'code("{name}"' in text}
    # The rules of the table of figures, by their names.
    assert {name for name in scripts - named if f'"{name}": {{' not in text} == set()
    assert "code=code(rule)" in text
