"""im2col and col2im (PyTorch's unfold and fold), each the other's backward pass; their mistakes."""

from dataclasses import replace

import numpy as np

from .operation import Operation, one_of
from .windows import crop, image_size, pad, pair, windows


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


def im2col_saved(input, kernel_size, dilation=1, padding=0, stride=1):
    return input.shape, windows(input.shape, kernel_size, stride, padding, dilation)


def draw(rng, kernel, stride=1, padding=0, dilation=1, out=(2, 3)):
    """A random image that holds `out` windows."""
    n, c = rng.permutation([2, 3, 4])[:2]
    size = image_size(out, kernel, stride, padding, dilation)
    how = {"kernel_size": kernel, "dilation": dilation, "padding": padding, "stride": stride}
    return [rng.standard_normal((n, c, *size))], how


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


sample = one_of(overlapping, square, strided, padded, dilated)


def examples():
    x = np.array([[[[1.0, 2, 0], [0, 1, 3], [2, -1, 1]]]])
    return [([x], {"kernel_size": 2}), ([x], {"kernel_size": 2, "padding": 1, "stride": 2})]


def assigned(g, shape, at):
    dx = np.zeros_like(pad(np.empty(shape), at.padding))
    for number, (_, _, rows, columns) in enumerate(at):
        dx[:, :, rows, columns] = g[:, :, number].reshape(*shape[:2], *at.kernel)
    return crop(dx, at.padding)


def assigned_by_taps(g, shape, at):
    dx = np.zeros_like(pad(np.empty(shape), at.padding))
    g = g.reshape(*shape[:2], *at.kernel, *at.out)
    for u, v, rows, columns in at.taps():
        dx[:, :, rows, columns] = g[:, :, u, v]
    return crop(dx, at.padding)


def columns_first(g, shape, at):
    """Rows (C, kw, kh) taken for rows (C, kh, kw)."""
    kh, kw = at.kernel
    return g.reshape(*shape[:2], kw, kh, -1).swapaxes(2, 3).reshape(g.shape)


def channels_last(g, shape, at):
    """Rows (kh, kw, C) taken for rows (C, kh, kw)."""
    n, c = shape[:2]
    return g.reshape(n, *at.kernel, c, -1).transpose(0, 3, 1, 2, 4).reshape(g.shape)


def with_padding(g, shape, at):
    n, c, h, w = shape
    ph, pw = at.padding
    return scatter(g, (n, c, h + 2 * ph, w + 2 * pw), replace(at, padding=(0, 0)))


im2col = Operation(
    "im2col", ("input",), im2col_forward, {"dx": scatter}, sample, examples, im2col_saved
)
wrong = im2col.wrong
wrong("GB044", "col2im assigns", sample=overlapping, dx=assigned)
wrong("GB044", "col2im assigns, one element after another", sample=overlapping, dx=assigned_by_taps)
wrong(
    "GB047", "kh and kw swapped", sample=square,
    dx=lambda g, *at: scatter(columns_first(g, *at), *at),
)  # fmt: skip
wrong("GB048", "the image with its padding", sample=padded, dx=with_padding)
wrong(
    "GB048", "cropped at one end only", sample=padded,
    dx=lambda g, shape, at: with_padding(g, shape, at)[:, :, : shape[2], : shape[3]],
)  # fmt: skip
wrong(
    "GB050", "stride ignored", sample=strided,
    dx=lambda g, shape, at: scatter(g, shape, replace(at, stride=(1, 1))),
)  # fmt: skip
wrong(
    "GB052", "dilation ignored", sample=dilated,
    dx=lambda g, shape, at: scatter(g, shape, replace(at, dilation=(1, 1))),
)  # fmt: skip
wrong(
    "GB055", "columns read as (kh, kw, C)",
    dx=lambda g, *at: scatter(channels_last(g, *at), *at),
)  # fmt: skip


# ---- col2im ----------------------------------------------------------------------------------


def col2im_forward(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Columns to windows, added up where windows overlap."""
    kh, kw = pair(kernel_size)
    shape = (len(input), input.shape[1] // (kh * kw), *output_size)
    return scatter(input, shape, windows(shape, kernel_size, stride, padding, dilation))


def col2im_saved(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    shape = (len(input), input.shape[1] // np.prod(pair(kernel_size)), *output_size)
    return (windows(shape, kernel_size, stride, padding, dilation),)


def _as_columns(family):
    """A family of im2col's samples, seen from the other side."""

    def drawn(rng):
        (x,), how = family(rng)
        y = im2col_forward(x, **how)
        return [rng.standard_normal(y.shape)], {"output_size": x.shape[2:], **how}

    return drawn


def col2im_examples():
    cases = []
    for (x,), how in examples():
        y = im2col_forward(x, **how)
        columns = np.arange(1.0, 1 + y.size).reshape(y.shape)
        cases.append(([columns], {"output_size": x.shape[2:], **how}))
    return cases


def in_windows(g, at):
    """im2col's columns, with the axes (N, C, kh, kw, L)."""
    return gather(g, at).reshape(*g.shape[:2], *at.kernel, -1)


def as_columns(patches):
    return patches.reshape(len(patches), -1, patches.shape[-1])


col2im = Operation(
    "col2im", ("input",), col2im_forward, {"dx": gather}, _as_columns(sample), col2im_examples,
    col2im_saved,
)  # fmt: skip
wrong = col2im.wrong
wrong(
    "GB045", "the window flipped",
    dx=lambda g, at: as_columns(in_windows(g, at)[:, :, ::-1, ::-1]),
)  # fmt: skip
wrong(
    "GB047", "kh and kw swapped", sample=_as_columns(square),
    dx=lambda g, at: as_columns(in_windows(g, at).swapaxes(2, 3)),
)  # fmt: skip
wrong(
    "GB050", "stride ignored", sample=_as_columns(strided),
    dx=lambda g, at: gather(g, replace(at, stride=(1, 1))),
)  # fmt: skip
wrong(
    "GB052", "dilation ignored", sample=_as_columns(dilated),
    dx=lambda g, at: gather(g, replace(at, dilation=(1, 1))),
)  # fmt: skip
wrong(
    "GB055", "columns laid out as (kh, kw, C)",
    dx=lambda g, at: as_columns(in_windows(g, at).transpose(0, 2, 3, 1, 4)),
)  # fmt: skip

OPERATIONS = (im2col, col2im)
