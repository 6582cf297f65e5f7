"""Recipe: what to train on what and how, in plain values that a run folder can keep."""

import itertools
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np

from .. import cuda, datasets, kernels
from ..creation import zeros
from ..data import Subset, random_split
from ..data.dataset import fetch
from ..datasets.registry import DEFAULT_ROOT
from ..devices import device as as_device
from ..errors import ArgumentError, DataError
from ..models import make, prepare
from ..random import manual_seed
from .choices import OPTIMIZERS, SCHEDULES, by_name
from .trainer import Trainer

KERNELS = [name for name in kernels.IMPLEMENTATIONS if name != "cuda"]  # which serves GPUs anyway


def _option(default: Any, help: str, on_resume: bool = False, **more: Any) -> Any:
    """A field, with its option of `minicnn train`; on_resume if a resumed run may have another."""
    option = {"help": help, **more}
    return field(default=default, metadata={"option": option, "on_resume": on_resume})


def _one_of(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}."


@dataclass(frozen=True)
class Recipe:
    """What to train on what and how.

    The command line, the checks of a run folder's recipe and what `resume` may change derive from
    these fields.
    """

    model: str = _option("lenet", "One that `minicnn models` lists.")
    data: str = _option(
        "mnist",
        "One that `minicnn datasets` lists, a folder with train/ and test/ of class folders, or "
        "an .npz file.",
    )
    data_root: str | None = _option(None, "Where the data set's files are.")
    epochs: int = _option(10, "Passes over the training set.", min=1)
    batch_size: int = _option(64, "Images per step.", min=1)
    optimizer: str = _option("adam", _one_of(OPTIMIZERS))
    schedule: str = _option("onecycle", _one_of(SCHEDULES))
    lr: float | None = _option(
        None, "The highest learning rate.", min=0, show_default="the optimiser's"
    )
    val_share: float = _option(
        0.1, "Share of the training set for validation, drawn at random.", min=0, max=0.9
    )
    device: str = _option("cpu", "cpu, cuda or cuda:N.", on_resume=True)
    kernels: str = _option("numba", f"On the CPU: {_one_of(KERNELS)}", on_resume=True)
    seed: int = _option(0, "Of weights, split, order, augmentation and dropout.", min=0)
    limit: int = _option(0, "Use only so many images of each set; 0 for all.", min=0)
    graph: bool = _option(True, "Capture steps in CUDA graphs on a GPU.", on_resume=True)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Recipe":
        """A recipe from what `asdict` made of one; DataError for unknown names or other types."""
        types = get_type_hints(cls)
        for name, value in values.items():
            allowed = get_args(types.get(name)) or (types.get(name),)
            if type(value) not in allowed and not (type(value) is int and float in allowed):
                raise DataError(
                    f"recipe: {ascii(name)[1:-1]:.40}={value!r:.60} is not one of "
                    f"{', '.join(types)} of the right type"
                )
        return cls(**values)

    def check(self) -> None:
        """Raises ArgumentError for what is wrong on any machine and with any data."""
        if not 0 <= self.val_share < 1:
            raise ArgumentError(f"val_share must be from 0 to below 1, not {self.val_share}")
        for f in fields(self):
            value, least = getattr(self, f.name), f.metadata["option"].get("min")
            if None not in (value, least) and value < least:
                raise ArgumentError(f"{f.name} must be {least} or more, not {value}")
        if not self.data:
            raise ArgumentError("data must be a name or a path, not empty")
        if 0 < self.limit < 20:
            raise ArgumentError(f"limit must be 0 or at least 20, not {self.limit}")
        if self.kernels not in KERNELS:
            raise ArgumentError(f"kernels {self.kernels!r} is not one of {', '.join(KERNELS)}")
        as_device(self.device)

    def build(self) -> "Training":
        """Chooses kernels, seeds the default generator, makes model, data sets and Trainer.

        Raises
        ------
        ArgumentError, ShapeError
            For names that do not exist, numbers out of range, images that do not fit the model.
        DataError
            For data that is missing or damaged.
        DeviceError
            If the device is not there.
        """
        self.check()
        where = chosen(self.device)
        kernels.use(self.kernels)
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
        optimizer = by_name("optimizer", OPTIMIZERS, self.optimizer)
        trainer = Trainer(
            model, train, val, epochs=self.epochs, batch_size=self.batch_size,
            lr=optimizer.lr if self.lr is None else self.lr, optimizer=optimizer,
            schedule=self.schedule, graph=self.graph,
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


def chosen(name: str) -> as_device:
    """A device by its name; a GPU with a number becomes the current one.

    Raises
    ------
    ArgumentError, DeviceError
        If it is none, or is not there.
    """
    where = as_device(name)
    zeros(1, device=where)
    if where.index is not None:
        cuda.set_device(where)
    return where


def default_folder(recipe: Recipe, parent: "str | Path" = "runs") -> Path:
    """The first of runs/MODEL-DATA-1, -2, ... that does not exist."""
    name = f"{recipe.model}-{Path(recipe.data).stem}"
    folders = (Path(parent) / f"{name}-{number}" for number in itertools.count(1))
    return next(folder for folder in folders if not folder.exists())
