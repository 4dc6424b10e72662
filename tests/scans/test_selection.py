from dataclasses import replace

import numpy as np
import pytest

from neuroreg.errors import InputError
from neuroreg.scans.reliability import jackknife_oracle
from neuroreg.scans.scan import Scan
from neuroreg.scans.selection import select_neurons

PER_NEURON = ("unit_id", "area", "layer")


def make_scan(neurons=6, repeats=(2, 4, 3, 2), withheld=False, seed=0):
    """A scan whose neurons answer repeated images the better the later they come; 5 train trials."""
    rng = np.random.default_rng(seed)
    image = rng.permutation(np.repeat(np.arange(len(repeats) + 5), [*repeats, *[1] * 5]))
    tier = np.where(image < len(repeats), "test", "train")
    signal = rng.normal(size=(len(repeats) + 5, neurons)) * np.linspace(0, 4, neurons)
    responses = 5 + signal[image] + rng.normal(size=(len(image), neurons))
    if withheld:
        responses[tier == "test"] = 0
    return Scan(
        images=rng.integers(0, 256, (len(repeats) + 5, 36, 64), np.uint8),
        key=np.array([f"a/{i}" for i in range(len(repeats) + 5)]),
        image=image,
        tier=tier,
        responses=responses.astype(np.float32),
        behavior=rng.random((len(image), 3), np.float32),
        pupil_center=rng.random((len(image), 2), np.float32),
        unit_id=np.arange(neurons) * 3 + 1,
        area=np.array((["V1", "V1", "LM"] * neurons)[:neurons]),
        layer=np.array((["L2/3", "L4"] * neurons)[:neurons]),
    )


def oracle(scan):
    """Each neuron's correlation of a trial with the mean of the image's other trials, trial after trial."""
    trials = np.flatnonzero(scan.tier == "test")
    pairs = []
    for trial in trials:
        others = [t for t in trials if scan.image[t] == scan.image[trial] and t != trial]
        if others:
            pairs.append((scan.responses[trial], scan.responses[others].mean(0, dtype=np.float64)))
    observed, expected = np.array(pairs, np.float64).transpose(1, 2, 0)
    return np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(observed, expected, strict=True)])


def assert_neurons(selected, scan, neurons):
    np.testing.assert_array_equal(selected.responses, scan.responses[:, neurons])
    for name in PER_NEURON:
        np.testing.assert_array_equal(getattr(selected, name), getattr(scan, name)[neurons])
    for name in set(Scan.__dataclass_fields__) - {"responses", *PER_NEURON}:
        np.testing.assert_array_equal(getattr(selected, name), getattr(scan, name))


def test_nothing_asked_for_leaves_the_scan_as_it_is():
    scan = make_scan()
    selection = select_neurons("a", scan)
    assert selection.scan is scan
    assert selection.dropped == {"area": 0, "layer": 0, "oracle": 0}
    assert selection.unused is None


@pytest.mark.parametrize(
    ("settings", "neurons", "dropped"),
    [
        ({"areas": ["V1"]}, [0, 1, 3, 4], {"area": 2, "layer": 0, "oracle": 0}),
        ({"areas": ["LM", "AL"]}, [2, 5], {"area": 4, "layer": 0, "oracle": 0}),
        ({"layers": ["L4"]}, [1, 3, 5], {"area": 0, "layer": 3, "oracle": 0}),
        # A neuron in the wrong area and layer counts once.
        ({"areas": ["V1"], "layers": ["L4"]}, [1, 3], {"area": 2, "layer": 2, "oracle": 0}),
        ({"areas": ["V1", "LM"], "layers": ["L4", "L2/3"]}, [0, 1, 2, 3, 4, 5], None),
    ],
)
def test_by_area_and_layer(settings, neurons, dropped):
    scan = make_scan()
    selection = select_neurons("a", scan, **settings)
    assert_neurons(selection.scan, scan, neurons)
    assert selection.dropped == (dropped or {"area": 0, "layer": 0, "oracle": 0})


@pytest.mark.parametrize("neurons", [6, 700])
def test_by_oracle(neurons):
    scan = make_scan(neurons)
    expected = oracle(scan)
    assert expected.min() < 0.2 and expected.max() > 0.8
    for threshold in np.quantile(expected, [0.31, 0.5]).tolist():
        selection = select_neurons("a", scan, min_oracle=threshold)
        assert_neurons(selection.scan, scan, np.flatnonzero(expected >= threshold - 1e-9))
        assert selection.unused is None
        assert selection.dropped == {"area": 0, "layer": 0, "oracle": (expected < threshold - 1e-9).sum()}


def test_a_neuron_at_the_threshold_itself_is_taken():
    scan = make_scan()
    trials = scan.trials_of("test")
    found = jackknife_oracle(scan.responses[trials], scan.image[trials])
    for least in found.tolist():
        assert_neurons(select_neurons("a", scan, min_oracle=least).scan, scan, np.flatnonzero(found >= least))


def test_by_everything():
    scan = make_scan(60)
    selection = select_neurons("a", scan, areas=["V1"], layers=["L4"], min_oracle=0.5)
    fits = (scan.area == "V1") & (scan.layer == "L4")
    kept = fits & (oracle(scan) >= 0.5)
    assert 0 < kept.sum() < fits.sum()
    assert_neurons(selection.scan, scan, kept)
    assert selection.dropped == {"area": 20, "layer": 20, "oracle": fits.sum() - kept.sum()}


@pytest.mark.parametrize(
    ("scan", "reason"),
    [
        (make_scan(withheld=True), "the test tier is withheld"),
        (make_scan(repeats=(1, 1, 1)), "0 images repeated in the test tier"),
        (make_scan(repeats=(4, 1)), "1 images repeated in the test tier"),
        (make_scan(repeats=()), "0 images repeated in the test tier"),
    ],
)
def test_without_usable_repeats_the_oracle_selects_nothing(scan, reason, caplog):
    selection = select_neurons("a", scan, layers=["L4"], min_oracle=0.99)
    assert_neurons(selection.scan, scan, [1, 3, 5])
    assert selection.dropped == {"area": 0, "layer": 3, "oracle": 0}
    assert selection.unused == reason
    assert [record.getMessage() for record in caplog.records] == [
        f"scan 'a': neurons not selected by oracle: {reason}"
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"areas": ["AL", "RL"]},
            "scan 'a': no neuron is in neurons.areas AL, RL; it has area LM layer L2/3, area LM layer L4, "
            "area V1 layer L2/3, area V1 layer L4, expected at least one neuron.",
        ),
        (
            {"areas": ["V1"], "layers": ["L5"]},
            "no neuron is in neurons.areas V1 and neurons.layers L5; it has",
        ),
        ({"min_oracle": 1.0}, "the highest oracle of its 6 neurons is 0."),
        (
            {"min_oracle": 1.0, "areas": ["LM"]},
            "of its 2 neurons .* expected at least one of neurons.min_oracle 1",
        ),
    ],
)
def test_no_neuron_left(settings, message):
    with pytest.raises(InputError, match=message):
        select_neurons("a", make_scan(), **settings)


def test_neurons_that_are_silent_where_others_respond_are_no_withheld_tier():
    scan = make_scan()
    responses = scan.responses.copy()
    responses[np.ix_(scan.tier == "test", scan.layer == "L2/3")] = 0
    sparse = replace(scan, responses=responses)
    assert sparse.withheld_tiers() == ()
    message = (
        r"scan 'a': the 3 selected neurons never respond in tier 'test', others of its 6 do; expected other"
    )
    with pytest.raises(InputError, match=message):
        select_neurons("a", sparse, layers=["L2/3"])
    assert len(select_neurons("a", sparse, layers=["L4"]).scan.unit_id) == 3
    # What nobody responds in was not published.
    withheld = make_scan(withheld=True)
    assert select_neurons("a", withheld, layers=["L2/3"]).scan.withheld_tiers() == ("test",)
