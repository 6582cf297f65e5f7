"""PyTorch's other place for Parameter: `from minicnn.nn.parameter import Parameter`."""

from .module import Parameter

__all__ = ["Parameter"]
