"""Fixtures that several test files use."""

import os
import sys
import types
from collections import defaultdict

# pytest -n runs several processes: one BLAS thread each, or they fight over the cores
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest

import minicnn as mc


@pytest.fixture
def rng():
    """A seeded source of random arrays, the same for every test."""
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _seeded():
    """What a test draws from the default generators does not depend on the tests before it."""
    mc.manual_seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


class _DeviceArray:
    """As little of a cupy array as the engine's device checks look at."""

    def __init__(self, array):
        self.array = array
        self.device = types.SimpleNamespace(id=0)

    shape = property(lambda self: self.array.shape)
    ndim = property(lambda self: self.array.ndim)
    dtype = property(lambda self: self.array.dtype)
    size = property(lambda self: self.array.size)


@pytest.fixture
def fake_cupy(monkeypatch):
    """A module named cupy whose arrays are not NumPy's, for the errors about devices."""
    module = types.ModuleType("cupy")
    module.ndarray = _DeviceArray
    module.asarray = _DeviceArray
    module.may_share_memory = lambda a, b: a is b
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


@pytest.fixture
def standin(monkeypatch):
    """The strict stand-in for cupy, installed as cupy: GPUs without a GPU (cuda_on_cpu)."""
    from cuda_on_cpu import standin

    from minicnn.kernels.cuda import graphs

    monkeypatch.setattr(graphs, "_lanes", [])  # other tests' are of another machine
    monkeypatch.setattr(graphs, "_idle", defaultdict(list))
    return standin.install(monkeypatch)


@pytest.fixture(params=["standin", pytest.param("device", marks=pytest.mark.gpu)])
def gpu(request):
    """The module cupy, twice: the stand-in, and the real one where there is a GPU."""
    if request.param == "standin":
        return request.getfixturevalue("standin")
    if not mc.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU, its driver and CuPy")
    return mc.arrays.import_cupy()
