"""Cross-entropy on class indices in one kernel, where one is offered; else ops/loss.py serves."""

from typing import Any

from .. import kernels
from ..autograd import Function, Tensor
from ..errors import ArgumentError
from ..ops.loss import check_reduction


class LabelCrossEntropy(Function, kernel=True):
    """CrossEntropy of ops/loss.py for logits (N, C) and labels (N,), in one launch each way.

    There the labels become rows of probabilities first, which on a GPU is several launches and a
    wait for the host to see that each label is a class.
    """

    @staticmethod
    def forward(ctx, input, target, weight, ignore_index, reduction, label_smoothing):
        check_reduction("cross_entropy", reduction)
        if not 0 <= label_smoothing <= 1:
            raise ArgumentError(f"cross_entropy: label_smoothing {label_smoothing} not in [0, 1]")
        y, ctx.saved = kernels.forward(
            "cross_entropy", input, target, weight, ignore_index, reduction, label_smoothing
        )
        return y

    @staticmethod
    def backward(ctx, g):
        return kernels.backward("cross_entropy", g, ctx.saved, ctx.needs_input_grad[:1])


def takes(input: Any, target: Any, weight: Any) -> bool:
    """Whether this is a loss that the kernel computes; what is wrong is left to ops/loss.py."""
    if not (isinstance(input, Tensor) and isinstance(target, Tensor)):
        return False
    return (
        kernels.offers("cross_entropy", input.array)
        and input.ndim == 2
        and target.dtype.kind in "iu"
        and target.shape == input.shape[:1]
        and (weight is None or (weight.shape == input.shape[1:] and weight.dtype == input.dtype))
    )
