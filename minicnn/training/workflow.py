"""The whole of a training: from a recipe to a run folder with weights, scores and pictures."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import kernels
from ..autograd import Tensor
from ..data.dataset import fetch
from ..errors import ArgumentError, DataError, StateDictError, missing
from ..models import make
from ..nn import Conv2d, Module
from ..nn import functional as F
from ..serialization import load, load_file
from ..untrusted import reason
from .evaluation import Scores, answers, score
from .interrupts import Interrupts
from .preprocessing import digit, picture, read_image
from .progress import TensorBoard, Together, View, pick, say
from .recipe import Recipe, Training, chosen, default_folder
from .run import Run, read_config, versions
from .trainer import Trainer

SHOWN = 48
"""Samples in predictions.png."""

MEMORY = 2**25
"""Pixels of the samples among which mistakes.png looks: MNIST's and CIFAR's test sets fit."""


@dataclass(frozen=True)
class Outcome:
    """What a finished training leaves: its folder, its trainer (best weights in), its test."""

    folder: Path
    trainer: Trainer
    scores: Scores

    def __repr__(self) -> str:
        return f"Outcome({str(self.folder)!r}, test accuracy {self.scores.accuracy:.2%})"


@kernels.restoring()
def train(
    recipe: Recipe | None = None,
    out: "str | Path | None" = None,
    view: View | None = None,
    tensorboard: bool = False,
) -> Outcome:
    """Trains after a recipe, keeps everything in a run folder, and tests the best weights.

    Parameters
    ----------
    recipe
        What and how; Recipe() if left out: LeNet on MNIST.
    out
        A new folder; runs/MODEL-DATA-NUMBER if left out.
    view
        Shows the training while it runs; what suits the terminal or notebook if left out.
    tensorboard
        Write TensorBoard's event files into the folder too.

    Raises
    ------
    Stopped
        After Ctrl-C or SIGTERM; `resume` goes on.
    MinicnnError
        Whatever is wrong with the recipe, the data or the folder.
    """
    recipe = (Recipe() if recipe is None else recipe).located()
    view = pick() if view is None else view
    training = recipe.build()
    about = {"classes": training.classes, "shape": training.shape, "crc": training.crc}
    with Run.create(out or default_folder(recipe), asdict(recipe), about) as run:
        view.note(_first_line(recipe, training))
        return _finish(run, training, view, tensorboard)


@kernels.restoring()
def resume(
    folder: "str | Path",
    view: View | None = None,
    tensorboard: bool = False,
    **changes: Any,
) -> Outcome:
    """Goes on with a run that was stopped or killed; ends with the bits it would have had.

    Parameters
    ----------
    **changes
        `device`, `kernels` or `graph`, as in Recipe, where they are not to be as the run was begun
        with.  On another device or with other kernels the last bits differ.

    Raises
    ------
    Stopped
        As in `train`.
    DataError
        If the folder is no run, is in use, or its checkpoint is damaged.
    ArgumentError, DeviceError
        If the device is none, or is not there; if `changes` has more of the recipe.
    """
    view = pick() if view is None else view
    fixed = [f.name for f in fields(Recipe) if f.name in changes and not f.metadata["on_resume"]]
    if fixed:
        raise ArgumentError(f"resume: takes the recipe from the run folder; leave out {fixed[0]}")
    Recipe(**changes).check()
    with Run.open(folder) as run:
        begun = recipe_of(folder)
        recipe = replace(begun, **changes)
        training = _build(run, recipe)
        trainer = training.trainer
        run.load(trainer)
        if trainer.finished:
            view.note(f"{folder}: all {trainer.epochs} epochs are done; testing")
        else:
            view.note(f"{folder}: going on in epoch {trainer.epoch} after {trainer.batch} steps")
        moved = (recipe.device, recipe.kernels) != (begun.device, begun.kernels)
        if moved or run.config.get("versions") != versions():
            view.note(
                "begun on another machine, device or versions, or with other kernels: the last "
                "bits may come out different"
            )
        return _finish(run, training, view, tensorboard)


def _build(run: Run, recipe: Recipe) -> Training:
    """The training of a run's recipe; DataError if that or the data is not what it was."""
    path = run.folder / "config.json"
    try:
        training = recipe.build()
    except ArgumentError as error:
        raise DataError(f"{path}: {reason(error)}") from None
    now = {"classes": training.classes, "shape": [*training.shape], "crc": training.crc}
    then = {key: run.config.get(key) for key in now}
    if now != then:
        changed = ", ".join(key for key in now if now[key] != then[key])
        raise DataError(f"{path}: the data is not what it was when the run began: other {changed}")
    return training


def _finish(run: Run, training: Training, view: View, tensorboard: bool) -> Outcome:
    """Trains what is left, tests, and draws; says how to go on if it is stopped."""
    trainer = training.trainer
    view = Together(view, TensorBoard(run.folder)) if tensorboard else view
    try:
        with Interrupts() as interrupts:
            trainer.fit(view, run)
            scores = score(trainer.model, training.test, interrupts.check)
            with _or_without_pictures(view.note):
                write_scores(run, training.test, scores, training.classes)
                interrupts.check()
                draw_training(run.folder, trainer)
            interrupts.check()
    except KeyboardInterrupt:
        view.note(_how_to_go_on(run, trainer))
        raise
    outcome = Outcome(run.folder, trainer, scores)
    view.note(_last_line(outcome))
    view.note(f"weights, history and pictures are in {run.folder}")
    return outcome


def _how_to_go_on(run: Run, trainer: Trainer) -> str:
    """What a stopped training says; the checkpoint tells, which a second signal leaves behind."""
    path = run.folder / "checkpoint.safetensors"
    if not path.exists():
        return f"stopped before the first checkpoint: nothing is saved in {run.folder}"
    epoch, batch, _ = load(path)["position"]
    where = f"in epoch {epoch} of {trainer.epochs} after {batch} of {trainer.batches} steps"
    if epoch > trainer.epochs:
        where = f"after the last of {trainer.epochs} epochs, in the test"
    return f"stopped {where}; continue with: minicnn train --resume {run.folder}"


def _last_line(outcome: Outcome) -> str:
    trainer = outcome.trainer
    seconds = sum(row["seconds"] for row in trainer.history)
    best = trainer.best or {}
    validated = "" if trainer.val is None else f" (best on validation: {best['val_acc_all']:.2%})"
    return (
        f"test accuracy {outcome.scores.accuracy:.2%} with the weights of epoch {best['epoch']}"
        f"{validated}; {seconds:.0f} s of training"
    )


def test(folder: "str | Path", device: str = "cpu") -> Scores:  # noqa: PT028
    """Tests a run's best weights again, and draws the pictures of the test anew.

    Raises
    ------
    DataError
        If the folder is no run or in use, or a file of it or of the data is damaged.
    DeviceError
        If the device is not there.
    """
    with Run.open(folder) as run:
        model, config = load_model(folder, device)
        classes = config["classes"]
        dataset = recipe_of(folder).test_set()
        scores = score(model, dataset)
        with _or_without_pictures(say):
            write_scores(run, dataset, scores, classes)
    return scores


@contextmanager
def _or_without_pictures(say: Callable[[str], None]) -> Iterator[None]:
    """Goes on where a package that draws the pictures is missing, and says so."""
    try:
        yield
    except ImportError as error:
        say(f"no pictures: {missing(error) or error}")


def recipe_of(folder: "str | Path") -> Recipe:
    """The recipe in a run folder; DataError if it is none or damaged."""
    try:
        return Recipe.from_dict(read_config(folder)["recipe"])
    except (DataError, TypeError) as error:
        raise DataError(f"{Path(folder) / 'config.json'}: {error}") from None


def predict(
    folder: "str | Path", images: Sequence["str | Path"], device: str = "cpu"
) -> np.ndarray:
    """The probabilities float32 (N, K) that a run's model gives to picture files.

    Digits are centred the way MNIST was, in the ink and on the paper of any picture; the pictures
    of other data sets are brought to their size.

    Raises
    ------
    DataError
        If the run or a picture cannot be read.
    DeviceError
        If the device is not there.
    """
    model, config = load_model(folder, device)
    pictures = [(_pixels(path, config), 0) for path in images]  # the labels are not known
    parts = [F.softmax(logits, dim=1).cpu().numpy() for logits, _ in answers(model, pictures)]
    return np.concatenate([np.empty((0, len(config["classes"])), np.float32), *parts])


def _pixels(path: "str | Path", config: dict[str, Any]) -> Tensor:
    """A picture file as the data set of a run has its images."""
    image = read_image(path)
    try:
        digits = config["recipe"]["data"] == "mnist"
        return digit(image) if digits else picture(image, tuple(config["shape"]))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def load_model(folder: "str | Path", device: str = "cpu") -> tuple[Module, dict[str, Any]]:
    """A run's model with its best weights, in evaluation mode, and what config.json holds.

    Raises
    ------
    DataError
        If the folder is no run, has no weights yet, or they do not fit the model.
    DeviceError
        If the device is not there.
    """
    path = Path(folder) / "best.safetensors"
    config = read_config(folder)
    try:
        model = make(recipe_of(folder).model, num_classes=len(config["classes"]))
    except ArgumentError as error:
        raise DataError(f"{Path(folder) / 'config.json'}: {reason(error)}") from None
    try:
        model.load_state_dict(load_file(path))
    except StateDictError as error:
        raise DataError(
            f"{path}: expected weights of a {type(model).__name__}, found: {reason(error)}"
        ) from None
    return model.eval().to(chosen(device)), config


def _first_line(recipe: Recipe, training: Training) -> str:
    trainer = training.trainer
    parameters = sum(p.numel() for p in trainer.parameters.values())
    val = "none" if trainer.val is None else f"{len(trainer.val):,}"
    return (
        f"{recipe.model}: {parameters:,} parameters; {len(trainer.train):,} images to train with, "
        f"{val} to validate, {len(training.test):,} to test"
    )


def write_scores(run: Run, dataset: Any, scores: Scores, classes: list[str]) -> None:
    """test.json, confusion.png, mistakes.png and predictions.png of a test."""
    shares = [None if math.isnan(x) else float(x) for x in scores.per_class]  # not there: null
    figures = {
        "loss": scores.loss, "accuracy": scores.accuracy, "images": len(scores.labels),
        "per_class": dict(zip(classes, shares, strict=True)),
    }  # fmt: skip
    run.write("test.json", json.dumps(figures, indent=1) + "\n")
    from . import pictures

    pictures.save(pictures.confusion(scores.confusion, classes), run.folder / "confusion.png")
    pixels = fetch(dataset, [0])[0].numel()
    for draw, most in ((pictures.mistakes, MEMORY // pixels), (pictures.predictions, SHOWN)):
        some = scores.some(max(most, SHOWN))
        about = scores.labels[some], scores.predicted[some], scores.probabilities[some]
        figure = draw(fetch(dataset, some)[0].cpu().numpy(), *about, classes)
        pictures.save(figure, run.folder / f"{draw.__name__}.png")


def draw_training(folder: Path, trainer: Trainer) -> None:
    """curves.png, and filters.png: the weights of the first convolution, if there is one."""
    from . import pictures

    pictures.save(pictures.curves(trainer.history), folder / "curves.png")
    for name, module in trainer.model.named_modules():
        if isinstance(module, Conv2d):
            figure = pictures.filters(module.weight.detach().cpu().numpy(), name)
            pictures.save(figure, folder / "filters.png")
            return
