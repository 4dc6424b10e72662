"""The predictive model: parts against SciPy, NumPy or closed forms, the whole against a known population."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage, signal
from torch.nn import functional as F

from neuroreg.errors import InputError
from neuroreg.files.resume import ResumeFile
from neuroreg.files.storage import read_json
from neuroreg.response_model.files import load_response_model, save_response_model
from neuroreg.response_model.fit import build_model, empty_model, fit_response_model, plateaus, poisson_loss
from neuroreg.response_model.localisation import gabor_pair, locate_receptive_fields
from neuroreg.response_model.model import (
    Core,
    Modulator,
    PointReadout,
    Shifter,
    elu1,
    sample_and_weigh,
    shift_map,
)
from neuroreg.response_model.predict import predict_pool, predict_trials
from neuroreg.response_model.reliability import fraction_of_oracle, measure_neurons
from neuroreg.response_model.settings import FitSettings
from neuroreg.scans.reliability import single_trial_correlation
from neuroreg.scans.scan import Scan
from neuroreg.seeds import derive_seed

LAPLACIAN = [[0.25, 0.5, 0.25], [0.5, -3.0, 0.5], [0.25, 0.5, 0.25]]
TINY = FitSettings(channels=2, input_kernel=3, max_epochs=2, contexts=5, batch_size=16)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images_like_nature(rng, count):
    """Noise with the 1/f amplitude of natural images, uint8 (count, 36, 64)."""
    fy, fx = np.fft.fftfreq(36)[:, None], np.fft.rfftfreq(64)[None]
    amplitude = 1 / np.maximum(np.hypot(fy, fx), 1 / 64)
    noise = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(count, 36, 64))) * amplitude, s=(36, 64))
    noise /= noise.std((1, 2), keepdims=True)
    return np.clip(128 + 50 * noise, 0, 255).astype(np.uint8)


def known_population(seed=0, neurons=24, train=500, validation=60, images=400):
    """Linear Gabor filters, half-rectified, moved by the pupil and scaled by behaviour, with gamma noise."""
    rng = np.random.default_rng(seed)
    pictures = images_like_nature(rng, images)
    trials, repeated = train + 2 * validation, validation // 2
    single = rng.integers(repeated, images, train + validation)
    image = np.concatenate([single, np.repeat(np.arange(repeated), 2)])
    tier = np.repeat(["train", "validation", "test"], [train, validation, validation])
    behavior, pupil = rng.normal(5, 2, (trials, 3)), rng.normal(40, 3, (trials, 2))
    y, x = np.mgrid[:36, :64].reshape(2, -1, 1)
    x0, y0 = rng.uniform(16, 48, neurons), rng.uniform(12, 24, neurons)
    angle, phase = rng.uniform(0, np.pi, neurons), rng.uniform(0, 2 * np.pi, neurons)
    wave = np.cos(0.9 * ((x - x0) * np.cos(angle) + (y - y0) * np.sin(angle)) + phase)
    filters = np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 18) * wave
    filters /= np.linalg.norm(filters, axis=0)
    shift = np.rint((pupil - 40) * [1.0, 0.7]).astype(int)
    seen = [np.roll(pictures[i], (-dy, -dx), (0, 1)) for i, (dx, dy) in zip(image, shift, strict=True)]
    drive = (np.array(seen).reshape(trials, -1) - 128.0) @ filters
    rate = 3 * np.maximum(drive / drive.std(0), 0) + 0.2
    log_gain = (behavior - 5) / 2 @ rng.normal(0, 0.3, (3, neurons))
    rate *= np.exp(log_gain)
    scan = Scan(
        images=pictures,
        key=np.array([f"c/{i}" for i in range(images)]),
        image=image,
        tier=tier,
        responses=rng.gamma(rate / 0.5, 0.5).astype(np.float32),
        behavior=behavior.astype(np.float32),
        pupil_center=pupil.astype(np.float32),
        unit_id=np.arange(neurons),
    )
    return scan, np.column_stack([x0, y0]), log_gain


@pytest.fixture(scope="module")
def small_scan():
    return known_population(1, neurons=4, train=40, validation=10, images=40)[0]


@pytest.fixture(scope="module")
def small_fit(small_scan):
    return fit_response_model(small_scan, TINY, seed=1)


def test_core_keeps_the_features_of_all_layers():
    core = Core(3, 5, 3, generator()).eval()
    image = np.random.default_rng(0).normal(size=(36, 64)).astype(np.float32)
    with torch.no_grad():
        features = core(torch.tensor(image)[None, None])
    assert features.shape == (1, core.features, 18, 32)
    assert core.features == 9
    # Running mean 0 and variance 1: the norm only divides by sqrt(1 + eps).
    kernels = [kernel.detach().numpy() for kernel in core.kernels]
    inputs = image[None]
    for layer, (kernel, stride) in enumerate(zip(kernels, (2, 1, 1), strict=True)):
        out = [
            sum(
                signal.correlate2d(plane, k, mode="same")[::stride, ::stride]
                for plane, k in zip(inputs, channel, strict=True)
            )
            for channel in kernel
        ]
        inputs = np.maximum(np.array(out) / np.sqrt(1 + 1e-5), 0)
        np.testing.assert_allclose(features[0, 3 * layer : 3 * layer + 3], inputs, atol=1e-4)


def test_roughness_is_the_summed_squared_laplacian():
    core = Core(3, 5, 3, generator())
    kernels = core.kernels[0].detach().numpy()[:, 0]
    expected = np.mean([(signal.convolve2d(k, LAPLACIAN, mode="same") ** 2).sum() for k in kernels])
    assert core.roughness().item() == pytest.approx(expected, rel=1e-5)


def test_readout_samples_bilinearly_as_scipy_does():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(2, 3, 18, 32)).astype(np.float32)
    readout = PointReadout(20, 3, 0.1, generator())
    position = rng.uniform(-1.2, 1.2, (20, 2))
    weight, bias = rng.normal(size=(20, 3)), rng.normal(size=20)
    with torch.no_grad():
        for name, value in (("position", position), ("weight", weight), ("bias", bias)):
            getattr(readout, name).copy_(torch.tensor(value))
        found = readout(torch.tensor(features)).numpy()
    # -1 and 1 are the outer edges of the first and last of the map's cells.
    columns, rows = ((position + 1) * [32, 18] / 2 - 0.5).T
    for b in range(2):
        sampled = [ndimage.map_coordinates(f, [rows, columns], order=1, mode="nearest") for f in features[b]]
        drive = (weight * np.transpose(sampled)).sum(1) + bias
        np.testing.assert_allclose(found[b], np.where(drive > 0, drive + 1, np.exp(drive)), atol=1e-4)


@pytest.mark.parametrize("neurons", [1, 3, 200])
def test_neurons_that_crowd_at_one_place_are_read_one_by_one(neurons):
    # More neurons at a map point than fit into one tile, and a map of the least size.
    features = torch.randn(3, 4, 2, 2, generator=generator(0))
    position = 0.3 * torch.randn(neurons, 2, generator=generator(1))
    weight = torch.randn(neurons, 4, generator=generator(2))
    found = sample_and_weigh(features, position, weight)
    for n in range(neurons):
        grid = position[n].expand(3, 1, 1, 2)
        sampled = F.grid_sample(features, grid, padding_mode="border", align_corners=False)[:, :, 0, 0]
        np.testing.assert_allclose(found[:, n], sampled @ weight[n], atol=1e-5)


def test_a_moved_map_reads_as_the_moved_positions_do():
    rng = np.random.default_rng(5)
    features = rng.normal(size=(2, 3, 18, 32)).astype(np.float32)
    shift = np.array([[0.21, -0.13], [-0.6, 0.4]])
    moved = shift_map(torch.tensor(features), torch.tensor(shift, dtype=torch.float32)).numpy()
    for b in range(2):
        rows, columns = np.mgrid[:18, :32] + (shift[b][::-1] * [18, 32] / 2)[:, None, None]
        for channel in range(3):
            expected = ndimage.map_coordinates(features[b, channel], [rows, columns], order=1, mode="nearest")
            np.testing.assert_allclose(moved[b, channel], expected, atol=1e-5)


def test_readout_gradients_equal_finite_differences():
    readout = PointReadout(4, 2, 0.3, generator(2)).double()
    features = torch.randn(2, 2, 5, 7, generator=generator(3), dtype=torch.float64, requires_grad=True)
    shift = torch.tensor([[0.11, -0.07], [-0.2, 0.13]], dtype=torch.float64, requires_grad=True)
    noise = torch.randn(4, 2, generator=generator(4), dtype=torch.float64)
    names = [name for name, _ in readout.named_parameters()]

    def rates(features, shift, *parameters):
        values = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(readout, values, (shift_map(features, shift), noise))

    assert {"position", "log_spread", "weight", "bias"} == set(names)
    assert torch.autograd.gradcheck(rates, (features, shift, *readout.parameters()))


def test_shifter_moves_the_readout_by_the_expected_pixels():
    shifter = Shifter(1, 0.5, generator())
    with torch.no_grad():
        shifter.input_weight.copy_(torch.tensor([[0.3], [-0.4]]))
        shifter.output_weight.copy_(torch.tensor([[0.2, -0.5]]))
    pupil = np.array([[1.0, 2.0], [-3.0, 0.5]])
    hidden = np.tanh(pupil @ [[0.3], [-0.4]])
    expected = 0.5 * np.tanh(hidden @ [[0.2, -0.5]])
    shift = shifter(torch.tensor(pupil, dtype=torch.float32))
    np.testing.assert_allclose(shift.detach(), expected, rtol=1e-5)
    # On maps that count their columns and rows, a readout tells where it is: half an image pixel a cell.
    rows, columns = np.mgrid[:18, :32]
    ramps = torch.tensor(np.array([columns, rows]), dtype=torch.float32).expand(2, 2, 18, 32)
    readout = PointReadout(2, 2, 0.1, generator())
    with torch.no_grad():
        readout.weight.copy_(torch.eye(2))
        moved = readout(shift_map(ramps, shift)) - readout(ramps)
    np.testing.assert_allclose(moved * 2, expected * [32, 18], rtol=1e-4)


def test_shift_is_bounded_and_zero_at_the_start():
    shifter = Shifter(3, 0.5, generator())
    pupil = torch.randn(50, 2, generator=generator(1)) * 1e3
    assert not shifter(pupil).any()
    with torch.no_grad():
        shifter.output_weight.fill_(10)
    assert shifter(pupil).abs().max() <= 0.5


def test_gain_has_its_closed_form():
    modulator = Modulator(2, 3, 4, generator())
    behavior = np.random.default_rng(3).normal(size=(6, 2)).astype(np.float32)
    assert (modulator(torch.tensor(behavior)) == 1).all()
    weights = np.random.default_rng(4).normal(size=(3, 4)).astype(np.float32)
    bias = np.array([0.1, -0.2, 0.3], np.float32)
    with torch.no_grad():
        modulator.output_weight.copy_(torch.tensor(weights))
        modulator.input_bias.copy_(torch.tensor(bias))
    expected = np.exp(np.tanh(behavior @ modulator.input_weight.detach().numpy() + bias) @ weights)
    np.testing.assert_allclose(modulator(torch.tensor(behavior)).detach(), expected, rtol=1e-5)
    assert expected.min() < 1 < expected.max()


def test_elu1_is_continuous_positive_and_linear_above_zero():
    drive = torch.tensor([-20.0, -1.0, -1e-6, 0.0, 1e-6, 3.0])
    expected = [np.exp(-20), np.exp(-1), 1, 1, 1, 4]
    np.testing.assert_allclose(elu1(drive), expected, rtol=1e-5, atol=1e-7)


def test_gabor_pairs_are_in_quadrature_and_blind_to_luminance():
    even, odd = gabor_pair(0.1, 0.5)[:, 0]
    assert abs(even.sum()) < 1e-5
    assert abs(odd.sum()) < 1e-5
    assert abs((even * odd).sum()) < 1e-5
    np.testing.assert_allclose(even.flip(0, 1), even, atol=1e-6)
    np.testing.assert_allclose(odd.flip(0, 1), -odd, atol=1e-6)
    # The spectrum peaks at the frequency and angle asked for.
    spectrum = np.abs(np.fft.fft2(odd.numpy(), (200, 200)))[:100, :100]
    fy, fx = np.unravel_index(spectrum.argmax(), spectrum.shape)
    np.testing.assert_allclose([fx / 200, fy / 200], 0.1 * np.array([np.cos(0.5), np.sin(0.5)]), atol=0.01)


def test_receptive_fields_are_located():
    scan, centres, _ = known_population(2)
    train = scan.trials_of("train")
    found = locate_receptive_fields(scan.images, scan.image[train], scan.responses[train])
    error = np.hypot(*(found - centres).T)
    assert np.median(error) < 3
    assert np.mean(error > 6) < 0.2
    # Which neuron is where does not depend on how its responses are scaled, or on the others.
    some = locate_receptive_fields(scan.images, scan.image[train], scan.responses[train][:, ::-3] * 4)
    np.testing.assert_array_equal(some, found[::-3])


def test_loss_does_not_change_with_batch_or_population():
    rate = torch.rand(5, 3, generator=generator(6)) + 0.5
    response = torch.rand(5, 3, generator=generator(7))
    expected = np.mean(rate.numpy() - response.numpy() * np.log(rate.numpy()))
    assert poisson_loss(rate, response).item() == pytest.approx(expected, rel=1e-5)
    doubled = poisson_loss(rate.repeat(2, 4), response.repeat(2, 4))
    assert doubled.item() == pytest.approx(expected, rel=1e-5)


def test_statistics_come_from_the_training_trials(small_scan):
    train = np.flatnonzero(small_scan.tier == "train")
    model = build_model(small_scan, train, TINY, seed=0)
    np.testing.assert_allclose(model.response_std, small_scan.responses[train].std(0), rtol=1e-5)
    np.testing.assert_allclose(model.behavior_mean, small_scan.behavior[train].mean(0), rtol=1e-5)
    np.testing.assert_allclose(model.pupil_center_std, small_scan.pupil_center[train].std(0), rtol=1e-5)
    shown = small_scan.images[np.unique(small_scan.image[train])]
    assert model.image_mean.item() == pytest.approx(shown.mean(), rel=1e-5)
    assert model.image_std.item() == pytest.approx(shown.std(), rel=1e-5)
    states = np.column_stack([small_scan.behavior, small_scan.pupil_center])[train]
    contexts = torch.cat([model.context_behavior, model.context_pupil_center], 1).numpy()
    rows = [np.flatnonzero((states == context).all(1)) for context in contexts]
    assert all(len(row) == 1 for row in rows)
    assert len({int(row[0]) for row in rows}) == TINY.contexts


def test_a_fit_starts_from_the_mean_responses(small_scan):
    train = np.flatnonzero(small_scan.tier == "train")
    # Below and above a deviation, where the nonlinearity bends.
    responses = small_scan.responses + np.array([0, 0, 20, 20], np.float32)
    model = build_model(replace(small_scan, responses=responses), train, TINY, seed=0)
    rest = elu1(model.readout.bias).detach().numpy() * model.response_std.numpy()
    np.testing.assert_allclose(rest, responses[train].mean(0), rtol=1e-5)
    assert (model.readout.bias < 0).any() and (model.readout.bias > 0).any()


def fitted_by_hand(scan, settings, seed):
    """The fit written out with Adam: history and kept weights; one learning rate after the other."""
    train, validation = (np.flatnonzero(scan.tier == tier) for tier in ("train", "validation"))
    model = build_model(scan, train, settings, seed)
    responses = np.maximum(scan.responses[train], 0) / model.response_std.numpy()
    rate, history, best = settings.learning_rate, [], (-np.inf,)
    optimizer, waited = torch.optim.Adam(model.parameters(), rate), 0
    while len(history) < settings.max_epochs:
        draws = generator(derive_seed(seed, "epoch", len(history) + 1))
        batches = -(-len(train) // settings.batch_size)
        order = torch.randperm(len(train), generator=draws)
        noises = [torch.randn(scan.responses.shape[1], 2, generator=draws) for _ in range(batches)]
        losses = []
        model.train()
        for rows, noise in zip(np.array_split(order.numpy(), batches), noises, strict=True):
            trials = train[rows]
            pictures = torch.from_numpy(scan.images[scan.image[trials]])
            covariates = (torch.from_numpy(part[trials]) for part in (scan.behavior, scan.pupil_center))
            answer = model(model.map(pictures), *covariates, noise)
            wanted = torch.from_numpy(responses[rows])
            loss = (answer - wanted * torch.log(answer)).sum() / wanted.numel()
            kernels, laplacian = model.core.kernels, torch.tensor(LAPLACIAN)
            rough = sum(
                F.conv2d(k[None], laplacian[None, None], padding=1).square().sum() for k in kernels[0]
            )
            small = sum(k.square().sum() / len(k) for k in kernels[1:]) / (len(kernels) - 1)
            neurons = len(model.response_std)
            penalties = (
                settings.laplace * rough / len(kernels[0])
                + settings.core_l2 * small
                + settings.readout_l1 * model.readout.weight.abs().sum() / neurons
                + settings.gain_l2 * model.modulator.output_weight.square().sum() / neurons
            )
            optimizer.zero_grad()
            (loss + penalties).backward()
            optimizer.step()
            losses.append(loss.item())
        predicted = predict_trials(model, scan, validation)
        score = np.mean(
            [np.corrcoef(*pair)[0, 1] for pair in zip(predicted.T, scan.responses[validation].T, strict=True)]
        )
        history.append([len(history) + 1, rate, np.mean(losses), score])
        waited = 0 if score > best[0] else waited + 1
        if score > best[0]:
            best = score, {name: value.clone() for name, value in model.state_dict().items()}
        if waited == settings.patience:
            waited, rate = 0, 0.3 * rate
            model.load_state_dict(best[1])
            optimizer = torch.optim.Adam(model.parameters(), rate)
    return history, best[1]


def test_a_fit_is_the_recipe_written_out(small_scan):
    # Strong penalties, negative responses, few trials in the last batch, two reductions.
    scan = replace(small_scan, responses=small_scan.responses - np.array([1, 0, 2, 0], np.float32))
    changes = {"laplace": 0.3, "core_l2": 0.2, "readout_l1": 0.5, "gain_l2": 0.4}
    changes |= {"max_epochs": 7, "patience": 1, "batch_size": 12, "learning_rate": 0.01}
    settings = TINY.model_copy(update=changes)
    fitted = fit_response_model(scan, settings, seed=4)
    history, weights = fitted_by_hand(scan, settings, 4)
    assert len({row[1] for row in history}) > 2
    np.testing.assert_allclose([list(row.values()) for row in fitted.history], history, rtol=1e-3, atol=1e-4)
    for name, value in fitted.model.state_dict().items():
        torch.testing.assert_close(value, weights[name], rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("kernel", [3, 9, 15])
def test_readouts_start_at_the_very_pixel_where_their_fields_were_found(small_scan, kernel):
    train = np.flatnonzero(small_scan.tier == "train")
    used, image = np.unique(small_scan.image[train], return_inverse=True)
    centres = locate_receptive_fields(small_scan.images[used], image, small_scan.responses[train])
    model = build_model(small_scan, train, TINY.model_copy(update={"input_kernel": kernel}), seed=0).eval()
    with torch.no_grad():
        # The first channel of the map has the image as it is, on every second pixel.
        model.core.kernels[0].zero_()[0, 0, kernel // 2, kernel // 2] = 1
        weight = torch.zeros(len(centres), model.core.features)
        weight[:, 0] = 1
        for (x, y), position in zip(centres.astype(int), model.readout.position, strict=True):
            dots = torch.zeros(3, 3, 36, 64)  # an image for the pixel and each of its neighbours
            for row in range(3):
                for column in range(3):
                    if 0 <= y + row - 1 < 36 and 0 <= x + column - 1 < 64:
                        dots[row, column, y + row - 1, x + column - 1] = 1
            read = sample_and_weigh(model.core(dots.view(9, 1, 36, 64)), position[None], weight[:1])
            expected = np.zeros((3, 3))
            expected[1, 1] = (1 + 1e-5) ** -0.5  # what the batch norm divides by
            np.testing.assert_allclose(read.view(3, 3), expected, atol=1e-5)


def test_predictions_of_trials_equal_one_at_a_time(small_scan, small_fit):
    trials = np.flatnonzero(small_scan.tier == "test")[::-1]
    model = small_fit.model
    expected = []
    with torch.no_grad():
        for t in trials:
            features = model.map(torch.tensor(small_scan.images[small_scan.image[t]])[None])
            behavior = torch.tensor(small_scan.behavior[t])[None]
            rate = model(features, behavior, torch.tensor(small_scan.pupil_center[t])[None])
            expected.append((rate * model.response_std)[0].numpy())
    for batch_size in (1, 3, 64):
        found = predict_trials(model, small_scan, trials, batch_size=batch_size)
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert found.dtype == np.float32


def test_pool_predictions_are_the_mean_over_the_stored_states(small_scan, small_fit):
    model = small_fit.model
    with torch.no_grad():
        # An early fit has next to no gain or shift: make both matter.
        model.modulator.output_weight.normal_(0, 1, generator=generator(8))
        model.shifter.output_weight.normal_(0, 1, generator=generator(9))
    states, images = TINY.contexts, 7
    scan = Scan(
        images=small_scan.images[:images],
        key=small_scan.key[:images],
        image=np.repeat(np.arange(images), states),
        tier=np.full(images * states, "test"),
        responses=np.ones((images * states, 4), np.float32),
        behavior=np.tile(model.context_behavior.numpy(), (images, 1)),
        pupil_center=np.tile(model.context_pupil_center.numpy(), (images, 1)),
        unit_id=small_scan.unit_id,
    )
    each = predict_trials(model, scan, np.arange(images * states)).reshape(images, states, 4)
    assert each.std(1).min() > 1e-3
    for batch_size in (1, 4, 64):
        found = predict_pool(model, scan.images, batch_size=batch_size)
        np.testing.assert_allclose(found, each.mean(1), rtol=1e-4)
    with pytest.raises(InputError, match="images: found float32"):
        predict_pool(model, scan.images.astype(np.float32))


def saved(tmp_path, scan, settings, seed, name):
    fitted = fit_response_model(scan, settings, seed=seed)
    quality = measure_neurons(scan, lambda trials: predict_trials(fitted.model, scan, trials))
    paths = tmp_path / f"{name}.safetensors", tmp_path / f"{name}.json"
    save_response_model(*paths, fitted, quality)
    return *paths, fitted, quality


def test_same_seed_same_bytes_and_files_give_back_the_model(tmp_path, small_scan):
    torch.manual_seed(1)
    weights, summary, fitted, quality = saved(tmp_path, small_scan, TINY, 1, "a")
    torch.manual_seed(2)
    again, summary_again, _, _ = saved(tmp_path, small_scan, TINY, 1, "b")
    other, _, _, _ = saved(tmp_path, small_scan, TINY, 2, "c")
    assert weights.read_bytes() == again.read_bytes()
    assert summary.read_bytes() == summary_again.read_bytes()
    assert weights.read_bytes() != other.read_bytes()
    loaded = load_response_model(weights)
    np.testing.assert_array_equal(
        predict_pool(loaded, small_scan.images), predict_pool(fitted.model, small_scan.images)
    )
    content = read_json(summary)
    assert content["w"] == quality.w.tolist()
    assert content["summary"]["mean_v"] == pytest.approx(quality.v.mean())
    assert content["summary"]["neurons"] == 4
    told = fraction_of_oracle(quality.single_trial_correlation, quality.oracle)
    assert content["summary"]["fraction_of_oracle"] == pytest.approx(told)
    assert len(content["history"]) == 2


def test_files_that_are_no_response_model_are_named(tmp_path, small_scan):
    with pytest.raises(InputError, match=r"none\.safetensors: no such file"):
        load_response_model(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"bad\.safetensors: not a response model"):
        load_response_model(tmp_path / "bad.safetensors")


def test_units_of_the_responses_only_scale_the_predictions(small_scan, small_fit):
    plain = fit_response_model(small_scan, TINY, seed=3)
    # Powers of two, so that the scaled responses are the same floats; the smaller as if they were in volts.
    for factor in (4.0, 2.0**-30):
        responses = small_scan.responses * np.float32(factor)
        scaled = fit_response_model(replace(small_scan, responses=responses), TINY, seed=3)
        expected = factor * predict_pool(plain.model, small_scan.images)
        np.testing.assert_allclose(predict_pool(scaled.model, small_scan.images), expected, rtol=1e-3)


def test_fit_survives_silent_neurons_constant_covariates_and_logs_each_epoch(small_scan):
    responses = small_scan.responses.copy()
    responses[:, 0] = 0
    scan = replace(
        small_scan,
        responses=responses,
        behavior=small_scan.behavior * 0 + 3,
        pupil_center=small_scan.pupil_center * 0,
    )
    lines = []
    fitted = fit_response_model(scan, TINY, seed=0, log=lines.append)
    assert [line.split(":")[0] for line in lines] == ["epoch 1", "epoch 2"]
    assert np.isfinite(predict_pool(fitted.model, scan.images)).all()
    assert np.isfinite(fitted.validation_correlation)


def test_learning_rate_is_reduced_and_the_best_state_kept(small_scan):
    settings = TINY.model_copy(update={"max_epochs": 60, "patience": 2, "reductions": 2})
    fitted = fit_response_model(small_scan, settings, seed=0)
    rates = list(dict.fromkeys(epoch["learning_rate"] for epoch in fitted.history))
    np.testing.assert_allclose(rates, 0.005 * 0.3 ** np.arange(3))
    scores = [epoch["validation_correlation"] for epoch in fitted.history]
    assert fitted.validation_correlation == max(scores)
    assert np.argmax(scores) < len(scores) - 1
    validation = np.flatnonzero(small_scan.tier == "validation")
    predicted = predict_trials(fitted.model, small_scan, validation)
    assert single_trial_correlation(predicted, small_scan.responses[validation]).mean() == max(scores)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [([], 0), ([1, 2, 3], 0), ([3, 2, 1], 1), ([3, 2, 4, 3, 2, 1, 1], 2), ([3, 2, 2, 2, 2, 4, 1, 1], 3)],
)
def test_plateaus_are_counted(scores, expected):
    assert plateaus(scores, 2) == expected


class Killed(Exception):
    """What stands for a kill between two epochs."""


def test_a_fit_killed_after_each_epoch_goes_on_to_the_same_bytes(tmp_path, small_scan):
    settings = TINY.model_copy(update={"max_epochs": 40, "patience": 1})
    resume = tmp_path / "resume.safetensors"
    whole = fit_response_model(small_scan, settings, seed=3)
    assert len({row["learning_rate"] for row in whole.history}) == settings.reductions + 1
    assert len(whole.history) < settings.max_epochs

    def kill(line):
        if line.startswith(f"epoch {last + 1}:"):
            raise Killed

    for last in range(1, len(whole.history)):
        resume.unlink(missing_ok=True)
        with pytest.raises(Killed):
            fit_response_model(small_scan, settings, seed=3, resume=ResumeFile(resume), log=kill)
        lines = []
        resumed = fit_response_model(
            small_scan, settings, seed=3, resume=ResumeFile(resume), log=lines.append
        )
        assert lines[0] == f"going on after epoch {last}"
        assert resumed.history == whole.history
        for name, tensor in whole.model.state_dict().items():
            assert torch.equal(tensor, resumed.model.state_dict()[name]), name
    # Another fit does not go on from there.
    other = fit_response_model(small_scan, TINY, seed=3, resume=ResumeFile(resume), log=lines.append)
    assert len(other.history) == TINY.max_epochs


def test_a_fit_goes_on_with_no_other_ones_state(tmp_path, small_scan):
    resume = tmp_path / "resume.safetensors"
    changed = small_scan.responses.copy()
    changed[0, 0] += 1
    others = [
        {"seed": 4},
        {"scan": replace(small_scan, responses=changed)},
        # The same bytes under other shapes.
        {"scan": replace(small_scan, behavior=np.zeros((len(small_scan.tier), 0), np.float32))},
    ]

    def kill(line):
        if line.startswith("epoch 2:"):
            raise Killed

    def fit(log, scan=small_scan, seed=3):
        return fit_response_model(scan, TINY, seed=seed, resume=ResumeFile(resume), log=log)

    with pytest.raises(Killed):
        fit(kill)
    left = resume.read_bytes()
    for other in others:
        lines = []
        resume.write_bytes(left)
        fit(lines.append, **other)
        assert not [line for line in lines if "going on" in line]
    resume.write_bytes(left)
    fit(lines.append)
    assert [line for line in lines if "going on" in line]


def test_divergence_and_unusable_scans_are_refused(small_scan):
    too_fast = TINY.model_copy(update={"learning_rate": 1e5, "max_epochs": 20})
    with pytest.raises(InputError, match=r"the loss is .* at learning_rate 100000\.0"):
        fit_response_model(small_scan, too_fast, seed=0)
    # The last step of all: no loss is taken after it.
    one_step = TINY.model_copy(update={"learning_rate": 1e30, "max_epochs": 1, "batch_size": 64})
    with pytest.raises(InputError, match=r"not all predictions are finite at learning_rate 1e\+30; expected"):
        fit_response_model(small_scan, one_step, seed=0)
    train = small_scan.tier == "train"
    for tier, message in (
        (np.where(small_scan.tier == "validation", "test", small_scan.tier), "0 trials of tier 'validation'"),
        (np.where(train & (np.cumsum(train) > 1), "validation", small_scan.tier), "1 trials of tier 'train'"),
    ):
        with pytest.raises(InputError, match=message):
            fit_response_model(replace(small_scan, tier=tier), TINY, seed=0)
    withheld = np.where(train[:, None], np.float32(0), small_scan.responses)
    with pytest.raises(InputError, match="tier 'train' is withheld"):
        fit_response_model(replace(small_scan, responses=withheld), TINY, seed=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": 0}, "'channels': found 0; expected at least 1"),
        ({"input_kernel": 4}, "'input_kernel': found 4; expected one of 3, 5, 7"),
        ({"readout_l1": -0.1}, r"'readout_l1': found -0\.1; expected at least 0"),
        ({"learning_rate": float("nan")}, "'learning_rate': found NaN; expected number"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        FitSettings(**settings)


def test_an_empty_model_predicts_its_bias_everywhere():
    model = empty_model(3, 2, TINY).eval()
    with torch.no_grad():
        model.readout.weight.zero_()
        model.readout.bias.copy_(torch.tensor([-1.0, 0.0, 2.0]))
    images = np.random.default_rng(0).integers(0, 256, (4, 36, 64), np.uint8)
    np.testing.assert_allclose(predict_pool(model, images), np.tile([np.exp(-1), 1, 3], (4, 1)), rtol=1e-6)


def best_ridge(scan, train, test):
    """Correlation of a ridge regression from pixels, with the penalty that is best on the test itself."""
    pixels = scan.images[scan.image].reshape(len(scan.image), -1).astype(np.float64)
    pixels = (pixels - pixels[train].mean()) / pixels[train].std()
    centre = scan.responses[train].mean(0)
    gram = pixels[train] @ pixels[train].T
    scores = []
    for penalty in 10.0 ** np.arange(1, 7):
        dual = np.linalg.solve(gram + penalty * np.eye(len(train)), scan.responses[train] - centre)
        predicted = pixels[test] @ (pixels[train].T @ dual)
        scores.append(single_trial_correlation(predicted, scan.responses[test]).mean())
    return max(scores)


def receptive_fields(model, images):
    """Centres (x, y) in pixels of where each neuron depends on the image, from the model's gradients."""
    x = torch.tensor(images[:50], dtype=torch.float32, requires_grad=True)
    rates = model.readout(model.map(x)).log().sum(0)
    gradients = [torch.autograd.grad(rate, x, retain_graph=True)[0].numpy() for rate in rates]
    energy = [ndimage.gaussian_filter((g**2).mean(0), 2) for g in gradients]
    return np.array([np.unravel_index(e.argmax(), e.shape)[::-1] for e in energy])


def test_a_known_population_is_recovered():
    scan, centres, log_gain = known_population()
    fitted = fit_response_model(scan, FitSettings(channels=8, hidden_kernel=3, max_epochs=30), seed=0)
    train, test = scan.trials_of("train"), scan.trials_of("test")
    predicted = predict_trials(fitted.model, scan, test)
    found = single_trial_correlation(predicted, scan.responses[test]).mean()
    assert found > best_ridge(scan, train, test) + 0.5
    assert np.median(np.hypot(*(receptive_fields(fitted.model, scan.images) - centres).T)) < 1.5
    # Fields move a pixel a unit of gaze in x and 0.7 in y.
    pupil = torch.tensor([[43.0, 40.0], [37.0, 40.0], [40.0, 43.0], [40.0, 37.0]])
    with torch.no_grad():
        right, left, down, up = fitted.model.shift(pupil).numpy() * [32, 18]
        gain = fitted.model.gain(torch.tensor(scan.behavior[test])).log().numpy()
    np.testing.assert_allclose(right - left, [6, 0], atol=2)
    np.testing.assert_allclose(down - up, [0, 4.2], atol=2)
    assert np.corrcoef(gain.ravel(), log_gain[test].ravel())[0, 1] > 0.8


def test_a_scan_without_covariates_is_fitted(tmp_path, small_scan):
    trials = len(small_scan.image)
    scan = replace(
        small_scan,
        behavior=np.zeros((trials, 0), np.float32),
        pupil_center=np.zeros((trials, 2), np.float32),
    )
    weights, _, fitted, quality = saved(tmp_path, scan, TINY.model_copy(update={"max_epochs": 4}), 1, "bare")
    losses = [epoch["train_loss"] for epoch in fitted.history]
    assert np.isfinite(losses).all() and min(losses[1:]) < losses[0]
    assert np.isfinite(quality.v).all()
    # Nothing but the image decides: one trial's prediction is the pool's.
    predicted = predict_trials(fitted.model, scan, np.arange(trials))
    pool = predict_pool(load_response_model(weights), scan.images)
    np.testing.assert_allclose(predicted, pool[scan.image], rtol=1e-4)
    assert predicted.std(axis=0).min() > 0
