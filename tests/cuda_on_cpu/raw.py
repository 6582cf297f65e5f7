"""RawModule and RawKernel as CuPy has them, over the shim: launches are checked, then submitted.

A GPU refuses a block whose threads have more registers than there are, 65536, which nobody can
count here.  A thread has at most 255, so 256 threads always fit; for more, the kernel has to tell
the compiler by __launch_bounds__, which then keeps to it.
"""

import ctypes
import re
from typing import Any

from . import driver, shim
from .compute import arrays_in

SURE_THREADS = 256


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
        found = re.search(rf"__launch_bounds__\((\d+)[^)]*\)\s*{name}\b", self._code)
        threads = int(found[1]) if found else SURE_THREADS
        return RawKernel(shim.Function(self._library, name), threads)


class RawKernel:
    """As cupy.RawKernel, made by RawModule.get_function."""

    def __init__(self, function: shim.Function, most_threads: int) -> None:
        self._function, self._most_threads = function, most_threads
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
        if threads[0] * threads[1] * threads[2] > self._most_threads:
            raise shim.LaunchError(
                f"CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES: {self.name}: block {block}, where "
                f"{self._most_threads} threads are sure of their registers"
            )
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
