"""The linear layer: products of matrices, with an activation fused in where there is one."""

import numpy as np

from ...arrays import Array
from ..reference import Gradients, Needs, Saved
from .gemm import IDENTITY, SMALL, product
from .launch import THREADS, contiguous, empty, grid_of, launch
from .sums import channel_sums

FUSED = 2**26  # multiply-adds: a larger product is quicker with larger tiles, in its own launch
LONG = 2048  # a sum of more numbers is quicker if several blocks share it


def linear(x: Array, weight: Array, bias: Array | None) -> tuple[Array, Saved]:
    """As in the reference."""
    x, weight = contiguous(x), contiguous(weight)
    return linear_forward(x, weight, bias), Saved(x, weight, inputs=(x, weight))


def linear_backward(g: Array, saved: Saved, needs: Needs) -> Gradients:
    """As in the reference."""
    x, weight = saved.state
    return linear_gradients(g, None, None, x, weight, needs[:3])  # a fourth says nothing


def linear_forward(
    x: Array, weight: Array, bias: Array | None, f: np.ndarray | None = None
) -> Array:
    """f(x W^T + b) in one launch; f is an Activation as a struct, or None."""
    bias = None if bias is None else contiguous(bias)
    return product(contiguous(x), contiguous(weight), transpose_b=True, bias=bias, f=f)


def linear_gradients(
    g: Array, y: Array | None, f: np.ndarray | None, x: Array, weight: Array, needs: Needs
) -> Gradients:
    """dx, dW and db of y = f(x W^T + b), those that `needs` names; y may be None if f is."""
    g, x, weight = contiguous(g), contiguous(x), contiguous(weight)
    y = None if f is None else contiguous(y)
    (m, out), inside = g.shape, x.shape[1]
    if m * inside * out <= FUSED and max(m, out) <= LONG:
        return _fused(g, y, f, x, weight, needs)
    if f is not None:
        gz = empty(g.shape, g)
        args = g, y, gz, f, g.size
        launch("activation", "activate_backward", g.dtype, grid_of(g.size), THREADS, *args)
        g = gz
    dx = product(g, weight) if needs[0] else None
    dw = product(g, x, transpose_a=True) if needs[1] else None
    return dx, dw, (channel_sums(g)[0] if needs[2] else None)


def _fused(g, y, f, x, weight, needs: Needs) -> Gradients:
    """All of them in one launch."""
    (m, out), inside = g.shape, x.shape[1]
    shapes = x.shape, weight.shape, (out,)
    dx, dw, db = (empty(s, g) if n else None for s, n in zip(shapes, needs, strict=True))
    blocks = SMALL.covering(m, inside) if needs[0] else 0
    blocks += SMALL.covering(out, (inside if needs[1] else 0) + bool(needs[2]))
    if blocks:
        launch(
            "linear", "linear_backward", g.dtype, blocks, THREADS,
            g, y, IDENTITY if f is None else f, x, weight, dx, dw, db, m, inside, out,
        )  # fmt: skip
    return dx, dw, db
