"""Exercise 18: LeNet's trainable subsampling, forward and backward."""

import numpy as np


def taps(image, kernel_size, stride):
    """Views of the pixels (u, v) of all windows, each (N, C, oh, ow)."""
    (kh, kw), (sh, sw) = kernel_size, stride
    h, w = image.shape[2:]
    oh, ow = (h - kh) // sh + 1, (w - kw) // sw + 1
    for u in range(kh):
        for v in range(kw):
            yield image[:, :, u : u + sh * oh : sh, v : v + sw * ow : sw]


def subsample2d_forward(x, coefficient, bias, kernel_size, stride):
    """y = coefficient_c * (the sum of the window) + bias_c."""
    s = sum(taps(x, kernel_size, stride))  # (N, C, oh, ow)
    return coefficient[:, None, None] * s + bias[:, None, None]


def subsample2d_backward(g, x, coefficient, bias, kernel_size, stride):
    """(dx, dcoefficient, dbias) from g = dL/dy, shaped (N, C, oh, ow)."""
    s = sum(taps(x, kernel_size, stride))  # (N, C, oh, ow)
    share = coefficient[:, None, None] * g  # (C, 1, 1) (N, C, oh, ow)
    dx = np.zeros_like(x)  # (N, C, H, W)
    for tap in taps(dx, kernel_size, stride):
        tap += share  # a view: this writes into dx
    dcoefficient = (g * s).sum(axis=(0, 2, 3))  # (N, C, oh, ow) -> (C,)
    dbias = g.sum(axis=(0, 2, 3))  # (N, C, oh, ow) -> (C,)
    return dx, dcoefficient, dbias
