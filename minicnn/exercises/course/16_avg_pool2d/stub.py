"""Exercise 16: average pooling."""

import numpy as np


def avg_pool2d_forward(x, kernel_size, stride=None, padding=(0, 0)):
    """The mean of every window.

    x            (N, C, H, W)
    kernel_size  (kh, kw)
    stride       (sh, sw); None means the kernel_size
    padding      (ph, pw) zeros on each side, which count as pixels
    returns      (N, C, oh, ow)
    """
    raise NotImplementedError


def avg_pool2d_backward(g, x, kernel_size, stride=None, padding=(0, 0)):
    """The gradient of the loss, given g = dL/dy.

    g            (N, C, oh, ow)
    returns      dx (N, C, H, W)
    """
    raise NotImplementedError


if __name__ == "__main__":  # runs with: python ex16_avg_pool2d.py
    x = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    print(avg_pool2d_forward(x, (2, 2), stride=(1, 1)))
