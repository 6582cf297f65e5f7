"""minicnn: a deep-learning engine to read, on NumPy, with PyTorch's names.

Start with minicnn.autograd, then kernels/reference.py, minicnn/ops/conv.py and minicnn/ops/pool.py.
"""

from importlib import import_module
from typing import Any

from . import starting  # first of all: it is about the imports that follow

# isort: split
from . import (
    accelerator,
    allocator,
    autograd,
    backends,
    creation,
    cuda,
    data,
    gradcheck,
    kernels,
    methods,
    nn,
    optim,
    random,
    serialization,
    utils,
)
from .arrays import bool_ as bool
from .arrays import float16, float32, float64, int8, int16, int32, int64, uint8
from .arrays import float16 as half
from .arrays import float32 as float
from .arrays import float64 as double
from .arrays import int32 as int
from .arrays import int64 as long
from .autograd import (
    Tensor,
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from .backends import use_deterministic_algorithms
from .creation import (
    BoolTensor,
    ByteTensor,
    DoubleTensor,
    FloatTensor,
    IntTensor,
    LongTensor,
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_dlpack,
    from_numpy,
    full,
    full_like,
    linspace,
    normal,
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
from .kernels.threads import get_num_threads, set_num_threads
from .random import Generator, default_generator, manual_seed
from .serialization import load, save

allocator.keep_freed_memory()

__version__ = "0.1.0"

globals().update(methods.FUNCTIONS)  # exp, cat, max, std, ...

# Names of PyTorch for what has another name here.
Size = tuple
get_rng_state, set_rng_state = default_generator.get_state, default_generator.set_state
initial_seed = default_generator.initial_seed
vars(autograd).update(
    Variable=creation.variable,
    gradcheck=lambda *args, **how: gradcheck.gradcheck(*args, **how).ok,  # a bool, as PyTorch's
    detect_anomaly=lambda: autograd.set_detect_anomaly(True),
)


def __getattr__(name: str) -> Any:
    """Imports what takes longer to import, and is needed by fewer, when it is first asked for."""
    if name in ("datasets", "exercises", "models", "training", "transforms"):
        return import_module(f".{name}", __name__)
    if name == "summary":
        return import_module(".summary_table", __name__).summary
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
