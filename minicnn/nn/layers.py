"""The layers: each holds its arguments and weights, and calls the function of the same name.

Activations and losses are in files of their own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
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


class Layer(Module):
    """A module that prints what it was made with.

    Those that only hold their arguments are dataclasses, with the arguments for fields.
    """

    _shown = ""  # what is printed, with the attributes' names in braces

    def extra_repr(self) -> str:
        values = dict(vars(self))
        values["bias"] = values.get("bias") is not None  # whether there is one
        return self._shown.format_map(values)


def check_dims(layer: Module, dims: tuple[int, ...], input: Tensor) -> None:
    """Refuses an input of another number of dimensions than these."""
    if input.ndim not in dims:
        many = " or ".join(map(str, dims))
        raise ShapeError(
            f"{type(layer).__name__}: input must have {many} dimensions, not {input.shape}"
        )


class Identity(Module):
    """Returns its input; takes and ignores any arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class _Weighted(Layer):
    """A layer with a weight and perhaps a bias."""

    weight: Parameter
    bias: Parameter | None

    def _make_weights(
        self, shape: Sequence[int], outputs: int, bias: bool, device: Any, dtype: Any
    ) -> None:
        self.weight = Parameter(zeros(shape, dtype=dtype, device=device))
        self.bias = Parameter(zeros(outputs, dtype=dtype, device=device)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws initial weights anew."""
        # PyTorch's default: it writes kaiming_uniform_ with a = sqrt(5).
        fan_in = init.fans(self.weight)[0]
        bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                init.uniform_(parameter, -bound, bound)


class Linear(_Weighted):
    """y = x W^T + b, with weight (out_features, in_features).

    Weight and bias start uniform in +-1/sqrt(in_features), PyTorch's default.
    """

    _shown = "in_features={in_features}, out_features={out_features}, bias={bias}"

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
        self._make_weights((out_features, in_features), out_features, bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)


class _Convolution(_Weighted):
    """How the convolutions are printed."""

    _shown = "{in_channels}, {out_channels}, kernel_size={kernel_size}, stride={stride}"
    _usual: dict[str, Any] = {}  # what is shown behind that, where it is not as usual

    def extra_repr(self) -> str:
        values = vars(self) | {"bias": self.bias is not None}
        unusual = [f", {k}={values[k]}" for k, usual in self._usual.items() if values[k] != usual]
        return super().extra_repr() + "".join(unusual)


class Conv2d(_Convolution):
    """Convolution with weight (out_channels, in_channels/groups, kh, kw).

    padding may be a number, a pair, "same" or "valid"; padding_mode is "zeros", "reflect",
    "replicate" or "circular".  Weight and bias start uniform in +-1/sqrt(in_channels/groups kh kw).
    """

    _usual = {
        "padding": (0, 0), "dilation": (1, 1), "groups": 1, "bias": True, "padding_mode": "zeros",
    }  # fmt: skip

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
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self._make_weights(shape, out_channels, bias, device, dtype)

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
        if self.padding == "same":  # of an odd number one more behind
            high, wide = (d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True))
            return wide // 2, (wide + 1) // 2, high // 2, (high + 1) // 2
        ph, pw = self.padding
        return pw, pw, ph, ph


class ConvTranspose2d(_Convolution):
    """The transpose of a convolution, weight (in_channels, out_channels, kh, kw): it enlarges.

    Every input pixel adds its value times the kernel to the output.  output_padding adds rows and
    columns at the end, which a stride leaves undetermined.  Groups are not supported.  Weight and
    bias start uniform in +-1/sqrt(out_channels kh kw), PyTorch's choice.
    """

    _usual = {"padding": (0, 0), "dilation": (1, 1), "output_padding": (0, 0), "bias": True}

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
        shape = (in_channels, out_channels, *self.kernel_size)
        self._make_weights(shape, out_channels, bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return F.conv_transpose2d(
            input, self.weight, self.bias, self.stride, self.padding, self.output_padding,
            self.groups, self.dilation,
        )  # fmt: skip


@dataclass(eq=False, repr=False)
class Unfold(Layer):
    """Every window as a column: im2col."""

    _shown = "kernel_size={kernel_size}, dilation={dilation}, padding={padding}, stride={stride}"
    kernel_size: Any
    dilation: Any = 1
    padding: Any = 0
    stride: Any = 1

    def forward(self, input: Tensor) -> Tensor:
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)


@dataclass(eq=False, repr=False)
class Fold(Layer):
    """Columns added back to where their windows were: col2im."""

    _shown = f"output_size={{output_size}}, {Unfold._shown}"
    output_size: Any
    kernel_size: Any
    dilation: Any = 1
    padding: Any = 0
    stride: Any = 1

    def forward(self, input: Tensor) -> Tensor:
        return F.fold(
            input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride
        )


# ---- pooling ---------------------------------------------------------------------------------


@dataclass(eq=False, repr=False)
class _Pool(Layer):
    """What the pools have in common."""

    _shown = "kernel_size={kernel_size}, stride={stride}, padding={padding}"
    kernel_size: Any
    stride: Any = None
    padding: Any = 0

    def __post_init__(self) -> None:
        self.stride = self.kernel_size if self.stride is None else self.stride


@dataclass(eq=False, repr=False)
class AvgPool2d(_Pool):
    """Mean of each window; stride is kernel_size unless given."""

    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor_override: int | None = None

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad, self.divisor_override,
        )  # fmt: skip


@dataclass(eq=False, repr=False)
class MaxPool2d(_Pool):
    """Maximum of each window; stride is kernel_size unless given."""

    _shown = f"{_Pool._shown}, dilation={{dilation}}, ceil_mode={{ceil_mode}}"
    dilation: Any = 1
    return_indices: bool = False
    ceil_mode: bool = False

    def forward(self, input: Tensor) -> Any:
        return F.max_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
            self.return_indices,
        )  # fmt: skip


@dataclass(eq=False, repr=False)
class AdaptiveAvgPool2d(Layer):
    """Means over a grid of output_size cells."""

    _shown = "output_size={output_size}"
    output_size: Any

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(input, self.output_size)


class Subsample2d(Layer):
    """LeNet's trainable subsampling: coefficient_c * (sum of the window) + bias_c per map.

    The 1998 paper does not give initial values: here the coefficient starts at 1/(kh kw) and the
    bias at 0, so the layer starts as an average pool.
    """

    _shown = "{channels}, kernel_size={kernel_size}, stride={stride}"

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
        self.coefficient = Parameter(zeros(channels, dtype=dtype, device=device))
        self.bias = Parameter(zeros(channels, dtype=dtype, device=device))
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


# ---- shape ---------------------------------------------------------------------------------


@dataclass(eq=False, repr=False)
class Flatten(Layer):
    """The dimensions start_dim .. end_dim as one; the batch stays by default."""

    _shown = "start_dim={start_dim}, end_dim={end_dim}"
    start_dim: int = 1
    end_dim: int = -1

    def forward(self, input: Tensor) -> Tensor:
        return flatten(input, self.start_dim, self.end_dim)


@dataclass(eq=False, repr=False)
class Unflatten(Layer):
    """One dimension as several: the opposite of Flatten."""

    _shown = "dim={dim}, unflattened_size={unflattened_size}"
    dim: int
    unflattened_size: Any

    def __post_init__(self) -> None:
        self.unflattened_size = tuple(self.unflattened_size)

    def forward(self, input: Tensor) -> Tensor:
        dim = axis("Unflatten", self.dim, input.ndim)
        return input.reshape(*input.shape[:dim], *self.unflattened_size, *input.shape[dim + 1 :])


@dataclass(eq=False, repr=False)
class ZeroPad2d(Layer):
    """Zeros around the image: one number, or (left, right, top, bottom)."""

    _shown = "{padding}"
    padding: Any

    def __post_init__(self) -> None:
        around = self.padding
        self.padding = (around,) * 4 if isinstance(around, int) else tuple(around)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding)


@dataclass(eq=False, repr=False)
class Upsample(Layer):
    """The image scale_factor times (or size) as large: each pixel repeated, or "bilinear"."""

    size: Any = None
    scale_factor: Any = None
    mode: str = "nearest"
    align_corners: bool | None = None

    def __post_init__(self) -> None:
        factor = self.scale_factor
        if factor is not None:
            several = isinstance(factor, (tuple, list))
            self.scale_factor = tuple(map(float, factor)) if several else float(factor)

    def forward(self, input: Tensor) -> Tensor:
        return F.interpolate(input, self.size, self.scale_factor, self.mode, self.align_corners)

    def extra_repr(self) -> str:
        how = f"scale_factor={self.scale_factor}" if self.size is None else f"size={self.size}"
        return f"{how}, mode={self.mode!r}"


# ---- normalisation and dropout ---------------------------------------------------------------


@dataclass(eq=False, repr=False)
class _Dropout(Layer):
    """What the dropouts have in common: their probability, checked."""

    _shown = "p={p}, inplace={inplace}"
    p: float = 0.5
    inplace: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise ArgumentError(f"{type(self).__name__}: p must be between 0 and 1, not {self.p}")


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


class _BatchNorm(Layer):
    """Batch normalisation over channels; the subclasses say which inputs they take."""

    _dims: tuple[int, ...] = ()
    _buffer_names = ("running_mean", "running_var", "num_batches_tracked")
    _shown = (
        "{num_features}, eps={eps}, momentum={momentum}, affine={affine}, bias={bias}, "
        "track_running_stats={track_running_stats}"
    )
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
        n, how = num_features, {"dtype": dtype, "device": device}
        self.weight = Parameter(ones(n, **how)) if affine else None
        self.bias = Parameter(zeros(n, **how)) if affine and bias else None
        track = track_running_stats
        self.running_mean = zeros(n, **how) if track else None
        self.running_var = ones(n, **how) if track else None
        self.num_batches_tracked = full((), 0, np.int64, device) if track else None

    def forward(self, input: Tensor) -> Tensor:
        check_dims(self, self._dims, input)
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


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L)."""

    _dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of (N, C, H, W)."""

    _dims = (4,)


@dataclass(eq=False, repr=False)
class LocalResponseNorm(Layer):
    """Each value over a power of its neighbours' energy across channels (AlexNet's)."""

    _shown = "{size}, alpha={alpha}, beta={beta}, k={k}"
    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)
