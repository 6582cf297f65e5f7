"""Operations that move, add up or pad elements, and the mistakes in their backward passes."""

import numpy as np

from .kinds import Operation

X = np.array([[1.0, 2, 0], [3, -1, 2]])

# ---- reshape ---------------------------------------------------------------------------------


def reshape_forward(input, shape):
    """The same elements, row by row, in another shape."""
    return input.reshape(shape)


def reshape_backward(g, input, shape):
    """g in the input's shape."""
    return (g.reshape(input.shape),)


def reshape_sample(rng):
    a, b, c = map(int, rng.permutation([2, 3, 4, 5])[:3])
    return [rng.standard_normal((a, b, c))], {
        "shape": (c, a * b) if rng.random() < 0.5 else (b, -1)
    }


def to_flipped(rng):
    """(a, b) becomes (b, a)."""
    a, b = map(int, rng.permutation([2, 3, 4, 5])[:2])
    return [rng.standard_normal((a, b))], {"shape": (b, a)}


reshape = Operation(
    "reshape", ("input",), reshape_forward, reshape_backward, reshape_sample,
    lambda: [([X], {"shape": (3, 2)})],
)  # fmt: skip


@reshape.mutant("GB081", ".T for reshape", sample=to_flipped)
def _(g, input, shape):
    return (g.T.copy(),)


@reshape.mutant("GB081", "columns first")
def _(g, input, shape):
    return (g.reshape(input.shape, order="F"),)


# ---- transpose, permute ----------------------------------------------------------------------


def transpose_forward(input, dim0, dim1):
    """Two axes change places."""
    return input.swapaxes(dim0, dim1)


def transpose_backward(g, input, dim0, dim1):
    """They change back."""
    return (g.swapaxes(dim0, dim1),)


def transpose_sample(rng):
    dim0, dim1 = map(int, rng.permutation(3)[:2])
    return [rng.standard_normal(rng.permutation([2, 3, 4]))], {"dim0": dim0, "dim1": dim1}


def square_transpose(rng):
    n = int(rng.integers(2, 5))
    return [rng.standard_normal((n, n))], {"dim0": 0, "dim1": 1}


transpose = Operation(
    "transpose", ("input",), transpose_forward, transpose_backward, transpose_sample,
    lambda: [([X], {"dim0": 0, "dim1": 1}), ([X[:, :2]], {"dim0": 0, "dim1": 1})],
)  # fmt: skip


@transpose.mutant("GB081", "reshape for transpose")
def _(g, input, dim0, dim1):
    return (g.reshape(input.shape),)


@transpose.mutant("GB080", "g as it is", sample=square_transpose)
def _(g, input, dim0, dim1):
    return (g.copy(),)


def permute_forward(input, dims):
    """Axis i of the output is axis dims[i] of the input."""
    return input.transpose(dims)


def permute_backward(g, input, dims):
    """The inverse permutation."""
    return (g.transpose(np.argsort(dims)),)


def permute_sample(rng):
    """A cycle of three axes, which is not its own inverse."""
    shape = rng.permutation([2, 3, 4]) if rng.random() < 0.7 else (3, 3, 3)
    return [rng.standard_normal(shape)], {"dims": (1, 2, 0) if rng.random() < 0.5 else (2, 0, 1)}


def cube(rng):
    """All sizes equal: the wrong order runs."""
    n = int(rng.integers(2, 4))
    return [rng.standard_normal((n, n, n))], {"dims": (1, 2, 0)}


permute = Operation(
    "permute", ("input",), permute_forward, permute_backward, permute_sample,
    lambda: [([np.arange(1.0, 9).reshape(2, 2, 2)], {"dims": (1, 2, 0)})],
)  # fmt: skip


@permute.mutant("GB080", "the same permutation again")
def _(g, input, dims):
    return (g.transpose(dims),)


@permute.mutant("GB080", "the same permutation again, cube", sample=cube)
def _(g, input, dims):
    return (g.transpose(dims),)


@permute.mutant("GB081", "reshape for transpose")
def _(g, input, dims):
    return (g.reshape(input.shape),)


# ---- sum, mean -------------------------------------------------------------------------------


def sum_forward(input, dim=None, keepdim=False):
    """The sum along dim, or of everything."""
    return input.sum(axis=dim, keepdims=keepdim)


def sum_backward(g, input, dim=None, keepdim=False):
    """Each element receives the g of the sum it went into."""
    if dim is not None and not keepdim:
        g = np.expand_dims(g, dim)
    return (np.broadcast_to(g, input.shape).copy(),)


def sum_sample(rng):
    shape = rng.permutation([2, 3, 4, 5])[:2]
    dim = [None, 0, 1][rng.integers(3)]
    return [rng.standard_normal(shape)], {"dim": dim, "keepdim": bool(rng.integers(2))}


def square_rows(rng):
    """Sums of the rows of a square matrix: spreading them the wrong way runs."""
    n = int(rng.integers(2, 5))
    return [rng.standard_normal((n, n))], {"dim": 1, "keepdim": False}


def along_one(rng):
    inputs, _ = sum_sample(rng)
    return inputs, {"dim": int(rng.integers(2)), "keepdim": True}


def sum_examples():
    return [([X], {"dim": 1, "keepdim": False}), ([X[:, :2]], {"dim": 1, "keepdim": False})]


sum_ = Operation("sum", ("input",), sum_forward, sum_backward, sum_sample, sum_examples)


@sum_.mutant("GB001", "ones")
def _(g, input, dim=None, keepdim=False):
    return (np.ones_like(input),)


@sum_.mutant("GB077", "g over the number of elements")
def _(g, input, dim=None, keepdim=False):
    (right,) = sum_backward(g, input, dim, keepdim)
    return (right * g.size / input.size,)


@sum_.mutant("GB078", "spread along the wrong axis", sample=square_rows)
def _(g, input, dim=None, keepdim=False):
    return (np.broadcast_to(g, input.shape).copy(),)


def mean_forward(input, dim=None, keepdim=False):
    """The mean along dim, or of everything."""
    return input.mean(axis=dim, keepdims=keepdim)


def mean_backward(g, input, dim=None, keepdim=False):
    """Each element receives the g of the mean it went into, over the number of elements."""
    (dx,) = sum_backward(g, input, dim, keepdim)
    return (dx * g.size / input.size,)


mean = Operation("mean", ("input",), mean_forward, mean_backward, sum_sample, sum_examples)


@mean.mutant("GB001", "ignores g")
def _(g, input, dim=None, keepdim=False):
    return (np.full_like(input, g.size / input.size),)


@mean.mutant("GB032", "not divided")
def _(g, input, dim=None, keepdim=False):
    return sum_backward(g, input, dim, keepdim)


@mean.mutant("GB033", "divided twice")
def _(g, input, dim=None, keepdim=False):
    (right,) = mean_backward(g, input, dim, keepdim)
    return (right * g.size / input.size,)


@mean.mutant("GB078", "spread along the wrong axis", sample=square_rows)
def _(g, input, dim=None, keepdim=False):
    return (np.broadcast_to(g, input.shape) / input.shape[dim],)


# ---- pad -------------------------------------------------------------------------------------


def pad_forward(input, pad, value=0.0):
    """`value` around the last two axes; pad is (left, right, top, bottom)."""
    left, right, top, bottom = pad
    widths = [(0, 0)] * (input.ndim - 2) + [(top, bottom), (left, right)]
    return np.pad(input, widths, constant_values=value)


def pad_backward(g, input, pad, value=0.0):
    """The padding of g cut off."""
    left, _, top, _ = pad
    h, w = input.shape[-2:]
    return (g[..., top : top + h, left : left + w],)


def pad_sample(rng):
    shape = rng.permutation([2, 3, 4, 5])[:3]
    return [rng.standard_normal(shape)], {"pad": tuple(map(int, rng.permutation([1, 2, 3, 4])))}


pad = Operation(
    "pad", ("input",), pad_forward, pad_backward, pad_sample, lambda: [([X], {"pad": (1, 1, 1, 0)})]
)


@pad.mutant("GB048", "padding left on")
def _(g, input, pad, value=0.0):
    return (g.copy(),)


@pad.mutant("GB048", "cropped at one end only")
def _(g, input, pad, value=0.0):
    h, w = input.shape[-2:]
    return (g[..., :h, :w],)


@pad.mutant("GB051", "one row and column too early")
def _(g, input, pad, value=0.0):
    left, _, top, _ = pad
    h, w = input.shape[-2:]
    return (g[..., top - 1 : top - 1 + h, left - 1 : left - 1 + w],)


OPERATIONS = (reshape, transpose, permute, sum_, mean, pad)
