"""What the catalogue is made of: a Bug, an Operation, and its Mutants."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np


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

    `inputs` and the names of params are PyTorch's.  `forward(*inputs, **params)` returns y.
    `gradients` are functions of g and of what `saved(*inputs, **params)` returns, by default all
    that forward takes; the first is the gradient of the first input, and so on; integers at the end
    have none.
    `backward(g, *inputs, **params)` puts them together: a tuple with one gradient per input.
    `sample(rng)` draws (inputs, params), float64 arrays of pairwise distinct sizes, sometimes
    square; `examples` are small (inputs, params) with whole numbers, to be followed by hand.
    """

    name: str
    inputs: tuple[str, ...]
    forward: Callable[..., Any]
    gradients: dict[str, Callable[..., Any]]
    sample: Callable[..., Any]
    examples: list[tuple[list[Any], dict[str, Any]]]
    saved: Callable[..., Any] | None = None
    backward: Callable[..., Any] = field(init=False)
    mutants: tuple[Mutant, ...] = ()

    def __post_init__(self) -> None:
        self.saved = self.saved or self._arguments
        self.backward = self._backward(self.gradients, self.saved)

    def _arguments(self, *inputs: Any, **params: Any) -> tuple[Any, ...]:
        """All that forward takes, by its order, with its defaults."""
        bound = inspect.signature(self.forward).bind(*inputs, **params)
        bound.apply_defaults()
        return bound.args

    def _backward(self, gradients: dict[str, Any], saved: Any) -> Callable[..., Any]:
        none = (None,) * (len(self.inputs) - len(gradients))

        def backward(g: Any, *inputs: Any, **params: Any) -> tuple[Any, ...]:
            kept = saved(*inputs, **params)
            return *(gradient(g, *kept) for gradient in gradients.values()), *none

        return backward

    def wrong(
        self, code: str, name: str, *, sample: Any = None, forward: Any = None, saved: Any = None,
        **gradients: Callable[..., Any],
    ) -> None:  # fmt: skip
        """Adds a mutant: the right backward pass but for these gradients, or for what was saved."""
        backward = self._backward(self.gradients | gradients, saved or self.saved)
        self.mutants += (Mutant(code, name, backward, forward, sample),)


# ---- what several operations need ------------------------------------------------------------


def normal(*shapes: str, sizes: Any = (2, 3, 4, 5), **params: Any) -> Callable[..., Any]:
    """A sample of random arrays whose axes are letters: of pairwise distinct sizes; a 1 is 1."""
    letters = sorted({letter for shape in shapes for letter in shape} - {"1"})

    def drawn(rng):
        size = {"1": 1, **dict(zip(letters, map(int, rng.permutation(sizes)), strict=False))}
        return [rng.standard_normal([size[k] for k in shape]) for shape in shapes], dict(params)

    return drawn


def one_of(*families: Callable[..., Any]) -> Callable[..., Any]:
    """A sample of any of these families."""
    return lambda rng: families[rng.integers(len(families))](rng)


def in_whole_numbers(forward: Callable[..., Any]) -> Callable[..., Any]:
    """The forward pass with an integer array for the output, as GB011 has it."""
    return lambda *inputs, **params: forward(*inputs, **params).real.astype(int)


def in_float32(family: Callable[..., Any]) -> Callable[..., Any]:
    """The family in the network's usual type, in which np.zeros(shape) is too wide."""

    def drawn(rng):
        inputs, params = family(rng)
        return [x.astype(np.float32) for x in inputs], params

    return drawn


def in_one_buffer(gradient: Callable[..., Any]) -> Callable[..., Any]:
    """The gradient in an array that the next call fills again, as GB008 has it."""
    buffers: dict[tuple[int, ...], Any] = {}

    def buffered(g, *kept):
        dx = gradient(g, *kept)
        buffer = buffers.setdefault(dx.shape, np.empty(dx.shape))
        buffer[...] = dx
        return buffer

    return buffered
