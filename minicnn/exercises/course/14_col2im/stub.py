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
    raise NotImplementedError


def window_counts(output_size, kernel_size, stride=(1, 1), padding=(0, 0)):
    """How many windows cover each pixel: (H, W)."""
    raise NotImplementedError


def im2col_backward(g, x, kernel_size, stride=(1, 1), padding=(0, 0)):
    """The gradient of im2col(x, kernel_size, stride, padding).

    g            dL/dcolumns (N, C*kh*kw, oh*ow)
    x            (N, C, H, W)
    returns      dx (N, C, H, W)
    """
    raise NotImplementedError


if __name__ == "__main__":  # runs with: python ex14_col2im.py
    print(col2im(np.ones((1, 4, 4)), (3, 3), (2, 2)))
