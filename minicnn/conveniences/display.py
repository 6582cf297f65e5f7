"""How a tensor is printed."""

from typing import Any

import numpy as np

from ..arrays import bool_, float32, int64
from ..autograd import Tensor
from ..devices import to_device

_DEFAULTS: dict[str, Any] = {
    "precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 75, "sci_mode": None,
}  # fmt: skip
_options = dict(_DEFAULTS)


def set_printoptions(**options: Any) -> None:
    """How tensors are printed from now on.

    Parameters
    ----------
    precision : int
        Digits after the point.
    threshold, edgeitems : int
        A tensor of more than `threshold` elements shows `edgeitems` at each end of a dimension.
    linewidth : int
        Characters in a line.
    sci_mode : bool, optional
        False: never in scientific notation.
    profile : "default"
        Back to how it was.
    """
    if options.pop("profile", None) is not None:
        _options.update(_DEFAULTS)
    if unknown := options.keys() - _DEFAULTS.keys():
        raise TypeError(f"set_printoptions: unexpected argument {', '.join(sorted(unknown))}")
    _options.update(options)


def text(self: Tensor) -> str:
    """The tensor's repr: its elements, and what they do not show."""
    shown = np.array2string(
        to_device(self.array, "cpu"), separator=", ", prefix="tensor(",
        precision=_options["precision"], threshold=_options["threshold"],
        edgeitems=_options["edgeitems"], max_line_width=_options["linewidth"],
        suppress_small=_options["sci_mode"] is False,
    )  # fmt: skip
    if self.dtype not in (float32, int64, bool_) or self.array.size == 0:
        shown += f", dtype={self.dtype}"
    if self.device.type != "cpu":
        shown += f", device='{self.device}'"
    if self.grad_fn is not None:
        shown += f", grad_fn={self.grad_fn}"
    elif self.requires_grad:
        shown += ", requires_grad=True"
    return f"tensor({shown})"


def formatted(self: Tensor, spec: str) -> str:
    """A 0-dim tensor formats as its number does."""
    return format(self.item(), spec) if self.ndim == 0 else format(repr(self), spec)
