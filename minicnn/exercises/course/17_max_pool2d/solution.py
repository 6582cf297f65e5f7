"""Exercise 17: max pooling."""

import numpy as np


def max_pool2d_forward(x, kernel_size, stride=None):
    """The maximum of every window, and where it is.

    x            (N, C, H, W)
    kernel_size  (kh, kw)
    stride       (sh, sw); None means the kernel_size
    returns      (y, indices), both (N, C, oh, ow); an index is h*W + w of
                 the window's first maximum
    """
    #: raise NotImplementedError
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
    """The gradient of the loss, given g = dL/dy.

    g            (N, C, oh, ow)
    returns      dx (N, C, H, W)
    """
    #: raise NotImplementedError
    indices = max_pool2d_forward(x, kernel_size, stride)[1]
    n, c, h, w = x.shape
    dx = np.zeros((n, c, h * w), g.dtype)
    samples, channels = np.arange(n)[:, None, None, None], np.arange(c)
    # add.at, because two windows may have the same index
    np.add.at(dx, (samples, channels[:, None, None], indices), g)
    return dx.reshape(x.shape)


if __name__ == "__main__":  # runs with: python ex17_max_pool2d.py
    x = np.array([[[[1.0, 2, 0], [5, 4, 3], [2, 6, 6]]]])
    print(max_pool2d_forward(x, (2, 2), stride=(1, 1)))
