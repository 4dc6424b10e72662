"""The project's own linters, and rules that follow the house."""

import subprocess
import sys

import pytest
from rule_texts import rules


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["snakefmt", "--check", "--line-length", "110", "Snakefile", "rules"],
    ],
    ids=" ".join,
)
def test_linters_find_nothing(root, command):
    result = subprocess.run(
        [sys.executable, "-m", *command], cwd=root, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_snakemake_lint_finds_nothing(root, tmp_path):
    command = [sys.executable, "-m", "snakemake", "--lint", "--directory", str(tmp_path)]
    command += ["--snakefile", str(root / "Snakefile")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_rule_is_complete_and_calls_the_script_of_its_name(root):
    listed = list(rules(root))
    found = dict(listed)
    assert len(found) == len(listed)
    assert len(found) > 15
    for name, body in found.items():
        for part in ("log:", "benchmark:", "threads:", "mem_mb=", "runtime=", "conda:", f'code("{name}"'):
            assert part in body, (name, part)
        assert f'"../workflow_scripts/{name}.py"' in body
        assert (root / "workflow_scripts" / f"{name}.py").is_file()
    scripts = {path.stem for path in (root / "workflow_scripts").glob("*.py")}
    assert scripts == set(found)


def test_parsing_the_workflow_imports_nothing_heavy(root):
    modules = "neuroreg.workflow.config", "neuroreg.workflow.digests", "neuroreg.workflow.grid"
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"torch", "foolbox", "pandas", "matplotlib", "skimage"} & set(loaded.split())
