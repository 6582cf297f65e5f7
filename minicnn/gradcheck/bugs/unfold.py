"""im2col and col2im (PyTorch's unfold and fold), each the other's backward pass; their mistakes."""

from functools import partial

import numpy as np

from . import conv, windows
from .operation import Operation, one_of

# ---- im2col ----------------------------------------------------------------------------------


def im2col_forward(input, kernel_size, dilation=1, padding=0, stride=1):
    """Windows to columns."""
    return windows.columns(input, windows.over(input.shape, kernel_size, stride, padding, dilation))


def im2col_saved(input, kernel_size, stride=1, **how):
    return input.shape, windows.over(input.shape, kernel_size, stride, **how)


def of_the_image(family):
    """A family of conv2d's samples without the weight, of which the size remains."""

    def drawn(rng):
        (x, weight, _), how = family(rng)
        del how["groups"]
        return [x], {"kernel_size": weight.shape[2:], **how}

    return drawn


overlapping, square, strided, padded, dilated = FAMILIES = [
    of_the_image(family)
    for family in (conv.overlapping, conv.square, conv.strided, conv.padded, conv.dilated)
]
sample = one_of(*FAMILIES)


X = np.array([[[[1.0, 2, 0], [0, 1, 3], [2, -1, 1]]]])
EXAMPLES = [([X], {"kernel_size": 2}), ([X], {"kernel_size": 2, "padding": 1, "stride": 2})]


def rows_first(g, shape, at):
    """Rows (C, kw, kh) taken for rows (C, kh, kw)."""
    n, c = shape[:2]
    return g.reshape(n, c, *at.kernel_size[::-1], -1).swapaxes(2, 3).reshape(g.shape)


def channels_first(g, shape, at):
    """Rows (kh, kw, C) taken for rows (C, kh, kw)."""
    n, c = shape[:2]
    return g.reshape(n, *at.kernel_size, c, -1).transpose(0, 3, 1, 2, 4).reshape(g.shape)


im2col = Operation(
    "im2col", ("input",), im2col_forward, {"dx": windows.image}, sample, EXAMPLES, im2col_saved
)
wrong = im2col.wrong
windows.assigning(
    im2col, "GB044", overlapping, windows.image,
    "col2im assigns", "col2im assigns, one element after another",
)  # fmt: skip
wrong(
    "GB047", "kh and kw swapped", sample=square,
    dx=lambda g, *at: windows.image(rows_first(g, *at), *at),
)  # fmt: skip
wrong(
    "GB048",
    "the image with its padding",
    sample=padded,
    dx=partial(windows.image, crop=windows.uncropped),
)
wrong(
    "GB048", "cropped at one end only", sample=padded,
    dx=partial(windows.image, crop=windows.cropped_at_one_end),
)  # fmt: skip
wrong(
    "GB050", "stride ignored", sample=strided,
    dx=lambda g, shape, at: windows.image(g, shape, at._replace(stride=(1, 1))),
)  # fmt: skip
wrong(
    "GB052", "dilation ignored", sample=dilated,
    dx=lambda g, shape, at: windows.image(g, shape, at._replace(dilation=(1, 1))),
)  # fmt: skip
wrong(
    "GB055", "columns read as (kh, kw, C)",
    dx=lambda g, *at: windows.image(channels_first(g, *at), *at),
)  # fmt: skip


# ---- col2im ----------------------------------------------------------------------------------


def col2im_forward(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Columns to windows, added up where windows overlap."""
    at = windows.over((0, 0, *output_size), kernel_size, stride, padding, dilation)
    shape = (len(input), input.shape[1] // windows.area(at), *output_size)
    return windows.image(input, shape, at)


def col2im_saved(input, output_size, kernel_size, stride=1, **how):
    return (windows.over((0, 0, *output_size), kernel_size, stride, **how),)


def _as_columns(family):
    """A family of im2col's samples, seen from the other side."""

    def drawn(rng):
        (x,), how = family(rng)
        y = im2col_forward(x, **how)
        return [rng.standard_normal(y.shape)], {"output_size": x.shape[2:], **how}

    return drawn


def numbered(case):
    """An example of im2col, seen from the other side: columns with the numbers 1, 2, 3 ..."""
    (x,), how = case
    y = im2col_forward(x, **how)
    return [np.arange(1.0, 1 + y.size).reshape(y.shape)], {"output_size": x.shape[2:], **how}


def as_columns(pixels):
    return pixels.reshape(len(pixels), -1, np.prod(pixels.shape[-2:]))


col2im = Operation(
    "col2im", ("input",), col2im_forward, {"dx": windows.columns}, _as_columns(sample),
    [numbered(case) for case in EXAMPLES], col2im_saved,
)  # fmt: skip
wrong = col2im.wrong
wrong(
    "GB045", "the window flipped",
    dx=lambda g, at: as_columns(windows.gather(g, at)[:, :, ::-1, ::-1]),
)  # fmt: skip
wrong(
    "GB047", "kh and kw swapped", sample=_as_columns(square),
    dx=lambda g, at: as_columns(windows.gather(g, at).swapaxes(2, 3)),
)  # fmt: skip
wrong(
    "GB050", "stride ignored", sample=_as_columns(strided),
    dx=lambda g, at: windows.columns(g, at._replace(stride=(1, 1))),
)  # fmt: skip
wrong(
    "GB052", "dilation ignored", sample=_as_columns(dilated),
    dx=lambda g, at: windows.columns(g, at._replace(dilation=(1, 1))),
)  # fmt: skip
wrong(
    "GB055", "columns laid out as (kh, kw, C)",
    dx=lambda g, at: as_columns(windows.gather(g, at).transpose(0, 2, 3, 1, 4, 5)),
)  # fmt: skip

OPERATIONS = (im2col, col2im)
