"""The contract's kernels in CUDA C for GPUs: float32 and float64, on CuPy arrays.

Read activation.cu and activation.py first, the shortest family; then conv, gemm and window, which
are what a convolutional network spends its time in, and chain.py, which fuses layers.  launch.py is
how a kernel comes to run, recording.py (one floor up) what it needs to be captured in a graph.
Every kernel gives the same bits on every run: sums have a fixed order, and nothing is added
atomically.
"""

from typing import Any

import numpy as np

from minicnn.arrays import module_of
from minicnn.kernels.cuda.chain import back, run
from minicnn.kernels.cuda.dropout import dropout, dropout_backward
from minicnn.kernels.cuda.gemm import matmul
from minicnn.kernels.cuda.indexing import add_at, put_at, take_at
from minicnn.kernels.cuda.layer import LAYERS
from minicnn.kernels.cuda.loss import (
    cross_entropy,
    cross_entropy_backward,
    softmax_cross_entropy,
    softmax_cross_entropy_backward,
)
from minicnn.kernels.cuda.norm import batch_norm, batch_norm_backward
from minicnn.kernels.cuda.pool import max_pool2d_with_indices, max_pool2d_with_indices_backward
from minicnn.kernels.cuda.update import adam, adam_all, sgd, sgd_all
from minicnn.kernels.cuda.window import col2im, im2col

FUSED = LAYERS.keys()


def serves(x: Any, name: str) -> bool:
    """Whether this kernel takes such arrays: CuPy's, of float32 or float64, or of any type."""
    if module_of(x) is np or name in FUSED or (name == "run" and not x.size):
        return False  # those in FUSED are called by `run` alone
    return x.dtype.char in "fd" or name in ("take_at", "put_at")
