"""The kernel contract: which compiled or plain implementation serves a call.

A kernel works on arrays and plain numbers, and knows nothing of Tensor.  Most are pairs,

    name(x, *weights, *arguments) -> (y, saved)
    name_backward(g, saved, needs) -> one gradient per array, None where needs says so

`saved` is opaque to the op: each implementation keeps in it what its own backward wants, in its
own layout.  The user's arrays that it refers to are named in `saved.inputs`, so that the engine
can notice when one of them is changed in place.

Ops do not call a pair by its name: they describe the call (calls.py), and

    run(chain, x, weights, needs) -> (y, saved)          one call, or several that follow each other
    back(g, saved, needs)         -> the gradients of x and of all weights

is the one entry, whether a layer runs by itself or fused with its neighbours.  `forward` and
`backward` are for pairs with several inputs or results, which never are part of a chain, and `call`
for kernels that are no pair (im2col and col2im, which are each other's backward; updates).

An implementation is a module of functions with the contract's names.  What it lacks falls back to
`reference`, which is written to be read and is the oracle for every other one; so do arrays that it
does not take, if it has a function `serves(x, name)`.  With a `run` and a `back` of its own it
fuses the kernels named in its `FUSED`; any other's pairs are called one by one.

Beside the contract an implementation may offer the optimisers' updates of all parameters at once
(optim/fused.py), `matmul` (ops/linear.py), and `take_at`, `put_at` and `add_at`, for x[index] and
its gradient (ops/shape.py).  Where one is missing, its user does without it, or takes the
reference's.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

if __name__ != "minicnn.kernels":
    raise ImportError(f"import this package as minicnn.kernels, not as {__name__}")

from minicnn.kernels import reference
from minicnn.kernels.calls import Call, Chain, geometry
from minicnn.kernels.reference import Needs, Saved

PAIRS = [name for name in vars(reference) if f"{name}_backward" in vars(reference)]
PLAIN = ["im2col", "col2im", "sgd", "adam"]
CONTRACT = PAIRS + PLAIN
# NumPy's own are as good on its arrays.
FOR_CUPY = {"take_at", "put_at", "add_at", "matmul"}

IMPLEMENTATIONS = ("reference", "numba", "cuda", "crosscheck")
_chosen: ModuleType | None = None  # until the first call, so that importing this is quick


def use(name: str) -> None:
    """Chooses the implementation that serves the calls from now on; "numba" serves by default.

    CuPy arrays are served by "cuda", whichever compiled one is chosen; "reference" takes both.
    Where Numba does not work, the reference serves in its place, and a line says so.
    """
    global _chosen
    if name not in IMPLEMENTATIONS:
        raise ValueError(f"kernels.use: {name!r} is not one of {', '.join(IMPLEMENTATIONS)}")
    if name == "numba":
        name = "reference" if _why_no_numba() else "numba_cpu"
    _chosen = import_module(f".{name}", __name__)


@cache
def _why_no_numba() -> str:
    """Why Numba cannot be imported, which is said once; nothing where it can."""
    try:
        import numba  # an old one refuses this NumPy, llvmlite may lack its library: any error
    except Exception as error:
        why = " ".join(str(error).split())
        print(
            f"minicnn: Numba does not work ({why}): the reference kernels serve, many times "
            "slower; pip install 'numba>=0.61'",
            file=sys.stderr,
        )
        return why
    return ""


@contextmanager
def restoring() -> Iterator[None]:
    """Chooses again, at the end of a `with` or of a function that it decorates, what was chosen."""
    global _chosen
    before = _chosen
    try:
        yield
    finally:
        _chosen = before


def _implementation(x: Any) -> Any:
    """The one chosen for arrays such as x."""
    if _chosen is None:
        use("numba")
    if type(x) is np.ndarray or _chosen is reference or isinstance(x, np.generic):
        return _chosen
    return import_module(".cuda", __name__)


def _serving(name: str, x: Any) -> Any:
    if name in FOR_CUPY and type(x) is np.ndarray:
        return reference
    chosen = _implementation(x)
    takes = getattr(chosen, "serves", None)
    has = callable(getattr(chosen, name, None))  # not a module of that name
    return chosen if has and (takes is None or takes(x, name)) else reference


def offers(name: str, x: Any) -> bool:
    """Whether there is such a kernel for x now: one beside the contract may be missing."""
    return not (name in FOR_CUPY and type(x) is np.ndarray) and hasattr(_serving(name, x), name)


def which(name: str, x: Any = None) -> str:
    """The name of the implementation that serves this kernel now, for arrays such as x."""
    if name not in CONTRACT:
        raise ValueError(f"kernels.which: {name!r} is not one of {', '.join(CONTRACT)}")
    x = np.empty(1, np.float32) if x is None else x
    serving = _serving("run" if name in getattr(_implementation(x), "FUSED", ()) else name, x)
    return serving.__name__.rpartition(".")[2].removesuffix("_cpu")


# ---- calls that an op describes ---------------------------------------------------------------


def serving(x: Any) -> Any:
    """The implementation that runs calls on x: one with `run` and `back`, or the reference."""
    return _serving("run", x)


def run(chain: Chain, x: Any, weights: tuple, needs: Needs, by: Any = None) -> tuple[Any, Saved]:
    """Runs the calls of a chain, one after another or fused.

    Parameters
    ----------
    weights
        Those of all calls in their order; None for one that is not there.
    needs
        Which gradients `back` will be asked for: x's, and each weight's.
    by
        What `serving(x)` gave, if that is known.
    """
    by = by or serving(x)
    if by is not reference and chain.kernels <= by.FUSED:
        y, saved = by.run(chain, x, weights, needs)
        saved.made_by = by
        return y, saved
    return one_by_one(_implementation(x), chain, x, weights)


def back(g: Any, saved: Saved, needs: Needs) -> tuple:
    """The gradients of x and of the weights of a run; None where needs says so."""
    return (saved.made_by.back if saved.made_by else way_back)(g, saved, needs)


def one_by_one(serving: Any, chain: Chain, x: Any, weights: tuple) -> tuple[Any, Saved]:
    """A run as a loop over pairs; those that an implementation lacks are the reference's."""
    takes, done, inputs = getattr(serving, "serves", None), [], []
    for call in chain.calls:
        own, weights = weights[: len(call.shapes)], weights[len(call.shapes) :]
        has = callable(getattr(serving, call.kernel, None))
        ours = has and (takes is None or takes(x, call.kernel))
        pairs = serving if ours else reference
        with np.errstate(all="ignore"):  # only NumPy warns of log(0)
            x, saved = getattr(pairs, call.kernel)(x, *own, *call.arguments)
        done.append((getattr(pairs, f"{call.kernel}_backward"), saved, len(own)))
        inputs += saved.inputs
    return x, Saved(done, inputs=tuple(inputs))


def way_back(g: Any, saved: Saved, needs: Needs) -> tuple:
    """The gradients of a run that `one_by_one` made."""
    (done,) = saved.state
    gradients: list[Any] = []
    end = len(needs)  # of what is needed by the calls that are left
    for backward, inner, count in reversed(done):
        first = end - count
        g, *own = backward(g, inner, (any(needs[:first]), *needs[first:end]))
        gradients, end = [*own, *gradients], first
        if g is None:  # nothing in front needs any
            break
    return g if needs[0] else None, *[None] * (end - 1), *gradients


# ---- kernels by their names --------------------------------------------------------------------


def kernel(name: str, x: Any) -> Any:
    """The plain kernel of this name that serves arrays such as x."""
    return getattr(_serving(name, x), name)


def call(name: str, *args: Any) -> Any:
    """Calls a plain kernel."""
    return kernel(name, args[0])(*args)


def forward(name: str, *args: Any) -> tuple[Any, Saved]:
    """Calls a kernel's forward; `saved` remembers who made it."""
    serving = _serving(name, args[0])
    with np.errstate(all="ignore"):
        y, saved = getattr(serving, name)(*args)
    saved.made_by = serving
    return y, saved


def backward(name: str, g: Any, saved: Saved, needs: Needs) -> Any:
    """Calls the backward of the implementation that made `saved`."""
    return getattr(saved.made_by, name + "_backward")(g, saved, needs)
