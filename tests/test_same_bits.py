"""The same bits from the very first run: compiled now, loaded, kept nowhere, two at once.

A part of tests/programs/same_bits.py, which compares all kernels on every CPU.
"""

import subprocess
import sys

import pytest
from same_bits import CPUS, differing, result, start


@pytest.mark.parametrize("cpu", ["this", "sse"])
def test_updates_have_the_same_bits_however_they_were_compiled(cpu, tmp_path):
    environment, cases = CPUS[cpu][0], ["update *"]
    at_once = [start(seed, cases, tmp_path, environment) for seed in (1, 2)]
    first, second = (result(process) for process in at_once)
    assert len(first) == 20
    loaded = result(start(3, cases, tmp_path, environment))
    unkept = result(start(4, cases, None, environment))
    for other in (first, second, loaded, unkept):
        assert not differing(first, other)


def test_a_training_has_the_same_bits_in_its_first_run(tmp_path):
    cases = ["training adam", "evaluation lenet", "gradients lenet 37"]
    first, second = (result(start(seed, cases, tmp_path, {})) for seed in (1, 2))
    assert len(first) == 3
    assert not differing(first, second)


SAVING_AT_ONCE = """
import sys, time
from pathlib import Path
from numba.core.caching import IndexDataCacheFile
import minicnn as mc
mine, other, folder = *sys.argv[1:3], Path(sys.argv[3])

def save_index(cache, listed, real=IndexDataCacheFile._save_index):
    if "_relu-" in cache._index_name:  # each has read the file that lists what is kept
        (folder / mine).touch()
        end = time.monotonic() + 30
        while not (folder / other).exists() and time.monotonic() < end:
            time.sleep(0.01)
    time.sleep(0.3 if mine == "float64" else 0)
    real(cache, listed)

def save_data(cache, name, data, real=IndexDataCacheFile._save_data):
    time.sleep(0.6 if mine == "float32" else 0)
    real(cache, name, data)

IndexDataCacheFile._save_index, IndexDataCacheFile._save_data = save_index, save_data
mc.relu(mc.tensor([-1.0, 2.0], dtype=getattr(mc, mine)))
"""

LOADING = """
import minicnn as mc
for kind in mc.float32, mc.float64:
    print(mc.relu(mc.tensor([-1.0, 2.0], dtype=kind)).tolist())
"""


def test_what_two_processes_keep_at_once_is_not_mixed_up(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICNN_CACHE_DIR", str(tmp_path / "cache"))
    kinds = "float32", "float64"
    saving = [
        subprocess.Popen([sys.executable, "-c", SAVING_AT_ONCE, *order, str(tmp_path)])
        for order in (kinds, kinds[::-1])
    ]
    assert [process.wait() for process in saving] == [0, 0]
    loading = [sys.executable, "-c", LOADING]
    found = subprocess.run(loading, capture_output=True, text=True, check=True).stdout
    assert found == "[0.0, 2.0]\n[0.0, 2.0]\n"
