"""Every .cu file compiles with NVIDIA's compiler, for several GPUs and both types, without spills.

With -s it prints what each kernel needs: registers of a thread, shared memory of a block.
"""

import numpy as np
import pytest
from cuda_on_cpu import nvrtc

from minicnn.kernels.cuda import launch

if nvrtc.library() is None:
    pytest.skip("needs the library NVRTC: pip install nvidia-cuda-nvrtc", allow_module_level=True)

KNOWN = nvrtc.architectures()
ARCHITECTURES = sorted({max(75, KNOWN[0]), *({80, 90, 100} & set(KNOWN))})
FILES = sorted(path.stem for path in launch.FOLDER.glob("*.cu"))
STATIC_SHARED = 48 << 10  # bytes: all that a block can have without asking for more


def compiled(file, dtype, arch):
    options = launch.options(np.dtype(dtype))
    return nvrtc.compile_source(launch.source(file), f"{file}.cu", arch, options)


@pytest.mark.parametrize("arch", ARCHITECTURES, ids="sm_{}".format)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("file", FILES)
def test_compiles_without_spills(file, dtype, arch):
    done = compiled(file, dtype, arch)
    assert done.cubin[:4] == b"\x7fELF"
    kernels = done.kernels()
    for name, needs in kernels.items():
        print(f"\n{file:12} {name:32} {dtype} sm_{arch}", *(f"{v} {k}" for k, v in needs.items()))
    assert set(kernels) == set(launch.signatures(file)), "launch.py reads other kernels' names"
    assert {name: n["spilled"] for name, n in kernels.items()} == dict.fromkeys(kernels, 0)
    assert max(n["shared"] for n in kernels.values()) <= STATIC_SHARED


def test_there_are_files_and_architectures():
    assert "activation" in FILES
    assert len(ARCHITECTURES) >= 3


def test_a_spill_is_seen():
    """A kernel whose sums do not fit into the few registers it is allowed."""
    source = """
    extern "C" __global__ void __launch_bounds__(1024, 2) greedy(const float* x, float* y) {
        float a[64];
        for (int i = 0; i < 64; ++i) a[i] = x[i * 1024 + threadIdx.x];
        for (int r = 0; r < 64; ++r)
            for (int i = 0; i < 64; ++i) a[i] = a[i] * a[(i + 1) % 64] + x[r];
        for (int i = 0; i < 64; ++i) y[i * 1024 + threadIdx.x] = a[i];
    }
    extern "C" __global__ void modest(float* y) {
        __shared__ float s[8];
        s[threadIdx.x] = *y;
        *y = s[1];
    }
    """
    kernels = nvrtc.compile_source(source, "greedy.cu", ARCHITECTURES[0], ()).kernels()
    assert kernels["greedy"]["spilled"] > 0
    assert kernels["modest"]["spilled"] == 0
    assert kernels["modest"]["shared"] >= 32


def test_errors_are_the_compilers():
    with pytest.raises(
        RuntimeError, match=r'wrong\.cu\(1\): error: identifier "INFINITY" is undef'
    ):
        nvrtc.compile_source("float f() { return INFINITY; }", "wrong.cu", ARCHITECTURES[0], ())
