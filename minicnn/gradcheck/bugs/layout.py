"""Operations that move, add up or pad elements, and the mistakes in their backward passes."""

import numpy as np

from .operation import Operation, normal, one_of

X = np.array([[1.0, 2, 0], [3, -1, 2]])

# ---- reshape ---------------------------------------------------------------------------------


def reshape_sample(rng):
    (x,), _ = normal("abc")(rng)
    a, b, c = x.shape
    return [x], {"shape": (c, a * b) if rng.random() < 0.5 else (b, -1)}


def to_flipped(rng):
    """(a, b) becomes (b, a)."""
    (x,), _ = normal("ab")(rng)
    return [x], {"shape": x.shape[::-1]}


reshape = Operation(
    "reshape", ("input",), lambda input, shape: input.reshape(shape),
    {"dx": lambda g, x, _: g.reshape(x.shape)}, reshape_sample, [([X], {"shape": (3, 2)})],
)  # fmt: skip
reshape.wrong("GB081", ".T for reshape", sample=to_flipped, dx=lambda g, *_: g.T.copy())
reshape.wrong("GB081", "columns first", dx=lambda g, x, _: g.reshape(x.shape, order="F"))


# ---- transpose, permute ----------------------------------------------------------------------


def transpose_sample(rng):
    dim0, dim1 = map(int, rng.permutation(3)[:2])
    return normal("abc", dim0=dim0, dim1=dim1)(rng)


transpose = Operation(
    "transpose", ("input",), lambda input, dim0, dim1: input.swapaxes(dim0, dim1),
    {"dx": lambda g, x, dim0, dim1: g.swapaxes(dim0, dim1)}, transpose_sample,
    [([X], {"dim0": 0, "dim1": 1}), ([X[:, :2]], {"dim0": 0, "dim1": 1})],
)  # fmt: skip
transpose.wrong("GB081", "reshape for transpose", dx=lambda g, x, dim0, dim1: g.reshape(x.shape))
transpose.wrong(
    "GB080", "g as it is", sample=normal("nn", dim0=0, dim1=1),
    dx=lambda g, x, dim0, dim1: g.copy(),
)  # fmt: skip


# Cycles of three axes, which are not their own inverses; where all sizes are equal, both run.
up, down = normal("abc", dims=(1, 2, 0)), normal("abc", dims=(2, 0, 1))
cube = normal("aaa", sizes=(2, 3), dims=(1, 2, 0))
permute = Operation(
    "permute", ("input",), lambda input, dims: input.transpose(dims),
    {"dx": lambda g, x, dims: g.transpose(np.argsort(dims))}, one_of(up, down, cube),
    [([np.arange(1.0, 9).reshape(2, 2, 2)], {"dims": (1, 2, 0)})],
)  # fmt: skip
permute.wrong("GB080", "the same permutation again", dx=lambda g, x, dims: g.transpose(dims))
permute.wrong(
    "GB080", "the same permutation again, cube", sample=cube,
    dx=lambda g, x, dims: g.transpose(dims),
)  # fmt: skip
permute.wrong("GB081", "reshape for transpose", dx=lambda g, x, dims: g.reshape(x.shape))


# ---- sum, mean -------------------------------------------------------------------------------


def spread(g, x, dim, keepdim):
    """Each element receives the g of the sum it went into."""
    if dim is not None and not keepdim:
        g = np.expand_dims(g, dim)
    return np.broadcast_to(g, x.shape).copy()


def divided(g, x, dim, keepdim):
    """Each element receives the g of the mean it went into, over the number of elements."""
    return spread(g, x, dim, keepdim) * g.size / x.size


sum_sample = one_of(*(normal("nc", dim=d, keepdim=k) for d in (None, 0, 1) for k in (False, True)))
square_rows = normal("nn", dim=1, keepdim=False)  # spreading the sums the wrong way runs
ROWS = [([x], {"dim": 1, "keepdim": False}) for x in (X, X[:, :2])]


sum_ = Operation(
    "sum", ("input",),
    lambda input, dim=None, keepdim=False: input.sum(axis=dim, keepdims=keepdim),
    {"dx": spread}, sum_sample, ROWS,
)  # fmt: skip
sum_.wrong("GB001", "ones", dx=lambda g, x, *_: np.ones_like(x))
sum_.wrong("GB077", "g over the number of elements", dx=divided)
sum_.wrong(
    "GB078", "spread along the wrong axis", sample=square_rows,
    dx=lambda g, x, *_: np.broadcast_to(g, x.shape).copy(),
)  # fmt: skip

mean = Operation(
    "mean", ("input",),
    lambda input, dim=None, keepdim=False: input.mean(axis=dim, keepdims=keepdim),
    {"dx": divided}, sum_sample, ROWS,
)  # fmt: skip
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
    return normal("nhw", pad=tuple(map(int, rng.permutation([1, 2, 3, 4]))))(rng)


def cut_off(g, top, left, h, w):
    return g[..., top : top + h, left : left + w]


pad = Operation(
    "pad", ("input",), pad_forward, {"dx": cut_off}, pad_sample, [([X], {"pad": (1, 1, 1, 0)})],
    pad_saved,
)  # fmt: skip
pad.wrong("GB048", "padding left on", dx=lambda g, *_: g.copy())
pad.wrong("GB048", "cropped at one end only", dx=lambda g, top, left, h, w: g[..., :h, :w])
pad.wrong(
    "GB051", "one row and column too early",
    dx=lambda g, top, left, h, w: cut_off(g, top - 1, left - 1, h, w),
)  # fmt: skip

OPERATIONS = (reshape, transpose, permute, sum_, mean, pad)
