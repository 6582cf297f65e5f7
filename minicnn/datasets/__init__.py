"""Data sets by name, and the reader of the idx files that some of them come in."""

from .digits import MNIST
from .idx import read_idx
