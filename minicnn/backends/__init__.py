"""torch.backends' names, for programs that set or ask them; only cuda's have an effect."""

from . import cuda, cudnn, mps


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Without effect: everything here gives the same bits on every run already."""
