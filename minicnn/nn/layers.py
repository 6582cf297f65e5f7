"""The layers: each holds its arguments and weights, and calls the function of the same name.

Activations and losses are in files of their own.
"""

import math
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..creation import full, ones, zeros
from ..errors import ArgumentError, ShapeError
from ..methods import flatten
from ..shapes import axis, pair
from . import functional as F
from . import init
from .module import Module, Parameter


def _empty(*shape: int, **where: Any) -> Parameter:
    return Parameter(zeros(*shape, **where))


class Identity(Module):
    """Returns its input; takes and ignores any arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Linear(Module):
    """y = x W^T + b, with weight (out_features, in_features).

    Weight and bias start uniform in +-1/sqrt(in_features), PyTorch's default.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = _empty(out_features, in_features, dtype=dtype, device=device)
        self.bias = _empty(out_features, dtype=dtype, device=device) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws initial weights anew."""
        _default_init(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


def _default_init(weight: Parameter, bias: Parameter | None) -> None:
    """PyTorch's: uniform in +-1/sqrt(fan_in) (it writes kaiming_uniform_ with a = sqrt(5))."""
    fan_in = init.fans(weight)[0]
    bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
    init.uniform_(weight, -bound, bound)
    if bias is not None:
        init.uniform_(bias, -bound, bound)


class Conv2d(Module):
    """Convolution with weight (out_channels, in_channels/groups, kh, kw).

    padding may be a number, a pair, "same" or "valid"; padding_mode is "zeros", "reflect",
    "replicate" or "circular".  Weight and bias start uniform in +-1/sqrt(in_channels/groups kh kw).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ArgumentError(
                f"Conv2d: groups={groups} must divide in_channels={in_channels} and "
                f"out_channels={out_channels}"
            )
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise ArgumentError(f"Conv2d: padding_mode {padding_mode!r} is not known")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = pair("Conv2d", "kernel_size", kernel_size)
        self.stride = pair("Conv2d", "stride", stride)
        self.dilation = pair("Conv2d", "dilation", dilation)
        self.padding = padding
        if not isinstance(padding, str):
            self.padding = pair("Conv2d", "padding", padding, least=0)
        elif padding not in ("same", "valid"):
            raise ArgumentError(f"Conv2d: padding must be numbers, 'same' or 'valid': {padding!r}")
        elif padding == "same" and self.stride != (1, 1):
            raise ArgumentError(f"Conv2d: padding 'same' needs stride 1, not {self.stride}")
        self.padding_mode = padding_mode
        self.weight = _empty(
            out_channels, in_channels // groups, *self.kernel_size, dtype=dtype, device=device
        )
        self.bias = _empty(out_channels, dtype=dtype, device=device) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws initial weights anew."""
        _default_init(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._around(), self.padding_mode), 0
        return F.conv2d(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )

    def _around(self) -> tuple[int, int, int, int]:
        """(left, right, top, bottom) for F.pad."""
        if self.padding == "valid":
            return 0, 0, 0, 0
        if self.padding == "same":
            total = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            (top, left), (bottom, right) = [t // 2 for t in total], [-(t // -2) for t in total]
            return left, right, top, bottom
        ph, pw = self.padding
        return pw, pw, ph, ph

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        if self.padding != (0, 0):
            text += f", padding={self.padding}"
        if self.dilation != (1, 1):
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class ConvTranspose2d(Module):
    """The transpose of a convolution, weight (in_channels, out_channels, kh, kw): it enlarges.

    Every input pixel adds its value times the kernel to the output.  output_padding adds rows and
    columns at the end, which a stride leaves undetermined.  Groups are not supported.  Weight and
    bias start uniform in +-1/sqrt(out_channels kh kw), PyTorch's choice.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = pair("ConvTranspose2d", "kernel_size", kernel_size)
        self.stride = pair("ConvTranspose2d", "stride", stride)
        self.padding = pair("ConvTranspose2d", "padding", padding, least=0)
        self.output_padding = pair("ConvTranspose2d", "output_padding", output_padding, least=0)
        self.dilation = pair("ConvTranspose2d", "dilation", dilation)
        self.weight = _empty(
            in_channels, out_channels, *self.kernel_size, dtype=dtype, device=device
        )
        self.bias = _empty(out_channels, dtype=dtype, device=device) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws initial weights anew."""
        _default_init(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.conv_transpose2d(
            input, self.weight, self.bias, self.stride, self.padding, self.output_padding,
            self.groups, self.dilation,
        )  # fmt: skip

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        if self.padding != (0, 0):
            text += f", padding={self.padding}"
        if self.dilation != (1, 1):
            text += f", dilation={self.dilation}"
        if self.output_padding != (0, 0):
            text += f", output_padding={self.output_padding}"
        return text + ("" if self.bias is not None else ", bias=False")


class Unfold(Module):
    """Every window as a column: im2col."""

    def __init__(
        self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
    ) -> None:
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride

    def forward(self, input: Tensor) -> Tensor:
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
            f"stride={self.stride}"
        )


class Fold(Module):
    """Columns added back to where their windows were: col2im."""

    def __init__(
        self,
        output_size: Any,
        kernel_size: Any,
        dilation: Any = 1,
        padding: Any = 0,
        stride: Any = 1,
    ) -> None:
        super().__init__()
        self.output_size, self.kernel_size, self.dilation = output_size, kernel_size, dilation
        self.padding, self.stride = padding, stride

    def forward(self, input: Tensor) -> Tensor:
        return F.fold(
            input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride
        )

    def extra_repr(self) -> str:
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, "
            f"dilation={self.dilation}, padding={self.padding}, stride={self.stride}"
        )


# ---- pooling ---------------------------------------------------------------------------------


class AvgPool2d(Module):
    """Mean of each window; stride is kernel_size unless given."""

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size, self.padding = kernel_size, padding
        self.stride = kernel_size if stride is None else stride
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad, self.divisor_override,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxPool2d(Module):
    """Maximum of each window; stride is kernel_size unless given."""

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.padding, self.dilation = kernel_size, padding, dilation
        self.stride = kernel_size if stride is None else stride
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Tensor) -> Any:
        return F.max_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
            self.return_indices,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AdaptiveAvgPool2d(Module):
    """Means over a grid of output_size cells."""

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class Subsample2d(Module):
    """LeNet's trainable subsampling: coefficient_c * (sum of the window) + bias_c per map.

    The 1998 paper does not give initial values: here the coefficient starts at 1/(kh kw) and the
    bias at 0, so the layer starts as an average pool.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.kernel_size = pair("Subsample2d", "kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.coefficient = _empty(channels, dtype=dtype, device=device)
        self.bias = _empty(channels, dtype=dtype, device=device)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Makes the layer an average pool again."""
        init.constant_(self.coefficient, 1 / math.prod(self.kernel_size))
        init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.subsample2d(
            input, self.coefficient, self.bias, self.kernel_size, self.stride, self.padding,
            self.ceil_mode,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"{self.channels}, kernel_size={self.kernel_size}, stride={self.stride}"


# ---- shape ---------------------------------------------------------------------------------


class Flatten(Module):
    """The dimensions start_dim .. end_dim as one; the batch stays by default."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        return flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """One dimension as several: the opposite of Flatten."""

    def __init__(self, dim: int, unflattened_size: Any) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, input: Tensor) -> Tensor:
        dim = axis("Unflatten", self.dim, input.ndim)
        return input.reshape(*input.shape[:dim], *self.unflattened_size, *input.shape[dim + 1 :])

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class ZeroPad2d(Module):
    """Zeros around the image: one number, or (left, right, top, bottom)."""

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = (padding,) * 4 if isinstance(padding, int) else tuple(padding)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding)

    def extra_repr(self) -> str:
        return str(self.padding)


class Upsample(Module):
    """The image scale_factor times (or size) as large: each pixel repeated, or "bilinear"."""

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
    ) -> None:
        super().__init__()
        self.size, self.mode, self.align_corners = size, mode, align_corners
        self.scale_factor = scale_factor
        if scale_factor is not None:
            several = isinstance(scale_factor, (tuple, list))
            self.scale_factor = tuple(map(float, scale_factor)) if several else float(scale_factor)

    def forward(self, input: Tensor) -> Tensor:
        return F.interpolate(input, self.size, self.scale_factor, self.mode, self.align_corners)

    def extra_repr(self) -> str:
        how = f"scale_factor={self.scale_factor}" if self.size is None else f"size={self.size}"
        return f"{how}, mode={self.mode!r}"


# ---- normalisation and dropout ---------------------------------------------------------------


class _Dropout(Module):
    """What the dropouts have in common: their probability, checked."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ArgumentError(f"{type(self).__name__}: p must be between 0 and 1, not {p}")
        self.p, self.inplace = p, inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training zeroes each element with probability p and scales the rest by 1/(1 - p)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """In training zeroes each channel of (N, C, H, W) as a whole; the rest is scaled.

    With inplace too the result is a new tensor.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout2d(input, self.p, self.training)


class _BatchNorm(Module):
    """Batch normalisation over channels; the subclasses say which inputs they take."""

    _dims: tuple[int, ...] = ()
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight = Parameter(ones(num_features, dtype=dtype, device=device)) if affine else None
        self.bias = _empty(num_features, dtype=dtype, device=device) if affine and bias else None
        track = track_running_stats
        self.register_buffer(
            "running_mean", zeros(num_features, dtype=dtype, device=device) if track else None
        )
        self.register_buffer(
            "running_var", ones(num_features, dtype=dtype, device=device) if track else None
        )
        self.register_buffer(
            "num_batches_tracked", full((), 0, np.int64, device) if track else None
        )

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in self._dims:
            raise ShapeError(
                f"{type(self).__name__}: input must have {' or '.join(map(str, self._dims))} "
                f"dimensions, not {input.shape}"
            )
        mean, var, count = self.running_mean, self.running_var, self.num_batches_tracked
        own = self.training or (mean is None and var is None)  # the batch's own statistics
        if self.training and not self.track_running_stats:
            mean = var = count = None  # nothing is to be updated
        if self.training and count is not None:
            count.add_(1)
        momentum = self.momentum
        if momentum is None:  # a plain average over all batches so far
            momentum = 1 / count.item() if count else 0.0
        return F.batch_norm(input, mean, var, self.weight, self.bias, own, momentum, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L)."""

    _dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of (N, C, H, W)."""

    _dims = (4,)


class LocalResponseNorm(Module):
    """Each value over a power of its neighbours' energy across channels (AlexNet's)."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
