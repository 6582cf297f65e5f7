"""Exercise 16: average pooling."""

import numpy as np


#:
def taps(padded, kernel_size, stride):
    """For each (u, v) that entry of all windows: views (N, C, oh, ow)."""
    (kh, kw), (sh, sw) = kernel_size, stride or kernel_size
    oh = (padded.shape[2] - kh) // sh + 1
    ow = (padded.shape[3] - kw) // sw + 1
    for u in range(kh):
        for v in range(kw):
            yield padded[:, :, u : u + sh * oh : sh, v : v + sw * ow : sw]


def avg_pool2d_forward(x, kernel_size, stride=None, padding=(0, 0)):
    """The mean of every window.

    x            (N, C, H, W)
    kernel_size  (kh, kw)
    stride       (sh, sw); None means the kernel_size
    padding      (ph, pw) zeros on each side, which count as pixels
    returns      (N, C, oh, ow)
    """
    #: raise NotImplementedError
    (kh, kw), (ph, pw) = kernel_size, padding
    padded = np.pad(x, [(0, 0), (0, 0), (ph, ph), (pw, pw)])
    return sum(taps(padded, kernel_size, stride)) / (kh * kw)


def avg_pool2d_backward(g, x, kernel_size, stride=None, padding=(0, 0)):
    """The gradient of the loss, given g = dL/dy.

    g            (N, C, oh, ow)
    returns      dx (N, C, H, W)
    """
    #: raise NotImplementedError
    (n, c, h, w), (kh, kw), (ph, pw) = x.shape, kernel_size, padding
    padded = np.zeros((n, c, h + 2 * ph, w + 2 * pw), g.dtype)
    for tap in taps(padded, kernel_size, stride):
        tap += g / (kh * kw)  # a view: this changes padded
    return padded[:, :, ph : ph + h, pw : pw + w]


if __name__ == "__main__":  # runs with: python ex16_avg_pool2d.py
    x = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    print(avg_pool2d_forward(x, (2, 2), stride=(1, 1)))
