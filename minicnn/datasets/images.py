"""ImageDataset, what all data sets of labelled images share: samples, batches, transforms."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..data.dataset import Dataset, default_collate, rows
from ..errors import DataError
from ..transforms.base import ToTensor, Transform, samples

TO_TENSOR = ToTensor()


class ImageDataset(Dataset):
    """Sample i is (image, label), a batch of samples (images, labels).

    Without a transform a sample's image is a PIL image (mode L or RGB), as in torchvision, or a
    Tensor where the images are floating.  **A batch**, of which torchvision's makes none without
    ToTensor, has 8-bit images as a float32 Tensor (N, C, H, W) with values in [0, 1], as if
    ToTensor had come last: one gather.  A transform of `minicnn.transforms` is applied to whole
    batches; any other function gets one PIL image after the other, as in torchvision.
    target_transform gets each label, an int.

    A subclass defines `_images(where)`, and has all images as `data` and all labels as `targets`.

    Attributes
    ----------
    root
        Where the data was found.
    classes
        The names of the classes; label k is classes[k].
    """

    classes: list[str]
    data: Any
    targets: Any
    train: Any = None  # a bool: which of two sets, where there are two

    def __init__(
        self,
        root: Any,
        transform: Callable[[Any], Any] | None,
        target_transform: Callable[[int], Any] | None,
    ) -> None:
        self.root, self.transform, self.target_transform = root, transform, target_transform

    def _images(self, where: np.ndarray) -> np.ndarray:
        """The images at these indices, in memory of their own: (n, C, H, W), uint8 or floating."""
        raise NotImplementedError(f"{type(self).__name__} must define _images(where)")

    def _labels(self, where: np.ndarray) -> np.ndarray:
        """Their labels, in memory of their own: int64 (n,)."""
        return np.array([self.targets[i] for i in where], np.int64)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        where = np.array([operator.index(index)])
        images, label = self._transformed(self._images(where)), int(self._labels(where)[0])
        if isinstance(images, np.ndarray):
            images = samples(images)
        return images[0], label if self.target_transform is None else self.target_transform(label)

    def __getitems__(self, indices: Sequence[Any]) -> list[Any]:
        where = rows(indices)
        labels: Any = self._labels(where)
        if self.target_transform is not None:
            labels = default_collate([self.target_transform(k) for k in labels.tolist()])
        else:
            labels = Tensor(labels)
        return [self._batch(where), labels]

    def _batch(self, where: np.ndarray) -> Any:
        """The images at these indices as one batch, after the transform."""
        return self._collated(self._transformed(self._images(where)))

    def _transformed(self, pixels: np.ndarray) -> Any:
        """A batch after the transform: an array, or a list of what a foreign function returned."""
        if self.transform is None:
            return pixels
        if isinstance(self.transform, Transform):
            return self.transform.batch(pixels)
        return [self.transform(x) for x in samples(pixels)]

    def _collated(self, images: Any) -> Any:
        if isinstance(images, list):
            return default_collate(images)
        return Tensor(np.ascontiguousarray(TO_TENSOR.batch(images)))

    @property
    def images_shape(self) -> tuple[int, int, int] | None:
        """(C, H, W) of the images before any transform; None where they are not all in `data`."""
        return self._images(np.arange(0)).shape[1:] if hasattr(self, "data") else None

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The label of each class."""
        return {name: k for k, name in enumerate(self.classes)}

    def extra_repr(self) -> str:
        """What repr tells of this kind of data set; lines of text."""
        return "" if self.train is None else f"Split: {'Train' if self.train else 'Test'}"

    def __repr__(self) -> str:
        body = [f"Number of datapoints: {len(self)}", f"Root location: {self.root}"]
        body += self.extra_repr().splitlines()
        steps = {"Transform: ": self.transform, "Target transform: ": self.target_transform}
        if any(step is not None for step in steps.values()):
            body.append("StandardTransform")
        lines = [f"Dataset {type(self).__name__}", *(f"    {line}" for line in body)]
        for head, step in steps.items():
            if step is not None:
                first, *rest = repr(step).splitlines()
                lines += [head + first, *(" " * len(head) + line for line in rest)]
        return "\n".join(lines)


class ArrayImages(ImageDataset):
    """Labelled images in one array.

    Parameters
    ----------
    root
        Where they come from, for repr.
    images
        (N, C, H, W), uint8, or floating with values in [0, 1].
    targets
        int64 (N,).
    classes
        The names of the classes.
    transform, target_transform
        See ImageDataset.
    """

    def __init__(
        self,
        root: Any,
        images: np.ndarray,
        targets: np.ndarray,
        classes: list[str],
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
    ) -> None:
        super().__init__(root, transform, target_transform)
        self.data, self.targets, self.classes = images, targets, classes

    def _images(self, where: np.ndarray) -> np.ndarray:
        return self.data.take(where, 0)

    def _labels(self, where: np.ndarray) -> np.ndarray:
        return self.targets.take(where)


def check_labels(
    file: Any, labels: np.ndarray, images: int, image_file: Any, classes: int
) -> np.ndarray:
    """Labels as int64 (N,), one for each image, each below `classes`.

    Raises
    ------
    DataError
        That names the file with the labels.
    """
    if len(labels) != images:
        raise DataError(
            f"{file}: expected {images} labels, one for each image in {image_file}, "
            f"found {len(labels)}"
        )
    for extreme in (labels.min(initial=0), labels.max(initial=0)):
        if not 0 <= extreme < classes:
            raise DataError(f"{file}: expected labels 0 to {classes - 1}, found {extreme}")
    return labels.astype(np.int64)
