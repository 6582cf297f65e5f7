"""RawModule over g++: compiles CUDA C for the CPU and runs it, with CuPy's rules for arguments.

CuPy copies arguments as bytes and trusts them.  This one knows the C types of every kernel, and
refuses what CuPy refuses and what a GPU would take for something else: a Python float for a float,
a float64 array for a float*, an array that is not contiguous, one argument too few.

    MINICNN_SHIM_SANITIZE=address,undefined   compiles with g++'s sanitizers
    MINICNN_SHIM_DEBUG=1                      compiles for a debugger: -O0 -g3
    MINICNN_SHIM_REVERSED=1                   runs blocks and threads last to first
"""

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

HEADER = Path(__file__).with_name("cuda_cpu.h")
WARNINGS = (
    "-Wall -Wextra -Werror -Wdouble-promotion -Wno-sign-compare -Wno-unused-parameter "
    "-Wno-unused-function -Wno-unused-variable -Wno-unused-const-variable -Wno-unknown-pragmas"
).split()
MAX_GRID, MAX_BLOCK, MAX_THREADS = (2**31 - 1, 65535, 65535), (1024, 1024, 64), 1024
SHARED = 48 << 10  # bytes that a block may have without asking,
SHARED_OPT_IN = 64 << 10  # and at most, on the smallest GPU that the kernels are for (sm_75)
_KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\('
)


class CompileError(RuntimeError):
    """g++ does not take the source; the message is g++'s."""


class LaunchError(RuntimeError):
    """A launch that CUDA refuses, or that would do something else than was meant."""


def sanitizers() -> str:
    """Which of g++'s sanitizers kernels are compiled with: "address,undefined", or nothing."""
    return os.environ.get("MINICNN_SHIM_SANITIZE", "")


def sanitized() -> dict[str, str]:
    """The environment of a process whose kernels run under the sanitizers."""
    command = [_cxx(), "-print-file-name=libasan.so"]
    library = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return {
        **os.environ,
        "LD_PRELOAD": library,  # before Python, which is not compiled with it
        "ASAN_OPTIONS": "detect_leaks=0",
        "MINICNN_SHIM_SANITIZE": "address,undefined",
    }


# ---- compiling ---------------------------------------------------------------------------------


def compile_library(code: str, options: tuple[str, ...]) -> Path:
    """The compiled library of a source, from the cache if it is there."""
    names = _KERNEL.findall(re.sub(r"//[^\n]*", "", code))
    flags = [
        "-std=c++2a",
        "-fPIC",
        "-shared",
        "-fvisibility=hidden",
        "-ffp-contract=off",
        *WARNINGS,
        "-DCUDA_ON_CPU",
    ]
    flags += ["-O0", "-g3"] if os.environ.get("MINICNN_SHIM_DEBUG") else ["-O1", "-g1"]
    if sanitizers():
        flags += [f"-fsanitize={sanitizers()}", "-fno-sanitize-recover=all"]
        flags += ["-fsanitize-sections=cuda_shared", "-fno-omit-frame-pointer"]
    flags += _defines(options)
    # Unnamed, so that the shared variables of templates can lie in the section of all others; in a
    # named one and hidden, so that a kernel goes before a function of the C library of its name.
    glue = "".join(map(_glue, names))
    text = f'#include "{HEADER}"\nnamespace kernels {{\nnamespace {{\n{code}\n}}\n{glue}}}\n'
    headers = [path.read_text() for path in sorted(HEADER.parent.glob("*.h"))]
    key = "\0".join([text, *headers, *flags, _compiler()])
    out = cache_folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.so"
    if not out.exists():
        _run_compiler(text, flags, out)
    return out


def _defines(options: tuple[str, ...]) -> list[str]:
    """The options that g++ gets too; a TypeError for those whose effect it could not have."""
    if not isinstance(options, tuple):
        raise TypeError(f"options must be a tuple, not {type(options).__name__}")
    for option in options:
        if not option.startswith(("-D", "--std=", "-std=", "--define-macro=")):
            raise LaunchError(f"the CPU shim cannot do what the option {option} asks for")
    return [o for o in options if o.startswith("-D")]


def _glue(name: str) -> str:
    """What makes a kernel callable from Python."""
    visible = 'extern "C" __attribute__((visibility("default")))'
    return (
        f"{visible} const char* launch_{name}(const unsigned* d, size_t s, bool r, void** a) "
        f"{{ return cuda_cpu::launch({name}, d, s, r, a); }}\n"
        f"{visible} int describe_{name}(cuda_cpu::Parameter* p) "
        f"{{ return cuda_cpu::describe({name}, p); }}\n"
    )


def _run_compiler(text: str, flags: list[str], out: Path) -> None:
    """Several processes may do so at once: each writes its own file, and the last one stays."""
    source = out.with_suffix(f".{os.getpid()}.cpp")
    unfinished = out.with_suffix(f".{os.getpid()}.so")
    source.write_text(text)
    try:
        command = [_cxx(), *flags, str(source), "-o", str(unfinished)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise CompileError(done.stderr)
        unfinished.replace(out)
    finally:
        source.unlink()


def _cxx() -> str:
    return os.environ.get("CXX", "g++")


@cache
def _compiler() -> str:
    """Which version it is; a test that needs it is skipped where there is none."""
    if shutil.which(_cxx()) is None:
        pytest.skip(f"needs the C++ compiler {_cxx()}, to run CUDA kernels on the CPU")
    return subprocess.run([_cxx(), "--version"], capture_output=True, text=True).stdout


def cache_folder() -> Path:
    """Where compiled libraries are kept."""
    chosen = os.environ.get("MINICNN_CACHE_DIR")
    folder = Path(chosen or Path(tempfile.gettempdir()) / f"minicnn-{os.getuid()}") / "cuda_on_cpu"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


# ---- launching ---------------------------------------------------------------------------------


class _Parameter(ctypes.Structure):
    _fields_ = (
        ("pointer", ctypes.c_char), ("kind", ctypes.c_char), ("writes", ctypes.c_bool),
        ("size", ctypes.c_int),
    )  # fmt: skip


class Parameter(NamedTuple):
    """A kernel's parameter, as g++ sees it (scheduler.h)."""

    pointer: bool
    kind: str
    size: int
    writes: bool


class Function:
    """A compiled kernel: what its parameters are, and how to run it."""

    def __init__(self, library: ctypes.CDLL, name: str) -> None:
        self.name = name
        self._launch = getattr(library, f"launch_{name}")
        self._launch.restype = ctypes.c_char_p
        self._launch.argtypes = (
            ctypes.c_void_p, ctypes.c_size_t, ctypes.c_bool, ctypes.c_void_p,
        )  # fmt: skip
        described = (_Parameter * 256)()
        n = getattr(library, f"describe_{name}")(described)
        self.parameters = [
            Parameter(p.pointer == b"p", p.kind.decode(), p.size, p.writes) for p in described[:n]
        ]
        sizes = [16 * -(-(8 if p.pointer else p.size) // 16) for p in self.parameters]
        self._offsets = np.cumsum([0, *sizes]).tolist()

    def pack(self, args: Any, device: int = 0) -> bytes:
        """The bytes of all arguments, each in a slot of its own; an error if one does not fit."""
        if not isinstance(args, (tuple, list)):
            raise TypeError(f"{self.name}: args must be a tuple, not {type(args).__name__}")
        if len(args) != len(self.parameters):
            raise LaunchError(f"{self.name}: {len(self.parameters)} parameters, {len(args)} given")
        packed = bytearray(self._offsets[-1])
        for i, (a, parameter) in enumerate(zip(args, self.parameters, strict=True)):
            where = f"{self.name}: argument {i}"
            value = _bytes_of(where, a, parameter, device)
            packed[self._offsets[i] : self._offsets[i] + len(value)] = value
        return bytes(packed)

    def run(self, grid: tuple, block: tuple, shared: int, packed: bytes) -> None:
        """Runs a grid with packed arguments."""
        values = ctypes.create_string_buffer(len(packed) + 16)
        base = -(-ctypes.addressof(values) // 16) * 16
        ctypes.memmove(base, packed, len(packed))
        pointers = (ctypes.c_void_p * len(self.parameters))(*(base + o for o in self._offsets[:-1]))
        dims = (ctypes.c_uint * 6)(*grid, *block)
        backwards = bool(os.environ.get("MINICNN_SHIM_REVERSED"))
        wrong = self._launch(dims, shared, backwards, pointers)
        if wrong is not None:
            raise LaunchError(f"{self.name}: {wrong.decode()}")


def _bytes_of(where: str, a: Any, parameter: Parameter, device: int) -> bytes:
    """An argument as CuPy copies it, if that is what the parameter is."""
    pointer, kind, size, _ = parameter
    if a is None or hasattr(a, "__cuda_array_interface__"):
        if not pointer:
            found = "None" if a is None else "an array"
            raise LaunchError(f"{where}: {found} for a value of {size} bytes")
        return bytes(8) if a is None else _address(where, a, kind, size, device)
    if isinstance(a, np.ndarray):
        if a.size != 1:
            raise TypeError(f"{where}: Unsupported type {type(a)}: a NumPy array of size {a.size}")
        value = a
    elif isinstance(a, np.generic):
        value = np.asarray(a)
    elif isinstance(a, (bool, int, float)):
        value = np.asarray(a, {bool: np.bool_, int: np.int64, float: np.float64}[type(a)])
    else:
        raise TypeError(f"{where}: Unsupported type {type(a)}")
    if pointer:
        raise LaunchError(f"{where}: a value for a pointer")
    given = "s" if value.dtype.kind == "V" else value.dtype.kind
    if (given, value.dtype.itemsize) != (kind, size):
        raise LaunchError(
            f"{where}: {value.dtype} of {value.dtype.itemsize} bytes ({type(a).__name__}) for "
            f"a parameter of kind {kind!r} and {size} bytes"
        )
    return value.tobytes()


def _address(where: str, a: Any, kind: str, size: int, device: int) -> bytes:
    if not a.flags.c_contiguous:
        raise LaunchError(f"{where}: an array that is not C-contiguous")
    if a.device.id != device:
        raise LaunchError(f"{where}: an array on device {a.device.id}; the current is {device}")
    dtype = a.dtype
    fits = {
        "v": True,  # void*
        "s": a.nbytes % size == 0,
        "p": dtype.kind in "iu" and dtype.itemsize == 8,  # an array of addresses
    }.get(kind, (dtype.kind, dtype.itemsize) == (kind, size))
    if not fits:
        raise LaunchError(
            f"{where}: an array of {dtype} for a pointer to kind {kind!r} of {size} bytes"
        )
    return int(a.data.ptr).to_bytes(8, "little")


def dimensions(what: str, given: tuple, limits: tuple[int, int, int]) -> tuple[int, int, int]:
    """Three sizes of a grid or block, each between 1 and the device's limit."""
    if not isinstance(given, tuple):
        raise TypeError(f"{what} must be a tuple, not {type(given).__name__}")
    full = (*(int(n) for n in given), 1, 1)[:3]
    if len(given) > 3 or any(not 1 <= n <= limit for n, limit in zip(full, limits, strict=True)):
        raise LaunchError(f"CUDA_ERROR_INVALID_VALUE: invalid argument: {what} {given}")
    return full
