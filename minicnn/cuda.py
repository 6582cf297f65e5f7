"""torch.cuda's names: what programs ask about GPUs.  Without CuPy or a GPU, there is none."""

from types import ModuleType
from typing import Any

from .arrays import import_cupy
from .devices import device
from .errors import DeviceError
from .random import manual_seed  # noqa: F401  one generator serves all devices
from .random import manual_seed as manual_seed_all  # noqa: F401


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


def get_device_name(device: Any = None) -> str:
    """What a GPU calls itself."""
    properties = _gpus().cuda.runtime.getDeviceProperties(_index(device))
    return properties["name"].decode()


def memory_allocated(device: Any = None) -> int:
    """Bytes that tensors hold on a GPU; 0 where there is none."""
    if not is_available():
        return 0
    cupy = _gpus()
    with cupy.cuda.Device(_index(device)):
        return cupy.get_default_memory_pool().used_bytes()


def synchronize(device: Any = None) -> None:
    """Waits until a GPU has done all it was told to; times taken before are too short."""
    if is_available():
        _gpus().cuda.Device(_index(device)).synchronize()


def empty_cache() -> None:
    """Gives memory back to the GPU that no tensor holds."""
    if is_available():
        _gpus().get_default_memory_pool().free_all_blocks()


def _gpus() -> ModuleType:
    """CuPy, where there is a GPU to use it on."""
    cupy = import_cupy()
    if not is_available():
        raise DeviceError("device 'cuda': CuPy finds no GPU; check the driver with nvidia-smi")
    return cupy


def _index(which: Any) -> int:
    """The number of a GPU from a number, a name like "cuda:1", or None for the current one."""
    if isinstance(which, int):
        return which
    index = None if which is None else device(which).index
    return current_device() if index is None else index
