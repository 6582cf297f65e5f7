"""The tape: Tensor, Function, the graph that forward leaves behind, and the walk back along it.

No operation lives here: ops are in minicnn.ops, and minicnn.methods gives Tensor its operators and
methods.  Changes in place are in inplace.py; how neighbouring kernel calls become one node, in
fusion.py.

    x ──┐                     forward: Mul.apply computes y and leaves a node, the Context:
        ├─ Mul ── y             y.grad_fn = node;  node.edges = (where x comes from, ... w ...)
    w ──┘                     backward: Mul.backward(node, dL/dy) -> (dL/dx, dL/dw), each sent
                                along its edge.  A leaf (x, w) adds what arrives to its .grad.

Nodes are numbered as they are made, and an op can only use what exists already: going by falling
number meets every node after all that used its output.  That is the topological order.
"""

import heapq
import inspect
import itertools
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from . import errors, modes
from .arrays import Array, is_array, is_floating, module_of, promoted, share_memory, sum_to
from .devices import device_of
from .kernels import Saved
from .modes import (  # noqa: F401
    check_finite,
    enable_grad,
    inference_mode,
    is_grad_enabled,
    mode,
    no_grad,
)
from .shapes import Shape

set_grad_enabled, set_detect_anomaly = modes.set_grad_enabled, modes.set_detect_anomaly

# ---- Tensor ----------------------------------------------------------------------------------


class Tensor:
    """An array with a gradient and a place in the graph.

    `array` is the NumPy (or CuPy) array itself.  A tensor made by an op has a `grad_fn`, the node
    to go back through; one that was not is a leaf, and collects its gradient in `grad`.
    """

    requires_grad: bool = False
    grad: "Tensor | None" = None
    grad_fn: "Context | None" = None
    output_nr: int = 0  # which of grad_fn's outputs this is
    _base: "Tensor | None" = None  # the tensor that this one is a view of
    _base_fn: "Context | None" = None  # the base's grad_fn when the view was taken
    _hooks: list[Callable] | None = None
    __array_priority__ = 1000  # so that ndarray + Tensor asks Tensor

    def __init__(self, data: Any, *sizes: Any, requires_grad: bool = False) -> None:
        if sizes or type(data) in (bool, int, float):
            raise TypeError("Tensor(data) takes an array or a list; use empty(2, 3) or tensor(2.0)")
        if type(data) is not np.ndarray:  # a list becomes float32
            data = data if is_array(data) else np.asarray(data, np.float32)
            data = np.asarray(data) if isinstance(data, (np.ndarray, np.generic)) else data
        self.array: Array = data
        self._counter: list[Any] = [0]  # changes in place, shared by all tensors over this memory
        if requires_grad:
            self.requires_grad_()

    __hash__ = object.__hash__  # by identity: == compares elements

    shape: Shape = property(lambda self: self.array.shape)  # type: ignore[assignment]
    ndim: int = property(lambda self: self.array.ndim)  # type: ignore[assignment]
    dtype: np.dtype = property(lambda self: self.array.dtype)  # type: ignore[assignment]
    is_leaf: bool = property(lambda self: self.grad_fn is None)  # type: ignore[assignment]

    def detach(self) -> "Tensor":
        """The same memory without history; changes in place are still noticed."""
        out = Tensor(self.array)
        out._counter = self._counter
        return out

    def item(self) -> Any:
        """The one element as a Python number."""
        if self.array.size != 1:
            raise errors.ArgumentError(f"item: takes one element, not a tensor of {self.shape}")
        return self.array.item()

    def requires_grad_(self, requires_grad: bool = True) -> "Tensor":
        """Says whether gradients are wanted for this leaf; returns the tensor."""
        if requires_grad and not is_floating(self.dtype):
            raise errors.DtypeError(f"only floating types can require gradients, not {self.dtype}")
        if not (requires_grad or self.is_leaf):
            raise errors.GradientError("requires_grad_(False): this is no leaf; use detach()")
        self.requires_grad = requires_grad
        return self

    def backward(
        self, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False
    ) -> None:
        """Adds d(self)/d(leaf), times `gradient`, to the grad of every leaf it depends on.

        Parameters
        ----------
        gradient
            dL/d(self), of this tensor's shape; may be left out for a tensor of one element.
        retain_graph
            Keep what forward saved, for another backward through the same graph.
        create_graph
            Not supported: gradients here are of first order.
        """
        backward(self, gradient, retain_graph, create_graph)

    def retain_grad(self) -> None:
        """Keeps this tensor's gradient in .grad, though it is no leaf."""
        self._check_requires_grad("retain_grad")
        if self.grad_fn is not None:
            self.grad_fn.retained[self.output_nr] = weakref.ref(self)

    def register_hook(self, hook: Callable[["Tensor"], Any]) -> "RemovableHandle":
        """Calls hook(gradient) once this tensor's gradient is complete; it may return another."""
        self._check_requires_grad("register_hook")
        if self.grad_fn is not None:
            return RemovableHandle(self.grad_fn.hooks.setdefault(self.output_nr, []), hook)
        self._hooks = [] if self._hooks is None else self._hooks
        return RemovableHandle(self._hooks, hook)

    def _check_requires_grad(self, what: str) -> None:
        self._check_base(what)
        if not self.requires_grad:
            raise errors.GradientError(f"{what}: this tensor does not require grad")

    def _edge(self) -> "Edge | None":
        """Where a gradient of this tensor has to go."""
        if not self.requires_grad:
            return None
        return (self, 0) if self.grad_fn is None else (self.grad_fn, self.output_nr)

    def _check_base(self, op: str) -> None:
        """Gives a view the history that its base got since, by a change in place."""
        if self._base is not None and self._base.grad_fn is not self._base_fn and mode.grad:
            self._renew(op)

    if TYPE_CHECKING:  # bound by minicnn.methods, and by minicnn.inplace
        _renew: Any
        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __pow__ = cast(Any, None)
        __truediv__ = __neg__ = __lt__ = __gt__ = __getitem__ = __setitem__ = cast(Any, None)
        __len__ = __iter__ = __int__ = __float__ = data = cast(Any, None)

        def __getattr__(self, name: str) -> Any: ...


class RemovableHandle:
    """Takes back a hook: `handle.remove()`."""

    def __init__(self, hooks: list, hook: Callable) -> None:
        self._hooks, self._hook = hooks, hook
        hooks.append(hook)

    def remove(self) -> None:
        """Takes the hook out again; a second call does nothing."""
        if self._hook in self._hooks:
            self._hooks.remove(self._hook)


# ---- Function and its Context ----------------------------------------------------------------

Edge = tuple["Tensor | Context", int]  # a leaf, or a node and the number of its output
_numbers = itertools.count()


class Context:
    """What one call of an op's forward leaves for its backward: a node of the graph.

    Small things can be kept as attributes, `ctx.dim = dim`.  Arrays belong into
    `save_for_backward`, which notices when one is changed in place before backward needs it.
    """

    edges: "tuple[Edge | None, ...]" = ()
    path = ""  # the module that forward ran in; filled in by anomaly detection
    saved: Saved | None = None  # what a kernel's forward saved
    saved_tensors: tuple[Any, ...] = ()  # arrays, in PyTorch's name for them
    _non_differentiable: tuple[Array, ...] = ()
    _watched: tuple[tuple[list[int], int], ...] = ()  # counters of what was saved, and their values
    _freed = False

    def __init__(self, op: "type[Function]", needs_input_grad: tuple[bool, ...]) -> None:
        self.op, self.needs_input_grad = op, needs_input_grad

    def __repr__(self) -> str:
        return f"<{self.op.__name__}>"

    @property
    def next_functions(self) -> "tuple[tuple[Tensor | Context | None, int], ...]":
        """Per argument of forward the node it comes from, and which of its outputs it is.

        A leaf stands for itself, where PyTorch has an AccumulateGrad node; None: no gradient goes.
        """
        return tuple(edge or (None, 0) for edge in self.edges)

    def save_for_backward(self, *arrays: Any) -> None:
        """Keeps arrays until backward; numbers and None are allowed among them."""
        self.saved_tensors = arrays

    def mark_non_differentiable(self, *outputs: Array) -> None:
        """Outputs that have no gradient; integer outputs never have one."""
        self._non_differentiable = outputs

    def record(self, edges: list, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        """Ties the node into the graph, after forward."""
        self.number, self.edges = next(_numbers), tuple(edges)
        self.outputs: list[tuple[type, Shape, np.dtype]] = []  # what their gradients must be
        self.hooks: dict[int, list[Callable]] = {}
        self.retained: dict[int, Any] = {}
        for y in outputs:
            array, fixed = y.array, self._non_differentiable
            if is_floating(array.dtype) and not (fixed and any(array is a for a in fixed)):
                y.requires_grad, y.grad_fn, y.output_nr = True, self, len(self.outputs)
            self.outputs.append((type(array), array.shape, array.dtype))
        kept = (*(self.saved.inputs if self.saved else ()), *filter(is_array, self.saved_tensors))
        own = {id(a) for a in kept}
        for t in (*inputs, *outputs):  # a kernel keeps what it is given as it is, no view of it
            views = not self.op.kernel
            if id(t.array) in own or (views and any(share_memory(a, t.array) for a in kept)):
                self._watched = (*self._watched, (t._counter, t._counter[0]))

    def _check_usable(self) -> None:
        """Raises if what forward saved is gone, or not what it was."""
        if self._freed:
            raise errors.GradientError(
                f"{self.op.__name__}: backward a second time, but what forward saved was freed "
                "after the first; call that with retain_graph=True, or run forward again"
            )
        for counter, version in self._watched:
            if counter[0] != version:
                raise errors.InPlaceError(
                    f"{self.op.__name__}: an array that it saved for backward was changed in place "
                    f"{counter[0] - version} time(s) since; change a clone(), or after backward"
                )

    def release(self) -> None:
        """Frees what forward saved: backward has used it."""
        if self.saved is not None or any(map(is_array, self.saved_tensors)):
            self._freed, self.saved_tensors, self.saved = True, (), None


class Function:
    """An operation: a forward on arrays, and a backward that is its vector-Jacobian product.

    Subclass it to add one, as with torch.autograd.Function, but forward and backward receive
    arrays, not Tensors::

        class Square(Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * x

            @staticmethod
            def backward(ctx, g):
                (x,) = ctx.saved_tensors
                return 2 * x * g

        y = Square.apply(x)

    backward gets dL/d(output) for each output (zeros where nothing arrived, None for an integer
    output), which it cannot write into, and returns one gradient per argument of forward, None
    where none is wanted (`ctx.needs_input_grad`); trailing Nones may be left out.  Each must have
    its argument's shape, dtype and device.
    """

    broadcasts = False  # element-wise: operands are promoted, gradients summed to their shapes
    floats = False  # with broadcasts: integers become float32 first
    kernel = False

    def __init_subclass__(cls, kernel: bool = False) -> None:
        cls.kernel = kernel  # a kernel's op: what it returns is new memory, that nobody else has

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        """Computes the output array, or a tuple of them."""
        raise TypeError("a Function must define forward(ctx, ...)")

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Returns dL/d(argument) for each argument."""
        raise TypeError("this Function defines no backward(ctx, g)")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Runs forward on the tensors' arrays, and records the node if a gradient is wanted."""
        if kwargs:
            args = positional(cls, args, kwargs)
        recording, raw, inputs, edges, needs = mode.grad, [], [], [], []
        for a in args:  # in one pass, and what follows without a call too many: every op comes here
            edge = None
            if isinstance(a, Tensor):
                inputs.append(a)
                if a._base is not None:
                    a._check_base(cls.__name__)
                edge = a._edge() if recording else None
                a = a.array
                if type(a) is not np.ndarray or type(inputs[0].array) is not np.ndarray:
                    check_devices(cls, args)
            raw.append(a)
            edges.append(edge)
            needs.append(edge is not None)
        ctx = Context(cls, tuple(needs))
        if cls.broadcasts:
            raw = promoted(cls.__name__, raw, cls.floats)
        result = cls.forward(ctx, *raw) if cls.kernel else _quietly(cls.forward, ctx, *raw)
        listed = result if type(result) is tuple else (result,)
        made = [_wrap(cls, y, inputs) for y in listed]
        if True in needs:
            ctx.record(edges, inputs, made)
        if mode.anomaly:
            ctx.path = errors.module_path()
            check_finite(ctx, "forward", [y.array for y in made], [x.array for x in inputs])
        return tuple(made) if type(result) is tuple else made[0]


_quietly = np.errstate(all="ignore")(lambda f, *args: f(*args))  # log(0) is -inf, as in PyTorch


class Elementwise(Function):
    """An op on each element by itself: operands broadcast and are promoted to one type."""

    broadcasts = True


class FloatElementwise(Elementwise):
    """An Elementwise whose result is floating: integers become float32 first."""

    floats = True


def signature(op: Any) -> inspect.Signature:
    """An op's arguments: those of a kernel op's `call`, of forward behind ctx."""
    if hasattr(op, "call"):
        return inspect.signature(op.call)
    of_forward = inspect.signature(op.forward)
    return of_forward.replace(parameters=[*of_forward.parameters.values()][1:])


def positional(op: type[Function], args: tuple, kwargs: dict[str, Any]) -> tuple:
    """All arguments of a call in their order, so that each has a place for its gradient."""
    try:
        bound = signature(op).bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{op.__name__}: {error}") from None
    bound.apply_defaults()
    return bound.args


def check_devices(op: type[Function], args: Sequence[Any]) -> None:
    """Refuses tensors that are on different devices."""
    if len({str(a.device) for a in args if isinstance(a, Tensor)}) > 1:
        names = [*signature(op).parameters]
        both = itertools.zip_longest(names, args, fillvalue=names[-1])  # the last may be *tensors
        told = [f"{n} {t.shape} on {t.device}" for n, t in both if isinstance(t, Tensor)]
        raise errors.DeviceError(f"{op.__name__}: {', '.join(told)}: bring them to one with .to()")


def _wrap(op: type[Function], y: Any, inputs: list[Tensor]) -> Tensor:
    """An op's result as a Tensor; a view of an input shares its changes in place."""
    if type(y) is not np.ndarray and not is_array(y):
        raise TypeError(f"{op.__name__}: forward returned a {type(y).__name__}; expected arrays")
    out = Tensor(y)
    for x in () if op.kernel else inputs:
        if share_memory(out.array, x.array):
            out._counter = x._counter
            out._base = x if x._base is None else x._base
            out._base_fn = out._base.grad_fn
            break
    return out


# ---- the walk back ---------------------------------------------------------------------------

Tensors = Tensor | Sequence[Tensor]


@np.errstate(all="ignore")
def backward(
    tensors: Tensors, grad_tensors: Any = None, retain_graph: bool = False, create_graph=False
) -> None:
    """Adds the gradients of all `tensors` to the grad of every leaf they depend on."""
    for t, g, owned in _walk(tensors, grad_tensors, retain_graph, create_graph)[0]:
        _accumulate(t, g, owned)


@np.errstate(all="ignore")
def grad(
    outputs: Tensors, inputs: Tensors, grad_outputs: Any = None, retain_graph: bool = False,
    create_graph: bool = False, allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:  # fmt: skip
    """d(outputs)/d(inputs) as a tuple, without touching any .grad.

    An input that the outputs do not depend on raises GradientError, or gives None with
    allow_unused.
    """
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    for i, x in enumerate(inputs):
        x._check_requires_grad(f"grad: input {i}")
    edges = [cast(Edge, x._edge()) for x in inputs]
    leaves, inner = _walk(outputs, grad_outputs, retain_graph, create_graph, edges)
    arrived = {(id(t), 0): g for t, g, _ in leaves} | inner
    results = [arrived.get((id(target), number)) for target, number in edges]
    for i, g in enumerate(results):
        if g is None and not allow_unused:
            raise errors.GradientError(
                f"grad: input {i} of shape {inputs[i].shape} was not used to compute the outputs; "
                "with allow_unused=True its gradient is None"
            )
    return tuple(None if g is None else Tensor(g.copy()) for g in results)


def _walk(
    outputs: Tensors, gradients: Any, retain_graph: bool, create_graph: bool, wanted: Iterable = ()
) -> tuple[list[tuple[Tensor, Array, bool]], dict[tuple[int, int], Array]]:
    """Carries gradients from the outputs to the leaves, the youngest node first.

    Returns each leaf reached with its gradient, and whether that is memory of its own; and the
    gradients at the `wanted` edges.
    """
    keep = {(id(target), number) for target, number in wanted}
    last = min([getattr(target, "number", -1) for target, _ in wanted], default=-1)
    inner: dict[tuple[int, int], Array] = {}
    leaves: dict[int, tuple[Tensor, Array, bool]] = {}
    arrived: dict[Context, list[Array | None]] = {}  # per node, what came for each output
    queue: list[tuple[int, Context]] = []  # a heap

    def send(node: Context | None, edge: Edge | None, g: Array | None) -> None:
        """Adds a gradient to what has arrived at the end of an edge."""
        if edge is None or g is None:
            return
        target, number = edge
        if isinstance(target, Tensor):
            a = target.array
            if g.__class__ is not a.__class__ or g.shape != a.shape or g.dtype != a.dtype:
                g = _checked(node, edge, g, type(a), a.shape, a.dtype)
            owned = node is not None and node.op.kernel
            before = leaves.get(id(target))
            new = (target, g, owned) if before is None else (target, before[1] + g, True)
            leaves[id(target)] = new
            return
        g = _checked(node, edge, g, *target.outputs[number])
        if target not in arrived:
            arrived[target] = [None] * len(target.outputs)
            heapq.heappush(queue, (-target.number, target))
        slots = arrived[target]
        slots[number] = g if slots[number] is None else slots[number] + g

    for start, g in _starts(outputs, gradients, create_graph):
        send(None, start, g)
    while queue:
        node = heapq.heappop(queue)[1]
        received = arrived.pop(node)
        for number, g in enumerate(received if keep or node.hooks or node.retained else ()):
            if g is not None:
                received[number] = g = _finish(g, node.hooks.get(number), node.retained.get(number))
                if (id(node), number) in keep:
                    inner[id(node), number] = g
        if node.number <= last:  # all that is wanted is found: the rest is older
            break
        results = _node_backward(node, received)
        for edge, g in zip(node.edges, results, strict=False):
            send(node, edge, g)
        if any(node.edges[len(results) :]) or any(
            g is not None for g in results[len(node.edges) :]
        ):
            raise errors.GradientError(
                f"{node.op.__name__}: backward returned {len(results)} gradients, but forward has "
                f"{len(node.edges)} arguments; return one for each, None where there is none"
            )
        if not retain_graph:
            node.release()
    for t, g, _ in [leaf for leaf in leaves.values() if leaf[0]._hooks]:
        leaves[id(t)] = (t, _finish(g, t._hooks), False)
    return [*leaves.values()], inner


def _starts(outputs: Tensors, gradients: Any, create_graph: bool) -> list[tuple[Edge, Array]]:
    """Where the walk starts, and the gradients it starts with."""
    if create_graph:
        raise errors.GradientError("create_graph=True: gradients are of first order only")
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    if not isinstance(gradients, (list, tuple)):
        gradients = [gradients] * (len(outputs) if gradients is None else 1)
    if len(gradients) != len(outputs):
        raise errors.GradientError(f"{len(outputs)} outputs, but {len(gradients)} gradients")
    return [_start(y, g) for y, g in zip(outputs, gradients, strict=True)]


def _start(y: Tensor, gradient: Any) -> tuple[Edge, Array]:
    """Where the walk starts for one output, and the gradient it starts with."""
    y._check_base("backward")
    edge = y._edge()
    if edge is None:
        raise errors.GradientError(
            "backward: this tensor does not require grad and has no grad_fn; was it computed "
            "under no_grad(), from detach(), or from leaves without requires_grad=True?"
        )
    xp = module_of(y.array)
    if gradient is None:
        if y.array.size != 1:
            raise errors.GradientError(
                f"backward: the output has shape {y.shape}, not one element; reduce it first "
                "(y.sum().backward()), or pass dL/dy as backward(gradient)"
            )
        return edge, xp.ones(y.shape, y.dtype)
    g = gradient.array if isinstance(gradient, Tensor) else xp.asarray(gradient)
    if g.shape != y.shape or module_of(g) is not xp:
        where = f"{g.shape} on {device_of(g)}, but the output has {y.shape} on {device_of(y.array)}"
        raise errors.GradientError(f"backward: gradient has shape {where}")
    return edge, g.astype(y.dtype, copy=False)


def _finish(g: Array, hooks: list[Callable] | None, retained: Any = None) -> Array:
    """A tensor's complete gradient: through its hooks, and into .grad where it is retained."""
    for hook in tuple(hooks or ()):
        changed = hook(Tensor(g))
        if changed is not None:
            if changed.shape != g.shape:
                raise errors.GradientError(f"a hook must return None or a gradient of {g.shape}")
            g = (changed.array if isinstance(changed, Tensor) else changed).astype(g.dtype)
    tensor = retained() if retained is not None else None
    if tensor is not None:
        _accumulate(tensor, g)
    return g


def _accumulate(t: Tensor, g: Array, owned: bool = False) -> None:
    """t.grad += g; the first time a copy, unless g is in order and nobody else can have it."""
    if t.grad is None:
        ours = owned and getattr(g.flags, "carray", g.flags.c_contiguous)
        t.grad = Tensor(g if ours else g.copy())
    else:
        t.grad.array += g
        t.grad._counter[0] += 1


def _node_backward(node: Context, received: list[Array | None]) -> Sequence[Array | None]:
    """Runs one op's backward: the gradients for its arguments, of which the last may be missing."""
    node._check_usable()
    gradients = []
    for g, (_, shape, dtype) in zip(received, node.outputs, strict=True):
        if g is None and is_floating(dtype):
            g = module_of(next(r for r in received if r is not None)).zeros(shape, dtype)
        elif isinstance(g, np.ndarray):  # others may hold the same: a view that cannot be written
            g = g.view()
            g.flags.writeable = False
        gradients.append(g)
    results = node.op.backward(node, *gradients)
    results = results if isinstance(results, (tuple, list)) else (results,)
    if mode.anomaly:
        sent = [g for g, e in zip(results, node.edges, strict=False) if e and is_array(g)]
        check_finite(node, "backward", sent, gradients)
    return results


def _checked(node: Any, edge: Edge, g: Any, kind: Any, shape: Shape, dtype: np.dtype) -> Array:
    """A node's gradient for this edge as it must be, summed where its op broadcast; or an error."""
    if type(g) is kind and g.shape == shape and g.dtype == dtype and dtype.kind == "f":
        return g
    if not is_array(g):
        problem = f"is a {type(g).__name__}; expected an array, or None"
    elif not is_floating(dtype):
        problem = f"is for a tensor of {dtype}, which can have none"
    elif module_of(g).ndarray is not kind:
        problem = f"is on {device_of(g)}; expected a {kind.__module__.partition('.')[0]} array"
    else:
        g = sum_to(g, shape).astype(dtype, copy=False) if node.op.broadcasts else g
        if g.shape == shape and g.dtype == dtype:
            return g
        problem = f"has shape {g.shape} and dtype {g.dtype}; expected {shape} and {dtype}"
    i = next(i for i, e in enumerate(node.edges) if e is edge)
    names = list(signature(node.op).parameters)
    what = f"argument {i} ({names[i]})" if i < len(names) else f"argument {i}"
    raise errors.GradientError(f"{node.op.__name__}: backward's gradient for {what} {problem}")
