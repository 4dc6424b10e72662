import copy

import numpy as np
import pytest
import torch
from attack_problems import balanced_network
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import nn

from neuroreg.errors import InputError
from neuroreg.files.records import read_record, write_record
from neuroreg.files.resume import ResumeFile
from neuroreg.robustness.attack_result import NORMS, AttackResult, join_parts
from neuroreg.robustness.evaluation import predict, to_input
from neuroreg.robustness.minimal_distance import choose_samples, search
from neuroreg.training.networks import ResNet

CPU = torch.device("cpu")
SETTINGS = [{"steps": 15}, {"steps": 30, "gamma": 0.1}]


@pytest.fixture(scope="module")
def problem():
    """A random ResNet with balanced logits, images of which the last is given a wrong label."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 4, 4), dtype=np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    model, labels = balanced_network(to_input(images))
    labels = labels.numpy()
    labels[4] = (labels[4] + 1) % 10
    return model, images, labels


def run(problem, rows=slice(0, 5), **changes):
    model, images, labels = problem
    options = {
        "method": "ddn",
        "settings": SETTINGS,
        "repetitions": 2,
        "seed": 1,
        "batch_size": 8,
        "device": CPU,
    } | changes
    sample = np.arange(len(images))[rows]
    return search(model, images, labels, sample, **options)


@pytest.fixture(scope="module")
def result(problem):
    return run(problem)


def test_shapes_and_bookkeeping(result):
    assert result.sample.tolist() == [0, 1, 2, 3, 4]
    assert result.clean_correct.tolist() == [True] * 4 + [False]
    assert result.settings == (
        {"steps": 15, "gamma": 0.05, "init_epsilon": 1.0, "bisections": 10},
        {"steps": 30, "gamma": 0.1, "init_epsilon": 1.0, "bisections": 10},
    )
    # Forward and backward, and the bisections.
    assert (result.passes[0, :, :4] == 2 * 15 + 10).all()
    assert (result.passes[1, :, :4] == 2 * 30 + 10).all()
    assert not result.not_finite.any()
    assert (result.passes[..., 4] == 0).all()
    for norm in NORMS:
        assert result.distance[norm].shape == (2, 2, 5)
        assert result.distance[norm].dtype == np.float32
        assert (result.distance[norm][..., 4] == 0).all()
        assert np.array_equal(np.isfinite(result.distance[norm]), result.verified)


def test_the_stored_adversarials_are_the_evidence(problem, result):
    model, images, labels = problem
    clean = images[:5] / np.float32(255)
    for norm, order in zip(NORMS, (0, 1, 2, np.inf), strict=True):
        best = result.best_adversarial[norm]
        assert best.min() >= 0
        assert best.max() <= 1
        logits = predict(model, torch.from_numpy(best)[:, None], batch_size=5, device=CPU)
        assert (logits.argmax(dim=1).numpy() != labels[:5]).all()
        difference = (best.astype(np.float64) - clean).reshape(5, -1)
        measured = np.linalg.norm(difference, order, axis=1)
        np.testing.assert_allclose(measured, result.distance[norm].min(axis=(0, 1)), rtol=1e-6)


class Spoilt(nn.Module):
    """NaN for images that are near one, but no longer it; and for another."""

    def __init__(self, model, image, itself):
        super().__init__()
        self.model, self.image, self.itself = model, image, itself

    def forward(self, x):
        away = (x - self.image).flatten(1).norm(dim=1, keepdim=True)
        same = (x == self.itself).flatten(1).all(dim=1, keepdim=True)
        return torch.where(((away > 0) & (away < 1)) | same, torch.nan, self.model(x))


def test_what_meets_nan_fails_is_named_and_leaves_the_rest_alone(problem, caplog):
    model, images, labels = problem
    x = to_input(images)
    sample = np.arange(len(images))[:6]
    spoilt = Spoilt(model, x[1], x[2])
    with caplog.at_level("WARNING"):
        found = run((spoilt, images, labels), slice(0, 6), pad=True)
    assert [record.getMessage() for record in caplog.records] == [
        "the model's logits are NaN or infinite for 1 of 6 samples, which count as misclassified: 2",
        "ddn: 4 of 24 tries met logits that are NaN or infinite and count as failed; samples 1",
    ]
    assert found.sample.tolist() == sample.tolist()
    assert found.clean_correct.tolist() == [True, True, False, True, False, True]
    assert np.array_equal(found.not_finite, np.broadcast_to(sample == 1, (2, 2, 6)))
    assert not found.verified[..., 1].any()
    # Wrapped as well, since what is wrapped is not folded.
    whole = run((Spoilt(model, x[0] + 9, x[0] + 9), images, labels), slice(0, 6), pad=True)
    for norm in NORMS:
        assert np.isinf(found.distance[norm][..., 1]).all()
        assert np.isnan(found.best_adversarial[norm][1]).all()
        others = sample[(sample != 1) & (sample != 2)]
        assert np.array_equal(found.distance[norm][..., others], whole.distance[norm][..., others])


def test_a_model_that_gives_nan_throughout_is_refused(problem):
    model, images, labels = problem

    class Broken(nn.Module):
        def forward(self, x):
            return model(x) * torch.nan

    with pytest.raises(InputError, match="logits are NaN or infinite for 5 of 5 images"):
        run((Broken(), images, labels))


def test_who_found_the_closest_and_what_it_is_taken_for(problem, result):
    model, images, _ = problem
    assert np.array_equal(result.clean, images[:5])
    for norm in NORMS:
        assert (result.found_by[norm][4] == -1).all()
        for row, (setting, repetition) in enumerate(result.found_by[norm][:4]):
            distance = result.distance[norm][..., row]
            assert distance[setting, repetition] == distance.min()
        best = torch.from_numpy(result.best_adversarial[norm])[:, None]
        classes = predict(model, best, batch_size=5, device=CPU).argmax(dim=1)
        assert result.predicted[norm].tolist() == classes.tolist()


class Passes:
    """Counts a model's forward passes and interrupts the one after the last allowed."""

    def __init__(self, model, allowed=None):
        self.count, self.allowed = 0, allowed
        self.hook = model.register_forward_pre_hook(self)

    def __call__(self, module, inputs):
        if self.count == self.allowed:
            raise KeyboardInterrupt
        self.count += 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.hook.remove()

    def __deepcopy__(self, memo):
        """Count the passes of a copy of the model too."""
        return self


@pytest.fixture(scope="module")
def undisturbed(problem, tmp_path_factory):
    """A whole search of eight batches (two settings, two repetitions, four samples) as a file."""
    path = tmp_path_factory.mktemp("undisturbed") / "a.h5"
    with Passes(problem[0]) as passes:
        write_record(path, run(problem, batch_size=2))
    return path.read_bytes(), passes.count


@pytest.mark.parametrize(("share", "save_every"), [(0.3, 0.0), (0.3, 3600.0), (0.8, 3600.0)])
def test_an_interrupted_search_goes_on_to_the_same_bytes(problem, undisturbed, tmp_path, share, save_every):
    content, needed = undisturbed
    resume = tmp_path / "resume.safetensors"
    with Passes(problem[0], round(share * needed)), pytest.raises(KeyboardInterrupt):
        run(problem, batch_size=2, resume=ResumeFile(resume), save_every=save_every)
    assert resume.exists()
    with Passes(problem[0]) as passes:
        write_record(tmp_path / "b.h5", run(problem, batch_size=2, resume=ResumeFile(resume)))
    # A batch of 30 steps and 10 bisections, a try's verification and the first and last look at the samples
    # come twice at most.
    assert passes.count < (1 - share) * needed + 85
    assert (tmp_path / "b.h5").read_bytes() == content


@pytest.mark.parametrize(("save_every", "times"), [(0.0, 8), (3600.0, 2)])
def test_the_state_is_saved_at_intervals_and_at_the_end_of_a_setting(problem, tmp_path, save_every, times):
    class Counted(ResumeFile):
        after = ()

        def save(self, progress):
            super().save(progress)
            self.after += (len(progress.history),)

    settings = [{"steps": 2}, {"steps": 3}]
    resume = Counted(tmp_path / "resume.safetensors")
    run(problem, batch_size=2, settings=settings, resume=resume, save_every=save_every)
    assert len(resume.after) == times
    assert {4, 8} <= set(resume.after)


@pytest.mark.parametrize(
    "change",
    [{"seed": 2}, {}, {"repetitions": 3}, {"rows": slice(1, 5)}, {"settings": SETTINGS[:1]}],
)
def test_a_search_does_not_go_on_with_what_another_left(problem, tmp_path, change):
    resume = tmp_path / "resume.safetensors"
    run(problem, resume=ResumeFile(resume))
    with Passes(problem[0]) as again:
        run(problem, resume=ResumeFile(resume))
    assert again.count < 10
    # Without a change, it is another version of the code.
    found = run(problem, resume=ResumeFile(resume, "" if change else "another"), **change)
    afresh = run(problem, **change)
    write_record(tmp_path / "a.h5", found)
    write_record(tmp_path / "b.h5", afresh)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_a_search_does_not_go_on_with_another_model(problem, tmp_path):
    model, images, labels = problem
    resume = tmp_path / "resume.safetensors"
    run(problem, resume=ResumeFile(resume))
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.linear.weight[0] *= 1.01
    with Passes(other) as passes:
        run((other, images, labels), resume=ResumeFile(resume))
    assert passes.count > 50


def test_same_seed_same_bytes(problem, result, tmp_path):
    write_record(tmp_path / "a.h5", result)
    write_record(tmp_path / "b.h5", run(problem))
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert not np.array_equal(run(problem, seed=2).distance["l2"], result.distance["l2"])
    back = read_record(tmp_path / "a.h5", AttackResult)
    assert np.array_equal(back.distance["l2"], result.distance["l2"])


def test_batches_matter_by_rounding_only(problem, result):
    batched = run(problem, batch_size=3)
    assert np.array_equal(batched.passes, result.passes)
    for norm in ("l1", "l2", "linf"):
        difference = np.abs(batched.distance[norm][..., :4] / result.distance[norm][..., :4] - 1)
        # Rounding may take a search another way, but seldom.
        assert np.median(difference) < 1e-5
        assert (difference < 1e-3).mean() > 0.9


# Settings in an order that their groups do not have, one of them twice: equal distances, the first counts.
PADDED = {
    "ddn": [{"steps": 8}, {"steps": 12, "gamma": 0.1}, {"steps": 8, "gamma": 0.1}, {"steps": 8}],
    "jsma": [{"theta": 1.0, "targets": 3, "steps": 12}],
    "sparsefool": [{"steps": 2}],
    "brendel_bethge_l1": [{"steps": 3}, {"steps": 3, "radius": 0.01}],
}


def same(one, other, tries=slice(None)):
    """Whether two results hold the same for the same samples, to the bit."""
    order = [list(other.sample).index(sample) for sample in one.sample]
    for name in ("passes", "verified", "distance", "best_adversarial", "predicted", "found_by"):
        ours, theirs = getattr(one, name), getattr(other, name)
        for norm in NORMS if isinstance(ours, dict) else [None]:
            a, b = (ours, theirs) if norm is None else (ours[norm], theirs[norm])
            b = b[..., order] if (a.ndim == 3 and a.dtype != np.float32) or name == "distance" else b[order]
            if not np.array_equal(a, b, equal_nan=a.dtype == np.float32):
                return False
    return True


@pytest.mark.parametrize("method", PADDED)
def test_padded_a_row_is_the_same_to_the_bit_whatever_the_others(problem, method):
    options = {"method": method, "settings": PADDED[method], "pad": True, "batch_size": 8}
    whole = run(problem, **options)
    assert np.isfinite(whole.distance["l2"]).any()
    assert same(run(problem, rows=np.array([3, 0, 4, 2, 1]), **options), whole)
    assert same(run(problem, rows=slice(1, 3), **options), whole)


@pytest.fixture
def rows_passed(monkeypatch):
    """A list of the rows that each pass of a network takes."""
    passed, forward = [], ResNet.forward

    def counted(self, x):
        passed.append(len(x))
        return forward(self, x)

    monkeypatch.setattr(ResNet, "forward", counted)
    return passed


def test_padded_few_rows_take_few(problem, rows_passed):
    """What a search by JSMA still has under way shrinks, and with it what is passed."""
    options = {"method": "jsma", "settings": [{"theta": 0.5, "targets": 9}], "batch_size": 64}
    plain = run(problem, **options)
    needed, calls = sum(rows_passed), len(rows_passed)
    rows_passed.clear()
    padded = run(problem, pad=True, **options)
    assert set(rows_passed) == {16}
    assert sum(rows_passed) < needed + 15 * calls
    assert sum(rows_passed) < 64 * calls / 2
    assert np.array_equal(padded.verified, plain.verified)
    # Nor does it matter how many rows are attacked at once, or which.
    assert same(run(problem, pad=True, **options | {"batch_size": 17}), padded)
    assert same(run(problem, rows=slice(1, 3), pad=True, **options), padded)


def test_on_a_gpu_nothing_is_filled_up(any_gpu, problem, rows_passed):
    options = {"method": "jsma", "settings": [{"theta": 1.0, "targets": 2, "steps": 2}], "batch_size": 64}
    passed = []
    try:
        for pad in (True, False):
            with any_gpu():
                run(problem, pad=pad, device=torch.device("cuda"), **options)
            passed.append(tuple(rows_passed))
            rows_passed.clear()
    finally:
        problem[0].cpu()
    assert passed[0] == passed[1] and len(set(passed[0])) > 1


def test_joined_parts_are_the_whole_to_the_bit(problem, tmp_path):
    options = {"pad": True, "batch_size": 8}
    parts = [run(problem, rows=rows, **options) for rows in (slice(0, 2), slice(2, 3), slice(3, 5))]
    write_record(tmp_path / "joined.h5", join_parts(parts))
    write_record(tmp_path / "whole.h5", run(problem, **options))
    assert (tmp_path / "joined.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_of_equally_close_tries_the_first_counts_whatever_the_batches(problem):
    options = {"settings": PADDED["ddn"], "pad": True}
    # With one row in a batch, sums come in another order than with four: compare tries, not distances.
    for batch_size in (1, 4):
        found = run(problem, rows=slice(0, 2), batch_size=batch_size, **options)
        for norm in NORMS:
            distance = found.distance[norm]
            assert np.array_equal(distance[0], distance[3])
            for row, (setting, repetition) in enumerate(found.found_by[norm]):
                equal = np.argwhere(distance[..., row] == distance[..., row].min())
                assert setting < 3
                assert [setting, repetition] in equal.tolist()
                if norm == "l0":
                    assert [setting, repetition] == equal[0].tolist()


def test_more_tries_are_never_worse(problem, result):
    fewer = run(problem, settings=SETTINGS[:1], repetitions=1)
    for norm in NORMS:
        assert np.array_equal(fewer.distance[norm][0, 0], result.distance[norm][0, 0])


def test_nothing_to_attack(problem):
    result = run(problem, rows=slice(4, 5))
    assert (result.distance["l2"] == 0).all()
    assert result.verified.all()
    assert result.passes.sum() == 0


def test_a_model_that_cannot_be_fooled_gives_inf():
    class Constant(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :2] * 0 + torch.tensor([1.0, 0.0])

    images = np.full((3, 32, 32), 99, dtype=np.uint8)
    labels = np.zeros(3, dtype=int)
    for method, setting in (("ddn", {"steps": 5}), ("pgd", {"steps": 3, "search_steps": 4})):
        result = search(
            Constant(),
            images,
            labels,
            np.arange(3),
            method=method,
            settings=[setting],
            repetitions=2,
            seed=0,
            batch_size=2,
            device=CPU,
        )
        assert result.clean_correct.all()
        assert np.isinf(result.distance["linf"]).all()
        assert np.isnan(result.best_adversarial["l2"]).all()
        assert not result.verified.any()


class Tied(nn.Module):
    """Names class 1 for all images if these are an even number, and for bright ones, too."""

    def forward(self, x):
        lead = 1e-8 if len(x) % 2 else -1e-8
        bright = x.flatten(1).amax(dim=1).double() - 0.5
        return torch.stack([torch.ones_like(bright), 1.0 - lead + bright.clamp(min=0.0)], dim=1)


def test_what_is_right_is_decided_once():
    """A tie that goes the other way in the batch of the verification is no distance of 0."""
    images, labels = np.full((1, 4, 4), 50, dtype=np.uint8), np.zeros(1, dtype=int)
    options = {"settings": [{"steps": 3}], "repetitions": 2, "seed": 1, "batch_size": 8, "device": CPU}
    result = search(Tied(), images, labels, np.arange(1), method="ddn", **options)
    assert result.clean_correct.all()
    for norm in NORMS:
        assert (result.distance[norm] > 0).all()


class Brightness(nn.Module):
    """Takes bright images for class 1; class 2 is never the likeliest."""

    def forward(self, x):
        brightness = x.flatten(1).mean(dim=1)
        return torch.stack([0.5 - brightness, brightness - 0.5, 0.0 * brightness - 9.0], dim=1)


def flat(levels):
    return np.broadcast_to(levels[:, None, None], (len(levels), 8, 8)).copy()


def search_from(pool_images, pool_labels, count=4):
    levels, labels = np.repeat(np.uint8([99, 30, 200]), [10, 2, 2]), np.repeat([0, 0, 1], [10, 2, 2])
    return search(
        Brightness(),
        flat(levels),
        labels,
        np.arange(10, 10 + count),
        pool=(flat(np.uint8(pool_images)), np.array(pool_labels)),
        method="brendel_bethge_l2",
        settings=[{"steps": 2}],
        repetitions=2,
        seed=0,
        batch_size=4,
        device=CPU,
    )


def test_without_any_starting_point_a_search_says_what_is_missing(caplog):
    # Images of one class only, as the first ones of a folder sorted by class are.
    message = (
        r"^attacks: no starting point for any of the 2 samples that brendel_bethge_l2 would attack; "
        r"expected a test image of another class that the model, too, clearly takes for another class\.$"
    )
    with pytest.raises(InputError, match=message):
        search_from([30, 60], [0, 0], count=2)
    # Of another class, but the model takes it for the same.
    with pytest.raises(InputError, match=message):
        search_from([30, 60], [1, 2], count=2)
    assert np.isfinite(search_from([30, 200], [0, 1]).distance["l2"]).all()
    assert not caplog.records


def test_samples_without_a_starting_point_are_named_and_counted(caplog):
    # The bright image is no start for the bright samples, and there is no dark one.
    found = search_from([200, 220], [1, 1])
    assert found.verified.tolist() == [[[True, True, False, False]] * 2]
    assert np.isinf(found.distance["l2"][..., 2:]).all()
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("brendel_bethge_l2: 2 of 4 samples count as failed")
    assert record.getMessage().endswith(": 12, 13")


@pytest.fixture(scope="module")
def digits():
    """A small ResNet trained on digits, with images that it has not seen."""
    data = load_digits()
    images = (data.images * (255 / 16)).round().astype(np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    labels = data.target.astype(np.int64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, x, y = ResNet(width=4), to_input(images[:1000]), torch.from_numpy(labels[:1000])
        optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(4):
            for rows in torch.randperm(len(x)).split(50):
                optimiser.zero_grad()
                torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
                optimiser.step()
    unseen, truth = images[1000:1200], labels[1000:1200]
    right = predict(model, to_input(unseen), batch_size=50, device=CPU).argmax(dim=1).numpy() == truth
    assert right.mean() > 0.8
    chosen = np.r_[np.flatnonzero(right)[:6], np.flatnonzero(~right)[:2]]
    return model, unseen[chosen], truth[chosen]


@pytest.mark.parametrize(
    ("method", "settings", "most_pixels"),
    [
        ("jsma", [{"theta": 0.5, "targets": 1}, {"theta": 1.0, "targets": 3}], 60),
        ("sparsefool", [{}, {"lambda": 3.0}], 100),
    ],
)
def test_sparse_attacks_on_digits(digits, method, settings, most_pixels):
    options = {"method": method, "settings": settings}
    found = run(digits, rows=slice(None), **options)
    assert found.clean_correct.tolist() == [True] * 6 + [False] * 2
    assert (found.passes[..., :6] > 0).all()
    assert (found.passes[..., 6:] == 0).all()
    assert found.verified.all()
    for norm in NORMS:
        assert (found.distance[norm][..., 6:] == 0).all()
    assert (found.distance["l0"][..., :6] >= 1).all()
    assert (found.distance["l0"][..., :6].min(axis=(0, 1)) <= most_pixels).all()
    assert not np.array_equal(found.distance["l1"][:, 0], found.distance["l1"][:, 1])
    logits = predict(
        digits[0], torch.from_numpy(found.best_adversarial["l0"])[:, None], batch_size=8, device=CPU
    )
    assert (logits.argmax(dim=1).numpy() != digits[2]).all()
    again = run(digits, rows=slice(None), batch_size=3, **options)
    for norm in NORMS:
        np.testing.assert_allclose(again.distance[norm], found.distance[norm], rtol=1e-3)


def test_the_model_is_given_back_as_it_was(problem):
    model = problem[0]
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    run(problem, settings=[{"steps": 3}], repetitions=1)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "fgsm"}, "method 'fgsm'"),
        ({"settings": [{"lr": 1}]}, "setting 'lr' of ddn"),
        ({"settings": []}, "0 settings"),
        ({"repetitions": 0}, "0 repetitions"),
    ],
)
def test_bad_input_is_refused(problem, changes, message):
    with pytest.raises(InputError, match=message):
        run(problem, **changes)


@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=80),
    fraction=st.floats(0, 1),
    seed=st.integers(0, 9),
)
def test_shares_are_proportional(labels, fraction, seed):
    labels = np.array(labels)
    n = max(1, round(fraction * len(labels)))
    chosen = choose_samples(labels, n, seed)
    assert chosen.dtype == np.int64
    assert len(chosen) == n
    assert (np.diff(chosen) > 0).all()
    for label in np.unique(labels):
        exact = n * np.mean(labels == label)
        assert abs(np.sum(labels[chosen] == label) - exact) < 1


def test_every_image_is_equally_likely():
    labels = np.repeat(np.arange(4), 25)
    times = np.zeros(100)
    for seed in range(400):
        times[choose_samples(labels, 20, seed)] += 1
    # Binomial(400, 0.2): mean 80, standard deviation 8.
    assert np.abs(times - 80).max() < 5 * 8


def test_the_seed_alone_decides():
    labels = np.arange(1000) % 10
    assert np.array_equal(choose_samples(labels, 50, 1), choose_samples(labels, 50, 1))
    assert not np.array_equal(choose_samples(labels, 50, 1), choose_samples(labels, 50, 2))


@pytest.mark.parametrize("n", [0, 11])
def test_more_than_there_are_is_refused(n):
    with pytest.raises(InputError, match=f"{n} samples asked for; expected 1 to 10"):
        choose_samples(np.zeros(10, int), n, 0)
