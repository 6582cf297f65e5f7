"""What is done to images before a model sees them, under torchvision's names, batch by batch."""

from .base import Compose, Grayscale, Lambda, Normalize, ToPILImage, ToTensor, Transform
from .colour import ColorJitter
from .geometry import (
    CenterCrop,
    InterpolationMode,
    Pad,
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    RandomVerticalFlip,
    Resize,
)
