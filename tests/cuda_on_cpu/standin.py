"""A strict stand-in for the module cupy on machines without a GPU; see README.md.

`install(monkeypatch)` puts it into sys.modules for a test.  It has no name that the installed CuPy
lacks, and refuses what a GPU or CuPy refuses: implicit conversion to NumPy, mixing with NumPy's
arrays, work on another device's arrays, and everything that cannot be captured in a CUDA graph.
"""

import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from . import driver, memory, names
from .arrays import as_index, ndarray
from .compute import allocate, arrays_in, change, compute, from_host, submit
from .raw import RawKernel, RawModule

CHANGERS = {"put", "put_along_axis", "fill_diagonal", "place", "putmask"}  # of their first argument
SCATTERS = "int32 float16 float32 float64 uint32 uint64".split()  # those that CUDA adds atomically

# ---- functions that are not simply NumPy's -----------------------------------------------------


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """As cupy.empty."""
    return ndarray(shape, dtype, order=order)


def zeros(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """As cupy.zeros."""
    return full(shape, 0, dtype, order)


def ones(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """As cupy.ones."""
    return full(shape, 1, dtype, order)


def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C") -> ndarray:
    """As cupy.full: the value may be an array of the device."""
    if dtype is None:
        own = isinstance(fill_value, ndarray)
        dtype = fill_value.dtype if own else np.array(fill_value).dtype
    new = empty(shape, dtype, order)
    copyto(new, fill_value, casting="unsafe")
    return new


def arange(*args: Any, **kwargs: Any) -> ndarray:
    """As cupy.arange: computed on the device."""
    found = np.arange(*args, **kwargs)
    new = allocate(found.shape, found.dtype)
    submit(lambda: np.copyto(new._a, found), [], [new])
    return new


def copyto(dst: ndarray, src: Any, casting: str = "same_kind", where: Any = None) -> None:
    """As cupy.copyto."""
    options = {} if where is None else {"where": where}
    change("copyto", np.copyto, dst, src, casting=casting, **options)


def array(
    obj: Any, dtype: Any = None, copy: bool = True, order: str = "K", subok: bool = False,
    ndmin: int = 0, *, blocking: bool = False,
) -> ndarray:  # fmt: skip
    """As cupy.array: a copy, of data on the host too."""
    dtype = None if dtype is None else np.dtype(dtype)
    if isinstance(obj, ndarray):
        if not copy and dtype in (None, obj.dtype) and obj.ndim >= ndmin:
            return obj
        if obj.data.device_id != driver.machine.device:
            obj = _from_device(obj)
        return compute("array", lambda a: np.array(a, dtype, order=order, ndmin=ndmin), obj)
    if any(True for _ in arrays_in(obj)):
        return compute("stack", lambda *a: np.array(a, dtype), *obj)
    return from_host(np.array(obj, dtype, ndmin=ndmin), order)


def _from_device(a: ndarray) -> ndarray:
    """A copy from another device on the current one."""
    new = allocate(a.shape, a.dtype)
    driver.submit(lambda: np.copyto(new._a, a._a), [], [new.data.mem.chunk])
    return new


def asarray(
    a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, blocking: bool = False
) -> ndarray:
    """As cupy.asarray: an array of another device is copied."""
    elsewhere = isinstance(a, ndarray) and a.data.device_id != driver.machine.device
    return array(a, dtype, bool(copy or elsewhere), order or "K")


def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    """As cupy.ascontiguousarray."""
    a = asarray(a, dtype)
    if a.ndim == 0:
        return a.reshape(1)
    return a if a.flags.c_contiguous else compute("ascontiguousarray", np.ascontiguousarray, a)


def asnumpy(
    a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True
) -> np.ndarray:
    """As cupy.asnumpy."""
    return a.get(stream, order, out) if isinstance(a, ndarray) else np.asarray(a, order=order)


def get_array_module(*args: Any) -> Any:
    """As cupy.get_array_module."""
    return cupy if any(isinstance(a, ndarray) for a in args) else np


def may_share_memory(a: ndarray, b: ndarray, max_work: Any = None) -> bool:
    """As cupy.may_share_memory."""
    return np.may_share_memory(a._a, b._a)


# ---- functions that are ------------------------------------------------------------------------


class Ufunc:
    """As cupy.ufunc, over NumPy's."""

    def __init__(self, ufunc: np.ufunc) -> None:
        self._ufunc = ufunc
        self.__name__, self.nin, self.nout = ufunc.__name__, ufunc.nin, ufunc.nout

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if out := args[self.nin :]:
            kwargs["out"] = out if len(out) > 1 else out[0]
        return compute(self.__name__, self._ufunc, *args[: self.nin], **kwargs)

    def at(self, a: ndarray, indices: Any, *b: Any) -> None:
        """In place, where repeated indices count each time."""
        if self._ufunc is np.add and a.dtype.name not in SCATTERS:
            raise TypeError(f"scatter_add only supports {', '.join(SCATTERS)}, as data type")
        change(self.__name__, self._ufunc.at, a, as_index(indices), *b)

    def __getattr__(self, name: str) -> Any:
        if name not in ("outer", "reduce", "accumulate", "reduceat"):
            raise AttributeError(f"'cupy.ufunc' object has no attribute {name!r}")
        method = getattr(self._ufunc, name)
        return lambda *args, **kwargs: compute(self.__name__, method, *args, **kwargs)


def _function(where: str, name: str, function: Callable) -> Callable:
    """NumPy's function on arrays of the device, with the arguments of CuPy's."""
    signature = names.signature(where, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        if signature is not None:
            signature.bind(*args, **kwargs)
        if name in CHANGERS:
            return change(name, function, *args, **kwargs)
        reads = name == "where" and len(args) == 1
        return compute("nonzero" if reads else name, function, *args, **kwargs)

    call.__name__ = name
    return call


# ---- the modules -------------------------------------------------------------------------------


class _Module(types.ModuleType):
    """A module with contents of its own, and NumPy's functions under the names that CuPy has."""

    def __init__(self, name: str, like: Any = None, **contents: Any) -> None:
        super().__init__(name)
        self._like = like
        vars(self).update(contents)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        names.check(self.__name__, name)
        found = getattr(self._like, name, None)
        if isinstance(found, np.ufunc):
            found = Ufunc(found)
        elif found is None or isinstance(found, types.ModuleType):
            if name != "newaxis":
                raise NotImplementedError(f"the stand-in for CuPy lacks {self.__name__}.{name}")
        elif callable(found) and not isinstance(found, type):
            found = _function(self.__name__, name, found)
        setattr(self, name, found)
        return found


runtime = _Module(
    "cupy.cuda.runtime",
    CUDARuntimeError=driver.CUDARuntimeError,
    deviceSynchronize=lambda: driver.Device().synchronize(),
    driverGetVersion=lambda: 13000,
    getDevice=lambda: driver.machine.device,
    getDeviceCount=lambda: driver.DEVICES,
    getDeviceProperties=driver.get_device_properties,
    memGetInfo=lambda: driver.Device().mem_info,
    runtimeGetVersion=lambda: 13000,
    setDevice=driver.set_device,
    streamCaptureModeGlobal=driver.GLOBAL,
    streamCaptureModeRelaxed=driver.RELAXED,
    streamCaptureModeThreadLocal=driver.THREAD_LOCAL,
)
cuda = _Module(
    "cupy.cuda",
    Device=driver.Device,
    Event=driver.Event,
    Graph=driver.Graph,
    Memory=memory.DeviceMemory,
    MemoryPointer=memory.MemoryPointer,
    MemoryPool=memory.MemoryPool,
    PinnedMemoryPointer=memory.PinnedMemory,
    Stream=driver.Stream,
    alloc=memory.alloc,
    alloc_pinned_memory=memory.alloc_pinned_memory,
    get_allocator=memory.get_allocator,
    get_current_stream=driver.get_current_stream,
    get_elapsed_time=driver.get_elapsed_time,
    is_available=lambda: True,
    runtime=runtime,
    set_allocator=memory.set_allocator,
    using_allocator=memory.using_allocator,
)
_core = _Module(
    "cupy._core",
    get_compute_type=driver.get_compute_type,
    set_compute_type=driver.set_compute_type,
)
linalg = _Module("cupy.linalg", np.linalg)
stride_tricks = _Module("cupy.lib.stride_tricks", np.lib.stride_tricks)
lib = _Module("cupy.lib", stride_tricks=stride_tricks)
cupy = _Module(
    "cupy",
    np,
    RawKernel=RawKernel,
    RawModule=RawModule,
    __version__=names.version(),
    _core=_core,
    arange=arange,
    array=array,
    asarray=asarray,
    ascontiguousarray=ascontiguousarray,
    asnumpy=asnumpy,
    copyto=copyto,
    cuda=cuda,
    empty=empty,
    full=full,
    get_array_module=get_array_module,
    get_default_memory_pool=memory.get_default_memory_pool,
    lib=lib,
    linalg=linalg,
    may_share_memory=may_share_memory,
    ndarray=ndarray,
    ones=ones,
    ufunc=Ufunc,
    zeros=zeros,
)
MODULES = cupy, _core, cuda, runtime, lib, stride_tricks, linalg


def install(monkeypatch: Any) -> Any:
    """Puts the stand-in, as new, into sys.modules as cupy until the test ends."""
    driver.reset()
    memory.reset()
    for name in [n for n in sys.modules if n.partition(".")[0] in ("cupy", "cupyx")]:
        monkeypatch.delitem(sys.modules, name)  # the real one, where a test has imported it
    for module in MODULES:
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return cupy
