"""Exercise 14: col2im."""

import numpy as np


def col2im(columns, output_size, kernel_size, stride=(1, 1), padding=(0, 0)):
    """Every column added to where im2col copied it from.

    columns      (N, C*kh*kw, oh*ow), rows in the order (c, u, v)
    output_size  (H, W), of the images without their padding
    kernel_size  (kh, kw)
    stride       (sh, sw)
    padding      (ph, pw)
    returns      (N, C, H, W)
    """
    #: raise NotImplementedError
    (h, w), (kh, kw) = output_size, kernel_size
    (sh, sw), (ph, pw) = stride, padding
    oh = (h + 2 * ph - kh) // sh + 1
    ow = (w + 2 * pw - kw) // sw + 1
    n, c = columns.shape[0], columns.shape[1] // (kh * kw)

    six = columns.reshape(n, c, kh, kw, oh, ow)
    padded = np.zeros((n, c, h + 2 * ph, w + 2 * pw), columns.dtype)
    for u in range(kh):
        for v in range(kw):
            # no pixel occurs twice in one slice: += adds every entry
            rows = slice(u, u + sh * oh, sh)
            padded[:, :, rows, v : v + sw * ow : sw] += six[:, :, u, v]
    return padded[:, :, ph : ph + h, pw : pw + w]  # without the border


def window_counts(output_size, kernel_size, stride=(1, 1), padding=(0, 0)):
    """How many windows cover each pixel: (H, W)."""
    #: raise NotImplementedError
    (h, w), (kh, kw) = output_size, kernel_size
    oh = (h + 2 * padding[0] - kh) // stride[0] + 1
    ow = (w + 2 * padding[1] - kw) // stride[1] + 1
    ones = np.ones((1, kh * kw, oh * ow))
    return col2im(ones, output_size, kernel_size, stride, padding)[0, 0]


def im2col_backward(g, x, kernel_size, stride=(1, 1), padding=(0, 0)):
    """The gradient of im2col(x, kernel_size, stride, padding).

    g            dL/dcolumns (N, C*kh*kw, oh*ow)
    x            (N, C, H, W)
    returns      dx (N, C, H, W)
    """
    #: raise NotImplementedError
    return col2im(g, x.shape[2:], kernel_size, stride, padding)


if __name__ == "__main__":  # runs with: python ex14_col2im.py
    print(col2im(np.ones((1, 4, 4)), (3, 3), (2, 2)))
