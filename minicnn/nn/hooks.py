"""Backward hooks of a Module: what runs when the gradients of its outputs and inputs are there."""

from collections.abc import Callable, Sequence
from typing import Any

from ..arrays import Array
from ..autograd import Function, Tensor, is_grad_enabled


class Through(Function):
    """Its tensors as they are; backward hands their gradients, all at once, to a function."""

    @staticmethod
    def forward(ctx: Any, function: Callable, *tensors: Array) -> tuple[Array, ...]:
        ctx.function = function
        return tuple(x[...] for x in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Array) -> tuple[Array | None, ...]:
        return None, *ctx.function(gradients)


class BackwardHooks:
    """The hooks of one call of a module: `inputs` goes before its forward, `outputs` behind it.

    The gradients of the outputs are kept until those of the inputs have arrived; if no input has
    one, the hooks run with the outputs'.
    """

    def __init__(self, module: Any, hooks: Sequence[Callable]) -> None:
        self.module, self.hooks = module, tuple(hooks)
        self.grad_output: tuple[Tensor, ...] = ()
        self.count = 0  # of the arguments
        self.learning: list[int] = []  # those of them that have a gradient

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, with a node behind them that waits for their gradients."""
        self.count, self.learning = len(args), _learning(args)
        return _through(args, self.learning, self._arrived)

    def outputs(self, output: Any) -> Any:
        """The output, with a node behind it that notes its gradients."""
        if isinstance(output, Tensor):
            return self.outputs((output,))[0]
        if type(output) is not tuple:
            return output
        return _through(output, _learning(output), self._note)

    def _note(self, gradients: tuple[Array, ...]) -> tuple[Array, ...]:
        self.grad_output = tuple(map(Tensor, gradients))
        if not self.learning:
            self._run((None,) * self.count)
        return gradients

    def _arrived(self, gradients: tuple[Array, ...]) -> tuple[Array, ...]:
        grad_input: list[Tensor | None] = [None] * self.count
        for place, g in zip(self.learning, gradients, strict=True):
            grad_input[place] = Tensor(g)
        changed = self._run(tuple(grad_input))
        return tuple(changed[place].array for place in self.learning)

    def _run(self, grad_input: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in self.hooks:
            changed = hook(self.module, grad_input, self.grad_output)
            if changed is not None:
                grad_input = changed if isinstance(changed, tuple) else (changed,)
        return grad_input


def _learning(values: tuple[Any, ...]) -> list[int]:
    """Where among the values there are tensors that a gradient goes to."""
    if not is_grad_enabled():
        return []
    return [i for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad]


def _through(values: tuple[Any, ...], places: list[int], function: Callable) -> tuple[Any, ...]:
    """The values; those at `places` come out of a node that hands their gradients to function."""
    if not places:
        return values
    out = dict(zip(places, Through.apply(function, *(values[i] for i in places)), strict=True))
    return tuple(out.get(i, v) for i, v in enumerate(values))
