"""Models by name, and what brings images into the form that each expects."""

from collections.abc import Callable
from functools import partial
from typing import Any

from ..autograd import Tensor
from ..data.dataset import Dataset, fetch
from ..errors import ArgumentError, ShapeError
from ..nn import functional as F
from ..transforms.resample import bilinear
from .alexnet import AlexNet
from .lenet import ColourLeNet, LeNet, LeNet5, SigmoidLeNet, TanhLeNet

MODELS: dict[str, Callable[..., Any]] = {
    "lenet": LeNet,
    "lenet5": LeNet5,
    "lenet-sigmoid": SigmoidLeNet,
    "lenet-d2l": partial(SigmoidLeNet, sigmoid_head=True),
    "lenet-tanh": TanhLeNet,
    "lenet-colour": ColourLeNet,
    "alexnet": AlexNet,
}


def make(name: str, num_classes: int = 10) -> Any:
    """A new model by its name in MODELS."""
    if name not in MODELS:
        raise ArgumentError(f"model {name!r} is not one of {', '.join(MODELS)}")
    return MODELS[name](num_classes=num_classes)


class Prepared(Dataset):
    """A data set of (image, ...) with the images as a model expects them."""

    def __init__(self, dataset: Any, model: Any) -> None:
        self.dataset, self.model = dataset, model

    def __getitems__(self, indices: Any) -> list[Any]:
        images, *others = fetch(self.dataset, indices)
        return [prepare(self.model, images), *others]

    def __len__(self) -> int:
        return len(self.dataset)


def prepare(model: Any, images: Tensor) -> Tensor:
    """Images (N, C, H, W) of pixels in [0, 1] as the model expects them.

    Pixels go from [0, 1] to [background, ink], and smaller images are centred on background;
    those for a model that `resizes` (AlexNet) are interpolated to its size instead.
    """
    channels, height, width = model.input_shape
    if getattr(model, "resizes", False) and images.shape[2:] != (height, width):
        larger = bilinear(images.cpu().numpy(), height, width)
        images = Tensor(larger).to(images.device)
    more_h, more_w = height - images.shape[2], width - images.shape[3]
    if images.shape[1] != channels or min(more_h, more_w) < 0:
        raise ShapeError(
            f"{type(model).__name__} takes images of {model.input_shape} or smaller, "
            f"not {images.shape[1:]}"
        )
    if (model.background, model.ink) != (0.0, 1.0):
        images = model.background + (model.ink - model.background) * images
    if not (more_h or more_w):
        return images
    top, left = more_h // 2, more_w // 2
    return F.pad(images, (left, more_w - left, top, more_h - top), value=model.background)
