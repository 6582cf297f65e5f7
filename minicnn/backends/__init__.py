"""torch.backends' names, for programs that set or ask them; nothing here has an effect."""

from . import cudnn, mps


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Without effect: everything here gives the same bits on every run already."""
