import foolbox
import pytest
import torch
from attack_problems import CPU, balanced_network, coarse_images, run_attack

from neuroreg.errors import InputError
from neuroreg.robustness.attacks.as_foolbox import RegistryAttack, foolbox_model
from neuroreg.robustness.verification import measure
from neuroreg.training.checkpoints import save_model

SETTINGS = {
    "jsma": {"theta": 1.0, "targets": 2},
    "sparsefool": {"lambda": 1.5},
    "brendel_bethge_l2": {"steps": 10},
    "pgd": {"steps": 5, "search_steps": 8},
}


@pytest.fixture(scope="module")
def problem():
    """Five images, the last with a wrong label, and for each an image of another class."""
    x = coarse_images(24)
    model, labels = balanced_network(x)
    starts = torch.stack([x[(labels != label).nonzero()[0, 0]] for label in labels[:5]])
    labels = labels[:5].clone()
    labels[4] = (labels[4] + 1) % 10
    return model, x[:5], labels, starts


def bridge(model):
    return foolbox.PyTorchModel(model, bounds=(0, 1), device=CPU)


@pytest.mark.parametrize("method", SETTINGS)
@pytest.mark.parametrize("repetition", [0, 1])
def test_it_is_a_foolbox_attack(problem, method, repetition):
    model, x, labels, starts = problem
    attack = RegistryAttack(method, SETTINGS[method], repetition=repetition, seed=9)
    assert isinstance(attack, foolbox.attacks.base.MinimizationAttack)
    options = {"starting_points": starts} if method.startswith("brendel") else {}
    raw, clipped, success = attack(bridge(model), x, labels, epsilons=None, **options)
    assert success.all()
    assert torch.equal(raw, clipped)
    assert torch.equal(raw[4], x[4])
    assert (model(raw).argmax(dim=1) != labels).all()
    size = attack.distance(x, raw)
    norm = {"jsma": "l0", "sparsefool": "l1", "brendel_bethge_l2": "l2", "pgd": "linf"}[method]
    torch.testing.assert_close(size.double(), measure(x, raw)[norm], rtol=1e-4, atol=1e-6)
    if method in ("jsma", "sparsefool"):
        seeds = torch.full((4,), 9)
        direct, _ = run_attack(method, model, x[:4], labels[:4], repetition, seeds, **SETTINGS[method])
        assert torch.equal(raw[:4], direct)
        assert attack.repeat(2)(bridge(model), x, labels, epsilons=None)[2].all()
    if method != "jsma":
        # At a given epsilon too, for which Foolbox shrinks the perturbation; it cannot do so in L0.
        _, _, within = attack(bridge(model), x, labels, epsilons=[1e-4, 1e6], **options)
        assert within[0].tolist() == [False] * 4 + [True]
        assert within[1].all()


def test_preprocessing_is_the_models(problem):
    model, x, labels, _ = problem
    scaled = foolbox.PyTorchModel(
        torch.nn.Sequential(Scale(), model).eval(),
        bounds=(0, 1),
        device=CPU,
        preprocessing={"mean": 0.25, "std": 0.5},
    )
    attack = RegistryAttack("sparsefool")
    found, _, success = attack(scaled, x, labels, epsilons=None)
    assert success.all()
    expected = attack(bridge(model), x, labels, epsilons=None)[0]
    torch.testing.assert_close(measure(x, found)["l1"], measure(x, expected)["l1"], rtol=1e-2, atol=0)


class Scale(torch.nn.Module):
    def forward(self, x):
        return 0.5 * x + 0.25


def test_what_is_not_found_comes_back_as_it_was(problem):
    model, x, labels, _ = problem
    raw, _, success = RegistryAttack("jsma", {"steps": 1, "theta": 0.01})(
        bridge(model), x, labels, epsilons=None
    )
    assert success.tolist() == [False] * 4 + [True]
    assert torch.equal(raw, x)


def test_what_it_cannot_do_is_refused(problem):
    model, x, labels, _ = problem
    with pytest.raises(InputError, match="method 'fgsm'"):
        RegistryAttack("fgsm")
    with pytest.raises(InputError, match=r"sparsefool\.lambda is 0\.5"):
        RegistryAttack("sparsefool", {"lambda": 0.5})
    attack = RegistryAttack("jsma")
    with pytest.raises(InputError, match="expected Misclassification"):
        attack(bridge(model), x, foolbox.criteria.TargetedMisclassification(labels), epsilons=None)
    with pytest.raises(InputError, match=r"expected bounds \(0, 1\)"):
        attack(foolbox.PyTorchModel(model, bounds=(-1, 1), device=CPU), x, labels, epsilons=None)
    with pytest.raises(InputError, match="no starting_points"):
        RegistryAttack("brendel_bethge_l0")(bridge(model), x, labels, epsilons=None)
    with pytest.raises(TypeError, match="unexpected keyword argument 'stepz'"):
        attack(bridge(model), x, labels, epsilons=None, stepz=3)


def test_a_trained_model_is_foolboxs(problem, tmp_path):
    model, x, labels, _ = problem
    save_model(tmp_path / "model.safetensors", model, {})
    from_file = foolbox_model(tmp_path / "model.safetensors")
    assert from_file.bounds == (0, 1)
    assert torch.equal(from_file(x), model(x))
    # Foolbox's own attack, through it: what it finds is adversarial for the model itself.
    epsilons = [0.0, 0.3]
    _, found, success = foolbox.attacks.LinfFastGradientAttack()(from_file, x, labels, epsilons=epsilons)
    assert success[0].tolist() == [False] * 4 + [True]
    for points, successful in zip(found, success, strict=True):
        assert torch.equal(model(points).argmax(dim=1) != labels, successful)
        assert points.min() >= 0
        assert points.max() <= 1
    assert success[1].any()
    own = foolbox_model(model.train())
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(own(x), from_file(x))
