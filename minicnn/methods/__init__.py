"""Binds operators and methods to Tensor; FUNCTIONS has the functions of the same names.

operators.py has those that are one op each; the others are made of several, or have no gradient.
"""

from collections.abc import Callable
from typing import Any

from .. import creation
from ..arrays import is_floating
from ..autograd import Tensor
from ..devices import device_of
from . import conversion, display, mathematics, operators, shaping
from .conversion import TYPES, to, to_arguments
from .mathematics import where
from .operators import named, permute, reshape
from .shaping import flatten, stack


def _with_axis(f: Callable) -> Callable:
    """f, which takes NumPy's names `axis` and `keepdims` for dim and keepdim too."""

    def function(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        for name, own in (("axis", "dim"), ("keepdims", "keepdim")):
            if name in kwargs:
                kwargs[own] = kwargs.pop(name)
        return f(input, *args, **kwargs)

    return named(function, f.__name__, f.__doc__)


FUNCTIONS: dict[str, Callable] = {
    **operators.FUNCTIONS,
    **{
        name: getattr(module, name)
        for module, names in (
            (shaping, "transpose flatten squeeze unsqueeze split chunk unbind cat stack gather"),
            (shaping, "index_select masked_select flip diag trace vstack hstack"),
            (mathematics, "where masked_fill add sub max min maximum minimum topk sort argsort"),
            (mathematics, "cumsum std norm floor_divide remainder all any argmin bincount nonzero"),
            (mathematics, "equal allclose outer square prod unique"),
        )
        for name in names.split()
    },
    **mathematics.PLAIN,
    **mathematics.PRODUCTS,
    "clip": operators.FUNCTIONS["clamp"],
    "concat": shaping.cat,
    "t": lambda input: permute(input, *reversed(range(input.ndim))),
    "numel": lambda input: input.array.size,
    "is_tensor": lambda obj: isinstance(obj, Tensor),
    "set_printoptions": display.set_printoptions,
}
OF_AN_AXIS = "sum mean var std max min prod argmax argmin all any norm softmax cat concat stack"
FUNCTIONS |= {name: _with_axis(FUNCTIONS[name]) for name in OF_AN_AXIS.split()}
NO_METHODS = ("cat", "concat", "vstack", "hstack", "stack", "is_tensor", "set_printoptions")
UNDER_THEIR_NAMES = (
    shaping.view, shaping.repeat, shaping.scatter_, shaping.size, shaping.stride,
    shaping.contiguous, mathematics.add_, mathematics.sub_, conversion.numpy, to,
    creation.uniform_, creation.normal_,
)  # fmt: skip


def _cast(dtype: Any) -> Callable[[Tensor], Tensor]:
    return lambda self: to(self, dtype=dtype)


METHODS: dict[str, Any] = {
    **operators.METHODS,
    **{name: f for name, f in FUNCTIONS.items() if name not in NO_METHODS},
    **{name.removesuffix("Tensor").lower(): _cast(dtype) for name, dtype in TYPES.items()},
    "where": lambda self, condition, other: where(condition, self, other),
    "T": property(FUNCTIONS["t"]),
    **{f.__name__: f for f in UNDER_THEIR_NAMES},
    "view_as": lambda self, other: reshape(self, other.shape),
    "reshape_as": lambda self, other: reshape(self, other.shape),
    "expand_as": lambda self, other: self.expand(other.shape),
    "masked_fill_": lambda self, mask, value: self.copy_(self.masked_fill(mask, value)),
    "__floordiv__": mathematics.floor_divide,
    "__rfloordiv__": lambda self, other: mathematics.floor_divide(other, self),
    "__mod__": mathematics.remainder,
    "__rmod__": lambda self, other: mathematics.remainder(other, self),
    "device": property(lambda self: device_of(self.array)),
    "is_cuda": property(lambda self: self.device.type == "cuda"),
    "is_floating_point": lambda self: is_floating(self.dtype),
    "data": property(conversion.data, conversion.set_data),
    "type": conversion.type_,
    "type_as": lambda self, other: to(self, other),
    "cpu": lambda self: to(self, device="cpu"),
    "cuda": lambda self, device="cuda", non_blocking=False: to(self, device=device),
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
    "nelement": lambda self: self.array.size,
    "element_size": lambda self: self.array.itemsize,
    "dim": lambda self: self.ndim,
    "is_contiguous": lambda self: self.array.flags.c_contiguous,
}
for _name, _method in METHODS.items():
    setattr(Tensor, _name, _method)
