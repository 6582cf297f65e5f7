"""Kernel calls that wait: inside a model, calls that follow each other run as one.

    h = F.conv2d(x, w, b)     waits: h knows its shape and its type, not yet its numbers
    h = F.relu(h)             goes on from what waits
    h = F.max_pool2d(h, 2)    and again
    h.exp()                   asks for numbers: the three run in one kernel call, and are one node
                              of the graph, <Conv2d+ReLU+MaxPool2d>

Whatever asks for the numbers of a waiting tensor, by its `array` or its `grad_fn`, gets them.  When
the outermost module returns, nothing waits any more; outside of modules nothing ever does.  A
tensor between two calls that somebody still holds by then is computed too: the run is cut there,
and its gradient can be asked for like any other's.
"""

import math
import threading
import weakref
from collections.abc import Callable, Sequence
from operator import is_
from typing import Any

import numpy as np

from . import kernels
from .arrays import float32, is_array
from .autograd import Context, Function, Tensor, check_devices, check_finite, positional
from .devices import device_of
from .errors import MinicnnError, module_path, scope
from .kernels.calls import START, Call, Chain, chain_of
from .modes import mode, set_grad_enabled


class KernelOp(Function):
    """An op that is one kernel call: it says which, and the engine runs it.

    A subclass defines `call` in place of forward and backward, which are the kernel's.  It gets
    what forward would get, looks at shapes and types only, and returns the Call, or raises.
    """

    weights = 0  # how many arrays there are behind the input; None where one is left out
    rank = 0  # how many dimensions the input must have; 0: any
    floats = False  # an integer input becomes float32 first
    fuses = True

    def __init_subclass__(cls) -> None:
        own = {"forward", "backward"} & vars(cls).keys()  # a subclass of an op may have its own
        super().__init_subclass__(kernel=not own)
        cls.fuses = not own
        if "forward" in own:
            cls.apply = classmethod(vars(Function)["apply"].__func__)  # type: ignore[assignment,method-assign]

    @staticmethod
    def call(*args: Any) -> Call:
        """Which kernel call this is, for arguments of these shapes and types."""
        raise TypeError("a KernelOp must define call(input, ...)")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Tensor:
        """The result of the call: inside a model it waits, elsewhere it is computed at once."""
        if kwargs or len(args) <= cls.weights:
            args = positional(cls, args, kwargs)
        x, *rest = args
        if isinstance(x, Waiting):
            y = x.run.go_on_as_before(cls, x, args[1:])
            if y is not None:
                return y
            like, source = x.like, x.run.array
        else:
            x = _checked_input(cls, x)
            like = source = x.array
        if cls.rank and like.ndim != cls.rank:
            return cls.of_other_rank(x, *rest)
        tensors: Any = ()
        if cls.weights:
            tensors = rest[: cls.weights]
            rest[: cls.weights] = [_array_of(cls, t) for t in tensors]
            if type(source) is not np.ndarray or not ON_HOST.issuperset(
                map(type, rest[: cls.weights])
            ):
                check_devices(cls, (x, *tensors))
        options: tuple | None = args[1 + cls.weights :]
        try:
            call = cls.call(like, *rest)
        except TypeError:  # a list, by which no geometry can be looked up; or really wrong
            call, options = cls.call(like, *map(_hashable, rest)), None
        return go_on(cls, call, x, tensors, rest[: cls.weights], options)

    @classmethod
    def of_other_rank(cls, x: Tensor, *args: Any) -> Tensor:
        """The result for an x that has not `rank` dimensions: of (C, H, W) as a batch of one."""
        if x.ndim != cls.rank - 1:
            cls.call(x, *args)  # raises, and says what is expected
        return cls.apply(x.reshape(1, *x.shape), *args).squeeze(0)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """The gradients of the input and of the weights of all calls of the node."""
        return kernels.back(gradients[0], ctx.saved, ctx.needs_input_grad)


ON_HOST = {np.ndarray, type(None)}


def _checked_input(op: type[KernelOp], x: Any) -> Tensor:
    """The input as a Tensor of a type that the kernel takes."""
    if not isinstance(x, Tensor):
        if not is_array(x):
            raise TypeError(f"{op.__name__}: input must be a tensor, not a {type(x).__name__}")
        x = Tensor(x)
    if x._base is not None:
        x._check_base(op.__name__)
    if op.floats and x.array.dtype.kind != "f":
        x = Tensor(x.array.astype(float32))
    return x


def _array_of(op: type[KernelOp], weight: Any) -> Any:
    if not isinstance(weight, Tensor):
        return weight
    if weight._base is not None:
        weight._check_base(op.__name__)
    return weight.array


def _hashable(option: Any) -> Any:
    return tuple(option) if isinstance(option, list) else option


# ---- waiting -----------------------------------------------------------------------------------


def go_on(
    op: Any,
    call: Call,
    x: Tensor,
    tensors: Sequence = (),
    arrays: Sequence = (),
    options: tuple | None = None,
) -> Tensor:
    """The result of a call on x and weights: it waits behind what x waits for, if it can.

    By its `options` the call is known again in the next step; None if they may change.
    """
    recording, run = mode.grad, None
    needs = [recording and isinstance(t, Tensor) and t.requires_grad for t in tensors]
    if isinstance(x, Waiting):
        run = x.run
        # Nobody has gone on from x already, and the next call is of the same kind.
        if x.place != run.last or run.recording != recording or call.kernel not in run.fused:
            run.compute(x.place)
            run = None
    if run is None:
        run = Run(x, recording)
        if mode.anomaly or not scope.modules or call.kernel not in run.fused or not op.fuses:
            return run.at_once(op, call, tensors, arrays, needs)
        waits.runs.append(run)
    before = run.chain
    y = run.append(op, before.then(call), tensors, arrays, needs)
    if options is not None:
        before.known[op] = options, run.chain
    return y


class Waiting(Tensor):
    """A tensor whose numbers nobody has asked for; when somebody does, it is an ordinary one.

    Attributes
    ----------
    run, place
        It is the result of the call with this number.
    like
        An array of its shape and type, without memory.
    """

    run: "Run"
    place: int
    like: np.ndarray
    __init__ = object.__init__  # without a frame: every layer makes one

    def _computed(self, name: str) -> Any:
        if (run := vars(self).get("run")) is not None:  # None if another thread was quicker
            run.compute(self.place)
        return getattr(self, name)

    def become(self, result: Tensor) -> None:
        """Is an ordinary tensor from now on: this one."""
        vars(self).update(vars(result))
        self.__class__ = Tensor  # type: ignore[assignment]
        del vars(self)["run"], vars(self)["place"], vars(self)["like"]

    shape = property(lambda self: self.like.shape)
    ndim = property(lambda self: self.like.ndim)
    dtype = property(lambda self: self.like.dtype)
    device = property(lambda self: device_of(self.run.array))


def _asks_for(name: str) -> property:
    """An attribute that a waiting tensor has only once it is computed."""

    def put(self: Waiting, value: Any) -> None:
        self._computed("array")
        setattr(self, name, value)

    return property(lambda self: self._computed(name), put)


for _name in ("array", "requires_grad", "grad_fn", "output_nr", "_counter"):
    setattr(Waiting, _name, _asks_for(_name))


def overwrite(x: Waiting, op: type[Function], args: Sequence[Any]) -> bool:
    """Makes a waiting x hold op(x) instead, if that can wait too: nobody has seen x's numbers."""
    run = x.run
    if not (issubclass(op, KernelOp) and x.place == run.last and run.recording == mode.grad):
        return False
    call = op.call(x.like, *args)
    if call.kernel not in run.fused:
        return False
    run.outputs[-1] = lambda: None  # nobody can ask for the old numbers
    run.append(op, run.chain.then(call), y=x)
    return True


class Run:
    """Calls that wait, each for the result of the one before.

    Attributes
    ----------
    array
        What the first call takes, as it is now.
    ops, chain
        The ops whose calls wait, and these calls.
    tensors, arrays, needs
        The input and the weights of all calls, the arrays of the weights, and which of the tensors
        need a gradient.
    outputs
        Weak references to the calls' results.
    done, last
        How many calls are done, and how many there are together with those that wait.
    kernels, fused
        The implementation that serves, and the names of the kernels that can be part of a run.
    modules
        Where the calls were made, if kernels are compared and an error has to say it.
    watch
        Who is told of every call and its weights.
    """

    def __init__(self, input: Tensor, recording: bool) -> None:
        self.array, self.recording = input.array, recording
        self.tensors: list[Any] = [input]
        self.arrays: list[Any] = []
        self.needs = [recording and input.requires_grad]
        self.ops: list[type[Function]] = []
        self.chain = START
        self.outputs: list[Callable[[], Waiting | None]] = []
        self.done = self.last = 0
        self.kernels = kernels.serving(self.array)
        self.fused = getattr(self.kernels, "FUSED", ())
        self.modules: list | None = [] if hasattr(self.kernels, "compare") else None
        self.watch = waits.watch
        self.lock = waits.lock

    def append(
        self, op: type[Function], chain: Chain, tensors: Sequence = (), arrays: Sequence = (),
        needs: Sequence = (), y: Waiting | None = None,
    ) -> Waiting:  # fmt: skip
        """One more call, by which the calls become this chain; its result waits, as y or anew."""
        self.ops.append(op)
        self.chain = chain
        self.last += 1
        if tensors:
            self.tensors += tensors
            self.arrays += arrays
            self.needs += needs
        y = Waiting() if y is None else y
        y.run, y.place, y.like = self, self.last, chain.calls[-1].like
        self.outputs.append(weakref.ref(y))
        if self.modules is not None:
            self.modules.append([*scope.modules])
        if self.watch is not None:
            self.watch(chain.calls[-1], tensors)
        return y

    def at_once(self, op: type[Function], call: Call, *weights: Any) -> Tensor:
        """The result of the only call."""
        self.append(op, START.then(call), *weights)
        return self._result(1)

    def go_on_as_before(self, op: Any, x: Waiting, args: tuple) -> Tensor | None:
        """The result of an op that came here in an earlier step too; None if that is not sure.

        Then nothing has to be checked but that the weights are like those of that step.
        """
        known, count = self.chain.known.get(op), op.weights
        if known is None or x.place != self.last or mode.grad != self.recording:
            return None
        options, chain = known
        if len(args) != count + len(options) or not all(map(is_, args[count:], options)):
            return None
        if not count:
            return self.append(op, chain)
        call, arrays, needs = chain.calls[-1], [], []
        for t, shape in zip(args, call.shapes, strict=False):
            if t is None:
                a, need = None, False
            elif t.__class__ is Waiting or not isinstance(t, Tensor) or t._base is not None:
                return None
            else:
                a, need = t.array, self.recording and t.requires_grad
                if a.dtype is not call.dtype or a.__class__ is not self.array.__class__:
                    return None
            if (a if a is None else a.shape) != shape:
                return None
            arrays.append(a)
            needs.append(need)
        return self.append(op, chain, args[:count], arrays, needs)

    def compute(self, last: float = math.inf) -> None:
        """Runs the calls whose results somebody holds, up to number `last`: a part for each."""
        with self.lock:
            for end in [i for i, y in enumerate(self.outputs, self.done + 1) if y() is not None]:
                while self.done < end <= last:
                    self._run(end - self.done)

    def _run(self, count: int) -> None:
        """Runs the first `count` calls; those that are left go on from their result."""
        if self.chain.calls[0].kernel == "flatten":  # a view, as outside of runs
            count, result = 1, self._view()
        else:
            result = self._result(count)
        tensor = self.outputs[count - 1]()
        if tensor is not None:
            tensor.become(result)
            result = tensor
        self.done += count
        del self.ops[:count], self.outputs[:count], (self.modules or [])[:count]
        if not self.ops:  # the model goes on, and what this run has used can be freed
            del self.array, self.tensors, self.arrays
            return
        done = 1 + sum(len(call.shapes) for call in self.chain.calls[:count])
        self.array = result.array
        self.tensors[:done], self.needs[:done] = [result], [result.requires_grad]
        del self.arrays[: done - 1]
        self.chain = chain_of(self.chain.calls[count:])

    def _view(self) -> Tensor:
        with set_grad_enabled(self.recording):
            return self.ops[0].apply(self.tensors[0], self.chain.calls[0].shape)

    def _result(self, count: int) -> Tensor:
        """The result of the first `count` calls, with their node in the graph."""
        chain, tensors, arrays, needs = self.chain, self.tensors, self.arrays, self.needs
        if count < len(self.ops):
            chain = chain_of(chain.calls[:count])
            done = 1 + sum(len(call.shapes) for call in chain.calls)
            tensors, arrays, needs = tensors[:done], arrays[: done - 1], needs[:done]
        run = kernels.run if not self.modules else self._run_checked
        y, saved = run(chain, self.array, tuple(arrays), tuple(needs), self.kernels)
        result = Tensor(y)
        if True in needs or mode.anomaly:
            ctx = Context(_op_of(chain, self.ops[:count]), tuple(needs))
            ctx.saved = saved
            _record(ctx, tensors, result)
            if mode.anomaly:
                ctx.path = module_path()
                inputs = [a for a in (self.array, *arrays) if a is not None]
                check_finite(ctx, "forward", [y], inputs)
        return result

    def _run_checked(self, *args: Any) -> tuple:
        """Has an error that names one of the calls say where that was made."""
        before, scope.modules = scope.modules, []
        try:
            return kernels.run(*args)
        except MinicnnError as error:
            scope.modules = (self.modules or [[]])[getattr(error, "call", 0)]
            raise type(error)(*error.args) from None
        finally:
            scope.modules = before


def _record(ctx: Context, tensors: list[Any], result: Tensor) -> None:
    """Ties a run's node into the graph."""
    needs = ctx.needs_input_grad
    if True in needs:
        edges = [
            None if not need else (t, 0) if t.grad_fn is None else (t.grad_fn, t.output_nr)
            for t, need in zip(tensors, needs, strict=True)
        ]
        ctx.record(edges, [t for t in tensors if isinstance(t, Tensor)], [result])


def _op_of(chain: Chain, ops: Sequence[type[Function]]) -> type[Function]:
    """The op of a node: of several calls one that is named after all of them."""
    if len(ops) == 1:
        return ops[0]
    if "op" not in chain.kept:
        chain.kept["op"] = type("+".join(op.__name__ for op in ops), (KernelOp,), {})
    return chain.kept["op"]


class _Waits(threading.local):
    """The runs that wait in this thread; and who is told of every call and its weights."""

    watch: Callable[[Call, Sequence], Any] | None = None

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.lock = threading.RLock()  # another thread may ask for the numbers of these runs


waits = _Waits()


def settle() -> None:
    """Computes whatever waits in this thread: before memory changes, and when a model returns."""
    runs = waits.runs
    while runs:
        runs.pop().compute()
