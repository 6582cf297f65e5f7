"""How a tensor is printed: as PyTorch prints it, but for the names of dtypes and of nodes."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import bool_, float32, int64
from ..autograd import Tensor
from ..devices import to_device
from ..errors import ArgumentError

_DEFAULTS: dict[str, Any] = {
    "precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": None,
}  # fmt: skip
_PROFILES = {
    "default": _DEFAULTS,
    "short": _DEFAULTS | {"precision": 2, "edgeitems": 2},
    "full": _DEFAULTS | {"threshold": math.inf},
}
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
        Whether in scientific notation; left out, as the numbers need it.
    profile : "default", "short" or "full"
        Options by name; those given beside it count more.
    """
    profile = options.pop("profile", None)
    if unknown := options.keys() - _DEFAULTS.keys():
        raise TypeError(f"set_printoptions: unexpected argument {', '.join(sorted(unknown))}")
    if profile is not None and profile not in _PROFILES:
        raise ArgumentError(
            f"set_printoptions: profile must be one of {', '.join(_PROFILES)}, not {profile!r}"
        )
    _options.update(_PROFILES.get(profile, {}))
    given = {name: value for name, value in options.items() if value is not None}
    _options.update({"sci_mode": None} | given)


def text(self: Tensor) -> str:
    """The tensor's repr: its elements, and what they do not show."""
    x, prefix, notes = to_device(self.array, "cpu"), "tensor(", []
    if self.device.type != "cpu":
        notes.append(f"device='{self.device}'")
    if (x.size == 0 and x.ndim != 1) or (x.size and not _options["edgeitems"]):
        notes.append(f"size={x.shape}")
    if self.dtype not in ((float32, int64, bool_) if x.size else (float32,)):
        notes.append(f"dtype={self.dtype}")
    if self.grad_fn is not None:
        notes.append(f"grad_fn={self.grad_fn}")
    elif self.requires_grad:
        notes.append("requires_grad=True")
    return _with_notes(prefix + _elements(x, len(prefix)), notes, len(prefix)) + ")"


def _with_notes(shown: str, notes: list[str], indent: int) -> str:
    """What comes after the elements, on the last line as long as it has room."""
    length = len(shown) - shown.rfind("\n") + 1
    for note in notes:
        if length + len(note) + 2 > _options["linewidth"]:
            shown, length = f"{shown},\n{' ' * indent}{note}", indent + len(note)
        else:
            shown, length = f"{shown}, {note}", length + len(note) + 2
    return shown


def _elements(x: np.ndarray, indent: int) -> str:
    """The elements in brackets; a large tensor shows the ends of each dimension."""
    if x.size == 0:
        return "[]"
    ends = _options["edgeitems"] if x.size > _options["threshold"] else x.size
    shown = x
    for axis, n in enumerate(x.shape):
        if n > 2 * ends:
            shown = shown.take([*range(ends), *range(n - ends, n)], axis)
    spell, width = _spelling(shown)
    return _nested(x, indent, ends, lambda value: spell(value).rjust(width), width)


def _nested(x: np.ndarray, indent: int, ends: int, spell: Callable, width: int) -> str:
    """One dimension in brackets, by way of those inside it."""
    if x.ndim == 0:
        return spell(x.item())
    first, last = (x[:ends], x[len(x) - ends :]) if len(x) > 2 * ends else (x, x[:0])
    skipped = len(first) + len(last) < len(x)
    if x.ndim > 1:
        parts = [[_nested(y, indent + 1, ends, spell, width) for y in end] for end in (first, last)]
        between = "," + "\n" * (x.ndim - 1) + " " * (indent + 1)
        return f"[{between.join([*parts[0], *['...'] * skipped, *parts[1]])}]"
    dots = [" ..." if ends else "..."] * skipped
    words = [*map(spell, first.tolist()), *dots, *map(spell, last.tolist())]
    fit = max(1, (_options["linewidth"] - indent) // (width + 2))  # in a line, with their commas
    lines = [", ".join(words[i : i + fit]) for i in range(0, len(words), fit)]
    return f"[{(',' + chr(10) + ' ' * (indent + 1)).join(lines)}]"


def _spelling(shown: np.ndarray) -> tuple[Callable[[Any], str], int]:
    """How an element is written, and the width of the widest that is finite and not 0."""
    if shown.dtype.kind != "f":
        return str, max((len(str(value)) for value in shown.ravel().tolist()), default=1)
    numbers = shown[np.isfinite(shown) & (shown != 0)].astype(np.float64)
    spell = _floats_spelling(numbers)
    return spell, max((len(spell(value)) for value in numbers.tolist()), default=1)


def _floats_spelling(numbers: np.ndarray) -> Callable[[float], str]:
    """Whole numbers as `2.`, very large, small or unequal ones as `2.0000e-05`, else `2.5000`."""
    digits, scientific = _options["precision"], _options["sci_mode"]
    if numbers.size == 0:
        scientific = False
    elif scientific is None:
        least, most = abs(numbers).min(), abs(numbers).max()
        with np.errstate(over="ignore"):
            scientific = most / least > 1000 or most > 1e8 or least < 1e-4
    if scientific:
        return lambda value: f"{value:.{digits}e}"
    if (numbers == np.ceil(numbers)).all():
        return lambda value: f"{value:.0f}" + "." * math.isfinite(value)
    return lambda value: f"{value:.{digits}f}"


def formatted(self: Tensor, spec: str) -> str:
    """A 0-dim tensor formats as its number does."""
    return format(self.item(), spec) if self.ndim == 0 else format(repr(self), spec)
