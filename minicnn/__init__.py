"""minicnn: a deep-learning engine to read, on NumPy, with PyTorch's names.

Start with minicnn.autograd, then kernels/reference.py, minicnn/ops/conv.py and minicnn/ops/pool.py.
"""

from typing import TYPE_CHECKING, Any

from . import (
    allocator,
    autograd,
    conveniences,
    data,
    datasets,
    gradcheck,
    kernels,
    methods,
    nn,
    optim,
)
from .arrays import bool_ as bool
from .arrays import float16, float32, float64, int8, int16, int32, int64, uint8
from .arrays import float32 as float
from .arrays import float64 as double
from .arrays import int64 as long
from .autograd import (
    Tensor,
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from .creation import (
    arange,
    as_tensor,
    from_dlpack,
    from_numpy,
    full,
    full_like,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    tensor,
    zeros,
    zeros_like,
)
from .devices import device
from .random import Generator, default_generator, manual_seed

allocator.keep_freed_memory()

__version__ = "0.1.0"

globals().update(methods.FUNCTIONS | conveniences.FUNCTIONS)  # exp, cat, max, std, ...

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
