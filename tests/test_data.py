"""Datasets, splitting, collating and the DataLoader, held against PyTorch's."""

import collections
import warnings

import numpy as np
import pytest
import torch
import torch.utils.data as torch_data
from PIL import Image

import minicnn
from minicnn.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    random_split,
)
from minicnn.errors import ArgumentError, DtypeError, MinicnnError, ShapeError

Point = collections.namedtuple("Point", ["x", "y"])


def numbers(n):
    """A dataset whose sample i is (i,), to see which samples come when."""
    return TensorDataset(minicnn.arange(n))


def epoch(loader):
    """The sample numbers of one epoch, batch by batch."""
    return [batch[0].tolist() for batch in loader]


def assert_same(ours, theirs):
    """Equal structure, types of container, dtypes, shapes and values."""
    if isinstance(theirs, torch.Tensor):
        assert isinstance(ours, minicnn.Tensor)
        assert f"torch.{ours.dtype}" == str(theirs.dtype)
        assert ours.shape == tuple(theirs.shape)
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    elif isinstance(theirs, dict):
        assert type(ours) is dict
        assert list(ours) == list(theirs)
        for key in theirs:
            assert_same(ours[key], theirs[key])
    elif isinstance(theirs, (list, tuple)) and not isinstance(theirs[0], str):
        assert type(ours) is type(theirs)
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert_same(a, b)
    else:
        assert ours == theirs


def both(array):
    return minicnn.from_numpy(array), torch.from_numpy(array)


# ---- DataLoader --------------------------------------------------------------------------------


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize(("n", "size"), [(0, 2), (1, 1), (1, 3), (7, 3), (9, 3), (5, 1), (4, 9)])
def test_batches_are_pytorchs(n, size, drop_last):
    rng = np.random.default_rng(n)
    x = rng.standard_normal((3, n, 2)).astype(np.float32).transpose(1, 2, 0)  # not contiguous
    y = rng.integers(0, 10, 2 * n)[::2]
    (ours_x, theirs_x), (ours_y, theirs_y) = both(x), both(y)
    options = {"batch_size": size, "drop_last": drop_last}
    ours = DataLoader(TensorDataset(ours_x, ours_y), **options)
    theirs = torch_data.DataLoader(torch_data.TensorDataset(theirs_x, theirs_y), **options)
    assert len(ours) == len(theirs) == len(list(theirs))
    batches = list(ours)
    assert len(batches) == len(theirs)
    for a, b in zip(batches, theirs, strict=True):
        assert_same(a, b)


def test_every_epoch_is_another_permutation():
    loader = DataLoader(numbers(50), 8, shuffle=True)
    first, second = epoch(loader), epoch(loader)
    assert [len(b) for b in first] == [8] * 6 + [2]
    orders = [[i for batch in batches for i in batch] for batches in (first, second)]
    assert [sorted(order) for order in orders] == [list(range(50))] * 2
    assert orders[0] != orders[1]
    assert orders[0] != list(range(50))


def test_samples_keep_their_labels_when_shuffled():
    x = np.arange(60, dtype=np.float32).reshape(20, 3)
    loader = DataLoader(TensorDataset(minicnn.tensor(x), minicnn.arange(20)), 6, shuffle=True)
    for images, labels in loader:
        np.testing.assert_array_equal(images.numpy(), x[labels.numpy()])


def test_the_seed_decides_the_order_of_all_epochs():
    def orders(seed):
        loader = DataLoader(numbers(30), 7, True, generator=minicnn.Generator(seed))
        return [epoch(loader) for _ in range(3)]

    assert orders(5) == orders(5)
    assert orders(5) != orders(6)


def test_the_default_generator_shuffles_unless_another_is_given():
    state = minicnn.default_generator.get_state()
    try:
        loader = DataLoader(numbers(30), 30, shuffle=True)
        minicnn.manual_seed(3)
        first = epoch(loader)
        minicnn.manual_seed(3)
        epoch(DataLoader(numbers(30), 30, shuffle=True, generator=minicnn.Generator(0)))
        epoch(DataLoader(numbers(30), 30))
        assert epoch(loader) == first
    finally:
        minicnn.default_generator.set_state(state)


def test_the_order_is_drawn_when_an_epoch_begins():
    def loader():
        return DataLoader(numbers(30), 30, shuffle=True, generator=minicnn.Generator(1))

    one_by_one, at_once = loader(), loader()
    expected = [epoch(one_by_one), epoch(one_by_one)]
    first, second = iter(at_once), iter(at_once)
    assert [epoch(second), epoch(first)] == expected[::-1]


@pytest.mark.parametrize("kind", [list, np.array, minicnn.tensor])
def test_a_sampler_gives_the_order(kind):
    sampler = kind([4, 1, 1, 0, 3])
    loader = DataLoader(numbers(5), 2, sampler=sampler)
    assert len(loader) == 3
    assert epoch(loader) == epoch(loader) == [[4, 1], [1, 0], [3]]
    assert epoch(DataLoader(numbers(5), 2, sampler=sampler, drop_last=True)) == [[4, 1], [1, 0]]


def test_a_sampler_may_yield_keys_and_needs_no_length():
    loader = DataLoader({"a": 1, "b": 2, "c": 3}, 2, sampler=(k for k in "cab"))
    assert [batch.tolist() for batch in loader] == [[3, 1], [2]]


def test_workers_and_pinned_memory_change_nothing():
    plain = DataLoader(numbers(9), 2, True, generator=minicnn.Generator(2))
    other = DataLoader(
        numbers(9), 2, True, generator=minicnn.Generator(2), num_workers=3, pin_memory=True
    )
    assert epoch(plain) == epoch(other)


def test_collate_fn_gets_the_samples():
    x = np.arange(10, dtype=np.float32).reshape(5, 2)
    ours, theirs = both(x)

    def first_of(samples):
        assert isinstance(samples, list)
        return [row[0].tolist() for (row,) in samples]

    options = {"batch_size": 2, "collate_fn": first_of}
    got = list(DataLoader(TensorDataset(ours), **options))
    assert got == list(torch_data.DataLoader(torch_data.TensorDataset(theirs), **options))
    assert got == [[0, 2], [4, 6], [8]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number from 1 up, not 0"),
        ({"batch_size": -3}, "not -3"),
        ({"batch_size": 2.0}, r"not 2\.0"),
        ({"batch_size": True}, "not True"),
        ({"batch_size": None}, "not None"),
        ({"num_workers": -1}, "num_workers must be 0 or more, not -1"),
        ({"shuffle": True, "sampler": [0]}, "a sampler decides the order"),
        ({"generator": torch.Generator()}, r"a minicnn\.Generator, not a torch"),
    ],
)
def test_arguments_refused(options, message):
    with pytest.raises(ArgumentError, match=message):
        DataLoader(numbers(3), **options)


def test_nothing_to_shuffle():
    with pytest.raises(ArgumentError, match="the dataset is empty"):
        DataLoader(numbers(0), shuffle=True)
    assert list(DataLoader(numbers(0))) == []


def test_pytorchs_fifth_argument_is_the_batch_sampler():
    loader = DataLoader(numbers(3), 1, False, None, [[0, 1], [2]])
    assert epoch(loader) == [[0, 1], [2]]
    assert len(loader) == 2
    with pytest.raises(ArgumentError, match="leave out batch_size, shuffle, sampler and drop_last"):
        DataLoader(numbers(3), 2, batch_sampler=[[0, 1]])


# ---- one gather instead of a loop --------------------------------------------------------------


class Gathers(Dataset):
    """Sample i is 10 i, but only in batches."""

    def __init__(self, n):
        self.n, self.calls = n, []

    def __getitem__(self, index):
        raise AssertionError("a sample was asked for by itself")

    def __getitems__(self, indices):
        self.calls.append(indices)
        return minicnn.tensor(indices) * 10

    def __len__(self):
        return self.n


def test_a_batch_is_one_gather():
    dataset = Gathers(5)
    assert [b.tolist() for b in DataLoader(dataset, 2)] == [[0, 10], [20, 30], [40]]
    assert dataset.calls == [[0, 1], [2, 3], [4]]


def test_a_subset_gathers_from_what_it_is_a_subset_of():
    dataset = Gathers(10)
    inner = Subset(Subset(dataset, range(9, 0, -1)), [0, 3, 8, 1])  # 9, 6, 1, 8
    assert [b.tolist() for b in DataLoader(inner, 3)] == [[90, 60, 10], [80]]
    assert dataset.calls == [[9, 6, 1], [8]]


def test_tensor_dataset_gathers(monkeypatch):
    monkeypatch.setattr(TensorDataset, "__getitem__", Gathers.__getitem__)
    assert epoch(DataLoader(numbers(3), 2)) == [[0, 1], [2]]
    assert epoch(DataLoader(Subset(numbers(9), [8, 5, 2]), 2)) == [[8, 5], [2]]


class Negative:
    def __getitem__(self, index):
        return tuple(-t for t in super().__getitem__(index))


class NegativeRows(TensorDataset):
    def __getitem__(self, index):
        return tuple(-t for t in super().__getitem__(index))


class NegativeMixed(Negative, TensorDataset):
    pass


class NegativeSubset(Negative, Subset):
    pass


@pytest.mark.parametrize(
    "dataset",
    [
        NegativeRows(minicnn.arange(3)),
        NegativeMixed(minicnn.arange(3)),
        NegativeSubset(numbers(3), range(3)),
        Subset(NegativeRows(minicnn.arange(3)), range(3)),
    ],
    ids=["subclass", "mixin", "subset", "inside a subset"],
)
def test_an_overridden_getitem_is_not_gone_past(dataset):
    assert epoch(DataLoader(dataset, 2)) == [[0, -1], [-2]]


# ---- the datasets ------------------------------------------------------------------------------


def test_a_dataset_needs_only_getitem_and_len():
    loader = DataLoader([(1.5, "a"), (2.5, "b"), (3.5, "c")], 2)
    (x, text), (last, _) = loader
    assert x.tolist() == [1.5, 2.5]
    assert text == ("a", "b")
    assert last.tolist() == [3.5]


def test_the_base_class_says_what_to_define():
    class Half(Dataset):
        pass

    with pytest.raises(NotImplementedError, match=r"Half must define __len__\(\)"):
        len(Half())
    with pytest.raises(NotImplementedError, match=r"Half must define __getitem__\(index\)"):
        Half()[0]


def test_tensor_dataset_samples():
    x = np.arange(12.0).reshape(4, 3)
    dataset = TensorDataset(minicnn.tensor(x), minicnn.arange(4))
    row, number = dataset[-1]
    assert len(dataset) == 4
    assert row.tolist() == [9, 10, 11]
    assert number.item() == 3
    assert [int(i) for _, i in dataset] == [0, 1, 2, 3]  # IndexError ends it
    with pytest.raises(IndexError, match="out of bounds"):
        dataset.__getitems__([0, 4])
    with pytest.raises(TypeError, match="float"):
        dataset.__getitems__([0, 1.5])


def test_a_batch_is_not_the_datasets_memory():
    x = minicnn.zeros(4, 2)
    for (batch,) in DataLoader(TensorDataset(x), 2):
        batch.fill_(1)
    assert x.sum().item() == 0


@pytest.mark.parametrize(
    ("tensors", "error", "message"),
    [
        ((), ArgumentError, "at least one"),
        ((minicnn.zeros(3), minicnn.zeros(4)), ShapeError, "tensor 1 has 4 rows, tensor 0 has 3"),
        ((minicnn.tensor(1.0),), ShapeError, "tensor 0 has no dimension"),
        ((minicnn.zeros(3), np.zeros(3)), TypeError, "argument 1 is a ndarray"),
    ],
)
def test_tensors_refused(tensors, error, message):
    with pytest.raises(error, match=message):
        TensorDataset(*tensors)


def test_subset():
    subset = Subset("abcdef", [5, 0, 0])
    assert list(subset) == ["f", "a", "a"]
    assert len(subset) == 3
    assert subset[-1] == "a"
    with pytest.raises(IndexError):
        subset[3]


# ---- random_split ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "lengths"),
    [
        (10, [3, 7]),
        (10, [0, 10]),
        (0, [0, 0]),
        (1, [1]),
        (30, [0.3, 0.3, 0.4]),
        (10, [1 / 3, 1 / 3, 1 / 3]),
        (11, [0.5, 0.5]),
        (7, [0.25, 0.25, 0.25, 0.25]),
        (23, [0.1] * 10),
        (5, [1.0]),
        (100, [0.29, 0.71]),
    ],
)
def test_random_split_sizes_are_pytorchs(n, lengths):
    ours, theirs = random_split(range(n), lengths), torch_data.random_split(range(n), lengths)
    assert [len(s) for s in ours] == [len(s) for s in theirs]
    assert sorted(x for part in ours for x in part) == list(range(n))


def test_random_split_is_random_and_seeded():
    def split(seed):
        return [list(s) for s in random_split(range(40), [25, 15], minicnn.Generator(seed))]

    assert split(1) == split(1)
    assert split(1) != split(2)
    assert split(1)[0] != list(range(25))


def test_random_split_draws_from_the_default_generator():
    state = minicnn.default_generator.get_state()
    try:
        minicnn.manual_seed(1)
        ours = random_split(range(40), [40])[0].indices
        assert ours == random_split(range(40), [40], minicnn.Generator(1))[0].indices
        assert ours != random_split(range(40), [40])[0].indices
    finally:
        minicnn.default_generator.set_state(state)


def test_random_split_warns_of_an_empty_part():
    with pytest.warns(UserWarning, match="part 2 is empty") as found:
        parts = random_split(range(2), [0.4, 0.4, 0.2])
    assert [len(p) for p in parts] == [1, 1, 0]
    assert found[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        random_split(range(2), [2, 0, 0])  # asked for


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([3, 4], r"lengths \[3, 4\] add up to 7, not to 5"),
        ([7, -2], "length 1 is -2"),
        ([0.5, 0.4], r"length 0 is 0\.5"),
        ([2.0, 3.0], r"length 0 is 2\.0"),
        ([1.5, -0.5], r"fraction 0 is 1\.5, not between 0 and 1"),
        ([], "add up to 0, not to 5"),
    ],
)
def test_random_split_refuses(lengths, message):
    with pytest.raises(ArgumentError, match=message):
        random_split(range(5), lengths)


# ---- default_collate ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "batch",
    [
        [1.5, 2.5],
        [3, 4, 5],
        [True, False],
        ["a", "b"],
        [b"a"],
        [np.float32(1.5), np.float32(2)],
        [np.float64(1.5)],
        [np.int16(3), np.int16(4)],
        [np.bool_(True), np.bool_(False)],
        [np.arange(6.0).reshape(2, 3), np.ones((2, 3))],
        [np.array(2.0), np.array(3.0)],
        [np.zeros((0, 3), np.uint8)] * 2,
        [np.arange(6, dtype=np.int8).reshape(2, 3).T] * 3,
        [np.zeros(2, np.float32), np.zeros(2, np.float64)],
        [(1, 2.5, "x"), (3, 4.5, "y")],
        [[1, 2], [3, 4], [5, 6]],
        [Point(1, 2.0), Point(3, 4.0)],
        [{"a": 1, "b": (2, np.ones(2))}, {"b": (3, np.zeros(2)), "a": 4}],
    ],
    ids=str,
)
def test_collate_is_pytorchs(batch):
    assert_same(default_collate(batch), torch_data.default_collate(batch))


def test_collate_stacks_tensors():
    a, b = np.arange(6, dtype=np.float32).reshape(3, 2).T, np.ones((2, 3), np.float32)
    (ours_a, theirs_a), (ours_b, theirs_b) = both(a), both(b)
    assert_same(
        default_collate([(ours_a, 1), (ours_b, 2)]),
        torch_data.default_collate([(theirs_a, 1), (theirs_b, 2)]),
    )


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_pil_images_collate_to_floats(mode, channels):
    images = [Image.new(mode, (4, 2), (51,) * channels if channels > 1 else 51) for _ in range(3)]
    images[1].putpixel((3, 0), 255 if channels == 1 else (255, 0, 102))
    x, labels = default_collate([(image, k) for k, image in enumerate(images)])
    expected = np.full((3, channels, 2, 4), 0.2, np.float32)
    expected[1, :, 0, 3] = [1, 0, 0.4][:channels]
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x.numpy(), expected)
    assert labels.tolist() == [0, 1, 2]
    with pytest.raises(ShapeError, match="stack"):
        default_collate([images[0], Image.new(mode, (5, 2))])


def test_collate_copies():
    x = np.zeros(2)
    default_collate([x]).fill_(1)
    assert x.sum() == 0


@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        ([np.zeros(2), np.zeros(3)], ShapeError, r"shape \(3,\), tensor 0 has \(2,\)"),
        ([(1, 2), (1,)], ShapeError, r"unequal lengths, \[1, 2\]"),
        ([None, None], DtypeError, "not NoneType; give the DataLoader a collate_fn"),
        ([np.array(["a"])], DtypeError, "dtype <U1 is not supported"),
        ([np.zeros(2, np.complex64)], DtypeError, "dtype complex64 is not supported"),
    ],
)
def test_collate_refuses(batch, error, message):
    assert issubclass(error, MinicnnError)
    with pytest.raises(error, match=message):
        default_collate(batch)


# ---- samplers, and datasets one after the other ------------------------------------------------


def test_random_samplers_are_seeded_and_new_each_time():
    for make in (
        lambda g: RandomSampler(numbers(50), generator=g),
        lambda g: SubsetRandomSampler(range(100, 150), g),
    ):
        a, b = (make(minicnn.Generator(3)) for _ in range(2))
        first = list(a)
        assert first == list(b)
        assert first != list(a)
        start = min(first)
        assert sorted(first) == [start + i for i in SequentialSampler(range(50))]
        assert start in (0, 100)
        assert len(a) == 50


def test_weights_decide_how_often_a_sample_comes():
    weights = [1.0, 0.0, 3.0, 6.0]
    drawn = list(WeightedRandomSampler(weights, 20_000, generator=minicnn.Generator(1)))
    assert all(type(i) is int for i in drawn)
    shares = np.bincount(drawn, minlength=4) / 20_000
    np.testing.assert_allclose(shares, [0.1, 0, 0.3, 0.6], 0, 0.015)  # four deviations
    theirs = list(torch_data.WeightedRandomSampler(weights, 20_000))
    np.testing.assert_allclose(shares, np.bincount(theirs, minlength=4) / 20_000, 0, 0.03)


def test_weighted_draws_without_replacement():
    sampler = WeightedRandomSampler(minicnn.tensor([1.0, 2.0, 0.0, 5.0]), 3, replacement=False)
    epochs = [list(sampler) for _ in range(4000)]
    assert all(sorted(e) == [0, 1, 3] for e in epochs)
    first = np.bincount([e[0] for e in epochs], minlength=4) / 4000
    np.testing.assert_allclose(first, [1 / 8, 2 / 8, 0, 5 / 8], 0, 0.03)
    # the second after a 3, among those left: 1 : 2
    second = np.bincount([e[1] for e in epochs if e[0] == 3], minlength=4)
    assert second[0] / second.sum() == pytest.approx(1 / 3, abs=0.04)


def test_weighted_samplers_are_seeded_and_feed_the_loader():
    sampler = WeightedRandomSampler([0, 1e308, 1e308], 7, generator=minicnn.Generator(4))
    assert len(sampler) == 7
    loader = DataLoader(numbers(3), batch_size=4, sampler=sampler)
    assert len(loader) == 2
    first, second = epoch(loader), epoch(loader)
    assert [len(batch) for batch in first] == [4, 3]
    assert {i for batch in first + second for i in batch} == {1, 2}
    sampler.generator.manual_seed(4)
    assert [epoch(loader), epoch(loader)] == [first, second]
    minicnn.manual_seed(2)
    drawn = list(WeightedRandomSampler(np.ones(50), 50))
    minicnn.manual_seed(2)
    assert list(WeightedRandomSampler([1] * 50, 50)) == drawn
    assert minicnn.utils.data.WeightedRandomSampler is WeightedRandomSampler


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], 0), "num_samples must be a whole number from 1 up, not 0"),
        (([1.0], 2.5), "num_samples must be .*, not 2.5"),
        (([1.0], True), "num_samples must be .*, not True"),
        (([1.0, -2.0], 1), r"finite numbers from 0 up, .*found shape \(2,\), minimum -2, sum -1"),
        (([0.0, 0.0], 1), "not all 0; .*sum 0"),
        (([float("nan")], 1), "sum nan"),
        (([float("inf")], 1), "sum inf"),
        (([], 1), r"found shape \(0,\)"),
        (([[1.0]], 1), r"found shape \(1, 1\)"),
        (([1.0, 0.0], 2, False), "cannot draw 2 samples without .* from 1 weights above 0; pass"),
    ],
)
def test_weights_refused(arguments, message):
    with pytest.raises(ArgumentError, match=f"^WeightedRandomSampler: .*{message}") as found:
        WeightedRandomSampler(*arguments)
    assert "\n" not in str(found.value)


def test_a_batch_sampler_that_makes_no_batches_is_refused():
    for size in (0, -1, 2.5, True):
        with pytest.raises(ArgumentError, match="BatchSampler: batch_size must be a whole number"):
            BatchSampler(range(3), size, False)


def test_concat_dataset():
    both = ConcatDataset([numbers(3), numbers(0), numbers(2)])
    assert len(both) == 5
    assert epoch(DataLoader(both, 5)) == [[0, 1, 2, 0, 1]]
    assert both[-1][0].item() == both[4][0].item() == 1
    assert both[2][0].item() == 2
    for bad in (5, -6):
        with pytest.raises(IndexError, match=f"index {bad} is out of range for 5 samples"):
            both[bad]
    with pytest.raises(ArgumentError, match="needs at least one dataset"):
        ConcatDataset([])
