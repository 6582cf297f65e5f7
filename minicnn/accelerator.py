"""torch.accelerator's names: the GPU, if there is one."""

from .cuda import device_count, is_available
from .devices import device

__all__ = ["current_accelerator", "device_count", "is_available"]


def current_accelerator() -> device | None:
    """device("cuda"), or None where there is no GPU."""
    return device("cuda") if is_available() else None
