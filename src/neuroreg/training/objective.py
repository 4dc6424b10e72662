"""The similarity objective: L_similarity = mean over pairs of (arctanh S_CNN - arctanh S_neural)^2."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-5
FISHER_Z_SCALE = {"formula": 0.5, "log_ratio": 1.0}


def fisher_z(similarity: Tensor, scaling: str = "formula") -> Tensor:
    """Return Fisher's z of similarities, finite for every value in [-1, 1].

    Parameters
    ----------
    similarity
        Cosine similarities in [-1, 1], any shape.
    scaling
        ``"formula"``: arctanh, as in the paper's equation. ``"log_ratio"``: ``log((1 + s) / (1 - s))``, twice
        that, as in the public descendant of the authors' code; its loss is four times as large. Both add 1e-5
        inside the logarithms.
    """
    ratio = torch.log(1 + similarity + EPSILON) - torch.log(1 - similarity + EPSILON)
    return FISHER_Z_SCALE[scaling] * ratio


def similarity_loss(predicted: Tensor, target: Tensor, scaling: str = "formula") -> Tensor:
    """Return the supplement's L_similarity, a scalar: the mean squared difference of z over pairs."""
    return F.mse_loss(fisher_z(predicted, scaling), fisher_z(target, scaling))


class SimilarityReadout(nn.Module):
    """Combine the similarities of five layers: S_CNN = sum_k gamma_k S_k, gamma = softmax(logits).

    Parameters
    ----------
    channels
        Channels of each regularised layer.
    decay
        Decay of the per-channel running mean that is subtracted before the cosine; 0.9 in the paper's code.
    """

    def __init__(self, channels: Sequence[int], decay: float = 0.9) -> None:
        super().__init__()
        self.decay = decay
        self.gamma_logits = nn.Parameter(torch.zeros(len(channels)))
        for layer, count in enumerate(channels):
            self.register_buffer(f"running_mean_{layer}", torch.zeros(count))

    @property
    def gamma(self) -> Tensor:
        """Layer weights, float32 (K,), positive, sum 1; equal at the start."""
        return torch.softmax(self.gamma_logits, 0)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return S_CNN of pairs of images.

        In training mode the running means are first moved towards the batch's channel means.

        Parameters
        ----------
        features
            One tensor (2B, C_k, H_k, W_k) per layer: image b and image B + b are a pair.

        Returns
        -------
        Tensor
            float32 (B,), in [-1, 1].
        """
        per_layer = []
        for layer, feature in enumerate(features):
            feature = feature.float()
            mean = self.get_buffer(f"running_mean_{layer}")
            if self.training:
                mean.lerp_(feature.detach().mean((0, 2, 3)), 1 - self.decay)
            # A copy, because the next step changes the buffer in place.
            centred = (feature - mean.clone()[:, None, None]).flatten(1)
            first, second = centred.chunk(2)
            per_layer.append(F.cosine_similarity(first, second))
        return (torch.stack(per_layer, 1) * self.gamma).sum(1)
