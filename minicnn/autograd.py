"""The tape: Tensor, Function, the graph that forward leaves behind, and the walk back along it.

No operation lives here; minicnn.methods gives Tensor its operators and methods.

    x ──┐                     forward: Mul.apply computes y and leaves a node, the Context:
        ├─ Mul ── y             y.grad_fn = node;  node.edges = (where x comes from, ... w ...)
    w ──┘                     backward: Mul.backward(node, dL/dy) -> (dL/dx, dL/dw), each sent
                                along its edge.  A leaf (x, w) adds what arrives to its .grad.

Nodes are numbered as they are made, and an op can only use what exists already: going by falling
number meets every node after all that used its output.  That is the topological order.
"""

import copy
import heapq
import inspect
import itertools
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import ContextDecorator
from typing import TYPE_CHECKING, Any

import numpy as np

from .arrays import (
    Array,
    from_data,
    is_array,
    is_floating,
    module_of,
    result_type,
    share_memory,
    sum_to,
)
from .devices import device, device_of
from .errors import (
    AnomalyError,
    ArgumentError,
    DeviceError,
    DtypeError,
    GradientError,
    InPlaceError,
    ShapeError,
    module_path,
)
from .kernels import Saved
from .shapes import Shape, broadcast

# ---- modes -----------------------------------------------------------------------------------


class _Mode(threading.local):
    grad = True
    anomaly = False


_mode = _Mode()


class _Switch(ContextDecorator):
    """Sets one mode inside a `with` block or a decorated function, and puts it back after."""

    mode = "grad"
    at_once = False  # switch when made, not only when entered

    def __init__(self, value: bool) -> None:
        self.value = value
        self.before: list[bool] = []
        if self.at_once:
            self._switch()

    def _switch(self) -> None:
        self.before.append(getattr(_mode, self.mode))
        setattr(_mode, self.mode, self.value)

    def __enter__(self) -> None:
        if not self.at_once:
            self._switch()

    def __exit__(self, *exc: object) -> None:
        setattr(_mode, self.mode, self.before.pop())

    def _recreate_cm(self) -> "_Switch":  # a decorated function may run in several threads
        again = copy.copy(self)
        again.before, again.at_once = [], False
        return again


class no_grad(_Switch):
    """Records nothing inside: results need no gradient.  `with no_grad():` or `@no_grad()`."""

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(_Switch):
    """Records again inside a `no_grad`."""

    def __init__(self) -> None:
        super().__init__(True)


class inference_mode(no_grad):
    """The same as no_grad here; for programs that use PyTorch's name."""


class set_grad_enabled(_Switch):
    """Switches recording on or off at once; as a context manager, puts it back after."""

    at_once = True


class set_detect_anomaly(_Switch):
    """Stops at the first NaN or infinity, naming the op, its module, and forward or backward.

    Slow: every result is looked at.  Works as a function and as a context manager.
    """

    mode = "anomaly"
    at_once = True


def is_grad_enabled() -> bool:
    """Whether operations are recorded now, in this thread."""
    return _mode.grad


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

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        self.array: Array = data if is_array(data) else from_data(data)
        self._counter = [0]  # changes in place, shared by all tensors over this memory
        if requires_grad:
            self.requires_grad_()

    # -- what it is

    @property
    def shape(self) -> Shape:
        """The size along each dimension."""
        return self.array.shape

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self.array.ndim

    @property
    def dtype(self) -> np.dtype:
        """The element type, a numpy dtype."""
        return self.array.dtype

    @property
    def device(self) -> device:
        """The device whose memory holds the array."""
        return device_of(self.array)

    @property
    def is_leaf(self) -> bool:
        """True if no recorded op made it."""
        return self.grad_fn is None

    @property
    def _version(self) -> int:
        return self._counter[0]

    @property
    def data(self) -> "Tensor":
        """The same memory without history; changes through it are not checked."""
        return Tensor(self.array)

    @data.setter
    def data(self, value: "Tensor") -> None:
        self.array = value.array

    def __repr__(self) -> str:
        text = np.array2string(
            self.array if isinstance(self.array, np.ndarray) else self.array.get(),
            separator=", ",
            prefix="tensor(",
            precision=4,
            threshold=1000,
        )
        if self.dtype not in (np.float32, np.int64, np.bool_) or self.array.size == 0:
            text += f", dtype={self.dtype}"
        if self.device.type != "cpu":
            text += f", device='{self.device}'"
        if self.grad_fn is not None:
            text += f", grad_fn=<{self.grad_fn.name}>"
        elif self.requires_grad:
            text += ", requires_grad=True"
        return f"tensor({text})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.ndim == 0 else format(repr(self), spec)

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a 0-dim tensor")
        return self.shape[0]

    def __bool__(self) -> bool:
        return bool(self._single("bool()"))

    def __float__(self) -> float:
        return float(self._single("float()"))

    def __int__(self) -> int:
        return int(self._single("int()"))

    def __index__(self) -> int:
        return self._single("an index").__index__()

    def item(self) -> Any:
        """The one element as a Python number."""
        return self._single("item()")

    def _single(self, what: str) -> Any:
        if self.array.size != 1:
            raise ArgumentError(
                f"{what} takes a tensor of one element, not one of shape {self.shape}"
            )
        return self.array.item()

    def __hash__(self) -> int:
        return id(self)

    # -- leaving the graph, and other libraries

    def detach(self) -> "Tensor":
        """The same memory without history; changes in place are still noticed."""
        out = Tensor(self.array)
        out._counter = self._counter
        return out

    def numpy(self) -> np.ndarray:
        """The array itself, not a copy.  Raises GradientError if it needs a gradient."""
        if self.requires_grad:
            raise GradientError(
                "numpy(): this tensor requires grad, and what NumPy does is not recorded; "
                "use tensor.detach().numpy()"
            )
        if self.device.type != "cpu":
            raise DeviceError(f"numpy(): this tensor is on {self.device}; use tensor.cpu().numpy()")
        return self.array

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        return self.array.tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        if copy is False and dtype is not None and np.dtype(dtype) != array.dtype:
            raise ValueError(f"a change to {np.dtype(dtype)} needs a copy")
        return np.array(array, dtype=dtype, copy=bool(copy) or None)

    def __dlpack__(self, **kwargs: Any) -> Any:
        if self.requires_grad:
            raise GradientError("DLPack: this tensor requires grad; export tensor.detach()")
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()

    def __deepcopy__(self, memo: dict) -> "Tensor":
        if self.grad_fn is not None:
            raise GradientError(
                "deepcopy: only leaves can be copied with their graph; use detach().clone()"
            )
        out = memo[id(self)] = type(self)(self.array.copy(), requires_grad=self.requires_grad)
        out.grad = None if self.grad is None else Tensor(self.grad.array.copy())
        return out

    # -- gradients

    def requires_grad_(self, requires_grad: bool = True) -> "Tensor":
        """Says whether gradients are wanted for this leaf; returns the tensor."""
        if requires_grad and not is_floating(self.dtype):
            raise DtypeError(f"only floating types can require gradients, not {self.dtype}")
        if self.grad_fn is not None and not requires_grad:
            raise GradientError("requires_grad_(False): this is no leaf; use detach()")
        self.requires_grad = requires_grad
        return self

    def backward(
        self,
        gradient: Any = None,
        retain_graph: bool = False,
        create_graph: bool = False,
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
        if not self.requires_grad:
            raise GradientError("retain_grad(): this tensor does not require grad")
        if self.grad_fn is not None:
            self.grad_fn.retained[self.output_nr] = weakref.ref(self)

    def register_hook(self, hook: Callable[["Tensor"], Any]) -> "RemovableHandle":
        """Calls hook(gradient) once this tensor's gradient is complete; it may return another."""
        if not self.requires_grad:
            raise GradientError("register_hook(): this tensor does not require grad")
        if self.grad_fn is not None:
            hooks = self.grad_fn.hooks.setdefault(self.output_nr, [])
        else:
            hooks = self._hooks = self._hooks if self._hooks is not None else []
        return RemovableHandle(hooks, hook)

    def _edge(self) -> "Edge | None":
        """Where a gradient of this tensor has to go."""
        if not self.requires_grad:
            return None
        return (self, 0) if self.grad_fn is None else (self.grad_fn, self.output_nr)

    def _check_base(self, op: str) -> None:
        """Refuses a view whose base got another history since: its gradient would be wrong."""
        if self._base is not None and self._base.grad_fn is not self._base_fn:
            raise InPlaceError(
                f"{op}: this tensor is a view of one that was changed in place since, by "
                f"{self._base.grad_fn.name if self._base.grad_fn else 'detach'}; take the view "
                "again after the change"
            )

    if TYPE_CHECKING:  # bound by minicnn.methods
        __add__: Any
        __radd__: Any
        __sub__: Any
        __rsub__: Any
        __mul__: Any
        __rmul__: Any
        __truediv__: Any
        __rtruediv__: Any
        __pow__: Any
        __rpow__: Any
        __matmul__: Any
        __neg__: Any
        __lt__: Any
        __le__: Any
        __gt__: Any
        __ge__: Any
        __getitem__: Any
        __setitem__: Any
        __iter__: Any

        def __getattr__(self, name: str) -> Any: ...


Edge = tuple["Tensor | Context", int]  # a leaf, or a node and the number of its output


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

_numbers = itertools.count()


class Context:
    """What one call of an op's forward leaves for its backward: a node of the graph.

    Small things can be kept as attributes, `ctx.dim = dim`.  Arrays belong into
    `save_for_backward`, which notices when one is changed in place before backward needs it.
    """

    def __init__(self, op: "type[Function]", needs_input_grad: tuple[bool, ...]) -> None:
        self.op = op
        self.needs_input_grad = needs_input_grad
        self.number = next(_numbers)
        self.edges: tuple[Edge | None, ...] = ()
        self.outputs: list[tuple[Shape, np.dtype, Any]] = []  # shape, dtype, array module
        self.hooks: dict[int, list[Callable]] = {}
        self.retained: dict[int, Any] = {}
        self.path = ""
        self.saved: Saved | None = None  # what a kernel's forward saved
        self._saved: tuple[Array | None, ...] = ()
        self._watched: list[tuple[list[int], int]] = []
        self._non_differentiable: tuple[Array, ...] = ()
        self._freed = False

    @property
    def name(self) -> str:
        """The op's name."""
        return self.op.__name__

    @property
    def next_functions(self) -> tuple["Context | Tensor | None", ...]:
        """The nodes (or leaves) that the gradients go to, one per argument."""
        return tuple(None if edge is None else edge[0] for edge in self.edges)

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def save_for_backward(self, *arrays: Array | None) -> None:
        """Keeps arrays until backward; None is allowed as a placeholder."""
        self._saved = arrays

    @property
    def saved_tensors(self) -> tuple[Array | None, ...]:
        """What save_for_backward was given: arrays, in PyTorch's name for them."""
        return self._saved

    def mark_non_differentiable(self, *outputs: Array) -> None:
        """Outputs that have no gradient; integer outputs never have one."""
        self._non_differentiable = outputs

    def _record(self, args: tuple, outputs: tuple[Tensor, ...]) -> None:
        """Ties the node into the graph, after forward."""
        self.edges = tuple(a._edge() if isinstance(a, Tensor) else None for a in args)
        for number, y in enumerate(outputs):
            self.outputs.append((y.shape, y.dtype, module_of(y.array)))
            if is_floating(y.dtype) and not any(y.array is a for a in self._non_differentiable):
                y.requires_grad, y.grad_fn, y.output_nr = True, self, number
        kept = [a for a in self._saved if is_array(a)]
        kept += self.saved.inputs if self.saved is not None else ()
        for t in itertools.chain((a for a in args if isinstance(a, Tensor)), outputs):
            if any(share_memory(a, t.array) for a in kept):
                self._watched.append((t._counter, t._version))

    def _check_usable(self) -> None:
        """Raises if what forward saved is gone, or not what it was."""
        if self._freed:
            raise GradientError(
                f"{self.name}: backward a second time, but what forward saved was freed after the "
                "first; call the first backward with retain_graph=True, or run forward again"
            )
        for counter, version in self._watched:
            if counter[0] != version:
                raise InPlaceError(
                    f"{self.name}: an array that it saved for backward was changed in place "
                    f"{counter[0] - version} time(s) since; change a clone() of it instead, or "
                    "change it after backward"
                )

    def _release(self) -> None:
        if self.saved is not None or any(map(is_array, self._saved)):
            self._freed, self._saved, self.saved = True, (), None


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

    backward gets dL/d(output) for each output (zeros where nothing arrived, None for an output
    without gradient), must not change it, and returns one gradient per argument of forward, None
    where none is wanted (`ctx.needs_input_grad`); trailing Nones may be left out.  Each must have
    its argument's shape, dtype and device.
    """

    broadcasts = False  # element-wise: operands are promoted, gradients summed to their shapes
    floats = False  # with broadcasts: integers become float32 first

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
            args = _positional(cls, args, kwargs)
        inputs = [a for a in args if isinstance(a, Tensor)]
        for x in inputs:
            x._check_base(cls.__name__)
        _check_devices(cls.__name__, inputs)
        needs = tuple(_mode.grad and isinstance(a, Tensor) and a.requires_grad for a in args)
        ctx = Context(cls, needs)
        arrays = tuple(a.array if isinstance(a, Tensor) else a for a in args)
        if cls.broadcasts:
            arrays = _promoted(cls, arrays)
        with np.errstate(all="ignore"):  # log(0) is -inf without a warning, as in PyTorch
            result = cls.forward(ctx, *arrays)
        outputs = tuple(_output(y, inputs) for y in (result if type(result) is tuple else [result]))
        if True in needs:
            ctx._record(args, outputs)
        if _mode.anomaly:
            ctx.path = module_path()
            _check_finite(cls.__name__, "forward", outputs, inputs, ctx.path)
        return outputs if type(result) is tuple else outputs[0]


def _positional(op: type[Function], args: tuple, kwargs: dict[str, Any]) -> tuple:
    """All arguments of a call in forward's order, so that each has a place for its gradient."""
    try:
        bound = inspect.signature(op.forward).bind(None, *args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{op.__name__}: {error}") from None
    bound.apply_defaults()
    return bound.args[1:]


def _check_devices(op: str, inputs: list[Tensor]) -> None:
    modules = {module_of(x.array) for x in inputs}
    if len(modules) > 1:
        found = ", ".join(f"{x.shape} on {x.device}" for x in inputs)
        raise DeviceError(f"{op}: tensors on different devices: {found}; move them with .to()")


def _promoted(op: type[Function], arrays: tuple) -> tuple:
    """Element-wise operands in their common type; Python numbers stay as they are."""
    operands = [a for a in arrays if is_array(a) or isinstance(a, (bool, int, float))]
    dtype = result_type(operands)
    if op.floats and not is_floating(dtype):
        dtype = np.dtype(np.float32)
    broadcast(op.__name__, [a.shape for a in operands if is_array(a)])
    return tuple(a.astype(dtype, copy=False) if is_array(a) else a for a in arrays)


def _output(y: Any, inputs: list[Tensor]) -> Tensor:
    """An op's result as a Tensor; a view of an input shares its changes in place."""
    if isinstance(y, np.generic):
        y = np.asarray(y)
    out = Tensor(y)
    for x in inputs:
        if share_memory(y, x.array):
            out._counter = x._counter
            out._base = x if x._base is None else x._base
            out._base_fn = out._base.grad_fn
            break
    return out


def in_place(x: Tensor, op: type[Function], *args: Any) -> Tensor:
    """Makes x hold op(x, *args): in its memory, and in the graph."""
    others = [a for a in args if isinstance(a, Tensor)]
    recorded = _mode.grad and any(t.requires_grad for t in (x, *others))
    if recorded and x.requires_grad and x.grad_fn is None:
        raise InPlaceError(
            f"{op.__name__}: a leaf that requires grad cannot be changed in place; if the change "
            "is no part of the model (an update), do it inside `with no_grad():`"
        )
    if recorded and x._base is not None:
        raise InPlaceError(
            f"{op.__name__}: a change in place through a view is not recorded; assign to the "
            "tensor it is a view of (base[index] = ...), or change a clone() of the view"
        )
    result = op.apply(x, *args)
    if result.shape != x.shape:
        raise ShapeError(
            f"{op.__name__}: in place, the result {result.shape} does not fit {x.shape}"
        )
    if "biuf".index(result.dtype.kind) > "biuf".index(x.dtype.kind):
        raise DtypeError(f"{op.__name__}: in place, {result.dtype} does not fit into {x.dtype}")
    x.array[...] = result.array
    x._counter[0] += 1
    if recorded:
        node = result.grad_fn
        node.outputs[result.output_nr] = (x.shape, x.dtype, module_of(x.array))
        x.requires_grad, x.grad_fn, x.output_nr = True, node, result.output_nr
    return x


# ---- the walk back ---------------------------------------------------------------------------


@np.errstate(all="ignore")  # as in forward
def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Any = None,
    retain_graph: bool = False,
    create_graph: bool = False,
) -> None:
    """Adds the gradients of all `tensors` to the grad of every leaf they depend on."""
    for t, g in _walk(tensors, grad_tensors, retain_graph, create_graph)[0]:
        _accumulate(t, g)


@np.errstate(all="ignore")
def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool = False,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """d(outputs)/d(inputs) as a tuple, without touching any .grad.

    An input that the outputs do not depend on raises GradientError, or gives None with
    allow_unused.
    """
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    for i, x in enumerate(inputs):
        if not x.requires_grad:
            raise GradientError(f"grad: input {i} does not require grad")
    edges = [x._edge() for x in inputs]
    leaves, inner = _walk(outputs, grad_outputs, retain_graph, create_graph, edges)
    found = {(id(t), 0): g for t, g in leaves} | inner
    results = [found.get((id(e[0]), e[1])) for e in edges if e is not None]
    for i, g in enumerate(results):
        if g is None and not allow_unused:
            raise GradientError(
                f"grad: input {i} of shape {inputs[i].shape} was not used to compute the outputs; "
                "pass allow_unused=True to get None for it"
            )
    return tuple(None if g is None else Tensor(g.copy()) for g in results)


def _walk(
    outputs: Tensor | Sequence[Tensor],
    gradients: Any,
    retain_graph: bool,
    create_graph: bool,
    wanted: Iterable[Edge | None] = (),
) -> tuple[list[tuple[Tensor, Array]], dict[tuple[int, int], Array]]:
    """Carries gradients from the outputs to the leaves.

    Returns each leaf reached with its gradient, and the gradients at the `wanted` edges.
    """
    if create_graph:
        raise GradientError("create_graph=True is not supported: gradients are of first order")
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    if gradients is None:
        gradients = [None] * len(outputs)
    elif not isinstance(gradients, (list, tuple)):
        gradients = [gradients]
    if len(gradients) != len(outputs):
        raise GradientError(f"{len(outputs)} outputs need as many gradients, not {len(gradients)}")
    keep = {(id(e[0]), e[1]) for e in wanted if e is not None}
    inner: dict[tuple[int, int], Array] = {}
    leaves: dict[int, tuple[Tensor, Array]] = {}
    arrived: dict[Context, list[Array | None]] = {}  # per node, what came for each output
    queue: list[tuple[int, Context]] = []  # a heap: the youngest node first

    def send(edge: Edge, g: Array) -> None:
        target, number = edge
        if isinstance(target, Tensor):
            before = leaves.get(id(target))
            leaves[id(target)] = (target, g if before is None else before[1] + g)
            return
        if target not in arrived:
            arrived[target] = [None] * len(target.outputs)
            heapq.heappush(queue, (-target.number, target))
        slots = arrived[target]
        slots[number] = g if slots[number] is None else slots[number] + g

    for y, g in zip(outputs, gradients, strict=True):
        send(*_start(y, g))
    while queue:
        node = heapq.heappop(queue)[1]
        received = arrived.pop(node)
        for number, g in enumerate(received):
            if g is not None:
                received[number] = g = _finish(g, node.hooks.get(number), node.retained.get(number))
                if (id(node), number) in keep:
                    inner[id(node), number] = g
        for edge, g in zip(node.edges, _node_backward(node, received), strict=True):
            if g is not None and edge is not None:
                send(edge, g)
        if not retain_graph:
            node._release()
    return [(t, _finish(g, t._hooks)) for t, g in leaves.values()], inner


def _start(y: Tensor, gradient: Any) -> tuple[Edge, Array]:
    """Where the walk starts for one output, and the gradient it starts with."""
    edge = y._edge()
    if edge is None:
        raise GradientError(
            "backward: this tensor does not require grad and has no grad_fn; was it computed "
            "under no_grad(), from detach(), or from leaves without requires_grad=True?"
        )
    if gradient is None:
        if y.array.size != 1:
            raise GradientError(
                f"backward: the output has shape {y.shape}, not one element; reduce it first "
                "(y.sum().backward()), or pass dL/dy as backward(gradient)"
            )
        return edge, module_of(y.array).ones_like(y.array)
    g = gradient.array if isinstance(gradient, Tensor) else module_of(y.array).asarray(gradient)
    if g.shape != y.shape:
        raise GradientError(f"backward: gradient has shape {g.shape} but the output has {y.shape}")
    if module_of(g) is not module_of(y.array):
        raise GradientError(f"backward: gradient and output ({y.device}) are on different devices")
    return edge, g.astype(y.dtype, copy=False)


def _finish(g: Array, hooks: list[Callable] | None, retained: Any = None) -> Array:
    """A tensor's complete gradient: through its hooks, and into .grad where it is retained."""
    for hook in tuple(hooks or ()):
        changed = hook(Tensor(g))
        if changed is not None:
            new = changed.array if isinstance(changed, Tensor) else changed
            if not is_array(new) or new.shape != g.shape:
                raise GradientError(f"a hook must return a gradient of shape {g.shape} or None")
            g = new.astype(g.dtype, copy=False)
    tensor = retained() if retained is not None else None
    if tensor is not None:
        _accumulate(tensor, g)
    return g


def _accumulate(t: Tensor, g: Array) -> None:
    """t.grad += g; the first time a copy, since g may be some other tensor's gradient too."""
    if t.grad is None:
        t.grad = Tensor(g.copy())
    else:
        t.grad.array += g
        t.grad._counter[0] += 1


def _node_backward(node: Context, received: list[Array | None]) -> list[Array | None]:
    """Runs one op's backward, and holds what it returns against what it was given."""
    node._check_usable()
    arguments = [
        xp.zeros(shape, dtype) if g is None and is_floating(dtype) else g
        for g, (shape, dtype, xp) in zip(received, node.outputs, strict=True)
    ]
    result = node.op.backward(node, *arguments)
    results = list(result) if isinstance(result, (tuple, list)) else [result]
    results += [None] * (len(node.edges) - len(results))
    if any(g is not None for g in results[len(node.edges) :]):
        raise GradientError(
            f"{node.name}: backward returned {len(results)} gradients, but forward has "
            f"{len(node.edges)} arguments; return one for each, None where there is none"
        )
    checked = [
        None if g is None or edge is None else _check_gradient(node, i, g, edge)
        for i, (g, edge) in enumerate(zip(results, node.edges, strict=False))
    ]
    if _mode.anomaly:
        outputs = [Tensor(g) for g in checked if g is not None]
        inputs = [Tensor(g) for g in arguments if g is not None]
        _check_finite(node.name, "backward", outputs, inputs, node.path)
    return checked


def _check_gradient(node: Context, i: int, g: Any, edge: Edge) -> Array:
    """A gradient of argument i with the shape, type and device it must have; else an error."""
    target, number = edge
    if isinstance(target, Tensor):
        shape, dtype, xp = target.shape, target.dtype, module_of(target.array)
    else:
        shape, dtype, xp = target.outputs[number]
    what = f"{node.name}: backward's gradient for {_argument(node.op, i)}"
    if not is_array(g):
        raise GradientError(f"{what} is a {type(g).__name__}; expected an array, or None")
    if module_of(g) is not xp:
        raise GradientError(f"{what} is on {device_of(g)}; expected a {xp.__name__} array")
    if node.op.broadcasts:
        g = sum_to(g, shape).astype(dtype, copy=False)
    if g.shape != shape:
        raise GradientError(f"{what} has shape {g.shape}; expected its argument's, {shape}")
    if g.dtype != dtype:
        raise GradientError(
            f"{what} has dtype {g.dtype}; expected its argument's, {dtype}: return g.astype(...)"
        )
    return g


def _argument(op: type[Function], i: int) -> str:
    """`argument 1 (weight)`: a forward argument's place and name."""
    code = op.forward.__code__
    names = code.co_varnames[1 : code.co_argcount]
    return f"argument {i} ({names[i]})" if i < len(names) else f"argument {i}"


def _check_finite(
    op: str, when: str, outputs: Sequence[Tensor], inputs: Sequence[Tensor], path: str
) -> None:
    """Raises AnomalyError where NaN or infinity comes out, saying whether it went in."""

    def bad(t: Tensor) -> int:
        return int((~module_of(t.array).isfinite(t.array)).sum())

    found = sum(map(bad, outputs))
    if found:
        total = sum(t.array.size for t in outputs)
        already = [f"{t.shape}" for t in inputs if bad(t)]
        source = f"which were there in its input {already[0]}" if already else "from finite ones"
        place = f"  [{path}]" if path and path != module_path() else ""
        raise AnomalyError(
            f"{op}: {when} gave {found} of {total} values NaN or infinite, {source}{place}"
        )
