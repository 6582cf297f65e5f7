"""Modules that hold others in order or by name: Sequential, ModuleList and ModuleDict."""

from collections import OrderedDict
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
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
        return iter([value for value in vars(self).values() if isinstance(value, Module)])

    def __getitem__(self, index: int | slice) -> Any:
        named = list(self._own_modules())[index]
        return self._of(named) if isinstance(named, list) else named[1]

    def __setitem__(self, index: int, module: Module) -> None:
        name, _ = list(self._own_modules())[index]
        self.add_module(name, module)

    def __delitem__(self, index: int | slice) -> None:
        modules = list(self)
        del modules[index]
        self._renumber(modules)

    def insert(self, index: int, module: Module) -> Any:
        """Puts a module before the one at index; returns the container."""
        modules = list(self)
        modules.insert(index, module)
        self._renumber(modules)
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Adds modules behind the last; returns the container."""
        for module in modules:
            self.append(module)
        return self

    def _renumber(self, modules: list[Module]) -> None:
        """Has just these modules, under the names "0", "1", ...; PyTorch drops own names too."""
        for name, _ in list(self._own_modules()):
            delattr(self, name)
        for i, module in enumerate(modules):
            self.add_module(str(i), module)

    def _of(self, named: list[tuple[str, Module]]) -> Any:
        """A container of this type with some of the modules: a slice."""
        raise NotImplementedError


class Sequential(_Ordered):
    """Calls its modules one after another: `Sequential(a, b)` or `Sequential(OrderedDict(...))`."""

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        if len(modules) != 1 or not isinstance(modules[0], dict):
            modules = ({str(i): module for i, module in enumerate(modules)},)
        for name, module in modules[0].items():
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


class ModuleDict(Module):
    """A dict of modules, whose parameters are found; it has no forward of its own."""

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        self.update(modules or {})

    def update(self, modules: Mapping[str, Module]) -> None:
        """Adds modules, and replaces those whose names there are."""
        for name, module in modules.items():
            self[name] = module

    def __getitem__(self, name: str) -> Module:
        return dict(self._own_modules())[name]

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, module)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        delattr(self, name)

    def __contains__(self, name: object) -> bool:
        return name in dict(self._own_modules())

    def __len__(self) -> int:
        return len(list(self._own_modules()))

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._own_modules())

    def keys(self) -> KeysView[str]:
        """The modules' names."""
        return dict(self._own_modules()).keys()

    def values(self) -> ValuesView[Module]:
        """The modules."""
        return dict(self._own_modules()).values()

    def items(self) -> ItemsView[str, Module]:
        """(name, module) of each."""
        return dict(self._own_modules()).items()
