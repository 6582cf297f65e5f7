"""Which trainings can be captured in a CUDA graph, and when one has to be captured anew."""

import copy
import itertools
import operator
from typing import Any

import numpy as np

from ..arrays import float32, float64
from ..autograd import Tensor, mode
from ..data import TensorDataset
from ..optim import Optimizer


class Assumptions:
    """What a captured step takes for granted; it has to be captured anew when that has changed.

    The arrays of parameters and of the optimiser, which parameters learn, and the numbers and words
    among the attributes of the modules, also in lists and tuples: a dropout's p, whether it is
    training.  What changes elsewhere is not noticed: in a dict of the model's, in a global variable
    that its `forward` reads, in an object that it holds.
    """

    def __init__(self, trainer: Any) -> None:
        optimizer, parameters = trainer.optimizer, list(trainer.model.parameters())
        states = (entry.values() for entry in optimizer.state.values())
        tensors = [*parameters, *trainer.model.buffers(), *itertools.chain(*states)]
        self._arrays = [t.array for t in tensors if isinstance(t, Tensor)]
        self._modules = [(m, _plain(m)) for m in trainer.model.modules()]
        momenta = [bool(group.get("momentum")) for group in optimizer.param_groups]
        self._rest = [p.requires_grad for p in parameters], momenta, _hooked(trainer.model)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Assumptions)
            and len(self._arrays) == len(other._arrays)
            and all(map(operator.is_, self._arrays, other._arrays))
            and (self._modules, self._rest) == (other._modules, other._rest)
        )

    def restore(self) -> None:
        """Gives the modules the attributes that they had."""
        for module, attributes in self._modules:
            vars(module).update(attributes)


def _plain(module: Any) -> dict[str, Any]:
    return {k: copy.copy(v) for k, v in vars(module).items() if _is_plain(v)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str, np.generic))


def _hooked(model: Any) -> bool:
    """Whether hooks want to see what happens in a step."""
    return any(m._hooked for m in model.modules()) or any(p._hooks for p in model.parameters())


def why_not(trainer: Any, data: TensorDataset | str, batches: int) -> str:
    """Why the steps of a training cannot be captured; nothing if they can."""
    if isinstance(data, str):
        return f"the training set is not kept on the GPU: {data}"
    tensors = [data.tensors[0], *trainer.model.parameters()]
    if any(t.dtype not in (float32, float64) for t in tensors):
        return "only float32 and float64 have kernels"
    if batches < 2:
        return f"an epoch has {batches} whole batches"
    if mode.anomaly:
        return "anomaly detection looks at every step"
    if _hooked(trainer.model):
        return "the model has hooks, which run in Python"
    if getattr(trainer.optimizer.step, "__func__", None) is not Optimizer.step:
        return "the optimiser has a step of its own, which runs in Python"
    return ""


def meaning(error: Exception) -> str:
    """Why a capture failed, in the user's words where they are known."""
    text = (str(error).splitlines() or [""])[0]
    if "cuBLAS" in text:
        return "a matrix product is large enough for cuBLAS, which CuPy does not capture"
    if "captur" in text.lower():
        return "the model asks the GPU for a number, or moves data, in forward"
    return ": ".join(filter(None, (type(error).__name__, text)))
