"""Operations that move, add up or pad elements, and the mistakes in their backward passes."""

import numpy as np

from .operation import Operation

X = np.array([[1.0, 2, 0], [3, -1, 2]])

# ---- reshape ---------------------------------------------------------------------------------


def reshape_forward(input, shape):
    """The same elements, row by row, in another shape."""
    return input.reshape(shape)


def reshape_sample(rng):
    a, b, c = map(int, rng.permutation([2, 3, 4, 5])[:3])
    x = rng.standard_normal((a, b, c))
    return [x], {"shape": (c, a * b) if rng.random() < 0.5 else (b, -1)}


def to_flipped(rng):
    """(a, b) becomes (b, a)."""
    a, b = map(int, rng.permutation([2, 3, 4, 5])[:2])
    return [rng.standard_normal((a, b))], {"shape": (b, a)}


reshape = Operation(
    "reshape", ("input",), reshape_forward, {"dx": lambda g, x: g.reshape(x.shape)},
    reshape_sample, lambda: [([X], {"shape": (3, 2)})], saved=lambda input, shape: (input,),
)  # fmt: skip
reshape.wrong("GB081", ".T for reshape", sample=to_flipped, dx=lambda g, x: g.T.copy())
reshape.wrong("GB081", "columns first", dx=lambda g, x: g.reshape(x.shape, order="F"))


# ---- transpose, permute ----------------------------------------------------------------------


def transpose_forward(input, dim0, dim1):
    """Two axes change places."""
    return input.swapaxes(dim0, dim1)


def transpose_sample(rng):
    dim0, dim1 = map(int, rng.permutation(3)[:2])
    return [rng.standard_normal(rng.permutation([2, 3, 4]))], {"dim0": dim0, "dim1": dim1}


def square_transpose(rng):
    n = int(rng.integers(2, 5))
    return [rng.standard_normal((n, n))], {"dim0": 0, "dim1": 1}


transpose = Operation(
    "transpose", ("input",), transpose_forward,
    {"dx": lambda g, x, dim0, dim1: g.swapaxes(dim0, dim1)}, transpose_sample,
    lambda: [([X], {"dim0": 0, "dim1": 1}), ([X[:, :2]], {"dim0": 0, "dim1": 1})],
    saved=lambda input, dim0, dim1: (input, dim0, dim1),
)  # fmt: skip
transpose.wrong("GB081", "reshape for transpose", dx=lambda g, x, dim0, dim1: g.reshape(x.shape))
transpose.wrong(
    "GB080", "g as it is", sample=square_transpose, dx=lambda g, x, dim0, dim1: g.copy()
)


def permute_forward(input, dims):
    """Axis i of the output is axis dims[i] of the input."""
    return input.transpose(dims)


def permute_sample(rng):
    """A cycle of three axes, which is not its own inverse."""
    shape = rng.permutation([2, 3, 4]) if rng.random() < 0.7 else (3, 3, 3)
    return [rng.standard_normal(shape)], {"dims": (1, 2, 0) if rng.random() < 0.5 else (2, 0, 1)}


def cube(rng):
    """All sizes equal: the wrong order runs."""
    n = int(rng.integers(2, 4))
    return [rng.standard_normal((n, n, n))], {"dims": (1, 2, 0)}


permute = Operation(
    "permute", ("input",), permute_forward,
    {"dx": lambda g, x, dims: g.transpose(np.argsort(dims))}, permute_sample,
    lambda: [([np.arange(1.0, 9).reshape(2, 2, 2)], {"dims": (1, 2, 0)})],
    saved=lambda input, dims: (input, dims),
)  # fmt: skip
permute.wrong("GB080", "the same permutation again", dx=lambda g, x, dims: g.transpose(dims))
permute.wrong(
    "GB080",
    "the same permutation again, cube",
    sample=cube,
    dx=lambda g, x, dims: g.transpose(dims),
)
permute.wrong("GB081", "reshape for transpose", dx=lambda g, x, dims: g.reshape(x.shape))


# ---- sum, mean -------------------------------------------------------------------------------


def sum_forward(input, dim=None, keepdim=False):
    """The sum along dim, or of everything."""
    return input.sum(axis=dim, keepdims=keepdim)


def mean_forward(input, dim=None, keepdim=False):
    """The mean along dim, or of everything."""
    return input.mean(axis=dim, keepdims=keepdim)


def spread(g, x, dim, keepdim):
    """Each element receives the g of the sum it went into."""
    if dim is not None and not keepdim:
        g = np.expand_dims(g, dim)
    return np.broadcast_to(g, x.shape).copy()


def divided(g, x, dim, keepdim):
    """Each element receives the g of the mean it went into, over the number of elements."""
    return spread(g, x, dim, keepdim) * g.size / x.size


def sum_sample(rng):
    shape = rng.permutation([2, 3, 4, 5])[:2]
    dim = [None, 0, 1][rng.integers(3)]
    return [rng.standard_normal(shape)], {"dim": dim, "keepdim": bool(rng.integers(2))}


def square_rows(rng):
    """Sums of the rows of a square matrix: spreading them the wrong way runs."""
    n = int(rng.integers(2, 5))
    return [rng.standard_normal((n, n))], {"dim": 1, "keepdim": False}


def sum_examples():
    return [([X], {"dim": 1, "keepdim": False}), ([X[:, :2]], {"dim": 1, "keepdim": False})]


def reduction(name, forward, dx):
    return Operation(
        name, ("input",), forward, {"dx": dx}, sum_sample, sum_examples,
        saved=lambda input, dim=None, keepdim=False: (input, dim, keepdim),
    )  # fmt: skip


sum_ = reduction("sum", sum_forward, spread)
sum_.wrong("GB001", "ones", dx=lambda g, x, *_: np.ones_like(x))
sum_.wrong("GB077", "g over the number of elements", dx=divided)
sum_.wrong(
    "GB078", "spread along the wrong axis", sample=square_rows,
    dx=lambda g, x, *_: np.broadcast_to(g, x.shape).copy(),
)  # fmt: skip

mean = reduction("mean", mean_forward, divided)
mean.wrong("GB001", "ignores g", dx=lambda g, x, *_: np.full_like(x, g.size / x.size))
mean.wrong("GB032", "not divided", dx=spread)
mean.wrong("GB033", "divided twice", dx=lambda g, x, *how: divided(g, x, *how) * g.size / x.size)
mean.wrong(
    "GB078", "spread along the wrong axis", sample=square_rows,
    dx=lambda g, x, dim, keepdim: np.broadcast_to(g, x.shape) / x.shape[dim],
)  # fmt: skip


# ---- pad -------------------------------------------------------------------------------------


def pad_forward(input, pad, value=0.0):
    """`value` around the last two axes; pad is (left, right, top, bottom)."""
    left, right, top, bottom = pad
    widths = [(0, 0)] * (input.ndim - 2) + [(top, bottom), (left, right)]
    return np.pad(input, widths, constant_values=value)


def pad_saved(input, pad, value=0.0):
    """Where the image begins, and its size."""
    left, _, top, _ = pad
    return top, left, *input.shape[-2:]


def pad_sample(rng):
    shape = rng.permutation([2, 3, 4, 5])[:3]
    return [rng.standard_normal(shape)], {"pad": tuple(map(int, rng.permutation([1, 2, 3, 4])))}


def pad_examples():
    return [([X], {"pad": (1, 1, 1, 0)})]


def cut_off(g, top, left, h, w):
    return g[..., top : top + h, left : left + w]


pad = Operation(
    "pad", ("input",), pad_forward, {"dx": cut_off}, pad_sample, pad_examples, pad_saved
)
pad.wrong("GB048", "padding left on", dx=lambda g, *_: g.copy())
pad.wrong("GB048", "cropped at one end only", dx=lambda g, top, left, h, w: g[..., :h, :w])
pad.wrong(
    "GB051", "one row and column too early",
    dx=lambda g, top, left, h, w: cut_off(g, top - 1, left - 1, h, w),
)  # fmt: skip

OPERATIONS = (reshape, transpose, permute, sum_, mean, pad)
