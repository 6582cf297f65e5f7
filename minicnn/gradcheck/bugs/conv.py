"""Convolution, and the mistakes in its backward pass."""

from functools import partial

import numpy as np

from . import windows
from .operation import Bug, Operation, in_float32, in_one_buffer, in_whole_numbers, one_of

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

# Windows that overlap; stride and padding; dilation; several samples and channels; groups.
X = np.array([[[[1.0, 2, 0], [0, 1, 3], [2, -1, 1]]]])
W, A = np.array([[[[1.0, 2], [-1, 3]]]]), np.array([[[[1.0, 2]]], [[[-1.0, 3]]]])
TWO = np.concatenate([X, X.swapaxes(2, 3) + 1])
CHANNELS = np.concatenate([X, X + 1], 1)[:, :, :2], A * [[[[1]], [[2]]]], np.zeros(2)
ONCE = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
EXAMPLES = [
    ([X, W, np.zeros(1)], ONCE),
    ([X, W, np.zeros(1)], ONCE | {"stride": 2, "padding": 1}),
    ([X, W, np.zeros(1)], ONCE | {"dilation": 2}),
    ([TWO[:, :, :2, :2], A, np.zeros(2)], ONCE),
    ([TWO.swapaxes(0, 1)[:, :, :2, :2], A, np.zeros(2)], ONCE | {"groups": 2}),
    ([*CHANNELS], ONCE),
]

conv2d = Operation(
    "conv2d", ("input", "weight", "bias"), forward, {"dx": dx_of, "dw": dw_of, "db": db_of},
    one_of(plain, plain, square, overlapping, strided, padded, dilated, in_groups), EXAMPLES, saved,
)  # fmt: skip


# ---- the scatter: assigning in place of adding ------------------------------------------------

wrong = conv2d.wrong
windows.assigning(
    conv2d, "GB044", overlapping, dx_of,
    "assigns in place of adding", "assigns, one element of the kernel after another",
)  # fmt: skip


# ---- axes of W mixed up, and layouts ----------------------------------------------------------


def flipped(w):
    return w[:, :, ::-1, ::-1]


def channels_last(w):
    """What lies in memory as (C, kh, kw), read as (kh, kw, C)."""
    o, c, kh, kw = w.shape
    return w.reshape(o, kh, kw, c).transpose(0, 3, 1, 2)


def wrong_axes(code, in_dx, in_dw, change, family=None):
    """W changed where dx is computed, and dW changed alike."""
    wrong(code, in_dx, sample=family, dx=lambda g, x, w, *at: dx_of(g, x, change(w), *at))
    wrong(code, in_dw, sample=family, dw=lambda *given: change(dw_of(*given)))


wrong_axes("GB045", "the kernel flipped in dx", "dW flipped", flipped)
wrong_axes(
    "GB046", "channels of W swapped in dx", "channels of dW swapped",
    lambda w: w.swapaxes(0, 1), square,
)  # fmt: skip
wrong_axes(
    "GB047", "kh and kw swapped in dx", "kh and kw swapped in dW",
    lambda w: w.swapaxes(2, 3), square,
)  # fmt: skip
wrong_axes("GB055", "W read as (kh, kw, C) in dx", "dW read as (kh, kw, C)", channels_last, plain)
wrong(
    "GB056", "g reshaped to rows of channels", sample=plain,
    dx=lambda g, *rest: dx_of(channels_last(g), *rest),
    dw=lambda g, *rest: dw_of(channels_last(g), *rest),
    db=lambda g, *_: db_of(channels_last(g)),
)  # fmt: skip
wrong(
    "GB056", "g reshaped to rows of channels for dW", sample=plain,
    dw=lambda g, *rest: dw_of(channels_last(g), *rest),
)  # fmt: skip


# ---- the padding -----------------------------------------------------------------------------


def without_border(g, x, *at):
    dx = np.zeros_like(x)
    inside = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    dx[inside] = dx_of(g, x, *at)[inside]
    return dx


wrong("GB048", "dx with its padding", sample=padded, dx=partial(dx_of, crop=windows.uncropped))
wrong(
    "GB048", "dx cropped at one end only", sample=padded,
    dx=partial(dx_of, crop=windows.cropped_at_one_end),
)  # fmt: skip


# ---- other windows than the forward pass had -------------------------------------------------


def without_last(g):
    g = g.copy()
    g[:, :, -1], g[..., -1] = 0, 0
    return g


def changed(gradient, change):
    """The gradient with another g or other windows."""

    def wrongly(g, x, w, at, groups):
        g, at = change(g, at)
        return gradient(g, x, w, at, groups)

    return wrongly


def one_further(x, at):
    """The padded image without its first row and column, and its windows."""
    return np.pad(x, windows.borders(at, x.shape))[:, :, 1:, 1:], at._replace(padding=(0, 0))


def dx_one_further(g, x, w, at, groups):
    moved, moved_at = one_further(x, at)
    dx = dx_of(g, moved, w, moved_at, groups)
    return windows.cropped(np.pad(dx, [(0, 0), (0, 0), (1, 0), (1, 0)]), x.shape, at)


def dw_one_further(g, x, w, at, groups):
    moved, moved_at = one_further(x, at)
    return dw_of(g, moved, w, moved_at, groups)


for code, name, drawn, change in (
    ("GB049", "the last windows left out of", overlapping, lambda g, at: (without_last(g), at)),
    ("GB050", "stride ignored in", strided, lambda g, at: (g, at._replace(stride=(1, 1)))),
    ("GB052", "dilation ignored in", dilated, lambda g, at: (g, at._replace(dilation=(1, 1)))),
):  # fmt: skip
    wrong(code, f"{name} dx", sample=drawn, dx=changed(dx_of, change))
    wrong(code, f"{name} dW", sample=drawn, dw=changed(dw_of, change))
further = "windows one row and column too far in"
wrong("GB051", f"{further} dx", sample=with_room, dx=dx_one_further)
wrong("GB051", f"{further} dW", sample=with_room, dw=dw_one_further)
wrong("GB049", "the image's border gets nothing", sample=padded, dx=without_border)
wrong("GB051", "dx rolled", dx=lambda *given: np.roll(dx_of(*given), (1, 1), axis=(2, 3)))


# ---- one group, filter or sample for all -----------------------------------------------------


def of_group_0(g, x, w, at, groups):
    dx, c, o = np.zeros_like(x), w.shape[1], len(w) // groups
    dx[:, :c] = dx_of(g[:, :o], x[:, :c], w[:o], at, 1)
    return dx


def dw_of_group_0(g, x, w, at, groups):
    dw = dw_of(g, x, w, at, groups)
    dw[len(w) // groups :] = 0
    return dw


def with_weights_of_group_0(g, x, w, at, groups):
    return dx_of(g, x, np.tile(w[: len(w) // groups], (groups, 1, 1, 1)), at, groups)


wrong("GB053", "dx of group 0 only", sample=in_groups, dx=of_group_0)
wrong("GB053", "dW of group 0 only", sample=in_groups, dw=dw_of_group_0)
wrong("GB053", "group 0's weights for all", sample=in_groups, dx=with_weights_of_group_0)
wrong(
    "GB054", "dW of the last sample", sample=plain,
    dw=lambda g, x, w, at, groups: dw_of(g[-1:], x[-1:], w, at, groups),
)  # fmt: skip
wrong(
    "GB054", "dx of the last filter", sample=plain,
    dx=lambda g, x, w, at, groups: dx_of(g[:, -1:], x, w[-1:], at, 1),
)  # fmt: skip


# ---- sums, signs, memory and types -----------------------------------------------------------

wrong(
    "GB057", "db averaged over the batch", sample=plain,
    db=lambda g, *_: g.mean(axis=0).sum(axis=(1, 2)),
)  # fmt: skip
wrong(
    "GB057", "db averaged over positions", sample=plain,
    db=lambda g, *_: g.mean(axis=(2, 3)).sum(axis=0),
)  # fmt: skip
wrong("GB057", "db averaged over both", sample=plain, db=lambda g, *_: g.mean(axis=(0, 2, 3)))
wrong(
    "GB018", "dW averaged over the batch", sample=plain,
    dw=lambda g, x, w, *at: dw_of(g, x, w, *at) / len(x),
)  # fmt: skip
wrong(
    "GB020", "db summed over everything", sample=plain,
    db=lambda g, x, w, *_: np.full(len(w), g.sum(), w.dtype),
)  # fmt: skip
wrong("GB002", "dW with the sign of the update", dw=lambda *given: -dw_of(*given))
wrong("GB008", "dx in one buffer for all calls", dx=in_one_buffer(dx_of))
wrong(
    "GB013", "dW gathered in float32",
    dw=lambda *given: dw_of(*given).astype(np.float32),
)  # fmt: skip
wrong(
    "GB013", "dx gathered in float64", sample=in_float32(plain),
    dx=lambda g, x, *at: np.zeros(x.shape) + dx_of(g, x, *at),
)  # fmt: skip


# ---- forward passes that are wrong -----------------------------------------------------------


wrong("GB011", "an integer array for the output", forward=in_whole_numbers(forward))
wrong(
    "GB014", "a true convolution, in both",
    forward=lambda x, w, b, **how: forward(x, flipped(w), b, **how),
    dx=lambda g, x, w, *at: dx_of(g, x, flipped(w), *at),
    dw=lambda *given: flipped(dw_of(*given)),
)  # fmt: skip

OPERATIONS = (conv2d,)
