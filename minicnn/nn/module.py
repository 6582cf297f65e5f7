"""Module and Parameter: how layers hold weights, nest, and are saved."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ..arrays import Array, is_floating
from ..autograd import RemovableHandle, Tensor, no_grad
from ..errors import ArgumentError, DtypeError, StateDictError, scope
from ..fusion import settle
from ..methods import to_arguments
from .hooks import BackwardHooks


class Parameter(Tensor):
    """A tensor that a Module learns: as an attribute of one it is found by `parameters()`."""

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(
            data.array if isinstance(data, Tensor) else data, requires_grad=requires_grad
        )

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict(strict=False)` found different."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not any(self):
            return "<All keys matched successfully>"
        return f"IncompatibleKeys({', '.join(f'{k}={v}' for k, v in self._asdict().items())})"


class _Modules(dict):
    """The submodules by name, as `module._modules`; what is put in is assigned to the module."""

    def __init__(self, owner: "Module") -> None:
        super().__init__(owner._own_modules())
        self._owner = owner

    def __setitem__(self, name: str, module: "Module") -> None:
        super().__setitem__(name, module)
        setattr(self._owner, name, module)


class Module:
    """Base of all layers and models.  A subclass assigns layers in __init__ and defines forward.

    Nothing is registered: parameters, buffers and submodules are the attributes that are
    Parameters, Modules, or were named by `register_buffer`, in the order of assignment.
    """

    training: bool = True
    _buffer_names: tuple[str, ...] = ()
    _transient: tuple[str, ...] = ()  # buffers that are not saved
    _forward_hooks: tuple[Callable, ...] | list[Callable] = ()
    _forward_pre_hooks: tuple[Callable, ...] | list[Callable] = ()
    _backward_hooks: tuple[Callable, ...] | list[Callable] = ()
    _ready: bool = False  # whether __init__ was called; a dataclass has no need of it
    _hooked: bool = False  # whether there ever was one: the quick way through __call__ is without

    def __init__(self) -> None:
        self._ready = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; subclasses define it."""
        raise TypeError(f"{type(self).__name__} defines no forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        modules = scope.modules
        modules.append(self)  # so that an error can say where it happened
        try:
            if not self._hooked:
                return self.forward(*args, **kwargs)
            for hook in tuple(self._forward_pre_hooks):
                changed = hook(self, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
            backward = BackwardHooks(self, self._backward_hooks) if self._backward_hooks else None
            args = args if backward is None else backward.inputs(args)
            output = self.forward(*args, **kwargs)
            for hook in tuple(self._forward_hooks):
                changed = hook(self, args, output)
                output = output if changed is None else changed
        finally:
            modules.pop()
            if not modules:
                settle()  # outside of models nothing waits
        return output if backward is None else backward.outputs(output)

    def register_forward_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Calls hook(module, args) before every forward; it may return other arguments."""
        return self._add_hook("_forward_pre_hooks", hook)

    def register_forward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Calls hook(module, args, output) after every forward; it may return another output."""
        return self._add_hook("_forward_hooks", hook)

    def register_full_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Calls hook(module, grad_input, grad_output) when backward has gone through the module.

        Both are tuples of Tensors; grad_input has None where an input needs no gradient.  The hook
        may return another grad_input.
        """
        return self._add_hook("_backward_hooks", hook)

    def _add_hook(self, kind: str, hook: Callable[..., Any]) -> RemovableHandle:
        self._hooked = True
        if not getattr(self, kind):
            setattr(self, kind, [])
        return RemovableHandle(getattr(self, kind), hook)

    def __setattr__(self, name: str, value: Any) -> None:
        old = vars(self).get(name)
        if isinstance(value, (Parameter, Module)):
            if not (self._ready or hasattr(self, "__dataclass_fields__")):
                raise AttributeError(
                    f"{type(self).__name__}: call super().__init__() before {name!r} is assigned"
                )
            if not isinstance(old, (Parameter, Module)):
                vars(self).pop(name, None)  # it comes last, whatever had its name before
        elif value is not None:
            self._check_plain(name, old, value)
        super().__setattr__(name, value)

    def _check_plain(self, name: str, old: Any, value: Any) -> None:
        """Refuses what would end a parameter, a submodule or a buffer without a word."""
        what = f"cannot assign a {type(value).__name__} to the"
        if isinstance(old, Parameter):
            raise TypeError(
                f"{what} parameter {name!r}: assign an nn.Parameter, "
                f"or change its values: `with no_grad(): {name}.copy_(...)`"
            )
        if isinstance(old, Module):
            raise TypeError(f"{what} module {name!r}: assign a Module, or None")
        if name in self._buffer_names and not isinstance(value, Tensor):
            raise TypeError(f"{what} buffer {name!r}: assign a Tensor, or None")

    # -- what is inside

    def _own_parameters(self) -> Iterator[tuple[str, Parameter]]:
        return ((n, v) for n, v in vars(self).items() if isinstance(v, Parameter))

    def _own_buffers(self) -> Iterator[tuple[str, Tensor]]:
        named = ((n, vars(self).get(n)) for n in self._buffer_names)
        return ((n, v) for n, v in named if isinstance(v, Tensor) and not isinstance(v, Parameter))

    def _own_modules(self) -> Iterator[tuple[str, "Module"]]:
        return ((n, v) for n, v in vars(self).items() if isinstance(v, Module))

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """(name, module) of the modules directly inside, each once."""
        seen: set[int] = set()
        for name, module in self._own_modules():
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def named_modules(
        self, memo: set[int] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, "Module"]]:
        """(path, module) of this module (path "") and all inside it, each once unless asked."""
        memo = set() if memo is None else memo
        if remove_duplicate and id(self) in memo:
            return
        memo.add(id(self))
        yield prefix, self
        for name, child in self._own_modules():
            path = f"{prefix}.{name}" if prefix else name
            yield from child.named_modules(memo, path, remove_duplicate)

    def _named(
        self, own: Callable[["Module"], Iterator[tuple[str, Any]]], prefix: str, recurse: bool
    ) -> Iterator[tuple[str, Any]]:
        """(path, tensor) of all that `own` finds in this module and those inside, each once."""
        seen: set[int] = set()
        for path, module in self.named_modules(prefix=prefix) if recurse else [(prefix, self)]:
            for name, tensor in own(module):
                if id(tensor) not in seen:
                    seen.add(id(tensor))
                    yield (f"{path}.{name}" if path else name), tensor

    def named_parameters(
        self, prefix: str = "", recurse: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(path, parameter), each once."""
        return self._named(lambda m: m._own_parameters(), prefix, recurse)

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Tensor]]:
        """(path, buffer), each once."""
        return self._named(Module._own_buffers, prefix, recurse)

    def children(self) -> Iterator["Module"]:
        """The modules directly inside, each once."""
        return (module for _, module in self.named_children())

    def modules(self) -> Iterator["Module"]:
        """This module and all inside it, each once."""
        return (module for _, module in self.named_modules())

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers, each once."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> "Module":
        """The module at a dotted path; "" is this one."""
        module = self
        for name in target.split(".") if target else ():
            inside = dict(module._own_modules())
            if name not in inside:
                raise AttributeError(f"{type(self).__name__} has no submodule {target!r}")
            module = inside[name]
        return module

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Makes a tensor part of the module (moved and saved with it) that is not learnt."""
        if name not in self._buffer_names:
            self._check_new(name)
            self._buffer_names = (*self._buffer_names, name)
        self._transient = tuple(n for n in self._transient if n != name)
        if not persistent:
            self._transient = (*self._transient, name)
        setattr(self, name, tensor)

    def _check_new(self, name: str) -> None:
        if getattr(self, name, None) is not None:
            raise KeyError(f"attribute {name!r} exists already")
        if not name or "." in name:
            raise KeyError(f"a name must not be empty or contain a dot: {name!r}")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """The same as assigning a new attribute."""
        if not (param is None or isinstance(param, Parameter)):
            raise TypeError(f"register_parameter: {name} is a {type(param).__name__}, no Parameter")
        if name not in dict(self._own_parameters()):
            self._check_new(name)
        setattr(self, name, param)

    def add_module(self, name: str, module: "Module | None") -> None:
        """The same as assigning a new attribute; for names that are no identifiers."""
        if not (module is None or isinstance(module, Module)):
            raise TypeError(
                f"{type(self).__name__}: {name} is a {type(module).__name__}, no Module"
            )
        if name not in dict(self._own_modules()):
            self._check_new(name)
        setattr(self, name, module)

    @property
    def _modules(self) -> "_Modules":
        """The modules directly inside by name: programs that define containers write into it."""
        return _Modules(self)

    # -- changing all of it

    def apply(self, fn: Callable[["Module"], Any]) -> "Module":
        """Calls fn on every module inside, then on this one; returns this one."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> "Module":
        """Training behaviour (dropout drops, batch norm uses the batch) on or off; returns self."""
        if not isinstance(mode, bool):
            raise ArgumentError(f"train: mode must be True or False, not {mode!r}")
        self.training = mode
        for child in self.children():
            child.train(mode)  # not just its attribute: it may define train() itself
        return self

    def eval(self) -> "Module":
        """The same as train(False)."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> "Module":
        """Whether gradients are wanted for all parameters; returns self."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets all gradients, or makes them zero."""
        for p in self.parameters():
            if set_to_none:
                p.grad = None
            elif p.grad is not None:
                p.grad.zero_()

    def to(self, *args: Any, **kwargs: Any) -> "Module":
        """Moves parameters and buffers, as Tensor.to; a dtype applies to floating ones only."""
        device, dtype = to_arguments(args, kwargs)
        if dtype is not None and not is_floating(dtype):
            raise DtypeError(f"Module.to: needs a floating dtype, not {dtype}")
        with no_grad():
            for tensor in (*self.parameters(), *self.buffers()):
                wanted = dtype if is_floating(tensor.dtype) else None
                tensor.data = tensor.to(device=device, dtype=wanted)
                if tensor.grad is not None:
                    tensor.grad = tensor.grad.to(device=device, dtype=wanted)
        return self

    def cpu(self) -> "Module":
        """Moves everything to the CPU; returns self."""
        return self.to("cpu")

    def cuda(self, device: Any = "cuda") -> "Module":
        """Moves everything to a GPU; returns self."""
        return self.to(device)

    def half(self) -> "Module":
        """Makes all floating parameters and buffers float16; returns self."""
        return self.to(dtype="float16")

    def float(self) -> "Module":
        """Makes all floating parameters and buffers float32; returns self."""
        return self.to(dtype="float32")

    def double(self) -> "Module":
        """Makes all floating parameters and buffers float64; returns self."""
        return self.to(dtype="float64")

    # -- saving and loading

    def state_dict(self) -> "OrderedDict[str, Tensor]":
        """All parameters and saved buffers by path, in PyTorch's order; they share memory."""
        state: OrderedDict[str, Tensor] = OrderedDict()
        for path, module in self.named_modules(remove_duplicate=False):
            dot = f"{path}." if path else ""
            for name, p in module._own_parameters():
                state[dot + name] = p.detach()
            for name, b in module._own_buffers():
                if name not in module._transient:
                    state[dot + name] = b.detach()
        return state

    def load_state_dict(
        self, state_dict: Mapping[str, Tensor | Array], strict: bool = True
    ) -> IncompatibleKeys:
        """Copies saved values into this module's tensors.

        Raises StateDictError that lists keys of other shapes and, if strict, missing and unexpected
        ones; nothing is copied then.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                f"load_state_dict: takes a dict of tensors, not a {type(state_dict).__name__}; one "
                "that was saved in a file is load(file)"
            )
        own = self.state_dict()
        missing = [k for k in own if k not in state_dict]
        unexpected = [k for k in state_dict if k not in own]
        shared = [k for k in own if k in state_dict]
        saved = {k: getattr(state_dict[k], "shape", type(state_dict[k]).__name__) for k in shared}
        problems = [
            f"{k}: the model has {own[k].shape}, the saved one {saved[k]}"
            for k in shared
            if own[k].shape != saved[k]
        ]
        lists = [("other shapes", problems)]
        if strict:
            lists = [("missing keys", missing), ("unexpected keys", unexpected), *lists]
        if any(keys for _, keys in lists):
            text = "".join(
                f"\n  {what}: " + ", ".join(map(str, keys)) for what, keys in lists if keys
            )
            raise StateDictError(f"load_state_dict: does not fit {type(self).__name__}:{text}")
        with no_grad():
            for k in shared:
                own[k].copy_(state_dict[k])
        return IncompatibleKeys(missing, unexpected)

    # -- printing

    def extra_repr(self) -> str:
        """What a subclass shows between its parentheses."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr().splitlines()
        children = [f"({name}): {_indented(text)}" for name, text in self._child_texts()]
        if not children and len(extra) < 2:
            return f"{type(self).__name__}({self.extra_repr()})"
        return f"{type(self).__name__}(\n  " + "\n  ".join(extra + children) + "\n)"

    def _child_texts(self) -> Iterator[tuple[str, str]]:
        return ((name, repr(module)) for name, module in self._own_modules())


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")
