"""Trainer: the steps and epochs of a training, and all the state they need to go on later."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np

from ..arrays import module_of
from ..autograd import Tensor, set_detect_anomaly
from ..data import DataLoader, Sampler
from ..errors import AnomalyError, ArgumentError
from ..models import Prepared
from ..nn import Module
from ..nn import functional as F
from ..optim import Optimizer
from ..random import Generator, default_generator
from .choices import OPTIMIZERS, SCHEDULES, by_name
from .evaluation import Tally, evaluate
from .graph import Captured, all_finite
from .interrupts import Interrupts, Stopped
from .progress import View
from .state_check import check_state

HISTORY = (
    "epoch", "train_loss_all", "val_loss_all", "train_acc_all", "val_acc_all", "learning_rate",
    "seconds",
)  # fmt: skip
"""The columns of a history: one row per epoch.  The learning rate is that of the last step."""


class Checkpoints(Protocol):
    """Where a training is kept while it runs: a Run, or what a user puts in its place."""

    def step(self, trainer: "Trainer") -> None:
        """Called after every step, or some captured ones; saves when it is time to."""

    def epoch(self, trainer: "Trainer") -> None:
        """Called after every epoch."""

    def save(self, trainer: "Trainer") -> None:
        """Called when the training stops early: after a signal."""


class BatchesLeft(Sampler):
    """The numbers of the samples in each batch that is left of a trainer's epoch.

    Asked for one, it looks where the training stands: captured steps take batches for themselves.
    """

    def __init__(self, trainer: "Trainer") -> None:
        self.trainer = trainer

    def __iter__(self) -> Iterator[np.ndarray]:
        trainer = self.trainer
        while trainer.batch < trainer.batches:
            first = trainer.batch * trainer.batch_size
            yield trainer.order[first : first + trainer.batch_size]


class Trainer:
    """Trains a classifier by cross-entropy, and keeps the best epoch's weights.

    The best epoch is the one with the highest accuracy on `val`, of equal ones that with the lower
    loss; without `val` it is the last.  The test set is never seen here.

    Parameters
    ----------
    model
        Gives logits (N, classes); `models.prepare` makes its input from images.
    train, val
        Data sets of (image in [0, 1], label); val may be None.
    epochs, batch_size
    lr
        The highest learning rate of the schedule.
    optimizer, schedule
        Names in OPTIMIZERS and SCHEDULES, or functions like those there.  The schedule counts
        steps, not epochs.
    generator
        Draws the seed of the orders; the default one if left out.
    graph
        On a GPU, capture the steps in CUDA graphs where that is possible: the results are the same.
        A captured step does again what its first runs launched: of what Python does in `forward`,
        only dropout's numbers change.  After an AnomalyError the weights are those before the step
        that failed; the schedule and running statistics may have gone on.

    Attributes
    ----------
    epoch, batch
        Where the training stands: the epoch, from 1, and the steps done in it.
    history
        A dict per epoch with the keys HISTORY; accuracies are shares, val_* NaN without val.
    best
        The best epoch's row of the history, None before the first.
    best_state
        Its weights, as `model.state_dict()` gave them.
    """

    def __init__(
        self,
        model: Module,
        train: Any,
        val: Any = None,
        *,
        epochs: int = 10,
        batch_size: int = 64,
        lr: float = 4e-3,
        optimizer: str | Callable[..., Optimizer] = "adam",
        schedule: str | Callable[..., Any] = "onecycle",
        generator: Generator | None = None,
        graph: bool = True,
    ) -> None:
        if len(train) == 0:
            raise ArgumentError("Trainer: the training set is empty")
        if val is not None and len(val) == 0:
            raise ArgumentError("Trainer: the validation set is empty; leave it out, or enlarge it")
        self.model, self.train, self.val = model, train, val
        self.epochs, self.batch_size, self.graph = epochs, batch_size, graph
        self.batches = -(-len(train) // batch_size)
        self.parameters = dict(model.named_parameters())
        self.optimizer = by_name("optimizer", OPTIMIZERS, optimizer)(model.parameters(), lr)
        make_schedule = by_name("schedule", SCHEDULES, schedule)
        self.schedule = make_schedule(self.optimizer, lr, max(1, epochs * self.batches))
        self.seed = int((generator or default_generator).numpy.integers(2**63))
        self.epoch, self.batch = 1, 0
        self.tally, self.val_tally, self.seconds = Tally(), Tally(), 0.0
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None
        self.order = np.empty(0, np.int64)  # of the samples in this epoch
        self._loader: DataLoader | None = None  # while it trains, as what follows
        self._batches: Iterator[Any] = iter(())
        self._captured: Captured | None = None
        self.best_state: dict[str, Tensor] = {}

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.epoch > self.epochs

    def fit(self, view: View | None = None, checkpoints: Checkpoints | None = None) -> None:
        """Runs what is left of the epochs, then puts the best weights into the model.

        Raises
        ------
        Stopped
            After Ctrl-C, SIGTERM or SIGHUP, once the step is finished and saved.
        AnomalyError
            When the loss or a gradient becomes NaN or infinite: names the op and the layer.
        """
        view = View() if view is None else view
        about = {"batch_size": self.batch_size, "history": list(self.history)}
        view.start(self._position() | about)
        try:
            # What overflows is found by its NaN, and named.
            with Interrupts() as interrupts, np.errstate(over="ignore", invalid="ignore"):
                self._settle_in(view, interrupts)
                try:
                    while not self.finished:
                        self._run_epoch(view, checkpoints, interrupts)
                        interrupts.check()
                except Stopped as stop:
                    if checkpoints is not None and not stop.at_once:
                        checkpoints.save(self)
                    raise
        finally:
            if self._captured is not None:
                self._captured.close()
            self._loader = self._captured = None
            view.stop()
        if self.best_state:
            self.model.load_state_dict(self.best_state)

    def _position(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch, "epochs": self.epochs, "batch": self.batch,
            "batches": self.batches, "examples": self.tally.count,
        }  # fmt: skip

    def _run_epoch(
        self, view: View, checkpoints: Checkpoints | None, interrupts: Interrupts
    ) -> None:
        """What is left of the present epoch: steps, validation, its row of the history."""
        assert self._loader is not None
        self.order, self._batches = self._order(), iter(self._loader)
        start = time.perf_counter() - self.seconds

        def between() -> None:  # two steps: where a training can be saved and stopped
            self.seconds = time.perf_counter() - start
            if checkpoints is not None:
                checkpoints.step(self)
            interrupts.check()

        self.model.train()
        while self.batch < self.batches:
            if self._captured is None or not self._captured.advance():
                self._step(*self.take())
            view.batch(
                self._position() | {"loss": self.tally.loss, "accuracy": self.tally.accuracy}
            )
            between()
        if self.val is not None:
            evaluate(self.model, self.val, self.val_tally, between)
        self.seconds = time.perf_counter() - start
        view.epoch(self._end_epoch())
        if checkpoints is not None:
            checkpoints.epoch(self)

    def _order(self) -> np.ndarray:
        """The order of the samples in this epoch: the seed and the epoch's number decide it."""
        source = np.random.Generator(np.random.PCG64([self.seed, self.epoch]))
        return source.permutation(len(self.train))

    def _settle_in(self, view: View, interrupts: Interrupts) -> None:
        """Makes the loader; on a GPU, it keeps the training set there, and steps are captured."""
        device = next(iter(self.parameters.values())).device
        data = Prepared(self.train, self.model)
        self._loader = DataLoader(data, batch_sampler=BatchesLeft(self), device=device)
        if device.type != "cpu":
            kept = self._loader.keep(interrupts.check)
            if self.graph:
                self._captured = Captured(self, kept, view.note)

    def take(self) -> Sequence[Tensor]:
        """The present batch on the model's device: images as the model expects them, labels."""
        return next(self._batches)

    def _step(self, images: Tensor, labels: Tensor) -> None:
        """One step: forward, backward, update."""
        logits = self.model(images)
        loss = F.cross_entropy(logits, labels)
        value = loss.item()
        self.optimizer.zero_grad()
        if math.isfinite(value):
            loss.backward()
        if not math.isfinite(value) or self._overflowed():
            raise AnomalyError(self.blame(value, images, labels))
        self.tally.learning_rate = self.optimizer.param_groups[0]["lr"]
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        self.tally.add(value, logits, labels)
        self.batch += 1

    def _overflowed(self) -> bool:
        """Whether a gradient holds a NaN or infinity."""
        gradients = [p.grad.array for p in self.parameters.values() if p.grad is not None]
        if gradients and module_of(gradients[0]) is not np:
            return not all_finite(gradients)
        for g in (g.ravel(order="K") for g in gradients):
            # The dot product is 20 times faster, but may overflow where no element does.
            if not math.isfinite(g.dot(g)) and not np.isfinite(g).all():
                return True
        return False

    def blame(self, loss: float, images: Tensor, labels: Tensor) -> str:
        """What is known of a loss or gradient that is not finite: its op, layer, and weights."""
        what = "a gradient became NaN or infinite"
        if not math.isfinite(loss):
            what = f"the loss became {loss}"
        message = f"training: {what} in epoch {self.epoch}, batch {self.batch + 1}: "
        xp = module_of(images.array)
        if not xp.isfinite(images.array).all():
            return message + "the images of the batch hold NaN or infinity"
        try:
            with set_detect_anomaly(True):
                F.cross_entropy(self.model(images), labels).backward()
        except AnomalyError as error:
            message += f"{error}; "
        broken = [n for n, p in self.parameters.items() if not xp.isfinite(p.array).all()]
        if broken:
            message += f"not finite any more: {', '.join(broken)}; "
        lr = self.optimizer.param_groups[0]["lr"]
        return message + f"try a lower learning rate (it was {lr:.3g})"

    def _end_epoch(self) -> dict[str, Any]:
        """Writes the epoch's row of the history, keeps the weights if they are best, goes on."""
        figures = (
            self.epoch, self.tally.loss, self.val_tally.loss, self.tally.accuracy,
            self.val_tally.accuracy, self.tally.learning_rate, self.seconds,
        )  # fmt: skip
        row = dict(zip(HISTORY, figures, strict=True))
        self.history.append(row)
        if self.best is None or self.val is None or _rank(row) > _rank(self.best):
            self.best = row
            self.best_state = {k: t.clone() for k, t in self.model.state_dict().items()}
        self.epoch, self.batch = self.epoch + 1, 0
        self.tally, self.val_tally, self.seconds = Tally(), Tally(), 0.0
        return row

    def state_dict(self) -> dict[str, Any]:
        """All that a later process needs to go on to the same bits; `minicnn.save` writes it.

        The Tensors are the training's own, which later steps change.
        """
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "generator": default_generator.get_state(),
            "seed": self.seed,
            "position": [self.epoch, self.batch, self.seconds],
            "sizes": [self.epochs, self.batches],
            "tally": asdict(self.tally),
            "val_tally": asdict(self.val_tally),
            "history": self.history,
            "best": self.best,
            "best_state": self.best_state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes back to where `state_dict` was taken, the default generator's state included.

        Raises
        ------
        StateDictError
            If it is the state of another model, optimiser, schedule, number of epochs or amount of
            data, or damaged; then nothing is changed.
        """
        check_state(self, state)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        default_generator.set_state(state["generator"])
        self.seed = state["seed"]
        self.epoch, self.batch, self.seconds = state["position"]
        self.tally, self.val_tally = Tally(**state["tally"]), Tally(**state["val_tally"])
        self.history, self.best = list(state["history"]), state["best"]
        self.best_state = dict(state["best_state"])


def _rank(row: dict[str, Any]) -> tuple[float, float]:
    return row["val_acc_all"], -row["val_loss_all"]
