"""Modules that hold others in order: Sequential and ModuleList."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from .module import Module


class _Ordered(Module):
    """The submodules in order, under the names "0", "1", ... unless they have their own."""

    def append(self, module: Module) -> Any:
        """Adds a module behind the last; returns the container."""
        number = len(self)
        while str(number) in vars(self):  # a slice of a Sequential keeps its names
            number += 1
        self.add_module(str(number), module)
        return self

    def add_module(self, name: str, module: Module | None) -> None:
        """As Module's, but refuses None, which could not be called in its turn."""
        if module is None:
            raise TypeError(f"{type(self).__name__}: {name} is None, no Module")
        super().add_module(name, module)

    def __len__(self) -> int:
        return len(list(self._own_modules()))

    def __iter__(self) -> Iterator[Module]:
        return (module for _, module in self._own_modules())

    def __getitem__(self, index: int | slice) -> Any:
        found = list(self._own_modules())[index]
        return self._of(found) if isinstance(found, list) else found[1]

    def __setitem__(self, index: int, module: Module) -> None:
        name, _ = list(self._own_modules())[index]
        self.add_module(name, module)

    def _of(self, named: list[tuple[str, Module]]) -> Any:
        """A container of this type with some of the modules: a slice."""
        raise NotImplementedError


class Sequential(_Ordered):
    """Calls its modules one after another: `Sequential(a, b)` or `Sequential(OrderedDict(...))`."""

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        named = modules[0] if len(modules) == 1 and isinstance(modules[0], dict) else None
        for name, module in (
            ((str(i), m) for i, m in enumerate(modules)) if named is None else named.items()
        ):
            self.add_module(name, module)

    def forward(self, input: Any) -> Any:
        for module in self:
            input = module(input)
        return input

    def _of(self, named: list[tuple[str, Module]]) -> Any:
        return type(self)(OrderedDict(named))  # under the names they have here


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

    def _of(self, named: list[tuple[str, Module]]) -> Any:
        return type(self)(module for _, module in named)

    def _child_texts(self) -> Iterator[tuple[str, str]]:
        """Equal neighbours once: (0-2): 3 x ReLU()."""
        place = 0
        for text, group in groupby(repr(module) for module in self):
            count = len(list(group))
            last = place + count - 1
            yield (str(place), text) if count == 1 else (f"{place}-{last}", f"{count} x {text}")
            place += count
