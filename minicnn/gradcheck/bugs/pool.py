"""Average and maximum pooling, and the mistakes in their backward passes."""

import numpy as np

from .operation import Bug, Operation, one_of
from .windows import crop, image_size, pad, windows

BUGS = (
    Bug("GB058", "average without 1/k^2",
        "dx[:, :, rows, columns] += g[:, :, i, j]",
        "dx[:, :, rows, columns] += g[:, :, i, j] / (kh * kw)",
        "r = kh kw in every entry",
        "Each of the kh kw pixels had the weight 1/(kh kw) in the mean: divide g by it."),
    Bug("GB059", "1/k",
        "dx[:, :, rows, columns] += g[:, :, i, j] / kh",
        "dx[:, :, rows, columns] += g[:, :, i, j] / (kh * kw)",
        "r = kw (or kh) in every entry",
        "A window of k by k has k^2 pixels: divide by kh * kw."),
    Bug("GB060", "1/(OH OW)",
        "dx[:, :, rows, columns] += g[:, :, i, j] / (oh * ow)",
        "dx[:, :, rows, columns] += g[:, :, i, j] / (kh * kw)",
        "r = kh kw/(OH OW) in every entry",
        "Divide by the pixels of a window, not by the number of windows."),
    Bug("GB061", "one corner gets it all",
        "dx[:, :, i * sh, j * sw] += g[:, :, i, j]",
        "dx[:, :, rows, columns] += g[:, :, i, j] / (kh * kw)",
        "a = g in each window's first pixel, 0 in the others",
        "Every pixel of the window contributed to the mean: spread g over all of them."),
    Bug("GB062", "tile for repeat",
        "np.tile(g, (1, 1, kh, kw))", "g.repeat(kh, axis=2).repeat(kw, axis=3)",
        "each plane of a is kh by kw small copies of g; the plane's sum is right",
        "repeat puts copies of each element side by side, as its window lies; tile repeats the "
        "whole plane."),
    Bug("GB063", "overlap overwritten",
        "dx[:, :, rows, columns] = share", "dx[:, :, rows, columns] += share",
        "right where one window covers; elsewhere the last window's share only",
        "With stride below the kernel's size windows share pixels: add their gradients."),
    Bug("GB064", "the floor's remainder gets a gradient",
        "dx = g[:, :, np.minimum(np.arange(H) // sh, oh - 1)] / (kh * kw)",
        "dx = np.zeros_like(x); dx[:, :, : oh * sh] = spread_of(g)",
        "a is not 0 in the last rows and columns, which no window covers and where n = 0",
        "What the forward pass left out has no influence on the output, hence no gradient."),
    Bug("GB065", "padding counted wrongly",
        "share = g[:, :, i, j] / pixels_inside", "share = g[:, :, i, j] / (kh * kw)",
        "right inside, r = kh kw/(pixels inside) or its inverse in windows that touch the padding",
        "Divide by the same count as the forward pass: with count_include_pad (the default) the "
        "padding counts."),
    Bug("GB066", "max: the whole window paid",
        "dx[:, :, rows, columns] += g[:, :, i, j]",
        "dx[:, :, rows, columns] += g[:, :, i, j] * first_maximum",
        "a = g in all pixels of a window; n is g in one of them and 0 in the others",
        "Only the maximum determined the output: it alone receives g."),
    Bug("GB067", "max: every tie paid in full",
        "share = g[:, :, i, j] * (patch == y[:, :, i, j])",
        "share = g[:, :, i, j] * first_maximum",
        "right without ties; with m ties a sums to m g in the window instead of g",
        "Give g to one of the equal pixels (PyTorch: the first), or g/m to each: together they "
        "must receive g once."),
    Bug("GB068", "argmax unravelled with the wrong width",
        "row, column = divmod(argmax, kh)", "row, column = divmod(argmax, kw)",
        "each window's g in the wrong pixel; seen only where height and width differ",
        "Position p of an array with W columns lies in row p // W, column p % W."),
    Bug("GB069", "max: times the value",
        "dx[..., row, column] += g[:, :, i, j] * y[:, :, i, j]",
        "dx[..., row, column] += g[:, :, i, j]",
        "r = x at each maximum; zeros in the right places",
        "The output is a copy of the pixel, whose derivative is 1: pass g on as it is."),
)  # fmt: skip


# ---- samples ---------------------------------------------------------------------------------


def draw(rng, kernel, stride, out, padding=(0, 0), more=(0, 0)):
    """A random image that holds `out` windows, and `more` rows and columns beyond them."""
    n, c = rng.permutation([2, 3, 4])[:2]
    h, w = np.add(image_size(out, kernel, stride, padding), more)
    how = {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": False}
    return [rng.standard_normal((n, c, h, w))], how


def tiled(rng):
    """Windows side by side, without remainder."""
    kernel = tuple(map(int, rng.permutation([2, 3])))
    return draw(rng, kernel, kernel, (2, 3))


def square(rng):
    return draw(rng, (2, 2), (2, 2), (3, 3))


def overlapping(rng):
    return draw(rng, (3, 2), (2, 1), (2, 3))


def with_remainder(rng):
    return draw(rng, (3, 2), (3, 2), (2, 3), more=(2, 1))


def padded(rng):
    return draw(rng, (3, 2), (2, 2), (3, 4), padding=(1, 1))


def ceiled(rng):
    """The last windows stick out."""
    inputs, how = draw(rng, (3, 2), (2, 2), (2, 3), more=(1, 1))
    return inputs, how | {"ceil_mode": True}


sample = one_of(tiled, square, overlapping, with_remainder, padded, ceiled)


def examples():
    """Windows that overlap; side by side; with padding; a remainder; ties; higher than wide."""
    x = np.array([[[[1.0, 2, 0], [0, 1, 3], [2, -1, 4]]]])
    wide = np.array([[[[1.0, 2, 0, 5], [0, -1, 3, 1]]]])
    how = {"kernel_size": (2, 2), "stride": (1, 1), "padding": (0, 0), "ceil_mode": False}
    high = {"kernel_size": (3, 2), "stride": (3, 2)}
    return [
        ([x], how),
        ([wide], how | {"stride": (2, 2)}),
        ([x], how | {"stride": (2, 2), "padding": (1, 1)}),
        ([x], how | {"stride": (2, 2)}),
        ([np.array([[[[1.0, 2, 2, 0], [2, 0, 1, 1]]]])], how | {"stride": (2, 2)}),
        ([np.hstack([x[0, 0], x[0, 0, :, ::-1]])[None, None, :, :4]], how | high),
    ]


# ---- average pooling -------------------------------------------------------------------------


def sizes_of(shape, at, count_include_pad):
    """How many pixels each window averages over: (oh, ow).

    Padding counts with count_include_pad; what sticks out beyond it never does.
    """
    inside = pad(np.ones((1, 1, *shape[2:])), at.padding, value=float(count_include_pad))
    sizes = np.empty(at.out)
    for i, j, rows, columns in at:
        sizes[i, j] = inside[0, 0, rows, columns].sum()
    return sizes


def avg_forward(
    input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True
):
    """The mean of each window."""
    at = windows(input.shape, kernel_size, stride, padding, ceil_mode=ceil_mode)
    x, y = pad(input, padding), np.empty((*input.shape[:2], *at.out), input.dtype)
    for i, j, rows, columns in at:
        y[:, :, i, j] = x[:, :, rows, columns].sum(axis=(2, 3))
    return y / sizes_of(input.shape, at, count_include_pad).astype(y.real.dtype)


def spread(share, input, at):
    """Every pixel of a window receives the window's share."""
    dx = np.zeros_like(pad(input, at.padding))
    for i, j, rows, columns in at:
        dx[:, :, rows, columns] += share[:, :, i : i + 1, j : j + 1]
    return crop(dx, at.padding)


def avg_dx(g, x, at, count_include_pad):
    """Each pixel of a window receives g over the window's size."""
    return spread(g / sizes_of(x.shape, at, count_include_pad), x, at)


def avg_saved(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    at = windows(input.shape, kernel_size, stride, padding, ceil_mode=ceil_mode)
    return input, at, count_include_pad


avg_pool2d = Operation(
    "avg_pool2d", ("input",), avg_forward, {"dx": avg_dx}, sample, examples, avg_saved
)


# ---- maximum pooling -------------------------------------------------------------------------


def max_forward(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """The maximum of each window; padding never wins."""
    at = windows(input.shape, kernel_size, stride, padding, dilation, ceil_mode)
    x, y = pad(input, padding, -np.inf), np.empty((*input.shape[:2], *at.out), input.dtype)
    for i, j, rows, columns in at:
        y[:, :, i, j] = x[:, :, rows, columns].max(axis=(2, 3))
    return y


def max_dx(g, x, at):
    """The first maximum of each window, row by row, receives the window's g."""
    x = pad(x, at.padding, -np.inf)
    dx = np.zeros_like(x)
    for i, j, rows, columns in at:
        patch = x[:, :, rows, columns]
        dx[:, :, rows, columns] += g[:, :, i, j, None, None] * first_maximum(patch)
    return crop(dx, at.padding)


def first_maximum(patch):
    """1.0 at the first maximum of each window (N, C, kh, kw), row by row, 0.0 elsewhere."""
    flat = patch.reshape(*patch.shape[:2], -1)
    mask = np.zeros_like(flat)
    np.put_along_axis(mask, flat.argmax(axis=2)[:, :, None], 1, axis=2)
    return mask.reshape(patch.shape)


def max_saved(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    return input, windows(input.shape, kernel_size, stride, padding, dilation, ceil_mode)


max_pool2d = Operation(
    "max_pool2d", ("input",), max_forward, {"dx": max_dx}, sample, examples, max_saved
)

OPERATIONS = (avg_pool2d, max_pool2d)
