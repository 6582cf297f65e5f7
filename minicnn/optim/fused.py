"""The update of all parameters of a group in one launch, where the kernels offer that.

A launch costs the host about 10 us, more than updating LeNet's parameters takes a GPU: so there is
one for all of them, instead of ten.  While a step is captured in a CUDA graph, the numbers that
change from step to step (the learning rate, Adam's count) are a slot that every replay fills anew.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..errors import GradientError
from ..kernels import recording


def update(optimizer: Any, parameters: list[Tensor], group: dict[str, Any]) -> None:
    """Updates these parameters, those of one type that have taken equally many steps together."""
    from ..kernels.cuda import update as kernels

    alike: dict[Any, list[Tensor]] = defaultdict(list)
    for p in parameters:
        state = optimizer.state.get(p, {})
        step = int(state["step"].array) if "step" in state else None
        alike[p.dtype, p.array.device.id, len(state), step].append(p)
    launch = getattr(kernels, f"{optimizer._kernel}_all")
    make_options = getattr(kernels, f"{optimizer._kernel}_options")
    for same in alike.values():

        def options(same: list[Tensor] = same) -> np.ndarray:
            numbers = [optimizer._begin(p, group) for p in same]
            return make_options(*numbers[0])

        if recording.active is None:
            found = options()
        else:
            size = getattr(kernels, optimizer._kernel.upper()).itemsize // 8
            refresh = _refresh(optimizer, same, group, options)
            found = recording.active.slot(size, refresh)
        gradients = [p.grad.array for p in same if p.grad is not None]
        arrays = map(optimizer._arrays, same, gradients, itertools.repeat(group))
        columns = zip(*arrays, strict=True)
        launch(*(None if c[0] is None else list(c) for c in columns), found)


def _refresh(
    optimizer: Any, same: list[Tensor], group: dict[str, Any], options: Callable[[], np.ndarray]
) -> Callable[[], np.ndarray]:
    """What a replay asks for the options of this launch; nothing counts as a step now."""
    try:
        optimizer._arrays(same[0], same[0].grad, group)
    except KeyError:
        raise GradientError(
            f"{optimizer._name}.step: run a step before you capture one: the optimiser has no "
            "state yet"
        ) from None

    def refresh() -> np.ndarray:
        for p in same:
            p._counter[0] += 1  # changed in place by the replay
        return options()

    return refresh
