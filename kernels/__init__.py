"""The kernel contract: which compiled or plain implementation serves a call.

A kernel works on arrays and plain numbers, and knows nothing of Tensor.  A pair is

    forward(name, *arrays, *integers) -> (y, saved)
    backward(name, g, saved, needs)   -> one gradient per array, None where needs says so

`saved` is opaque to the op: each implementation keeps in it what its own backward wants, in its
own layout.  The user's arrays that it refers to are named in `saved.inputs`, so that the engine
can notice when one of them is changed in place.  Kernels that are no such pair (im2col and col2im,
which are each other's backward, and the optimisers' updates) are called with `call`.

An implementation is a module of functions with the contract's names.  What it lacks falls back to
`reference`, which is written to be read and is the oracle for every other one; so do arrays that it
does not take, if it has a function `serves(x, name)`.

An implementation may offer more: `chain`, kernels one after another as one (nn/chain.py uses it),
`cross_entropy`, the loss on class indices (nn/functional.py), the optimisers' updates of all
parameters at once (optim/fused.py), `matmul` (ops/linear.py), and `take_at`, `put_at` and `add_at`,
for x[index] and its gradient (ops/shape.py).  Where one is missing, its user does without it, or
takes the reference's.
"""

from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

if __name__ != "minicnn.kernels":
    raise ImportError(f"import this package as minicnn.kernels, not as {__name__}")

from . import reference
from .reference import Saved

PAIRS = """
    conv2d avg_pool2d max_pool2d subsample2d sigmoid tanh scaled_tanh relu softmax_cross_entropy
    linear batch_norm dropout""".split()
PLAIN = ["im2col", "col2im", "sgd", "adam"]
CONTRACT = PAIRS + PLAIN
# NumPy's own are as good on its arrays, or another op serves them.
FOR_CUPY = {"take_at", "put_at", "add_at", "matmul", "cross_entropy"}

IMPLEMENTATIONS = ("reference", "numba", "cuda", "crosscheck")
_chosen: ModuleType | None = None  # until the first call, so that importing this is quick


def use(name: str) -> None:
    """Chooses the implementation that serves the calls from now on; "numba" serves by default.

    CuPy arrays are served by "cuda", whichever compiled one is chosen; "reference" takes both.
    """
    global _chosen
    if name not in IMPLEMENTATIONS:
        raise ValueError(f"kernels.use: {name!r} is not one of {', '.join(IMPLEMENTATIONS)}")
    _chosen = import_module(".numba_cpu" if name == "numba" else f".{name}", __name__)


def _serving(name: str, x: Any) -> Any:
    if name in FOR_CUPY and type(x) is np.ndarray:
        return reference
    if _chosen is None:
        use("numba")
    chosen = _chosen
    if type(x) is not np.ndarray and chosen is not reference and not isinstance(x, np.generic):
        chosen = import_module(".cuda", __name__)
    takes = getattr(chosen, "serves", None)
    return chosen if hasattr(chosen, name) and (takes is None or takes(x, name)) else reference


def offers(name: str, x: Any) -> bool:
    """Whether there is such a kernel for x now: one beside the contract may be missing."""
    return not (name in FOR_CUPY and type(x) is np.ndarray) and hasattr(_serving(name, x), name)


def which(name: str, x: Any = None) -> str:
    """The name of the implementation that serves this kernel now, for arrays such as x."""
    if name not in CONTRACT:
        raise ValueError(f"kernels.which: {name!r} is not one of {', '.join(CONTRACT)}")
    serving = _serving(name, np.empty(0, np.float32) if x is None else x)
    return serving.__name__.rpartition(".")[2].removesuffix("_cpu")


def call(name: str, *args: Any) -> Any:
    """Calls a plain kernel."""
    return getattr(_serving(name, args[0]), name)(*args)


def forward(name: str, *args: Any) -> tuple[Any, Saved]:
    """Calls a kernel's forward; `saved` remembers who made it."""
    serving = _serving(name, args[0])
    kernel = getattr(serving, name)
    y, saved = _quietly(kernel, *args) if serving is reference else kernel(*args)
    saved.made_by = serving
    return y, saved


_quietly = np.errstate(all="ignore")(lambda f, *args: f(*args))  # only NumPy warns of log(0)


def backward(name: str, g: Any, saved: Saved, needs: tuple[bool, ...]) -> Any:
    """Calls the backward of the implementation that made `saved`."""
    return getattr(saved.made_by, name + "_backward")(g, saved, needs)
