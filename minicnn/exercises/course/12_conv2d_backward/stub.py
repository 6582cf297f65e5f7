"""Exercise 12: convolution backward, with loops."""

import numpy as np


def pair(value):
    """(rows, columns): a pair as it is, a number twice."""
    return value if isinstance(value, tuple) else (value, value)


def conv2d_backward(g, x, weight, bias, stride=1, padding=0):
    """The gradients of a convolution, given g = dL/dy.

    g        (N, O, OH, OW)
    x        (N, C, H, W)
    weight   (O, C, kh, kw)
    bias     (O,)
    stride, padding: a number or a pair (rows, columns)
    returns  (dx, dweight, dbias), shaped like x, weight and bias
    """
    raise NotImplementedError


if __name__ == "__main__":  # runs with: python ex12_conv2d_backward.py
    x, weight = np.arange(9.0).reshape(1, 1, 3, 3), np.ones((1, 1, 2, 2))
    print(conv2d_backward(np.ones((1, 1, 2, 2)), x, weight, np.zeros(1)))
