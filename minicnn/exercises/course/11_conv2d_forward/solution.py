"""Exercise 11: convolution forward, with loops."""

import numpy as np


def pair(value):
    """(rows, columns): a pair as it is, a number twice."""
    return value if isinstance(value, tuple) else (value, value)


def output_size(size, kernel, stride=1, padding=0):
    """How many windows there are along one axis; all are integers."""
    #: raise NotImplementedError
    return (size + 2 * padding - kernel) // stride + 1


def conv2d_forward(x, weight, bias, stride=1, padding=0):
    """The cross-correlation of images with kernels, plus the bias.

    x        (N, C, H, W)
    weight   (O, C, kh, kw)
    bias     (O,)
    stride, padding: a number or a pair (rows, columns)
    returns  (N, O, OH, OW)
    """
    #: raise NotImplementedError
    (sh, sw), (ph, pw) = pair(stride), pair(padding)
    samples, _, height, width = x.shape
    kernels, _, kh, kw = weight.shape
    oh = output_size(height, kh, sh, ph)
    ow = output_size(width, kw, sw, pw)
    xp = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    y = np.empty((samples, kernels, oh, ow))
    for n in range(samples):
        for o in range(kernels):
            for i in range(oh):
                for j in range(ow):
                    top, left = i * sh, j * sw
                    window = xp[n, :, top : top + kh, left : left + kw]
                    total = (window * weight[o]).sum()  # over (C, kh, kw)
                    y[n, o, i, j] = total + bias[o]
    return y


if __name__ == "__main__":  # runs with: python ex11_conv2d_forward.py
    x, weight = np.arange(9.0).reshape(1, 1, 3, 3), np.ones((1, 1, 2, 2))
    print(conv2d_forward(x, weight, np.array([0.5])))
