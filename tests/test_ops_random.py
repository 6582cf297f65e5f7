"""Ops on random shapes and arguments: where PyTorch accepts them we agree, else we refuse too."""

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import (
    array_shapes,
    broadcastable_shapes,
    mutually_broadcastable_shapes,
)
from test_ops import REFUSALS, check, oracle, tensors

from minicnn.ops import OPS, Sample


def randomly(examples):
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )


def agree_or_both_refuse(name, *args, **kwargs):
    sample = Sample(args, kwargs)
    try:
        oracle(name, sample)
    except REFUSALS as refusal:
        ours, keywords = tensors(sample)
        try:
            result = OPS[name].apply(*ours, **keywords)
        except REFUSALS:
            return
        raise AssertionError(f"{name} gives {result}, but PyTorch refuses") from refusal
    check(OPS[name], sample)


# ---- what arguments are made of --------------------------------------------------------------


@st.composite
def arrays(draw, shape):
    """Random normal numbers, in any layout."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    layout = draw(st.sampled_from(["rows", "columns", "backwards"]))
    x = rng.standard_normal(shape)
    if layout == "columns":
        return x.T.copy().T
    return x[::-1].copy()[::-1] if layout == "backwards" and x.ndim else x


def one_or_pair(low, high):
    number = st.integers(low, high)
    return number | st.tuples(number, number)


def shapes(max_dims=4, min_side=1):
    return array_shapes(min_dims=0, max_dims=max_dims, min_side=min_side, max_side=5)


IMAGES = st.tuples(
    st.integers(0, 2), st.integers(1, 3), st.integers(1, 7), st.integers(1, 7)
).flatmap(arrays)
DIM = st.integers(-4, 3)
DIMS = st.none() | DIM | st.lists(DIM, max_size=3).map(tuple)


# ---- windows ---------------------------------------------------------------------------------


@randomly(150)
@given(st.data())
def test_conv2d(data):
    draw = data.draw
    groups, per_group = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    out = draw(st.integers(1, 2)) * groups + draw(st.sampled_from([0, 0, 0, 1]))
    channels = groups * per_group + draw(st.sampled_from([0, 0, 0, 0, 1]))
    size, kernel = (
        draw(st.tuples(*[st.integers(1, 7)] * 2)),
        draw(st.tuples(*[st.integers(1, 4)] * 2)),
    )
    x = draw(arrays((draw(st.integers(0, 2)), channels, *size)))
    weight, bias = draw(arrays((out, per_group, *kernel))), draw(st.none() | arrays((out,)))
    padding = draw(one_or_pair(0, 3) | st.sampled_from(["same", "valid"]))
    stride, dilation = draw(one_or_pair(1, 3)), draw(one_or_pair(1, 3))
    agree_or_both_refuse("Conv2d", x, weight, bias, stride, padding, dilation, groups)


@randomly(80)
@given(IMAGES, one_or_pair(1, 4), one_or_pair(1, 3), one_or_pair(0, 3), one_or_pair(1, 3))
def test_unfold(x, kernel, dilation, padding, stride):
    agree_or_both_refuse("Unfold", x, kernel, dilation, padding, stride)


@randomly(80)
@given(st.data())
def test_fold(data):
    draw = data.draw
    size, kernel = (
        draw(st.tuples(*[st.integers(1, 7)] * 2)),
        draw(st.tuples(*[st.integers(1, 3)] * 2)),
    )
    rest = draw(one_or_pair(1, 2)), draw(one_or_pair(0, 2)), draw(one_or_pair(1, 3))
    image = np.zeros((draw(st.integers(0, 2)), draw(st.integers(1, 2)), *size))
    try:
        *_, (columns,) = oracle("Unfold", Sample((image, kernel, *rest)))
    except RuntimeError:
        assume(False)
    more = draw(st.sampled_from([0, 0, 0, 1]))
    shape = (*columns.shape[:2], columns.shape[2] + more)
    agree_or_both_refuse("Fold", draw(arrays(shape)), size, kernel, *rest)


STRIDES = st.none() | one_or_pair(1, 3)


@randomly(150)
@given(IMAGES, one_or_pair(1, 4), STRIDES, one_or_pair(0, 2), st.booleans(), st.booleans(),
       st.none() | st.integers(-2, 5))  # fmt: skip
def test_avg_pool2d(x, kernel, stride, padding, ceil_mode, include_pad, divisor):
    agree_or_both_refuse("AvgPool2d", x, kernel, stride, padding, ceil_mode, include_pad, divisor)


@randomly(150)
@given(IMAGES, one_or_pair(1, 4), STRIDES, one_or_pair(0, 3), one_or_pair(1, 3), st.booleans())
def test_max_pool2d(x, kernel, stride, padding, dilation, ceil_mode):
    # Else a window may hold padding only, and PyTorch's index points outside the image.
    assume(np.max(dilation) <= min(x.shape[2:]))
    agree_or_both_refuse("MaxPool2d", x, kernel, stride, padding, dilation, ceil_mode)


@randomly(80)
@given(st.data(), IMAGES, one_or_pair(1, 4), STRIDES, one_or_pair(0, 2), st.booleans())
def test_subsample2d(data, x, kernel, stride, padding, ceil_mode):
    coefficient, bias = (data.draw(arrays(x.shape[1:2])) for _ in range(2))
    agree_or_both_refuse("Subsample2d", x, coefficient, bias, kernel, stride, padding, ceil_mode)


SIZES = st.none() | st.integers(1, 8)


@randomly(60)
@given(IMAGES, st.integers(1, 8) | st.tuples(SIZES, SIZES))
def test_adaptive_avg_pool2d(x, size):
    agree_or_both_refuse("AdaptiveAvgPool2d", x, size)


# ---- products and broadcasting ---------------------------------------------------------------


@randomly(100)
@given(st.data())
def test_matmul(data):
    draw = data.draw
    n, k, m = (draw(st.integers(0, 4)) for _ in range(3))
    wrong = draw(st.sampled_from([0, 0, 0, 1]))
    batches = draw(mutually_broadcastable_shapes(num_shapes=2, max_dims=2, max_side=3)).input_shapes
    a = draw(st.sampled_from([(k,), (*batches[0], n, k)]))
    b = draw(st.sampled_from([(k + wrong,), (*batches[1], k + wrong, m)]))
    agree_or_both_refuse("MatMul", draw(arrays(a)), draw(arrays(b)))


@randomly(60)
@given(st.data(), shapes(3, min_side=0), st.integers(0, 4), st.integers(0, 4), st.booleans())
def test_linear(data, batch, features, out, biased):
    wrong = data.draw(st.sampled_from([0, 0, 0, 1]))
    x, weight = data.draw(arrays((*batch, features + wrong))), data.draw(arrays((out, features)))
    bias = data.draw(arrays((out,))) if biased else None
    agree_or_both_refuse("Linear", x, weight, bias)


@randomly(100)
@given(st.data(), st.sampled_from(["Add", "Sub", "Mul", "Div", "Pow", "Where"]))
def test_broadcasting(data, name):
    together = mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_dims=4, max_side=4)
    apart = st.tuples(shapes(3), shapes(3))
    a, b = data.draw(together.map(lambda s: s.input_shapes) | apart)
    a, b = data.draw(arrays(a)), data.draw(arrays(b))
    if name == "Where":
        agree_or_both_refuse(name, np.asarray(a > 0), a, b)
    else:
        agree_or_both_refuse(name, abs(a) + 0.1 if name == "Pow" else a, b)


@randomly(60)
@given(st.data(), shapes())
def test_expand(data, shape):
    x = data.draw(arrays(shape))
    fitting = broadcastable_shapes(shape, min_side=0, max_dims=5, max_side=4)
    wanted = data.draw(fitting | st.lists(st.integers(-1, 4), max_size=5).map(tuple))
    agree_or_both_refuse("Expand", x, wanted)


# ---- reductions ------------------------------------------------------------------------------


@randomly(100)
@given(shapes(min_side=0).flatmap(arrays), DIMS, st.booleans(), st.sampled_from(["Sum", "Mean"]))
def test_sum_and_mean(x, dim, keepdim, name):
    agree_or_both_refuse(name, x, dim, keepdim)


@randomly(80)
@given(shapes().flatmap(arrays), DIMS, st.booleans(), st.integers(0, 2))
def test_var(x, dim, keepdim, correction):
    try:
        outputs = x.sum(dim).size
    except ValueError:
        outputs = 1  # a wrong dim: both refuse
    # Else the variance is infinite or NaN, and PyTorch's gradient depends on how dim is given; nor
    # does it agree with its own forward for dim=().
    assume(x.size // outputs > correction and dim != ())
    agree_or_both_refuse("Var", x, dim, keepdim=keepdim, correction=correction)


@randomly(100)
@given(shapes(3, min_side=0).flatmap(arrays), DIM, st.booleans(),
       st.sampled_from(["MaxDim", "MinDim", "ArgMax", "Max", "Min"]))  # fmt: skip
def test_extremes(x, dim, keepdim, name):
    agree_or_both_refuse(name, x, *(() if name in ("Max", "Min") else (dim, keepdim)))


@randomly(60)
@given(shapes(3).flatmap(arrays), st.integers(0, 5), DIM, st.booleans())
def test_topk(x, k, dim, largest):
    assume(x.ndim or k)  # of a 0-dim tensor PyTorch gives one element for k=0
    agree_or_both_refuse("TopK", x, k, dim, largest)


@randomly(60)
@given(shapes(3, min_side=0).flatmap(arrays), DIM, st.sampled_from(["Softmax", "LogSoftmax"]))
def test_softmax(x, dim, name):
    agree_or_both_refuse(name, x, dim)


# ---- moving elements -------------------------------------------------------------------------


@randomly(60)
@given(st.data(), shapes(3, min_side=0), st.sampled_from(["Cat", "Stack"]), DIM)
def test_cat_and_stack(data, shape, name, dim):
    found = []
    for _ in range(data.draw(st.integers(1, 3))):
        other = list(shape)
        if name == "Cat" and -len(shape) <= dim < len(shape):
            other[dim] = data.draw(st.integers(0, 3))
        elif shape and data.draw(st.sampled_from([False, False, True])):
            other[0] += 1
        found.append(data.draw(arrays(tuple(other))))
    agree_or_both_refuse(name, dim, *found)


@randomly(120)
@given(shapes(4).flatmap(arrays), st.lists(st.integers(-2, 4), max_size=8).map(tuple),
       st.sampled_from(["constant", "reflect", "replicate", "circular"]))  # fmt: skip
def test_pad(x, pad, mode):
    agree_or_both_refuse("Pad", x, pad, mode, 0.5 if mode == "constant" else None)


@st.composite
def indices(draw, shape):
    """Any mixture of integers, slices, None, one ..., masks and integer arrays."""
    found, axis = [], 0
    ends = st.none() | st.integers(-6, 6)
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["int", "slice", "slice", "none", "...", "mask", "array"]))
        n = shape[axis] if axis < len(shape) else 3
        axis += kind not in ("none", "...")
        if kind == "int":
            found.append(draw(st.integers(-n, n)))  # n is one too many
        elif kind == "slice":
            found.append(slice(draw(ends), draw(ends), draw(st.none() | st.integers(1, 3))))
        elif kind == "none":
            found.append(None)
        elif kind == "...":
            if Ellipsis not in [f for f in found if not isinstance(f, np.ndarray)]:
                found.append(...)
        elif kind == "mask":
            found.append(np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)), bool))
        else:
            picked = st.lists(st.integers(-n, max(n - 1, 0)), min_size=2, max_size=2)
            found.append(np.array(draw(picked), np.int64))
    return tuple(found)


@randomly(200)
@given(st.data(), shapes(3))
def test_index(data, shape):
    agree_or_both_refuse("Index", data.draw(arrays(shape)), data.draw(indices(shape)))


@randomly(100)
@given(st.data(), shapes(3))
def test_index_put(data, shape):
    x, index = data.draw(arrays(shape)), data.draw(indices(shape))
    try:
        *_, (chosen,) = oracle("Index", Sample((x, index)))
    except REFUSALS:
        assume(False)
    numbers = np.arange(x.size).reshape(shape)[index]
    assume(np.unique(numbers).size == numbers.size)  # PyTorch does not say which of equals stays
    trailing = tuple(chosen.shape[data.draw(st.integers(0, chosen.ndim)) :])
    agree_or_both_refuse("IndexPut", x, index, data.draw(arrays(trailing)))


# ---- losses and normalisation ----------------------------------------------------------------


@st.composite
def classified(draw):
    """Logits of shape (C), (N, C) or (N, C, ...) and class indices for them."""
    classes, batch = draw(st.integers(1, 4)), draw(shapes(3))
    shape = (*batch[:1], classes, *batch[1:])
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    high = classes + draw(st.sampled_from([0, 0, 0, 1]))
    return draw(arrays(shape)), rng.integers(0, high, batch), classes


REDUCTIONS = st.sampled_from(["mean", "sum", "none"])


@randomly(150)
@given(st.data(), classified(), REDUCTIONS, st.sampled_from([0.0, 0.1, 1.0]), st.booleans())
def test_cross_entropy(data, given_classes, reduction, smoothing, soft):
    x, target, classes = given_classes
    weight = data.draw(st.none() | arrays((classes,)).map(abs))
    ignore = data.draw(st.sampled_from([-100, 0, 1]))
    if soft:
        target = abs(data.draw(arrays(x.shape)))
    agree_or_both_refuse(
        "CrossEntropy", x, target, weight=weight, ignore_index=ignore, reduction=reduction,
        label_smoothing=smoothing,
    )  # fmt: skip


@randomly(80)
@given(st.data(), classified(), REDUCTIONS, st.sampled_from([-100, 0, 1]))
def test_nll_loss(data, given_classes, reduction, ignore):
    x, target, classes = given_classes
    weight = data.draw(st.none() | arrays((classes,)).map(abs))
    agree_or_both_refuse(
        "NLLLoss", x, target, weight=weight, ignore_index=ignore, reduction=reduction
    )


@randomly(80)
@given(st.data(), array_shapes(min_dims=1, max_dims=4, max_side=4), st.booleans(), st.booleans(),
       st.sampled_from([0.0, 0.1, 1.0]), st.sampled_from([1e-5, 0.1]))  # fmt: skip
def test_batch_norm(data, shape, training, running, momentum, eps):
    x = data.draw(arrays(shape))
    channels = shape[1:2] if len(shape) > 1 else (1,)
    weight, bias = (data.draw(st.none() | arrays(channels)) for _ in range(2))
    mean = data.draw(arrays(channels)) if running else None
    var = abs(data.draw(arrays(channels))) if running else None
    agree_or_both_refuse(
        "BatchNorm", x, weight=weight, bias=bias, running_mean=mean, running_var=var,
        training=training, momentum=momentum, eps=eps,
    )  # fmt: skip


@randomly(60)
@given(
    array_shapes(min_dims=2, max_dims=5, max_side=5).flatmap(arrays),
    st.integers(1, 6),
    st.sampled_from([1e-4, 0.5]),
    st.sampled_from([0.5, 0.75]),
    st.sampled_from([1.0, 2.0]),
)
def test_local_response_norm(x, size, alpha, beta, k):
    agree_or_both_refuse("LocalResponseNorm", x, size, alpha, beta, k)
