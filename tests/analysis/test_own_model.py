"""Distances in one call: on a model whose distances are known, and beside the workflow's way."""

import re

import numpy as np
import pytest
import torch

from neuroreg.analysis.distances import collect_distances, load_distances
from neuroreg.analysis.own_model import PAPERS_ATTACKS, minimal_distances
from neuroreg.errors import InputError
from neuroreg.files.records import write_record
from neuroreg.robustness.attacks.registry import ATTACK_METHODS
from neuroreg.robustness.minimal_distance import search
from neuroreg.workflow.config import Config


@pytest.fixture
def plane():
    """Two classes divided by a plane through middle gray, and images near it, the last with a wrong label."""
    rng = np.random.default_rng(0)
    images = rng.integers(96, 160, (6, 32, 32)).astype(np.uint8)
    normal = rng.normal(size=1024).astype(np.float32) * 0.05
    linear = torch.nn.Linear(1024, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(np.stack([normal, -normal])))
        linear.bias.copy_(torch.tensor([-1.0, 1.0]) * float(normal.sum()) * 0.5)
    model = torch.nn.Sequential(torch.nn.Flatten(), linear)
    margin = 2 * (images.reshape(6, -1) / 255 - 0.5) @ normal
    labels = (margin < 0).astype(int)
    labels[5] = 1 - labels[5]
    return model, images, labels, np.abs(margin), 2 * normal


def test_distances_to_a_plane_are_met(plane):
    model, images, labels, margin, normal = plane
    table = minimal_distances(model, images, labels, {"ddn": [{"steps": 200}], "pgd": [{}]}, repetitions=2)
    assert list(table.columns) == [
        *("sample", "label", "correct", "norm", "distance", "largest", "attack"),
    ]
    assert table.groupby("norm", sort=False)["sample"].apply(list).to_dict() == {
        norm: list(range(6)) for norm in ("l0", "l1", "l2", "linf")
    }
    by_norm = table.set_index(["norm", "sample"])
    known = {"l2": margin / np.linalg.norm(normal), "linf": margin / np.abs(normal).sum()}
    for norm, finder in (("l2", "ddn"), ("linf", "pgd")):
        found = by_norm.loc[norm]
        assert found["correct"].tolist() == [True] * 5 + [False]
        assert found["distance"].iloc[5] == 0
        assert (found["distance"].iloc[:5] >= known[norm][:5] * (1 - 1e-4)).all()
        np.testing.assert_allclose(found["distance"].iloc[:5], known[norm][:5], rtol=0.01)
        assert set(found["attack"].iloc[:5]) == {finder}


@pytest.mark.parametrize(
    ("attacks", "message"),
    [
        ("ddn", "attacks: found 'ddn'; expected a list of methods"),
        ([], "attacks: found []; expected a list of methods"),
        ({}, "attacks: found {}; expected a list of methods"),
        ({"ddn": {"steps": 5}}, "attacks: found {'steps': 5} for ddn; expected a list of settings"),
        ({"ddn": ["steps"]}, "attacks: found ['steps'] for ddn; expected a list of settings"),
    ],
)
def test_attacks_of_another_form_are_refused(plane, attacks, message):
    model, images, labels, _, _ = plane
    with pytest.raises(InputError, match=re.escape(message)):
        minimal_distances(model, images, labels, attacks)


def test_models_and_labels_that_do_not_fit_are_refused(plane):
    model, images, labels, _, _ = plane
    with pytest.raises(
        InputError, match="labels: 0 to 7, but the model has 2 logits; expected labels from 0 to 1"
    ):
        minimal_distances(model, images, np.array([0, 1, 0, 1, 0, 7]), ["ddn"])
    with pytest.raises(InputError, match="images: none; expected one or more"):
        minimal_distances(model, images[:0], labels[:0], ["ddn"])
    for other, found in (
        (lambda x: (model(x), x), "tuple"),
        (lambda x: model(x).sum(dim=1), r"\(1,\) torch.float32"),
        (lambda x: model(x).double(), r"\(1, 2\) torch.float64"),
    ):
        module = torch.nn.Module()
        module.forward = other
        with pytest.raises(InputError, match=f"model: returns {found} for one image; expected logits"):
            minimal_distances(module, images, labels, ["ddn"])


def test_it_is_the_workflows_table(plane, tmp_path):
    model, images, labels, _, _ = plane
    settings = {"ddn": [{"steps": 20}, {"steps": 20, "gamma": 0.1}], "jsma": [{"theta": 1.0}]}
    table = minimal_distances(model, images, labels, settings, seed=3)
    for method, tries in settings.items():
        for seed, part in ((1, ""), (2, ""), (2, ".part0")):
            some = slice(0, 3 if part else None)
            result = search(
                *(model, images, labels, np.arange(6)[some]),
                method=method,
                settings=tries,
                repetitions=1,
                seed=3,
                batch_size=64,
                device=torch.device("cpu"),
            )
            write_record(tmp_path / "plain" / f"seed{seed}" / f"{method}{part}.h5", result)
    found = load_distances(tmp_path)
    for seed in (1, 2):
        one = found[found["seed"] == seed].drop(columns=["model", "seed"]).reset_index(drop=True)
        assert one.equals(table)
    assert set(found["model"]) == {"plain"}
    apart = load_distances(tmp_path, ["jsma"])
    files = [
        ("plain", seed, name, tmp_path / "plain" / f"seed{seed}" / f"{name}.h5")
        for seed in (1, 2)
        for name in ("ddn", "jsma")
    ]
    assert apart.equals(collect_distances(files, ["jsma"]))
    apart.to_csv(tmp_path / "distances.csv", index=False)
    again = load_distances(tmp_path / "distances.csv")
    np.testing.assert_array_equal(again["distance"], apart["distance"])
    assert again["correct"].dtype == bool
    assert set(again["model"]) == {"plain"}


def test_the_papers_attacks_are_the_configs():
    attacks = {entry.method for entry in Config().adversarial.attacks}
    assert attacks == set(PAPERS_ATTACKS) <= set(ATTACK_METHODS)


def test_a_mistake_in_the_last_attack_is_named_before_the_first_runs(plane):
    model, images, labels, _, _ = plane
    asked = []
    model = torch.nn.Sequential(model)
    model.register_forward_hook(lambda *_: asked.append(1))
    for last in ({"typo": [{}]}, {"pgd": [{"step": 3}]}):
        with pytest.raises(InputError, match=r"'typo'|'step' of pgd"):
            minimal_distances(model, images, labels, {"ddn": [{"steps": 20}]} | last)
    assert not asked


def test_bad_input_is_named(plane, tmp_path):
    model, images, labels, _, _ = plane
    with pytest.raises(InputError, match=r"found float64 \(6, 32, 32\)"):
        minimal_distances(model, images / 255, labels)
    with pytest.raises(InputError, match=r"with labels int64 \(5,\)"):
        minimal_distances(model, images, labels[:5])
    with pytest.raises(InputError, match=r"with labels float64 .* whole numbers"):
        minimal_distances(model, images, labels + 0.9)
    with pytest.raises(InputError, match="images without labels"):
        minimal_distances(model, images, labels, pool_images=images)
    for pool, own, message in (
        (images / 255, labels, r"pool: found float64 \(6, 32, 32\)"),
        (images[:, :30], labels, r"pool: .* expected uint8 \(images, 32, 32\)"),
        (images, labels[:5], r"pool: .* with labels int64 \(5,\)"),
        (images[:0], labels[:0], "pool: none; expected one or more"),
        (images, labels + 1, "pool labels: 1 to 2, but the model has 2 logits"),
    ):
        with pytest.raises(InputError, match=message):
            minimal_distances(model, images, labels, pool_images=pool, pool_labels=own)
    for wrong, message in (
        ({"repetitions": 1.5}, "repetitions: found 1.5; expected a whole number, at least 1"),
        ({"batch_size": 0}, "batch_size: found 0; expected"),
        ({"logit_margin": 0.0}, "logit_margin: found 0.0; expected a number above 0, or None"),
        ({"logit_margin": np.nan}, "logit_margin: found nan; expected"),
        ({"attacks": None}, "attacks: found None; expected a list of methods"),
        ({"attacks": {"ddn": []}}, r"attacks: found \[\] for ddn; expected a list of settings"),
    ):
        with pytest.raises(InputError, match=message):
            minimal_distances(model, images, labels, **wrong)
    with pytest.raises(InputError, match="method 'fgsm'"):
        minimal_distances(model, images, labels, ["fgsm"])
    with pytest.raises(InputError, match="no such file"):
        minimal_distances(tmp_path / "absent.safetensors", images, labels)
    with pytest.raises(InputError, match="no files <model>/seed<seed>/<attack>"):
        load_distances(tmp_path)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"other\.csv: has the columns a, b"):
        load_distances(tmp_path / "other.csv")
