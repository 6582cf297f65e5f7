"""NVIDIA's compiler NVRTC by ctypes: needs its library (nvidia-cuda-nvrtc), no CuPy and no GPU."""

import ctypes
import ctypes.util
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CUPYS_OPTIONS = "-ftz=true", "--device-as-default-execution-space"  # which it adds by itself


@dataclass
class Compiled:
    """What came out: machine code, and what ptxas says about each kernel."""

    cubin: bytes
    log: str

    def kernels(self) -> dict[str, dict[str, int]]:
        """By name: registers, bytes of shared memory, and bytes of registers that were spilled."""
        found = {}
        for part in re.split(r"(?=ptxas info\s*: Compiling entry function)", self.log)[1:]:
            stores, loads = map(int, re.findall(r"(\d+) bytes spill", part))
            shared = re.search(r"(\d+) bytes smem", part)
            found[re.findall(r"entry function '(\w+)'", part)[0]] = {
                "registers": int(re.findall(r"Used (\d+) registers", part)[0]),
                "shared": int(shared[1]) if shared else 0,
                "spilled": stores + loads,
            }
        return found


@cache
def library() -> ctypes.CDLL | None:
    """NVRTC, from the Python packages or from the system; None if it is in neither."""
    installed = [
        str(path)
        for folder in sys.path
        for path in sorted(Path(folder).glob("nvidia/*/lib/libnvrtc.so.*[0-9]"))
    ]
    for name in [*installed, ctypes.util.find_library("nvrtc")]:
        if name is not None:
            return ctypes.CDLL(name)
    return None


def architectures() -> list[int]:
    """The numbers of the GPU generations it compiles for, the lowest first: 75 for sm_75."""
    count = ctypes.c_int()
    _check(library().nvrtcGetNumSupportedArchs(ctypes.byref(count)))
    found = (ctypes.c_int * count.value)()
    _check(library().nvrtcGetSupportedArchs(found))
    return sorted(found)


def compile_source(source: str, name: str, arch: int, options: tuple[str, ...]) -> Compiled:
    """Compiles to machine code; a RuntimeError with the compiler's words if it cannot."""
    nvrtc, program = library(), ctypes.c_void_p()
    _check(
        nvrtc.nvrtcCreateProgram(
            ctypes.byref(program), source.encode(), name.encode(), 0, None, None
        )
    )
    try:
        flags = [f"-arch=sm_{arch}", "--ptxas-options=-v", *options, *CUPYS_OPTIONS]
        given = (ctypes.c_char_p * len(flags))(*(f.encode() for f in flags))
        failed = nvrtc.nvrtcCompileProgram(program, len(flags), given)
        log = _fetch(program, "ProgramLog").rstrip(b"\0").decode()
        if failed:
            raise RuntimeError(log)
        return Compiled(_fetch(program, "CUBIN"), log)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _fetch(program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    _check(getattr(library(), f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    out = ctypes.create_string_buffer(size.value)
    _check(getattr(library(), f"nvrtcGet{what}")(program, out))
    return out.raw


def _check(status: int) -> None:
    if status:
        library().nvrtcGetErrorString.restype = ctypes.c_char_p
        raise RuntimeError(library().nvrtcGetErrorString(status).decode())
