"""How the kernels are compiled: for each number type when first used, and kept on disk.

    @shared(...)   a C function of its own: compiled once, called by several kernels by its name
    @inner         compiled into each kernel that calls it
    @entry(...)    what Python calls: entry[dtype](arrays, numbers)

Numba's own cache notices a change in a function's file, but none in the files it imports, nor
another CPU feature or optimisation level.  So the cache folder's name is a hash of all of these.
"""

import hashlib
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from llvmlite import binding, ir
from numba import cfunc, config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract"}}
INT, FLOAT = types.int64, types.float64
TYPES = {np.dtype(np.float32): types.float32, np.dtype(np.float64): types.float64}

inner = njit(**OPTIONS, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def array(kind: Any, ndim: int) -> types.Array:
    """A C-ordered array."""
    return types.Array(kind, ndim, "C")


def given(kind: Any, ndim: int) -> types.Array:
    """A C-ordered array that may be read-only, as the gradients are that a backward is given."""
    return types.Array(kind, ndim, "C", readonly=True)


def strided(kind: Any, ndim: int) -> types.Array:
    """An array of any strides, that may be read-only."""
    return types.Array(kind, ndim, "A", readonly=True)


class Entry(dict):
    """A kernel by number type: the compiled function, made when it is first asked for."""

    def __init__(self, function: Callable, signature: Callable, uses: tuple) -> None:
        super().__init__()
        self.function, self.signature, self.uses = function, signature, uses
        entries.append(self)

    def __missing__(self, dtype: np.dtype) -> Callable:
        kind = TYPES[dtype]
        for symbol in self.uses:
            symbol.ready(kind)
        with _cached() as kept:
            signature = types.void(*self.signature(kind))
            self[dtype] = njit(signature, cache=kept, nogil=True, **OPTIONS)(self.function)
        return self[dtype]


def entry(signature: Callable[[Any], tuple], uses: tuple = ()) -> Callable[[Callable], Entry]:
    """Makes a kernel that Python calls; `signature` gives the argument types for a number type."""
    return lambda function: Entry(function, signature, uses)


class Shared:
    """A function with a C symbol for each number type; jitted code calls it by `call`."""

    def __init__(self, function: Callable, signature: Callable) -> None:
        self.function, self.signature = function, signature
        self.compiled: dict[Any, Any] = {}
        self.call = self._call()

    def _symbol(self, kind: Any) -> str:
        return f"minicnn_{self.function.__name__}_{kind}"

    def ready(self, kind: Any) -> None:
        """Compiles the function, or loads it, and makes its symbol known to LLVM."""
        if kind not in self.compiled:
            with _cached() as kept:
                signature = types.void(*self.signature(kind))
                self.compiled[kind] = cfunc(signature, cache=kept, **OPTIONS)(self.function)
            binding.add_symbol(self._symbol(kind), self.compiled[kind].address)

    def _call(self) -> Any:
        @intrinsic
        def call(typing, *args):
            kind = next(a.dtype for a in args if isinstance(a, types.CPointer))
            expected = self.signature(kind)

            def emit(context, builder, signature, packed):
                values = cgutils.unpack_tuple(builder, packed[0])
                values = [
                    context.cast(builder, value, found, wanted)
                    for value, found, wanted in zip(values, args, expected, strict=True)
                ]
                form = ir.FunctionType(ir.VoidType(), [v.type for v in values])
                function = cgutils.get_or_insert_function(builder.module, form, self._symbol(kind))
                builder.call(function, values)
                return context.get_dummy_value()

            return types.void(types.StarArgTuple.from_types(args)), emit

        return call


def shared(signature: Callable[[Any], tuple]) -> Callable[[Callable], Shared]:
    """Makes a function that several kernels call, compiled once for each number type."""
    return lambda function: Shared(function, signature)


entries: list[Entry] = []


def warm_up(dtype: np.dtype) -> None:
    """Compiles every kernel for a number type, or loads it, before it is needed."""
    for each in entries:
        each[dtype]


# ---- the cache -------------------------------------------------------------------------------


@contextmanager
def _cached() -> Iterator[bool]:
    """While in here, Numba's cache is in our folder; False where no folder can be written."""
    folder, before = cache_folder(), config.CACHE_DIR
    config.CACHE_DIR = "" if folder is None else str(folder)
    try:
        yield folder is not None
    finally:
        config.CACHE_DIR = before


@cache
def cache_folder() -> Path | None:
    """Where compiled code is kept: MINICNN_CACHE_DIR, else the user's cache, else one in /tmp."""
    own = os.environ.get("MINICNN_CACHE_DIR")
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    temporary = Path(tempfile.gettempdir()) / f"minicnn-{getattr(os, 'getuid', int)()}"
    for base in [Path(own)] if own else [Path(user) / "minicnn", temporary]:
        folder = base / f"kernels-{_key()}"
        try:
            new = not folder.exists()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if folder.stat().st_uid != getattr(os, "getuid", int)() or not os.access(
                folder, os.W_OK
            ):
                continue  # compiled code is run, so it must be our own
        except OSError:
            continue
        if new:
            _remove_old(base)
            print(
                "minicnn: compiling kernels for this CPU, once; later runs load them",
                file=sys.stderr,
            )
        return folder
    print("minicnn: no folder to keep compiled kernels in; set MINICNN_CACHE_DIR", file=sys.stderr)
    return None


def _key() -> str:
    """A hash of all that the compiled code depends on."""
    found = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        found.update(path.name.encode() + path.read_bytes())
    cpu = (binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten())
    chosen = (config.CPU_NAME, config.CPU_FEATURES, config.OPT)
    versions = (numba.__version__, llvmlite.__version__, np.__version__, platform.python_version())
    found.update(repr((cpu, chosen, versions, platform.machine())).encode())
    return found.hexdigest()[:16]


def _remove_old(base: Path, days: int = 30) -> None:
    """Removes the code of versions and CPUs that were not used for a month."""
    for folder in base.glob("kernels-*"):
        if time.time() - folder.stat().st_mtime > days * 86400:
            shutil.rmtree(folder, ignore_errors=True)
