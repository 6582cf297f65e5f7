"""Making tensors: from data, filled with a number, or random."""

from typing import Any

import numpy as np

from .arrays import bool_, dtype_of, float32, float64, int32, int64, is_floating, module_of, uint8
from .autograd import Tensor
from .devices import device, to_device
from .errors import DtypeError
from .random import Generator, default_generator
from .shapes import from_args


def from_data(data: Any, dtype: Any = None) -> np.ndarray:
    """A new array of data; arrays keep their dtype, Python's own floats become float32."""
    array = np.array(data, dtype=None if dtype is None else dtype_of(dtype))
    if dtype is None and array.dtype == float64:
        first = data
        while isinstance(first, (list, tuple)) and first:
            first = first[0]
        if isinstance(first, (bool, int, list, tuple)) or type(first) is float:
            array = array.astype(float32)
    dtype_of(array.dtype)
    return array


def _made(array: np.ndarray, dtype: Any, where: Any, requires_grad: bool) -> Tensor:
    if dtype is not None:
        array = array.astype(dtype_of(dtype), copy=False)
    return Tensor(to_device(array, "cpu" if where is None else where), requires_grad=requires_grad)


def _shape(sizes: tuple[Any, ...], size: Any) -> tuple[int, ...]:
    """The shape from `f(2, 3)`, `f((2, 3))` or `f(size=(2, 3))`."""
    return from_args(sizes if size is None else (size,))


def _floating(dtype: Any) -> np.dtype:
    if not is_floating(dtype_of(dtype)):
        raise DtypeError(f"random numbers need a floating dtype, not {dtype}")
    return dtype_of(dtype)


def tensor(
    data: Any, dtype: Any = None, device: "device | str | None" = None, requires_grad: bool = False
) -> Tensor:
    """A tensor with a copy of data: numbers, nested lists, arrays or tensors.

    An array keeps its dtype; Python's floats become float32, its integers int64.
    """
    if isinstance(data, Tensor):
        data = data.detach().cpu().array
    return _made(from_data(data, dtype), None, device, requires_grad)


def variable(data: Tensor, requires_grad: bool = False) -> Tensor:
    """The tensor itself: PyTorch's `autograd.Variable`, which wrapped one until version 0.4."""
    return data.requires_grad_() if requires_grad else data


def as_tensor(data: Any, dtype: Any = None, device: "device | str | None" = None) -> Tensor:
    """A tensor over data's own memory where that is possible, else a copy."""
    if isinstance(data, Tensor):
        return data.to(device=device, dtype=dtype)
    array = data if isinstance(data, np.ndarray) else from_data(data)
    return _made(array, dtype, device, False)


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor over the array's own memory: a change in one is seen in the other."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: expected a numpy array, not {type(array).__name__}")
    dtype_of(array.dtype)
    return Tensor(array)


def from_dlpack(source: Any) -> Tensor:
    """A tensor over the memory of another library's array, through DLPack."""
    return Tensor(np.from_dlpack(source))


def full(
    size: Any, fill_value: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of this shape, every element fill_value; a GPU fills its own memory."""
    dtype = from_data(fill_value).dtype if dtype is None else dtype_of(dtype)
    if device in (None, "cpu"):
        return Tensor(np.full(from_args((size,)), fill_value, dtype), requires_grad=requires_grad)
    one = to_device(np.full((), fill_value, dtype), device)
    with one.device:
        array = module_of(one).full(from_args((size,)), one)
    return Tensor(array, requires_grad=requires_grad)


def zeros(
    *sizes: Any, size: Any = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """A tensor of zeros, float32 unless dtype says otherwise."""
    return full(_shape(sizes, size), 0, dtype or float32, device, requires_grad)


def ones(
    *sizes: Any, size: Any = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """A tensor of ones, float32 unless dtype says otherwise."""
    return full(_shape(sizes, size), 1, dtype or float32, device, requires_grad)


def empty(*sizes: Any, **options: Any) -> Tensor:
    """The same as zeros: PyTorch promises nothing of the elements."""
    return zeros(*sizes, **options)


def eye(
    n: int, m: int | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A matrix (n, m) with ones on its diagonal and zeros elsewhere."""
    return _made(np.eye(n, m), dtype or float32, device, requires_grad)


def linspace(
    start: float, end: float, steps: int, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Numbers at equal distances from start to end, both included."""
    return _made(np.linspace(start, end, steps), dtype or float32, device, requires_grad)


def arange(
    start: Any = 0, end: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """`arange(end)`, `arange(start, end)` or `arange(start, end, step)`; end is not included."""
    start, end = (0, start) if end is None else (start, end)
    array = np.arange(start, end, step)
    natural = float32 if is_floating(array.dtype) else array.dtype
    return _made(array, dtype or natural, device, requires_grad)


def rand(
    *sizes: Any, size: Any = None, generator: Generator | None = None, dtype: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Random numbers, uniform in [0, 1), float32 unless dtype says otherwise."""
    numbers = (generator or default_generator).numpy.random(_shape(sizes, size))
    return _made(numbers, _floating(dtype or float32), device, requires_grad)


def randn(
    *sizes: Any, size: Any = None, generator: Generator | None = None, dtype: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Random numbers, normal with mean 0 and variance 1, float32 unless dtype says otherwise."""
    numbers = (generator or default_generator).numpy.standard_normal(_shape(sizes, size))
    return _made(numbers, _floating(dtype or float32), device, requires_grad)


def normal(
    mean: float = 0.0, std: float = 1.0, size: Any = (), generator: Generator | None = None,
    dtype: Any = None, device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Random numbers, normal with this mean and standard deviation; both are numbers here."""
    numbers = (generator or default_generator).numpy.standard_normal(from_args((size,)))
    return _made(mean + std * numbers, _floating(dtype or float32), device, requires_grad)


def randint(
    low: int = 0, high: Any = None, size: Any = (), generator: Generator | None = None,
    dtype: Any = None, device: Any = None,
) -> Tensor:  # fmt: skip
    """Random integers from low up to but without high: `randint(low, high, size)`.

    With one limit, `randint(high, size)`, low is 0.
    """
    if isinstance(high, (tuple, list)):
        high, size = None, high
    low, high = (0, low) if high is None else (low, high)
    numbers = (generator or default_generator).numpy.integers(low, high, from_args((size,)))
    return _made(numbers, dtype, device, False)


def randperm(n: int, generator: Generator | None = None, device: Any = None) -> Tensor:
    """The numbers 0 .. n-1 in random order."""
    return _made((generator or default_generator).numpy.permutation(n), None, device, False)


def uniform_(
    self: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Every element becomes a random number, uniform in [a, b)."""
    numbers = (generator or default_generator).numpy.random(self.shape)
    return self.fill_(_made(a + (b - a) * numbers, self.dtype, self.device, False))


def normal_(
    self: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Every element becomes a random number, normal with this mean and standard deviation."""
    numbers = (generator or default_generator).numpy.standard_normal(self.shape)
    return self.fill_(_made(mean + std * numbers, self.dtype, self.device, False))


def _new(make: Any) -> Any:
    """make as a method of a tensor, whose dtype and device what is made has unless it is told."""
    return lambda self, *args, **options: make(
        *args, **{"dtype": self.dtype, "device": self.device} | options
    )


def zeros_like(input: Tensor, **options: Any) -> Tensor:
    """Zeros in input's shape, dtype and device, unless options say otherwise."""
    return _new(zeros)(input, input.shape, **options)


def ones_like(input: Tensor, **options: Any) -> Tensor:
    """Ones in input's shape, dtype and device, unless options say otherwise."""
    return _new(ones)(input, input.shape, **options)


def empty_like(input: Tensor, **options: Any) -> Tensor:
    """The same as zeros_like."""
    return zeros_like(input, **options)


def full_like(input: Tensor, fill_value: Any, **options: Any) -> Tensor:
    """fill_value in input's shape, dtype and device, unless options say otherwise."""
    return _new(full)(input, input.shape, fill_value, **options)


def rand_like(input: Tensor, **options: Any) -> Tensor:
    """Uniform random numbers in input's shape, dtype and device, unless options say otherwise."""
    return _new(rand)(input, input.shape, **options)


def randn_like(input: Tensor, **options: Any) -> Tensor:
    """Normal random numbers in input's shape, dtype and device, unless options say otherwise."""
    return _new(randn)(input, input.shape, **options)


class TensorType:
    """PyTorch's older name for a dtype, `FloatTensor`: makes tensors, and is a dtype for `type`."""

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype  # NumPy looks for it when it is given one of these for a dtype

    def __call__(self, *data: Any) -> Tensor:
        """A tensor of a list or an array, zeros of these sizes, or an empty tensor of nothing."""
        if len(data) == 1 and not isinstance(data[0], int):
            return tensor(data[0], dtype=self.dtype)
        return zeros(*(data or (0,)), dtype=self.dtype)


FloatTensor, DoubleTensor, LongTensor = map(TensorType, (float32, float64, int64))
IntTensor, ByteTensor, BoolTensor = map(TensorType, (int32, uint8, bool_))
for _make in (zeros, ones, empty, full, tensor):
    setattr(Tensor, f"new_{_make.__name__}", _new(_make))
