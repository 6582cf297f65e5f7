"""Devices, and moving arrays between them."""

import re

import numpy as np

from .arrays import Array, import_cupy, module_of
from .errors import ArgumentError, DeviceError


class device(str):
    """Where an array lives: `device("cpu")`, `device("cuda")` or `device("cuda:1")`, `device(1)`.

    Its `type` is "cpu" or "cuda", its `index` a number or None.
    """

    type = property(lambda self: self.partition(":")[0])
    index = property(lambda self: int(self[5:]) if ":" in self else None)

    def __new__(cls, type: str | int, index: int | None = None) -> "device":
        type = f"cuda:{type}" if isinstance(type, int) else type
        name = str(type) if index is None else f"{type}:{index}"
        if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
            raise ArgumentError(f"device {name!r} is not one of 'cpu', 'cuda', 'cuda:N'")
        return super().__new__(cls, name)

    def __repr__(self) -> str:
        return f"device({str(self)!r})"


_cpu = device("cpu")


def device_of(x: Array) -> device:
    """The device that an array is on."""
    return _cpu if module_of(x) is np else device("cuda", x.device.id)


def to_device(x: Array, where: "str | int | device") -> Array:
    """x on another device; x itself where it is already there."""
    if (where := device(where)) == "cpu":
        return x if module_of(x) is np else x.get()
    cupy = import_cupy()
    try:
        with cupy.cuda.Device(where.index):
            return cupy.asarray(x)
    except cupy.cuda.runtime.CUDARuntimeError as error:
        from .kernels.cuda.driver import why_not

        raise DeviceError(f"device '{where}' cannot be used: {why_not(cupy, error)}") from None
