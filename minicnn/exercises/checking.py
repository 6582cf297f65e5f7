"""What checkers are written with: comparing values, checking a backward pass, naming a mistake."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..kernels import reference
from ..kernels.reference import Saved
from .learner import Learner
from .results import Finding, Stop

__all__ = [
    "Finding", "Learner", "Reference", "Stop", "Wrong", "compare", "gradients", "same", "sizes",
    "unpack",
]  # fmt: skip

SCREEN = 16  # lines of clues shown
CLOSE = 1e-9  # of a forward pass in float64, relative to the largest value
EXACT = 1e-11  # of a backward pass; differences are off by more, a formula by far less
NEARLY = 1e-4


class Wrong(NamedTuple):
    """A value that a known mistake gives, to name the mistake when that value comes out.

    Attributes
    ----------
    code, title
        Of the mistake.
    value
        What it gives, or a function without arguments that makes it (and may fail).
    where
        What to look at.
    """

    code: str
    title: str
    value: Any
    where: str = ""


class Reference:
    """What is right: a kernel of minicnn.kernels.reference, with its settings.

    Called with the inputs it gives the result; `gradients(g, *inputs)` are the true ones.
    """

    def __init__(self, kernel: str, *settings: Any) -> None:
        self.kernel, self.settings = kernel, settings

    def run(self, *inputs: np.ndarray) -> tuple[Any, Saved]:
        """(the result, what the kernel's backward needs)."""
        return getattr(reference, self.kernel)(*inputs, *self.settings)

    def __call__(self, *inputs: np.ndarray) -> Any:
        return self.run(*inputs)[0]

    def gradients(self, g: np.ndarray, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """One for each input."""
        backward = getattr(reference, self.kernel + "_backward")
        return backward(g, self.run(*inputs)[1], (True,) * len(inputs))


def sizes(rng: np.random.Generator, n: int, low: int = 2, high: int = 7) -> list[int]:
    """n different sizes from low to high, so that no two axes can be mistaken for each other."""
    return [int(size) for size in rng.permutation(np.arange(low, high + 1))[:n]]


def same(found: Any, expected: Any, tolerance: float = CLOSE) -> bool:
    """Whether two arrays have one shape, and values that differ by rounding only."""
    found, expected = _as_array(found), np.asarray(expected)
    if found is None or found.shape != expected.shape or found.dtype.kind not in "biuf":
        return False
    scale = max(1e-3, float(np.abs(expected).max(initial=0.0)))
    return bool(np.all(np.abs(found - expected) <= tolerance * scale))


def compare(
    what: str,
    found: Any,
    expected: Any,
    *,
    wrong: Sequence[Wrong] = (),
    axes: str = "",
    where: str = "",
    tolerance: float = CLOSE,
    derivative: bool = False,
) -> list[Finding]:
    """No finding if found is expected; else one, named after the first of `wrong` that it equals.

    Parameters
    ----------
    what
        The call, as the learner would write it: "linear_forward(x, weight, bias)".
    found, expected
        Arrays or numbers.
    wrong
        What known mistakes would have given.
    axes
        The expected shape in letters: "(N, out)".
    where
        What to look at if the mistake is not known.
    tolerance
        Relative to the largest expected value.
    derivative
        It must be right to the last digits; what is only nearly so was made by differences.
    """
    tolerance = EXACT if derivative else tolerance
    if same(found, expected, tolerance):
        return []
    array = _as_array(found)
    expected = np.asarray(expected)
    if array is None or array.dtype.kind not in "biuf":
        kind = "None: is a return missing?" if found is None else type(found).__name__
        wanted = f"numbers, shape {expected.shape} {axes}".rstrip()
        return [Finding("type", f"{what} is no array of numbers", wanted, kind, where)]
    told = _difference(array, expected, axes)
    if derivative and same(array, expected, NEARLY):
        return [_inexact(what, array, expected)]
    for mistake in wrong:
        if same(array, _value(mistake), tolerance):
            return [Finding(mistake.code, mistake.title, *told, mistake.where or where)]
    code, title = ("shape", "has another shape") if array.shape != expected.shape else (
        "value", "has other values"
    )  # fmt: skip
    return [Finding(code, f"{what} {title}", *told, where)]


def unpack(name: str, found: Any, names: Sequence[str]) -> Sequence[Any]:
    """What the function `name` returned, if that is a tuple of so many; else the check ends."""
    if isinstance(found, tuple | list) and len(found) == len(names):
        return found
    what = f"{len(found)} values" if isinstance(found, tuple | list) else type(found).__name__
    wanted = f"({', '.join(names)})"
    raise Stop("type", f"{name} does not return {len(names)} values", wanted, what, name)


def _as_array(found: Any) -> np.ndarray | None:
    try:
        return None if found is None else np.asarray(found)
    except ValueError:  # a ragged list
        return None


def _value(mistake: Wrong) -> Any:
    if not callable(mistake.value):
        return mistake.value
    try:
        return mistake.value()
    except (ValueError, IndexError):  # the mistake is no possible one at these shapes
        return None


def _difference(found: np.ndarray, expected: np.ndarray, axes: str) -> tuple[str, str]:
    """(expected, found) in words and numbers, at the worst entry."""
    if found.shape != expected.shape:
        return f"shape {expected.shape} {axes}".rstrip(), f"shape {found.shape}"
    if expected.ndim == 0:
        return f"{expected:.10g}", f"{found:.10g}"
    gap = np.abs(np.where(np.isnan(found), np.inf, found) - expected)
    worst = tuple(int(i) for i in np.unravel_index(int(np.argmax(gap)), gap.shape))
    share = float(np.mean(~(gap <= CLOSE * max(1e-3, float(np.abs(expected).max())))))
    at = f" at {list(worst)}" + (f" of {axes}" if axes else "")
    return (
        f"{expected[worst]:.8g}{at}",
        f"{found[worst]:.8g} there; wrong in {share:.0%} of {gap.size} entries",
    )


# ---- a backward pass ---------------------------------------------------------------------------


def gradients(
    learner: Learner,
    name: str,
    forward: Callable[..., np.ndarray],
    inputs: Sequence[np.ndarray],
    exact: Callable[..., Any],
    rng: np.random.Generator,
    *,
    op: str | None = None,
    params: dict[str, Any] | None = None,
    call: Callable[..., Any] | None = None,
) -> list[Finding]:
    """Checks the learner's backward pass `name` with `minicnn.gradcheck.check_backward`.

    Parameters
    ----------
    forward
        The reference: forward(*inputs) -> y.
    inputs
        float64 arrays, in the order of the PyTorch function where there is one.
    exact
        The true gradients: exact(g, *inputs), a tuple, or an array if there is one input.  A
        right gradient that is not right to the last digits was made by differences.
    op, params
        The known operation, and its stride, padding ..., for `check_backward`.
    call
        call(g, *inputs) -> gradients, where that is more than the learner's function `name` with
        `params` by name.
    """
    from ..gradcheck import check_backward

    def own(g: np.ndarray, *inputs: np.ndarray) -> Any:
        return getattr(learner, name)(g, *inputs, **params or {})

    backward = call or own
    g = rng.standard_normal(np.shape(forward(*inputs)))
    returned = backward(g, *inputs)  # watched, and errors in it are told as they are
    if len(inputs) > 1:
        unpack(name, returned, [f"gradient {i}" for i in range(len(inputs))])
    report = check_backward(
        forward, backward, list(inputs), op=op, params=params, seed=int(rng.integers(1 << 30))
    )
    if not report.ok:
        return [_from_report(name, report)]
    return _exactness(name, returned, exact(g, *inputs))


def _from_report(name: str, report: Any) -> Finding:
    """A report's first diagnosis, with the others it thinks possible."""
    if not report.diagnosis:
        lines = "\n".join(report.clues or [str(report)]).splitlines()
        lines = lines[:SCREEN] + ["..."] * (len(lines) > SCREEN)
        return Finding("gradient", f"{name} is wrong", found="\n".join(lines), where=name)
    first, *others = report.diagnosis
    where = f"{name}: {first.remedy}"
    if others:
        where += "\nor it is " + ", ".join(f"{other.code} ({other.title})" for other in others)
    where += f"\n`minicnn bugs {first.code}` explains it with an example"
    wrong = [f"{entry.name}, shape {tuple(entry.shape)}" for entry in report.inputs if not entry.ok]
    expected = "the numeric gradient of " + " and of ".join(wrong) if wrong else ""
    return Finding(first.code, f"{name}: {first.title}", expected, first.evidence, where)


def _exactness(name: str, found: Any, true: Any) -> list[Finding]:
    """A finding for gradients that are right, but not to the last digits."""
    pairs = zip(_listed(found), _listed(true), strict=True)
    return [
        _inexact(f"gradient {i} of {name}", np.asarray(analytic), np.asarray(expected))
        for i, (analytic, expected) in enumerate(pairs)
        if expected is not None and not same(analytic, expected, EXACT)
    ][:1]


def _inexact(what: str, found: np.ndarray, expected: np.ndarray) -> Finding:
    gap = float(np.abs(found - expected).max() / max(1e-3, np.abs(expected).max()))
    return Finding(
        "differences", f"{what} is right, but not to the last digits",
        "a formula: right to about 15 digits",
        f"off by {gap:.0e} of the largest entry, as difference quotients are",
        f"{what}: differences are for checking; and compute in float64",
    )  # fmt: skip


def _listed(gradients: Any) -> list[Any]:
    return list(gradients) if isinstance(gradients, tuple | list) else [gradients]
