"""Wrong backward passes of average and maximum pooling."""

from dataclasses import replace

import numpy as np

from .pool import (
    avg_forward,
    avg_pool2d,
    first_maximum,
    max_backward,
    max_pool2d,
    overlapping,
    padded,
    sizes_of,
    spread,
    square,
    tiled,
    with_remainder,
)
from .windows import crop, pad, pair, windows

# ---- average pooling -------------------------------------------------------------------------


@avg_pool2d.mutant("GB058", "not divided")
def _(g, input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    at = windows(input.shape, kernel_size, stride, padding, ceil_mode=ceil_mode)
    return (spread(g, input, at),)


@avg_pool2d.mutant("GB059", "divided by kh", sample=tiled)
def _(g, input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    at = windows(input.shape, kernel_size, stride, padding, ceil_mode=ceil_mode)
    return (spread(g / at.kernel[0], input, at),)


@avg_pool2d.mutant("GB059", "divided by kw", sample=tiled)
def _(g, input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    at = windows(input.shape, kernel_size, stride, padding, ceil_mode=ceil_mode)
    return (spread(g / at.kernel[1], input, at),)


@avg_pool2d.mutant("GB060", "divided by OH OW", sample=square)
def _(g, input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    at = windows(input.shape, kernel_size, stride, padding, ceil_mode=ceil_mode)
    oh, ow = at.out
    return (spread(g / (oh * ow), input, at),)


@avg_pool2d.mutant("GB061", "the first pixel gets g", sample=tiled)
def _(g, input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    at = windows(input.shape, kernel_size, stride, padding, ceil_mode=ceil_mode)
    dx = np.zeros_like(pad(input, padding))
    for i, j, rows, columns in at:
        dx[:, :, rows.start, columns.start] += g[:, :, i, j]
    return (crop(dx, padding),)


@avg_pool2d.mutant("GB062", "np.tile for np.repeat", sample=tiled)
def _(g, input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    kh, kw = pair(kernel_size)
    return (np.tile(g, (1, 1, kh, kw)) / (kh * kw),)


@avg_pool2d.mutant("GB063", "assigns where windows overlap", sample=overlapping)
def _(g, input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    at = windows(input.shape, kernel_size, stride, padding, ceil_mode=ceil_mode)
    kh, kw = at.kernel
    dx = np.zeros_like(pad(input, padding))
    for i, j, rows, columns in at:
        dx[:, :, rows, columns] = g[:, :, i, j, None, None] / (kh * kw)
    return (crop(dx, padding),)


@avg_pool2d.mutant("GB063", "assigns, one element after another", sample=overlapping)
def _(g, input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    at = windows(input.shape, kernel_size, stride, padding, ceil_mode=ceil_mode)
    dx = np.zeros_like(pad(input, padding))
    for _, _, rows, columns in at.taps():
        dx[:, :, rows, columns] = g / np.prod(at.kernel)
    return (crop(dx, padding),)


@avg_pool2d.mutant("GB064", "the last windows reach to the border", sample=with_remainder)
def _(g, input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    (kh, kw), (h, w), (oh, ow) = pair(kernel_size), input.shape[2:], g.shape[2:]
    i = np.minimum(np.arange(h) // kh, oh - 1)
    j = np.minimum(np.arange(w) // kw, ow - 1)
    return (g[:, :, i][:, :, :, j] / (kh * kw),)


@avg_pool2d.mutant("GB065", "divided by the pixels inside", sample=padded)
def _(g, input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    at = windows(input.shape, kernel_size, stride, padding, ceil_mode=ceil_mode)
    return (spread(g / sizes_of(input.shape, at, False), input, at),)


def padding_left_out(rng):
    """The forward pass does not count the padding."""
    inputs, how = padded(rng)
    return inputs, how | {"count_include_pad": False}


@avg_pool2d.mutant("GB065", "divided by kh kw though padding does not count", padding_left_out)
def _(g, input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    at = windows(input.shape, kernel_size, stride, padding, ceil_mode=ceil_mode)
    kh, kw = at.kernel
    return (spread(g / (kh * kw), input, at),)


@avg_pool2d.mutant("GB048", "cropped at one end only", sample=padded)
def _(g, input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    at = windows(input.shape, kernel_size, stride, padding, ceil_mode=ceil_mode)
    share, (h, w) = g / sizes_of(input.shape, at, count_include_pad), input.shape[2:]
    dx = spread(share, pad(input, padding), replace(at, padding=(0, 0)))
    return (dx[:, :, :h, :w],)


@avg_pool2d.mutant("GB050", "stride ignored", sample=tiled)
def _(g, input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    at = windows(input.shape, kernel_size, stride, padding, ceil_mode=ceil_mode)
    kh, kw = at.kernel
    return (spread(g / (kh * kw), input, replace(at, stride=(1, 1))),)


def _sums(input, kernel_size, **how):
    kh, kw = pair(kernel_size)
    return avg_forward(input, kernel_size, **how) * (kh * kw)


@avg_pool2d.mutant("GB014", "sums for means, in both", sample=tiled, forward=_sums)
def _(g, input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    at = windows(input.shape, kernel_size, stride, padding, ceil_mode=ceil_mode)
    return (spread(g, input, at),)


# ---- maximum pooling -------------------------------------------------------------------------


@max_pool2d.mutant("GB066", "the whole window gets g")
def _(g, input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    at = windows(input.shape, kernel_size, stride, padding, dilation, ceil_mode)
    return (spread(g, input, at),)


def tied(rng):
    """Few different numbers: in some window the largest occurs twice."""
    inputs, how = tiled(rng)
    inputs[0] = rng.integers(0, 3, inputs[0].shape) * 1.0
    inputs[0][0, 0, :2, :2] = 2.0
    return inputs, how


@max_pool2d.mutant("GB067", "every tie gets g", sample=tied)
def _(g, input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    at = windows(input.shape, kernel_size, stride, padding, dilation, ceil_mode)
    x = pad(input, padding, -np.inf)
    dx = np.zeros_like(x)
    for i, j, rows, columns in at:
        patch = x[:, :, rows, columns]
        largest = patch == patch.max(axis=(2, 3), keepdims=True)
        dx[:, :, rows, columns] += g[:, :, i, j, None, None] * largest
    return (crop(dx, padding),)


def oblong(rng):
    """High windows on a wide image, so that a wrong width stays inside the image."""
    inputs, how = tiled(rng)
    kh, kw = sorted(how["kernel_size"], reverse=True)
    inputs[0] = rng.standard_normal((*inputs[0].shape[:2], 2 * kh, 2 * kh + 3 * kw))
    return inputs, how | {"kernel_size": (kh, kw), "stride": (kh, kw)}


@max_pool2d.mutant("GB068", "the window's argmax over kh", sample=oblong)
def _(g, input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    n, c, h, w = input.shape
    at = windows(input.shape, kernel_size, stride)
    (kh, kw), (sh, sw), (oh, ow) = at.kernel, at.stride, g.shape[2:]
    dx = np.zeros((n, c, h, w + kh))
    for b, k, i, j in np.ndindex(n, c, oh, ow):
        patch = input[b, k, i * sh : i * sh + kh, j * sw : j * sw + kw]
        row, column = divmod(patch.argmax(), kh)
        dx[b, k, i * sh + row, j * sw + column] += g[b, k, i, j]
    return (dx[..., :w],)


@max_pool2d.mutant("GB068", "the plane's argmax times H", sample=oblong)
def _(g, input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    n, c, h, w = input.shape
    at = windows(input.shape, kernel_size, stride)
    (kh, kw), (sh, sw), (oh, ow) = at.kernel, at.stride, g.shape[2:]
    dx = np.zeros((n, c, h * w))
    for b, k, i, j in np.ndindex(n, c, oh, ow):
        patch = input[b, k, i * sh : i * sh + kh, j * sw : j * sw + kw]
        row, column = divmod(patch.argmax(), kw)
        dx[b, k, (i * sh + row) * h + j * sw + column] += g[b, k, i, j]
    return (dx.reshape(input.shape),)


@max_pool2d.mutant("GB069", "times the maximum")
def _(g, input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    (right,) = max_backward(g, input, kernel_size, stride, padding, dilation, ceil_mode)
    return (right * input,)


@max_pool2d.mutant("GB063", "assigns where windows overlap", sample=overlapping)
def _(g, input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    at = windows(input.shape, kernel_size, stride, padding, dilation, ceil_mode)
    x = pad(input, padding, -np.inf)
    dx = np.zeros_like(x)
    for i, j, rows, columns in at:
        patch = x[:, :, rows, columns]
        dx[:, :, rows, columns] = g[:, :, i, j, None, None] * first_maximum(patch)
    return (crop(dx, padding),)


@max_pool2d.mutant("GB062", "np.tile for np.repeat", sample=tiled)
def _(g, input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    at = windows(input.shape, kernel_size, stride, padding, dilation, ceil_mode)
    mask = np.zeros_like(input)
    for _, _, rows, columns in at:
        mask[:, :, rows, columns] = first_maximum(input[:, :, rows, columns])
    return (np.tile(g, (1, 1, *at.kernel)) * mask,)


@max_pool2d.mutant("GB001", "ones at the maxima")
def _(g, input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    how = (kernel_size, stride, padding, dilation, ceil_mode)
    return max_backward(np.ones_like(g), input, *how)


BUFFERS: dict = {}


@max_pool2d.mutant("GB008", "one buffer for all calls")
def _(g, input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    dx = BUFFERS.setdefault(input.shape, np.empty(input.shape))
    dx[...] = max_backward(g, input, kernel_size, stride, padding, dilation, ceil_mode)[0]
    return (dx,)


@max_pool2d.mutant("GB013", "gathered in float32")
def _(g, input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    how = (kernel_size, stride, padding, dilation, ceil_mode)
    return tuple(dx.astype(np.float32) for dx in max_backward(g, input, *how))
