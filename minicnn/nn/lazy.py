"""Layers that find the size of their input when the first one comes, and are ordinary then."""

from typing import Any

from ..autograd import Tensor
from ..errors import ArgumentError
from .layers import BatchNorm2d, Conv2d, Linear, check_dims
from .module import Module


class _Lazy(Module):
    """What the lazy layers have in common: the first forward makes them `_whole` layers.

    The arguments are the whole layer's, without its first one, which is the size of the input's
    dimension `_axis`.  Before that forward there are no parameters: asking for them, for the
    state_dict, or for an optimiser of them is refused, where PyTorch hands out placeholders.
    Afterwards class, parameters, printing and state_dict are the whole layer's.
    """

    _whole: Any  # the class
    _axis: int
    _dims: tuple[int, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._whole.__init__(self, 0, *args, **kwargs)  # checks the arguments
        vars(self).pop("weight")
        self._arguments = args, kwargs

    def forward(self, input: Tensor) -> Tensor:
        check_dims(self, self._dims or (input.ndim,), input)
        args, kwargs = vars(self).pop("_arguments")
        whole = self._whole(input.shape[self._axis], *args, **kwargs)
        kept = [n for n in vars(self) if n == "training" or n.endswith("_hooks")]
        state = vars(whole) | {name: vars(self)[name] for name in kept}
        self.__class__ = self._whole
        vars(self).clear()
        vars(self).update(state)
        return self.forward(input)

    def _own_parameters(self) -> Any:
        raise ArgumentError(
            f"{type(self).__name__}: has no parameters before its first input; run a batch through "
            "the model first"
        )

    def __getattr__(self, name: str) -> Any:
        if name == "weight":
            self._own_parameters()
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


class LazyConv2d(_Lazy, Conv2d):
    """`Conv2d` without in_channels: LazyConv2d(out_channels, kernel_size, ...)."""

    _whole, _axis, _dims = Conv2d, -3, (3, 4)


class LazyLinear(_Lazy, Linear):
    """`Linear` without in_features: LazyLinear(out_features, ...)."""

    _whole, _axis = Linear, -1


class LazyBatchNorm2d(_Lazy, BatchNorm2d):
    """`BatchNorm2d` without num_features: LazyBatchNorm2d(eps=1e-5, ...)."""

    _whole, _axis, _dims = BatchNorm2d, 1, (4,)
