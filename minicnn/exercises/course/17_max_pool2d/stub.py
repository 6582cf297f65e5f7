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
    raise NotImplementedError


def max_pool2d_backward(g, x, kernel_size, stride=None):
    """The gradient of the loss, given g = dL/dy.

    g            (N, C, oh, ow)
    returns      dx (N, C, H, W)
    """
    raise NotImplementedError


if __name__ == "__main__":  # runs with: python ex17_max_pool2d.py
    x = np.array([[[[1.0, 2, 0], [5, 4, 3], [2, 6, 6]]]])
    print(max_pool2d_forward(x, (2, 2), stride=(1, 1)))
