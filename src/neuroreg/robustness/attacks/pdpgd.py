"""PDPGD (Matyasko & Chau 2021) for L1, batched over rows: proximal Adam, and a weight that is learned too."""

import math

import torch
from torch import Tensor, nn

from neuroreg.robustness.attacks.closest_points import ClosestPoints
from neuroreg.robustness.attacks.rows import Rows, adversarial_margin, start_noise

METHODS = {
    "pdpgd": {
        "norm": "l1",
        "settings": {
            "steps": (1000, 2, 100_000, "iterations"),
            "stepsize": (0.3, 1e-6, 10.0, "Adam's first step size; falls to a hundredth"),
            "dual_rate": (0.1, 1e-6, 10.0, "first step size of the weight; falls to a tenth"),
            "start_noise": (0.5, 0.0, 10.0, "std of the start, from the second repetition on"),
        },
    },
}

# Adam's decay rates. The step size falls to this share of the first, exponentially.
DECAY, SQUARE_DECAY, TINY = 0.9, 0.999, 1e-8
LAST_SHARE = 0.01
# The norm's weight relative to the loss's: at first and at least (the other way round at most). Its step size
# falls to this share of the first; it is averaged over iterations at this rate.
FIRST_RATIO, LEAST_RATIO = 0.01, 1e-6
LAST_DUAL_SHARE, AVERAGING = 0.1, 0.9


def run(variant: str, model: nn.Module, rows: Rows) -> tuple[Tensor, Tensor]:
    """Descend the loss by proximal Adam, its weight against the norm being learned as well.

    Matyasko & Chau, "PDPGD: Primal-Dual Proximal Gradient Descent Adversarial Attack" (arXiv 2106.01538),
    with the constants of adv-lib's version: Adam descends the softplus of how far the label's logit is above
    the largest other one (0 beyond the boundary); the proximal map of the L1 norm and the box follow; the
    weight of the loss against the norm rises where the point is not adversarial and falls elsewhere. In
    Adam's metric, which is diagonal, that map is a soft threshold for each pixel, taken here at once instead
    of by inner iterations. At the end the closest point is drawn in along the line to the image.

    The first repetition starts from the image; the others with Gaussian noise on it, which most often is
    adversarial already. Adam has seen no gradient then, and its metric of nothing would take the whole
    perturbation back at once: until there is one the metric is the identity, and the proximal map alone
    shrinks the noise until the label wins again.
    """
    setting, closest = rows.setting, ClosestPoints(variant, model, rows)
    x0, steps = closest.x0, setting["steps"]
    stepsize, rate = setting["stepsize"][:, None], setting["dual_rate"][:, None]
    noise = setting["start_noise"][:, None] * start_noise(rows).flatten(1)
    change = (x0 + noise).clamp(0.0, 1.0) - x0
    mean, square = torch.zeros_like(x0), torch.zeros_like(x0)
    met = torch.zeros_like(x0[:, :1], dtype=torch.bool)
    # The logarithm of the loss's weight by the norm's, and the loss's share of the two.
    dual = torch.full_like(x0[:, :1], -math.log(FIRST_RATIO))
    share = _sigmoid(dual)
    for step in range(steps):
        point = (x0 + change).requires_grad_(True)
        margin = adversarial_margin(closest.logits(point), rows.labels)
        short = (-margin).clamp(min=0.0)
        gradient = torch.autograd.grad((_sigmoid(short.detach()) * short).sum(), point)[0]
        mean = DECAY * mean + (1 - DECAY) * gradient
        square = SQUARE_DECAY * square + (1 - SQUARE_DECAY) * gradient.square()
        met = met | (short.detach() > 0)[:, None]
        slope = torch.where(met, (square / (1 - SQUARE_DECAY ** (step + 1))).sqrt() + TINY, 1.0)
        # What a pixel moves by for each unit of the loss's gradient.
        scale = stepsize * LAST_SHARE ** (step / steps) / slope
        change = change - scale * mean / (1 - DECAY ** (step + 1))
        change = change.sign() * (change.abs() - scale * (1 - share) / share).clamp(min=0.0)
        change = (x0 + change).clamp(0.0, 1.0) - x0
        falling = 1 - (1 - LAST_DUAL_SHARE) * step / max(steps - 1, 1)
        upward = torch.where(margin.detach() > 0, -1.0, 1.0)[:, None]
        dual = (dual + upward * rate * falling).clamp(math.log(LEAST_RATIO), -math.log(LEAST_RATIO))
        share = AVERAGING * share + (1 - AVERAGING) * _sigmoid(dual)
    closest.draw_in()
    return closest.result()


def _sigmoid(values: Tensor) -> Tensor:
    """Return the sigmoid, also the softplus's slope, in a way that does not depend on a row's position.

    The CPU takes another exponential for the last entries of a tensor than for the rest. In float64 they
    differ by less than float32 can tell.
    """
    return torch.sigmoid(values.double()).to(values.dtype)
