"""Planted mistakes: the solution with one thing wrong, which its checker must name."""

from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

from ..errors import DataError


class Mutant(NamedTuple):
    """The solution with one mistake.

    Attributes
    ----------
    code
        What the checker's first finding must be named.
    old, new
        This text of solution.py, which occurs in it once, becomes that one.  Where old is empty,
        new is added at the end: a function defined there replaces the one of its name.
    title, where
        What a learner is told who gets what this mistake gives: the mistake in a few words, and
        what to look at.  Without a title the checker must see the mistake in another way.
    functions
        Or: functions that replace those of their names.
    about
        For messages.
    """

    code: str
    old: str = ""
    new: str = ""
    title: str = ""
    where: str = ""
    functions: dict[str, Callable[..., Any]] | None = None
    about: str = ""

    def source(self, solution: str) -> str:
        """solution.py with the mistake."""
        if not self.old:
            return f"{solution}\n\n{self.new}\n"
        if (times := solution.count(self.old)) != 1:
            raise DataError(f"mutants.py: {self.old!r} occurs {times} times in solution.py, not 1")
        return solution.replace(self.old, self.new)

    def __str__(self) -> str:
        return f"{self.code} ({self.about or ' '.join(self.new.split())[:50]})"


def by_library(header: str, call: str) -> Mutant:
    """A function of this header that returns `call`, in which F has minicnn's functions.

    `t` makes an array a tensor.
    """
    setup = "import minicnn as mc\nF, t = mc.nn.functional, mc.tensor"
    return Mutant("library", new=f"{setup}\ndef {header}:\n    return {call}")


def by_differences(backward: str, forward: str, step: float, part: str = "") -> Mutant:
    """A backward pass by differences of the function `forward`, or of a part of what it returns."""
    return Mutant("differences", new=f"""
def {backward}(g, *inputs, **how):
    def slope(k, i):
        moved = [a.copy() for a in inputs]
        moved[k][i] += {step}
        change = {forward}(*moved, **how){part} - {forward}(*inputs, **how){part}
        return (g * change).sum() / {step}
    return tuple(np.array([slope(k, i) for i in np.ndindex(a.shape)]).reshape(a.shape)
                 for k, a in enumerate(inputs))
""")  # fmt: skip


def from_catalogue(op: str, function: str, *, skip: Collection[str] = ()) -> Iterator[Mutant]:
    """The wrong backward passes that `minicnn.gradcheck.bugs` knows of an operation.

    Each takes the place of the solution's `function`, and is called as that is: (g, *inputs, and
    the parameters by name).  Mutants whose code or name is in `skip` are left out, and those
    whose forward is the wrong one.
    """
    from ..gradcheck.bugs import OPERATIONS

    for mutant in OPERATIONS[op].mutants:
        if mutant.forward is None and not {mutant.code, mutant.name} & set(skip):
            replaced = {function: mutant.backward}
            yield Mutant(mutant.code, functions=replaced, about=mutant.name)
