"""Data sets by name, folders and files of images, and the readers of the formats they come in."""

from .cifar import CIFAR10
from .digits import MNIST, FashionMNIST
from .folder import ImageFolder
from .idx import read_idx
from .images import ArrayImages, ImageDataset
from .npz import NpzDataset
from .registry import DATASETS, load
