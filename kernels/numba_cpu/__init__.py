"""The contract's kernels compiled by Numba for CPUs: float32 and float64, in several threads.

Read layout.py first (how an image lies in memory), then contraction.py (the two matrix routines),
then conv.py and the other families, one file each.  simd.py is where vectors and register tiles
come from, compiling.py how and when things are compiled, parallel.py how threads are used.
chain.py runs one layer or several in one call (program.py: how), a part of the batch at a time.
"""

from typing import Any

import numpy as np
from numba import config

from .chain import back, run
from .compiling import TYPES, cache_folder
from .layer import LAYERS
from .loss import (
    cross_entropy,
    cross_entropy_backward,
    softmax_cross_entropy,
    softmax_cross_entropy_backward,
)
from .norm import batch_norm, batch_norm_backward, dropout, dropout_backward
from .program import warm_up
from .unfold import col2im, im2col
from .update import adam, sgd

FUSED = LAYERS.keys()


def serves(x: Any, name: str) -> bool:
    """Whether these kernels take such arrays: NumPy's, of float32 or float64, not empty ones."""
    return type(x) is np.ndarray and x.dtype in TYPES and not config.DISABLE_JIT and bool(x.size)
