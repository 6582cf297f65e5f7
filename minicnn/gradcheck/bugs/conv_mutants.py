"""Wrong backward passes of conv2d."""

from dataclasses import replace

import numpy as np

from .conv import (
    conv2d,
    dilated,
    dw_of,
    dx_of,
    forward,
    grouped,
    in_groups,
    overlapping,
    padded,
    plain,
    square,
    strided,
    with_room,
)
from .windows import crop, pad, windows


def db_of(g):
    """The sum over batch and positions."""
    return g.sum(axis=(0, 2, 3))


def windows_of(input, weight, stride, padding, dilation):
    return windows(input.shape, weight.shape[2:], stride, padding, dilation)


@conv2d.mutant("GB044", "assigns in place of adding", sample=overlapping)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    dx = np.zeros_like(pad(input, padding))
    for channels, filters in grouped(weight, groups):
        for i, j, rows, columns in at:
            dx[:, channels, rows, columns] = np.tensordot(g[:, filters, i, j], weight[filters], 1)
    return crop(dx, padding), dw_of(g, input, weight, at, groups), db_of(g)


@conv2d.mutant("GB044", "assigns, one element of the kernel after another", sample=overlapping)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    dx = np.zeros_like(pad(input, padding))
    for channels, filters in grouped(weight, groups):
        for u, v, rows, columns in at.taps():
            share = np.tensordot(g[:, filters], weight[filters, :, u, v], (1, 0))
            dx[:, channels, rows, columns] = np.moveaxis(share, -1, 1)
    return crop(dx, padding), dw_of(g, input, weight, at, groups), db_of(g)


@conv2d.mutant("GB045", "the kernel flipped in dx")
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    dx = dx_of(g, input, weight[:, :, ::-1, ::-1], at, groups)
    return dx, dw_of(g, input, weight, at, groups), db_of(g)


@conv2d.mutant("GB045", "dW flipped")
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    dw = dw_of(g, input, weight, at, groups)[:, :, ::-1, ::-1]
    return dx_of(g, input, weight, at, groups), dw, db_of(g)


@conv2d.mutant("GB046", "channels of W swapped in dx", sample=square)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    dx = dx_of(g, input, weight.transpose(1, 0, 2, 3), at, groups)
    return dx, dw_of(g, input, weight, at, groups), db_of(g)


@conv2d.mutant("GB046", "channels of dW swapped", sample=square)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    dw = dw_of(g, input, weight, at, groups).transpose(1, 0, 2, 3)
    return dx_of(g, input, weight, at, groups), dw, db_of(g)


@conv2d.mutant("GB047", "kh and kw swapped in dx", sample=square)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    dx = dx_of(g, input, weight.swapaxes(2, 3), at, groups)
    return dx, dw_of(g, input, weight, at, groups), db_of(g)


@conv2d.mutant("GB047", "kh and kw swapped in dW", sample=square)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    dw = dw_of(g, input, weight, at, groups).swapaxes(2, 3)
    return dx_of(g, input, weight, at, groups), dw, db_of(g)


@conv2d.mutant("GB048", "dx with its padding", sample=padded)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    image = pad(input, padding)
    dx = dx_of(g, image, weight, replace(at, padding=(0, 0)), groups)
    return dx, dw_of(g, input, weight, at, groups), db_of(g)


@conv2d.mutant("GB048", "dx cropped at one end only", sample=padded)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    h, w = input.shape[2:]
    dx = dx_of(g, pad(input, padding), weight, replace(at, padding=(0, 0)), groups)
    return dx[:, :, :h, :w], dw_of(g, input, weight, at, groups), db_of(g)


@conv2d.mutant("GB049", "the last windows left out of dx", sample=overlapping)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    oh, ow = at.out
    dx = dx_of(g, input, weight, replace(at, out=(oh - 1, ow - 1)), groups)
    return dx, dw_of(g, input, weight, at, groups), db_of(g)


@conv2d.mutant("GB049", "the last windows left out of dW", sample=overlapping)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    oh, ow = at.out
    dw = dw_of(g, input, weight, replace(at, out=(oh - 1, ow - 1)), groups)
    return dx_of(g, input, weight, at, groups), dw, db_of(g)


@conv2d.mutant("GB049", "the image's border gets nothing", sample=padded)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    dx = np.zeros_like(input)
    inside = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    dx[inside] = dx_of(g, input, weight, at, groups)[inside]
    return dx, dw_of(g, input, weight, at, groups), db_of(g)


@conv2d.mutant("GB050", "stride ignored in dx", sample=strided)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    dx = dx_of(g, input, weight, replace(at, stride=(1, 1)), groups)
    return dx, dw_of(g, input, weight, at, groups), db_of(g)


@conv2d.mutant("GB050", "stride ignored in dW", sample=strided)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    dw = dw_of(g, input, weight, replace(at, stride=(1, 1)), groups)
    return dx_of(g, input, weight, at, groups), dw, db_of(g)


@conv2d.mutant("GB051", "windows one row and column too far in dx", sample=with_room)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    dx = dx_of(g, input, weight, replace(at, start=1), groups)
    return dx, dw_of(g, input, weight, at, groups), db_of(g)


@conv2d.mutant("GB051", "windows one row and column too far in dW", sample=with_room)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    dw = dw_of(g, input, weight, replace(at, start=1), groups)
    return dx_of(g, input, weight, at, groups), dw, db_of(g)


@conv2d.mutant("GB051", "dx rolled")
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    dx = np.roll(dx_of(g, input, weight, at, groups), (1, 1), axis=(2, 3))
    return dx, dw_of(g, input, weight, at, groups), db_of(g)


@conv2d.mutant("GB052", "dilation ignored in dx", sample=dilated)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    dx = dx_of(g, input, weight, replace(at, dilation=(1, 1)), groups)
    return dx, dw_of(g, input, weight, at, groups), db_of(g)


@conv2d.mutant("GB052", "dilation ignored in dW", sample=dilated)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    dw = dw_of(g, input, weight, replace(at, dilation=(1, 1)), groups)
    return dx_of(g, input, weight, at, groups), dw, db_of(g)


@conv2d.mutant("GB053", "dx of group 0 only", sample=in_groups)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    dx, first = np.zeros_like(input), slice(weight.shape[1])
    dx[:, first] = dx_of(g, input[:, first], weight[: len(weight) // groups], at, 1)
    return dx, dw_of(g, input, weight, at, groups), db_of(g)


@conv2d.mutant("GB053", "dW of group 0 only", sample=in_groups)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    dw = dw_of(g, input, weight, at, groups)
    dw[len(weight) // groups :] = 0
    return dx_of(g, input, weight, at, groups), dw, db_of(g)


@conv2d.mutant("GB053", "group 0's weights for all", sample=in_groups)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    first = weight[: len(weight) // groups]
    dx = dx_of(g, input, np.tile(first, (groups, 1, 1, 1)), at, groups)
    return dx, dw_of(g, input, weight, at, groups), db_of(g)


@conv2d.mutant("GB054", "dW of the last sample", sample=plain)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    for n in range(len(input)):
        dw = dw_of(g[n : n + 1], input[n : n + 1], weight, at, groups)
    return dx_of(g, input, weight, at, groups), dw, db_of(g)


@conv2d.mutant("GB054", "dx of the last filter", sample=plain)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    for o in range(len(weight)):
        dx = dx_of(g[:, o : o + 1], input, weight[o : o + 1], at, 1)
    return dx, dw_of(g, input, weight, at, groups), db_of(g)


@conv2d.mutant("GB055", "W read as (kh, kw, C) in dx", sample=plain)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    o, c, kh, kw = weight.shape
    mixed = weight.reshape(o, kh, kw, c).transpose(0, 3, 1, 2)
    return dx_of(g, input, mixed, at, groups), dw_of(g, input, weight, at, groups), db_of(g)


@conv2d.mutant("GB055", "dW read as (kh, kw, C)", sample=plain)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    o, c, kh, kw = weight.shape
    dw = dw_of(g, input, weight, at, groups).reshape(o, kh, kw, c).transpose(0, 3, 1, 2)
    return dx_of(g, input, weight, at, groups), dw, db_of(g)


def _mixed(g):
    """g as if it lay in memory as NHWC."""
    n, o, oh, ow = g.shape
    return g.reshape(n, oh, ow, o).transpose(0, 3, 1, 2)


@conv2d.mutant("GB056", "g reshaped to rows of channels", sample=plain)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at, g = windows_of(input, weight, stride, padding, dilation), _mixed(g)
    return dx_of(g, input, weight, at, groups), dw_of(g, input, weight, at, groups), db_of(g)


@conv2d.mutant("GB056", "g reshaped to rows of channels for dW", sample=plain)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    dw = dw_of(_mixed(g), input, weight, at, groups)
    return dx_of(g, input, weight, at, groups), dw, db_of(g)


@conv2d.mutant("GB057", "db averaged over the batch", sample=plain)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    db = g.mean(axis=0).sum(axis=(1, 2))
    return dx_of(g, input, weight, at, groups), dw_of(g, input, weight, at, groups), db


@conv2d.mutant("GB057", "db averaged over positions", sample=plain)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    db = g.mean(axis=(2, 3)).sum(axis=0)
    return dx_of(g, input, weight, at, groups), dw_of(g, input, weight, at, groups), db


@conv2d.mutant("GB057", "db averaged over both", sample=plain)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    db = g.mean(axis=(0, 2, 3))
    return dx_of(g, input, weight, at, groups), dw_of(g, input, weight, at, groups), db


@conv2d.mutant("GB018", "dW averaged over the batch", sample=plain)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    dw = dw_of(g, input, weight, at, groups) / len(input)
    return dx_of(g, input, weight, at, groups), dw, db_of(g)


@conv2d.mutant("GB020", "db summed over everything", sample=plain)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    db = np.full_like(bias, g.sum())
    return dx_of(g, input, weight, at, groups), dw_of(g, input, weight, at, groups), db


@conv2d.mutant("GB002", "dW with the sign of the update")
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    dw = -dw_of(g, input, weight, at, groups)
    return dx_of(g, input, weight, at, groups), dw, db_of(g)


BUFFERS: dict = {}


@conv2d.mutant("GB008", "dx in one buffer for all calls")
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    dx = BUFFERS.setdefault(input.shape, np.empty(input.shape))
    dx[...] = dx_of(g, input, weight, at, groups)
    return dx, dw_of(g, input, weight, at, groups), db_of(g)


@conv2d.mutant("GB013", "dW gathered in float32")
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    dw = dw_of(g, input, weight.astype(np.float32), at, groups)
    return dx_of(g, input, weight, at, groups), dw, db_of(g)


def in_float32(rng):
    """The network's usual type, in which np.zeros(shape) is too wide."""
    inputs, how = plain(rng)
    return [a.astype(np.float32) for a in inputs], how


@conv2d.mutant("GB013", "dx gathered in float64", sample=in_float32)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    dx = np.zeros(input.shape)
    dx += dx_of(g, input, weight, at, groups)
    return dx, dw_of(g, input, weight, at, groups), db_of(g)


def _whole_numbers(input, weight, bias, **how):
    y = forward(input, weight, bias, **how)
    return y.real.astype(int)  # as y = np.zeros(..., dtype=int); y[...] = ... does


@conv2d.mutant("GB011", "an integer array for the output", forward=_whole_numbers)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    return dx_of(g, input, weight, at, groups), dw_of(g, input, weight, at, groups), db_of(g)


def _flipped(input, weight, bias, **how):
    return forward(input, weight[:, :, ::-1, ::-1], bias, **how)


@conv2d.mutant("GB014", "a true convolution, in both", forward=_flipped)
def _(g, input, weight, bias, stride=1, padding=0, dilation=1, groups=1):
    at = windows_of(input, weight, stride, padding, dilation)
    dx = dx_of(g, input, weight[:, :, ::-1, ::-1], at, groups)
    return dx, dw_of(g, input, weight, at, groups)[:, :, ::-1, ::-1], db_of(g)
