"""The optimisers' updates, of all parameters in one launch; and the check that all are finite."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minicnn.arrays import Array, import_cupy, is_array
from minicnn.kernels import recording, reference
from minicnn.kernels.cuda.launch import THREADS, check_current, contiguous, grid_of, launch

MOST = 96  # tensors of a launch, as in update.cu

_TENSORS = np.dtype([("start", np.int64, MOST + 1), ("array", np.uint64, (4, MOST))])


def _options(names: str) -> np.dtype:
    return np.dtype([(name, np.float64) for name in names.split()])


SGD = _options("first lr momentum dampening weight_decay nesterov")
ADAM = _options("step lr beta1 beta2 eps weight_decay decoupled mean_share square_share")


# ---- many tensors as one -----------------------------------------------------------------------


def _launches(*columns: Sequence[Array] | None) -> Iterator[tuple[np.ndarray, int]]:
    """(the struct of update.cu, how many numbers) for each launch that the tensors take.

    Each column holds one array for every tensor: all p, all g, ... ; None for one there is not.
    """
    first, cupy = columns[0] or (), import_cupy()
    for a in (a for column in columns if column is not None for a in column):
        check_current(cupy, a)
    for begin in range(0, len(first), MOST):
        some = [None if c is None else c[begin : begin + MOST] for c in columns]
        sizes = [a.size for a in first[begin : begin + MOST]]
        tensors = np.zeros(1, _TENSORS)
        tensors["start"][0, 1 : len(sizes) + 1] = np.cumsum(sizes)
        tensors["start"][0, len(sizes) + 1 :] = sum(sizes)
        for k, arrays in enumerate(some):
            if arrays is not None:
                tensors["array"][0, k, : len(sizes)] = [a.data.ptr for a in arrays]
        if sum(sizes):
            yield tensors, sum(sizes)


def _passed(options: Any, kind: np.dtype) -> tuple[np.ndarray, Array | None]:
    """(options by value, where they will be when the kernel runs), of which it takes one."""
    return (options, None) if isinstance(options, np.ndarray) else (np.zeros(1, kind), options)


def _halt() -> Array | None:
    return None if recording.active is None else recording.active.halt


@contextlib.contextmanager
def _in_order(*columns: Sequence[Array] | None) -> Iterator[list[list[Array] | None]]:
    """The arrays for a kernel to change: those not in C order as copies, that are copied back."""
    ordered = [None if c is None else [contiguous(a) for a in c] for c in columns]
    yield ordered
    for given, changed in zip(columns, ordered, strict=True):
        for a, b in zip(given or (), changed or (), strict=True):
            if a is not b:
                a[...] = b


# ---- stochastic gradient descent ---------------------------------------------------------------


def sgd_options(first, lr, momentum, dampening, weight_decay, nesterov) -> np.ndarray:
    """The numbers of an update as the kernel takes them: float64 only."""
    return np.array([(first, lr, momentum, dampening, weight_decay, nesterov)], SGD)


def sgd_all(
    parameters: Sequence[Array], gradients: Sequence[Array],
    velocities: Sequence[Array] | None, options: Any,
) -> None:  # fmt: skip
    """The reference's sgd on many tensors of one type, in one launch for each 96 of them.

    Parameters
    ----------
    parameters, velocities
        Changed in place; velocities is None without momentum.
    options
        What sgd_options gives; or device memory of as many bytes, that holds them when the kernel
        runs (a slot of recording.py).
    """
    kind, gradients = parameters[0].dtype, [contiguous(g) for g in gradients]
    now, later = _passed(options, SGD)
    with _in_order(parameters, velocities) as (p, v):
        for tensors, n in _launches(p, gradients, v):
            launch(
                "update", "sgd", kind, grid_of(n), THREADS,
                tensors, n, velocities is not None, now, later, _halt(),
            )  # fmt: skip


def sgd(p, g, velocity, first, lr, momentum, dampening, weight_decay, nesterov) -> None:
    """As in the reference."""
    numbers = first, lr, momentum, dampening, weight_decay, nesterov
    velocities = None if velocity is None else [velocity]
    if {a.dtype for a in (g, *(velocities or ()))} == {p.dtype}:
        sgd_all([p], [g], velocities, sgd_options(*numbers))
    else:
        reference.sgd(p, g, velocity, *numbers)


# ---- Adam --------------------------------------------------------------------------------------


def adam_options(step, lr, beta1, beta2, eps, weight_decay, decoupled) -> np.ndarray:
    """The numbers of an update as the kernel takes them: float64 only."""
    shares = 1 - beta1**step, 1 - beta2**step
    return np.array([(step, lr, beta1, beta2, eps, weight_decay, decoupled, *shares)], ADAM)


def adam_all(
    parameters: Sequence[Array], gradients: Sequence[Array],
    means: Sequence[Array], squares: Sequence[Array], options: Any,
) -> None:  # fmt: skip
    """The reference's adam on many tensors, as sgd_all; means and squares change in place too."""
    kind, gradients = parameters[0].dtype, [contiguous(g) for g in gradients]
    now, later = _passed(options, ADAM)
    with _in_order(parameters, means, squares) as (p, m, v):
        for tensors, n in _launches(p, gradients, m, v):
            launch("update", "adam", kind, grid_of(n), THREADS, tensors, n, now, later, _halt())


def adam(p, g, m, v, step, lr, beta1, beta2, eps, weight_decay, decoupled) -> None:
    """As in the reference."""
    numbers = step, lr, beta1, beta2, eps, weight_decay, decoupled
    if {a.dtype for a in (g, m, v)} == {p.dtype}:
        adam_all([p], [g], [m], [v], adam_options(*numbers))
    else:
        reference.adam(p, g, m, v, *numbers)


# ---- what must not go on -----------------------------------------------------------------------


def check_finite(tensors: Sequence[Array], halt: Array, step: Any) -> None:
    """halt[0] = step if a number of any tensor is NaN or infinite, and halt[0] was still 0.

    Parameters
    ----------
    tensors
        Of one type.
    halt
        One int32 on the GPU.
    step
        Not 0; a number, or one int64 on the GPU that holds it when the kernel runs.
    """
    now, later = (0, step) if is_array(step) else (step, None)
    tensors = [contiguous(a) for a in tensors]
    for listed, n in _launches(tensors):
        kind = tensors[0].dtype
        launch("update", "check_finite", kind, grid_of(n), THREADS, listed, n, halt, now, later)
