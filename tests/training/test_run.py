import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from training_problems import SETTINGS, digits, run, target

from neuroreg.errors import InputError
from neuroreg.files.resume import ResumeFile
from neuroreg.images.stimuli import Stimuli
from neuroreg.seeds import derive_seed
from neuroreg.similarity.matrix import SimilarityMatrix
from neuroreg.training.checkpoints import load_model, save_model
from neuroreg.training.networks import ResNet
from neuroreg.training.run import learning_rate, make_target, train
from neuroreg.training.settings import TrainingSettings

torch.set_num_threads(1)  # bytes are compared
HELPERS = Path(__file__).parents[1] / "helpers"


def states_equal(first, second):
    pairs = [(first.model.state_dict(), second.model.state_dict()), (first.similarity, second.similarity)]
    return all(torch.equal(a[name], b[name]) for a, b in pairs for name in a)


@pytest.fixture(scope="module")
def trained():
    return run()


def test_it_learns_the_digits():
    images, labels = digits(1000)
    result = train(images, labels, 10, settings=SETTINGS, seed=2)
    assert result.history[result.best_epoch - 1]["validation_accuracy"] > 0.6


def test_history_is_complete_and_the_best_epoch_is_kept(trained):
    assert [row["epoch"] for row in trained.history] == [1, 2, 3, 4]
    losses = [row["validation_loss"] for row in trained.history]
    assert trained.best_epoch == int(np.argmin(losses)) + 1
    for row in trained.history:
        gamma = [row[f"gamma_{layer}"] for layer in (1, 5, 9, 13, 17)]
        assert sum(gamma) == pytest.approx(1)
        assert row["train_loss"] == pytest.approx(row["task_loss"] + 5 * row["similarity_loss"], rel=1e-4)
    assert trained.history[0]["learning_rate"] > trained.history[-1]["learning_rate"]


def cropped(image, row, column, mirrored):
    crop = np.pad(image, 4, mode="reflect")[row : row + 32, column : column + 32]
    return crop[:, ::-1] if mirrored else crop


def scaled(images):
    return torch.from_numpy(np.stack(images) / 255)[:, None]


def trained_by_hand(images, labels, target, settings, rates, *, seed, alpha):
    """The recipe of the paper in float64, with torch.optim and crops and pairs one by one.

    Returns rows of the history, the epoch that is kept, its weights and channel means, the first weights.
    """

    def stream(*names):
        return torch.Generator().manual_seed(derive_seed(seed, *names))

    order = torch.randperm(len(images), generator=stream("validation")).numpy()
    held, kept = np.split(order, [round(settings.validation_fraction * len(images))])
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(seed, "weights"))
        model = ResNet("resnet18", settings.width, 10).double()
    start = {name: value.detach().clone() for name, value in model.named_parameters()}
    logits = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    means = [torch.zeros(count, dtype=torch.float64) for count in model.layer_channels]
    descent = torch.optim.SGD(
        [*model.parameters(), logits], momentum=settings.momentum, weight_decay=settings.weight_decay
    )
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    rows, best = [], (np.inf,)
    for epoch, rate in enumerate(rates):
        draws, pairs = stream("epoch", epoch), stream("pairs", epoch)
        turn = kept[torch.randperm(len(kept), generator=draws).numpy()]
        losses, compared = [], []
        model.train()
        for step in range(len(kept) // settings.batch_size):
            batch = turn[settings.batch_size * step :][: settings.batch_size]
            places = torch.randint(0, 9, (2, len(batch), 1), generator=draws)[..., 0].T.tolist()
            mirrored = (torch.rand(len(batch), 1, generator=draws) < 0.5)[:, 0].tolist()
            x = [cropped(images[i], *place, m) for i, place, m in zip(batch, places, mirrored, strict=True)]
            chosen = torch.randperm(len(target.images), generator=pairs)[: 2 * settings.pairs_per_step]
            first, second = chosen.numpy().reshape(2, -1)
            task = F.cross_entropy(model(scaled(x)), torch.from_numpy(labels[batch]))
            averages = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in norms]
            features = model.features(scaled(target.images[[*first, *second]]))
            similarity = torch.zeros(len(first), dtype=torch.float64)
            for layer, (feature, gamma) in enumerate(zip(features, torch.softmax(logits, 0), strict=True)):
                means[layer] = 0.9 * means[layer] + 0.1 * feature.detach().mean((0, 2, 3))
                a, b = (feature - means[layer][:, None, None]).flatten(1).split(len(first))
                similarity = similarity + gamma * (a * b).sum(1) / a.norm(dim=1) / b.norm(dim=1)
            wanted = torch.from_numpy(target.matrix[first, second].astype(float))
            z = [torch.log((1 + s + 1e-5) / (1 - s + 1e-5)) / 2 for s in (similarity, wanted)]
            pair_loss = ((z[0] - z[1]) ** 2).sum() / len(first)
            loss = task + alpha * pair_loss
            descent.zero_grad()
            loss.backward()
            if not settings.stimuli_in_batch_norm:
                for norm, (mean, variance) in zip(norms, averages, strict=True):
                    norm.running_mean.copy_(mean)
                    norm.running_var.copy_(variance)
            descent.param_groups[0]["lr"] = rate
            descent.step()
            losses.append([loss.item(), task.item(), pair_loss.item()])
            compared.append(torch.stack([similarity.detach(), wanted]).numpy())
        model.eval()
        with torch.no_grad():
            answer = model(scaled(images[held]))
        truth = torch.from_numpy(labels[held])
        validation = F.cross_entropy(answer, truth).item()
        accuracy = (answer.argmax(1) == truth).double().mean().item()
        correlation = np.corrcoef(np.concatenate(compared, 1))[0, 1]
        gamma = torch.softmax(logits, 0).tolist()
        rows.append([epoch + 1, rate, *np.mean(losses, 0), validation, accuracy, correlation, *gamma])
        if validation < best[0]:
            weights = {name: value.clone() for name, value in model.state_dict().items()}
            best = validation, epoch + 1, weights, list(means)
    return rows, *best[1:], start


@pytest.mark.parametrize("together", [True, False])
def test_a_run_is_the_recipe_written_out(together):
    # Rates so small that rounding does not grow, weights decay so fast that it shows.
    settings = TrainingSettings(
        width=4,
        epochs=3,
        batch_size=16,
        pairs_per_step=4,
        learning_rate=1e-4,
        weight_decay=5.0,
        cycles=1,
        phases=3,
        horizontal_flip=True,
        stimuli_in_batch_norm=together,
    )
    images, labels = digits(64)
    found = train(images, labels, 10, settings=settings, seed=5, alpha=2.0, target=target())
    rates = [1e-4, 3e-5, 9e-6]
    rows, best, weights, means, start = trained_by_hand(
        images, labels, target(), settings, rates, seed=5, alpha=2.0
    )
    np.testing.assert_allclose([list(row.values()) for row in found.history], rows, rtol=1e-3)
    assert found.best_epoch == best
    state = found.model.state_dict()
    for name, before in start.items():
        moved = weights[name] - before
        assert (state[name] - before - moved).norm() < 0.02 * moved.norm(), name
    for name, value in state.items():
        torch.testing.assert_close(value.double(), weights[name].double(), rtol=1e-3, atol=1e-5)
    for layer, mean in enumerate(means):
        kept = found.similarity[f"running_mean_{layer}"].double()
        torch.testing.assert_close(kept, mean, rtol=1e-3, atol=1e-5)


def test_the_objective_pulls_the_network_towards_the_target():
    settings = TrainingSettings(**{**vars(SETTINGS), "epochs": 8})
    with_target = run(settings=settings, alpha=20.0)
    first, last = with_target.history[0], with_target.history[-1]
    assert last["similarity_loss"] < first["similarity_loss"]
    assert last["similarity_correlation"] > 0.5


def test_same_seed_same_bytes_and_another_seed_another_model(trained):
    assert states_equal(trained, run())
    assert not states_equal(trained, run(seed=3))


def test_the_log_ratios_alpha_is_a_quarter_of_the_formulas_to_the_bit(trained):
    # All factors are powers of two: alpha 5 of the formula is alpha 1.25 of the descendant's code.
    settings = TrainingSettings(**{**vars(SETTINGS), "fisher_z": "log_ratio"})
    descendant = run(settings=settings, alpha=1.25)
    assert states_equal(trained, descendant)
    for ours, theirs in zip(trained.history, descendant.history, strict=True):
        assert theirs["similarity_loss"] == pytest.approx(4 * ours["similarity_loss"], rel=1e-6)
    assert not states_equal(trained, run(settings=settings))


def test_alpha_zero_keeps_gamma_at_its_start():
    result = run(alpha=0.0, target=None)
    assert result.history[-1]["gamma_5"] == pytest.approx(0.2)
    assert np.isnan(result.history[-1]["similarity_loss"])


def test_bfloat16_computes_nearly_the_same_loss():
    # At a small learning rate, for at a large one any rounding grows.
    slow = {**vars(SETTINGS), "epochs": 1, "learning_rate": 1e-4}
    full, low = (
        run(settings=TrainingSettings(**{**slow, "precision": precision})).history[0]
        for precision in ("float32", "bfloat16")
    )
    for part in ("task_loss", "similarity_loss"):
        assert low[part] == pytest.approx(full[part], rel=0.02)
        assert low[part] != full[part]


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from training_problems import run
from neuroreg.files.resume import ResumeFile
from neuroreg.training.checkpoints import save_model
import torch
torch.set_num_threads(1)
trained = run(resume=ResumeFile(Path(sys.argv[2])))
save_model(sys.argv[3], trained.model, trained.similarity)
"""


def test_a_run_killed_in_each_epoch_ends_with_the_same_bytes(tmp_path):
    whole = run()
    resume, finished = tmp_path / "resume.safetensors", tmp_path / "model.safetensors"
    command = [sys.executable, "-c", KILLED, str(HELPERS), str(resume), str(finished)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    seconds = np.random.default_rng(7).uniform(0, 0.3, SETTINGS.epochs - 1)
    kills = 0
    for moment in seconds:
        before = resume.stat().st_mtime_ns if resume.exists() else 0
        process = subprocess.Popen(command, env=environment)
        while process.poll() is None and not (resume.exists() and resume.stat().st_mtime_ns > before):
            time.sleep(0.01)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills >= 1
    subprocess.run(command, env=environment, check=True)
    expected = tmp_path / "expected.safetensors"
    save_model(expected, whole.model, whole.similarity)
    assert finished.read_bytes() == expected.read_bytes()
    resumed = run(resume=ResumeFile(resume))
    for first, second in zip(whole.history, resumed.history, strict=True):
        np.testing.assert_array_equal(list(first.values()), list(second.values()))


def test_the_state_of_another_run_is_not_resumed(tmp_path, trained):
    resume = tmp_path / "resume.safetensors"
    for seed, code in ((9, ""), (1, "an older version")):
        run(resume=ResumeFile(resume, code), seed=seed)
        assert states_equal(trained, run(resume=ResumeFile(resume)))


def test_a_saved_model_answers_as_before(tmp_path, trained):
    path = tmp_path / "model.safetensors"
    save_model(path, trained.model, trained.similarity)
    again = tmp_path / "again.safetensors"
    for _ in range(5):  # safetensors' own order of metadata would be random
        save_model(again, trained.model, trained.similarity)
        assert again.read_bytes() == path.read_bytes()
    images = torch.rand(3, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(load_model(path)(images), trained.model(images))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": target(6)}, "4 pairs need 8 different stimuli, but the pool has 6"),
        ({"target": None}, "there is no target"),
        (
            {"settings": TrainingSettings(**{**vars(SETTINGS), "batch_size": 290})},
            "290 images in a batch, but only 270 training images",
        ),
        (
            {"settings": TrainingSettings(**{**vars(SETTINGS), "learning_rate": 1e25})},
            r"diverged in epoch \d+ by step \d+: task loss .* learning rate 1e\+25",
        ),
    ],
)
def test_bad_input_is_named(changes, message):
    with pytest.raises(InputError, match=message):
        run(**changes)


def test_a_target_has_its_images_in_the_order_of_the_matrix():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 36, 64), dtype=np.uint8)
    stimuli = Stimuli(images, np.array([f"c/{i}" for i in range(6)]), np.arange(6) == 5)
    values = rng.uniform(-1, 1, (4, 4)).astype(np.float32)
    values = np.where(np.eye(4, dtype=bool), np.float32(1), (values + values.T) / 2)
    found = make_target(SimilarityMatrix(values, np.array(["c/3", "c/0", "c/4", "c/1"])), stimuli)
    np.testing.assert_array_equal(found.images, images[[3, 0, 4, 1]])
    np.testing.assert_array_equal(found.matrix, values)
    other = SimilarityMatrix(values, np.array(["c/3", "d/1", "c/4", "d/0"]))
    with pytest.raises(InputError, match="2 of 4 keys are not among the stimuli, the first is 'd/1'"):
        make_target(other, stimuli)


@pytest.mark.parametrize("content", [b"", b"not safetensors"])
def test_a_file_that_is_no_model_is_refused(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a trained model of this project"):
        load_model(path)
    with pytest.raises(InputError, match="no such file"):
        load_model(tmp_path / "absent.safetensors")


def test_stimuli_move_batch_norm_only_if_they_may():
    apart = TrainingSettings(**{**vars(SETTINGS), "epochs": 1, "stimuli_in_batch_norm": False})
    together = TrainingSettings(**{**vars(apart), "stimuli_in_batch_norm": True})
    # At a vanishing alpha the weights hardly differ, so the running averages tell who moved them.
    means = [
        run(settings=settings, alpha=alpha).model.bn1.running_mean
        for settings, alpha in ((apart, 0.0), (apart, 1e-12), (together, 1e-12))
    ]
    assert (means[1] - means[2]).norm() > 0.1 * means[1].norm()


def rates(epochs):
    settings = TrainingSettings(epochs=epochs)
    return [learning_rate(epoch, settings) for epoch in range(epochs)]


def test_the_papers_forty_epochs():
    phase = [0.1 * 0.3**k for k in range(5) for _ in range(4)]
    assert rates(40) == pytest.approx(phase * 2)


@pytest.mark.parametrize("epochs", [10, 20, 30])
def test_other_lengths_keep_the_proportions(epochs):
    found = rates(epochs)
    assert found[: epochs // 2] == found[epochs // 2 :]
    assert len(set(found)) == 5


@pytest.mark.parametrize("epochs", range(2, 45))
def test_each_cycle_starts_anew_and_falls_in_both_halves_of_any_length(epochs):
    found, half = rates(epochs), -(-epochs // 2)
    assert found[0] == found[half] == 0.1
    for cycle in (found[:half], found[half:]):
        assert (np.diff(cycle) <= 0).all()
        if len(cycle) >= 5:
            assert sorted(set(cycle), reverse=True) == pytest.approx([0.1 * 0.3**k for k in range(5)])


def test_one_epoch_has_the_initial_rate():
    assert rates(1) == [0.1]
