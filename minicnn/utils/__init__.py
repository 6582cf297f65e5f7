"""torch.utils' names: `minicnn.utils.data` is minicnn.data."""

from . import data
