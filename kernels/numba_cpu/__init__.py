"""The contract's kernels compiled by Numba for CPUs: float32 and float64, in several threads.

Read layout.py first (how an image lies in memory), then contraction.py (the two matrix routines),
then conv.py and the other families, one file each.  simd.py is where vectors and register tiles
come from, compiling.py how and when things are compiled, parallel.py how threads are used.
chain.py runs several layers in one call (program.py: how), a part of the batch at a time.
"""

from typing import Any

import numpy as np
from numba import config

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
from .compiling import TYPES, cache_folder
from .conv import conv2d, conv2d_backward
from .linear import linear, linear_backward
from .loss import softmax_cross_entropy, softmax_cross_entropy_backward
from .norm import batch_norm, batch_norm_backward, dropout, dropout_backward
from .pool import (
    avg_pool2d,
    avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
    subsample2d,
    subsample2d_backward,
)
from .program import warm_up
from .unfold import col2im, im2col
from .update import adam, sgd

__all__ = [
    "adam", "avg_pool2d", "avg_pool2d_backward", "batch_norm", "batch_norm_backward",
    "cache_folder", "chain", "chain_backward", "col2im", "conv2d", "conv2d_backward", "dropout",
    "dropout_backward", "im2col",
    "linear", "linear_backward", "max_pool2d", "max_pool2d_backward", "relu", "relu_backward",
    "scaled_tanh", "scaled_tanh_backward", "serves", "sgd", "sigmoid", "sigmoid_backward",
    "softmax_cross_entropy", "softmax_cross_entropy_backward", "subsample2d",
    "subsample2d_backward", "tanh", "tanh_backward", "warm_up",
]  # fmt: skip


def serves(x: Any, name: str) -> bool:
    """Whether these kernels take such arrays: NumPy's, of float32 or float64."""
    return type(x) is np.ndarray and x.dtype in TYPES and not config.DISABLE_JIT
