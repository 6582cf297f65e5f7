"""CuPy with a GPU behind it, or one line that says what is missing and how to get it."""

from typing import Any

from minicnn.arrays import import_cupy
from minicnn.errors import DeviceError

HOW = "pip install 'cupy-cuda13x[ctk]' (or cupy-cuda12x[ctk] for a CUDA 12 driver)"


def missing(error: Exception) -> str:
    """What it means that CuPy cannot be imported."""
    if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
        return f"device 'cuda' needs CuPy, which is not installed: {HOW}"
    text = " ".join(str(error.__cause__ or error).split())
    return f"device 'cuda' needs CuPy, which is installed, but cannot be imported: {text}"


def gpus() -> Any:
    """CuPy, where there is a GPU to use it on.

    Raises
    ------
    DeviceError
        Without CuPy, without a driver, with a driver that is too old for this CuPy, without a GPU.
    """
    cupy = import_cupy()
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(f"device 'cuda' cannot be used: {why_not(cupy, error)}") from None
    if count == 0:
        raise DeviceError(
            "device 'cuda' cannot be used: CuPy finds no GPU; see what nvidia-smi lists"
        )
    return cupy


def numbered(count: int) -> str:
    """What to know where there is no GPU of a number."""
    return f"there are {count} GPUs here, counted from 0" if count > 1 else "there is one GPU, 0"


def why_not(cupy: Any, error: Exception) -> str:
    """What CUDA's error means for the user.

    Versions are CUDA's way of writing 12.4 as 12040; a driver's is the newest CUDA that it runs.
    """
    runtime = cupy.cuda.runtime
    text = (str(error).splitlines() or [type(error).__name__])[0]
    try:
        driver, needed = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    except runtime.CUDARuntimeError:
        return text
    if driver == 0:
        return (
            "there is no NVIDIA driver; on a machine with an NVIDIA GPU install its driver, and "
            "see whether nvidia-smi lists the GPU"
        )
    if driver // 1000 < needed // 1000:
        return (
            f"the NVIDIA driver is too old: it runs CUDA {_version(driver)}, but CuPy was built "
            f"for {_version(needed)}; update the driver, or pip uninstall this CuPy and "
            f"pip install 'cupy-cuda{driver // 1000}x[ctk]'"
        )
    if "cudaErrorInvalidDevice" in text:
        return numbered(runtime.getDeviceCount())
    return text


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"
