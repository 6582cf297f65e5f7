"""What checkers are written with: comparing values, checking a backward pass, naming a mistake."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..kernels import reference
from ..kernels.reference import Saved
from .learner import Learner
from .results import Finding, Stop, Wrong

__all__ = [
    "Finding", "Formula", "Learner", "Reference", "Stop", "Wrong", "compare", "compare_call",
    "gradients", "listed", "same", "sizes", "unpack",
]  # fmt: skip

SCREEN = 16  # lines of clues shown
CLOSE = 1e-9  # of a forward pass in float64, relative to the largest value
EXACT = 1e-11  # of a backward pass; differences are off by more, a formula by far less
NEARLY = 1e-4


class Formula(NamedTuple):
    """What is right: forward(*inputs), and gradients(g, *inputs), one for each input."""

    forward: Callable[..., Any]
    gradients: Callable[..., Any]


class Reference:
    """A Formula by a kernel of minicnn.kernels.reference, with its settings."""

    def __init__(self, kernel: str, *settings: Any) -> None:
        self.kernel, self.settings = kernel, settings

    def run(self, *inputs: np.ndarray) -> tuple[Any, Saved]:
        """(the result, what the kernel's backward needs)."""
        return getattr(reference, self.kernel)(*inputs, *self.settings)

    def forward(self, *inputs: np.ndarray) -> Any:
        """The result alone."""
        return self.run(*inputs)[0]

    def gradients(self, g: np.ndarray, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """One for each input."""
        backward = getattr(reference, self.kernel + "_backward")
        return backward(g, self.run(*inputs)[1], (True,) * len(inputs))


def sizes(rng: np.random.Generator, n: int, low: int = 2, high: int = 7) -> list[int]:
    """n different sizes from low to high, so that no two axes can be mistaken for each other."""
    return [int(size) for size in rng.permutation(np.arange(low, high + 1))[:n]]


def same(returned: Any, expected: Any, tolerance: float = CLOSE) -> bool:
    """Whether two arrays have one shape, and values that differ by rounding only."""
    returned, expected = _as_array(returned), _as_array(expected)
    if returned is None or expected is None or returned.shape != expected.shape:
        return False
    if {returned.dtype.kind, expected.dtype.kind} - set("biuf"):
        return False
    expected = expected * 1.0  # bools have no difference
    scale = max(1e-3, float(np.abs(expected).max(initial=0.0)))
    return bool(np.all(np.abs(returned - expected) <= tolerance * scale))


def compare(
    what: str,
    returned: Any,
    expected: Any,
    *,
    wrong: Sequence[Wrong] = (),
    axes: str = "",
    where: str = "",
    tolerance: float = CLOSE,
    derivative: bool = False,
) -> list[Finding]:
    """No finding if they are equal; else one, named after the first of `wrong` that is returned.

    Parameters
    ----------
    what
        The call, as the learner would write it: "linear_forward(x, weight, bias)".
    returned, expected
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
    if same(returned, expected, tolerance):
        return []
    array = _as_array(returned)
    expected = np.asarray(expected)
    if array is None or array.dtype.kind not in "biuf":
        kind = "None: is a return missing?" if returned is None else type(returned).__name__
        wanted = f"numbers, shape {expected.shape} {axes}".rstrip()
        return [Finding("type", f"{what} is no array of numbers", wanted, kind, where)]
    told = _difference(array, expected, axes)
    if derivative and same(array, expected, NEARLY):
        return [_inexact(what, array, expected)]
    for mistake in wrong:
        if same(array, _value(mistake), tolerance):
            look_at = f"{mistake.where or where}\n{what}"
            return [Finding(mistake.code, mistake.title, *told, look_at)]
    code, title = ("shape", "has another shape") if array.shape != expected.shape else (
        "value", "has other values"
    )  # fmt: skip
    return [Finding(code, f"{what} {title}", *told, where)]


def compare_call(
    learner: Learner,
    call: str,
    inputs: Sequence[Any],
    expected: Any,
    how: dict[str, Any] | None = None,
    *,
    where: str = "",
    **told: Any,
) -> list[Finding]:
    """Calls a function of the learner's, and compares what it returns, with planted mistakes too.

    Parameters
    ----------
    call
        As the learner would write it, without its settings: "linear_forward(x, weight, bias)".
    how
        The settings, given by name.
    told
        Arguments of `compare`.
    """
    how, name = how or {}, call.partition("(")[0]
    given = "".join(f", {k}={v:.3f}" if isinstance(v, float) else f", {k}={v}"
                    for k, v in how.items())  # fmt: skip
    returned = getattr(learner, name)(*inputs, **how)
    wrong = learner.wrong(lambda planted: getattr(planted, name)(*inputs, **how))
    what = f"{call[:-1]}{given})"
    return compare(what, returned, expected, wrong=wrong, where=where or name, **told)


def unpack(name: str, returned: Any, names: Sequence[str]) -> Sequence[Any]:
    """What the function `name` returned, if that is a tuple of so many; else the check ends."""
    if isinstance(returned, tuple | list) and len(returned) == len(names):
        return returned
    what = (
        f"{len(returned)} values" if isinstance(returned, tuple | list) else type(returned).__name__
    )
    wanted = f"({', '.join(names)})"
    raise Stop("type", f"{name} does not return {len(names)} values", wanted, what, name)


def _as_array(returned: Any) -> np.ndarray | None:
    try:
        return None if returned is None else np.asarray(returned)
    except ValueError:  # a ragged list
        return None


def _value(mistake: Wrong) -> Any:
    if not callable(mistake.value):
        return mistake.value
    try:
        return mistake.value()
    except (Exception, Stop):  # the mistake is no possible one at these shapes
        return None


def _difference(returned: np.ndarray, expected: np.ndarray, axes: str) -> tuple[str, str]:
    """(expected, returned) in words and numbers, at the worst entry."""
    if returned.shape != expected.shape:
        return f"shape {expected.shape} {axes}".rstrip(), f"shape {returned.shape}"
    if expected.ndim == 0:
        return f"{expected:.10g}", f"{returned:.10g}"
    gap = np.abs(np.where(np.isnan(returned), np.inf, returned) - expected)
    worst = tuple(int(i) for i in np.unravel_index(int(np.argmax(gap)), gap.shape))
    share = float(np.mean(~(gap <= CLOSE * max(1e-3, float(np.abs(expected).max())))))
    at = f" at {list(worst)}" + (f" of {axes}" if axes else "")
    return (
        f"{expected[worst]:.8g}{at}",
        f"{returned[worst]:.8g} there; wrong in {share:.0%} of {gap.size} entries",
    )


# ---- a backward pass ---------------------------------------------------------------------------


def gradients(
    learner: Learner,
    name: str,
    right: Formula | Reference,
    inputs: Sequence[np.ndarray],
    rng: np.random.Generator,
    how: dict[str, Any] | None = None,
    *,
    quick: bool = False,
) -> list[Finding]:
    """Checks the learner's backward pass `name` with `minicnn.gradcheck.check_backward`.

    A right gradient that is not right to the last digits was made by differences.

    Parameters
    ----------
    name
        "conv2d_backward": that of an operation that the catalogue of bugs knows, or another.
    inputs
        In the order of the PyTorch function where there is one; those that are not float64 have
        no gradient.
    how
        The settings, stride, padding ..., which the learner's function takes by name.
    quick
        Leaves it at a comparison where the gradients are right.
    """
    from ..gradcheck import check_backward
    from ..gradcheck.bugs import CATALOGUE, OPERATIONS

    how = how or {}
    op = OPERATIONS.get(name.removesuffix("_backward"))
    names = [f"d{x}" for x in op.inputs] if op else [f"gradient {i}" for i in range(len(inputs))]

    def backward(g: np.ndarray, *inputs: np.ndarray) -> Any:
        returned = getattr(learner, name)(g, *inputs, **how)
        # labels have no gradient: that of the first input alone will do
        integers = len(inputs) > 1 and not isinstance(returned, tuple | list)
        return (returned, None) if integers and inputs[1].dtype.kind == "i" else returned

    g = rng.standard_normal(np.shape(right.forward(*inputs)))
    returned = backward(g, *inputs)  # watched, and errors in it are told as they are
    if len(inputs) > 1:
        unpack(name, returned, names)
    analytic, true = listed(returned), listed(right.gradients(g, *inputs))
    places = [i for i in range(len(true)) if true[i] is not None and i < len(analytic)]

    def of_planted(i: int, planted: Any) -> Any:
        return listed(getattr(planted, name)(g, *inputs, **how))[i]

    for i in places:
        wrong = learner.wrong(partial(of_planted, i))
        for known in compare(f"{names[i]} of {name}", analytic[i], true[i], wrong=wrong):
            if known.code in CATALOGUE:
                where = f"{known.where}\n{_explained(known.code)}"
                return [known._replace(title=f"{name}: {known.title}", where=where)]
    if quick and all(same(analytic[i], true[i], EXACT) for i in places):
        return []
    report = check_backward(
        right.forward, backward, list(inputs), op=op.name if op else None, params=how,
        seed=int(rng.integers(1 << 30)),
    )  # fmt: skip
    if not report.ok:
        return [_from_report(name, report)]
    return [
        _inexact(f"{names[i]} of {name}", np.asarray(analytic[i]), true[i])
        for i in places
        if not same(analytic[i], true[i], EXACT)
    ][:1]


def _explained(code: str) -> str:
    return f"`minicnn bugs {code}` explains it with an example"


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
    where += f"\n{_explained(first.code)}"
    wrong = [f"{entry.name}, shape {tuple(entry.shape)}" for entry in report.inputs if not entry.ok]
    expected = "the numeric gradient of " + " and of ".join(wrong) if wrong else ""
    return Finding(first.code, f"{name}: {first.title}", expected, first.evidence, where)


def _inexact(what: str, returned: np.ndarray, expected: np.ndarray) -> Finding:
    gap = float(np.abs(returned - expected).max() / max(1e-3, np.abs(expected).max()))
    return Finding(
        "differences", f"{what} is right, but not to the last digits",
        "a formula: right to about 15 digits",
        f"off by {gap:.0e} of the largest entry, as difference quotients are",
        f"{what}: differences are for checking; and compute in float64",
    )  # fmt: skip


def listed(gradients: Any) -> list[Any]:
    """The gradients that a backward pass returned; it may return that of a single input alone."""
    return list(gradients) if isinstance(gradients, tuple | list) else [gradients]
