"""Recipe: what to train on what and how, in plain values that a run folder can keep."""

import zlib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import cuda, datasets
from ..creation import zeros
from ..data import Subset, random_split
from ..data.dataset import fetch
from ..datasets.registry import DEFAULT_ROOT
from ..devices import device
from ..errors import ArgumentError, DataError
from ..models import make, prepare
from ..random import manual_seed
from .trainer import Trainer

LEARNING_RATES = {"adam": 4e-3, "adamw": 4e-3, "sgd": 0.3, "momentum": 0.05}
"""The highest learning rate where none is given, by optimiser: for LeNet with batches of 64."""


@dataclass(frozen=True)
class Recipe:
    """What to train on what and how.

    Attributes
    ----------
    model
        A name in models.MODELS.
    data, data_root
        What `datasets.load` takes; a data set with a name is downloaded if it is not there.
    epochs, batch_size, lr, optimizer, schedule
        As in Trainer; the learning rate is the optimiser's in LEARNING_RATES if None.
    val_share
        The share of the training set that validates, drawn at random; 0 for none.
    device
        "cpu", "cuda" or "cuda:N".
    seed
        Of weights, split, order, augmentation and dropout.
    limit
        Use only so many images of each set; 0 for all.
    graph
        On a GPU, capture the steps in CUDA graphs where that is possible.
    """

    model: str = "lenet"
    data: str = "mnist"
    data_root: str | None = None
    epochs: int = 10
    batch_size: int = 64
    optimizer: str = "adam"
    schedule: str = "onecycle"
    lr: float | None = None
    val_share: float = 0.1
    device: str = "cpu"
    seed: int = 0
    limit: int = 0
    graph: bool = True

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Recipe":
        """A recipe from what `asdict` made of one; DataError for unknown names or other types."""
        defaults = asdict(cls())
        for name, value in values.items():
            kinds = {"data_root": (str, type(None)), "lr": (float, int, type(None)),
                     "val_share": (float, int)}  # fmt: skip
            wanted = kinds.get(name, type(defaults.get(name)))
            odd = isinstance(value, bool) != (wanted is bool)
            if name not in defaults or not isinstance(value, wanted) or odd:
                known = ", ".join(f.name for f in fields(cls))
                raise DataError(
                    f"recipe: {ascii(name)[1:-1]:.40}={value!r:.60} is not one of {known} of the "
                    "right type"
                )
        return cls(**values)

    def build(self) -> "Training":
        """Seeds the default generator, and makes the model, the data sets and the Trainer.

        Raises
        ------
        ArgumentError, ShapeError
            For names that do not exist, numbers out of range, images that do not fit the model.
        DataError
            For data that is missing or damaged.
        DeviceError
            If the device is not there.
        """
        self._check()
        where = chosen(self.device)
        manual_seed(self.seed)
        known, test = datasets.load(self.data, self.data_root, download=True)
        given = self.data == "mnist" and self.data_root is not None
        if given and not Path(known.root).is_relative_to(Path(self.data_root or "").expanduser()):
            raise DataError(
                f"{self.data_root}: expected MNIST's files there, found none; leave out data_root "
                "for those inside the package"
            )
        classes = list(known.classes)
        model = make(self.model, num_classes=len(classes)).to(where)
        train, test = self._limited(known), self._limited(test)
        shape = fetch(train, [0])[0].shape[1:]
        prepare(model, zeros(1, *shape))  # raises now if the images do not fit
        val = None
        if self.val_share:
            if len(train) * self.val_share < 1:
                raise ArgumentError(
                    f"val_share {self.val_share} of {len(train)} images leaves none to validate "
                    "with; make it larger, or 0"
                )
            parts = random_split(train, [1 - self.val_share, self.val_share])
            train, val = (Subset(p.dataset, np.array(p.indices)) for p in parts)  # one gather each
        trainer = Trainer(
            model, train, val, epochs=self.epochs, batch_size=self.batch_size,
            lr=LEARNING_RATES.get(self.optimizer, 0.0) if self.lr is None else self.lr,
            optimizer=self.optimizer, schedule=self.schedule, graph=self.graph,
        )  # fmt: skip
        crc = zlib.crc32(fetch(known, np.arange(min(64, len(known))))[0].numpy())
        return Training(trainer, test, classes, shape, crc)

    def located(self) -> "Recipe":
        """The same, with paths that lead to the data from any folder."""
        data, root = self.data, self.data_root
        if data not in datasets.DATASETS:
            path = Path(data).expanduser()
            data = str(path.absolute()) if data and path.exists() else data
        elif root is not None or data != "mnist":
            root = str(Path(root or DEFAULT_ROOT).expanduser().absolute())
        return replace(self, data=data, data_root=root)

    def test_set(self) -> Any:
        """The test set alone."""
        return self._limited(datasets.load(self.data, self.data_root, download=True)[1])

    def _limited(self, dataset: Any) -> Any:
        few = self.limit and self.limit < len(dataset)
        return Subset(dataset, range(self.limit)) if few else dataset

    def _check(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("limit", 0), ("seed", 0)):
            if getattr(self, name) < least:
                raise ArgumentError(f"{name} must be {least} or more, not {getattr(self, name)}")
        if not self.data:
            raise ArgumentError("data must be a name or a path, not empty")
        if not 0 <= self.val_share < 1:
            raise ArgumentError(f"val_share must be from 0 to below 1, not {self.val_share}")
        if 0 < self.limit < 20:
            raise ArgumentError(f"limit must be 0 or at least 20, not {self.limit}")


@dataclass(frozen=True)
class Training:
    """What a recipe makes: the trainer, the test set, and what is known of the data.

    `shape` is the images' (C, H, W), `crc` a checksum of the first of them.
    """

    trainer: Trainer
    test: Any
    classes: list[str]
    shape: tuple[int, ...]
    crc: int


def chosen(name: str) -> device:
    """A device by its name; a GPU with a number becomes the current one.

    Raises
    ------
    ArgumentError, DeviceError
        If it is none, or is not there.
    """
    where = device(name)
    zeros(1, device=where)
    if where.index is not None:
        cuda.set_device(where)
    return where


def default_folder(recipe: Recipe, parent: "str | Path" = "runs") -> Path:
    """The first of runs/MODEL-DATA-1, -2, ... that does not exist."""
    name = f"{recipe.model}-{Path(recipe.data).stem}"
    number = 1
    while (Path(parent) / f"{name}-{number}").exists():
        number += 1
    return Path(parent) / f"{name}-{number}"
