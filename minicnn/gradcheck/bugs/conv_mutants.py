"""Wrong backward passes of conv2d; their right lines are in conv.py."""

from functools import partial

import numpy as np

from . import windows
from .conv import (
    conv2d,
    db_of,
    dilated,
    dw_of,
    dx_of,
    forward,
    in_groups,
    overlapping,
    padded,
    plain,
    square,
    strided,
    with_room,
)
from .operation import in_float32, in_one_buffer

wrong = conv2d.wrong


wrong(
    "GB044", "assigns in place of adding", sample=overlapping,
    dx=partial(dx_of, put=windows.assigned),
)  # fmt: skip
wrong(
    "GB044", "assigns, one element of the kernel after another", sample=overlapping,
    dx=partial(dx_of, put=windows.assigned_by_taps),
)  # fmt: skip


# ---- axes of W mixed up ----------------------------------------------------------------------

wrong(
    "GB045", "the kernel flipped in dx",
    dx=lambda g, x, w, *at: dx_of(g, x, w[:, :, ::-1, ::-1], *at),
)  # fmt: skip
wrong("GB045", "dW flipped", dw=lambda *given: dw_of(*given)[:, :, ::-1, ::-1])
wrong(
    "GB046", "channels of W swapped in dx", sample=square,
    dx=lambda g, x, w, *at: dx_of(g, x, w.transpose(1, 0, 2, 3), *at),
)  # fmt: skip
wrong(
    "GB046", "channels of dW swapped", sample=square,
    dw=lambda *given: dw_of(*given).transpose(1, 0, 2, 3),
)  # fmt: skip
wrong(
    "GB047", "kh and kw swapped in dx", sample=square,
    dx=lambda g, x, w, *at: dx_of(g, x, w.swapaxes(2, 3), *at),
)  # fmt: skip
wrong(
    "GB047", "kh and kw swapped in dW", sample=square,
    dw=lambda *given: dw_of(*given).swapaxes(2, 3),
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


for code, name, family, change in (
    (
        "GB049", "the last windows left out of", overlapping,
        lambda g, at: (without_last(g), at),
    ),
    ("GB050", "stride ignored in", strided, lambda g, at: (g, at._replace(stride=(1, 1)))),
    ("GB052", "dilation ignored in", dilated, lambda g, at: (g, at._replace(dilation=(1, 1)))),
):  # fmt: skip
    wrong(code, f"{name} dx", sample=family, dx=changed(dx_of, change))
    wrong(code, f"{name} dW", sample=family, dw=changed(dw_of, change))
wrong(
    "GB051", "windows one row and column too far in dx", sample=with_room,
    dx=lambda g, x, *at: np.pad(
        dx_of(g, x[:, :, 1:, 1:], *at), [(0, 0), (0, 0), (1, 0), (1, 0)]
    ),
)  # fmt: skip
wrong(
    "GB051", "windows one row and column too far in dW", sample=with_room,
    dw=lambda g, x, *at: dw_of(g, x[:, :, 1:, 1:], *at),
)  # fmt: skip
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


# ---- layouts mixed up -------------------------------------------------------------------------


def channels_last(w):
    """What lies in memory as (C, kh, kw), read as (kh, kw, C)."""
    o, c, kh, kw = w.shape
    return w.reshape(o, kh, kw, c).transpose(0, 3, 1, 2)


wrong(
    "GB055", "W read as (kh, kw, C) in dx", sample=plain,
    dx=lambda g, x, w, *at: dx_of(g, x, channels_last(w), *at),
)  # fmt: skip
wrong(
    "GB055", "dW read as (kh, kw, C)", sample=plain,
    dw=lambda *given: channels_last(dw_of(*given)),
)  # fmt: skip
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


def flipped(input, weight, bias, **how):
    return forward(input, weight[:, :, ::-1, ::-1], bias, **how)


def whole_numbers(input, weight, bias, **how):
    y = forward(input, weight, bias, **how)
    return y.real.astype(int)  # as y = np.zeros(..., dtype=int); y[...] = ... does


wrong("GB011", "an integer array for the output", forward=whole_numbers)
wrong(
    "GB014", "a true convolution, in both", forward=flipped,
    dx=lambda g, x, w, *at: dx_of(g, x, w[:, :, ::-1, ::-1], *at),
    dw=lambda *given: dw_of(*given)[:, :, ::-1, ::-1],
)  # fmt: skip
