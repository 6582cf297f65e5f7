"""Exercise 18: LeNet's trainable subsampling, forward and backward."""

import numpy as np


#:
def taps(image, kernel_size, stride):
    """Views of the pixels (u, v) of all windows, each (N, C, oh, ow)."""
    (kh, kw), (sh, sw) = kernel_size, stride
    h, w = image.shape[2:]
    oh, ow = (h - kh) // sh + 1, (w - kw) // sw + 1
    for u in range(kh):
        for v in range(kw):
            yield image[:, :, u : u + sh * oh : sh, v : v + sw * ow : sw]


def subsample2d_forward(x, coefficient, bias, kernel_size, stride):
    """y = coefficient_c * (the sum of the window) + bias_c.

    x            (N, C, H, W)
    coefficient  (C,)
    bias         (C,)
    kernel_size  (kh, kw)
    stride       (sh, sw)
    returns      (N, C, oh, ow), oh = (H - kh)//sh + 1, ow = (W - kw)//sw + 1
    """
    #: raise NotImplementedError
    s = sum(taps(x, kernel_size, stride))  # (N, C, oh, ow)
    return coefficient[:, None, None] * s + bias[:, None, None]


def subsample2d_backward(g, x, coefficient, bias, kernel_size, stride):
    """The gradients of the loss, given g = dL/dy.

    g            (N, C, oh, ow)
    returns      (dx, dcoefficient, dbias), shaped (N, C, H, W), (C,), (C,)
    """
    #: raise NotImplementedError
    s = sum(taps(x, kernel_size, stride))  # (N, C, oh, ow)
    share = coefficient[:, None, None] * g  # (C, 1, 1) (N, C, oh, ow)
    dx = np.zeros_like(x)  # (N, C, H, W)
    for tap in taps(dx, kernel_size, stride):
        tap += share  # a view: this writes into dx
    dcoefficient = (g * s).sum(axis=(0, 2, 3))  # (N, C, oh, ow) -> (C,)
    dbias = g.sum(axis=(0, 2, 3))  # (N, C, oh, ow) -> (C,)
    return dx, dcoefficient, dbias


if __name__ == "__main__":  # runs with: python ex18_subsample2d.py
    x, one = np.arange(16.0).reshape(1, 1, 4, 4), np.ones(1)
    print(subsample2d_forward(x, one, one, kernel_size=(2, 2), stride=(2, 2)))
