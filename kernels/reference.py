"""Every kernel of the contract in NumPy, written to be read; the oracle for the compiled ones.

All of it runs on CuPy arrays too.  Images are (N, C, H, W): batch, channels, height, width.  Pairs
are (height, width).  The geometry is what PyTorch's documentation calls kernel_size, stride,
padding (zeros added on both sides) and dilation (the step between two elements of one window).

The loops here run over the kh*kw positions inside a window, never over pixels: position (u, v) of
*every* window is one strided slice of the image, a "tap".

      image row:   0 1 2 3 4 5 6        kernel_size 3, stride 2, dilation 1
      windows:    [0 1 2]
                      [2 3 4]
                          [4 5 6]
      tap u = 0:   0   2   4            tap u = 1: 1 3 5            tap u = 2: 2 4 6
"""

import math
import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..arrays import Array, is_array, module_of
from ..errors import ArgumentError
from ..shapes import Pair, Shape, Window

Needs = tuple[bool, ...]  # which gradients are wanted, one per array of the forward
Gradients = tuple[Array | None, ...]


class Saved:
    """What a kernel's forward keeps for its backward."""

    __slots__ = ("inputs", "made_by", "state")

    def __init__(self, *state: Any, inputs: tuple[Array, ...] = ()) -> None:
        self.state = state
        self.inputs = inputs  # the user's arrays among them
        self.made_by: Any = None  # the implementation, filled in by kernels.forward


# ---- windows ---------------------------------------------------------------------------------


def pad(x: Array, window: Window, fill: float = 0.0) -> Array:
    """x in `fill`: the window's padding in front, and as much behind as the last window needs."""
    (ph, pw), (behind_h, behind_w) = window.padding, window.overhang(x.shape[2:])
    widths = [(0, 0), (0, 0), (ph, behind_h), (pw, behind_w)]
    return module_of(x).pad(x, widths, constant_values=fill)


def taps(padded: Array, window: Window) -> Iterator[Array]:
    """For each position inside the window, row by row, the view of that element of all windows."""
    (kh, kw), (sh, sw), _, (dh, dw), (oh, ow) = window
    for u in range(kh):
        for v in range(kw):
            rows = slice(u * dh, u * dh + sh * (oh - 1) + 1, sh)
            columns = slice(v * dw, v * dw + sw * (ow - 1) + 1, sw)
            yield padded[:, :, rows, columns]


def add_taps(parts: Array, x_shape: Shape, window: Window) -> Array:
    """The adjoint of padding an image and taking its taps: part k is added where tap k came from.

    A pixel that several windows cover was in several taps, and receives the sum of their parts.
    """
    padded = pad(module_of(parts).zeros(x_shape, parts.dtype), window)
    for tap, part in zip(taps(padded, window), parts, strict=True):
        tap += part
    (ph, pw), (h, w) = window.padding, x_shape[2:]
    return padded[:, :, ph : ph + h, pw : pw + w]


# ---- convolution -----------------------------------------------------------------------------


def im2col(x: Array, window: Window) -> Array:
    """Windows to columns: (N, C, H, W) -> (N, C*kh*kw, oh*ow), one column per window."""
    each = list(taps(pad(x, window), window))
    n, c, oh, ow = each[0].shape
    return module_of(x).stack(each, axis=2).reshape(n, c * len(each), oh * ow)


def col2im(cols: Array, x_shape: Shape, window: Window) -> Array:
    """Columns back to windows: (N, C*kh*kw, oh*ow) -> (N, C, H, W), the adjoint of im2col."""
    parts = cols.reshape(*x_shape[:2], math.prod(window.kernel_size), *window.out)
    return add_taps(module_of(cols).moveaxis(parts, 2, 0), x_shape, window)


def conv2d(x, weight, bias, window: Window, groups: int) -> tuple[Array, Saved]:
    """For each image and group one matrix product: weight (O/groups, C/groups*kh*kw) @ columns."""
    n, o = len(x), len(weight)
    rows = weight.reshape(groups, o // groups, math.prod(weight.shape[1:]))
    cols = im2col(x, window).reshape(n, groups, rows.shape[2], math.prod(window.out))
    y = (rows @ cols).reshape(n, o, *window.out)
    if bias is not None:
        y += bias[:, None, None]
    return y, Saved(cols, weight, x.shape, window, inputs=(x, weight))


def conv2d_backward(g: Array, saved: Saved, needs: Needs) -> Gradients:
    """With Y = W @ cols + b:  dW = G @ cols^T,  dx = col2im(W^T @ G),  db = sums of G's rows."""
    cols, weight, x_shape, window = saved.state
    n, groups, k, windows = cols.shape
    rows = weight.reshape(groups, len(weight) // groups, k)
    g = g.reshape(n, *rows.shape[:2], windows)
    dx = dw = db = None
    if needs[0]:
        dx = col2im((rows.swapaxes(1, 2) @ g).reshape(n, groups * k, windows), x_shape, window)
    if needs[1]:
        dw = (g @ cols.swapaxes(2, 3)).sum(axis=0).reshape(weight.shape)
    if needs[2]:
        db = g.sum(axis=(0, 3)).reshape(len(weight))
    return dx, dw, db


# ---- pooling ---------------------------------------------------------------------------------


def window_sums(x: Array, window: Window) -> Array:
    """The sum of every window: (N, C, H, W) -> (N, C, oh, ow)."""
    each = taps(pad(x, window), window)
    total = next(each).copy()
    for tap in each:
        total += tap
    return total


def spread(g: Array, x_shape: Shape, window: Window) -> Array:
    """The adjoint of window_sums: every element of a window receives that window's g."""
    everywhere = module_of(g).broadcast_to(g, (math.prod(window.kernel_size), *g.shape))
    return add_taps(everywhere, x_shape, window)


def window_sizes(size: Pair, window: Window, count_padding: bool) -> np.ndarray:
    """How many elements each window averages over: (oh, ow).

    Padding counts as elements if count_padding; what lies beyond it (ceil_mode) never does.
    """
    counts = []
    for axis, n in enumerate(size):
        p = window.padding[axis]
        start = np.arange(window.out[axis]) * window.stride[axis] - p
        low, high = (-p, n + p) if count_padding else (0, n)
        stop = np.minimum(start + window.kernel_size[axis], high)
        counts.append(stop - np.maximum(start, low))
    return np.outer(*counts)


def avg_pool2d(x, window: Window, count_include_pad, divisor_override) -> tuple[Array, Saved]:
    """The sum of each window over its size."""
    sizes = divisor_override or window_sizes(x.shape[2:], window, count_include_pad)
    divisor = module_of(x).asarray(sizes, dtype=x.dtype)
    y = window_sums(x, window)
    y /= divisor
    return y, Saved(divisor, x.shape, window)


def avg_pool2d_backward(g: Array, saved: Saved, needs: Needs) -> Gradients:
    """Each element of a window receives g over the window's size."""
    divisor, x_shape, window = saved.state
    return (spread(g / divisor, x_shape, window),)


def max_pool2d(x, window: Window) -> tuple[Array, Saved]:
    """The maximum of each window.

    A tie goes to the first maximum in row-major order; a NaN wins over everything, and padding
    over nothing, not even where the whole window is -inf.
    """
    xp = module_of(x)
    (_, kw), (sh, sw), (ph, pw), (dh, dw), (oh, ow) = window
    each = list(taps(pad(x, window, -np.inf), window))
    best = each[0].copy()
    for tap in each[1:]:
        xp.maximum(best, tap, out=best)
    which = xp.zeros_like(best, dtype=np.min_scalar_type(len(each)))  # the winner's place inside
    for k in reversed(range(len(each))):  # the first of equal ones is written last, and stays
        xp.copyto(which, k, where=each[k] == best)
    if xp.isnan(best).any():
        for k, tap in enumerate(each):
            xp.copyto(which, k, where=tap != tap)
    if (ph, pw) != (0, 0):
        first = _first_inside(xp, oh, sh, ph, dh)[:, None] * kw + _first_inside(xp, ow, sw, pw, dw)
        xp.copyto(which, first.astype(which.dtype), where=best == -np.inf)
    return best, Saved(which, x.shape, window)


def max_pool2d_with_indices(x, window: Window) -> tuple[tuple[Array, Array], Saved]:
    """(the maximum of each window, its position in the plane, h*W + w)."""
    best, saved = max_pool2d(x, window)
    which, xp = saved.state[0], module_of(x)
    (_, kw), (sh, sw), (ph, pw), (dh, dw), (oh, ow) = window
    u, v = xp.divmod(which.astype(np.int64), kw)  # wide enough for u * dh
    row = xp.arange(oh)[:, None] * sh - ph + u * dh
    column = xp.arange(ow) * sw - pw + v * dw
    return (best, row * x.shape[3] + column), saved


def _first_inside(xp: Any, out: int, stride: int, padding: int, dilation: int) -> Array:
    """For each window along one axis, its first element that is not padding in front."""
    return xp.maximum(-((xp.arange(out) * stride - padding) // dilation), 0)


def max_pool2d_backward(g: Array, saved: Saved, needs: Needs) -> Gradients:
    """The winner of each window receives that window's g."""
    which, x_shape, window = saved.state
    xp = module_of(g)
    parts = [xp.where(which == k, g, 0) for k in range(math.prod(window.kernel_size))]
    return (add_taps(xp.stack(parts), x_shape, window),)


max_pool2d_with_indices_backward = max_pool2d_backward


def subsample2d(x, coefficient, bias, window: Window) -> tuple[Array, Saved]:
    """LeNet's trainable subsampling: coefficient_c * (sum of the window) + bias_c."""
    sums = window_sums(x, window)
    y = sums * coefficient[:, None, None]
    y += bias[:, None, None]
    return y, Saved(sums, coefficient, x.shape, window, inputs=(coefficient,))


def subsample2d_backward(g: Array, saved: Saved, needs: Needs) -> Gradients:
    """dx spreads coefficient_c g over the window; dcoefficient is <g, window sums>."""
    sums, coefficient, x_shape, window = saved.state
    dx = spread(g * coefficient[:, None, None], x_shape, window) if needs[0] else None
    dcoefficient = (g * sums).sum(axis=(0, 2, 3)) if needs[1] else None
    dbias = g.sum(axis=(0, 2, 3)) if needs[2] else None
    return dx, dcoefficient, dbias


# ---- activations -----------------------------------------------------------------------------


def sigmoid(x: Array) -> tuple[Array, Saved]:
    """1 / (1 + exp(-x)); where exp(-x) overflows to infinity the result is 0, as it should be."""
    with np.errstate(over="ignore"):
        y = 1 / (1 + module_of(x).exp(-x))
    return y, Saved(y, inputs=(y,))


def sigmoid_backward(g: Array, saved: Saved, needs: Needs) -> Gradients:
    """y' = y (1 - y)."""
    (y,) = saved.state
    return (g * y * (1 - y),)


def tanh(x: Array) -> tuple[Array, Saved]:
    """The hyperbolic tangent."""
    y = module_of(x).tanh(x)
    return y, Saved(y, inputs=(y,))


def tanh_backward(g: Array, saved: Saved, needs: Needs) -> Gradients:
    """y' = 1 - y^2."""
    (y,) = saved.state
    return (g * (1 - y * y),)


def scaled_tanh(x: Array, amplitude: float, slope: float) -> tuple[Array, Saved]:
    """A tanh(S x)."""
    y = amplitude * module_of(x).tanh(slope * x)
    return y, Saved(y, amplitude, slope, inputs=(y,))


def scaled_tanh_backward(g: Array, saved: Saved, needs: Needs) -> Gradients:
    """y' = A S (1 - (y/A)^2) = (S/A) (A - y) (A + y)."""
    y, amplitude, slope = saved.state
    return (g * (slope / amplitude) * (amplitude - y) * (amplitude + y),)


def relu(x: Array) -> tuple[Array, Saved]:
    """max(x, 0)."""
    y = module_of(x).maximum(x, 0)
    return y, Saved(y, inputs=(y,))


def relu_backward(g: Array, saved: Saved, needs: Needs) -> Gradients:
    """g where x > 0, else 0; a NaN, which is not 0 either, passes its g on as in PyTorch."""
    (y,) = saved.state
    return (module_of(g).where(y != 0, g, 0),)


# ---- loss, linear, normalisation, dropout ----------------------------------------------------


def softmax_cross_entropy(logits: Array, q: Array) -> tuple[Array, Saved]:
    """Row by row, -sum_c q_c log softmax(z)_c: (M, C), (M, C) -> (M,).

    q holds one target distribution per row (one-hot for a class index), class weights included, so
    its rows need not sum to 1.  A class with q = 0 adds nothing, even where its logit is -inf.
    """
    xp = module_of(logits)
    z = logits - logits.max(axis=1, keepdims=True)  # exp never overflows, and the largest is 1
    log_p = z - xp.log(xp.exp(z).sum(axis=1, keepdims=True))
    losses = -xp.where(q == 0, 0, q * log_p).sum(axis=1)
    return losses, Saved(log_p, q, inputs=(q,))


def softmax_cross_entropy_backward(g: Array, saved: Saved, needs: Needs) -> Gradients:
    """dz = g (softmax(z) sum(q) - q): for a one-hot q the famous p - y.  dq = -g log softmax(z)."""
    log_p, q = saved.state
    g = g[:, None]
    dz = g * (module_of(q).exp(log_p) * q.sum(axis=1, keepdims=True) - q) if needs[0] else None
    return dz, (-g * log_p if needs[1] else None)


def flatten(x: Array) -> tuple[Array, Saved]:
    """(N, ...) as (N, features)."""
    return x.reshape(len(x), math.prod(x.shape[1:])), Saved(x.shape)


def flatten_backward(g: Array, saved: Saved, needs: Needs) -> Gradients:
    """g in the old shape."""
    (shape,) = saved.state
    return (g.reshape(shape),)


def target_rows(labels, classes, dtype, weight, ignore_index, smoothing) -> tuple[Array, float]:
    """Class indices (M,) as weighted rows of probabilities (M, classes), and the weights' sum.

    A row is 0 where its label is ignored.  Raises ArgumentError for a label that is no class.
    """
    xp = module_of(labels)
    counts = (labels != ignore_index)[:, None]
    q = (labels[:, None] == xp.arange(classes)) & counts
    wrong = labels[counts[:, 0] & ~q.any(axis=1)]
    if wrong.size:
        raise no_class(int(wrong[0]), classes, ignore_index)
    total = float((q if weight is None else q * weight).sum())
    if smoothing:
        q = (1 - smoothing) * q + smoothing / classes * counts
    return (q if weight is None else q * weight).astype(dtype), total


def no_class(label: int, classes: int, ignore_index: int) -> ArgumentError:
    """The error for a label that is neither a class nor to be ignored."""
    return ArgumentError(
        f"cross_entropy: target {label} is no class: there are {classes}, counted from 0 "
        f"(ignore_index is {ignore_index})"
    )


def reduced(losses: Array, reduction: str, total: float) -> Array:
    """The rows' losses themselves, their sum, or their mean: the sum over the weights' total."""
    if reduction == "none":
        return losses
    divisor = (total or math.nan) if reduction == "mean" else 1.0  # 0 / 0 without a warning
    return losses.sum() / losses.dtype.type(divisor)


def per_row(g: Array, rows: int, reduction: str, total: float) -> Array:
    """The gradient of each row's loss: the backward of `reduced`.

    The mean over no rows is NaN, but its gradient 0, as in PyTorch.
    """
    if reduction == "none":
        return g
    return module_of(g).full(rows, g / ((total or math.inf) if reduction == "mean" else 1.0))


def cross_entropy(
    logits, labels, weight, ignore_index, reduction, label_smoothing
) -> tuple[Array, Saved]:
    """softmax_cross_entropy of logits (M, C) for class indices (M,), reduced."""
    classes = logits.shape[1]
    q, total = target_rows(labels, classes, logits.dtype, weight, ignore_index, label_smoothing)
    losses, saved = softmax_cross_entropy(logits, q)
    return reduced(losses, reduction, total), Saved(saved, reduction, total)


def cross_entropy_backward(g: Array, saved: Saved, needs: Needs) -> Gradients:
    """As softmax_cross_entropy's, for the logits alone."""
    inner, reduction, total = saved.state
    g = per_row(g, len(inner.state[0]), reduction, total)
    return softmax_cross_entropy_backward(g, inner, (True, False))[:1]


def linear(x: Array, weight: Array, bias: Array | None) -> tuple[Array, Saved]:
    """x W^T + b: (M, in), (out, in), (out,) -> (M, out)."""
    y = x @ weight.T
    if bias is not None:
        y += bias
    return y, Saved(x, weight, inputs=(x, weight))


def linear_backward(g: Array, saved: Saved, needs: Needs) -> Gradients:
    """dx = g W,  dW = g^T x,  db = sum of g over the batch."""
    x, weight = saved.state
    dx = g @ weight if needs[0] else None
    dw = g.T @ x if needs[1] else None
    return dx, dw, (g.sum(axis=0) if needs[2] else None)


def batch_norm(x, weight, bias, mean, var, eps) -> tuple[tuple[Array, Array, Array], Saved]:
    """weight_c (x - mean_c) / sqrt(var_c + eps) + bias_c over (N, C, L); also the mean and var.

    Without mean and var they are the batch's own, per channel (var divides by N*L, not N*L - 1).
    """
    own = mean is None
    if own:
        mean = x.mean(axis=(0, 2))
        var = ((x - mean[:, None]) ** 2).mean(axis=(0, 2))
    inv_std = 1 / module_of(x).sqrt(var + eps)
    x_hat = (x - mean[:, None]) * inv_std[:, None]
    # Never x_hat itself: y is the user's, who may change it before backward needs x_hat.
    y = x_hat.copy() if weight is None else x_hat * weight[:, None]
    if bias is not None:
        y = y + bias[:, None]
    user_holds = () if weight is None else (weight,)
    return (y, mean, var), Saved(x_hat, inv_std, weight, own, inputs=user_holds)


def batch_norm_backward(g: Array, saved: Saved, needs: Needs) -> Gradients:
    """With h = weight_c g:  dx = inv_std (h - mean(h) - x_hat mean(h x_hat)).

    The two means are what flows through the batch's own mean and variance; with given statistics
    they are constants and dx = inv_std h.
    """
    x_hat, inv_std, weight, own = saved.state
    dx = dw = db = None
    if needs[0]:
        dx = g if weight is None else g * weight[:, None]
        if own:
            through_mean = dx.mean(axis=(0, 2))[:, None]
            through_var = (dx * x_hat).mean(axis=(0, 2))[:, None]
            dx = dx - through_mean - x_hat * through_var
        dx = dx * inv_std[:, None]
    if needs[1]:
        dw = (g * x_hat).sum(axis=(0, 2))
    if needs[2]:
        db = g.sum(axis=(0, 2))
    return dx, dw, db


def philox(xp: Any, n: int, seed: int, offset: int) -> Array:
    """n random 32-bit words, each a pure function of seed and position: Philox4x32-10.

    Counter i (128 bits) and the key (the seed's 64 bits) go through ten rounds of multiplication
    and exclusive or, and give the words 4i .. 4i+3.
    Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """
    low = np.uint64(0xFFFFFFFF)
    shift = np.uint64(32)
    counter = xp.arange(-(-n // 4), dtype=np.uint64) + np.uint64(offset)
    c0, c1 = counter & low, counter >> shift
    c2 = c3 = xp.zeros_like(counter)
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        high0, high1 = p0 >> shift, p1 >> shift
        c0, c1, c2, c3 = high1 ^ c1 ^ np.uint64(k0), p1 & low, high0 ^ c3 ^ np.uint64(k1), p0 & low
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return xp.stack([c0, c1, c2, c3], axis=1).reshape(-1)[:n].astype(np.uint32)


def dropout(x: Array, p: float, seed: int, offset: int) -> tuple[Array, Saved]:
    """Zeroes each element with probability p and multiplies the others by 1 / (1 - p)."""
    words = philox(module_of(x), x.size, seed, offset)
    keep = (words >= p * 2.0**32).reshape(x.shape)
    mask = keep.astype(x.dtype) * (1 / (1 - p) if p < 1 else 0)
    return x * mask, Saved(mask)


def dropout_backward(g: Array, saved: Saved, needs: Needs) -> Gradients:
    """The same mask again."""
    (mask,) = saved.state
    return (g * mask,)


# ---- indexing ----------------------------------------------------------------------------------


def add_at(x: Array, index: tuple, values: Array) -> None:
    """x[index] += values, where repeated indices add up instead of overwriting."""
    if any(is_array(i) or isinstance(i, list) for i in index):
        module_of(x).add.at(x, index, values)
    else:
        x[index] += values


# x[index], x[index] = values (of several for one element the last stays), a @ b
take_at, put_at, matmul = operator.getitem, operator.setitem, operator.matmul


# ---- optimiser updates, in place -------------------------------------------------------------


def sgd(p, g, velocity, first, lr, momentum, dampening, weight_decay, nesterov) -> None:
    """p -= lr v, where v = momentum v + (1 - dampening) g, as PyTorch orders it."""
    if weight_decay:
        g = g + weight_decay * p
    if velocity is not None:
        if first:
            velocity[...] = g
        else:
            velocity *= momentum
            velocity += (1 - dampening) * g
        g = g + momentum * velocity if nesterov else velocity
    p -= lr * g


def adam(p, g, m, v, step, lr, beta1, beta2, eps, weight_decay, decoupled) -> None:
    """One step of Adam, or of AdamW if decoupled; changes p, m and v.

    m and v are running means of g and g^2, divided by 1 - beta^step because they started at 0.
    Sources: Kingma and Ba 2015; Loshchilov and Hutter 2019; the place of eps is PyTorch's.
    """
    if weight_decay and decoupled:
        p *= 1 - lr * weight_decay
    elif weight_decay:
        g = g + weight_decay * p
    m += (1 - beta1) * (g - m)
    v *= beta2
    v += (1 - beta2) * g * g
    denominator = module_of(p).sqrt(v) / (1 - beta2**step) ** 0.5 + eps
    p -= lr / (1 - beta1**step) * m / denominator
