"""Matrix products: matmul, and the fully connected layer."""

import math

from .. import kernels
from ..arrays import sum_to
from ..autograd import Function
from ..errors import DtypeError, ShapeError
from ..fusion import KernelOp
from ..kernels import Call, geometry
from ..shapes import check_broadcast
from .arithmetic import check_dtypes, no_bools
from .samples import refused, sample
from .shape import Reshape


class MatMul(Function):
    """Y = A B over the last two dimensions; those before them broadcast.  VJP: (g B^T, A^T g).

    A 1-dim A is taken as a row and a 1-dim B as a column, and that dimension is dropped from Y.
    """

    @staticmethod
    def forward(ctx, input, other):
        a, b = input, other
        if getattr(a, "ndim", 0) == 0 or getattr(b, "ndim", 0) == 0:
            raise ShapeError("matmul: needs tensors of at least 1 dimension; use * for numbers")
        if a.dtype != b.dtype:
            raise DtypeError(f"matmul: dtypes {a.dtype} and {b.dtype} differ; use .to(dtype)")
        no_bools("matmul", a)
        if a.shape[-1] != b.shape[-2:][0]:
            which = "last but one" if b.ndim > 1 else "only one"
            raise ShapeError(f"matmul: {a.shape} @ {b.shape}: last and {which} dimension differ")
        check_broadcast("matmul", [a.shape[:-2], b.shape[:-2]])
        ctx.save_for_backward(a, b)
        return kernels.call("matmul", a, b)

    @staticmethod
    def backward(ctx, g):
        a, b = ctx.saved_tensors
        rows = a if a.ndim > 1 else a[None]  # (..., n, k)
        columns = b if b.ndim > 1 else b[:, None]  # (..., k, m)
        g = g if b.ndim > 1 else g[..., None]
        g = g if a.ndim > 1 else g[..., None, :]  # (..., n, m)
        da = kernels.call("matmul", g, columns.swapaxes(-1, -2))
        db = kernels.call("matmul", rows.swapaxes(-1, -2), g)
        return sum_to(da, rows.shape).reshape(a.shape), sum_to(db, columns.shape).reshape(b.shape)

    @staticmethod
    def samples(rng):
        shapes = [
            ((2, 3), (3, 4)), ((3, 3), (3, 3)), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)),
            ((5, 2, 3), (3, 4)), ((5, 1, 2, 3), (6, 3, 4)), ((3,), (5, 3, 4)), ((5, 2, 3), (3,)),
            ((2, 0), (0, 4)), ((0, 3), (3, 4)),
        ]  # fmt: skip
        for a, b in shapes:
            yield sample(rng.standard_normal(a), rng.standard_normal(b))
        yield sample(
            rng.standard_normal((3, 2)).T, rng.standard_normal((4, 6))[::-1, ::2].T[:, :3].T
        )
        yield refused(ShapeError, r"\(2, 3\) @ \(2, 3\)", rng.random((2, 3)), rng.random((2, 3)))
        yield refused(ShapeError, "at least 1 dimension", rng.random(()), rng.random(3))
        yield refused(ShapeError, "at least 1 dimension", rng.random((2, 3)), 2)
        yield refused(DtypeError, "differ", rng.random((2, 3)), rng.integers(0, 3, (3, 2)))


class Linear(KernelOp):
    """y = x W^T + b.  VJP: dx = g W,  dW = g^T x,  db = sum of g over all but its last dimension.

    Shapes: x (..., in_features), weight (out_features, in_features), bias (out_features),
    y (..., out_features).
    """

    rank, weights = 2, 2

    @classmethod
    def of_other_rank(cls, x, weight, bias):
        """The call on rows (M, in_features), reshaped to them and back."""
        if x.shape[-1:] != weight.shape[1:]:
            cls.call(x, weight, bias)  # raises
        rows = Reshape.apply(x, (math.prod(x.shape[:-1]), x.shape[-1]))
        return Reshape.apply(cls.apply(rows, weight, bias), (*x.shape[:-1], weight.shape[0]))

    @staticmethod
    def call(input, weight, bias=None):
        b = (None, None) if bias is None else (bias.shape, bias.dtype)
        return _linear(input.shape, input.dtype, weight.shape, weight.dtype, *b)

    @staticmethod
    def samples(rng):
        w, b = rng.standard_normal((4, 3)), rng.standard_normal(4)
        yield sample(rng.standard_normal((5, 3)), w, b)
        yield sample(rng.standard_normal((5, 3)), w)
        yield sample(rng.standard_normal((2, 5, 3)), w, b)
        yield sample(rng.standard_normal(3), w, bias=b)
        yield sample(
            rng.standard_normal((3, 3)), rng.standard_normal((3, 3)), rng.standard_normal(3)
        )
        yield sample(
            rng.standard_normal((1, 1)), rng.standard_normal((1, 1)), rng.standard_normal(1)
        )
        yield sample(rng.standard_normal((0, 3)), w, b)
        yield sample(rng.standard_normal((3, 5)).T[::-1], rng.standard_normal((3, 4)).T, b)
        yield refused(
            ShapeError, r"weight .* is \(4, 3\), but input is \(5, 4\)", rng.random((5, 4)), w
        )
        yield refused(ShapeError, r"bias must be \(4,\)", rng.random((5, 3)), w, rng.random(3))
        yield refused(DtypeError, "weight is float32", rng.random((5, 3)), w.astype("f4"))


@geometry
def _linear(x, dtype, w, w_dtype, b, b_dtype) -> Call:
    if len(w) != 2 or not x or x[-1] != w[1]:
        raise ShapeError(
            f"linear: weight (out_features, in_features) is {w}, but input is {x}: its last "
            "dimension must be in_features"
        )
    if b is not None and b != w[:1]:
        raise ShapeError(f"linear: bias must be {w[:1]}, not {b}")
    check_dtypes("linear", input=dtype, weight=w_dtype, bias=b_dtype)
    return Call("linear", (x[0], w[0]), dtype, (), (w, b))
