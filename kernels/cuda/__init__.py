"""The contract's kernels in CUDA C for GPUs: float32 and float64, on CuPy arrays.

Read activation.cu and activation.py first, the shortest family; then conv, gemm and window, which
are what a convolutional network spends its time in, and chain.py, which fuses layers.  launch.py is
how a kernel comes to run, recording.py (one floor up) what it needs to be captured in a graph.
Every kernel gives the same bits on every run: sums have a fixed order, and nothing is added
atomically.
"""

from typing import Any

import numpy as np

from ...arrays import module_of
from .activation import (
    relu,
    relu_backward,
    scaled_tanh,
    scaled_tanh_backward,
    sigmoid,
    sigmoid_backward,
    tanh,
    tanh_backward,
)
from .chain import chain, chain_backward
from .conv import conv2d, conv2d_backward
from .dropout import dropout, dropout_backward
from .gemm import matmul
from .indexing import add_at, put_at, take_at
from .linear import linear, linear_backward
from .loss import (
    cross_entropy,
    cross_entropy_backward,
    softmax_cross_entropy,
    softmax_cross_entropy_backward,
)
from .norm import batch_norm, batch_norm_backward
from .pool import (
    avg_pool2d,
    avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
    subsample2d,
    subsample2d_backward,
)
from .update import adam, adam_all, sgd, sgd_all
from .window import col2im, im2col

__all__ = [
    "adam", "adam_all", "add_at", "avg_pool2d", "avg_pool2d_backward", "batch_norm",
    "batch_norm_backward", "chain", "chain_backward", "col2im", "conv2d", "conv2d_backward",
    "cross_entropy", "cross_entropy_backward", "dropout", "dropout_backward", "im2col", "linear",
    "linear_backward", "matmul", "max_pool2d", "max_pool2d_backward", "put_at", "relu",
    "relu_backward", "scaled_tanh", "scaled_tanh_backward", "serves", "sgd", "sgd_all", "sigmoid",
    "sigmoid_backward", "softmax_cross_entropy", "softmax_cross_entropy_backward", "subsample2d",
    "subsample2d_backward", "take_at", "tanh", "tanh_backward",
]  # fmt: skip


def serves(x: Any, name: str) -> bool:
    """Whether this kernel takes such arrays: CuPy's, of float32 or float64, or of any type."""
    return module_of(x) is not np and (x.dtype.char in "fd" or name in ("take_at", "put_at"))
