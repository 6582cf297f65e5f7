"""The linear layer: products of matrices, with an activation fused in where there is one."""

from minicnn.kernels.cuda import activation
from minicnn.kernels.cuda.activation import IDENTITY, fusable
from minicnn.kernels.cuda.gemm import SMALL, product
from minicnn.kernels.cuda.launch import THREADS, empty, launch
from minicnn.kernels.cuda.layer import Layer
from minicnn.kernels.cuda.sums import channel_sums

FUSED = 2**26  # multiply-adds: a larger product is quicker with larger tiles, in its own launch
LONG = 2048  # a sum of more numbers is quicker if several blocks share it


class Linear(Layer, kernel="linear"):
    """f(x W^T + b), with the activation behind it, if there is one, in the same launch."""

    weights = 2

    def __init__(self, calls, x_shape):
        self.f = fusable(calls[1:])
        self.calls = 1 if self.f is None else 2

    def forward(self, x, weights, wanted):
        weight, bias = weights
        y = product(x, weight, transpose_b=True, bias=bias, f=self.f)
        return y, (None if self.f is None else y, x, weight)

    def backward(self, g, kept, needs):
        y, x, weight = kept
        (m, out), inside = g.shape, x.shape[1]
        if m * inside * out <= FUSED and max(m, out) <= LONG:
            return self._in_one_launch(g, y, x, weight, needs)
        gz = g if self.f is None else activation.before(g, y, self.f)
        dx = product(gz, weight) if needs[0] else None
        dw = product(gz, x, transpose_a=True) if needs[1] else None
        return dx, dw, (channel_sums(gz)[0] if needs[2] else None)

    def _in_one_launch(self, g, y, x, weight, needs):
        (m, out), inside = g.shape, x.shape[1]
        shapes = x.shape, weight.shape, (out,)
        dx, dw, db = (empty(s, g) if n else None for s, n in zip(shapes, needs, strict=True))
        blocks = SMALL.covering(m, inside) if needs[0] else 0
        blocks += SMALL.covering(out, (inside if needs[1] else 0) + bool(needs[2]))
        f = IDENTITY if self.f is None else self.f
        launch(
            "linear", "linear_backward", g.dtype, blocks, THREADS,
            g, y, f, x, weight, dx, dw, db, m, inside, out,
        )  # fmt: skip
        return dx, dw, db
