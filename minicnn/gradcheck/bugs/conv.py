"""Convolution, and the mistakes in its backward pass."""

import numpy as np

from . import windows
from .operation import Bug, Operation, one_of

BUGS = (
    Bug("GB044", "col2im assigns instead of adds",
        "dx[:, :, rows, columns] = patch", "dx[:, :, rows, columns] += patch",
        "right where one window covers, else a is the last window's share of n; all right "
        "without overlap",
        "A pixel that several windows saw receives a gradient from each of them: add."),
    Bug("GB045", "kernel flipped",
        "dx = col2im(w[:, :, ::-1, ::-1].reshape(O, -1).T @ g)",
        "dx = col2im(w.reshape(O, -1).T @ g)",
        "dW: a = n[:, :, ::-1, ::-1]; dx: the gradient of the flipped kernel",
        "conv2d is a cross-correlation: what w[u, v] multiplied on the way forward it multiplies "
        "on the way back. Only the form of dx as a full convolution flips."),
    Bug("GB046", "in and out channels swapped",
        "np.tensordot(g[:, :, i, j], w, ([1], [1]))", "np.tensordot(g[:, :, i, j], w, ([1], [0]))",
        "needs C_in = C_out to run: dW is a = n.transpose(1, 0, 2, 3), dx is that of w transposed",
        "w is (out, in, kh, kw), and g has the out channels: sum over axis 0 of w."),
    Bug("GB047", "kh and kw swapped",
        "dx = col2im(w.swapaxes(2, 3).reshape(O, -1).T @ g)",
        "dx = col2im(w.reshape(O, -1).T @ g)",
        "needs a square kernel to run: dW is a = n.swapaxes(2, 3)",
        "Rows first, then columns, in the kernel as in the image: w[..., u, v] met "
        "x[..., i + u, j + v]."),
    Bug("GB048", "padding not cropped",
        "return dx_padded", "return dx_padded[:, :, ph : ph + H, pw : pw + W]",
        "a is 2 ph rows and 2 pw columns too large, or n moved down and right by (ph, pw)",
        "The gradient of the padding is thrown away: cut ph rows and pw columns off each side."),
    Bug("GB049", "borders dropped",
        "for i in range(oh - 1):", "for i in range(oh):",
        "right inside; along the last rows and columns the terms of some windows are missing",
        "Visit every window that the forward pass visited, up to oh and ow."),
    Bug("GB050", "stride ignored in the scatter",
        "rows = slice(i, i + kh)", "rows = slice(i * sh, i * sh + kh)",
        "right in the first window only; a crowds into the top left corner",
        "Window (i, j) starts at row i sh and column j sw, on the way back as well."),
    Bug("GB051", "off by one",
        "rows = slice(i * sh + 1, i * sh + 1 + kh)", "rows = slice(i * sh, i * sh + kh)",
        "a is n moved by one row and column",
        "Check the first window by hand: (0, 0) starts at row 0 of the padded image, which is row "
        "-ph of the image."),
    Bug("GB052", "dilation ignored",
        "rows = slice(i * sh, i * sh + kh)", "rows = slice(i * sh, i * sh + dh * kh, dh)",
        "non-zero where no tap of the kernel reached; right with dilation 1",
        "Neighbouring taps of the kernel lie dh rows and dw columns apart: step by dilation."),
    Bug("GB053", "groups: one group for all",
        "dx[:, group] += np.tensordot(g[:, outs, i, j], w[:O // groups], 1)",
        "dx[:, group] += np.tensordot(g[:, outs, i, j], w[outs], 1)",
        "right in the channels of group 0; the others are 0, or made with group 0's weights",
        "Group k's inputs meet only its own filters, w[k O/groups : (k + 1) O/groups]: loop over "
        "all groups with their own weights."),
    Bug("GB054", "last filter or sample only",
        "for n in range(N): dw = np.tensordot(g[n], patches[n], 2)",
        "for n in range(N): dw += np.tensordot(g[n], patches[n], 2)",
        "dW is the term of the last sample, dx that of the last filter",
        "All samples used the same filter, and each pixel met all filters: add their terms up."),
    Bug("GB055", "(C, kh, kw) and (kh, kw, C) mixed",
        "dw = (g @ cols).reshape(O, kh, kw, C).transpose(0, 3, 1, 2)",
        "dw = (g @ cols).reshape(O, C, kh, kw)",
        "per filter the right numbers at the wrong places: sorted(a) = sorted(n)",
        "im2col laid the columns out as (C, kh, kw): undo it in the same order."),
    Bug("GB056", "NHWC reshaped instead of transposed",
        "g.reshape(-1, O)", "g.transpose(0, 2, 3, 1).reshape(-1, O)",
        "each row of the product mixes positions and channels; db shows it too, its sum is right",
        "reshape keeps the order in memory: move the channels last with transpose first."),
    Bug("GB057", "bias gradient averaged",
        "db = g.mean(axis=(0, 2, 3))", "db = g.sum(axis=(0, 2, 3))",
        "r = 1/N, 1/(OH OW) or 1/(N OH OW) in every entry of db",
        "The bias was added at every position of every sample: sum over all of them."),
)  # fmt: skip


def forward(input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    """Every window times every filter of its group: (N, C, H, W), (O, C/groups, kh, kw), (O)."""
    at = windows.over(input.shape, weight.shape[2:], stride, padding, dilation)
    y = as_matrices(weight, groups) @ in_groups_of(windows.columns(input, at), groups)
    return y.reshape(len(input), len(weight), *at.out) + bias[:, None, None]


def as_matrices(weight, groups):
    """(O, C/groups, kh, kw) -> (groups, O/groups, C/groups kh kw)."""
    return weight.reshape(groups, len(weight) // groups, weight[0].size)


def in_groups_of(channels, groups):
    """(N, C, ...) -> (N, groups, C/groups, all positions)."""
    n, c = channels.shape[:2]
    return channels.reshape(n, groups, c // groups, np.prod(channels.shape[2:]))


def dx_of(g, input, weight, at, groups, **how):
    """Each pixel of a window receives g times the weight it met."""
    shares = as_matrices(weight, groups).swapaxes(1, 2) @ in_groups_of(g, groups)
    return windows.image(shares, input.shape, at, **how)


def dw_of(g, input, weight, at, groups):
    """Each weight receives g times the pixel it met, over all windows and samples."""
    x = in_groups_of(windows.columns(input, at), groups)
    return (in_groups_of(g, groups) @ x.swapaxes(2, 3)).sum(axis=0).reshape(weight.shape)


def db_of(g, *_):
    """The sum over batch and positions."""
    return g.sum(axis=(0, 2, 3))


def saved(input, weight, bias, stride=1, groups=1, **how):
    """What the gradients are computed from."""
    return input, weight, windows.over(input.shape, weight.shape[2:], stride, **how), groups


# ---- samples ---------------------------------------------------------------------------------


def family(
    kernel, stride=1, padding=0, dilation=1, groups=1, out=(2, 3), more=0, sizes=(2, 3, 4),
    square=False,
):  # fmt: skip
    """Random cases whose images hold `out` windows, and `more` rows and columns beyond them."""
    size = np.add(windows.image_size(out, kernel, stride, padding, dilation), more)

    def drawn(rng):
        n, c, o = rng.permutation(sizes)
        o = c if square else o
        shapes = [(n, c * groups, *size), (o * groups, c, *kernel), o * groups]
        how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        return [rng.standard_normal(s) for s in shapes], how

    return drawn


# Stride, kernel and image are longer one way than the other.
plain = family((3, 2), out=(3, 4))
overlapping = family((3, 2), (2, 1), (1, 0), out=(3, 4))
strided = one_of(family((2, 3), (2, 3), out=(3, 2)), overlapping)
padded = family((3, 2), (1, 2), (1, 1), out=(5, 4))
dilated = family((2, 3), dilation=(2, 2), out=(3, 2))
with_room = family((3, 2), (2, 2), more=1)  # beyond what the windows cover
in_groups = family((2, 3), (2, 1), (0, 1), groups=2, sizes=(1, 2, 3))
# C = O, a square kernel, image and stride: swapped axes run without a shape error.
square = one_of(
    *(family((k, k), padding=p, out=(3, 3), square=True) for k in (2, 3) for p in (0, 1))
)


def small():
    """Windows that overlap; stride and padding; dilation; several samples and channels; groups."""
    x = np.array([[[[1.0, 2, 0], [0, 1, 3], [2, -1, 1]]]])
    w, b = np.array([[[[1.0, 2], [-1, 3]]]]), np.zeros(1)
    two, a = np.concatenate([x, x.swapaxes(2, 3) + 1]), np.array([[[[1.0, 2]]], [[[-1.0, 3]]]])
    plain = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    return [
        ([x, w, b], plain),
        ([x, w, b], plain | {"stride": 2, "padding": 1}),
        ([x, w, b], plain | {"dilation": 2}),
        ([two[:, :, :2, :2], a, np.zeros(2)], plain),
        ([two.swapaxes(0, 1)[:, :, :2, :2], a, np.zeros(2)], plain | {"groups": 2}),
        (
            [np.repeat(x, 2, 1)[:, :, :2] + [[[[0]], [[1]]]], a * [[[[1]], [[2]]]], np.zeros(2)],
            plain,
        ),
    ]


conv2d = Operation(
    "conv2d", ("input", "weight", "bias"), forward, {"dx": dx_of, "dw": dw_of, "db": db_of},
    one_of(plain, plain, square, overlapping, strided, padded, dilated, in_groups), small(), saved,
)  # fmt: skip
OPERATIONS = (conv2d,)
