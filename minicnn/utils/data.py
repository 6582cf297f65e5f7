"""torch.utils.data's names, which live in minicnn.data."""

from ..data import *  # noqa: F403
