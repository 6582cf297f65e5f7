"""Exercise 12: convolution backward, with loops."""

import numpy as np


def pair(value):
    """(rows, columns): a pair as it is, a number twice."""
    return value if isinstance(value, tuple) else (value, value)


def conv2d_backward(g, x, weight, bias, stride=1, padding=0):
    """The gradients of a convolution, given g = dL/dy.

    g        (N, O, OH, OW)
    x        (N, C, H, W)
    weight   (O, C, kh, kw)
    bias     (O,)
    stride, padding: a number or a pair (rows, columns)
    returns  (dx, dweight, dbias), shaped like x, weight and bias
    """
    #: raise NotImplementedError
    (sh, sw), (ph, pw) = pair(stride), pair(padding)
    height, width = x.shape[2:]
    kh, kw = weight.shape[2:]
    xp = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    dxp, dweight = np.zeros_like(xp), np.zeros_like(weight)
    dbias = np.zeros_like(bias)
    samples, kernels, oh, ow = g.shape
    for n in range(samples):
        for o in range(kernels):
            for i in range(oh):
                for j in range(ow):
                    rows = slice(i * sh, i * sh + kh)
                    columns = slice(j * sw, j * sw + kw)
                    window = xp[n, :, rows, columns]  # (C, kh, kw)
                    dxp[n, :, rows, columns] += g[n, o, i, j] * weight[o]
                    dweight[o] += g[n, o, i, j] * window
                    dbias[o] += g[n, o, i, j]
    dx = dxp[:, :, ph : ph + height, pw : pw + width]
    return dx, dweight, dbias


if __name__ == "__main__":  # runs with: python ex12_conv2d_backward.py
    x, weight = np.arange(9.0).reshape(1, 1, 3, 3), np.ones((1, 1, 2, 2))
    print(conv2d_backward(np.ones((1, 1, 2, 2)), x, weight, np.zeros(1)))
