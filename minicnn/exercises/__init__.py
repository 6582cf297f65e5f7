"""A course of exercises in backpropagation, from the scalar chain rule to LeNet-5.

On the command line it is `minicnn exercises`; from a notebook or a program it is `check`, from a
test `assert_passes`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .exercise import Exercise, list_exercises, pick
from .results import Finding, Result

__all__ = ["Exercise", "Finding", "Result", "assert_passes", "check", "list_exercises", "pick"]

Functions = Callable[..., Any] | dict[str, Callable[..., Any]]


def check(
    which: "str | int",
    *functions: Functions,
    folder: "str | Path | None" = None,
    paths: Sequence["str | Path"] = (),
    seed: int | None = None,
) -> Result:
    """The same check as `minicnn exercises check`, with fresh random inputs.

    Parameters
    ----------
    which
        Number or name of the exercise.
    functions
        What to check: functions or classes defined here, or a dict of them by name.  Without them
        it is the learner's file, in a child process.
    folder
        The learner's folder, as `--folder`.
    paths
        Folders of exercises beside the course's, as `--path`.
    seed
        Repeats the inputs of an earlier check.

    Returns
    -------
    Result
        True if passed; its text says what is wrong.  What the learner's folder has of progress is
        brought up to date, if it is there.
    """
    from .learner import from_functions
    from .runner import check_here, fresh_seed
    from .workspace import Workspace

    workspace = Workspace(folder, [Path(path) for path in paths])
    exercise = workspace.pick(which)
    seed = fresh_seed() if seed is None else seed
    if not functions:
        return workspace.check(exercise, seed)
    named: dict[str, Callable[..., Any]] = {}
    for function in functions:
        named |= function if isinstance(function, dict) else {function.__name__: function}
    learner = from_functions(named)
    result = check_here(exercise, lambda: learner, sorted(learner.files), seed)
    workspace.record(exercise, result)
    return result


def assert_passes(which: "str | int", *functions: Functions, **options: Any) -> None:
    """For tests: raises AssertionError, with what is wrong, if the check is not passed.

    Parameters are those of `check`.  A test of the learner's file is one line:
    `def test_linear(): assert_passes("linear")`.
    """
    result = check(which, *functions, **options)
    if not result:
        raise AssertionError(repr(result))
