"""Matrix products: matmul, and the fully connected layer."""

from .. import kernels
from ..arrays import Array, is_floating, sum_to
from ..autograd import Function
from ..errors import DtypeError, ShapeError
from ..shapes import broadcast
from .samples import refused, sample


def check_types(op: str, **arrays: Array | None) -> None:
    """Refuses arrays that are not all of one floating type (None is skipped)."""
    found = {name: a.dtype for name, a in arrays.items() if a is not None}
    if len(set(found.values())) > 1 or not all(map(is_floating, found.values())):
        listed = ", ".join(f"{name} is {dtype}" for name, dtype in found.items())
        raise DtypeError(f"{op}: needs one floating type for all, but {listed}; use .to(dtype)")


class MatMul(Function):
    """Y = A B over the last two dimensions; those before them broadcast.  VJP: (g B^T, A^T g).

    A 1-dim A is taken as a row and a 1-dim B as a column, and that dimension is dropped from Y.
    """

    @staticmethod
    def forward(ctx, input, other):
        a, b = input, other
        if a.ndim == 0 or b.ndim == 0:
            raise ShapeError("matmul: needs tensors of at least 1 dimension; use * for numbers")
        if a.dtype != b.dtype:
            raise DtypeError(f"matmul: dtypes {a.dtype} and {b.dtype} differ; use .to(dtype)")
        if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
            raise ShapeError(
                f"matmul: {a.shape} @ {b.shape}: the last dimension of the first, {a.shape[-1]}, "
                f"must equal the {'second to last' if b.ndim > 1 else 'only'} one of the second"
            )
        broadcast("matmul", [a.shape[:-2], b.shape[:-2]])
        ctx.save_for_backward(a, b)
        return a @ b

    @staticmethod
    def backward(ctx, g):
        a, b = ctx.saved_tensors
        rows = a if a.ndim > 1 else a[None]  # (..., n, k)
        columns = b if b.ndim > 1 else b[:, None]  # (..., k, m)
        g = g.reshape(g.shape + (1,)) if b.ndim == 1 else g
        g = g.reshape(g.shape[:-1] + (1,) + g.shape[-1:]) if a.ndim == 1 else g  # (..., n, m)
        da = db = None
        if ctx.needs_input_grad[0]:
            da = sum_to(g @ columns.swapaxes(-1, -2), rows.shape).reshape(a.shape)
        if ctx.needs_input_grad[1]:
            db = sum_to(rows.swapaxes(-1, -2) @ g, columns.shape).reshape(b.shape)
        return da, db

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
        yield refused(DtypeError, "differ", rng.random((2, 3)), rng.integers(0, 3, (3, 2)))


class Linear(Function):
    """y = x W^T + b.  VJP: dx = g W,  dW = g^T x,  db = sum of g over all but its last dimension.

    Shapes: x (..., in_features), weight (out_features, in_features), bias (out_features),
    y (..., out_features).
    """

    @staticmethod
    def forward(ctx, input, weight, bias=None):
        if weight.ndim != 2 or input.ndim == 0 or input.shape[-1] != weight.shape[1]:
            raise ShapeError(
                f"linear: weight (out_features, in_features) is {weight.shape}, but input is "
                f"{input.shape}: its last dimension must be in_features"
            )
        if bias is not None and bias.shape != weight.shape[:1]:
            raise ShapeError(f"linear: bias must be {weight.shape[:1]}, not {bias.shape}")
        check_types("linear", input=input, weight=weight, bias=bias)
        rows = input.reshape(input.size // max(1, input.shape[-1]), input.shape[-1])
        y, ctx.saved = kernels.forward("linear", rows, weight, bias)
        ctx.shape = input.shape
        return y.reshape(input.shape[:-1] + weight.shape[:1])

    @staticmethod
    def backward(ctx, g):
        rows = g.reshape(g.size // max(1, g.shape[-1]), g.shape[-1])
        dx, dw, db = kernels.backward("linear", rows, ctx.saved, (*ctx.needs_input_grad, False))
        return None if dx is None else dx.reshape(ctx.shape), dw, db

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
