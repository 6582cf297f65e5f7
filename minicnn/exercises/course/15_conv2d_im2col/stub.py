"""Exercise 15: convolution by im2col."""

import numpy as np


def conv2d_forward(
    x,
    weight,
    bias,
    stride=(1, 1),
    padding=(0, 0),
    dilation=(1, 1),
    groups=1,
):
    """Every window times every filter of its group, plus bias.

    x         (N, C, H, W)
    weight    (O, C/groups, kh, kw)
    bias      (O,)
    stride, padding, dilation   pairs (rows, columns)
    groups    divides C and O
    returns   (N, O, oh, ow)
    """
    raise NotImplementedError


def conv2d_backward(
    g,
    x,
    weight,
    bias,
    stride=(1, 1),
    padding=(0, 0),
    dilation=(1, 1),
    groups=1,
):
    """The gradients of the loss, given g = dL/dy.

    g         (N, O, oh, ow)
    returns   (dx, dweight, dbias), shaped (N, C, H, W),
              (O, C/groups, kh, kw), (O,)
    """
    raise NotImplementedError


if __name__ == "__main__":  # runs with: python ex15_conv2d_im2col.py
    x, weight = np.arange(1.0, 10).reshape(1, 1, 3, 3), np.ones((1, 1, 2, 2))
    print(conv2d_forward(x, weight, np.zeros(1)))
