"""The similarity objective: L_similarity = mean over pairs of (arctanh S_CNN - arctanh S_neural)^2."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuroreg.errors import InputError
from neuroreg.training.architectures import Network
from neuroreg.training.batches import augment

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
        Decay of the per-channel running mean that is subtracted before the cosine; 0.9 in the public
        descendant of the authors' code.
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
            mean = self.get_buffer(f"running_mean_{layer}")
            # Channels last, as the features lie in memory: a view. Sums over all of them take any order.
            feature = feature.permute(0, 2, 3, 1)
            if self.training:
                channel_means = feature.detach().float().mean((0, 1, 2))
                mean.lerp_(channel_means, 1 - self.decay)
            # A copy, because the next step changes the buffer in place; a row long, so that vectors are full.
            row = mean.repeat(feature.shape[2])
            centred = feature.reshape(*feature.shape[:2], -1) - row
            per_layer.append(F.cosine_similarity(*centred.flatten(1).chunk(2)))
        return (torch.stack(per_layer, 1) * self.gamma).sum(1)


class Objective(nn.Module):
    """The loss of one step: ``L = L_task + alpha * L_similarity``.

    The images and the stimuli pass the network separately, so that batch norm normalises each set by its own
    statistics.

    Parameters
    ----------
    model, readout
        What is trained.
    alpha
        Weight of the similarity loss, >= 0.
    padding
        See `augment`.
    fisher_z
        See `fisher_z`.
    bfloat16
        Whether the network's forward pass is in bfloat16; losses are float32 always.
    stimuli_in_batch_norm
        Whether stimuli move batch norm's running averages.
    """

    def __init__(
        self,
        model: Network,
        readout: SimilarityReadout,
        *,
        alpha: float,
        padding: int,
        fisher_z: str,
        bfloat16: bool,
        stimuli_in_batch_norm: bool,
    ) -> None:
        super().__init__()
        self.model, self.readout = model, readout
        self.alpha, self.padding, self.fisher_z = alpha, padding, fisher_z
        self.bfloat16, self.stimuli_in_batch_norm = bfloat16, stimuli_in_batch_norm

    def forward(
        self,
        images: Tensor,
        labels: Tensor,
        offsets: Tensor | None,
        mirrored: Tensor | None,
        stimuli: Tensor | None = None,
        wanted: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the loss of a batch, its parts, and the similarities that were compared.

        Parameters
        ----------
        images, labels
            uint8 (B, 1, 32, 32) and int64 (B,).
        offsets, mirrored
            See `augment`.
        stimuli
            uint8 (2P, 1, H, W): stimulus p and P + p are a pair; None with alpha 0.
        wanted
            float32 (P,), the pairs' similarity in the target.

        Returns
        -------
        tuple
            Float32 scalars: loss, task loss, similarity loss. float32 (2, P): the pairs' similarity in the
            network and in the target, without gradient.
        """
        cropped = augment(images.float() / 255, offsets, mirrored, padding=self.padding)
        task = F.cross_entropy(self._pass(self.model, cropped).float(), labels)
        if stimuli is None:
            return task, task, task.new_zeros(()), task.new_zeros(2, 0)
        with self._batch_norm_averages_kept():
            features = self._pass(self.model.features, stimuli.float() / 255)
        similarity = self.readout(features)
        pair_loss = similarity_loss(similarity, wanted, self.fisher_z)
        return task + self.alpha * pair_loss, task, pair_loss, torch.stack([similarity.detach(), wanted])

    def _pass(self, function, images: Tensor):
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=self.bfloat16):
            return function(images)

    @contextmanager
    def _batch_norm_averages_kept(self) -> Iterator[None]:
        """Keep the stimuli out of batch norm's running averages, unless they are let in."""
        if self.stimuli_in_batch_norm:
            yield
            return
        layers = [layer for layer in self.model.modules() if isinstance(layer, nn.BatchNorm2d)]
        momenta = [layer.momentum for layer in layers]
        for layer in layers:
            layer.momentum = 0.0
        yield
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


def compiled(objective: Objective, device: torch.device) -> Callable:
    """Return `objective` as torch.compile makes it, in one graph; it is compiled when first called.

    To C++ on a CPU. On a GPU to Triton kernels that one CUDA graph launches: what it returns and the
    gradients are overwritten by the next call, but for what is cloned.

    Raises
    ------
    InputError
        If torch.compile does not work here, as where there is no C++ compiler.
    """
    try:
        torch.compile(_double, dynamic=False)(torch.ones(2, device=device))
    except Exception as error:  # of many kinds: no compiler, no Triton, no headers, no disk
        raise InputError(
            "config key 'training.compile': found true, but torch.compile does not work here "
            f"({(str(error).splitlines() or [type(error).__name__])[0].rstrip('.: ')}); expected false, or a "
            "C++ compiler such as g++, which the environment variable CXX may name."
        ) from error
    mode = "reduce-overhead" if device.type == "cuda" else "default"
    return torch.compile(objective, dynamic=False, mode=mode)


def _double(x: Tensor) -> Tensor:
    return 2 * x
