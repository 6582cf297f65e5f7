"""Average and maximum pooling, and the mistakes in their backward passes."""

from functools import partial

import numpy as np

from . import windows
from .operation import Bug, Operation, in_one_buffer, one_of

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


def family(kernel, stride, out, padding=(0, 0), more=0, **how):
    """Random images that hold `out` windows, and `more` rows and columns beyond them."""
    how = {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": False, **how}
    size = np.add(windows.image_size(out, kernel, stride, padding), more)

    def drawn(rng):
        return [rng.standard_normal((*rng.permutation([2, 3, 4])[:2], *size))], dict(how)

    return drawn


# Windows side by side, without remainder; then the other ways.
tiled = one_of(*(family(kernel, kernel, (2, 3)) for kernel in ((2, 3), (3, 2))))
square = family((2, 2), (2, 2), (3, 3))
overlapping = family((3, 2), (2, 1), (2, 3))
with_remainder = family((3, 2), (3, 2), (2, 3), more=(2, 1))
padded = family((3, 2), (2, 2), (3, 4), padding=(1, 1))
ceiled = family((3, 2), (2, 2), (2, 3), more=1, ceil_mode=True)  # the last windows stick out
sample = one_of(tiled, square, overlapping, with_remainder, padded, ceiled)

# Windows that overlap; side by side; with padding; a remainder; ties; higher than wide.
X, WIDE = (
    np.array([[[[1.0, 2, 0], [0, 1, 3], [2, -1, 4]]]]),
    np.array([[[[1.0, 2, 0, 5], [0, -1, 3, 1]]]]),
)
TIED = np.array([[[[1.0, 2, 2, 0], [2, 0, 1, 1]]]])
TWO = {"kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0), "ceil_mode": False}
EXAMPLES = [
    ([X], TWO | {"stride": (1, 1)}),
    ([WIDE], TWO),
    ([X], TWO | {"padding": (1, 1)}),
    ([X], TWO),
    ([TIED], TWO),
    (
        [np.concatenate([X, X[..., ::-1]], 3)[..., :4]],
        TWO | {"kernel_size": (3, 2), "stride": (3, 2)},
    ),
]


# ---- average pooling -------------------------------------------------------------------------


def sizes_of(shape, at, count_include_pad):
    """How many pixels each window averages over: (oh, ow).

    Padding counts with count_include_pad; what sticks out beyond it never does.
    """
    around = [(0, 0), (0, 0), *((p, p) for p in at.padding)]
    inside = np.pad(np.ones((1, 1, *shape[2:])), around, constant_values=float(count_include_pad))
    return sums_of(inside, at._replace(padding=(0, 0)))[0, 0]


def sums_of(input, at):
    """The sum of every window: (N, C, oh, ow)."""
    return windows.gather(input, at).sum(axis=(2, 3))


def avg_forward(
    input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True
):
    """The mean of each window."""
    at = windows.over(input.shape, kernel_size, stride, padding, ceil_mode=ceil_mode)
    sizes = sizes_of(input.shape, at, count_include_pad)
    return sums_of(input, at) / sizes.astype(input.real.dtype)


def spread(share, x, at, **how):
    """Every pixel of a window receives the window's share."""
    shares = np.broadcast_to(share[:, :, None, None], (*x.shape[:2], *at.kernel_size, *at.out))
    return windows.scatter(shares, x.shape, at, **how)


def avg_dx(g, x, at, count_include_pad, **how):
    """Each pixel of a window receives g over the window's size."""
    return spread(g / sizes_of(x.shape, at, count_include_pad), x, at, **how)


def avg_saved(input, kernel_size, count_include_pad=True, **how):
    return input, windows.over(input.shape, kernel_size, **how), count_include_pad


avg_pool2d = Operation(
    "avg_pool2d", ("input",), avg_forward, {"dx": avg_dx}, sample, EXAMPLES, avg_saved
)


def first_pixel(g, x, at, *_):
    shares = np.zeros((*x.shape[:2], *at.kernel_size, *at.out))
    shares[:, :, 0, 0] = g
    return windows.scatter(shares, x.shape, at)


def to_the_border(g, x, at, *_):
    (kh, kw), (h, w), (oh, ow) = at.kernel_size, x.shape[2:], at.out
    i = np.minimum(np.arange(h) // kh, oh - 1)
    j = np.minimum(np.arange(w) // kw, ow - 1)
    return g[:, :, i][:, :, :, j] / windows.area(at)


def divided(size):
    """Spreads g over the window, divided by another size."""
    return lambda g, x, at, _: spread(g / size(at), x, at)


padding_left_out = family((3, 2), (2, 2), (3, 4), padding=(1, 1), count_include_pad=False)
wrong = avg_pool2d.wrong
wrong("GB058", "not divided", dx=divided(lambda at: 1))
wrong("GB059", "divided by kh", sample=tiled, dx=divided(lambda at: at.kernel_size[0]))
wrong("GB059", "divided by kw", sample=tiled, dx=divided(lambda at: at.kernel_size[1]))
wrong("GB060", "divided by OH OW", sample=square, dx=divided(lambda at: np.prod(at.out)))
wrong("GB061", "the first pixel gets g", sample=tiled, dx=first_pixel)
wrong(
    "GB062", "np.tile for np.repeat", sample=tiled,
    dx=lambda g, x, at, _: np.tile(g, (1, 1, *at.kernel_size)) / windows.area(at),
)  # fmt: skip
windows.assigning(avg_pool2d, "GB063", overlapping, avg_dx)
wrong("GB064", "the last windows reach to the border", sample=with_remainder, dx=to_the_border)
wrong(
    "GB065", "divided by the pixels inside", sample=padded,
    dx=lambda g, x, at, _: avg_dx(g, x, at, False),
)  # fmt: skip
wrong(
    "GB065", "divided by kh kw though padding does not count", sample=padding_left_out,
    dx=divided(lambda at: windows.area(at)),
)  # fmt: skip
wrong(
    "GB048", "cropped at one end only", sample=padded,
    dx=partial(avg_dx, crop=windows.cropped_at_one_end),
)  # fmt: skip
wrong(
    "GB050", "stride ignored", sample=tiled,
    dx=lambda g, x, at, _: spread(g / windows.area(at), x, at._replace(stride=(1, 1))),
)  # fmt: skip
wrong(
    "GB014", "sums for means, in both", sample=tiled, dx=divided(lambda at: 1),
    forward=lambda input, *size, **how: sums_of(*avg_saved(input, *size, **how)[:2]),
)  # fmt: skip


# ---- maximum pooling -------------------------------------------------------------------------


def max_forward(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """The maximum of each window; padding never wins."""
    at = windows.over(input.shape, kernel_size, stride, padding, dilation, ceil_mode)
    return windows.gather(input, at, -np.inf).max(axis=(2, 3))


def first_maxima(pixels):
    """Where the first maximum of each window (N, C, kh, kw, oh, ow) is, row by row."""
    kh, kw = pixels.shape[2:4]
    place = np.arange(kh * kw)[:, None, None]
    return (place == argmaxima(pixels)[:, :, None]).reshape(pixels.shape)


def all_maxima(pixels):
    return pixels == pixels.max(axis=(2, 3), keepdims=True)


def argmaxima(pixels):
    """The place of each window's maximum in the window, row by row: (N, C, oh, ow)."""
    n, c, kh, kw, *out = pixels.shape
    return pixels.reshape(n, c, kh * kw, *out).argmax(axis=2)


def max_dx(g, x, at, whose=first_maxima, **how):
    """The first maximum of each window, row by row, receives the window's g."""
    shares = g[:, :, None, None] * whose(windows.gather(x, at, -np.inf))
    return windows.scatter(shares, x.shape, at, **how)


def max_saved(input, kernel_size, **how):
    return input, windows.over(input.shape, kernel_size, **how)


max_pool2d = Operation(
    "max_pool2d", ("input",), max_forward, {"dx": max_dx}, sample, EXAMPLES, max_saved
)


def tied(rng):
    """Few different numbers: in some window the largest occurs twice."""
    inputs, how = tiled(rng)
    inputs[0] = rng.integers(0, 3, inputs[0].shape) * 1.0
    inputs[0][0, 0, :2, :2] = 2.0
    return inputs, how


# High windows on a wide image, so that a wrong width stays inside the image.
oblong = family((3, 2), (3, 2), (2, 6))


def unravelled(g, x, at, window_width, image_width):
    """Each window's g added at its maximum, found with these widths of window and image."""
    n, c, h, w = x.shape
    place = argmaxima(windows.gather(x, at, -np.inf))
    top, left = np.indices(at.out) * np.reshape(at.stride, (2, 1, 1))
    index = (top + place // window_width) * image_width + left + place % window_width
    dx = np.zeros((n, c, h * max(w, image_width)))
    np.add.at(dx, (*np.ogrid[:n, :c, :1, :1][:2], index), g)
    return dx.reshape(n, c, h, -1)[..., :w]


def tiled_for_repeated(g, x, at):
    return np.tile(g, (1, 1, *at.kernel_size)) * max_dx(np.ones_like(g), x, at)


wrong = max_pool2d.wrong
wrong("GB066", "the whole window gets g", dx=spread)
wrong("GB067", "every tie gets g", sample=tied, dx=partial(max_dx, whose=all_maxima))
wrong(
    "GB068", "the window's argmax over kh", sample=oblong,
    dx=lambda g, x, at: unravelled(g, x, at, at.kernel_size[0], x.shape[3] + at.kernel_size[0]),
)  # fmt: skip
wrong(
    "GB068", "the plane's argmax times H", sample=oblong,
    dx=lambda g, x, at: unravelled(g, x, at, at.kernel_size[1], x.shape[2]),
)  # fmt: skip
wrong("GB069", "times the maximum", dx=lambda g, x, at: max_dx(g, x, at) * x)
wrong(
    "GB063", "assigns where windows overlap", sample=overlapping,
    dx=partial(max_dx, put=windows.assigned),
)  # fmt: skip
wrong("GB062", "np.tile for np.repeat", sample=tiled, dx=tiled_for_repeated)
wrong("GB001", "ones at the maxima", dx=lambda g, x, at: max_dx(np.ones_like(g), x, at))
wrong("GB008", "one buffer for all calls", dx=in_one_buffer(max_dx))
wrong("GB013", "gathered in float32", dx=lambda g, x, at: max_dx(g, x, at).astype(np.float32))

OPERATIONS = (avg_pool2d, max_pool2d)
