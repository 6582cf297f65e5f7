"""Numeric gradients, to check the ones that backward computes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor, grad, no_grad
from ..errors import DtypeError, GradientError

__all__ = ["gradcheck", "numeric_gradient"]


def numeric_gradient(
    f: Callable[[], Any], x: np.ndarray, eps: float = 1e-6, upstream: Any = 1.0
) -> np.ndarray:
    """d(f . upstream)/dx by central differences, element by element: (f(x + h) - f(x - h)) / 2h.

    f takes no argument, reads x, which is changed in place and put back, and returns a number or an
    array; an array's differences are taken before they are weighted with `upstream` and added up,
    so that a large output does not drown a small one's.  h = eps max(1, |x|), and the quotient uses
    the step really taken in floating point.
    """
    result = np.empty(x.shape, x.dtype)
    for index in np.ndindex(x.shape):
        before = x[index]
        h = eps * max(1.0, abs(float(before)))
        try:
            x[index] = before + h
            high, above = x[index], f()
            x[index] = before - h
            low, below = x[index], f()
        finally:
            x[index] = before
        result[index] = np.sum((above - below) * upstream) / (high - low)
    return result


def gradcheck(
    fn: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    seed: int = 0,
) -> bool:
    """Whether fn's gradients agree with central differences, in float64.

    Parameters
    ----------
    fn
        Takes the inputs, returns a tensor or a tuple of them.
    inputs
        Those that require grad are checked; they must be float64, since float32 has too few digits
        for differences.
    eps
        The step; see `numeric_gradient`.
    atol, rtol
        An entry is right if |analytic - numeric| <= atol + rtol |numeric|.
    raise_exception
        Raise GradientError with the worst entry, instead of returning False.
    seed
        Of the random upstream gradient.  It is random because a gradient of ones cannot see a
        transposed one, among other mistakes.

    Notes
    -----
    At a kink (ReLU at 0, a tie in max pooling) there is no numeric gradient to compare with.
    """
    inputs = _listed(inputs)
    wanted = _wanted(inputs)
    rng = np.random.default_rng(seed)
    every = _listed(fn(*inputs))
    checked = [i for i, y in enumerate(every) if y.requires_grad]
    if not checked:
        raise GradientError("gradcheck: no output of fn has a gradient; was the graph cut?")
    outputs = [every[i] for i in checked]
    upstream = [rng.standard_normal(y.shape) for y in outputs]
    analytic = grad(outputs, wanted, upstream, allow_unused=True)

    def flat_outputs() -> np.ndarray:
        with no_grad():
            again = _listed(fn(*inputs))
        return np.concatenate([again[i].array.ravel() for i in checked])

    flat_upstream = np.concatenate([g.ravel() for g in upstream])
    for x, g in zip(wanted, analytic, strict=True):
        numeric = numeric_gradient(flat_outputs, x.array, eps, flat_upstream)
        found = np.zeros(x.shape) if g is None else g.array
        wrong = np.abs(found - numeric) - (atol + rtol * np.abs(numeric))
        if not (wrong <= 0).all():
            if not raise_exception:
                return False
            raise GradientError(_report(inputs, x, found, numeric, wrong))
    return True


def _listed(tensors: Any) -> list[Any]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _wanted(inputs: list[Any]) -> list[Tensor]:
    """The inputs to check: those that require grad, which must be float64."""
    wanted = [x for x in inputs if isinstance(x, Tensor) and x.requires_grad]
    if not wanted:
        raise GradientError("gradcheck: no input requires grad, so there is nothing to check")
    for x in wanted:
        if x.dtype != np.float64:
            raise DtypeError(f"gradcheck: inputs must be float64, not {x.dtype}; use x.double()")
    return wanted


def _report(
    inputs: list, x: Tensor, analytic: np.ndarray, numeric: np.ndarray, wrong: np.ndarray
) -> str:
    place = next(i for i, other in enumerate(inputs) if other is x)
    worst = np.unravel_index(np.nanargmax(np.where(np.isnan(wrong), np.inf, wrong)), x.shape)
    where = tuple(int(i) for i in worst)
    return (
        f"gradcheck: the gradient of input {place}, shape {x.shape}, is wrong in "
        f"{int((~(wrong <= 0)).sum())} of {wrong.size} entries; worst at {where}: "
        f"analytic {analytic[worst]:.8g}, numeric {numeric[worst]:.8g}"
    )
