import torch
from attack_problems import balanced_network, coarse_images

from neuroreg.robustness.attacks.rows import adversarial_margin, class_margins
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
