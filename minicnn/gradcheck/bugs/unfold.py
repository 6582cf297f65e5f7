"""im2col and col2im (PyTorch's unfold and fold), each the other's backward pass; their mistakes."""

from dataclasses import replace

import numpy as np

from .kinds import Operation
from .windows import crop, pad, pair, windows


def gather(x, at):
    """Each window of the padded image as a column: (N, C, H, W) -> (N, C*kh*kw, L)."""
    patches = [pad(x, at.padding)[:, :, rows, columns] for _, _, rows, columns in at]
    return np.stack([patch.reshape(len(x), -1) for patch in patches], axis=2)


def scatter(columns_, shape, at):
    """Each column added back to where its window lies: (N, C*kh*kw, L) -> (N, C, H, W)."""
    x = np.zeros_like(pad(np.empty(shape), at.padding), dtype=columns_.dtype)
    for number, (_, _, rows, columns) in enumerate(at):
        x[:, :, rows, columns] += columns_[:, :, number].reshape(*shape[:2], *at.kernel)
    return crop(x, at.padding)


# ---- im2col ----------------------------------------------------------------------------------


def im2col_forward(input, kernel_size, dilation=1, padding=0, stride=1):
    """Windows to columns."""
    return gather(input, windows(input.shape, kernel_size, stride, padding, dilation))


def im2col_backward(g, input, kernel_size, dilation=1, padding=0, stride=1):
    """col2im: a pixel receives the gradients of all columns it was copied into."""
    at = windows(input.shape, kernel_size, stride, padding, dilation)
    return (scatter(g, input.shape, at),)


def draw(rng, kernel, stride=1, padding=0, dilation=1, out=(2, 3)):
    """A random image that holds `out` windows."""
    n, c = rng.permutation([2, 3, 4])[:2]
    parts = zip(out, *map(pair, (kernel, stride, padding, dilation)), strict=True)
    h, w = (s * (m - 1) + d * (k - 1) + 1 - 2 * p for m, k, s, p, d in parts)
    how = {"kernel_size": kernel, "dilation": dilation, "padding": padding, "stride": stride}
    return [rng.standard_normal((n, c, max(h, 1), max(w, 1)))], how


def sample(rng):
    """Any of the families below."""
    families = (overlapping, square, strided, padded, dilated)
    return families[rng.integers(len(families))](rng)


def overlapping(rng):
    return draw(rng, (3, 2), (2, 1), (1, 0), out=(3, 4))


def square(rng):
    return draw(rng, (2, 2), out=(3, 3))


def strided(rng):
    return draw(rng, (2, 3), (2, 3), out=(3, 2))


def padded(rng):
    return draw(rng, (3, 2), (1, 2), (1, 1), out=(5, 3))


def dilated(rng):
    return draw(rng, (2, 3), dilation=(2, 2), out=(3, 2))


def examples():
    x = np.array([[[[1.0, 2, 0], [0, 1, 3], [2, -1, 1]]]])
    return [([x], {"kernel_size": 2}), ([x], {"kernel_size": 2, "padding": 1, "stride": 2})]


im2col = Operation("im2col", ("input",), im2col_forward, im2col_backward, sample, examples)


@im2col.mutant("GB044", "col2im assigns", sample=overlapping)
def _(g, input, kernel_size, dilation=1, padding=0, stride=1):
    at = windows(input.shape, kernel_size, stride, padding, dilation)
    dx = np.zeros_like(pad(input, padding))
    for number, (_, _, rows, columns) in enumerate(at):
        dx[:, :, rows, columns] = g[:, :, number].reshape(*input.shape[:2], *at.kernel)
    return (crop(dx, padding),)


@im2col.mutant("GB044", "col2im assigns, one element after another", sample=overlapping)
def _(g, input, kernel_size, dilation=1, padding=0, stride=1):
    at = windows(input.shape, kernel_size, stride, padding, dilation)
    dx = np.zeros_like(pad(input, padding))
    g = g.reshape(*input.shape[:2], *at.kernel, *at.out)
    for u, v, rows, columns in at.taps():
        dx[:, :, rows, columns] = g[:, :, u, v]
    return (crop(dx, padding),)


@im2col.mutant("GB047", "kh and kw swapped", sample=square)
def _(g, input, kernel_size, dilation=1, padding=0, stride=1):
    at = windows(input.shape, kernel_size, stride, padding, dilation)
    n, c, (kh, kw), count = len(input), input.shape[1], at.kernel, g.shape[2]
    g = g.reshape(n, c, kw, kh, count).swapaxes(2, 3).reshape(g.shape)
    return (scatter(g, input.shape, at),)


@im2col.mutant("GB048", "the image with its padding", sample=padded)
def _(g, input, kernel_size, dilation=1, padding=0, stride=1):
    at = windows(input.shape, kernel_size, stride, padding, dilation)
    image = pad(input, padding)
    return (scatter(g, image.shape, replace(at, padding=(0, 0))),)


@im2col.mutant("GB048", "cropped at one end only", sample=padded)
def _(g, input, kernel_size, dilation=1, padding=0, stride=1):
    at = windows(input.shape, kernel_size, stride, padding, dilation)
    h, w = input.shape[2:]
    dx = scatter(g, pad(input, padding).shape, replace(at, padding=(0, 0)))
    return (dx[:, :, :h, :w],)


@im2col.mutant("GB050", "stride ignored", sample=strided)
def _(g, input, kernel_size, dilation=1, padding=0, stride=1):
    at = windows(input.shape, kernel_size, stride, padding, dilation)
    return (scatter(g, input.shape, replace(at, stride=(1, 1))),)


@im2col.mutant("GB052", "dilation ignored", sample=dilated)
def _(g, input, kernel_size, dilation=1, padding=0, stride=1):
    at = windows(input.shape, kernel_size, stride, padding, dilation)
    return (scatter(g, input.shape, replace(at, dilation=(1, 1))),)


@im2col.mutant("GB055", "columns read as (kh, kw, C)")
def _(g, input, kernel_size, dilation=1, padding=0, stride=1):
    at = windows(input.shape, kernel_size, stride, padding, dilation)
    n, c, (kh, kw), count = len(input), input.shape[1], at.kernel, g.shape[2]
    g = g.reshape(n, kh, kw, c, count).transpose(0, 3, 1, 2, 4).reshape(g.shape)
    return (scatter(g, input.shape, at),)


# ---- col2im ----------------------------------------------------------------------------------


def col2im_forward(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Columns to windows, added up where windows overlap."""
    kh, kw = pair(kernel_size)
    shape = (len(input), input.shape[1] // (kh * kw), *output_size)
    return scatter(input, shape, windows(shape, kernel_size, stride, padding, dilation))


def col2im_backward(g, input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """im2col: each column receives the gradient of the window it was added to."""
    return (gather(g, windows(g.shape, kernel_size, stride, padding, dilation)),)


def _as_columns(family):
    """A family of im2col's samples, seen from the other side."""

    def drawn(rng):
        (x,), how = family(rng)
        y = im2col_forward(x, **how)
        return [rng.standard_normal(y.shape)], {"output_size": x.shape[2:], **how}

    return drawn


def col2im_examples():
    found = []
    for (x,), how in examples():
        y = im2col_forward(x, **how)
        columns = np.arange(1.0, 1 + y.size).reshape(y.shape)
        found.append(([columns], {"output_size": x.shape[2:], **how}))
    return found


col2im = Operation(
    "col2im", ("input",), col2im_forward, col2im_backward, _as_columns(sample), col2im_examples
)


@col2im.mutant("GB045", "the window flipped")
def _(g, input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    at = windows(g.shape, kernel_size, stride, padding, dilation)
    c, (kh, kw) = g.shape[1], at.kernel
    columns = gather(g, at).reshape(len(g), c, kh, kw, -1)
    return (columns[:, :, ::-1, ::-1].reshape(input.shape),)


@col2im.mutant("GB047", "kh and kw swapped", sample=_as_columns(square))
def _(g, input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    at = windows(g.shape, kernel_size, stride, padding, dilation)
    c, (kh, kw) = g.shape[1], at.kernel
    columns = gather(g, at).reshape(len(g), c, kh, kw, -1)
    return (columns.swapaxes(2, 3).reshape(input.shape),)


@col2im.mutant("GB050", "stride ignored", sample=_as_columns(strided))
def _(g, input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    at = windows(g.shape, kernel_size, stride, padding, dilation)
    return (gather(g, replace(at, stride=(1, 1))),)


@col2im.mutant("GB052", "dilation ignored", sample=_as_columns(dilated))
def _(g, input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    at = windows(g.shape, kernel_size, stride, padding, dilation)
    return (gather(g, replace(at, dilation=(1, 1))),)


@col2im.mutant("GB055", "columns laid out as (kh, kw, C)")
def _(g, input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    at = windows(g.shape, kernel_size, stride, padding, dilation)
    c, (kh, kw) = g.shape[1], at.kernel
    columns = gather(g, at).reshape(len(g), c, kh, kw, -1)
    return (columns.transpose(0, 2, 3, 1, 4).reshape(input.shape),)


OPERATIONS = (im2col, col2im)
