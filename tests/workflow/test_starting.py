"""The start of a job: Ctrl-C and SIGTERM while its script imports, and no search for garbage meanwhile."""

import ast
import os
import signal
import subprocess
import sys

import pytest

FIRST = "neuroreg.workflow.starting"


def test_every_script_imports_it_before_anything_slow(root):
    scripts = sorted((root / "workflow_scripts").glob("*.py"))
    assert scripts
    for path in scripts:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [node.module] if isinstance(node, ast.ImportFrom) else [n.name for n in node.names]
                if FIRST in names:
                    break
                assert all(name.split(".")[0] in sys.stdlib_module_names for name in names), path.name
        else:
            raise AssertionError(f"{path.name} does not import {FIRST}")


def interrupted(root, folder, number, ignored=False):
    """Start a real script whose imports never end, and send it a signal: its exit code and its words."""
    (folder / "h5py.py").write_text(
        "print('importing', flush=True)\nimport time\nwhile True: time.sleep(1)\n"
    )
    code = (
        "import runpy, signal, sys\nfrom types import SimpleNamespace\n"
        f"if {ignored}: signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "snakemake = SimpleNamespace(rule='ingest_scan')\n"
        f"exec(compile(open({str(root / 'workflow_scripts/ingest_scan.py')!r}).read(), 'x', 'exec'))\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, **pipes)
    assert process.stdout.readline() == "importing\n"
    process.send_signal(number)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_during_imports_is_one_sentence(root, tmp_path, number):
    process = interrupted(root, tmp_path, number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert stderr == f"ingest_scan: ended by {number.name}; the same command goes on.\n"


def test_an_interrupt_that_a_shell_keeps_away_stays_away(root, tmp_path):
    process = interrupted(root, tmp_path, signal.SIGINT, ignored=True)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)
    process.terminate()
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    process.stdout.close(), process.stderr.close()


@pytest.mark.parametrize("job", [True, False])
def test_garbage_is_not_looked_for_while_a_job_imports(job):
    code = (
        "import gc; from types import SimpleNamespace\n"
        f"snakemake = SimpleNamespace({'rule=1' if job else ''})\n"
        f"from {FIRST} import collect_garbage; import h5py; print(gc.isenabled())\n"
        "collect_garbage(); collect_garbage(); print(gc.isenabled(), gc.get_freeze_count() > 1000)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == (["False", "True", "True"] if job else ["True", "True", "False"])


SLOW = {"sympy", "scipy", "pandas", "matplotlib", "torchvision", "sklearn", "skimage"}
OF_TABLES = {"torch", "scipy.stats", "matplotlib"}
# By script: what is slow to import and must not be, since the script runs often or briefly.
SPARED = {
    "train_model": SLOW,
    "evaluate_noise": SLOW,
    "search_adversarials": SLOW,
    "fit_response_model": SLOW,
    "predict_responses": SLOW,
    "fit_baselines": SLOW,
    "ingest_scan": SLOW | {"torch"},
    "average_similarity": SLOW | {"torch"},
    "shuffle_similarity": SLOW | {"torch"},
    "collect_distances": OF_TABLES,
    "tabulate_table1": OF_TABLES,
    "tabulate_table2": OF_TABLES,
    "tabulate_scores": OF_TABLES,
    "write_page": OF_TABLES,
    "tabulate_claims": {"torch", "matplotlib"},
    "plot_fig1": {"torch"},
}


@pytest.mark.parametrize("name", SPARED)
def test_a_job_does_not_import_what_it_can_do_without(root, name):
    imports = [
        ast.unparse(node)
        for node in ast.parse((root / "workflow_scripts" / f"{name}.py").read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    code = "\n".join([*imports, "import sys", f"print(*{SPARED[name]!r} & set(sys.modules))"])
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "\n"
