"""Devices, moving arrays between them, and random numbers with a seed."""

from typing import Any

import numpy as np

from .arrays import Array, import_cupy, module_of
from .errors import ArgumentError, DeviceError


class device:
    """Where an array lives: `device("cpu")`, `device("cuda")` or `device("cuda:1")`."""

    __slots__ = ("index", "type")

    def __init__(self, type: "str | device", index: int | None = None) -> None:
        kind, _, number = str(type).partition(":")
        if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
            raise ArgumentError(f"device {str(type)!r} is not one of 'cpu', 'cuda', 'cuda:N'")
        self.type = kind
        self.index = int(number) if number else index

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type={self.type!r}{index})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


_cpu = device("cpu")


def device_of(x: Array) -> device:
    """The device that an array is on."""
    return _cpu if module_of(x) is np else device("cuda", x.device.id)


def to_device(x: Array, where: "str | device") -> Array:
    """x on another device; x itself where it is already there."""
    where = device(where)
    if where.type == "cpu":
        return x if module_of(x) is np else x.get()
    cupy = import_cupy()
    try:
        with cupy.cuda.Device(where.index):
            return cupy.asarray(x)
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(f"device '{where}' cannot be used: {error}") from None


class Generator:
    """A seeded source of random numbers, and of counters for counter-based generators.

    `numpy` gives the host's numbers (initial weights, shuffling); `counters(n)` hands out a seed
    and an offset from which a kernel makes n numbers on any device, so two integers are the whole
    state of a dropout mask.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.manual_seed(
            int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
        )

    def manual_seed(self, seed: int) -> "Generator":
        """Starts again from a seed; returns the generator itself."""
        self._seed = int(seed)
        self._offset = 0
        self.numpy = np.random.Generator(np.random.PCG64(self._seed % 2**64))
        return self

    def initial_seed(self) -> int:
        """The seed this generator was last started from."""
        return self._seed

    def counters(self, n: int) -> tuple[int, int]:
        """(seed, offset) for n random words; later calls never get the same words again."""
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


def manual_seed(seed: int) -> Generator:
    """Seeds the generator that everything random here uses unless it is given its own."""
    return default_generator.manual_seed(seed)
