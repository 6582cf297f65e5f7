"""Each op as a function with PyTorch's signature; the formula is in the op class of that name."""

import warnings
from collections.abc import Callable
from typing import Any

from ..autograd import Function, Tensor, in_place
from ..errors import ArgumentError
from ..methods import reshape
from ..ops.activation import LeakyReLU, LogSoftmax, ReLU, ScaledTanh, Sigmoid, Softmax, Tanh
from ..ops.conv import Conv2d, Fold, Unfold
from ..ops.linear import Linear
from ..ops.loss import CrossEntropy, NLLLoss, check_reduction
from ..ops.norm import BatchNorm, Dropout, LocalResponseNorm
from ..ops.pool import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d, Subsample2d
from ..ops.shape import Pad
from ..random import Generator, default_generator


def _documented_by(op: type[Function]) -> Callable[[Callable], Callable]:
    def add(f: Callable) -> Callable:
        f.__doc__ = op.__doc__
        return f

    return add


def _on_image(op: type[Function], input: Tensor, *args: Any) -> Any:
    """Runs an op on (N, C, H, W), or on one (C, H, W) as a batch of one."""
    if input.ndim != 3:
        return op.apply(input, *args)
    out = op.apply(reshape(input, (1, *input.shape)), *args)
    if isinstance(out, tuple):
        return tuple(reshape(y, y.shape[1:]) for y in out)
    return reshape(out, out.shape[1:])


# ---- layers with weights ---------------------------------------------------------------------


@_documented_by(Linear)
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return Linear.apply(input, weight, bias)


@_documented_by(Conv2d)
def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    return _on_image(Conv2d, input, weight, bias, stride, padding, dilation, groups)


@_documented_by(Unfold)
def unfold(
    input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    return _on_image(Unfold, input, kernel_size, dilation, padding, stride)


@_documented_by(Fold)
def fold(
    input: Tensor,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Tensor:
    if input.ndim != 2:
        return Fold.apply(input, output_size, kernel_size, dilation, padding, stride)
    one = reshape(input, (1, *input.shape))
    return fold(one, output_size, kernel_size, dilation, padding, stride)[0]


@_documented_by(Subsample2d)
def subsample2d(
    input: Tensor,
    coefficient: Tensor,
    bias: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
) -> Tensor:
    return _on_image(Subsample2d, input, coefficient, bias, kernel_size, stride, padding, ceil_mode)


@_documented_by(BatchNorm)
def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    return BatchNorm.apply(input, running_mean, running_var, weight, bias, training, momentum, eps)


# ---- pooling, padding ------------------------------------------------------------------------


@_documented_by(AvgPool2d)
def avg_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    return _on_image(
        AvgPool2d, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
        divisor_override,
    )  # fmt: skip


@_documented_by(MaxPool2d)
def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    return _on_image(
        MaxPool2d, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices
    )


@_documented_by(AdaptiveAvgPool2d)
def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    return _on_image(AdaptiveAvgPool2d, input, output_size)


@_documented_by(Pad)
def pad(
    input: Tensor, pad: tuple[int, ...], mode: str = "constant", value: float | None = None
) -> Tensor:
    return Pad.apply(input, pad, mode, value)


# ---- activations -----------------------------------------------------------------------------


@_documented_by(Sigmoid)
def sigmoid(input: Tensor) -> Tensor:
    return Sigmoid.apply(input)


@_documented_by(Tanh)
def tanh(input: Tensor) -> Tensor:
    return Tanh.apply(input)


@_documented_by(ScaledTanh)
def scaled_tanh(input: Tensor, amplitude: float = 1.7159, slope: float = 2 / 3) -> Tensor:
    return ScaledTanh.apply(input, amplitude, slope)


@_documented_by(ReLU)
def relu(input: Tensor, inplace: bool = False) -> Tensor:
    return in_place(input, ReLU) if inplace else ReLU.apply(input)


@_documented_by(LeakyReLU)
def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    if inplace:
        return in_place(input, LeakyReLU, negative_slope)
    return LeakyReLU.apply(input, negative_slope)


def _class_dim(name: str, input: Tensor, dim: int | None) -> int:
    """PyTorch's choice where dim is left out, with its warning."""
    if dim is not None:
        return dim
    warnings.warn(f"{name}: dim is left out; say which dimension holds the classes", stacklevel=3)
    return 0 if input.ndim in (0, 1, 3) else 1


@_documented_by(Softmax)
def softmax(input: Tensor, dim: int | None = None) -> Tensor:
    return Softmax.apply(input, _class_dim("softmax", input, dim))


@_documented_by(LogSoftmax)
def log_softmax(input: Tensor, dim: int | None = None) -> Tensor:
    return LogSoftmax.apply(input, _class_dim("log_softmax", input, dim))


@_documented_by(LocalResponseNorm)
def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    return LocalResponseNorm.apply(input, size, alpha, beta, k)


@_documented_by(Dropout)
def dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    if not 0 <= p <= 1:
        raise ArgumentError(f"dropout: p must be between 0 and 1, not {p}")
    if not training or p == 0:
        return input
    seed, offset = (generator or default_generator).counters(input.array.size)
    if inplace:
        return in_place(input, Dropout, p, seed, offset)
    return Dropout.apply(input, p, seed, offset)


# ---- losses ----------------------------------------------------------------------------------


@_documented_by(CrossEntropy)
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    return CrossEntropy.apply(input, target, weight, ignore_index, reduction, label_smoothing)


@_documented_by(NLLLoss)
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    return NLLLoss.apply(input, target, weight, ignore_index, reduction)


def mse_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """Mean (or sum, or each) of (a - b)^2, made of three ops."""
    check_reduction("mse_loss", reduction)
    if input.shape != target.shape:
        warnings.warn(
            f"mse_loss: target has shape {target.shape}, but input {input.shape}: they broadcast; "
            "is that meant?",
            stacklevel=2,
        )
    difference = input - target
    squares = difference * difference
    return squares if reduction == "none" else getattr(squares, reduction)()
