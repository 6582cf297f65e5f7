"""DataLoader: in which order the samples of a data set come, and in batches of what size."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ..autograd import Tensor
from ..devices import device as as_device
from ..errors import ArgumentError
from ..random import Generator
from .dataset import TensorDataset, fetch
from .device_cache import copy_to_device, gather
from .sampler import BatchSampler, RandomSampler, check_count


class DataLoader:
    """Batches of a dataset; every `for` over it is one epoch.

    Parameters
    ----------
    dataset
        Anything with `__getitem__` and `__len__`.  If it has `__getitems__` (see Dataset), and
        no collate_fn is given, a batch is one gather.
    batch_size
        Samples in a batch; the last one may be smaller.
    shuffle
        Every epoch in a new random order, drawn from the generator when the epoch begins.
    sampler
        Indices in the order wanted, instead of shuffle.
    batch_sampler
        Lists of indices, one for each batch, instead of batch_size, shuffle, sampler and drop_last.
    num_workers, pin_memory, timeout, worker_init_fn, multiprocessing_context, prefetch_factor,
    persistent_workers, pin_memory_device
        Without effect: batches come out of memory, in this process.
    collate_fn
        Makes a batch of a list of samples; `default_collate` if left out.
    drop_last
        Leave out a last batch that is smaller than batch_size.
    generator
        Draws the orders; minicnn.default_generator if left out.
    device
        Where the batches are wanted (PyTorch has no such argument).  A small data set without
        random transforms is kept there as a whole, and each batch gathered there, in the same
        order as without; of others each batch is moved.

    Raises
    ------
    ArgumentError
        For batch_size or num_workers out of range, shuffle with a sampler or an empty dataset,
        batch_sampler with what it replaces.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        device: Any = None,
    ) -> None:
        check_count("DataLoader: batch_size", batch_size)
        if num_workers < 0:
            raise ArgumentError(f"DataLoader: num_workers must be 0 or more, not {num_workers}")
        if shuffle and sampler is not None:
            raise ArgumentError("DataLoader: a sampler decides the order; leave out shuffle=True")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler or drop_last):
            raise ArgumentError(
                "DataLoader: a batch_sampler makes the batches; leave out batch_size, shuffle, "
                "sampler and drop_last"
            )
        if shuffle and len(dataset) == 0:
            raise ArgumentError("DataLoader: the dataset is empty; there is nothing to shuffle")
        if generator is not None and not isinstance(generator, Generator):
            raise ArgumentError(
                "DataLoader: generator must be a minicnn.Generator, not a "
                f"{type(generator).__module__}.{type(generator).__qualname__}"
            )
        if batch_sampler is None:
            if sampler is None:
                sampler = RandomSampler(dataset, generator) if shuffle else range(len(dataset))
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.dataset = dataset
        self.batch_size = batch_size
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.num_workers = num_workers
        self.collate_fn = collate_fn
        self.pin_memory = pin_memory
        self.drop_last = drop_last
        self.generator = generator
        self.device = None if device is None else as_device(device)
        self._kept: tuple[Any, TensorDataset | str] = None, ""  # the data set, and what it became

    def __len__(self) -> int:
        return len(self.batch_sampler)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        return (self._batch(indices) for indices in self.batch_sampler)

    def _batch(self, indices: Sequence[Any]) -> Any:
        if self.device is None or self.device.type == "cpu":
            return self._collated(indices)
        from ..kernels.cuda.driver import gpus

        with gpus().cuda.Device(self.device.index):
            kept = self.keep() if self.collate_fn is None else None
            if isinstance(kept, TensorDataset):
                return gather(kept, indices)
            return _moved(self._collated(indices), self.device)

    def _collated(self, indices: Sequence[Any]) -> Any:
        if self.collate_fn is None:
            return fetch(self.dataset, indices)
        return self.collate_fn([self.dataset[i] for i in indices])

    def keep(self, after_part: Callable[[], Any] = lambda: None) -> TensorDataset | str:
        """The data set as it is kept on the device, a GPU; or why it is not kept there.

        after_part is called after each thousand samples that are moved.
        """
        if self._kept[0] is not self.dataset:
            self._kept = self.dataset, copy_to_device(self.dataset, self.device, after_part)
        return self._kept[1]


def _moved(batch: Any, device: Any) -> Any:
    """A batch with its tensors on a device."""
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, dict):
        return {key: _moved(value, device) for key, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        moved = [_moved(value, device) for value in batch]
        return type(batch)(*moved) if hasattr(batch, "_fields") else type(batch)(moved)
    return batch
