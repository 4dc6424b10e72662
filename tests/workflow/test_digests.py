import shutil
from pathlib import Path

import pytest

from neuroreg.robustness.attacks.registry import ATTACK_METHODS, find_method
from neuroreg.workflow import digests

NOISE = "robustness/noise.py"


def forget():
    """Have every file read again."""
    for cached in (digests._read, digests._module_path):
        cached.cache_clear()


@pytest.fixture
def package(tmp_path, monkeypatch, root):
    """A folder with a copy of the package and of the scripts that reach into it."""
    shutil.copytree(root / "src" / "neuroreg", tmp_path / "neuroreg")
    shutil.copytree(root / "workflow_scripts", tmp_path / "scripts")
    monkeypatch.setattr(digests, "SOURCE", tmp_path / "neuroreg")
    yield tmp_path
    forget()


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def digests_of_all(package):
    forget()
    return {path.stem: digests.code_digest(path) for path in sorted((package / "scripts").glob("*.py"))}


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
    before = digests_of_all(package)
    path = package / "neuroreg" / "training" / "networks.py"
    path.write_text(path.read_text() + "\nEXTRA = 1\n")
    after = digests_of_all(package)
    changed = {rule for rule in before if before[rule] != after[rule]}
    assert changed == {"train_model", "evaluate_noise", "search_adversarials", "check_masking"}


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
