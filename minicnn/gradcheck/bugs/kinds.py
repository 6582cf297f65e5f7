"""What the catalogue is made of: a Bug, an Operation, and its Mutants."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple


class Bug(NamedTuple):
    """One mistake of the catalogue.

    In the texts `a` is the gradient under test, `n` the true (numeric) one, `g` the upstream
    gradient and r = a/n.
    """

    code: str  # "GB018", stable and public
    title: str
    wrong: str  # the line as a learner writes it
    right: str  # the same line, right
    signature: str  # how it shows in numbers
    remedy: str  # what to change, and why
    mistake: bool = True  # False: a right gradient that other checkers reject


class Mutant(NamedTuple):
    """A wrong backward pass: `backward(g, *inputs, **params)` returns what the right one does.

    `forward` is given only where it is the forward that is wrong; `sample` only where the mistake
    needs particular inputs to be one, or to run without a shape error.
    """

    code: str
    name: str  # unique within the operation
    backward: Callable[..., Any]
    forward: Callable[..., Any] | None = None
    sample: Callable[..., Any] | None = None


@dataclass
class Operation:
    """A known operation in plain NumPy: what users name with op=, and its catalogued mistakes.

    `inputs` and the names of params are PyTorch's.  `forward(*inputs, **params)` returns y,
    `backward(g, *inputs, **params)` a tuple with one gradient per input, None for integers.
    `sample(rng)` draws (inputs, params), float64 arrays of pairwise distinct sizes, sometimes
    square; `examples()` lists small cases with whole numbers, to be followed by hand.
    """

    name: str
    inputs: tuple[str, ...]
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    sample: Callable[..., Any]
    examples: Callable[..., Any]
    mutants: tuple[Mutant, ...] = ()

    def mutant(
        self, code: str, name: str, sample: Any = None, forward: Any = None
    ) -> Callable[..., Any]:
        """Decorator: adds a wrong backward pass to this operation."""

        def add(backward: Callable[..., Any]) -> Callable[..., Any]:
            self.mutants += (Mutant(code, name, backward, forward, sample),)
            return backward

        return add
