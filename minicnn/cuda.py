"""torch.cuda's names: what programs ask about GPUs; CUDA graphs.  Without CuPy there is no GPU."""

import contextlib
from collections.abc import Iterator
from typing import Any

from .arrays import import_cupy
from .devices import device as _device
from .errors import DeviceError
from .random import manual_seed  # noqa: F401  one generator serves all devices
from .random import manual_seed as manual_seed_all  # noqa: F401


def __getattr__(name: str) -> Any:
    """CUDAGraph and graph, imported when they are first asked for."""
    if name in ("CUDAGraph", "graph"):
        from .kernels.cuda import graphs

        return getattr(graphs, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """With what is imported late."""
    return [*globals(), "CUDAGraph", "graph"]


def device_count() -> int:
    """How many GPUs there are; 0 without CuPy or without a driver."""
    try:
        cupy = import_cupy()
    except DeviceError:
        return 0
    try:
        return cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError:  # no driver, or no device
        return 0


def is_available() -> bool:
    """Whether tensors can be moved to a GPU."""
    return device_count() > 0


def current_device() -> int:
    """The number of the GPU that "cuda" means."""
    return _gpus().cuda.runtime.getDevice()


def set_device(device: Any) -> None:
    """Makes a GPU the one that "cuda" means; kernels run on the current one only."""
    _gpus().cuda.Device(_index(device)).use()


@contextlib.contextmanager
def device(device: Any) -> Iterator[None]:
    """`with cuda.device(1):` that GPU is the current one inside."""
    with _gpus().cuda.Device(_index(device)):
        yield


def get_device_name(device: Any = None) -> str:
    """What a GPU calls itself."""
    properties = _gpus().cuda.runtime.getDeviceProperties(_index(device))
    return properties["name"].decode()


def memory_allocated(device: Any = None) -> int:
    """Bytes that tensors hold on a GPU; 0 where there is none."""
    if not is_available():
        return 0
    from .kernels.cuda.graphs import used_bytes

    cupy = _gpus()
    with cupy.cuda.Device(_index(device)):
        return cupy.get_default_memory_pool().used_bytes() + used_bytes()


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """(free, total) bytes of a GPU's memory, for all programs that use it."""
    cupy = _gpus()
    with cupy.cuda.Device(_index(device)):
        return cupy.cuda.runtime.memGetInfo()


def synchronize(device: Any = None) -> None:
    """Waits until a GPU has done all it was told to; times taken before are too short."""
    if is_available():
        _gpus().cuda.Device(_index(device)).synchronize()


def empty_cache() -> None:
    """Gives memory back to the GPU that no tensor holds."""
    if is_available():
        from .kernels.cuda.graphs import free_idle

        _gpus().get_default_memory_pool().free_all_blocks()
        free_idle()


class Event:
    """A mark among the launches: `start.record(); ...; end.record()`.

    Parameters
    ----------
    enable_timing : bool
        Whether `elapsed_time` will be asked.
    """

    def __init__(self, enable_timing: bool = False) -> None:
        self._event = _gpus().cuda.Event(disable_timing=not enable_timing)

    def record(self) -> None:
        """Puts the mark behind all that was launched so far."""
        self._event.record()

    def synchronize(self) -> None:
        """Waits until the GPU has come to the mark."""
        self._event.synchronize()

    def elapsed_time(self, end_event: "Event") -> float:
        """Milliseconds of the GPU's time from this mark to another; both must be reached."""
        return float(_gpus().cuda.get_elapsed_time(self._event, end_event._event))


def _gpus() -> Any:
    from .kernels.cuda.driver import gpus

    return gpus()


def _index(which: Any) -> int:
    """The number of a GPU from a number, a name like "cuda:1", or None for the current one.

    Raises
    ------
    DeviceError
        If there is no such GPU, or no GPU at all.
    """
    from .kernels.cuda.driver import numbered

    _gpus()
    gpu = None if which is None else _device(which)
    if gpu == "cpu":
        raise DeviceError("minicnn.cuda: device 'cpu' is no GPU")
    if gpu is None or gpu.index is None:
        return current_device()
    if gpu.index >= (count := device_count()):
        raise DeviceError(f"device '{gpu}' cannot be used: {numbered(count)}")
    return gpu.index
