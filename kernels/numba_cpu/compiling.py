"""How the kernels are compiled: for each number type when first used, and kept on disk.

    @shared(...)   a C function of its own: compiled once, called by several kernels by its name
    @inner         compiled into each kernel that calls it
    @entry(...)    what Python calls: entry[dtype](arrays, numbers)

Numba's own cache notices a change in a function's file, but none in the files it imports, nor
another CPU feature or optimisation level.  So the cache folder's name is a hash of all of these.
In it each signature has a folder: where several are listed in one file, processes that compile at
once overwrite each other's entries, and one kernel is loaded for another.
"""

import hashlib
import os
import platform
import re
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from llvmlite import binding, ir
from numba import cfunc, config, njit, types
from numba.core import cgutils
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.extending import intrinsic

OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract"}}
CHOICES = (  # Numba's settings that change machine code
    "CPU_NAME", "CPU_FEATURES", "ENABLE_AVX", "USING_SVML", "OPT", "LOOP_VECTORIZE",
    "SLP_VECTORIZE", "BOUNDSCHECK",
)  # fmt: skip
INT, FLOAT = types.int64, types.float64
TYPES = {np.dtype(np.float32): types.float32, np.dtype(np.float64): types.float64}

inner = njit(**OPTIONS, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def named_inner(made: Callable, of: Callable) -> Any:
    """As `inner`, for a function made by another, under a name of its own.

    Numba tells functions of one name apart by a count that each process begins anew: in the cache
    one would be taken for the other.
    """
    made.__name__ = made.__qualname__ = f"{of.__name__}_body"
    return inner(made)


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
        with _lock:
            for symbol in self.uses:
                symbol.ready(kind)
            if dtype not in self:
                signature = types.void(*self.signature(kind))
                self[dtype] = kept(njit, self.function, signature, nogil=True)
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
        with _lock:
            if kind not in self.compiled:
                made = kept(cfunc, self.function, types.void(*self.signature(kind)))
                binding.add_symbol(self._symbol(kind), made.address)
                self.compiled[kind] = made

    def _call(self) -> Any:
        @intrinsic
        def call(typing, *args):
            kind = next(a.dtype for a in args if isinstance(a, types.CPointer))
            expected = self.signature(kind)

            def emit(context, builder, signature, packed):
                values = cgutils.unpack_tuple(builder, packed[0])
                values = [
                    context.cast(builder, value, actual, wanted)
                    for value, actual, wanted in zip(values, args, expected, strict=True)
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


# ---- a kernel's machine code -------------------------------------------------------------------


class _Code(JITCodeLibrary):
    """A kernel's machine code, which calls its own copies of the functions that it uses.

    To Numba a function's copies are as good as each other, so a process calls the one that it
    loaded first: another kernel's, or the one that is compiled by itself on the way.  But the
    copies are optimised apart and round differently.
    """

    def _optimize_final_module(self) -> None:
        super()._optimize_final_module()
        for function in self._final_module.functions:
            if function.linkage == binding.Linkage.linkonce_odr:
                function.linkage = "internal"


class _Compiler(Compiler):
    """Numba's compiler, which fills a `_Code`."""

    def compile_extra(self, func: Callable) -> Any:
        self.state.library = _Code(self.state.targetctx.codegen(), func.__qualname__)
        self.state.library.enable_object_caching()
        return super().compile_extra(func)


# ---- the cache -------------------------------------------------------------------------------


_lock = threading.RLock()  # one thread compiles at a time: Numba's settings are global


def kept(compiler: Callable, function: Callable, signature: Any, **options: Any) -> Any:
    """The compiled function, from the cache if it is there; a damaged cache is thrown away."""
    folder = cache_folder()
    options |= OPTIONS | {"pipeline_class": _Compiler}
    if folder is not None and not folder.exists():  # deleted while this process runs
        cache_folder.cache_clear()
        folder = cache_folder()
    if folder is not None:
        with suppress(OSError):
            os.utime(folder)  # in use
        for _ in range(2):
            try:
                with _lock, _cached_in(folder / _digest(signature)):
                    return compiler(signature, cache=True, **options)(function)
            except Exception:  # what a damaged file raises: EOFError, UnpicklingError, ...
                shutil.rmtree(folder, ignore_errors=True)
                with suppress(OSError):
                    folder.mkdir(mode=0o700, exist_ok=True)
    return compiler(signature, **options)(function)


@contextmanager
def _cached_in(folder: Path) -> Iterator[None]:
    """While in here, Numba's cache is in this folder."""
    before, config.CACHE_DIR = config.CACHE_DIR, str(folder)
    try:
        yield
    finally:
        config.CACHE_DIR = before


def _bases() -> Iterator[Path]:
    """MINICNN_CACHE_DIR, else the user's cache; and one in the temporary folder."""
    if own := os.environ.get("MINICNN_CACHE_DIR"):
        yield Path(own)
    else:
        with suppress(RuntimeError):  # no home
            user = Path(os.environ.get("XDG_CACHE_HOME", ""))
            yield (user if user.is_absolute() else Path.home() / ".cache") / "minicnn"
    with suppress(OSError):  # no temporary folder
        yield Path(tempfile.gettempdir()) / f"minicnn-{_user()}"


def _user() -> int:
    return getattr(os, "getuid", int)()


@cache
def cache_folder() -> Path | None:
    """Where compiled code is kept; None where no folder can be written.

    Compiled code is run, and Numba's index of it is a pickle: who can write there can do all that
    the reader may.  So a folder must belong to this user.  One that cannot be written, as in a
    container's image, is copied to one that can, but only if it is `_trusted`.
    """
    filled = None
    for base in _bases():
        folder = base / f"kernels-{_key()}"
        try:
            new = not folder.exists()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            mine = (folder,) if os.environ.get("MINICNN_CACHE_DIR") else (base, folder)
            owners = {path.stat().st_uid for path in mine}
            if owners != {_user()} or not os.access(folder, os.W_OK):
                if _trusted(folder.resolve()):
                    filled = folder
                continue
            if new and filled is not None:
                _copy(filled, folder)
                return folder
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


def _trusted(folder: Path) -> bool:
    """Whether nobody but this user and root can have written a folder, or can put another there."""

    def closed(path: Path, above: bool = False) -> bool:
        about = path.lstat()  # a link counts as open to all
        sticky = above and about.st_mode & stat.S_ISVTX  # as /tmp: others can add, not replace
        return about.st_uid in (0, _user()) and bool(sticky or not about.st_mode & 0o022)

    inside = all(map(closed, (folder, *folder.rglob("*"))))
    return inside and closed(folder.parent) and all(closed(p, True) for p in folder.parents)


def _copy(filled: Path, folder: Path) -> None:
    """Copies a cache to an empty folder, at once, so that other processes see it whole."""
    part = Path(tempfile.mkdtemp(dir=folder.parent))
    with suppress(OSError):  # another process was first, or the disk is full: compiled anew
        for path in filter(Path.is_file, filled.rglob("*")):
            copy = part / path.relative_to(filled)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
        os.rename(part, folder)
    shutil.rmtree(part, ignore_errors=True)


def _key() -> str:
    """A hash of all that the compiled code depends on."""
    sources = [(p.name, p.read_bytes()) for p in sorted(Path(__file__).parent.glob("*.py"))]
    cpu = (binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten())
    chosen = [getattr(config, name) for name in CHOICES]
    versions = (numba.__version__, llvmlite.__version__, np.__version__, platform.python_version())
    return _digest((sources, cpu, chosen, versions, platform.machine()))


def _digest(of: Any) -> str:
    return hashlib.sha256(str(of).encode()).hexdigest()[:16]


def _remove_old(base: Path, days: int = 30) -> None:
    """Removes the code of versions and CPUs that were not used for a month."""
    for folder in base.iterdir():
        ours = re.fullmatch(r"kernels-[0-9a-f]{16}", folder.name)
        if ours and time.time() - folder.stat().st_mtime > days * 86400:
            shutil.rmtree(folder, ignore_errors=True)
