"""Training steps captured in CUDA graphs: several in one launch, their results read now and then.

    eager      | gather | forward | loss | backward | update |  the host waits for the loss
    captured   replay: 16 steps     replay: 16 steps     ...    read 16, 32 ... losses at once

A kernel of LeNet takes a GPU less time than launching it takes the host.  A graph's launch costs
what a few kernels' do; 16 steps share it, and an epoch's rest, which goes step by step, is short.
The results, bit for bit, are those of steps one by one.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Array, float32, float64, import_cupy, module_of
from ..autograd import Tensor
from ..data import TensorDataset
from ..errors import AnomalyError
from ..kernels import recording
from ..nn import functional as F
from ..random import HostStates
from .capturable import Assumptions, meaning, why_not

GROUP = 16  # steps in a graph
WARM_UP = 2  # steps one by one before: kernels are compiled, memory is found, twice the same
READ = 0.2  # seconds of launches between two readings of the results


def all_finite(arrays: list[Array]) -> bool:
    """Whether no array on a GPU holds NaN or infinity; the host waits once."""
    from ..kernels.cuda.update import check_finite

    xp = module_of(arrays[0])
    halt = xp.zeros(1, np.int32)
    for dtype in {a.dtype for a in arrays}:
        some = [a for a in arrays if a.dtype == dtype]
        if dtype in (float32, float64):
            check_finite(some, halt, 1)
        elif not all(bool(xp.isfinite(a).all()) for a in some):
            return False
    return not int(halt.get()[0])


class Captured:
    """The steps of a Trainer, captured if that is possible; if not, it says why, once.

    Parameters
    ----------
    trainer
    data
        The training set on the GPU, as a DataLoader keeps it; or why it is not there.
    note
        Tells the user a line.
    """

    def __init__(self, trainer: Any, data: TensorDataset | str, note: Callable[[str], Any]) -> None:
        self.trainer, self.note, self.possible, self._data = trainer, note, True, data
        self._whole = len(trainer.train) // trainer.batch_size  # batches that are not smaller
        self._group, self._epoch = min(GROUP, self._whole), 0
        self._graph: Any = None
        self._assumed: Assumptions | None = None  # by the graph
        self._new: Any = None  # a graph that is warming up
        self._rates: list[float] = []
        if not self._begin_anew():
            return
        assert isinstance(data, TensorDataset)
        self._images, labels = (t.array for t in data.tensors)
        xp = module_of(labels)
        self._labels = labels.astype(np.int64, copy=False)
        self._order = xp.zeros(len(trainer.train), np.int64)
        self._records = xp.zeros((trainer.batches, 2))  # of each step: loss, right answers
        self._halt = xp.zeros(1, np.int32)  # 1 + the step that was not finite

    def _begin_anew(self) -> bool:
        """Forgets what was captured; whether the steps can be captured as things are now."""
        self.close()
        self._warm, reason = 0, why_not(self.trainer, self._data, self._whole)
        if reason:
            self._give_up(reason)
        return not reason

    def _give_up(self, reason: str) -> None:
        self.possible = False
        self.close()
        self.note(f"no CUDA graph: {reason}; the steps are launched one by one")

    def close(self) -> None:
        """Gives the memory of the graph back."""
        for graph in (self._graph, self._new):
            if graph is not None:
                graph.reset()
        self._graph = self._new = None

    def advance(self) -> bool:
        """Does steps of the present epoch; False if the next one is not for a graph."""
        trainer = self.trainer
        left = self._whole - trainer.batch
        if not self.possible or left < 1:
            return False
        if self._epoch != trainer.epoch:
            self._order.set(trainer.order)
            self._epoch = trainer.epoch
        stale = self._graph is not None and self._assumed != Assumptions(trainer)
        if stale and not self._begin_anew():
            return False
        if self._warm < WARM_UP:
            self._step_by_itself()
            return True
        if left < self._group or (self._graph is None and not self._captured()):
            return False
        self._replay()
        return True

    # -- steps

    def _step(self, step: Array, number: Any) -> tuple[Array, Array]:
        """Launches one step but for its update: (loss, logits); step is its place in the epoch."""
        from ..kernels.cuda.step import take_batch
        from ..kernels.cuda.update import check_finite

        trainer = self.trainer
        images, self._now = take_batch(
            self._images, self._labels, self._order, step, trainer.batch_size
        )
        logits = trainer.model(Tensor(images))
        loss = F.cross_entropy(logits, Tensor(self._now))
        trainer.optimizer.zero_grad()
        loss.backward()
        gradients = [p.grad.array for p in trainer.parameters.values() if p.grad is not None]
        for dtype in sorted({a.dtype for a in gradients}, key=str):
            check_finite([a for a in (loss.array, *gradients) if a.dtype == dtype],
                         self._halt, number)  # fmt: skip
        return loss.array, logits.array

    def _record(self, loss: Array, logits: Array, step: Array) -> None:
        from ..kernels.cuda.step import record

        record(logits, self._now, loss, self._halt, step, self._records)

    def _step_by_itself(self) -> None:
        """A step with the launches of a captured one, each run at once."""
        from ..kernels.cuda.graphs import CUDAGraph

        trainer = self.trainer
        if self._warm == 0:
            self._new = CUDAGraph()
        with self._new.warm_up():
            step = module_of(self._order).full(1, trainer.batch, np.int64)
            loss, logits = self._step(step, trainer.batch + 1)
            self._rates.append(trainer.optimizer.param_groups[0]["lr"])
            fine = not int(self._halt.get()[0])
            if fine:
                trainer.optimizer.step()
            self._record(loss, logits, step)
        self._warm += 1
        if fine and trainer.schedule is not None:
            trainer.schedule.step()
        self._read(trainer.batch + 1)

    def _captured(self) -> bool:
        from ..kernels.cuda.graphs import graph

        self._next, states, before = 0, HostStates(), Assumptions(self.trainer)
        reason = ""
        try:
            with graph(self._new):
                for _ in range(self._group):
                    self._capture_step()
        except Exception as error:  # whatever a model does that cannot be captured
            reason = meaning(error)
        if states.changed():
            states.restore()
            reason = reason or "the model draws random numbers on the host"
        if Assumptions(self.trainer) != before:
            before.restore()
            reason = reason or "the model changes its own attributes in forward"
        if reason:
            self._give_up(reason)
            return False
        self._graph, self._new, self._assumed = self._new, None, before
        return True

    def _capture_step(self) -> None:
        trainer, kept = self.trainer, recording.active
        assert kept is not None
        kept.halt = self._halt
        numbers = kept.slot(2, self._begin)
        step = numbers[:1]
        loss, logits = self._step(step, numbers[1:])
        trainer.optimizer.step()
        if trainer.schedule is not None:
            kept.each_time(trainer.schedule.step)
        self._record(loss, logits, step)

    def _begin(self) -> np.ndarray:
        """Before each step of a replay: where it is in the epoch, from 0 and from 1."""
        self._rates.append(self.trainer.optimizer.param_groups[0]["lr"])
        self._next += 1
        return np.array([self._next - 1, self._next], np.int64)

    def _replay(self) -> None:
        """As many replays as fit into the time, and what came of them.

        The host is at most two replays ahead, so that the time is the GPU's too.
        """
        self._next, start = self.trainer.batch, time.perf_counter()
        marks: deque[Any] = deque()
        while self._next + self._group <= self._whole and time.perf_counter() - start < READ:
            self._graph.replay()
            marks.append(import_cupy().cuda.get_current_stream().record())
            if len(marks) > 2:
                marks.popleft().synchronize()
        self._read(self._next)

    def _read(self, last: int) -> None:
        """Waits for the steps before `last`, and counts them; raises for one that is not finite."""
        trainer, rates = self.trainer, self._rates
        self._rates = []
        records = self._records[trainer.batch : last].get()
        for i, (loss, right) in enumerate(records.tolist()):
            if right < 0:  # the schedule has gone on since
                trainer.optimizer.param_groups[0]["lr"] = rates[i]
                raise AnomalyError(trainer.blame(loss, *trainer.take()))
            trainer.tally.learning_rate = rates[i]
            trainer.tally.add_counted(loss, int(right), trainer.batch_size)
            trainer.batch += 1
