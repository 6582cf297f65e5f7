"""Exercise 11: convolution forward, with loops."""

import numpy as np


def pair(value):
    """(rows, columns): a pair as it is, a number twice."""
    return value if isinstance(value, tuple) else (value, value)


def output_size(size, kernel, stride=1, padding=0):
    """How many windows there are along one axis; all are integers."""
    raise NotImplementedError


def conv2d_forward(x, weight, bias, stride=1, padding=0):
    """The cross-correlation of images with kernels, plus the bias.

    x        (N, C, H, W)
    weight   (O, C, kh, kw)
    bias     (O,)
    stride, padding: a number or a pair (rows, columns)
    returns  (N, O, OH, OW)
    """
    raise NotImplementedError


if __name__ == "__main__":  # runs with: python ex11_conv2d_forward.py
    x, weight = np.arange(9.0).reshape(1, 1, 3, 3), np.ones((1, 1, 2, 2))
    print(conv2d_forward(x, weight, np.array([0.5])))
