"""Exercise 15: convolution by im2col."""

import numpy as np


#:
def taps(padded, kernel_size, stride, dilation):
    """For each (u, v) that entry of all windows: views (N, C, oh, ow)."""
    (kh, kw), (sh, sw), (dh, dw) = kernel_size, stride, dilation
    oh = (padded.shape[2] - dh * (kh - 1) - 1) // sh + 1
    ow = (padded.shape[3] - dw * (kw - 1) - 1) // sw + 1
    for u in range(0, dh * kh, dh):
        for v in range(0, dw * kw, dw):
            yield padded[:, :, u : u + sh * oh : sh, v : v + sw * ow : sw]


#:
def im2col(x, kernel_size, stride, padding, dilation):
    """(N, C, H, W) -> (N, C, kh*kw, oh, ow), not yet reshaped."""
    ph, pw = padding
    padded = np.pad(x, [(0, 0), (0, 0), (ph, ph), (pw, pw)])
    return np.stack(list(taps(padded, kernel_size, stride, dilation)), axis=2)


#:
def col2im(columns, size, kernel_size, stride, padding, dilation):
    """(N, C, kh*kw, oh, ow) -> (N, C, H, W), added up."""
    (n, c), (h, w), (ph, pw) = columns.shape[:2], size, padding
    padded = np.zeros((n, c, h + 2 * ph, w + 2 * pw), columns.dtype)
    for k, tap in enumerate(taps(padded, kernel_size, stride, dilation)):
        tap += columns[:, :, k]  # a view: this changes padded
    return padded[:, :, ph : ph + h, pw : pw + w]


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
    #: raise NotImplementedError
    n, o, kernel_size = len(x), len(weight), weight.shape[2:]
    columns = im2col(x, kernel_size, stride, padding, dilation)
    oh, ow = columns.shape[3:]
    columns = columns.reshape(n, groups, -1, oh * ow)  # (N, groups, K, L)
    rows = weight.reshape(groups, o // groups, -1)  # (groups, O/groups, K)
    y = (rows @ columns).reshape(n, o, oh, ow)  # (N, groups, O/groups, L)
    return y + bias[:, None, None]


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
    #: raise NotImplementedError
    (n, o, oh, ow), kernel_size = g.shape, weight.shape[2:]
    columns = im2col(x, kernel_size, stride, padding, dilation)
    shape = columns.shape  # (N, C, kh*kw, oh, ow)
    columns = columns.reshape(n, groups, -1, oh * ow)  # (N, groups, K, L)
    rows = weight.reshape(groups, o // groups, -1)  # (groups, O/groups, K)
    up = g.reshape(n, groups, -1, oh * ow)  # (N, groups, O/groups, L)

    drows = (up @ columns.swapaxes(2, 3)).sum(axis=0)  # like rows
    dcolumns = (rows.swapaxes(1, 2) @ up).reshape(shape)
    dx = col2im(dcolumns, x.shape[2:], kernel_size, stride, padding, dilation)
    return dx, drows.reshape(weight.shape), g.sum(axis=(0, 2, 3))


if __name__ == "__main__":  # runs with: python ex15_conv2d_im2col.py
    x, weight = np.arange(1.0, 10).reshape(1, 1, 3, 3), np.ones((1, 1, 2, 2))
    print(conv2d_forward(x, weight, np.zeros(1)))
