"""The kernels' tests once more, where every mistake with memory ends the process.

g++'s address and undefined-behaviour sanitizers watch the kernels on the CPU, each array has memory
of exactly its size, and threads and blocks run last to first.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from cuda_on_cpu import shim

HERE = Path(__file__).parent
FILES = (
    "test_cuda_kernels.py", "test_cuda_gemm.py", "test_cuda_loss.py", "test_cuda_update.py",
    "test_cuda_conv.py", "test_cuda_chain.py", "test_cuda_step.py",
)  # fmt: skip
# Kernels get arrays in C order: another layout is copied before, and shows the tools nothing new.
CHOSEN = "standin and not (with_gaps or backwards or columns_first)"


@pytest.mark.parametrize("file", FILES)
def test_kernels_under_the_sanitizers(file):
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", "-k", CHOSEN]
    environment = {**shim.sanitized(), "MINICNN_SHIM_REVERSED": "1"}
    done = subprocess.run(
        [*command, str(HERE / file)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert " passed" in done.stdout
