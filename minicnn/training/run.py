"""Run: the folder of one training, and how its files stay whole whatever happens."""

import csv
import io
import json
import os
import platform
import time
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..errors import DataError, MinicnnError
from ..serialization import load, save, save_file, write_file
from ..untrusted import reason
from .trainer import HISTORY, Trainer

INTERVAL = 30.0
"""Seconds of work after which a checkpoint is due."""

MOST_CONFIG = 2**20
"""Bytes above which a config.json is not read."""

MOST_CLASSES = 2**16
"""Classes that it may name."""


class Run:
    """A run folder, in use by this process until `close`.

    ==========================  ===================================================================
    config.json                 the recipe, the versions of what it ran on, when it began
    checkpoint.safetensors      all that is needed to go on: weights, optimiser, schedule, random
                                state, position, history; the one source for what follows
    history.csv                 a row per epoch (HISTORY)
    best.safetensors            the weights of the best epoch, `last.safetensors` of the last
    test.json                   what the test gave: loss, accuracy, accuracy of each class
    *.png                       curves, confusion, mistakes, filters
    ==========================  ===================================================================

    Every file is replaced in one step, so a kill at any moment leaves the older or the newer one,
    whole.  A lock that ends with the process keeps a second one out.
    """

    def __init__(self, folder: "str | os.PathLike[str]", config: dict[str, Any]) -> None:
        import safetensors  # noqa: F401  # better missed now than at the first checkpoint

        self.folder, self.config = Path(folder), config
        self._saved = time.monotonic()
        try:
            self._lock = _lock(self.folder)
            for left_over in self.folder.glob(".minicnn-*.tmp"):  # of a process killed while saving
                left_over.unlink()
        except OSError as error:
            raise DataError(f"{folder}: cannot be written: {error.strerror}") from None

    @classmethod
    def create(
        cls, folder: "str | os.PathLike[str]", recipe: dict[str, Any], about: dict[str, Any]
    ) -> "Run":
        """A new run; makes the folder.

        Parameters
        ----------
        folder
            May exist, but hold no run.
        recipe
            The plain values of a Recipe.
        about
            What is known of the data: the classes' names as "classes", the images' (C, H, W) as
            "shape", more if wanted.

        Raises
        ------
        DataError
            If the folder cannot be written, holds a run already or is in use.
        """
        folder = Path(folder).expanduser()
        config = {
            "recipe": recipe, **about, "versions": versions(),
            "began": time.strftime("%FT%T%z"),
        }  # fmt: skip
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{folder}: cannot be written: {error.strerror}") from None
        run = cls(folder, config)
        if (folder / "config.json").exists():
            run.close()
            raise DataError(
                f"{folder}: holds a run already; continue it with `minicnn train --resume "
                f"{folder}`, or choose another folder"
            )
        run.write("config.json", json.dumps(config, indent=1) + "\n")
        return run

    @classmethod
    def open(cls, folder: "str | os.PathLike[str]") -> "Run":
        """An existing run.

        Raises
        ------
        DataError
            If there is none, its config.json is damaged, or another process uses it.
        """
        return cls(folder, read_config(folder))

    def close(self) -> None:
        """Lets other processes use the folder."""
        self._lock.close()

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- what a Trainer calls

    def step(self, trainer: Trainer) -> None:
        """Saves a checkpoint if the last one is INTERVAL old."""
        if time.monotonic() - self._saved >= INTERVAL:
            self.save(trainer)

    def epoch(self, trainer: Trainer) -> None:
        """Saves a checkpoint, the history, and the best and last weights."""
        self.save(trainer)
        weights = {"best": trainer.best_state, "last": trainer.model.state_dict()}
        for name, state in weights.items():
            about = {"model": self.config["recipe"]["model"]}
            save_file(state, self.folder / f"{name}.safetensors", about)
        text = io.StringIO()
        writer = csv.DictWriter(text, HISTORY, lineterminator="\n")
        writer.writeheader()
        writer.writerows(trainer.history)
        self.write("history.csv", text.getvalue())

    def save(self, trainer: Trainer) -> None:
        """Saves a checkpoint."""
        state = trainer.state_dict() | {"recipe": self.config["recipe"]}
        save(state, self.folder / "checkpoint.safetensors")
        self._saved = time.monotonic()

    # -- the rest

    def load(self, trainer: Trainer) -> None:
        """Takes the trainer to where the last checkpoint was; leaves it as it is if there is none.

        Raises
        ------
        DataError
            If the checkpoint is damaged or of another training.
        """
        path = self.folder / "checkpoint.safetensors"
        if not path.exists():
            return
        state = load(path)
        try:
            if not isinstance(state, dict) or state.pop("recipe", 0) != self.config["recipe"]:
                raise ValueError("its recipe is another")
            trainer.load_state_dict(state)
        except (ValueError, TypeError, OverflowError, MinicnnError) as error:
            raise DataError(
                f"{path}: expected a checkpoint of the training that config.json describes, "
                f"found one that does not fit it ({reason(error)})"
            ) from None
        if trainer.history:
            self.epoch(trainer)  # these files may be older than the checkpoint

    def write(self, name: str, text: str) -> None:
        """Replaces a text file of the folder in one step."""
        write_file(self.folder / name, text.encode())


def read_config(folder: "str | os.PathLike[str]") -> dict[str, Any]:
    """What config.json holds; the recipe's own values are checked by Recipe.

    Raises
    ------
    DataError
        If there is none, or it is damaged.
    """
    path = Path(folder) / "config.json"
    try:
        if path.stat().st_size > MOST_CONFIG:
            raise ValueError(f"{path.stat().st_size:,} bytes")
        config = json.loads(path.read_text(encoding="utf-8"))
        classes, shape = config["classes"], config["shape"]
        if (
            isinstance(config["recipe"], dict)
            and isinstance(config["recipe"]["model"], str)
            and isinstance(classes, list)
            and 0 < len(classes) <= MOST_CLASSES
            and all(isinstance(name, str) and name.isprintable() for name in classes)
            and isinstance(shape, list)
            and all(type(size) is int and 0 < size < 10_000 for size in shape)
            and len(shape) == 3
        ):
            return config
        problem = "recipe, classes or shape of other types"
    except OSError as error:
        problem = error.strerror or str(error)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        problem = f"{type(error).__name__}: {reason(error)}"
    raise DataError(f"{path}: expected the description of a run, found: {problem}")


def versions() -> dict[str, str]:
    """What the bits and the speed of a run depend on, beside its recipe."""
    from .. import __version__

    return {
        "minicnn": __version__, "numpy": np.__version__, "python": platform.python_version(),
        "machine": platform.machine(), "system": platform.platform(),
    }  # fmt: skip


def _lock(folder: Path) -> IO[str]:
    """The folder's lock file, locked: the system unlocks it when the process ends, however."""
    try:
        import fcntl
    except ImportError:  # Windows: unlocked
        return open(os.devnull)
    file = open(folder / ".lock", "a+")  # noqa: SIM115 (open as long as the run is)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "?"
        file.close()
        raise DataError(
            f"{folder}: in use by another process (number {holder}); wait for it, or choose "
            "another folder"
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
