"""Call: what an op asks of the kernels, as a value; Chain: calls that follow each other.

    conv2d (window, groups) -> (64, 6, 28, 28)       shapes, types and numbers, but no arrays
    relu () -> (64, 6, 28, 28)
    max_pool2d (window) -> (64, 6, 14, 14)

    START -- conv2d -- relu -- max_pool2d            chains that begin alike share their beginning:
                 \\--- tanh                           every next link is one look-up

An op makes one Call for each geometry, so it is the same object in every step, and so is a Chain:
there an implementation keeps what it made of it, its programs or launches.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from minicnn.shapes import Shape


@dataclass(frozen=True, eq=False, slots=True)
class Call:
    """One kernel call without its arrays; equal only to itself.

    Attributes
    ----------
    kernel
        A name of the contract: kernel(x, *weights, *arguments) gives the result.
    shape, dtype
        The result's.
    arguments
        What follows the arrays: a Window, numbers.
    shapes
        The weights' shapes, None for one that is not there.
    like
        An array of the result's shape and type, without memory of its own.
    """

    kernel: str
    shape: Shape
    dtype: np.dtype
    arguments: tuple = ()
    shapes: tuple[Shape | None, ...] = ()
    like: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        like = np.broadcast_to(np.zeros((), self.dtype), self.shape)
        object.__setattr__(self, "like", like)


class Chain:
    """Calls that follow each other, the result of one being the input of the next.

    Attributes
    ----------
    calls
        In their order.
    kernels
        The names of their kernels.
    kept
        What implementations keep here, under keys of their own.
    longer, known
        The chains with one call more: by the call, and by what fusion knows it by again.
    """

    made = 0  # chains, since START was cleared
    LIMIT = 2000  # of many shapes the old ones are forgotten

    def __init__(self, calls: tuple[Call, ...] = ()) -> None:
        self.calls = calls
        self.kernels = {call.kernel for call in calls}
        self.kept: dict[Any, Any] = {}
        self.longer: dict[Call, Chain] = {}
        self.known: dict[Any, tuple[tuple, Chain]] = {}

    def then(self, call: Call) -> "Chain":
        """This chain with one call more."""
        chain = self.longer.get(call)
        if chain is None:
            if Chain.made >= Chain.LIMIT:
                START.longer.clear()
                Chain.made = 0
            Chain.made += 1
            chain = self.longer[call] = Chain((*self.calls, call))
        return chain

    def __repr__(self) -> str:
        return "+".join(call.kernel for call in self.calls)


START = Chain()


def chain_of(calls: Sequence[Call]) -> Chain:
    """The chain of these calls."""
    chain = START
    for call in calls:
        chain = chain.then(call)
    return chain


geometry = lru_cache(2000, typed=True)
"""Decorates a function of shapes, types and options that makes a Call: once for each of them."""
