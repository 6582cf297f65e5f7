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
    raise NotImplementedError


def im2col(x, kernel_size, stride=(1, 1), padding=(0, 0)):
    """Every window of the images as a column.

    x            (N, C, H, W)
    kernel_size  (kh, kw)
    stride       (sh, sw)
    padding      (ph, pw)
    returns      (N, C*kh*kw, oh*ow), rows in the order (c, u, v)
    """
    raise NotImplementedError


if __name__ == "__main__":  # runs with: python ex13_im2col.py
    print(output_size(3, 2))
    print(im2col(np.arange(1.0, 10).reshape(1, 1, 3, 3), (2, 2)))
