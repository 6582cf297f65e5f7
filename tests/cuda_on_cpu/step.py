"""Runs an operation's first sample forward and backward through the CUDA kernels on the CPU.

    python tests/cuda_on_cpu/step.py Sigmoid

The kernels are compiled for a debugger: README.md beside this file shows how to step through them.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
os.environ["MINICNN_SHIM_DEBUG"] = "1"
sys.path[:1] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests/programs")]

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from cuda_on_cpu import standin  # noqa: E402
from gpu_kernels import launches  # noqa: E402

from minicnn import Tensor  # noqa: E402
from minicnn.ops import OPS  # noqa: E402


def main(name: str) -> None:
    """Runs the operation of this name; prints what came out, and which kernels ran."""
    cupy = standin.install(pytest.MonkeyPatch())
    op = OPS[name]
    sample = next(s for s in op.samples(np.random.default_rng(0)) if not s.raises)

    def on_device(x):
        if not isinstance(x, np.ndarray):
            return x
        floating = x.dtype.kind == "f"
        return Tensor(cupy.asarray(x, "f4" if floating else None), requires_grad=floating)

    args = [on_device(x) for x in sample.args]
    with launches() as found:
        y = op.apply(*args, **{k: on_device(v) for k, v in sample.kwargs.items()})
        y = y[0] if isinstance(y, tuple) else y
        print(f"{name} gives {y.shape}")
        if y.requires_grad:
            y.backward(Tensor(np.ones(y.shape, y.dtype)).to(y.device))
            inputs = (x for x in args if isinstance(x, Tensor) and x.requires_grad)
            print("gradients:", *(x.grad.shape for x in inputs))
        else:
            print("gradients: none, its result has no gradient")
    kernels = ", ".join(sorted(f"{kernel} of {file}.cu" for file, kernel, _ in found))
    print("kernels:", kernels or f"none; {name} runs nothing but CuPy's own functions")


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in OPS:
        print("usage: step.py OPERATION, one of:", *sorted(OPS), file=sys.stderr)
        sys.exit(2)
    main(sys.argv[1])
