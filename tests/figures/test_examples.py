from dataclasses import replace

import numpy as np
import pytest
from figure_frames import CLASSES, INF, LABELS, closest

from neuroreg.errors import InputError
from neuroreg.figures.examples import SAMPLES, choose_examples, examples_figure
from neuroreg.robustness.attack_result import NORMS


def test_examples_are_the_same_for_all_and_correct_if_possible():
    for seed in range(20):
        chosen = choose_examples(closest(), seed)
        assert len(set(chosen.tolist())) == SAMPLES
        # 0, 1 and 2 are misclassified by a model each, 6 has no adversarial for one.
        assert set(chosen.tolist()) == {3, 4, 5}
    assert {tuple(choose_examples(closest(samples=40), seed)) for seed in (1, 1)} == {
        tuple(choose_examples(closest(samples=40), 1))
    }
    assert not np.array_equal(
        choose_examples(closest(samples=40), 1), choose_examples(closest(samples=40), 2)
    )
    assert choose_examples(closest(samples=2), 0).tolist() == [0, 1]


def test_plain_images_come_last_of_their_kind():
    parts = closest(samples=40)
    plain = np.arange(40) % 2 == 1
    parts = {
        name: replace(part, clean=np.where(plain[:, None, None], 100, part.clean).astype(np.uint8))
        for name, part in parts.items()
    }
    for seed in range(5):
        assert not plain[choose_examples(parts, seed)].any()
    # 0, 1 and 2 are each misclassified by a model, which counts for more.
    few = {
        name: replace(
            part,
            **{key: getattr(part, key)[:4] for key in ("clean", "correct")},
            distance={norm: part.distance[norm][:4] for norm in NORMS},
        )
        for name, part in parts.items()
    }
    assert all(choose_examples(few, seed).tolist() == [0, 2, 3] for seed in range(5))


def test_examples_show_images_adversarials_and_magnified_differences():
    parts = closest(samples=2)
    fig, numbers = examples_figure(parts, LABELS, CLASSES)
    assert len(fig.axes) == 2 * 3 * 9
    assert len(numbers) == 2 * 3 * 4
    factors = numbers.groupby("norm")["factor"].first()
    shown = iter(fig.axes)
    for index in range(2):
        for model in LABELS:
            part = parts[model]
            clean = part.clean[index] / 255
            image = next(shown)
            np.testing.assert_array_equal(image.images[0].get_array(), clean)
            assert image.get_xlabel() == "automobile"
            for norm in NORMS:
                adversarial, difference = next(shown), next(shown)
                np.testing.assert_array_equal(
                    adversarial.images[0].get_array(), part.adversarial[norm][index]
                )
                assert adversarial.get_xlabel() == "cat"
                expected = factors[norm] * (part.adversarial[norm][index] - clean)
                np.testing.assert_allclose(difference.images[0].get_array(), expected)
                assert float(difference.get_xlabel()) == pytest.approx(part.distance[norm][index], rel=6e-3)
                assert difference.images[0].get_clim() == (-1, 1)
    titles = [ax.get_title() for ax in fig.axes[:9]]
    assert titles[2] == f"difference\n× {factors['l0']:g}"


@pytest.mark.parametrize(("largest", "factor"), [(1.0, 1), (0.1, 10), (0.04, 20), (0.51, 1), (0.0025, 200)])
def test_the_factor_fills_the_colour_scale(largest, factor):
    parts = closest(samples=2)
    for part in parts.values():
        part.correct[:] = True
        for norm in NORMS:
            part.clean[:] = 0
            part.adversarial[norm][:] = 0
            part.adversarial[norm][:, 3, 3] = largest
    _, numbers = examples_figure(parts, LABELS, CLASSES)
    np.testing.assert_allclose(numbers["factor"], factor)


def test_examples_without_an_adversarial_say_so():
    parts = closest(samples=2)
    for norm in NORMS:
        parts["neural"].adversarial[norm][1] = np.nan
        parts["neural"].distance[norm][1] = INF
        parts["neural"].predicted[norm][1] = -1
    fig, numbers = examples_figure(parts, LABELS, CLASSES)
    assert sum(ax.get_xlabel() == "none found" for ax in fig.axes) == 4
    assert (numbers.loc[np.isinf(numbers["distance"]), "taken_for"] == "").all()


def test_examples_of_different_samples_are_refused():
    parts = closest() | {"none": closest(seed=5)["none"]}
    with pytest.raises(InputError, match="different samples"):
        examples_figure(parts, LABELS, CLASSES)
    with pytest.raises(InputError, match="no adversarials of neural"):
        examples_figure({"none": parts["none"]}, {"none": "None", "neural": "Neural"}, CLASSES)
