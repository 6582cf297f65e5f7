"""Random numbers with a seed: the generator that everything random here draws from."""

import os
import random as python_random
import sys
from functools import cached_property
from typing import Any

import numpy as np

from .kernels import recording


class Generator:
    """A seeded source of random numbers, and of counters for counter-based generators.

    `numpy` gives the host's numbers (initial weights, shuffling); `counters(n)` hands out a seed
    and an offset from which a kernel makes n numbers on any device, so two integers are the whole
    state of a dropout mask.  A device is taken for PyTorch's sake: the numbers are the same on any.
    """

    def __init__(self, seed: int | None = None, *, device: Any = "cpu") -> None:
        self.manual_seed(int.from_bytes(os.urandom(4), "little") if seed is None else seed)

    def manual_seed(self, seed: int) -> "Generator":
        """Starts again from a seed; returns the generator itself."""
        self._seed = int(seed)
        self._offset = 0
        vars(self).pop("numpy", None)
        return self

    @cached_property
    def numpy(self) -> "np.random.Generator":
        """The host's generator; made when first asked for, since numpy.random takes 10 ms."""
        return np.random.Generator(np.random.PCG64(self._seed % 2**64))

    def initial_seed(self) -> int:
        """The seed this generator was last started from."""
        return self._seed

    def counters(self, n: int) -> tuple[Any, int]:
        """(seed, offset) for n random words; later calls never get the same words again.

        While a CUDA graph is captured, (slot, 0): the two will stand in the slot, drawn for each
        replay, and nothing is drawn now.
        """
        if recording.active is not None:
            return recording.active.slot(2, lambda: np.array(self.counters(n), np.uint64)), 0
        offset = self._offset
        self._offset += -(-n // 4)  # a Philox counter yields four words
        return self._seed % 2**64, offset

    def get_state(self) -> dict[str, Any]:
        """The whole state, as plain numbers and text that JSON can hold."""
        return {"seed": self._seed, "offset": self._offset, "numpy": self.numpy.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes back to a state that `get_state` returned."""
        self.manual_seed(state["seed"])
        self._offset = state["offset"]
        self.numpy.bit_generator.state = state["numpy"]


default_generator = Generator()


class HostStates:
    """Where the default generators stand on the host: this library's, Python's and NumPy's."""

    def __init__(self) -> None:
        self._states = _host_states()

    def changed(self) -> bool:
        """Whether anything has been drawn since."""
        with np.printoptions(threshold=sys.maxsize):  # as text, for a state of NumPy's has arrays
            return repr(_host_states()) != repr(self._states)

    def restore(self) -> None:
        """As if nothing had been drawn since."""
        own, python, numpy = self._states
        default_generator.set_state(own)
        python_random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def _host_states() -> tuple[Any, Any, Any]:
    numpy = np.random.get_state(legacy=False)  # noqa: NPY002
    return default_generator.get_state(), python_random.getstate(), numpy


def manual_seed(seed: int) -> Generator:
    """Seeds the generator that everything random here uses unless it is given its own."""
    return default_generator.manual_seed(seed)
