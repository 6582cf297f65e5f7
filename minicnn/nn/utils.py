"""Clipping of gradients between backward and the optimiser's step; changes them in place."""

import warnings
from collections.abc import Iterable, Iterator

import numpy as np

from ..arrays import module_of
from ..autograd import Tensor
from ..devices import to_device
from ..errors import GradientError


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scales all gradients by one factor so that their norm together is at most max_norm.

    grad *= min(1, max_norm / (norm + 1e-6)), where norm is that of all gradients as one vector.
    Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural
    networks", ICML 2013.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those without a gradient are left out.
    max_norm : float
        The largest norm allowed.
    norm_type : float
        The p of the p-norm; `inf` for the largest absolute value.
    error_if_nonfinite : bool
        Refuse a norm that is NaN or infinite; else the gradients become NaN or 0.

    Returns
    -------
    Tensor
        The norm before clipping, 0-dim.

    Raises
    ------
    GradientError
        The norm is NaN or infinite, and error_if_nonfinite.
    """
    grads = _grads(parameters)
    if not grads:
        return Tensor(np.zeros((), np.float32))
    xp, norm_type = module_of(grads[0].array), float(norm_type)
    norms = [module_of(g.array).linalg.norm(g.array.reshape(-1), norm_type) for g in grads]
    stacked = xp.stack([xp.asarray(to_device(n, grads[0].device)) for n in norms])
    norm = xp.asarray(xp.linalg.norm(stacked, norm_type))  # the norm of the norms: of them all
    if error_if_nonfinite and not xp.isfinite(norm):
        raise GradientError(
            f"clip_grad_norm_: the gradients' norm of order {norm_type} is {norm}; find its cause "
            "with autograd.set_detect_anomaly(True), or pass error_if_nonfinite=False"
        )
    factor = xp.minimum(max_norm / (norm + 1e-6), 1)  # stays on the device: no need to wait for it
    for g in grads:
        g.array *= to_device(factor, g.device)
        g._counter[0] += 1
    return Tensor(norm)


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Moves every element of every gradient into [-clip_value, clip_value]."""
    limit = float(clip_value)
    for g in _grads(parameters):
        g.clamp_(-limit, limit)


def _grads(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """The gradients there are; warns of an iterator that has nothing left."""
    listed = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    if not listed and isinstance(parameters, Iterator):
        warnings.warn(
            "clip_grad: the iterator of parameters is empty, perhaps because it was used before; "
            "nothing is clipped.  Call model.parameters() again.",
            stacklevel=3,
        )
    return [p.grad for p in listed if p.grad is not None]
