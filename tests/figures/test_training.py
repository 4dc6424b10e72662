import re

import numpy as np
import pandas as pd
import pytest
from figure_frames import histories, legend

from neuroreg.errors import InputError
from neuroreg.figures.training import training_figure

MODELS = {
    "none": "None",
    "shuffle": "_shuffle $5",
    "neural_a2": "neural_a2",
    "neural_a8": "Neural 8",
    "neural_a32": "Neural 32",
}


def test_training_draws_every_run_in_the_order_of_the_labels():
    frame = histories()
    fig, numbers = training_figure(frame.sample(frac=1, random_state=0), MODELS)
    assert numbers.groupby("model", sort=False)["label"].unique().str.join(" ").to_dict() == MODELS
    assert [ax.get_title() for ax in fig.axes[: len(MODELS)]] == list(MODELS.values())
    assert legend(fig) == list(MODELS.values())
    by_title = {ax.get_title(): ax for ax in fig.axes}
    for model in ("none", "neural_a32"):
        lines = iter(by_title[MODELS[model]].get_lines())
        for layer in (1, 5, 9, 13, 17):
            for seed in (1, 2):
                run = frame[(frame["model"] == model) & (frame["seed"] == seed)]
                np.testing.assert_array_equal(next(lines).get_ydata(), run[f"gamma_{layer}"])
        assert next(lines, None) is None
    for column in ("Task loss", "Similarity loss", "Validation loss", "Validation accuracy"):
        drawn = np.concatenate([line.get_ydata() for line in by_title[column].get_lines()])
        expected = numbers[column.lower().replace(" ", "_")].to_numpy()
        np.testing.assert_array_equal(drawn, expected)
        np.testing.assert_array_equal(np.sort(drawn), np.sort(frame[column.lower().replace(" ", "_")]))
    assert len(numbers) == len(frame)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.rename(columns={"task_loss": "loss"}), "expected also task_loss"),
        (lambda f: f.filter(regex="^(?!gamma)"), "expected also gamma_1"),
        (lambda f: f.iloc[:0], "no rows"),
        (lambda f: pd.concat([f, f]), "more than one row"),
        (lambda f: f[f["model"] != "shuffle"], "expected also shuffle"),
    ],
)
def test_histories_that_do_not_fit_are_refused(change, message):
    with pytest.raises(InputError, match=message) as caught:
        training_figure(change(histories()), MODELS)
    assert re.fullmatch(r"[^\n]+\.", str(caught.value))


def test_one_epoch_is_a_point():
    frame = histories()
    fig, _ = training_figure(frame[frame["epoch"] == 1], MODELS)
    assert {line.get_marker() for ax in fig.axes for line in ax.lines} == {"o"}
