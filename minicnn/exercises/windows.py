"""What two checkers of the exercises about sliding windows share."""

from collections.abc import Iterator

import numpy as np

from .checking import Finding, Learner, compare_call


def output_size(learner: Learner, rng: np.random.Generator) -> Iterator[Finding]:
    """Checks output_size: five times with numbers on which each mistake gives another result."""
    for turn in range(12):
        while True:
            kernel, stride, padding = (int(v) for v in rng.integers([1, 1, 0], [6, 5, 5]))
            size = kernel + int(rng.integers(1, 12))
            room = size + 2 * padding - kernel
            right = len(range(0, room + 1, stride))  # the places at which a window may begin
            unpadded = [(room - zeros) // stride + 1 for zeros in (padding, 2 * padding)]
            others = {right, right - 1, right + 1, room / stride + 1, room + 1, *unpadded}
            if len(others) == 7 or turn >= 5:
                break
        call, how = f"output_size({size}, {kernel})", {"stride": stride, "padding": padding}
        yield from compare_call(learner, call, (size, kernel), right, how)
        returned = learner.output_size(size, kernel, **how)
        if not isinstance(returned, int | np.integer):
            yield Finding("type", f"{call} is no int", str(right), repr(returned),
                          "// divides whole numbers, / gives a float")  # fmt: skip
