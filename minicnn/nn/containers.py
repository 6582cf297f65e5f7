"""Modules that hold others in order: Sequential and ModuleList."""

from collections.abc import Iterable, Iterator
from typing import Any

from .module import Module


class _Ordered(Module):
    """The submodules in order, under the names "0", "1", ... unless they have their own."""

    def append(self, module: Module) -> Any:
        """Adds a module behind the last; returns the container."""
        self.add_module(str(len(self)), module)
        return self

    def __len__(self) -> int:
        return len(list(self.children()))

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __getitem__(self, index: int | slice) -> Any:
        found = list(self.children())[index]
        return found if isinstance(found, Module) else self._of(found)

    def __setitem__(self, index: int, module: Module) -> None:
        name = list(dict(self.named_children()))[index]
        self.add_module(name, module)

    def _of(self, modules: list[Module]) -> Any:
        return type(self)(modules)  # type: ignore[call-arg]


class Sequential(_Ordered):
    """Calls its modules one after another: `Sequential(a, b)` or `Sequential(OrderedDict(...))`."""

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        named = modules[0] if len(modules) == 1 and isinstance(modules[0], dict) else None
        for name, module in (
            named.items() if named else ((str(i), m) for i, m in enumerate(modules))
        ):
            if not isinstance(module, Module):
                raise TypeError(f"Sequential: {name} is a {type(module).__name__}, not a Module")
            self.add_module(name, module)

    def forward(self, input: Any) -> Any:
        for module in self:
            input = module(input)
        return input

    def _of(self, modules: list[Module]) -> "Sequential":
        return Sequential(*modules)


class ModuleList(_Ordered):
    """A list of modules, whose parameters are found; it has no forward of its own."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)

    def extend(self, modules: Iterable[Module]) -> "ModuleList":
        """Adds modules behind the last; returns the list."""
        for module in modules:
            self.append(module)
        return self
