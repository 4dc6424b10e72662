"""A way into Foolbox attacks that offer no random start: the tensor whose gradients they take."""

from collections.abc import Callable
from typing import Any

import eagerpy as ep
from torch import Tensor

Step = Callable[..., tuple]


def hooked(x: Tensor, wrap: Callable[[Callable, Callable[[Callable], Step]], Step]) -> ep.PyTorchTensor:
    """Return `x` for a Foolbox attack, which will take gradients through ``wrap``.

    Foolbox's minimisation attacks call ``value_and_grad_fn(x, loss, has_aux=True)`` once and then only the
    function returned. Replacing that function changes the start of the search and leaves the attack's code as
    it is.

    Parameters
    ----------
    x
        The clean images.
    wrap
        Called with the attack's loss function and with Foolbox's way of differentiating one; returns the
        function (point, ...) to (loss, auxiliary, gradient) that the attack gets.
    """

    class Hooked(ep.PyTorchTensor):
        __slots__ = ()

        def _value_and_grad_fn(self, f: Callable, has_aux: bool = False) -> Any:
            differentiate = super()._value_and_grad_fn
            return wrap(f, lambda loss: differentiate(loss, has_aux=has_aux))

    return Hooked(x)
