"""Batch normalisation."""

from minicnn.arrays import Array
from minicnn.kernels.cuda.launch import THREADS, contiguous, empty, launch
from minicnn.kernels.cuda.sums import channels_of, partial_sums
from minicnn.kernels.reference import Gradients, Needs, Saved


def _optional(x: Array | None) -> Array | None:
    return None if x is None else contiguous(x)


def batch_norm(x, weight, bias, mean, var, eps) -> tuple[tuple[Array, Array, Array], Saved]:
    """As in the reference; a given mean and var come back in the type of x."""
    x, shape, own = contiguous(x), channels_of(x), mean is None
    sums = squares = None
    if own:
        mean, var = empty(x.shape[1:2], x), empty(x.shape[1:2], x)
    else:
        mean, var = (contiguous(a.astype(x.dtype, copy=False)) for a in (mean, var))
    x_hat, y, inv_std = empty(x.shape, x), empty(x.shape, x), empty(x.shape[1:2], x)
    w, kind, grid = _optional(weight), x.dtype, shape.grid
    if own:
        sums = partial_sums(x, None, shape)
        squares = empty(sums.shape, x)
        launch("norm", "deviations", kind, grid, THREADS, x, sums, squares, *shape[:3])
    launch(
        "norm", "normalise", kind, grid, THREADS,
        x, w, _optional(bias), sums, squares, mean, var, eps, x_hat, inv_std, y, *shape[:3],
    )  # fmt: skip
    held = () if weight is None else (weight,)
    return (y, mean, var), Saved(x_hat, inv_std, w, own, inputs=held)


def batch_norm_backward(g: Array, saved: Saved, needs: Needs) -> Gradients:
    """As in the reference."""
    x_hat, inv_std, weight, own = saved.state
    g, shape = contiguous(g), channels_of(g)
    dx = empty(g.shape, g) if needs[0] else None
    dw, db = empty(inv_std.shape, g), empty(inv_std.shape, g)
    sums = partial_sums(g, x_hat, shape) if own or needs[1] or needs[2] else None
    launch(
        "norm", "normalise_backward", g.dtype, shape.grid, THREADS,
        g, x_hat, inv_std, weight, sums, own, dx, dw, db, *shape[:3],
    )  # fmt: skip
    return dx, dw if needs[1] else None, db if needs[2] else None
