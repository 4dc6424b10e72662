"""Exported models, read by torch alone, beside the models themselves."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from training_problems import run

from neuroreg.errors import InputError
from neuroreg.training.checkpoints import load_model, save_model
from neuroreg.training.export import DESCRIPTION, export_model, load_exported

NAMES = [f"digit {number}" for number in range(10)]
# What a user without this library does.
FOREIGN = """
import json, sys
import numpy as np, torch
extra = {"%s": ""}
program = torch.export.load(sys.argv[1], extra_files=extra)
images = torch.from_numpy(np.load(sys.argv[2]))
np.save(sys.argv[3], program.module()(images).detach().numpy())
print(extra["%s"])
assert not [name for name in sys.modules if name.startswith("neuroreg")]
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    trained = run()
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    save_model(path, trained.model, trained.similarity, NAMES)
    return path


def test_class_names_stay_with_the_model(saved, tmp_path):
    model = load_model(saved)
    assert list(model.class_names) == NAMES
    save_model(tmp_path / "nameless.safetensors", model, {})
    assert load_model(tmp_path / "nameless.safetensors").class_names == ()


@pytest.fixture(scope="module")
def exported(saved):
    """The same model as a program, and what was written of it."""
    path = saved.with_name("exported.pt2")
    return path, export_model(saved, path)


@pytest.mark.parametrize("images", [1, 5])
def test_torch_alone_runs_it_and_reads_what_it_is(saved, exported, tmp_path, images):
    path, description = exported
    x = np.random.default_rng(0).random((images, 1, 32, 32), dtype=np.float32)
    np.save(tmp_path / "x.npy", x)
    arguments = [path, tmp_path / "x.npy", tmp_path / "logits.npy"]
    code = FOREIGN % (DESCRIPTION, DESCRIPTION)
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    with torch.no_grad():
        expected = load_model(saved)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), expected, rtol=0, atol=1e-5)
    assert json.loads(done.stdout) == description
    assert description["input"] == {"shape": ["batch", 1, 32, 32], "dtype": "float32", "range": [0.0, 1.0]}
    assert (description["class_names"], description["classes"]) == (NAMES, 10)


def test_it_is_read_back_and_given_names(saved, tmp_path):
    names = [f"class {number}" for number in range(10)]
    model = load_model(saved).train()
    written = export_model(model, tmp_path / "model.pt2", names)
    assert model.training
    module, description = load_exported(tmp_path / "model.pt2")
    assert description == written
    assert description["class_names"] == names
    x = torch.rand(4, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(module(x), model.eval()(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "names", "message"),
    [
        ("model.pth", None, r"found the ending '\.pth'; expected '\.pt2' or '\.onnx'"),
        ("model.pt2", ["a", "b"], "2 for 10 outputs"),
    ],
)
def test_what_cannot_be_exported_is_refused(saved, tmp_path, name, names, message):
    with pytest.raises(InputError, match=message):
        export_model(saved, tmp_path / name, names)
    assert not list(tmp_path.iterdir())


# What a user of ONNX does, without PyTorch.
FOREIGN_ONNX = """
import sys
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
(logits,) = session.run(["logits"], {"images": np.load(sys.argv[2])})
np.save(sys.argv[3], logits)
print(session.get_modelmeta().custom_metadata_map["%s"])
assert not {"torch", "neuroreg"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def exported_onnx(saved):
    """Likewise for ONNX."""
    pytest.importorskip("onnxscript")
    path = saved.with_name("exported.onnx")
    return path, export_model(saved, path)


@pytest.mark.parametrize("images", [1, 5])
def test_onnx_runs_without_torch_and_says_what_it_is(saved, exported_onnx, tmp_path, images):
    path, description = exported_onnx
    x = np.random.default_rng(0).random((images, 1, 32, 32), dtype=np.float32)
    np.save(tmp_path / "x.npy", x)
    arguments = [path, tmp_path / "x.npy", tmp_path / "logits.npy"]
    command = [sys.executable, "-c", FOREIGN_ONNX % DESCRIPTION, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    with torch.no_grad():
        expected = load_model(saved)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), expected, rtol=0, atol=1e-5)
    assert json.loads(done.stdout) == description
    # The reference of the standard itself, which knows nothing of either library.
    import onnx.reference

    session = onnx.reference.ReferenceEvaluator(str(path))
    np.testing.assert_allclose(session.run(None, {"images": x})[0], expected, rtol=0, atol=1e-4)


def test_without_the_packages_of_onnx_it_is_refused_in_a_sentence(saved, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"needs the Python package 'onnxscript'.*pip install '\.\[onnx\]'"):
        export_model(saved, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_exported(tmp_path / "absent.pt2")
    with pytest.raises(InputError, match=r"found the ending '\.onnx'; expected '\.pt2'"):
        load_exported(tmp_path / "absent.onnx")
    (tmp_path / "text.pt2").write_text("hello")
    with pytest.raises(InputError, match=r"text\.pt2: not a program of torch\.export"):
        load_exported(tmp_path / "text.pt2")
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),))
    torch.export.save(program, tmp_path / "other.pt2")
    with pytest.raises(InputError, match=r"other\.pt2: holds no 'neuroreg\.json'"):
        load_exported(tmp_path / "other.pt2")


class Drifting(torch.nn.Module):
    """Answers otherwise once it is traced."""

    architecture, width, classes, class_names = "drifting", 1, 2, ()

    def forward(self, x):
        factor = 1.0 if torch.compiler.is_exporting() else 2.0
        return factor * x.mean((2, 3)).expand(-1, 2)


def test_a_program_with_other_logits_is_not_kept(tmp_path):
    with pytest.raises(RuntimeError, match="logits of 1 images differ by"):
        export_model(Drifting(), tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())
