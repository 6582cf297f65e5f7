"""Softmax and cross-entropy in one: on distributions, or on class indices, with the reduction."""

from typing import Any

import numpy as np

from minicnn.arrays import Array
from minicnn.kernels import recording
from minicnn.kernels.cuda.launch import MAX_BLOCKS, THREADS, contiguous, empty, grid_of, launch
from minicnn.kernels.reference import Gradients, Needs, Saved, no_class

REDUCTIONS = ("none", "sum", "mean")  # in the order of loss.cu
BLOCK = 512  # threads of a block at most, as loss.cu's __launch_bounds__ say
ONE_BLOCK = 8 * BLOCK  # threads' worth of rows that one block does by itself

_ROWS = np.dtype([("rows", np.int64), ("classes", np.int32), ("lanes", np.int32)], align=True)
_LABELS = np.dtype(
    [("shape", _ROWS), ("ignored", np.int64), ("smoothing", np.float64), ("reduction", np.int32)],
    align=True,
)


def _lanes(classes: int) -> int:
    """How many threads share a row: a power of 2; each has at most eight of up to 256 classes."""
    return min(32, 1 << (-(-classes // 8) - 1).bit_length())


# ---- target distributions ----------------------------------------------------------------------


def _launch_rows(kernel: str, *arrays: Any) -> None:
    """A group of lanes for each row of the second array."""
    rows, classes = arrays[1].shape
    lanes = _lanes(classes)
    shape = np.array([(rows, classes, lanes)], _ROWS)
    launch("loss", kernel, arrays[1].dtype, grid_of(rows * lanes), THREADS, *arrays, shape)


def softmax_cross_entropy(logits: Array, q: Array) -> tuple[Array, Saved]:
    """As in the reference."""
    z, given = contiguous(logits), contiguous(q)
    log_p, losses = empty(z.shape, z), empty(z.shape[:1], z)
    _launch_rows("softmax_cross_entropy", z, given, log_p, losses)
    return losses, Saved(log_p, given, inputs=(q,))


def softmax_cross_entropy_backward(g: Array, saved: Saved, needs: Needs) -> Gradients:
    """As in the reference."""
    log_p, q = saved.state
    dz, dq = (empty(q.shape, q) if wanted else None for wanted in needs)
    _launch_rows("softmax_cross_entropy_backward", contiguous(g), log_p, q, dz, dq)
    return dz, dq


# ---- class indices -----------------------------------------------------------------------------


def cross_entropy(
    logits: Array, labels: Array, weight: Array | None, ignore_index: int, reduction: str,
    label_smoothing: float,
) -> tuple[Array, Saved]:  # fmt: skip
    """The loss of logits (M, C) for the classes `labels` (M,), as ops/loss.py's CrossEntropy.

    One launch, or two for many rows, does what takes NumPy a dozen calls: softmax, logarithm,
    picking the labels' numbers, weights, sum and quotient.

    Parameters
    ----------
    labels
        Integers of any type.
    weight
        Of each class, (C,), in the type of the logits; None for 1 each.

    Returns
    -------
    y
        0-dim for the reductions "mean" and "sum", (M,) for "none".

    Raises
    ------
    ArgumentError
        For a label that is neither a class nor ignore_index.  While a graph is captured nobody can
        look: then the loss is NaN, and so is the row's gradient.
    """
    (rows, classes), z = logits.shape, contiguous(logits)
    t = contiguous(labels.astype(np.int64, copy=False))
    w = None if weight is None else contiguous(weight)
    how = np.array(
        [((rows, classes, _lanes(classes)), ignore_index, label_smoothing,
          REDUCTIONS.index(reduction))], _LABELS,
    )  # fmt: skip
    y, log_p = empty((rows,) if reduction == "none" else (), z), empty(z.shape, z)
    kept, wrong = empty((2,), z), empty((1,), z, np.int64)
    if rows or reduction != "none":
        _launch_labels(how, z, t, w, log_p, y, kept, wrong)
        if recording.active is None and (row := int(wrong.item())) < rows:
            raise no_class(int(t[row].item()), classes, ignore_index)
    held = (labels,) if weight is None else (labels, weight)
    return y, Saved(log_p, t, w, kept, how, inputs=held)


def _launch_labels(how, z, t, w, log_p, y, kept, wrong) -> None:
    threads = int(how["shape"]["rows"][0] * how["shape"]["lanes"][0])
    if threads <= ONE_BLOCK:
        blocks, block = 1, min(BLOCK, max(32, -(-threads // 32) * 32))
        sums = first_wrong = None
    else:
        blocks, block = min(-(-threads // THREADS), MAX_BLOCKS), THREADS
        sums, first_wrong = empty((2, blocks), z), empty((blocks,), z, np.int64)
    launch(
        "loss", "cross_entropy", z.dtype, blocks, block,
        z, t, w, log_p, y, kept, wrong, sums, first_wrong, how,
    )  # fmt: skip
    if blocks > 1:
        launch(
            "loss", "cross_entropy_finish", z.dtype, 1, THREADS,
            sums, first_wrong, blocks, w, y, kept, wrong, how,
        )  # fmt: skip


def cross_entropy_backward(g: Array, saved: Saved, needs: Needs) -> Gradients:
    """dz = g_i (softmax(z_i) sum(q_i) - q_i) with the weighted, smoothed q; 0 where ignored."""
    log_p, t, w, kept, how = saved.state
    dz = empty(log_p.shape, log_p)
    launch(
        "loss", "cross_entropy_backward", dz.dtype, grid_of(dz.size), THREADS,
        contiguous(g), log_p, t, w, kept, dz, how, dz.size,
    )  # fmt: skip
    return (dz,)
