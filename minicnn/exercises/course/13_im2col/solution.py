"""Exercise 13: im2col."""

import numpy as np


def output_size(size, kernel_size, stride=1, padding=0):
    """How many windows fit along one axis.

    size         entries of the axis, without padding
    kernel_size  entries of the window along this axis
    stride       step from one window to the next
    padding      zeros on each of the two sides
    returns      an int
    """
    #: raise NotImplementedError
    return (size + 2 * padding - kernel_size) // stride + 1


def im2col(x, kernel_size, stride=(1, 1), padding=(0, 0)):
    """Every window of the images as a column.

    x            (N, C, H, W)
    kernel_size  (kh, kw)
    stride       (sh, sw)
    padding      (ph, pw)
    returns      (N, C*kh*kw, oh*ow), rows in the order (c, u, v)
    """
    #: raise NotImplementedError
    n, c, h, w = x.shape
    (kh, kw), (sh, sw), (ph, pw) = kernel_size, stride, padding
    oh, ow = output_size(h, kh, sh, ph), output_size(w, kw, sw, pw)

    padded = np.zeros((n, c, h + 2 * ph, w + 2 * pw), x.dtype)
    padded[:, :, ph : ph + h, pw : pw + w] = x

    columns = np.empty((n, c, kh, kw, oh, ow), x.dtype)
    for u in range(kh):
        for v in range(kw):
            # entry (u, v) of all windows: every sh-th row, every sw-th column
            rows = slice(u, u + sh * oh, sh)
            columns[:, :, u, v] = padded[:, :, rows, v : v + sw * ow : sw]
    return columns.reshape(n, c * kh * kw, oh * ow)


if __name__ == "__main__":  # runs with: python ex13_im2col.py
    print(output_size(3, 2))
    print(im2col(np.arange(1.0, 10).reshape(1, 1, 3, 3), (2, 2)))
