"""check_backward: a backward written by hand, compared with numeric derivatives of its forward.

The pair are plain functions of arrays.  What is measured is in measurement.py, how in
differences.py, what is asked besides in properties.py, the naming of mistakes in diagnosis/.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .function_pair import Broken, FunctionPair, picked
from .measurement import Measurement
from .properties import Check
from .report import Report


def examine(
    forward: Callable, backward: Callable, inputs: list[Any], wrt: list[int], names: list[str],
    upstream: Any, seed: int, op: str | None = None, params: Any = None, **how: Any,
) -> Report:  # fmt: skip
    """Measures a backward pass, and diagnoses what is wrong with it."""
    checks: list[Check] = []
    try:
        pair = FunctionPair(forward, backward, inputs, wrt, names)
        if not any(pair.floating):
            raise Broken(
                f"forward returned {pair.y[0].dtype} for inputs of floating type: a small step is "
                "rounded away, and no gradient is left",
                "GB011",
            )
        measurement = Measurement(pair, upstream, seed, **how)
        checks = measurement.checks
        measurement.run()
    except Broken as broken:
        return failed(str(broken), broken.code, checks)
    report = Report(measurement.reports, checks, measurement.directions)
    _describe(measurement, report)
    if op is not None or not report.ok:
        from .diagnosis import diagnose

        diagnose(measurement, report, op, params or {})
    return report


def _describe(measurement: Measurement, report: Report) -> None:
    """Notes about what was met on the way, and the worst entries at other steps."""
    for r in report.inputs:
        if r.kinks.any():
            report.notes.append(
                f"{int(r.kinks.sum())} entries of {r.name} lie on a kink (ReLU at 0, a tie of "
                "maxima); there any value between the slopes to the left and to the right is right"
            )
        if r.unjudged:
            report.notes.append(
                f"{r.unjudged} entries of {r.name} have no finite derivative and were not judged"
            )
        if not r.ok and r.comparable and r.worst(1):
            r.steps = measurement.over_steps(r)
    _exactness(measurement, report)
    if measurement.unit > 1e-10:
        report.notes.append(
            f"forward is exact to {measurement.unit:.0e} only, as float32 is (GB010), so the "
            "differences are too: what they can see is coarser"
        )
    if measurement.ones:
        report.notes.append(
            "upstream='ones' cannot see a g that is ignored, a transpose or reshape mixed up, a "
            "softmax or batch norm gradient that is 0: leave it out"
        )


def _exactness(measurement: Measurement, report: Report) -> None:
    """Says so where a right gradient has only as many digits as differences have."""
    first = report.directions[0] if report.directions else None
    if first is None or first.exact is None or not report.ok:
        return
    off = abs(first.analytic - first.exact)
    size = max(abs(first.exact), measurement.natural)
    if 1e-11 * size < off - 30 * measurement.natural:
        report.notes.append(
            f"the complex step, which is exact, differs by {off / size:.0e}: a gradient by "
            "differences is as coarse"
        )


def failed(sentence: str, code: str | None = None, checks: Sequence[Check] = ()) -> Report:
    """The report on functions that could not be compared at all."""
    from .diagnosis import from_checks

    report = Report([], [*checks, Check("the functions can be called", False, sentence, code)], [])
    report.diagnosis = from_checks(report)
    return report


def check_backward(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    inputs: Sequence[Any],
    *,
    wrt: int | Sequence[int] | None = None,
    op: str | None = None,
    params: dict[str, Any] | None = None,
    upstream: Any = None,
    seed: int = 0,
) -> Report:
    """Checks a backward pass written in plain NumPy, and says what is wrong with it.

    Parameters
    ----------
    forward
        forward(*inputs) returns an array (or a number, or a tuple of arrays).
    backward
        backward(g, *inputs) returns dL/d(input) for each input, given g = dL/dy of y's shape; just
        the array where there is one input; None where no gradient is wanted.
    inputs
        The arrays, and whatever else the functions take (labels, sizes).
    wrt
        The inputs to check; by default all of floating type.
    op
        A known operation that forward is meant to be, as "conv2d"; see `bugs.OPERATIONS`.  It
        sharpens the diagnosis, and forward is compared with it.
    params
        The operation's stride, padding and so on.
    upstream
        g: by default random; an array; or "ones", the usual weak check.
    seed
        Of all random choices.

    Returns
    -------
    Report
        True if all is right.  A wrong gradient never raises.

    Raises
    ------
    ArgumentError
        For arguments that make no sense, such as an operation nobody knows.
    """
    listed = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
    chosen, names = picked(listed, wrt), _names(forward)
    if op is not None:
        from .bugs import operation

        op, names = operation(op).name, list(operation(op).inputs)
    names += [f"input {i}" for i in range(len(names), len(listed))]
    return examine(forward, backward, listed, chosen, names, upstream, seed, op, params)


def _names(forward: Callable) -> list[str]:
    """The names of forward's arguments, where it has them."""
    import inspect

    try:
        parameters = inspect.signature(forward).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in parameters if p.kind in kinds]


def assert_gradients(
    forward: Callable[..., Any], backward: Callable[..., Any], inputs: Sequence[Any], **how: Any
) -> None:
    """check_backward for tests: raises AssertionError with the whole report."""
    report = check_backward(forward, backward, inputs, **how)
    if not report.ok:
        raise AssertionError(f"the gradient is wrong\n{report}")
