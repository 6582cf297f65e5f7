"""What programs expect of a tensor beyond its ops: shapes, conversion, printing, random filling.

All of it is made of ops, or has nothing to do with gradients; the core does not need it.
"""

from collections.abc import Callable
from typing import Any

from .. import methods
from ..arrays import bool_, float16, float32, float64, int16, int32, int64, is_floating, uint8
from ..autograd import Tensor
from ..devices import device_of
from ..methods import permute, reshape
from . import conversion, display, shaping, values
from .conversion import to, to_arguments
from .display import set_printoptions
from .shaping import cat, flatten, split, stack, unsqueeze
from .values import where


def _with_axis(f: Callable) -> Callable:
    """f, which takes NumPy's names `axis` and `keepdims` for dim and keepdim too."""

    def function(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        for name, own in (("axis", "dim"), ("keepdims", "keepdim")):
            if name in kwargs:
                kwargs[own] = kwargs.pop(name)
        return f(input, *args, **kwargs)

    function.__name__, function.__qualname__, function.__doc__ = f.__name__, f.__name__, f.__doc__
    return function


FUNCTIONS: dict[str, Callable] = {
    **{
        f.__name__: f
        for module, names in (
            (shaping, "transpose flatten squeeze unsqueeze split chunk unbind cat stack gather"),
            (shaping, "index_select masked_select flip diag trace vstack hstack"),
            (values, "where masked_fill add sub max min maximum minimum topk sort argsort cumsum"),
            (values, "std norm floor_divide remainder all any argmin bincount nonzero equal"),
            (values, "allclose outer square prod unique"),
        )
        for f in (getattr(module, name) for name in names.split())
    },
    **values.PLAIN,
    **values.PRODUCTS,
    "clip": methods.FUNCTIONS["clamp"],
    "concat": cat,
    "t": lambda input: permute(input, *reversed(range(input.ndim))),
    "numel": lambda input: input.array.size,
}
FUNCTIONS |= {
    name: _with_axis(FUNCTIONS.get(name) or methods.FUNCTIONS[name])
    for name in (
        "sum mean var std max min prod argmax argmin all any norm softmax cat concat stack"
    ).split()
}
"""The functions, which are methods too unless the first argument is no tensor."""
OF_SEVERAL = ("cat", "concat", "vstack", "hstack", "stack", "where")


def _cast(dtype: Any) -> Callable[[Tensor], Tensor]:
    return lambda self: to(self, dtype=dtype)


METHODS: dict[str, Any] = {
    **{name: f for name, f in FUNCTIONS.items() if name not in OF_SEVERAL},
    "where": lambda self, condition, other: where(condition, self, other),
    "T": property(FUNCTIONS["t"]),
    "view": shaping.view,
    "view_as": lambda self, other: reshape(self, other.shape),
    "reshape_as": lambda self, other: reshape(self, other.shape),
    "expand_as": lambda self, other: self.expand(other.shape),
    "repeat": shaping.repeat,
    "scatter_": shaping.scatter_,
    "add_": values.add_,
    "sub_": values.sub_,
    "masked_fill_": lambda self, mask, value: self.copy_(values.masked_fill(self, mask, value)),
    "__floordiv__": values.floor_divide,
    "__rfloordiv__": lambda self, other: values.floor_divide(other, self),
    "__mod__": values.remainder,
    "__rmod__": lambda self, other: values.remainder(other, self),
    "device": property(lambda self: device_of(self.array)),
    "is_cuda": property(lambda self: self.device.type == "cuda"),
    "is_floating_point": lambda self: is_floating(self.dtype),
    "data": property(lambda self: Tensor(self.array), conversion.set_data),
    "to": to,
    "type": conversion.type_,
    "type_as": lambda self, other: to(self, other),
    "cpu": lambda self: to(self, device="cpu"),
    "cuda": lambda self, device="cuda", non_blocking=False: to(self, device=device),
    "half": _cast(float16),
    "float": _cast(float32),
    "double": _cast(float64),
    "byte": _cast(uint8),
    "short": _cast(int16),
    "int": _cast(int32),
    "long": _cast(int64),
    "bool": _cast(bool_),
    "numpy": conversion.numpy,
    "tolist": lambda self: self.array.tolist(),
    "__array__": conversion.as_array,
    "__dlpack__": conversion.dlpack,
    "__dlpack_device__": lambda self: self.array.__dlpack_device__(),
    "__deepcopy__": conversion.deepcopy,
    "__repr__": display.text,
    "__format__": display.formatted,
    "__len__": shaping.length,
    "__iter__": shaping.iterate,
    "__bool__": lambda self: bool(self.item()),
    "__int__": lambda self: int(self.item()),
    "__float__": lambda self: float(self.item()),
    "__index__": lambda self: self.item().__index__(),
    "size": shaping.size,
    "nelement": lambda self: self.array.size,
    "element_size": lambda self: self.array.itemsize,
    "dim": lambda self: self.ndim,
    "stride": shaping.stride,
    "is_contiguous": lambda self: self.array.flags.c_contiguous,
    "contiguous": shaping.contiguous,
    "uniform_": values.uniform_,
    "normal_": values.normal_,
}
for _name, _method in METHODS.items():
    setattr(Tensor, _name, _method)

FUNCTIONS |= {
    "is_tensor": lambda obj: isinstance(obj, Tensor),
    "set_printoptions": set_printoptions,
}
