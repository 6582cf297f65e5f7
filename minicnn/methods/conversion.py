"""A tensor's type and device, other libraries' views of it, and copying it."""

from typing import Any

import numpy as np

from ..arrays import bool_, dtype_of, float16, float32, float64, int16, int32, int64, uint8
from ..autograd import Tensor
from ..devices import device
from ..errors import DeviceError, DtypeError, GradientError
from ..ops.shape import Cast, ToDevice, copies_of


def to_arguments(args: tuple, kwargs: dict[str, Any]) -> tuple[device | None, np.dtype | None]:
    """The (device, dtype) that a call of `to` asks for; `non_blocking` is accepted and ignored."""
    wanted = {name: value for name, value in kwargs.items() if name != "non_blocking"}
    for a in args:
        if isinstance(a, Tensor):
            wanted |= {"device": a.device, "dtype": a.dtype}
        elif type(a) in (device, int) or (isinstance(a, str) and not _is_dtype(a)):
            wanted["device"] = a
        else:
            wanted["dtype"] = a
    where, dtype = wanted.pop("device", None), wanted.pop("dtype", None)
    if wanted:
        raise TypeError(f"to: unexpected argument {', '.join(wanted)}")
    return None if where is None else device(where), None if dtype is None else dtype_of(dtype)


def _is_dtype(name: str) -> bool:
    try:
        np.dtype(name)
    except TypeError:
        return False
    return True


def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """On another device, in another dtype, or both: `to("cpu")`, `to(float64)`, `to(other)`.

    The tensor itself where nothing changes.
    """
    where, dtype = to_arguments(args, kwargs)
    out = self
    if dtype is not None and dtype != self.dtype:
        out = Cast.apply(out, dtype)
    if where is not None and not _is_on(self.device, where):
        out = ToDevice.apply(out, where)
    return out


def _is_on(here: device, wanted: device) -> bool:
    return here.type == wanted.type and wanted.index in (None, here.index)


TYPES = {
    "FloatTensor": float32, "DoubleTensor": float64, "HalfTensor": float16, "LongTensor": int64,
    "IntTensor": int32, "ShortTensor": int16, "ByteTensor": uint8, "BoolTensor": bool_,
}  # fmt: skip


def type_(self: Tensor, dtype: Any = None) -> Any:
    """In another dtype, or PyTorch's name of one, "torch.LongTensor"; without, this one's name."""
    if isinstance(dtype, str) and dtype.endswith("Tensor"):
        name = dtype.rpartition(".")[2]
        if name not in TYPES:
            raise DtypeError(f"type: {dtype!r} is not known; use a dtype, or one of {[*TYPES]}")
        dtype = TYPES[name]
    return str(self.dtype) if dtype is None else to(self, dtype=dtype)


def numpy(self: Tensor) -> np.ndarray:
    """The array itself, not a copy; read-only where a view() of it had to copy.

    Raises GradientError if it needs a gradient.
    """
    if self.requires_grad:
        raise GradientError(
            "numpy(): this tensor requires grad, and what other libraries do with it is not "
            "recorded; use tensor.detach().numpy()"
        )
    if self.device.type != "cpu":
        raise DeviceError(f"numpy(): this tensor is on {self.device}; use tensor.cpu().numpy()")
    array = self.array
    if copies_of(self):
        array = array.view()
        array.flags.writeable = False
    return array


def as_array(self: Tensor, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
    array = numpy(self)
    if copy is False and dtype is not None and np.dtype(dtype) != array.dtype:
        raise ValueError(f"a change to {np.dtype(dtype)} needs a copy")
    return np.array(array, dtype=dtype, copy=bool(copy) or None)


def dlpack(self: Tensor, **kwargs: Any) -> Any:
    if self.requires_grad:
        raise GradientError("DLPack: this tensor requires grad; export tensor.detach()")
    return self.array.__dlpack__(**kwargs)


def deepcopy(self: Tensor, memo: dict) -> Tensor:
    if self.grad_fn is not None:
        raise GradientError("deepcopy: only leaves can be copied; use detach().clone()")
    out = memo[id(self)] = type(self)(self.array.copy(), requires_grad=self.requires_grad)
    out.grad = None if self.grad is None else Tensor(self.grad.array.copy())
    return out


def data(self: Tensor) -> Tensor:
    """The same memory without history; changes in place are not noticed."""
    out = Tensor(self.array)
    out._counter.append(copies_of(self))
    return out


def set_data(self: Tensor, new: Tensor) -> None:
    """`tensor.data = new`: other elements, and perhaps another shape, without a trace."""
    self.array = new.array
