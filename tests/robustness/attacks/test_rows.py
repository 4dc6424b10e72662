import pytest
import torch
from attack_problems import balanced_network, coarse_images
from torch import nn

from neuroreg.errors import InputError
from neuroreg.robustness.attacks.rows import Rows, adversarial_margin, class_margins, run_watched
from neuroreg.robustness.evaluation import evaluation


def test_margin_is_the_best_other_less_the_labels_and_a_little():
    logits = torch.tensor([[1.0, 3.0, 2.0], [50.0, -7.0, 49.0], [0.0, 0.0, -5.0]])
    margin = adversarial_margin(logits, torch.tensor([1, 2, 0]))
    expected = [-1 - 6e-5, 1 - 1e-3, -1e-4]
    torch.testing.assert_close(margin, torch.tensor(expected), rtol=1e-5, atol=1e-6)


def test_gradients_of_all_classes_are_autograds():
    x = coarse_images(24)
    model, labels = balanced_network(x)
    x, labels = x[:3], labels[:3]
    with evaluation(model, torch.device("cpu")):
        classes, margins, gradients, every = class_margins(model, x.flatten(1), labels, x.shape[1:])
        few = class_margins(model, x.flatten(1), labels, x.shape[1:], most=2)
        for row in range(3):
            point = x[row : row + 1].clone().requires_grad_(True)
            logits = model(point)[0]
            others = [k for k in logits.argsort(descending=True).tolist() if k != labels[row]]
            assert classes[row].tolist() == others
            torch.testing.assert_close(every[row], logits.detach(), rtol=1e-3, atol=1e-4)
            for rank, k in enumerate(others):
                margin = logits[k] - logits[labels[row]]
                gradient = torch.autograd.grad(margin, point, retain_graph=True)[0].flatten()
                torch.testing.assert_close(margins[row, rank], margin.detach(), rtol=1e-3, atol=1e-4)
                torch.testing.assert_close(gradients[row, rank], gradient, rtol=1e-2, atol=1e-4)
        assert torch.equal(few[0], classes[:, :2])
        torch.testing.assert_close(few[2], gradients[:, :2], rtol=1e-3, atol=1e-5)


class Silent(nn.Module):
    """Has no answer to images whose first pixel is above .9."""

    def forward(self, x):
        bright = x.flatten(1)
        return torch.where(bright[:, :1] > 0.9, torch.nan, torch.stack([bright[:, 0], bright[:, 1]], dim=1))


def rows_of(x):
    zeros = torch.zeros(len(x), dtype=torch.int64)
    return Rows(x, zeros, {}, zeros, zeros)


@pytest.mark.parametrize("alike", [True, False])
def test_candidates_may_be_as_many_as_a_batch_has(alike):
    """Where NaN has the rows attacked in parts, what parts lack is NaN."""
    x = torch.tensor([0.1, 0.2, 0.3, 0.95]).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).clone()

    def run(model, rows):
        model(rows.x)
        own = rows.x[:, None].expand(-1, 2 if alike else len(rows), -1, -1, -1)
        return (rows.x if len(rows) == 1 and not alike else own), torch.full((len(rows),), 3)

    found, passes, failed = run_watched(run, Silent(), rows_of(x))
    assert failed.tolist() == [False, False, False, True]
    assert passes.tolist() == [3] * 4
    assert found.shape == (4, 2, 1, 2, 2)
    assert torch.equal(found[:2], x[:2, None].expand(-1, 2, -1, -1, -1))
    assert torch.equal(found[2, 0], x[2])
    assert bool(found[2, 1].isnan().all()) is not alike
    assert found[3].isnan().all()


@pytest.mark.parametrize(
    ("found", "passes", "message"),
    [
        (torch.zeros(2, 1, 2, 2, dtype=torch.bool), torch.ones(2).long(), "adversarials of type torch.bool"),
        (torch.zeros(2, 0, 1, 2, 2), torch.ones(2).long(), "no candidates"),
        (torch.zeros(2, 1, 2, 2), torch.ones(2).bool(), "passes of type torch.bool"),
        (torch.zeros(2, 1, 2, 2), torch.ones(2), "passes of type torch.float32"),
        (torch.zeros(2, 1, 2, 2), torch.tensor([4, -7]), "passes of type torch.int64, -7 and more"),
    ],
)
def test_what_an_attack_returns_is_looked_at(found, passes, message):
    with pytest.raises(InputError, match=f"what the attack returned: {message}"):
        run_watched(lambda model, rows: (found, passes), Silent(), rows_of(torch.zeros(2, 1, 2, 2)))
