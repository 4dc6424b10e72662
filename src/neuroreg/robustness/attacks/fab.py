"""The fast adaptive boundary attack (FAB; Croce & Hein 2020), batched over rows."""

import torch
from torch import Tensor, nn

from neuroreg.robustness.attacks.closest_points import DUALS, ClosestPoints
from neuroreg.robustness.attacks.projections import nearest_in_l1, nearest_in_l2, nearest_in_linf
from neuroreg.robustness.attacks.rows import Rows, class_margins, start_noise
from neuroreg.robustness.verification import MARGIN

METHODS = {
    "fab_l1": {
        "norm": "l1",
        "settings": {
            "steps": (100, 1, 100_000, "iterations"),
            "targets": (9, 1, 1_000, "other classes looked at in each, the likeliest first"),
            "alpha_max": (0.1, 0.0, 1.0, "bias towards the image at most"),
            "overshoot": (1.05, 1.0, 10.0, "step to the boundary's plane, 1 being onto it"),
            "back": (0.9, 0.0, 1.0, "where the next step starts on the way from the image to an adversarial"),
            "start": (
                0.5,
                0.0,
                100.0,
                "distance of the start, in estimates of the minimum, from the second repetition on",
            ),
        },
    },
    "fab_l2": {"like": "fab_l1", "norm": "l2"},
    "fab_linf": {"like": "fab_l1", "norm": "linf"},
}

# (point, normal, gap) to the nearest point of plane and box.
PROJECTIONS = {
    "l1": nearest_in_l1,
    "l2": nearest_in_l2,
    "linf": lambda point, normal, gap: nearest_in_linf(point, normal, gap, point),
}
# How far past the boundary at least, as a share of the largest logit; adversarials lead by 2 * MARGIN.
LEAST = 3 * MARGIN


def run(variant: str, model: nn.Module, rows: Rows) -> tuple[Tensor, Tensor]:
    """Project onto the boundary's linearised plane again and again, biased towards the image.

    Algorithm 1 of Croce & Hein, "Minimally distorted adversarial examples with a fast adaptive boundary
    attack" (ICML 2020, arXiv 1907.02044): each step takes the class whose boundary is nearest, were the model
    linear, and projects the point and the image onto the boundary's plane within the box, both in the
    attack's norm; the next point lies between the two, a little beyond the plane. From an adversarial point
    the way back towards the image is cut to `back`. At the end the closest one is drawn in along the line to
    the image, which stands for the paper's final search. Beyond the paper the overshoot has a floor: an image
    very near to the boundary would else stay within the margin that verification asks for.

    The first repetition starts from the image. The others start in a random direction of their own, at
    `start` times the linear estimate of the distance, because there is no earlier adversarial yet to set the
    scale.
    """
    labels, setting, closest = rows.labels, rows.setting, ClosestPoints(variant, model, rows)
    x0, project, targets = closest.x0, PROJECTIONS[variant], setting["targets"]
    alpha_max, overshoot = setting["alpha_max"][:, None], setting["overshoot"][:, None]
    back = setting["back"][:, None]

    def nearest_boundary(point: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        _, margins, gradients, logits = class_margins(model, point, labels, closest.shape, targets)
        closest.passes += 1 + margins.shape[1]
        distance, rank = (margins.abs() / DUALS[variant](gradients).clamp(min=1e-12)).min(dim=1)
        normal = gradients.gather(1, rank[:, None, None].expand(-1, 1, x0.shape[1]))[:, 0]
        gap = -margins.gather(1, rank[:, None])[:, 0].double()
        # Overshot, the way to the plane ends beyond it by what an adversarial's margin asks for at least.
        least = (gap + LEAST * logits.abs().amax(dim=1).double()) / overshoot[:, 0].double()
        return distance[:, None], normal.double(), torch.where(gap >= 0, torch.maximum(gap, least), gap)

    estimate, normal, gap = nearest_boundary(x0)
    noise = start_noise(rows).flatten(1)
    noise = noise / closest.size(noise)[:, None].clamp(min=1e-12)
    away = (setting["start"][:, None] * estimate * noise).clamp(-1.0, 1.0)
    point = (x0 + away).clamp(0.0, 1.0)
    for _ in range(setting["steps"]):
        _, normal, gap = nearest_boundary(point)
        on_plane = project(point.double(), normal, gap)
        from_image = project(x0.double(), normal, gap + torch.linalg.vecdot(normal, (point - x0).double()))
        step, direct = (on_plane - point).to(x0.dtype), (from_image - x0).to(x0.dtype)
        one, other = (
            closest.size(step)[:, None].clamp(min=1e-8),
            closest.size(direct)[:, None].clamp(min=1e-8),
        )
        bias = (one / (one + other)).minimum(alpha_max)
        point = (1 - bias) * (point + overshoot * step) + bias * (x0 + overshoot * direct)
        point = point.clamp(0.0, 1.0)
        over = closest.margin(point)[:, None] > 0
        point = torch.where(over, x0 + back * (point - x0), point)
    closest.draw_in()
    return closest.result()
