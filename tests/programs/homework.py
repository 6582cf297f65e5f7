"""Backward passes as students write them, wrong and right, and how the checker judges them.

    python tests/programs/homework.py [--seeds 5]

Written after the diagnosis engine was finished and without a look at it or at its mutants: codes
were written down for each case before the first check.  Three sorts of wrong ones: "catalogue"
(a catalogued mistake in another dress), "variant" (the same mistake on an operation that the
catalogue lacks) and "unknown" (in no entry: the honest answer is "not recognised").
"""

import argparse
import os
import time
from collections.abc import Callable
from typing import NamedTuple

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MINICNN_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402

from minicnn.gradcheck import check_backward  # noqa: E402

NONE = "not recognised"
SORTS = ("catalogue", "variant", "unknown", "two mistakes")


class Case(NamedTuple):
    """A submission: `make(rng)` returns (forward, backward, inputs[, params of the op])."""

    name: str
    sort: str  # one of SORTS, or "right"
    codes: tuple[str, ...]  # the first diagnosis should be one of these; of two mistakes: both
    op: str | None
    wrt: int | None
    kinks: bool  # central differences alone cannot judge it
    make: Callable


CASES: list[Case] = []


def wrong(sort, codes, op=None, wrt=None):
    def add(make):
        CASES.append(Case(make.__name__, sort, tuple(codes.split("|")), op, wrt, False, make))
        return make

    return add


def right(op=None, wrt=None, kinks=False):
    def add(make):
        CASES.append(Case(make.__name__, "right", (), op, wrt, kinks, make))
        return make

    return add


def sizes(rng, n, low=2, high=7):
    """n different sizes."""
    return [int(k) for k in rng.permutation(np.arange(low, high + 1))[:n]]


# ---- affine layers -------------------------------------------------------------------------------


@wrong("catalogue", "GB018")
def affine_flattens_and_averages_dw(rng):
    n, m = sizes(rng, 2, 3)
    x, w, b = rng.normal(size=(n, 2, 3, 2)), rng.normal(size=(12, m)), rng.normal(size=m)

    def affine_forward(x, w, b):
        return x.reshape(x.shape[0], -1).dot(w) + b

    def affine_backward(dout, x, w, b):
        flat = x.reshape(x.shape[0], -1)
        dx = dout.dot(w.T).reshape(x.shape)
        dw = flat.T.dot(dout) / x.shape[0]
        return dx, dw, dout.sum(axis=0)

    return affine_forward, affine_backward, [x, w, b]


@wrong("catalogue", "GB018")
def features_first_divides_by_m(rng):
    n_in, n_out, m = sizes(rng, 3)
    A, W = rng.normal(size=(n_in, m)), rng.normal(size=(n_out, n_in))
    b = rng.normal(size=(n_out, 1))

    def linear_forward(A, W, b):
        return np.dot(W, A) + b

    def linear_backward(dZ, A, W, b):
        m = A.shape[1]
        dW = np.dot(dZ, A.T) / m
        db = np.sum(dZ, axis=1, keepdims=True) / m
        return np.dot(W.T, dZ), dW, db

    return linear_forward, linear_backward, [A, W, b]


@wrong("catalogue", "GB016")
def features_first_forgets_the_transpose_of_w(rng):
    n, m = sizes(rng, 2, 3)
    A, W = rng.normal(size=(n, m)), rng.normal(size=(n, n))

    def forward(A, W):
        return W @ A

    def backward(dZ, A, W):
        return W @ dZ, dZ @ A.T

    return forward, backward, [A, W]


@wrong("catalogue", "GB020", op="linear")
def db_without_an_axis(rng):
    n, i, o = sizes(rng, 3)
    x, w, b = rng.normal(size=(n, i)), rng.normal(size=(o, i)), rng.normal(size=o)

    def forward(x, w, b):
        return x @ w.T + b

    def backward(dy, x, w, b):
        db = np.zeros_like(b)
        db += np.sum(dy)
        return dy @ w, dy.T @ x, db

    return forward, backward, [x, w, b]


@wrong("catalogue", "GB019", op="linear")
def loop_over_samples_overwrites_dw(rng):
    n, i, o = sizes(rng, 3)
    x, w, b = rng.normal(size=(n, i)), rng.normal(size=(o, i)), rng.normal(size=o)

    def forward(x, w, b):
        return np.array([w @ row + b for row in x])

    def backward(dy, x, w, b):
        dx, db = np.zeros_like(x), np.zeros_like(b)
        for k in range(len(x)):
            dx[k] = w.T @ dy[k]
            dw = np.outer(dy[k], x[k])
            db += dy[k]
        return dx, dw, db

    return forward, backward, [x, w, b]


@wrong("catalogue", "GB017", op="linear")
def dw_written_for_the_other_layout(rng):
    n, i = sizes(rng, 2, 3)
    x, w, b = rng.normal(size=(n, i)), rng.normal(size=(i, i)), rng.normal(size=i)

    def forward(x, w, b):
        return np.einsum("ni,oi->no", x, w) + b

    def backward(dy, x, w, b):
        dw = np.zeros_like(w)
        for sample, upstream in zip(x, dy, strict=True):
            dw += np.outer(sample, upstream)
        return np.einsum("no,oi->ni", dy, w), dw, dy.sum(0)

    return forward, backward, [x, w, b]


# ---- activations ---------------------------------------------------------------------------------


@wrong("catalogue", "GB022", op="sigmoid")
def sigmoid_closure_squashes_its_cached_output(rng):
    def sigmoid(z):
        return 1.0 / (1.0 + np.exp(-z))

    def sigmoid_backward(dA, Z):
        A = sigmoid(Z)  # "cache"
        return dA * sigmoid(A) * (1 - sigmoid(A))

    return sigmoid, sigmoid_backward, [rng.normal(size=sizes(rng, 2))]


@wrong("catalogue", "GB024", op="tanh")
def tanh_squares_its_input(rng):
    def backward(dA, Z):
        return dA * (1 - np.power(Z, 2))

    return np.tanh, backward, [rng.normal(size=sizes(rng, 2))]


@wrong("catalogue", "GB028", op="relu")
def relu_zeroes_where_the_gradient_is_negative(rng):
    def relu(Z):
        return np.maximum(0, Z)

    def relu_backward(dA, Z):
        dZ = np.array(dA, copy=True)
        dZ[dZ <= 0] = 0
        return dZ

    return relu, relu_backward, [rng.normal(size=sizes(rng, 3))]


@wrong("catalogue", "GB030", op="relu")
def relu_multiplies_by_its_output(rng):
    def relu(x):
        return x * (x > 0)

    def backward(dout, x):
        out = relu(x)
        return dout * out

    return relu, backward, [rng.normal(size=sizes(rng, 2))]


@wrong("catalogue", "GB009", op="relu")
def relu_forward_zeroes_its_input_in_place(rng):
    def relu(x):
        x[x < 0] = 0
        return x

    def backward(dout, x):
        return np.where(x > 0, dout, 0)

    return relu, backward, [rng.normal(size=sizes(rng, 2))]


# ---- losses --------------------------------------------------------------------------------------


def softmax_rows(scores):
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def mean_log_loss(scores, y):
    return -np.log(softmax_rows(scores)[np.arange(len(y)), y]).sum() / len(y)


def scores_and_labels(rng):
    n, c = sizes(rng, 2, 3)
    return [rng.normal(size=(n, c)), rng.integers(0, c, n)]


@wrong("catalogue", "GB032", wrt=0)
def softmax_layer_with_one_hot_labels_forgets_n(rng):
    n, c = sizes(rng, 2, 3)
    t = np.eye(c)[rng.integers(0, c, n)]

    def forward(x, t):
        return -np.sum(t * np.log(softmax_rows(x) + 1e-12)) / x.shape[0]

    def backward(dout, x, t):
        return dout * (softmax_rows(x) - t), None

    return forward, backward, [rng.normal(size=(n, c)), t]


@wrong("catalogue", "GB043|GB001", op="softmax_cross_entropy")
def softmax_loss_returns_its_gradient_with_the_loss(rng):
    def softmax_loss(x, y):
        probs = softmax_rows(x)
        loss = -np.mean(np.log(probs[np.arange(len(y)), y]))
        dx = probs.copy()
        dx[np.arange(len(y)), y] -= 1
        return loss, dx / len(y)

    def forward(x, y):
        return softmax_loss(x, y)[0]

    def backward(dout, x, y):
        return softmax_loss(x, y)[1], None

    return forward, backward, scores_and_labels(rng)


@wrong("catalogue", "GB036", op="softmax_cross_entropy")
def softmax_loss_divides_too_early(rng):
    def backward(dout, x, y):
        dx = softmax_rows(x) / len(y)
        dx[range(len(y)), y] -= 1
        return dx * dout, None

    return mean_log_loss, backward, scores_and_labels(rng)


@wrong("catalogue", "GB037", op="softmax_cross_entropy")
def softmax_loss_subtracts_in_whole_columns(rng):
    def backward(dout, x, y):
        dx = softmax_rows(x)
        dx[:, y] -= 1
        return dout * dx / len(y), None

    return mean_log_loss, backward, scores_and_labels(rng)


@wrong("catalogue", "GB039")
def features_first_softmax_over_the_batch_in_backward(rng):
    c, m = sizes(rng, 2, 3)
    Y = np.eye(c)[:, rng.integers(0, c, m)]

    def forward(Z):
        A = np.exp(Z) / np.exp(Z).sum(axis=0, keepdims=True)
        return -np.sum(Y * np.log(A)) / m

    def backward(g, Z):
        A = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
        return g * (A - Y) / m

    return forward, backward, [rng.normal(size=(c, m))]


@wrong("catalogue", "GB041", op="softmax")
def softmax_treated_like_a_sigmoid(rng):
    def backward(dA, Z):
        s = softmax_rows(Z)
        return dA * s * (1 - s)

    return softmax_rows, backward, [rng.normal(size=sizes(rng, 2, 3))]


# ---- convolution ---------------------------------------------------------------------------------


def im2col_taps(x, kh, kw, stride, pad):
    """Columns (N OH OW, C kh kw), one strided slice per kernel position."""
    n, c, h, w = x.shape
    oh, ow = (h + 2 * pad - kh) // stride + 1, (w + 2 * pad - kw) // stride + 1
    img = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)])
    col = np.zeros((n, c, kh, kw, oh, ow), dtype=x.dtype)
    for i in range(kh):
        for j in range(kw):
            ends = slice(i, i + stride * oh, stride), slice(j, j + stride * ow, stride)
            col[:, :, i, j] = img[:, :, ends[0], ends[1]]
    return col.transpose(0, 4, 5, 1, 2, 3).reshape(n * oh * ow, -1)


def col2im_taps(col, shape, kh, kw, stride, pad, add=True):
    n, c, h, w = shape
    oh, ow = (h + 2 * pad - kh) // stride + 1, (w + 2 * pad - kw) // stride + 1
    col = col.reshape(n, oh, ow, c, kh, kw).transpose(0, 3, 4, 5, 1, 2)
    img = np.zeros((n, c, h + 2 * pad, w + 2 * pad), dtype=col.dtype)
    for i in range(kh):
        for j in range(kw):
            at = np.s_[:, :, i : i + stride * oh : stride, j : j + stride * ow : stride]
            img[at] = img[at] + col[:, :, i, j] if add else col[:, :, i, j]
    return img[:, :, pad : h + pad, pad : w + pad]


def conv_inputs(rng, kh=2, kw=3, h=5, w=6):
    n, c, f = sizes(rng, 3, 2, 4)
    x, weight = rng.normal(size=(n, c, h, w)), rng.normal(size=(f, c, kh, kw))
    return [x, weight, rng.normal(size=f)]


def conv_with_columns(stride, pad, add=True, db=lambda dout: dout.sum(axis=(0, 2, 3))):
    """Convolution as one matrix product, and its backward."""

    def forward(x, W, b):
        f, _, kh, kw = W.shape
        n, _, h, w = x.shape
        oh, ow = (h + 2 * pad - kh) // stride + 1, (w + 2 * pad - kw) // stride + 1
        out = im2col_taps(x, kh, kw, stride, pad) @ W.reshape(f, -1).T + b
        return out.reshape(n, oh, ow, f).transpose(0, 3, 1, 2)

    def backward(dout, x, W, b):
        f, _, kh, kw = W.shape
        rows = dout.transpose(0, 2, 3, 1).reshape(-1, f)
        dW = (im2col_taps(x, kh, kw, stride, pad).T @ rows).T.reshape(W.shape)
        dcol = rows @ W.reshape(f, -1)
        return col2im_taps(dcol, x.shape, kh, kw, stride, pad, add), dW, db(dout)

    return forward, backward


@wrong("catalogue", "GB044", op="conv2d")
def col2im_by_taps_with_equals(rng):
    return (*conv_with_columns(1, 1, add=False), conv_inputs(rng), {"stride": 1, "padding": 1})


@wrong("catalogue", "GB057", op="conv2d")
def conv_bias_takes_the_mean(rng):
    forward, backward = conv_with_columns(2, 1, db=lambda dout: dout.mean(axis=(0, 2, 3)))
    return forward, backward, conv_inputs(rng), {"stride": 2, "padding": 1}


def conv_naive(x, w, b, stride=1, pad=0):
    xp = np.pad(x, ((0,), (0,), (pad,), (pad,)))
    kh, kw = w.shape[2:]
    oh, ow = (xp.shape[2] - kh) // stride + 1, (xp.shape[3] - kw) // stride + 1
    out = np.zeros((len(x), len(w), oh, ow))
    for n in range(len(x)):
        for f in range(len(w)):
            for i in range(oh):
                for j in range(ow):
                    r, s = i * stride, j * stride
                    out[n, f, i, j] = np.sum(xp[n, :, r : r + kh, s : s + kw] * w[f]) + b[f]
    return out


def conv_naive_backward(dout, x, w, b, stride=1, pad=0, crop=True, step=None, add=True):
    """Four loops; what the arguments after pad choose are the usual slips."""
    step = stride if step is None else step
    xp = np.pad(x, ((0,), (0,), (pad,), (pad,)))
    dxp, dw, db = np.zeros_like(xp), np.zeros_like(w), np.zeros_like(b)
    kh, kw = w.shape[2:]
    for n, f, i, j in np.ndindex(*dout.shape):
        r, s = i * stride, j * stride
        dw[f] += xp[n, :, r : r + kh, s : s + kw] * dout[n, f, i, j]
        db[f] += dout[n, f, i, j]
        window = np.s_[n, :, i * step : i * step + kh, j * step : j * step + kw]
        dxp[window] = w[f] * dout[n, f, i, j] + (dxp[window] if add else 0)
    h, wd = x.shape[2:]
    dx = dxp[:, :, pad : pad + h, pad : pad + wd] if crop else dxp[:, :, :h, :wd]
    return dx, dw, db


@wrong("catalogue", "GB050", op="conv2d")
def conv_loops_forget_the_stride_in_dx(rng):
    def forward(x, w, b):
        return conv_naive(x, w, b, stride=2)

    def backward(dout, x, w, b):
        return conv_naive_backward(dout, x, w, b, stride=2, step=1)

    return forward, backward, conv_inputs(rng, h=6, w=7), {"stride": 2}


@wrong("catalogue", "GB048|GB051", op="conv2d")
def conv_loops_crop_the_wrong_end_of_the_padding(rng):
    def forward(x, w, b):
        return conv_naive(x, w, b, pad=1)

    def backward(dout, x, w, b):
        return conv_naive_backward(dout, x, w, b, pad=1, crop=False)

    return forward, backward, conv_inputs(rng), {"padding": 1}


@wrong("catalogue", "GB044|GB054", op="conv2d")
def conv_loops_assign_the_window(rng):
    def backward(dout, x, w, b):
        return conv_naive_backward(dout, x, w, b, add=False)

    return conv_naive, backward, conv_inputs(rng)


def correlate(x, w):
    """Valid correlation of x (N, C, H, W) with w (F, C, kh, kw), by sliding windows."""
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))
    return np.einsum("nchwij,fcij->nfhw", windows, w)


@wrong("catalogue", "GB045", op="conv2d")
def conv_full_correlation_without_the_flip(rng):
    def forward(x, w, b):
        return correlate(x, w) + b[:, None, None]

    def backward(dout, x, w, b):
        kh, kw = w.shape[2:]
        full = np.pad(dout, ((0, 0), (0, 0), (kh - 1, kh - 1), (kw - 1, kw - 1)))
        dx = correlate(full, w.transpose(1, 0, 2, 3))
        dw = correlate(x.transpose(1, 0, 2, 3), dout.transpose(1, 0, 2, 3)).transpose(1, 0, 2, 3)
        return dx, dw, dout.sum(axis=(0, 2, 3))

    return forward, backward, conv_inputs(rng)


def fancy_indices(c, kh, kw, oh, ow):
    k = np.repeat(np.arange(c), kh * kw)[:, None]
    i = np.tile(np.repeat(np.arange(kh), kw), c)[:, None] + np.repeat(np.arange(oh), ow)
    j = np.tile(np.arange(kw), kh * c)[:, None] + np.tile(np.arange(ow), oh)
    return k, i, j


@wrong("catalogue", "GB044")
def fancy_im2col_without_add_at(rng):
    n, c = sizes(rng, 2, 2, 4)
    kh, kw, oh, ow = 3, 2, 3, 4
    at = fancy_indices(c, kh, kw, oh, ow)

    def im2col_indices(x):
        cols = x[:, at[0], at[1], at[2]]  # (N, C kh kw, OH OW)
        return cols.transpose(1, 2, 0).reshape(c * kh * kw, -1)

    def col2im_indices(dcols, x):
        dx = np.zeros_like(x)
        dx[:, at[0], at[1], at[2]] += dcols.reshape(c * kh * kw, -1, n).transpose(2, 0, 1)
        return dx

    return im2col_indices, col2im_indices, [rng.normal(size=(n, c, oh + kh - 1, ow + kw - 1))]


@wrong("catalogue", "GB055|GB056|GB081")
def channels_last_dw_reshaped_into_its_layout(rng):
    n, c, f = sizes(rng, 3, 2, 4)
    x, w = rng.normal(size=(n, 5, 6, c)), rng.normal(size=(3, 2, c, f))

    def windows(x, w):  # (N, OH, OW, C, kh, kw)
        return np.lib.stride_tricks.sliding_window_view(x, w.shape[:2], axis=(1, 2))

    def forward(x, w):
        return np.einsum("nhwcij,ijcf->nhwf", windows(x, w), w)

    def backward(dout, x, w):
        dw = windows(x, w).reshape(-1, c * 6).T @ dout.reshape(-1, f)
        dx = np.zeros_like(x)
        for i in range(dout.shape[1]):
            for j in range(dout.shape[2]):
                dx[:, i : i + 3, j : j + 2] += np.einsum("nf,ijcf->nijc", dout[:, i, j], w)
        return dx, dw.reshape(w.shape)

    return forward, backward, [x, w]


# ---- pooling -------------------------------------------------------------------------------------


def pool_windows(x, kh, kw):
    n, c, h, w = x.shape
    return x.reshape(n, c, h // kh, kh, w // kw, kw)


def images(rng, h=6, w=6):
    n, c = sizes(rng, 2, 2, 4)
    return [rng.normal(size=(n, c, h, w))]


@wrong("catalogue", "GB068", op="max_pool2d")
def max_pool_unravels_with_height_for_width(rng):
    kh, kw = 3, 2

    def forward(x):
        return pool_windows(x, kh, kw).max(axis=(3, 5))

    def backward(dout, x):
        dx = np.zeros_like(x)
        for n, c, i, j in np.ndindex(*dout.shape):
            window = x[n, c, i * kh : i * kh + kh, j * kw : j * kw + kw]
            a, b = divmod(int(window.argmax()), kh)
            dx[n, c, min(i * kh + a, 5), min(j * kw + b, 5)] += dout[n, c, i, j]
        return dx

    return forward, backward, images(rng), {"kernel_size": (kh, kw)}


@wrong("catalogue", "GB067", op="max_pool2d")
def max_pool_mask_pays_every_tie(rng):
    """Whole numbers, as pixels are: ties in many windows."""

    def forward(x):
        return pool_windows(x, 2, 2).max(axis=(3, 5))

    def backward(dout, x):
        mask = pool_windows(x, 2, 2) == forward(x)[:, :, :, None, :, None]
        return (mask * dout[:, :, :, None, :, None]).reshape(x.shape)

    x = rng.integers(0, 3, size=(2, 3, 4, 6)).astype(float)
    return forward, backward, [x], {"kernel_size": 2}


@wrong("catalogue", "GB058", op="avg_pool2d")
def average_pool_repeats_without_dividing(rng):
    def forward(x):
        return pool_windows(x, 2, 3).mean(axis=(3, 5))

    def backward(dout, x):
        return dout.repeat(2, axis=2).repeat(3, axis=3)

    return forward, backward, images(rng), {"kernel_size": (2, 3)}


@wrong("catalogue", "GB062", op="avg_pool2d")
def average_pool_tiles(rng):
    def forward(x):
        return pool_windows(x, 2, 2).mean(axis=(3, 5))

    def backward(dout, x):
        return np.tile(dout, (1, 1, 2, 2)) / 4

    return forward, backward, images(rng, 4, 6), {"kernel_size": 2}


@wrong("catalogue", "GB066", op="max_pool2d")
def max_pool_broadcasts_to_the_window(rng):
    def forward(x):
        return pool_windows(x, 2, 3).max(axis=5).max(axis=3)

    def backward(dout, x):
        return np.kron(dout, np.ones((2, 3)))

    return forward, backward, images(rng, 4, 6), {"kernel_size": (2, 3)}


@wrong("catalogue", "GB063")
def channels_last_max_pool_assigns_in_overlaps(rng):
    f, stride = 3, 2

    def forward(A):
        m, h, w, c = A.shape
        out = np.zeros((m, (h - f) // stride + 1, (w - f) // stride + 1, c))
        for i, j in np.ndindex(*out.shape[1:3]):
            r, s = i * stride, j * stride
            out[:, i, j] = A[:, r : r + f, s : s + f].max(axis=(1, 2))
        return out

    def backward(dA, A):
        dprev = np.zeros_like(A)
        for m, i, j, c in np.ndindex(*dA.shape):
            at = np.s_[m, i * stride : i * stride + f, j * stride : j * stride + f, c]
            dprev[at] = (A[at] == A[at].max()) * dA[m, i, j, c]
        return dprev

    return forward, backward, [rng.normal(size=(2, 5, 7, 3))]


# ---- batch norm, dropout, broadcasting ----------------------------------------------------------


def norm_inputs(rng):
    n, d = sizes(rng, 2, 3)
    return [rng.normal(size=(n, d)) * 2 + 1, rng.normal(size=d), rng.normal(size=d)]


def batchnorm_forward(x, gamma, beta):
    xmu = x - x.mean(axis=0)
    return gamma * xmu / np.sqrt(np.mean(xmu**2, axis=0) + 1e-5) + beta


def batchnorm_graph(dout, x, gamma, beta, slip=""):
    """One node of the graph after the other; `slip` says which of them is wrong."""
    N = x.shape[0]
    xmu = x - x.mean(axis=0)
    sqrtvar = np.sqrt((xmu**2).mean(axis=0) + 1e-5)
    xhat = xmu / sqrtvar
    dbeta = dout.sum(axis=0)
    dgamma = np.sum(dout * (x if "dgamma" in slip else xhat), axis=0)
    dxhat = dout if "gamma lost" in slip else dout * gamma
    dvar = (dxhat * xmu).sum(axis=0) * -0.5 * sqrtvar**-3
    dxmu = dxhat / sqrtvar
    if "variance" not in slip:
        dxmu = dxmu + 2 * xmu * dvar / (N - 1 if "ddof" in slip else N)
    dmu = 0 if "mean" in slip else -dxmu.sum(axis=0)
    return dxmu + dmu / N, dgamma, dbeta


@wrong("catalogue", "GB083", op="batch_norm")
def batch_norm_graph_without_the_mean_node(rng):
    return batchnorm_forward, lambda *a: batchnorm_graph(*a, "mean"), norm_inputs(rng)


@wrong("catalogue", "GB084", op="batch_norm")
def batch_norm_graph_without_the_variance_node(rng):
    return batchnorm_forward, lambda *a: batchnorm_graph(*a, "variance"), norm_inputs(rng)


@wrong("catalogue", "GB087", op="batch_norm")
def batch_norm_graph_gamma_meets_x(rng):
    return batchnorm_forward, lambda *a: batchnorm_graph(*a, "dgamma"), norm_inputs(rng)


@wrong("catalogue", "GB089", op="dropout")
def inverted_dropout_divides_its_scaled_mask_again(rng):
    x, keep = rng.normal(size=sizes(rng, 2, 3)), 0.7
    kept = rng.random(x.shape) < keep
    D = kept / keep

    def backward(dA, A):
        return dA * D / keep

    return lambda A: A * D, backward, [x], {"mask": kept, "p": 1 - keep}


@wrong("catalogue", "GB090", op="dropout")
def dropout_draws_again_in_backward(rng):
    x, p = rng.normal(size=sizes(rng, 2, 4)), 0.4
    mask, dice = rng.random(x.shape) > p, np.random.default_rng(int(rng.integers(1000)))

    def backward(dout, x):
        return dout * (dice.random(x.shape) > p) / (1 - p)

    return lambda x: x * mask / (1 - p), backward, [x], {"mask": mask, "p": p}


@wrong("catalogue", "GB076", op="add")
def bias_gradient_left_as_wide_as_the_output(rng):
    n, d = sizes(rng, 2, 3)
    inputs = [rng.normal(size=(n, d)), rng.normal(size=d)]
    return lambda x, b: x + b, lambda g, x, b: (g, g), inputs


@wrong("catalogue", "GB080", op="permute")
def channels_moved_the_same_way_back(rng):
    """Square images with as many channels: anything else would be a shape error."""
    n, k = sizes(rng, 2, 3, 5)
    x = rng.normal(size=(n, k, k, k))
    axes = (0, 3, 1, 2)
    return lambda x: x.transpose(axes), lambda g, x: g.transpose(axes), [x], {"dims": axes}


@wrong("catalogue", "GB081", op="reshape")
def flatten_undone_column_by_column(rng):
    n, c, h = sizes(rng, 3, 2, 5)
    x = rng.normal(size=(n, c, h))

    def backward(g, x):
        return np.reshape(g, x.shape, order="F")

    return lambda x: x.reshape(n, -1), backward, [x], {"shape": (n, -1)}


@wrong("catalogue", "GB015")
def l2_penalty_not_in_the_gradient(rng):
    n, d, c = sizes(rng, 3, 3)
    X, y, reg = rng.normal(size=(n, d)), rng.integers(0, c, n), 0.1

    def loss(W):
        return mean_log_loss(X @ W, y) + 0.5 * reg * np.sum(W * W)

    def gradient(g, W):
        dscores = softmax_rows(X @ W)
        dscores[np.arange(n), y] -= 1
        return g * (X.T @ dscores / n)

    return loss, gradient, [rng.normal(size=(d, c))]


# ---- the same mistakes on operations that the catalogue lacks -----------------------------------


def rnn_step(x, h, Wx, Wh, b):
    return np.tanh(x @ Wx + h @ Wh + b)


def rnn_inputs(rng):
    n, d, h = sizes(rng, 3)
    shapes = (n, d), (n, h), (d, h), (h, h), (h,)
    return [rng.normal(size=shape) * 0.7 for shape in shapes]


def rnn_step_backward(dnext, x, h, Wx, Wh, b, slip=""):
    a = x @ Wx + h @ Wh + b
    da = dnext * (1 - (a if slip == "tanh" else np.tanh(a)) ** 2)
    dh = da @ (Wh if slip == "transpose" else Wh.T)
    return da @ Wx.T, dh, x.T @ da, h.T @ da, da.sum(axis=0)


@wrong("variant", "GB024")
def rnn_step_squares_the_preactivation(rng):
    return rnn_step, lambda *a: rnn_step_backward(*a, "tanh"), rnn_inputs(rng)


@wrong("variant", "GB016")
def rnn_step_forgets_the_transpose_of_wh(rng):
    return rnn_step, lambda *a: rnn_step_backward(*a, "transpose"), rnn_inputs(rng)


def rnn_over_time(slip):
    def forward(X, W, U):
        h, out = np.zeros((X.shape[1], W.shape[1])), []
        for x in X:
            h = np.tanh(x @ W + h @ U)
            out.append(h)
        return np.stack(out)

    def backward(G, X, W, U):
        H = forward(X, W, U)
        dX, dW, dU, dh = np.zeros_like(X), np.zeros_like(W), np.zeros_like(U), 0
        for t in reversed(range(len(X))):
            da = (G[t] + dh) * (1 - H[t] ** 2)
            dX[t] = da @ W.T
            dW = X[t].T @ da if slip else dW + X[t].T @ da
            if t > 0:
                dU += H[t - 1].T @ da
            dh = da @ U.T
        return dX, dW, dU

    return forward, backward


def sequence_inputs(rng):
    t, n, d, h = sizes(rng, 4, 2, 5)
    return [rng.normal(size=s) * 0.7 for s in ((t, n, d), (d, h), (h, h))]


@wrong("variant", "GB004|GB019")
def rnn_over_time_keeps_one_step_of_dwx(rng):
    return (*rnn_over_time(True), sequence_inputs(rng))


@wrong("variant", "GB084|GB082")
def rms_norm_without_the_term_of_the_norm(rng):
    n, d = sizes(rng, 2, 3)

    def rms(x):
        return np.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-6)

    def backward(g, x, w):
        return g * w / rms(x), (g * x / rms(x)).sum(axis=0)

    return lambda x, w: w * x / rms(x), backward, [rng.normal(size=(n, d)), rng.normal(size=d)]


def layernorm_rows(x, gamma, beta):
    xmu = x - x.mean(axis=1, keepdims=True)
    return gamma * xmu / np.sqrt((xmu**2).mean(axis=1, keepdims=True) + 1e-5) + beta


def layernorm_backward(dout, x, gamma, beta, axis=1):
    """By transposing and borrowing the backward of batch norm; axis=0 forgets to transpose."""
    xmu = x - x.mean(axis=1, keepdims=True)
    std = np.sqrt((xmu**2).mean(axis=1, keepdims=True) + 1e-5)
    xhat, h = xmu / std, dout * gamma

    def mean(a):
        return a.mean(axis=axis, keepdims=True)

    dx = (h - mean(h) - xhat * mean(h * xhat)) / std
    return dx, (dout * xhat).sum(axis=0), dout.sum(axis=0)


@wrong("catalogue", "GB085", op="layer_norm")
def layer_norm_without_gamma(rng):
    def backward(dout, x, gamma, beta):
        dx = layernorm_backward(dout, x, np.ones_like(gamma), beta)[0]
        return dx, *layernorm_backward(dout, x, gamma, beta)[1:]

    return layernorm_rows, backward, norm_inputs(rng)


@wrong("variant", "GB028")
def elu_masks_the_gradient(rng):
    def elu(x):
        return np.where(x > 0, x, 0.8 * (np.exp(x) - 1))

    def backward(g, x):
        return np.where(g > 0, g, g * 0.8 * np.exp(x))

    return elu, backward, [rng.normal(size=sizes(rng, 2, 3))]


@wrong("catalogue", "GB032", op="mse_loss", wrt=0)
def mse_gradient_without_the_mean(rng):
    shape = sizes(rng, 2)
    inputs = [rng.normal(size=shape), rng.normal(size=shape)]
    return (
        lambda y, t: np.mean((y - t) ** 2),
        lambda g, y, t: (2 * g * (y - t), None),
        inputs,
    )


@wrong("variant", "GB005", wrt=0)
def half_mse_with_the_two_left_in(rng):
    n = sizes(rng, 1, 4)[0]
    inputs = [rng.normal(size=n), rng.normal(size=n)]

    def loss(a, y):
        return np.sum((a - y) ** 2) / (2 * n)

    return loss, lambda g, a, y: (g * 2 * (a - y) / n, None), inputs


@wrong("variant", "GB004|GB044|GB063", wrt=0)
def embedding_assigns_rows(rng):
    words, dim = sizes(rng, 2, 3, 6)
    index = rng.integers(0, words, (3, 4))

    def backward(dout, W, index):
        dW = np.zeros_like(W)
        dW[index] = dout
        return dW, None

    return lambda W, index: W[index], backward, [rng.normal(size=(words, dim)), index]


def attention(Q, K, V):
    return softmax_rows(Q @ K.T / np.sqrt(Q.shape[1])) @ V


def attention_backward(g, Q, K, V, slip=""):
    scale = np.sqrt(Q.shape[1])
    P = softmax_rows(Q @ K.T / scale)
    dP = g @ V.T
    dS = P * (dP - (dP * P).sum(axis=1, keepdims=True)) / scale
    if slip == "diagonal":
        dS = dP * P * (1 - P) / scale
    if slip == "scale":
        dS = dS * scale
    return dS @ K, (dS if slip == "transpose" else dS.T) @ Q, P.T @ g


def attention_inputs(rng, square=False):
    q, k, d, v = sizes(rng, 4, 3, 7)
    k = q if square else k
    return [rng.normal(size=s) for s in ((q, d), (k, d), (k, v))]


@wrong("variant", "GB041")
def attention_with_the_diagonal_jacobian(rng):
    return attention, lambda *a: attention_backward(*a, "diagonal"), attention_inputs(rng)


@wrong("variant", "GB016|GB017|GB081")
def attention_keys_with_untransposed_scores(rng):
    inputs = attention_inputs(rng, square=True)
    return attention, lambda *a: attention_backward(*a, "transpose"), inputs


@wrong("variant", "GB077")
def nearest_upsampling_averages(rng):
    def backward(g, x):
        n, c, h, w = x.shape
        return g.reshape(n, c, h, 2, w, 2).mean(axis=(3, 5))

    return lambda x: x.repeat(2, axis=2).repeat(2, axis=3), backward, images(rng, 3, 2)


@wrong("variant", "GB058")
def global_average_pool_without_the_area(rng):
    def backward(g, x):
        return np.broadcast_to(g[:, :, None, None], x.shape).copy()

    return lambda x: x.mean(axis=(2, 3)), backward, images(rng, 3, 4)


@wrong("variant", "GB035|" + NONE)
def hinge_loss_without_the_label_column(rng):
    n, c = sizes(rng, 2, 3)
    y = rng.integers(0, c, n)

    def margins(s):
        m = np.maximum(0, s - s[np.arange(n), y][:, None] + 1)
        m[np.arange(n), y] = 0
        return m

    return (
        lambda s: margins(s).sum() / n,
        lambda g, s: g * (margins(s) > 0) / n,
        [rng.normal(size=(n, c))],
    )


# ---- mistakes in no entry -----------------------------------------------------------------------


@wrong("unknown", NONE, op="leaky_relu")
def leaky_relu_slope_on_the_wrong_side(rng):
    def backward(g, x):
        return np.where(x < 0, g, 0.1 * g)

    x = rng.normal(size=sizes(rng, 2, 3))
    return lambda x: np.where(x > 0, x, 0.1 * x), backward, [x], {"negative_slope": 0.1}


@wrong("unknown", NONE)
def elu_from_output_adds_one(rng):
    def elu(x):
        return np.where(x > 0, x, 0.5 * (np.exp(x) - 1))

    def backward(g, x):
        return np.where(x > 0, g, g * (elu(x) + 1))

    return elu, backward, [rng.normal(size=sizes(rng, 2, 3))]


@wrong("unknown", NONE)
def attention_scale_lost_in_backward(rng):
    return attention, lambda *a: attention_backward(*a, "scale"), attention_inputs(rng)


@wrong("unknown", NONE + "|GB004|GB023")
def swish_without_the_product_rule(rng):
    def s(x):
        return 1 / (1 + np.exp(-x))

    def backward(g, x):
        return g * x * s(x) * (1 - s(x))

    return lambda x: x * s(x), backward, [rng.normal(size=sizes(rng, 2, 3))]


@wrong("unknown", NONE + "|GB082|GB084")
def unit_rows_with_a_constant_norm(rng):
    def norm(x):
        return np.linalg.norm(x, axis=1, keepdims=True)

    return lambda x: x / norm(x), lambda g, x: g / norm(x), [rng.normal(size=sizes(rng, 2, 3))]


@wrong("unknown", NONE + "|GB043|GB001")
def log_softmax_forgets_the_sum_of_g(rng):
    def backward(g, x):
        return g - softmax_rows(x)

    return lambda x: np.log(softmax_rows(x)), backward, [rng.normal(size=sizes(rng, 2, 3))]


@wrong("unknown", NONE + "|GB002", wrt=0)
def binary_cross_entropy_second_sign(rng):
    m = sizes(rng, 1, 4)[0]
    A, Y = rng.uniform(0.1, 0.9, (1, m)), rng.integers(0, 2, (1, m))
    Y[0, :2] = 0, 1

    def cost(A, Y):
        return -np.mean(Y * np.log(A) + (1 - Y) * np.log(1 - A))

    return cost, lambda g, A, Y: (-g * (Y / A + (1 - Y) / (1 - A)) / m, None), [A, Y]


@wrong("unknown", NONE + "|GB078")
def concatenate_hands_back_swapped_halves(rng):
    shape = sizes(rng, 2)
    a, b = rng.normal(size=shape), rng.normal(size=shape)

    def backward(g, a, b):
        first, second = np.split(g, 2, axis=1)
        return second, first

    return lambda a, b: np.concatenate([a, b], axis=1), backward, [a, b]


@wrong("unknown", NONE + "|GB045")
def cumulative_sum_not_reversed(rng):
    x = rng.normal(size=sizes(rng, 2, 3))
    return lambda x: x.cumsum(axis=1), lambda g, x: g.cumsum(axis=1), [x]


@wrong("unknown", NONE + "|GB079", op="div")
def quotient_divides_by_b_once(rng):
    n, d = sizes(rng, 2)
    a, b = rng.normal(size=(n, d)), rng.uniform(0.5, 2, (n, d))
    return lambda a, b: a / b, lambda g, a, b: (g / b, -g * a / b), [a, b]


def lstm_cell(a, c):
    """a (N, 4H): input, forget, output gate and candidate; returns the next h."""
    i, f, o, u = np.split(a, 4, axis=1)
    i, f, o = (1 / (1 + np.exp(-z)) for z in (i, f, o))
    return o * np.tanh(f * c + i * np.tanh(u))


def lstm_backward(dh, a, c, slip=False):
    i, f, o, u = np.split(a, 4, axis=1)
    i, f, o = (1 / (1 + np.exp(-z)) for z in (i, f, o))
    u = np.tanh(u)
    c_next = f * c + i * u
    dc = dh * o * (1 - np.tanh(c_next) ** 2)
    df = dc * (c_next if slip else c) * f * (1 - f)
    do = dh * np.tanh(c_next) * o * (1 - o)
    da = np.hstack([dc * u * i * (1 - i), df, do, dc * i * (1 - u**2)])
    return da, dc * f


def lstm_inputs(rng):
    n, h = sizes(rng, 2, 2, 5)
    return [rng.normal(size=(n, 4 * h)), rng.normal(size=(n, h))]


@wrong("unknown", NONE)
def lstm_forget_gate_meets_the_next_cell(rng):
    return lstm_cell, lambda *a: lstm_backward(*a, slip=True), lstm_inputs(rng)


@wrong("unknown", NONE + "|GB078|GB083|GB084", op="layer_norm")
def layer_norm_means_over_the_batch(rng):
    return layernorm_rows, lambda *a: layernorm_backward(*a, axis=0), norm_inputs(rng)


@wrong("unknown", NONE)
def power_rule_keeps_the_exponent(rng):
    x = rng.uniform(0.5, 2, sizes(rng, 2))
    return lambda x: x**3, lambda g, x: g * 3 * x**3, [x]


# ---- two mistakes at once -----------------------------------------------------------------------


@wrong("two mistakes", "GB002|GB018", op="linear")
def linear_minus_sign_and_mean(rng):
    n, i, o = sizes(rng, 3)
    x, w, b = rng.normal(size=(n, i)), rng.normal(size=(o, i)), rng.normal(size=o)
    return (
        lambda x, w, b: x @ w.T + b,
        lambda g, x, w, b: (-(g @ w), g.T @ x / len(x), g.sum(0)),
        [x, w, b],
    )


@wrong("two mistakes", "GB044|GB057", op="conv2d")
def conv_assigns_and_averages_the_bias(rng):
    pair = conv_with_columns(1, 0, add=False, db=lambda dout: dout.mean(axis=(0, 2, 3)))
    return (*pair, conv_inputs(rng))


@wrong("two mistakes", "GB032|GB038", op="softmax_cross_entropy")
def softmax_loss_counts_labels_from_one_and_forgets_n(rng):
    def backward(g, x, y):
        dx = softmax_rows(x)
        dx[np.arange(len(y)), y - 1] -= 1
        return g * dx, None

    return mean_log_loss, backward, scores_and_labels(rng)


@wrong("two mistakes", "GB083|GB087", op="batch_norm")
def batch_norm_graph_with_two_slips(rng):
    return batchnorm_forward, lambda *a: batchnorm_graph(*a, "mean dgamma"), norm_inputs(rng)


@wrong("two mistakes", "GB018|GB020")
def features_first_mean_and_a_scalar_db(rng):
    n_in, n_out, m = sizes(rng, 3)
    inputs = [rng.normal(size=s) for s in ((n_in, m), (n_out, n_in), (n_out, 1))]

    def backward(dZ, A, W, b):
        return W.T @ dZ, dZ @ A.T / A.shape[1], np.sum(dZ) * np.ones_like(b)

    return lambda A, W, b: W @ A + b, backward, inputs


@wrong("two mistakes", "GB028|GB088")
def relu_then_dropout_with_both_wrong(rng):
    x = rng.normal(size=sizes(rng, 2, 4))
    mask, keep = rng.random(x.shape) < 0.6, 0.6

    def backward(g, x):
        g = g * mask
        return np.where(g > 0, g, 0)

    return lambda x: np.maximum(x, 0) * mask / keep, backward, [x]


@wrong("two mistakes", "GB018|GB024")
def two_layer_net_with_a_mean_and_a_wrong_tanh(rng):
    n, d, h, o = sizes(rng, 4)
    inputs = [rng.normal(size=s) for s in ((n, d), (d, h), (h, o))]

    def backward(g, X, W1, W2):
        Z1 = X @ W1
        dW2 = np.tanh(Z1).T @ g / n
        dZ1 = g @ W2.T * (1 - Z1**2)
        return dZ1 @ W1.T, X.T @ dZ1, dW2

    return lambda X, W1, W2: np.tanh(X @ W1) @ W2, backward, inputs


# ---- right ones, in the same styles -------------------------------------------------------------


class Layer:
    """A layer that keeps what its last forward saw, as most courses write it."""

    def forward(self, x, w):
        self.x, self.w, self.out = x, w, 1 / (1 + np.exp(-x.dot(w)))
        return self.out

    def backward(self, dout, *_):
        dz = dout * (1 - self.out) * self.out
        self.dw = self.x.T.dot(dz)
        return np.dot(dz, self.w.T), self.dw


@right()
def layer_object_with_a_cache(rng):
    n, i, o = sizes(rng, 3)
    layer = Layer()
    return layer.forward, layer.backward, [rng.normal(size=(n, i)), rng.normal(size=(i, o))]


@right(op="relu", kinks=True)
def relu_on_pixels_with_zeros(rng):
    def backward(dA, Z):
        dZ = np.array(dA, copy=True)
        dZ[Z <= 0] = 0
        return dZ

    return lambda Z: np.maximum(0, Z), backward, [rng.integers(-2, 3, (4, 5)).astype(float)]


@right(kinks=True)
def features_first_linear_in_float32(rng):
    """In float32 this file's own differences are too coarse."""
    n_in, n_out, m = sizes(rng, 3)
    shapes = (n_in, m), (n_out, n_in), (n_out, 1)
    inputs = [rng.normal(size=s).astype(np.float32) for s in shapes]

    def backward(dZ, A, W, b):
        return [W.T @ dZ, dZ @ A.T, dZ.sum(axis=1, keepdims=True)]

    return lambda A, W, b: W @ A + b, backward, inputs


@right(op="softmax_cross_entropy")
def softmax_loss_by_steps(rng):
    def backward(g, x, y):
        dx = softmax_rows(x)
        dx[np.arange(len(y)), y] -= 1
        dx /= len(y)
        return dx * g, None

    return mean_log_loss, backward, scores_and_labels(rng)


@right(op="conv2d")
def conv_by_columns(rng):
    return (*conv_with_columns(2, 1), conv_inputs(rng), {"stride": 2, "padding": 1})


@right(op="conv2d")
def conv_by_four_loops(rng):
    return conv_naive, conv_naive_backward, conv_inputs(rng, h=4, w=5)


@right()
def fancy_im2col_with_add_at(rng):
    n, c = sizes(rng, 2, 2, 4)
    at = fancy_indices(c, 3, 2, 3, 4)

    def backward(dcols, x):
        dx = np.zeros_like(x)
        np.add.at(dx, (slice(None), *at), dcols.reshape(c * 6, -1, n).transpose(2, 0, 1))
        return dx

    def forward(x):
        return x[:, at[0], at[1], at[2]].transpose(1, 2, 0).reshape(c * 6, -1)

    return forward, backward, [rng.normal(size=(n, c, 5, 5))]


@right(op="max_pool2d", kinks=True)
def max_pool_shares_ties_equally(rng):
    def forward(x):
        return pool_windows(x, 2, 2).max(axis=(3, 5))

    def backward(dout, x):
        mask = pool_windows(x, 2, 2) == forward(x)[:, :, :, None, :, None]
        share = mask / mask.sum(axis=(3, 5), keepdims=True)
        return (share * dout[:, :, :, None, :, None]).reshape(x.shape)

    x = rng.integers(0, 3, size=(2, 3, 4, 6)).astype(float)
    return forward, backward, [x], {"kernel_size": 2}


@right(op="max_pool2d", kinks=True)
def max_pool_first_tie_takes_all(rng):
    def columns(x):  # (N, C, OH, OW, 6)
        n, c, h, w = x.shape
        return pool_windows(x, 2, 3).transpose(0, 1, 2, 4, 3, 5).reshape(n, c, h // 2, w // 3, 6)

    def backward(dout, x):
        n, c, oh, ow = dout.shape
        dcols = np.eye(6)[columns(x).argmax(axis=-1)] * dout[..., None]
        return dcols.reshape(n, c, oh, ow, 2, 3).transpose(0, 1, 2, 4, 3, 5).reshape(x.shape)

    x = np.maximum(rng.normal(size=(2, 3, 4, 6)), 0)  # after a ReLU: whole windows of zeros
    return lambda x: columns(x).max(axis=-1), backward, [x], {"kernel_size": (2, 3)}


@right(op="avg_pool2d")
def average_pool_by_reshape(rng):
    def backward(dout, x):
        return np.kron(dout, np.ones((2, 3))) / 6

    def forward(x):
        return pool_windows(x, 2, 3).mean(axis=(3, 5))

    return forward, backward, images(rng), {"kernel_size": (2, 3)}


@right(op="batch_norm")
def batch_norm_by_its_graph(rng):
    return batchnorm_forward, batchnorm_graph, norm_inputs(rng)


@right()
def rnn_step_from_the_book(rng):
    return rnn_step, rnn_step_backward, rnn_inputs(rng)


@right()
def rnn_unrolled_over_time(rng):
    return (*rnn_over_time(False), sequence_inputs(rng))


@right()
def lstm_cell_of_one_step(rng):
    return lstm_cell, lstm_backward, lstm_inputs(rng)


@right(op="layer_norm")
def layer_norm_by_transposing(rng):
    return layernorm_rows, layernorm_backward, norm_inputs(rng)


@right(op="dropout")
def dropout_with_its_own_seed(rng):
    """The mask is drawn in the forward pass, from the same seed each time."""
    x, p = rng.normal(size=sizes(rng, 2, 3)), 0.3
    seed = int(rng.integers(1000))

    def mask(x):
        return np.random.default_rng(seed).random(x.shape) >= p

    params = {"mask": mask(x), "p": p}
    return lambda x: x * mask(x) / (1 - p), lambda g, x: g * mask(x) / (1 - p), [x], params


@right(wrt=0)
def embedding_with_add_at(rng):
    words, dim = sizes(rng, 2, 3, 6)

    def backward(dout, W, index):
        dW = np.zeros_like(W)
        np.add.at(dW, index, dout)
        return dW

    index = rng.integers(0, words, (3, 4))
    return (
        lambda W, i: W[i],
        lambda *a: (backward(*a), None),
        [rng.normal(size=(words, dim)), index],
    )


@right()
def attention_of_one_head(rng):
    return attention, attention_backward, attention_inputs(rng)


@right(op="add")
def bias_and_a_gradient_handed_on(rng):
    n, d = sizes(rng, 2)
    inputs = [rng.normal(size=(n, d)), rng.normal(size=(1, d))]
    return lambda x, b: x + b, lambda g, x, b: (g, g.sum(axis=0, keepdims=True)), inputs


@right(kinks=True)
def l1_penalty_with_zeros(rng):
    w = rng.normal(size=sizes(rng, 2, 3))
    w[0, 0] = 0
    return lambda w: 0.1 * np.abs(w).sum(), lambda g, w: 0.1 * g * np.sign(w), [w]


# ---- what the cases are proved with -------------------------------------------------------------


def rng_of(case, seed):
    return np.random.default_rng([seed, *case.name.encode()])


def own_judgement(case, seed=0):
    """The largest relative difference from plain central differences: no checker is involved."""
    forward, backward, inputs, *_ = case.make(rng_of(case, seed))
    before = [np.array(x) for x in inputs]
    y = np.array(forward(*inputs))
    if any((x != b).any() for x, b in zip(inputs, before, strict=True)):
        return np.inf
    g = rng_of(case, seed + 1000).normal(size=y.shape)
    gradients = backward(g if g.ndim else float(g), *inputs)
    gradients = gradients if isinstance(gradients, (tuple, list)) else [gradients]
    worst = 0.0
    for k, (x, a) in enumerate(zip(inputs, gradients, strict=True)):
        if x.dtype.kind != "f" or case.wrt not in (None, k):
            continue
        numeric = np.zeros_like(x)
        for at in np.ndindex(*x.shape):
            ends = []
            for h in (1e-5, -1e-5):
                moved = [v.copy() for v in before]
                moved[k][at] += h
                ends.append(np.sum(g * forward(*moved)))
            numeric[at] = (ends[0] - ends[1]) / 2e-5
        if np.shape(a) != x.shape:
            return np.inf
        worst = max(worst, np.abs(a - numeric).max() / (np.abs(numeric).max() + 1e-12))
    return worst


def check(case, seed, named):
    """The report, with the operation named if `named`; fresh functions and arrays each time."""
    forward, backward, inputs, *params = case.make(rng_of(case, seed))
    how = {"op": case.op, "params": params[0] if params else None} if named else {}
    return check_backward(forward, backward, inputs, wrt=case.wrt, seed=seed, **how)


def codes_of(report):
    return [d.code for d in report.diagnosis] or [NONE]


def as_expected(case, codes):
    return codes[0] in case.codes


def trial(case, seeds):
    """{named: [(refused, codes) for each seed]}; without an op to name, only named=False."""
    result = {}
    for named in [True, False] if case.op else [False]:
        reports = [check(case, seed, named) for seed in range(seeds)]
        result[named] = [(not report.ok, codes_of(report)) for report in reports]
    return result


def share(hits):
    return f"{sum(hits):4d}/{len(hits):<4d}{sum(hits) / len(hits):6.1%}" if hits else f"{'-':>9s}"


def row(label, cases, results):
    found, first = [], {True: [], False: []}
    for case in cases:
        for named, outcomes in results[case.name].items():
            found += [refused for refused, _ in outcomes]
            first[named] += [as_expected(case, codes) for _, codes in outcomes]
    print(f"{label:14s}{len(cases):3d}  ", *(share(h) for h in (found, first[True], first[False])))


def print_misses(wrong_cases, results):
    """Each case that was missed or not named as expected, and what was said instead."""
    print("\nnot as expected (seeds, of those with op +, without -): expected; said")
    for case in wrong_cases:
        for named, outcomes in results[case.name].items():
            said = [codes if refused else ["NOT DETECTED"] for refused, codes in outcomes]
            bad = [codes for codes in said if not as_expected(case, codes)]
            if bad:
                words = sorted({", ".join(codes[:3]) for codes in bad})
                print(f"{'+' if named else '-'}{len(bad)}/{len(said)} {case.sort}: {case.name}")
                print(f"      {' or '.join(case.codes)};  {' / '.join(words)}")


def print_pairs(pairs, results):
    print("\ntwo mistakes: both codes among the diagnoses")
    for case in pairs:
        for named, outcomes in results[case.name].items():
            both = [set(case.codes) <= set(codes) for _, codes in outcomes]
            print(f"  {'+' if named else '-'} {sum(both)}/{len(both)}  {case.name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    seeds, start = parser.parse_args().seeds, time.perf_counter()
    results = {case.name: trial(case, seeds) for case in CASES}
    wrong_cases = [case for case in CASES if case.sort != "right"]
    print(f"{'':14s}cases    detected   first, with op  first, without")
    for sort in SORTS:
        row(sort, [case for case in wrong_cases if case.sort == sort], results)
    row("all wrong", wrong_cases, results)
    alarms = [
        (case.name, "with op" if named else "without", codes)
        for case in CASES
        if case.sort == "right"
        for named, outcomes in results[case.name].items()
        for refused, codes in outcomes
        if refused
    ]
    good = len(CASES) - len(wrong_cases)
    print(f"right: {good} cases, {len(alarms)} false alarms", *alarms, sep="\n  ")
    print_pairs([case for case in wrong_cases if case.sort == "two mistakes"], results)
    print_misses(wrong_cases, results)
    print(f"\n{seeds} seeds each, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
