"""Exercise 18: LeNet's trainable subsampling, forward and backward."""

import numpy as np


def subsample2d_forward(x, coefficient, bias, kernel_size, stride):
    """y = coefficient_c * (the sum of the window) + bias_c.

    x            (N, C, H, W)
    coefficient  (C,)
    bias         (C,)
    kernel_size  (kh, kw)
    stride       (sh, sw)
    returns      (N, C, oh, ow), oh = (H - kh)//sh + 1, ow = (W - kw)//sw + 1
    """
    raise NotImplementedError


def subsample2d_backward(g, x, coefficient, bias, kernel_size, stride):
    """The gradients of the loss, given g = dL/dy.

    g            (N, C, oh, ow)
    returns      (dx, dcoefficient, dbias), shaped (N, C, H, W), (C,), (C,)
    """
    raise NotImplementedError


if __name__ == "__main__":  # runs with: python ex18_subsample2d.py
    x, one = np.arange(16.0).reshape(1, 1, 4, 4), np.ones(1)
    print(subsample2d_forward(x, one, one, kernel_size=(2, 2), stride=(2, 2)))
