"""What every family needs to run a Foolbox attack: a model that counts, and noise that knows its sample."""

import foolbox
import torch
from torch import Tensor, nn

from neuroreg.seeds import derive_seed


class CountingModel(nn.Module):
    """Passes inputs on to `model` and counts the forward passes, each of which takes the whole batch."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.train(model.training)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        """Return the wrapped model's logits."""
        self.calls += 1
        return self.model(x)

    def for_foolbox(self, device: torch.device) -> foolbox.PyTorchModel:
        """Return a Foolbox model of inputs in [0, 1]."""
        return foolbox.PyTorchModel(self, bounds=(0.0, 1.0), device=device)


def sample_normal(like: Tensor, seeds: Tensor, *names: str | int) -> Tensor:
    """Return standard normals shaped as `like` (B, ...); row i depends on seeds[i] and `names` alone."""
    return _per_sample(torch.randn, like, seeds, names)


def sample_uniform(like: Tensor, seeds: Tensor, *names: str | int) -> Tensor:
    """Return uniforms in [-1, 1) shaped as `like` (B, ...); row i depends on seeds[i] and `names` alone."""
    return 2.0 * _per_sample(torch.rand, like, seeds, names) - 1.0


def _per_sample(draw, like: Tensor, seeds: Tensor, names: tuple) -> Tensor:
    rows = []
    for seed in seeds.tolist():
        generator = torch.Generator().manual_seed(derive_seed(seed, *names))
        rows.append(draw(like.shape[1:], generator=generator, dtype=like.dtype))
    return torch.stack(rows).to(like.device)
