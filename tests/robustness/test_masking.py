from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from neuroreg.files.records import write_record
from neuroreg.robustness import masking
from neuroreg.robustness.attack_result import NORMS, closest_adversarials
from neuroreg.robustness.evaluation import predict, to_input
from neuroreg.robustness.masking import masking_checks, misleading_gradients, vanishing_gradients
from neuroreg.robustness.minimal_distance import search
from neuroreg.training.networks import ResNet

CPU = torch.device("cpu")
ATTACKS = {"ddn": {"steps": 40}} | {f"brendel_bethge_{norm}": {"steps": 40} for norm in NORMS}


class Wrapped(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner


class Quantised(Wrapped):
    """Sees 8-bit images: no gradient comes through the rounding."""

    def forward(self, x):
        return self.inner(torch.round(x * 255) / 255)


class Saturated(Wrapped):
    """So sure that the softmax, and with it the cross-entropy's gradient, rounds to 0 or 1."""

    def forward(self, x):
        return 1e5 * self.inner(x)


class Louder(Wrapped):
    def __init__(self, inner, factor):
        super().__init__(inner)
        self.factor = factor

    def forward(self, x):
        return self.factor * self.inner(x)


class Unsteady(Wrapped):
    def forward(self, x):
        return self.inner(x + 0.01 * torch.rand_like(x))


class Drifting(Wrapped):
    """The same classes, but all logits are larger by `step` from one pass to the next."""

    def __init__(self, inner, step):
        super().__init__(inner)
        self.step, self.passes = step, 0

    def forward(self, x):
        self.passes += 1
        return self.inner(x) + self.step * self.passes


class Deaf(Wrapped):
    def forward(self, x):
        return self.inner(x.detach())


class Shattered(Wrapped):
    """The same classes, but a gradient that says nothing."""

    class Identity(torch.autograd.Function):
        @staticmethod
        def forward(_, x):
            return x.clone()

        @staticmethod
        def backward(_, gradient):
            generator = torch.Generator().manual_seed(5)
            return torch.randn(gradient.shape, generator=generator) * 1e-2

    def forward(self, x):
        return self.inner(self.Identity.apply(x))


@pytest.fixture(scope="module")
def plain():
    """A random ResNet, images that it takes for several classes, and those classes as labels."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 4, 4), dtype=np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ResNet(width=4).eval()
    logits = predict(model, to_input(images), batch_size=30, device=CPU)
    with torch.no_grad():
        model.linear.weight /= logits.std(dim=0)[:, None]
        model.linear.bias.copy_((model.linear.bias - logits.mean(dim=0)) / logits.std(dim=0))
    labels = predict(model, to_input(images), batch_size=30, device=CPU).argmax(dim=1).numpy()
    return model, images, labels


def attacked(model, images, labels, folder):
    folder.mkdir()
    for name, setting in ATTACKS.items():
        result = search(
            model,
            images,
            labels,
            np.arange(5),
            method=name,
            settings=[setting],
            repetitions=2,
            seed=0,
            batch_size=5,
            device=CPU,
        )
        write_record(folder / f"{name}.h5", result)
    return closest_adversarials([folder / f"{name}.h5" for name in ATTACKS], list(ATTACKS))


@pytest.fixture(scope="module")
def found(plain, tmp_path_factory):
    return attacked(*plain, tmp_path_factory.mktemp("plain") / "attacks")


def checks(networks, closest):
    table = masking_checks(networks.items(), closest, "plain", seed=0, batch_size=8, device=CPU)
    assert list(table.columns) == ["model", "seed", "check", "norm", "value", "n", "expected", "flag"]
    return table


def flagged(table, model):
    return set(table.loc[(table["flag"] == "flag") & (table["model"] == model), "check"])


def test_an_ordinary_model_is_not_flagged(plain, found):
    table = checks({("plain", 1): plain[0]}, {("plain", 1): found})
    assert flagged(table, "plain") <= {"last repetition"}
    assert len(table) == 4 + 3 * 4
    assert (table.loc[table["check"] == "transfer", "flag"] == "none").all()
    assert (table.set_index("check").loc[["zero gradients", "float32 gradients"], "n"] == 5).all()


@pytest.mark.parametrize("wrap", [Quantised, Saturated, Deaf])
def test_gradients_that_vanish_are_flagged(plain, found, wrap):
    table = checks({("masked", 1): wrap(plain[0])}, {("masked", 1): found, ("plain", 1): found})
    assert "zero gradients" in flagged(table, "masked")
    assert table.set_index("check").loc["zero gradients", "value"] == 1


def test_gradients_that_rounding_turns_are_flagged(plain, found):
    """None vanishes where the softmax is all but 0 or 1; yet the little that is missing is rounding error."""
    model, images, labels = plain
    x, targets = to_input(images), torch.from_numpy(labels)
    lead = predict(model, x, batch_size=30, device=CPU).topk(2).values.diff(dim=1).abs()[:, 0]
    options = {"batch_size": 7, "device": CPU}
    for factor in (1.0, 16.0, 64.0):
        loud = Louder(model, factor)
        turned = misleading_gradients(loud, x, targets, **options)
        assert not turned[factor * lead < 12].any()
        assert turned[factor * lead > 20].all()
        assert turned.any() == (factor > 1)
        if factor == 16:
            assert not vanishing_gradients(loud, x, targets, **options).any()
    table = checks({("plain", 1): Louder(model, 64.0)}, {("plain", 1): found})
    row = table.set_index("check").loc["float32 gradients"]
    assert row["flag"] == "flag"
    assert 0 < row["value"] <= 1
    assert "float32 gradients" not in flagged(checks({("plain", 1): model}, {("plain", 1): found}), "plain")


def test_a_model_that_changes_its_mind_is_flagged(plain, found):
    table = checks({("masked", 1): Unsteady(plain[0])}, {("masked", 1): found, ("plain", 1): found})
    assert "five passes" in flagged(table, "masked")


@pytest.mark.parametrize(("share", "flag"), [(0.8e-5, "ok"), (1.25e-5, "flag")])
def test_logits_may_drift_by_a_hundred_thousandth(plain, found, share, flag):
    model, images, _ = plain
    logits = predict(model, to_input(images[:5]), batch_size=5, device=CPU)
    largest = logits.abs().amax(dim=1).min().item()
    table = checks({("plain", 1): Drifting(model, share * largest / 4)}, {("plain", 1): found})
    row = table.set_index("check").loc["five passes"]
    assert row["value"] == pytest.approx(share, rel=0.1)  # rounding of float32
    assert row["flag"] == flag


def test_gradients_that_mislead_are_flagged(plain, found, tmp_path):
    model, images, labels = plain
    masked = Shattered(model)
    closest = {("plain", 1): found, ("masked", 1): attacked(masked, images, labels, tmp_path / "attacks")}
    # The same classes: any difference in distance is the attacks' failure.
    table = checks({("plain", 1): model, ("masked", 1): masked}, closest)
    assert {"black box", "transfer", "ratio"} <= flagged(table, "masked")
    assert not {"black box", "transfer", "zero gradients"} & flagged(table, "plain")
    ratio = table[(table["check"] == "ratio")].set_index("norm")
    for norm in NORMS:
        expected = closest["masked", 1].distance[norm].mean() / found.distance[norm].mean()
        assert ratio.loc[norm, "value"] == pytest.approx(expected)
    assert (ratio.loc[["l1", "l2", "linf"], "flag"] == "none").all()


def test_a_last_repetition_that_still_helps_is_flagged(plain, found):
    half = replace(found, without_last={norm: 2 * found.distance[norm] for norm in NORMS})
    same = replace(found, without_last=found.distance)
    none = replace(found, without_last={norm: np.full(5, np.inf) for norm in NORMS}, repetitions=1)
    cases = [(half, 0.5, "flag"), (same, 0.0, "ok"), (none, np.nan, "none")]
    for fall, flag in ((0.06, "flag"), (0.04, "ok")):
        before = {norm: found.distance[norm] / (1 - fall) for norm in NORMS}
        cases.append((replace(found, without_last=before), fall, flag))
    for closest, value, flag in cases:
        table = checks({("plain", 1): plain[0]}, {("plain", 1): closest})
        part = table[table["check"] == "last repetition"]
        assert (part["flag"] == flag).all()
        np.testing.assert_allclose(part["value"], value)


def test_what_only_the_last_repetition_found_is_no_settled_search(plain, found):
    """The first of five images; until then its distance was the largest there is."""
    before = {norm: found.distance[norm].copy() for norm in NORMS}
    for values in before.values():
        values[0] = np.inf
    table = checks({("plain", 1): plain[0]}, {("plain", 1): replace(found, without_last=before)})
    part = table[table["check"] == "last repetition"].set_index("norm")
    assert (part["flag"] == "flag").all() and (part["n"] == 5).all()
    pixel = found.clean[0] / 255
    farthest = np.maximum(pixel, 1 - pixel).sum()
    was = farthest + found.distance["l1"][1:].sum()
    assert part.loc["l1", "value"] == pytest.approx(1 - found.distance["l1"].sum() / was)


def test_a_search_of_which_only_the_last_repetition_found_anything_is_not_settled(plain, found):
    assert found.repetitions == 2
    before = {norm: np.full(5, np.inf) for norm in NORMS}
    table = checks({("plain", 1): plain[0]}, {("plain", 1): replace(found, without_last=before)})
    part = table[table["check"] == "last repetition"].set_index("norm")
    assert (part["flag"] == "flag").all() and (part["n"] == 5).all()
    assert part.loc["l0", "value"] == pytest.approx(1 - found.distance["l0"].mean() / 1024)


def test_a_model_that_attacks_fail_on_does_not_look_alike(plain, found):
    failed = {norm: np.where(np.arange(5) < 4, np.inf, found.distance[norm]) for norm in NORMS}
    closest = {("plain", 1): found, ("masked", 1): replace(found, distance=failed)}
    table = checks({("plain", 1): plain[0], ("masked", 1): plain[0]}, closest)
    ratio = table[table["check"] == "ratio"].set_index("norm").loc["l0"]
    assert ratio["n"] == 5 and ratio["flag"] == "flag"
    expected = (4 * 1024 + found.distance["l0"][4]) / found.distance["l0"].sum()
    assert ratio["value"] == pytest.approx(expected)


@pytest.mark.parametrize(("factor", "flag"), [(0.79, "flag"), (0.81, "ok"), (1.24, "ok"), (1.26, "flag")])
def test_few_pixels_less_look_as_unlike_as_more(found, factor, flag):
    """In L0 alone; and a sample that one model gets wrong counts in neither mean."""
    wrong = np.arange(5) == 2
    own = {norm: np.where(wrong, 0.0, factor * found.distance[norm]) for norm in NORMS}
    closest = {("plain", 1): found, ("other", 1): replace(found, distance=own, correct=~wrong)}
    mean = found.distance["l0"].mean()
    own["l0"][~wrong] = factor * mean
    table = checks({}, closest)
    ratio = table[table["check"] == "ratio"].set_index("norm")
    assert ratio.loc["l0", "flag"] == flag
    assert ratio.loc["l0", "value"] == pytest.approx(factor)
    expected = own["l2"][~wrong].mean() / found.distance["l2"].mean()
    assert ratio.loc["l2", "value"] == pytest.approx(expected)
    assert (ratio["n"] == 4).all()
    assert (ratio.loc[["l1", "l2", "linf"], "flag"] == "none").all()


@pytest.mark.parametrize(("further", "share"), [(1.001, 0.0), (1.003, 1.0)])
def test_other_models_adversarials_have_to_be_closer_by_two_thousandths(plain, found, further, share):
    own = replace(found, distance={norm: further * found.distance[norm] for norm in NORMS})
    table = checks({("plain", 1): plain[0]}, {("plain", 1): own, ("plain", 2): found})
    part = table[table["check"] == "transfer"].set_index("norm")
    assert (part["value"] == share).all()
    assert (part["flag"] == ("flag" if share else "ok")).all()


def test_what_another_model_gets_wrong_is_no_adversarial_of_it(plain, found):
    """Its distance of 0 there is of another kind."""
    wrong = np.arange(5) == 2
    theirs = {norm: np.where(wrong, 0.0, found.distance[norm]) for norm in NORMS}
    own = replace(found, distance={norm: 1.003 * found.distance[norm] for norm in NORMS})
    closest = {("plain", 1): own, ("plain", 2): replace(found, distance=theirs, correct=~wrong)}
    table = checks({("plain", 1): plain[0]}, closest)
    part = table[table["check"] == "transfer"].set_index("norm")
    assert (part["n"] == 4).all() and (part["value"] == 1).all()


def test_a_random_search_under_l0_has_to_change_a_pixel_less():
    sizes = masking._search_sizes("l0", np.array([1.0, 7.0, 600.0, np.inf]), 1024)
    assert sizes.tolist() == [0, 6, 598, 512]


def test_tries_that_met_nan_are_counted_by_attacked_sample(plain, found):
    wrong = np.arange(5) == 2
    distance = {norm: np.where(wrong, 0.0, found.distance[norm]) for norm in NORMS}
    own = replace(found, correct=~wrong, distance=distance, not_finite=np.array([0, 3, 7, 1, 0]))
    row = checks({("plain", 1): plain[0]}, {("plain", 1): own}).set_index("check").loc["not finite"]
    assert (row["value"], row["n"], row["flag"]) == (0.5, 4, "flag")


class Silent(Wrapped):
    """Has no answer to one image."""

    def __init__(self, inner, image):
        super().__init__(inner)
        self.image = image

    def forward(self, x):
        same = (x == self.image).flatten(1).all(dim=1, keepdim=True)
        return torch.where(same, torch.nan, self.inner(x))


def test_samples_whose_own_logits_are_nan_are_counted_with_them(plain, found):
    own = replace(found, correct=np.arange(5) < 3, not_finite=np.array([0, 3, 0, 0, 0]))
    silent = Silent(plain[0], to_input(own.clean[4:]))
    row = checks({("plain", 1): silent}, {("plain", 1): own}).set_index("check").loc["not finite"]
    assert (row["value"], row["n"], row["flag"]) == (0.5, 4, "flag")


def test_gradients_are_looked_at_as_loud_as_attacks_saw_them(plain, found):
    seen = {("plain", 1): replace(found, logit_factor=1 / 64)}
    assert not {"float32 gradients"} & flagged(checks({("plain", 1): Louder(plain[0], 64.0)}, seen), "plain")
    seen = {("plain", 1): replace(found, logit_factor=64.0)}
    assert "float32 gradients" in flagged(checks({("plain", 1): plain[0]}, seen), "plain")


class NoAnswer(Wrapped):
    """Has none for bright images."""

    def forward(self, x):
        bright = x.mean(dim=(1, 2, 3), keepdim=True)[:, :, 0, 0] > 0.6
        return torch.where(bright, torch.nan, self.inner(x))


def test_logits_that_are_not_finite_end_no_check(plain, found):
    failed = replace(found, distance={norm: np.full(5, np.inf) for norm in NORMS})
    table = checks({("plain", 1): NoAnswer(plain[0])}, {("plain", 1): failed})
    assert "black box" in set(table["check"])


def test_nothing_is_said_where_nothing_is_classified_correctly(plain, found):
    wrong = replace(found, correct=np.zeros(5, dtype=bool), distance={norm: np.zeros(5) for norm in NORMS})
    table = checks({("plain", 1): plain[0]}, {("plain", 1): wrong})
    assert (table["flag"] == "none").all()
