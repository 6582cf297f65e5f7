"""Losses as layers: each holds its arguments and calls the function of the same name.

Weights are buffers, so they move with the module.
"""

from dataclasses import KW_ONLY, dataclass

from ..autograd import Tensor
from . import functional as F
from .module import Module


@dataclass(eq=False, repr=False)
class CrossEntropyLoss(Module):
    """Cross-entropy of logits with class indices or probabilities."""

    _buffer_names = ("weight",)
    weight: Tensor | None = None
    _: KW_ONLY
    ignore_index: int = -100
    reduction: str = "mean"
    label_smoothing: float = 0.0

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )  # fmt: skip


@dataclass(eq=False, repr=False)
class NLLLoss(Module):
    """Negative log-likelihood of log-probabilities with class indices."""

    _buffer_names = ("weight",)
    weight: Tensor | None = None
    _: KW_ONLY
    ignore_index: int = -100
    reduction: str = "mean"

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction
        )


@dataclass(eq=False, repr=False, kw_only=True)
class MSELoss(Module):
    """Mean squared error."""

    reduction: str = "mean"

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(input, target, reduction=self.reduction)


@dataclass(eq=False, repr=False, kw_only=True)
class L1Loss(Module):
    """Mean absolute error."""

    reduction: str = "mean"

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(input, target, reduction=self.reduction)


@dataclass(eq=False, repr=False, kw_only=True)
class SmoothL1Loss(Module):
    """Squared error where it is small, absolute error beyond beta."""

    reduction: str = "mean"
    beta: float = 1.0

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


@dataclass(eq=False, repr=False)
class BCELoss(Module):
    """Binary cross-entropy of probabilities; weight rescales the elements."""

    _buffer_names = ("weight",)
    weight: Tensor | None = None
    _: KW_ONLY
    reduction: str = "mean"

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


@dataclass(eq=False, repr=False)
class BCEWithLogitsLoss(Module):
    """Binary cross-entropy of logits; pos_weight rescales the part of the positive targets."""

    _buffer_names = ("weight", "pos_weight")
    weight: Tensor | None = None
    _: KW_ONLY
    reduction: str = "mean"
    pos_weight: Tensor | None = None

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )
