"""Exercise 17: max pooling."""

import numpy as np


def max_pool2d_forward(x, kernel_size, stride=None):
    """(y, indices), both (N, C, oh, ow); an index is h*W + w."""
    (kh, kw), (sh, sw) = kernel_size, stride or kernel_size
    oh = (x.shape[2] - kh) // sh + 1
    ow = (x.shape[3] - kw) // sw + 1
    taps = []
    for u in range(kh):
        for v in range(kw):
            taps.append(x[:, :, u : u + sh * oh : sh, v : v + sw * ow : sw])
    windows = np.stack(taps)  # (kh*kw, N, C, oh, ow)
    which = windows.argmax(axis=0)  # u*kw + v, the first of equal ones
    rows = sh * np.arange(oh)[:, None] + which // kw  # (N, C, oh, ow)
    columns = sw * np.arange(ow) + which % kw
    return windows.max(axis=0), rows * x.shape[3] + columns


def max_pool2d_backward(g, x, kernel_size, stride=None):
    """dx (N, C, H, W) from g (N, C, oh, ow)."""
    indices = max_pool2d_forward(x, kernel_size, stride)[1]
    n, c, h, w = x.shape
    dx = np.zeros((n, c, h * w), g.dtype)
    samples, channels = np.arange(n)[:, None, None, None], np.arange(c)
    # add.at, because two windows may have the same index
    np.add.at(dx, (samples, channels[:, None, None], indices), g)
    return dx.reshape(x.shape)
