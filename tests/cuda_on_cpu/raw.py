"""RawModule and RawKernel as CuPy has them, over the shim: launches are checked, then submitted."""

import ctypes
from typing import Any

from . import driver, shim
from .compute import arrays_in


class RawModule:
    """As cupy.RawModule, compiled by g++ for the CPU."""

    def __init__(
        self, *, code: str | None = None, path: str | None = None, options: tuple[str, ...] = (),
        backend: str = "nvrtc", **others: Any,
    ) -> None:  # fmt: skip
        if (code is None) == (path is None):
            raise TypeError("Exactly one of `code` and `path` keyword arguments must be given.")
        if code is None or others or backend != "nvrtc":
            raise NotImplementedError("the stand-in for CuPy compiles source by NVRTC only")
        self._code, self._options = code, options
        self._library: ctypes.CDLL | None = None

    def get_function(self, name: str) -> "RawKernel":
        """A kernel of the module; the first call compiles it."""
        if self._library is None:
            self._library = ctypes.CDLL(str(shim.compile_library(self._code, self._options)))
        if not hasattr(self._library, f"launch_{name}"):
            raise shim.LaunchError(f"CUDA_ERROR_NOT_FOUND: named symbol not found: {name}")
        return RawKernel(shim.Function(self._library, name))


class RawKernel:
    """As cupy.RawKernel, made by RawModule.get_function."""

    def __init__(self, function: shim.Function) -> None:
        self._function = function
        self.name = function.name
        self._shared = shim.SHARED

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        """How much dynamic shared memory a launch may ask for; can be raised."""
        return self._shared

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        if size > shim.SHARED_OPT_IN:
            raise shim.LaunchError(f"CUDA_ERROR_INVALID_VALUE: invalid argument: {size} bytes")
        self._shared = size

    def __call__(self, grid: tuple, block: tuple, args: Any, *, shared_mem: int = 0) -> None:
        """Launches the kernel on the current stream, or records the launch."""
        function = self._function
        size = shim.dimensions("grid", grid, shim.MAX_GRID)
        threads = shim.dimensions("block", block, shim.MAX_BLOCK)
        if threads[0] * threads[1] * threads[2] > shim.MAX_THREADS:
            raise shim.LaunchError(f"CUDA_ERROR_INVALID_VALUE: {self.name}: block {block}")
        if shared_mem > self._shared:
            raise shim.LaunchError(
                f"CUDA_ERROR_INVALID_VALUE: {self.name}: {shared_mem} bytes of shared memory, "
                f"where {self._shared} are allowed"
            )
        packed = function.pack(args, driver.machine.device)
        reads: list[Any] = []
        writes: list[Any] = []
        for a, parameter in zip(args, function.parameters, strict=True):
            for array in arrays_in(a):
                (writes if parameter.writes else reads).append(array.data.mem.chunk)
        driver.submit(lambda: function.run(size, threads, shared_mem, packed), reads, writes)
