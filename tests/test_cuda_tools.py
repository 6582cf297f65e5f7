"""The tools that stand for a GPU in the tests: CUDA C on the CPU, and a strict stand-in for cupy.

Each test shows that a mistake which a GPU would punish, or worse would not, is seen here.
"""

import copy
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cuda_on_cpu import driver, names, shim, standin
from cuda_on_cpu.order import StreamOrderError

HERE = Path(__file__).parent

KERNELS = r"""
typedef REAL real;
struct Pair { int a; double b; };

extern "C" __global__ void index(  // the C library has an index too
        int* x, int* order, int* count) {
    int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    int i = block * blockDim.x * blockDim.y * blockDim.z + thread;
    order[atomicAdd(count, 1)] = i;
    x[i] += 100 * block + thread;
}
extern "C" __global__ void row_sums(const real* x, real* y, int n) {
    __shared__ real part[64];
    real sum = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) sum += x[blockIdx.x * n + i];
    part[threadIdx.x] = sum;
    __syncthreads();
    for (int k = blockDim.x / 2; k > 0; k /= 2) {
        if (threadIdx.x < k) part[threadIdx.x] += part[threadIdx.x + k];
        __syncthreads();
    }
    if (threadIdx.x == 0) y[blockIdx.x] = part[0];
}
extern "C" __global__ void warp_sums(const real* x, real* y) {
    real down = x[threadIdx.x], all = down;
    for (int k = 16; k > 0; k /= 2) {
        down += __shfl_down_sync(0xffffffffu, down, k);
        all += __shfl_xor_sync(0xffffffffu, all, k);
    }
    __syncwarp();
    real first = __shfl_sync(0xffffffffu, down, 0), before = __shfl_up_sync(0xffffffffu, first, 1);
    y[threadIdx.x] = first == all && before == all ? all : -1;
}
extern "C" __global__ void reverse(const real* x, real* y) {
    DYNAMIC_SHARED(real, all);
    all[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = all[blockDim.x - 1 - threadIdx.x];
}
extern "C" __global__ void race(real* y) {
    __shared__ real all[64];
    all[threadIdx.x] = threadIdx.x;
    y[threadIdx.x] = threadIdx.x ? all[threadIdx.x - 1] : 0;  // no __syncthreads between
}
extern "C" __global__ void unwritten(real* y) {
    __shared__ real left[32];
    DYNAMIC_SHARED(real, right);
    y[2 * blockIdx.x] = left[3];
    y[2 * blockIdx.x + 1] = right[3];
    left[3] = right[3] = 1;
}
extern "C" __global__ void lanes(real* y) {
    unsigned mask = threadIdx.x < 16 ? 0xffffu : 0xffff0000u;  // two halves, each for itself
    y[threadIdx.x] = __shfl_down_sync(mask, (real)threadIdx.x, 1);
}
extern "C" __global__ void some_leave(real* y) {
    if (threadIdx.x >= 5) return;
    __syncthreads();
}
extern "C" __global__ void two_barriers(real* y) {
    if (threadIdx.x < 5) __syncthreads();
    else { y[0] = 1;
           __syncthreads(); }
}
extern "C" __global__ void lost_lane(real* y) {
    if (threadIdx.x == 7) __syncthreads();
    else __syncwarp();
}
extern "C" __global__ void excluded_lane(real* y) { __syncwarp(0xfffffffeu); }
extern "C" __global__ void scale(real* y, real a, int n, Pair p, const void* any) {
    int i = threadIdx.x;
    if (i < n) y[i] = a * y[i] + p.a + (real)p.b;
}
extern "C" __global__ void __launch_bounds__(512, 1)
large(real* y) { y[threadIdx.x] = 1; }
extern "C" __global__ void maxima(real* y, real a, real b) { y[0] = max(a, b); y[1] = min(a, b); }
"""


@pytest.fixture
def cp(standin):
    return standin


def module(cp, code=KERNELS, *options):
    return cp.RawModule(code=code, options=("--std=c++17", "-DREAL=float", *options))


@pytest.fixture
def kernel(cp):
    return module(cp).get_function


@pytest.fixture(params=["forward", "reversed"])
def order(request, monkeypatch):
    if request.param == "reversed":
        monkeypatch.setenv("MINICNN_SHIM_REVERSED", "1")
    return request.param


def captured(stream, work):
    with stream:
        stream.begin_capture()
        try:
            work()
        finally:
            graph = stream.end_capture()
    return graph


# ---- kernels on the CPU ------------------------------------------------------------------------


def test_every_thread_of_every_block_runs_once(cp, kernel, order):
    grid, block = (3, 2, 2), (4, 3, 5)
    x, first, count = cp.zeros((12, 60), "i4"), cp.zeros(720, "i4"), cp.zeros(1, "i4")
    kernel("index")(grid, block, (x, first, count))
    assert x.get().tolist() == [[100 * b + t for t in range(60)] for b in range(12)]
    assert first.get().tolist() == list(range(720))[:: 1 if order == "forward" else -1]


@pytest.mark.parametrize("switch", ["", "-DCUDA_CPU_UCONTEXT"])
def test_barriers_and_shared_memory(cp, rng, order, switch):
    x = rng.integers(0, 9, (5, 200)).astype("f4")
    y = cp.empty(5, "f4")
    function = module(cp, KERNELS, *filter(None, [switch])).get_function("row_sums")
    function((5,), (64,), (cp.asarray(x), y, np.int32(200)))
    assert y.get().tolist() == x.sum(1).tolist()


def test_shuffles_go_within_a_warp(cp, kernel, order):
    x, y = cp.arange(96, dtype="f4"), cp.empty(96, "f4")
    kernel("warp_sums")((1,), (96,), (x, y))
    sums = np.arange(96.0).reshape(3, 32).sum(1)
    assert y.get().tolist() == np.repeat(sums, 32).tolist()


def test_dynamic_shared_memory(cp, kernel, order):
    x, y = cp.arange(50, dtype="f4"), cp.empty(50, "f4")
    kernel("reverse")((1,), (50,), (x, y), shared_mem=200)
    assert y.get().tolist() == list(range(49, -1, -1))


def test_a_missing_barrier_shows_in_one_of_the_orders(cp, kernel, monkeypatch):
    results = []
    for backwards in ("", "1"):
        monkeypatch.setenv("MINICNN_SHIM_REVERSED", backwards)
        y = cp.empty(64, "f4")
        kernel("race")((1,), (64,), (y,))
        results.append(y.get())
    assert results[0].tolist() == [0, *range(63)]
    assert np.isnan(results[1][1:]).all()


def test_shared_memory_starts_as_nan_in_every_block(cp, kernel):
    y = cp.zeros(6, "f4")
    kernel("unwritten")((3,), (1,), (y,), shared_mem=64)
    assert np.isnan(y.get()).all()


def test_a_lane_outside_the_mask_gives_nan(cp, kernel, order):
    y = cp.zeros(32, "f4")
    kernel("lanes")((1,), (32,), (y,))
    assert y.get()[:15].tolist() == list(range(1, 16))
    assert np.isnan(y.get()[15])
    assert y.get()[16:].tolist() == [*range(17, 32), 31]  # the last lane keeps its own
    kernel("lanes")((1,), (20,), (y,))
    assert np.isnan(y.get()[19])


def test_max_is_cudas_which_prefers_numbers(cp, kernel):
    y = cp.zeros(2, "f4")
    kernel("maxima")((1,), (1,), (y, np.float32("nan"), np.float32(3)))
    assert y.get().tolist() == [3, 3]


DIVERGENT = {
    "some_leave": r"\(0, 0, 0\): thread \(0, 0, 0\) waits at .*:\d+, but 35 of the block's 40 "
    "threads have left the kernel",
    "two_barriers": "but 35 of the block's 40 threads wait elsewhere",
    "lost_lane": r"waits at .*, but 1 of the block's 40 threads that its mask names are elsewhere",
    "excluded_lane": r"thread \(32, 0, 0\) waits at .*1 of the block's 40 threads that its mask",
}


@pytest.mark.parametrize("name", DIVERGENT)
def test_threads_that_wait_for_nothing(cp, kernel, name):
    y = cp.zeros(1, "f4")
    with pytest.raises(shim.LaunchError, match=f"{name}: block .*{DIVERGENT[name]}"):
        kernel(name)((2,), (40,), (y,))
    test_dynamic_shared_memory(cp, kernel, "forward")  # and nothing is left of it


def test_the_place_is_that_of_the_cu_file(cp):
    code = '#line 7 "some.cu"\n' + KERNELS[KERNELS.index('extern "C" __global__ void some_leave') :]
    with pytest.raises(shim.LaunchError, match=r"waits at some\.cu:9"):
        module(cp, "typedef float real; struct Pair { int a; double b; };\n" + code).get_function(
            "some_leave"
        )((1,), (8,), (cp.zeros(1, "f4"),))


# ---- launches ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grid", "block"),
    [((0,), (1,)), ((1, 0), (1,)), ((1,), (0,)), ((1,), (1025,)), ((1,), (32, 33)),
     ((1,), (1, 1, 65)), ((1, 65536), (1,)), ((1, 1, 1, 1), (1,))],
)  # fmt: skip
def test_sizes_that_a_gpu_does_not_have(cp, kernel, grid, block):
    with pytest.raises(shim.LaunchError, match="CUDA_ERROR_INVALID_VALUE"):
        kernel("race")(grid, block, (cp.zeros(64, "f4"),))


def test_more_threads_than_registers_are_sure_for(cp, kernel):
    """256 threads have them always, more where the compiler was told of them."""
    y = cp.zeros(513, "f4")
    kernel("scale")((1,), (256,), scale_arguments(cp))
    with pytest.raises(shim.LaunchError, match=r"OUT_OF_RES.*scale: block \(257,\), where 256"):
        kernel("scale")((1,), (257,), scale_arguments(cp))
    kernel("large")((1,), (512,), (y,))
    assert y.get().sum() == 512
    with pytest.raises(shim.LaunchError, match=r"OUT_OF_RES.*large: block \(513,\), where 512"):
        kernel("large")((1,), (513,), (y,))


def test_grid_and_block_are_tuples(cp, kernel):
    with pytest.raises(TypeError, match="grid must be a tuple, not int"):
        kernel("race")(1, (1,), (cp.zeros(64, "f4"),))


def test_shared_memory_beyond_48_kb_is_asked_for(cp, kernel):
    x = cp.zeros(4, "f4")
    reverse = kernel("reverse")
    reverse((1,), (4,), (x, x), shared_mem=48 << 10)
    with pytest.raises(shim.LaunchError, match="49156 bytes of shared memory, where 49152 are"):
        reverse((1,), (4,), (x, x), shared_mem=(48 << 10) + 4)
    reverse.max_dynamic_shared_size_bytes = 64 << 10
    reverse((1,), (4,), (x, x), shared_mem=64 << 10)
    with pytest.raises(shim.LaunchError, match="INVALID_VALUE"):
        reverse.max_dynamic_shared_size_bytes = (64 << 10) + 4


PAIR = np.dtype([("a", np.int32), ("b", np.float64)], align=True)


def scale_arguments(cp, **changes):
    pair = np.array([(3, 0.5)], PAIR)
    given = {"y": cp.ones(4, "f4"), "a": np.float32(2), "n": np.int32(4), "p": pair, "any": None}
    return tuple({**given, **changes}.values())


def test_arguments_by_value_and_by_address(cp, kernel):
    y = cp.ones(4, "f4")
    kernel("scale")((1,), (32,), scale_arguments(cp, y=y))
    kernel("scale")((1,), (32,), scale_arguments(cp, y=y, any=cp.zeros(3, "u1"), n=np.int32(2)))
    assert y.get().tolist() == [14.5, 14.5, 5.5, 5.5]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("a", 2.0, r"argument 1: float64 of 8 bytes \(float\) for a parameter of kind 'f' and 4"),
        ("a", np.float64(2), "argument 1: float64 of 8 bytes"),
        ("n", 4, r"argument 2: int64 of 8 bytes \(int\) for a parameter of kind 'i' and 4"),
        ("n", np.uint32(4), "argument 2: uint32"),
        ("n", True, "argument 2: bool"),
        ("n", None, "argument 2: None for a value of 4 bytes"),
        ("y", np.float32(2), "argument 0: a value for a pointer"),
        ("y", 12345678, "argument 0: a value for a pointer"),
        ("p", np.zeros(1, "i4, f4"), "argument 3: .* of 8 bytes"),
        ("p", np.float64(2), "argument 3: float64 of 8 bytes"),
    ],
)
def test_arguments_that_a_gpu_would_misread(cp, kernel, name, value, message):
    with pytest.raises(shim.LaunchError, match=f"scale: {message}"):
        kernel("scale")((1,), (32,), scale_arguments(cp, **{name: value}))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda cp: cp.ones(4, "f8"), "argument 0: an array of float64 for a pointer to kind 'f'"),
        (lambda cp: cp.ones(4, "i4"), "argument 0: an array of int32"),
        (lambda cp: cp.ones(8, "f4")[::2], "argument 0: an array that is not C-contiguous"),
        (lambda cp: cp.ones((2, 2), "f4").T, "argument 0: an array that is not C-contiguous"),
    ],
)
def test_arrays_that_a_gpu_would_misread(cp, kernel, make, message):
    with pytest.raises(shim.LaunchError, match=message):
        kernel("scale")((1,), (32,), scale_arguments(cp, y=make(cp)))


@pytest.mark.parametrize("value", [np.ones(4, "f4"), "text", [1.0], 1j])
def test_arguments_that_cupy_refuses(cp, kernel, value):
    with pytest.raises(TypeError, match="argument 0: Unsupported type"):
        kernel("scale")((1,), (32,), scale_arguments(cp, y=value))


def test_the_number_of_arguments(cp, kernel):
    with pytest.raises(shim.LaunchError, match="scale: 5 parameters, 4 given"):
        kernel("scale")((1,), (32,), scale_arguments(cp)[:4])
    with pytest.raises(TypeError, match="scale: args must be a tuple, not ndarray"):
        kernel("scale")((1,), (32,), cp.ones(4, "f4"))
    with pytest.raises(shim.LaunchError, match="named symbol not found: scales"):
        kernel("scales")


# ---- compiling ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("x[0] = x[0] * 0.5;", r"some\.cu:1.*float.*double.*double-promotion"),
        ("atomicAdd(x, 1.0f);", "on floats has no fixed order"),
        ("x[0] = __expf(x[0]);", "__expf"),
        ("float y; x[0] = y;", "uninitialized"),
        ("if (x[0] = 1) x[1] = 2;", "parentheses"),
    ],
)
def test_source_that_is_refused(cp, body, message):
    code = f'#line 1 "some.cu"\nextern "C" __global__ void k(float* x) {{ {body} }}\n'
    with pytest.raises(shim.CompileError, match=message):
        cp.RawModule(code=code).get_function("k")


def test_options_are_a_tuple_of_those_that_can_be_followed(cp):
    with pytest.raises(shim.LaunchError, match="the option --use_fast_math"):
        module(cp, KERNELS, "--use_fast_math").get_function("race")
    with pytest.raises(TypeError, match="options must be a tuple, not list"):
        cp.RawModule(code=KERNELS, options=["-DREAL=float"]).get_function("race")


def test_several_processes_compile_the_same(tmp_path):
    """Each gets a whole library, and nothing but libraries stays."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from cuda_on_cpu import shim; import ctypes;"
        "path = shim.compile_library('extern \"C\" __global__ void k(int* x) {}', ());"
        "shim.Function(ctypes.CDLL(str(path)), 'k')"
    )
    environment = {**os.environ, "MINICNN_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", code, str(HERE)]
    started = [subprocess.Popen(command, env=environment) for _ in range(3)]
    assert [p.wait() for p in started] == [0, 0, 0]
    assert [p.suffix for p in (tmp_path / "cuda_on_cpu").iterdir()] == [".so"]


OUTSIDE = r"""
import sys
sys.path.insert(0, sys.argv[1])
import pytest
import numpy as np
from cuda_on_cpu import standin

cp = standin.install(pytest.MonkeyPatch())
code = '''#line 1 "outside.cu"
extern "C" __global__ void sum(const float* x, float* y, int n, int wrong) {
    __shared__ float copy[8];
    DYNAMIC_SHARED(float, more);
    float own[8];
    int i = threadIdx.x;
    copy[i] = more[i] = own[i % 8] = x[i];
    __syncthreads();
    if (wrong == 1) y[0] = x[n];
    if (wrong == 2) y[n] = 1;
    if (wrong == 3) y[0] = copy[n];
    if (wrong == 4) y[0] = more[n];
    if (wrong == 5) y[0] = own[n];
    if (wrong == 6) y[0] = (float)(2147483647 + n);
    if (i == 0) y[0] = copy[0] + copy[n - 1];
}'''
kernel = cp.RawModule(code=code).get_function("sum")
x, y = cp.arange(8, dtype="f4"), cp.zeros(8, "f4")
for wrong in (0, int(sys.argv[2])):
    kernel((1,), (8,), (x, y, np.int32(8), np.int32(wrong)), shared_mem=32)
    print(y.get()[0])
"""


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (0, ""),
        (1, "heap-buffer-overflow .*READ of size 4.*outside.cu:8"),
        (2, "heap-buffer-overflow .*WRITE of size 4.*outside.cu:9"),
        (3, "(global-buffer-overflow .*outside.cu:10|outside.cu:10:.* index 8 out of bounds)"),
        (4, "heap-buffer-overflow .*READ of size 4.*outside.cu:11"),
        (5, "(stack-buffer-overflow .*outside.cu:12|outside.cu:12:.* index 8 out of bounds)"),
        (6, r"outside.cu:13:.*signed integer overflow: "),
    ],
)
def test_sanitizers_see_one_element_too_far(wrong, message):
    command = [sys.executable, "-c", OUTSIDE, str(HERE), str(wrong)]
    done = subprocess.run(command, capture_output=True, text=True, env=shim.sanitized())
    lines = done.stdout.split()
    if wrong == 0:
        assert (done.returncode, lines) == (0, ["7.0", "7.0"]), done.stderr
        return
    assert done.returncode != 0
    assert lines == ["7.0"]
    assert re.search(message, done.stderr, re.DOTALL), done.stderr


@pytest.mark.skipif(shutil.which("gdb") is None, reason="needs gdb")
def test_a_debugger_stops_in_a_kernel():
    """README.md's session: its commands, and what gdb says that is the same on every machine."""

    def stable(text):  # lines of source, and values
        return [line.split() for line in text.splitlines() if re.match(r"\d+\s|\$\d|Value ", line)]

    readme = (HERE / "cuda_on_cpu" / "README.md").read_text()
    session = readme.partition("$ gdb ")[2].partition("```")[0]
    options, _, program = session.splitlines()[0].partition(" --args .venv/bin/python ")
    commands = [f"-ex={line}" for line in re.findall(r"^\(gdb\) (.*)", session, re.MULTILINE)]
    done = subprocess.run(
        ["gdb", *options.split(), "-batch", "-nx", *commands, "--args", sys.executable,
         *program.split()],
        capture_output=True, text=True, cwd=HERE.parent, env={**os.environ, "DEBUGINFOD_URLS": ""},
    )  # fmt: skip
    assert stable(session)
    assert stable(done.stdout) == stable(session), done.stdout + done.stderr


# ---- the stand-in: what CuPy refuses -----------------------------------------------------------


def test_no_numpy_arrays_come_in_or_out_by_themselves(cp):
    x, a = cp.ones((2, 3), "f4"), np.ones((2, 3), "f4")
    mixed = [
        lambda: x + a, lambda: a + x, lambda: a * x, lambda: x @ a.T, lambda: x == a,
        lambda: cp.maximum(x, a), lambda: np.maximum(a, x), lambda: cp.where(x > 0, a, x),
        lambda: cp.concatenate([x, a]), lambda: np.concatenate([x, a]), lambda: cp.sum(a),
        lambda: x.dot(a.T), lambda: cp.add(x, x, out=a), lambda: x.__iadd__(a),
        lambda: cp.take_along_axis(x, np.zeros((2, 1), int), 1), lambda: cp.copyto(x, a),
        lambda: np.asarray(x), lambda: np.array(x), lambda: a.__setitem__(0, x[0]),
    ]  # fmt: skip
    for i, mix in enumerate(mixed):
        with pytest.raises(TypeError, match=r"Unsupported type|Implicit conversion|no impl|Output"):
            pytest.fail(f"number {i} gave {mix()}")
    with pytest.raises(ValueError, match=r"non-scalar numpy\.ndarray cannot be used for fill"):
        x[...] = a
    assert not isinstance(x, np.ndarray)


def test_numpy_scalars_and_index_arrays_are_taken(cp):
    x = cp.arange(6, dtype="f4")
    for y in (x * np.float32(2), np.float32(2) * x, x * 2, 2.0 * x, np.multiply(x, 2)):
        assert isinstance(y, cp.ndarray)
        assert y.dtype == np.float32
        assert y.get().tolist() == [0, 2, 4, 6, 8, 10]
    x[np.array([0, 1])] = np.float32(7)
    x[2] = np.array(8.0)
    assert x[[0, 1, 2]].get().tolist() == [7, 7, 8]
    assert x[np.int64(3)].get().tolist() == 3
    assert (x * np.float64(2)).dtype == np.float64


def test_results_stay_on_the_device(cp):
    x = cp.arange(6, dtype="f4").reshape(2, 3)
    for y in (x.sum(), x[0, 0], cp.allclose(x, x), cp.array_equal(x, x), x.argmax(), x.any()):
        assert isinstance(y, cp.ndarray)
        assert y.shape == ()
    assert float(x.sum()) == 15
    assert int(x.argmax()) == x.argmax().item() == 5
    assert bool(cp.allclose(x, x))
    assert x.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert [type(row) for row in x] == [cp.ndarray] * 2
    assert (divmod(x, 2)[1] + -x + abs(x)).get().tolist() == [[0, 1, 0], [1, 0, 1]]


def test_results_lie_in_c_order_as_cupys(cp):
    x = cp.ones((2, 3, 4), "f4").transpose(2, 0, 1)
    assert not x.flags.c_contiguous
    for y in (x + 1, cp.exp(x), cp.where(x > 0, x, 0), x.sum(0), x[[0, 1]], x.copy()):
        assert y.flags.c_contiguous
    assert x.copy(order="K").strides == x.astype("f8").astype("f4").strides == x.strides
    assert cp.empty_like(x).strides == x.strides
    assert not hasattr(x.flags, "writeable")


def test_views_look_at_the_same_memory(cp):
    x = cp.zeros((4, 6), "f4")
    x[1].reshape(2, 3)[1, 0] = 5
    x.T[2, 1] += 1
    cp.moveaxis(x, 0, 1)[0, 0] = 7
    assert x[1].tolist() == [0, 0, 1, 5, 0, 0]
    assert x[0, 0].item() == 7
    assert x[1:].data.ptr == x.data.ptr + 24
    assert x[1].base is x
    assert x[1][2:].base is x
    assert x.astype("f4", copy=False) is x
    assert cp.ascontiguousarray(x) is cp.asarray(x) is x
    assert cp.may_share_memory(x, x[1])
    assert not cp.may_share_memory(x, x.copy())


def test_indices_that_mean_another_thing_to_cupy(cp):
    x = cp.zeros((2, 3))
    with pytest.raises(shim.LaunchError, match="CuPy would take another element: index 5"):
        x[cp.asarray([0, 5])]
    with pytest.raises(IndexError):
        x[5]
    with pytest.raises(shim.LaunchError, match="any of several values"):
        x[cp.asarray([0, 1, 0])] = cp.arange(3.0)[:, None]
    x[cp.asarray([0, 1, 0])] = cp.arange(3.0)  # the same values in all rows
    assert x.get().tolist() == [[0, 1, 2], [0, 1, 2]]


def test_set_wants_the_very_same_kind_of_array(cp):
    x = cp.zeros((2, 3), "f4")
    x.set(np.ones((2, 3), "f4"))
    assert x.sum().item() == 6
    for error, value, message in [
        (TypeError, np.ones((2, 3)), "float64 array cannot be set to float32 array"),
        (ValueError, np.ones((3, 2), "f4"), "Shape mismatch"),
        (TypeError, [[1, 2, 3]] * 2, "Only numpy"),
    ]:
        with pytest.raises(error, match=message):
            x.set(value)
    with pytest.raises(RuntimeError, match="Cannot set to non-contiguous array"):
        x[:, ::2].set(np.ones((2, 2), "f4"))


def test_copies_and_pickles(cp):
    x = cp.arange(3.0)
    for y in (copy.copy(x), copy.deepcopy([x])[0], pickle.loads(pickle.dumps(x))):
        assert isinstance(y, cp.ndarray)
        assert y.tolist() == [0, 1, 2]
        assert not cp.may_share_memory(x, y)


def test_add_at_adds_what_cuda_can_add(cp):
    x = cp.zeros(3, "f4")
    cp.add.at(x, cp.array([0, 0, 2]), cp.ones(3, "f4"))
    assert x.tolist() == [2, 0, 1]
    with pytest.raises(TypeError, match="scatter_add only supports int32"):
        cp.add.at(cp.zeros(3, "i8"), cp.array([0]), 1)


@pytest.mark.skipif(not names._known(), reason="needs CuPy installed, to know its names")
def test_names_and_arguments_are_those_of_the_installed_cupy(cp):
    for found in standin.MODULES:
        for name in vars(found):
            if not name.startswith("_"):
                names.check(found.__name__, name)
    for name in vars(cp.ndarray).keys() - {"__getattr__", "__slots__"}:
        names.check_method(name)
    x = cp.ones(3)
    for missing in ("nonsense", "ctypes", "setflags", "newbyteorder"):
        with pytest.raises(AttributeError, match=rf"'cupy\.ndarray' object has no .* '{missing}'"):
            getattr(x, missing)
    for missing in ("nonsense", "nditer", "errstate", "ndenumerate"):
        with pytest.raises(AttributeError, match=f"module 'cupy' has no attribute '{missing}'"):
            getattr(cp, missing)
    for call in (
        lambda: x.sum(initial=1), lambda: x.max(where=x > 0), lambda: cp.sum(x, initial=1),
        lambda: cp.stack(x, x, x, x, x),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=r"unexpected keyword argument|too many positional"):
            call()
    with pytest.raises(NotImplementedError, match=r"the stand-in for CuPy lacks cupy\.random"):
        cp.random.rand(3)


def test_nothing_of_the_real_cupy_is_left(monkeypatch):
    for name in ("cupy", "cupy.random", "cupyx.jit"):
        monkeypatch.setitem(sys.modules, name, None)
    cp = standin.install(monkeypatch)
    assert sys.modules["cupy"] is cp
    found = {m for m in sys.modules if m.split(".")[0] in ("cupy", "cupyx")}
    assert found == {m.__name__ for m in standin.MODULES}


# ---- memory ------------------------------------------------------------------------------------


def test_new_memory_is_full_of_ones(cp):
    assert np.isnan(cp.empty(3, "f4").get()).all()
    assert cp.ndarray((2,), "i4").tolist() == [-1, -1]
    x = cp.zeros(5)
    address = x.data.ptr
    del x
    x = cp.empty(5)
    assert x.data.ptr == address
    assert np.isnan(x.get()).all()


def test_the_pool_counts_what_arrays_hold(cp):
    pool = cp.get_default_memory_pool()
    assert pool.used_bytes() == 0
    x, y = cp.empty(100, "f4"), cp.empty(129, "f4")
    view = x[3:]
    assert pool.used_bytes() == 512 + 1024
    del x, y
    assert pool.used_bytes() == 512  # the view holds all of it
    assert (pool.free_bytes(), pool.n_free_blocks(), pool.total_bytes()) == (1024, 1, 1536)
    pool.free_all_blocks()
    assert (pool.free_bytes(), pool.total_bytes()) == (0, 512)
    del view
    assert pool.used_bytes() == 0
    assert cp.empty(0).data.ptr == 0


def test_free_blocks_are_split_and_merged(cp):
    x = cp.empty(3 * 512, "u1")
    start = x.data.ptr
    del x
    parts = [cp.empty(512, "u1") for _ in range(3)]
    assert [p.data.ptr - start for p in parts] == [0, 512, 1024]
    assert cp.get_default_memory_pool().total_bytes() == 3 * 512
    del parts[1], parts[0], parts[0]
    parts = [cp.empty(512, "u1") for _ in range(3)]
    del parts[0], parts[0], parts[0]
    assert cp.empty(3 * 512, "u1").data.ptr == start


def test_streams_and_pools_keep_their_blocks_apart(cp):
    x = cp.empty(100)
    address = x.data.ptr
    del x
    with cp.cuda.Stream():
        assert cp.empty(100).data.ptr != address
    pool = cp.cuda.MemoryPool()
    with cp.cuda.using_allocator(pool.malloc):
        y = cp.empty(100)
    assert y.data.ptr != address
    assert pool.used_bytes() == 1024
    assert cp.empty(100).data.ptr == address


# ---- capture -----------------------------------------------------------------------------------


@pytest.fixture
def stream(cp):
    return cp.cuda.Stream(non_blocking=True)


def test_a_graph_does_later_what_was_recorded(cp, kernel, stream):
    with stream:
        x, y, w = cp.ones(4, "f4"), cp.empty(4, "f4"), cp.ones(4, "f4")
        spare = [cp.empty(4, "f4") for _ in range(3)]
    del spare
    results = []

    def work():
        kernel("scale")((1,), (32,), scale_arguments(cp, y=x))
        z = x * 2
        results.append(z)
        z += 1
        y[...] = z[::-1]
        w.fill(7)
        results.append(y.sum())
        assert stream.is_capturing()

    graph = captured(stream, work)
    assert not stream.is_capturing()
    stream.synchronize()
    assert x.tolist() == w.tolist() == [1] * 4  # nothing happened
    assert np.isnan(results[0].get()).all()
    for expected in (5.5, 14.5):
        graph.launch(stream)
        stream.synchronize()
        assert x.tolist() == [expected] * 4
        assert y.tolist() == [2 * expected + 1] * 4
        assert results[1].item() == 4 * (2 * expected + 1)
    x.fill(0)  # the inputs of a replay are what lies there now
    graph.launch()
    assert y.tolist() == [2 * 3.5 + 1] * 4


WAITS = {
    "item": lambda cp, x: x[0].item(),
    "float": lambda cp, x: float(x[0]),
    "int": lambda cp, x: int(x[0]),
    "bool": lambda cp, x: bool(x[0]),
    "get": lambda cp, x: x.get(),
    "asnumpy": lambda cp, x: cp.asnumpy(x),
    "print": lambda cp, x: str(x),
    "tolist": lambda cp, x: x.tolist(),
    "set": lambda cp, x: x.set(np.zeros(4, "f4")),
    "asarray": lambda cp, x: cp.asarray(np.zeros(4, "f4")),
    "a list as index": lambda cp, x: x[[0, 1]],
    "a mask as index": lambda cp, x: x[x > 0],
    "nonzero": lambda cp, x: cp.nonzero(x),
    "where": lambda cp, x: cp.where(x),
    "unique": lambda cp, x: cp.unique(x),
    "sort": lambda cp, x: x.sort(),
    "stream": lambda cp, x: cp.cuda.get_current_stream().synchronize(),
    "device": lambda cp, x: cp.cuda.Device().synchronize(),
    "malloc": lambda cp, x: cp.empty(1 << 20),
}


@pytest.mark.parametrize("what", WAITS)
def test_what_would_wait_spoils_a_capture(cp, stream, what):
    with stream:
        x = cp.ones(4, "f4")
        spare = [cp.empty(4, "f4") for _ in range(3)]
        del spare
        stream.begin_capture()
        with pytest.raises(
            cp.cuda.runtime.CUDARuntimeError,
            match="cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capt",
        ):
            WAITS[what](cp, x)
        with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="CaptureInvalidated"):
            stream.end_capture()
        WAITS[what](cp, x)  # and is allowed again


def test_cublas_is_refused_while_capturing(cp, stream):
    with stream:
        x = cp.ones((2, 2), "f4")
        spare = [cp.empty((2, 2), "f4") for _ in range(3)]
        del spare
        stream.begin_capture()
        for product in (
            lambda: x @ x, lambda: x.dot(x), lambda: cp.matmul(x, x), lambda: cp.dot(x, x),
            lambda: cp.tensordot(x, x), lambda: cp.einsum("ij,jk", x, x),
            lambda: cp.matmul(x, x, out=x),
        ):  # fmt: skip
            with pytest.raises(NotImplementedError, match="calling cuBLAS API during stream capt"):
                product()
        stream.end_capture().launch()
        assert (x @ x).tolist() == [[2, 2], [2, 2]]


def test_captures_begin_and_end_in_order(cp, stream):
    with pytest.raises(RuntimeError, match=r"cannot capture on the default \(legacy\) stream"):
        cp.cuda.Stream.null.begin_capture()
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="cudaErrorIllegalState"):
        stream.end_capture()
    stream.begin_capture()
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="cudaErrorIllegalState"):
        stream.begin_capture()
    cp.ones(3)  # the default stream works on beside a non-blocking one,
    stream.end_capture()
    with pytest.raises(NotImplementedError, match="must be created via stream capture"):
        cp.cuda.Graph()
    blocking = cp.cuda.Stream()
    blocking.begin_capture()
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="cudaErrorStreamCaptureImplicit"):
        cp.ones(3)  # but not beside a blocking one
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="CaptureInvalidated"):
        blocking.end_capture()


def test_a_relaxed_capture_may_allocate(cp, stream):
    results = []
    with stream:
        x = cp.ones(3)
        stream.begin_capture(mode=cp.cuda.runtime.streamCaptureModeRelaxed)
        results.append(x + 1)
        stream.end_capture().launch()
        assert results[0].tolist() == [2, 2, 2]


def test_a_capture_may_allocate_from_a_pool_that_never_had_memory(cp, stream):
    pool = cp.cuda.MemoryPool()
    with stream:
        x = cp.ones(3)
    with stream, cp.cuda.using_allocator(pool.malloc):
        stream.begin_capture()
        results = [x + 1, x + 2]
        stream.end_capture().launch()
        assert [y.tolist() for y in results] == [[2] * 3, [3] * 3]
        stream.begin_capture()
        with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="no free block"):
            x + 3
        with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="Invalidated"):
            stream.end_capture()


def test_memory_of_a_graph_that_is_used_again_shows(cp, stream):
    pool = cp.cuda.MemoryPool()
    with stream, cp.cuda.using_allocator(pool.malloc):
        x = cp.ones(4, "f4")
        result = [x + 1]  # warms the pool up
        result.clear()
        stream.begin_capture()
        result.append(x + 1)
        graph = stream.end_capture()
        graph.launch()
        assert result[0].tolist() == [2] * 4
        result.clear()
        other = cp.full(4, 9, "f4")
        graph.launch()
        assert other.tolist() == [2] * 4  # overwritten by the replay, as on a GPU
    del x, other
    pool.free_all_blocks()
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="cudaErrorIllegalAddress"):
        graph.launch()


def test_pinned_memory_is_read_at_every_replay(cp, stream):
    pinned = cp.cuda.alloc_pinned_memory(16)
    host = np.frombuffer(pinned, "f4", 4)
    x = cp.zeros(4, "f4")
    with stream:
        stream.begin_capture()
        x.data.copy_from_host_async(pinned.ptr, 16, stream)
        graph = stream.end_capture()
    for value in (1, 2):
        host[...] = value
        graph.launch()
        assert x.tolist() == [value] * 4


# ---- devices, streams, events ------------------------------------------------------------------


def test_arrays_know_their_device_and_work_on_no_other(cp, kernel):
    x = cp.ones(3, "f4")
    with cp.cuda.Device(1):
        y = cp.ones(3, "f4")
        assert cp.cuda.runtime.getDevice() == 1
        assert cp.get_default_memory_pool().used_bytes() == 512
    assert (x.device.id, y.device.id, cp.cuda.Device().id) == (0, 1, 0)
    for work in (lambda: x + y, lambda: y * 2, lambda: y.sum(), lambda: cp.copyto(x, y)):
        with pytest.raises(ValueError, match=r"array resides \(1\) is different from the current"):
            work()
    with pytest.raises(shim.LaunchError, match="argument 0: an array on device 1; the current is"):
        kernel("scale")((1,), (32,), scale_arguments(cp, y=y))
    assert y[1:].device.id == 1  # a view is no work
    assert (cp.asarray(y) + x).tolist() == [2, 2, 2]
    assert cp.asarray(y).device.id == 0


def test_devices_that_are_not_there(cp):
    runtime = cp.cuda.runtime
    assert runtime.getDeviceCount() == driver.DEVICES == 2
    with pytest.raises(runtime.CUDARuntimeError, match="cudaErrorInvalidDevice: invalid device or"):
        cp.cuda.Device(2).use()
    with pytest.raises(runtime.CUDARuntimeError, match="cudaErrorInvalidDevice"):
        runtime.getDeviceProperties(2)
    assert runtime.getDeviceProperties(1)["name"] == b"CPU stand-in"
    assert runtime.driverGetVersion() >= runtime.runtimeGetVersion()
    assert len(runtime.memGetInfo()) == 2


def test_streams_belong_to_a_device(cp, stream):
    with stream:
        assert cp.cuda.get_current_stream() == stream
    assert cp.cuda.get_current_stream() == cp.cuda.Stream.null
    with (
        cp.cuda.Device(1),
        pytest.raises(RuntimeError, match=r"created on \(0\) does not match"),
        stream,
    ):
        pass


RACES = {
    "reads what it writes": lambda cp, read, written: written + 1,
    "writes what it writes": lambda cp, read, written: written.fill(0),
    "writes what it reads": lambda cp, read, written: read.fill(0),
    "copies to the host": lambda cp, read, written: written.tolist(),
    "launches": lambda cp, read, written: module(cp).get_function("reverse")(
        (1,), (3,), (written, read), shared_mem=12
    ),
}
ORDERED_BY = {
    "the stream": lambda cp, stream, other: stream.synchronize(),
    "the device": lambda cp, stream, other: cp.cuda.Device().synchronize(),
    "an event": lambda cp, stream, other: other.wait_event(stream.record()),
    "an event on the host": lambda cp, stream, other: stream.record().synchronize(),
}


def work_of(cp, stream):
    """(an array that the stream's work still reads, one that it still writes)."""
    with stream:
        read, written = cp.ones(3, "f4"), cp.ones(3, "f4")
        stream.synchronize()
        written += read
    return read, written


@pytest.mark.parametrize("what", RACES)
def test_streams_that_do_not_wait_for_each_other(cp, stream, what):
    with (
        cp.cuda.Stream(non_blocking=True),
        pytest.raises(StreamOrderError, match=r"stream \d+ (us|writ)es memory that stream \d+ "),
    ):
        RACES[what](cp, *work_of(cp, stream))
    with pytest.raises(StreamOrderError, match=r"stream 0 .*, and does not wait for it: synchr"):
        RACES[what](cp, *work_of(cp, stream))
    blocking = cp.cuda.Stream()
    RACES[what](cp, *work_of(cp, blocking))  # the default stream waits for these by itself


@pytest.mark.parametrize("wait", ORDERED_BY)
@pytest.mark.parametrize("what", RACES)
def test_streams_that_do(cp, stream, what, wait):
    other = cp.cuda.Stream(non_blocking=True)
    arrays = work_of(cp, stream)
    ORDERED_BY[wait](cp, stream, other)
    with other:
        RACES[what](cp, *arrays)


def test_two_streams_may_read_the_same(cp, stream):
    read, _ = work_of(cp, stream)
    assert (read + 1).tolist() == [2, 2, 2]


def test_a_replay_belongs_to_the_stream_it_is_launched_on(cp, stream):
    with stream:
        x = cp.ones(3)
        stream.begin_capture()
        x *= 2
        graph = stream.end_capture()
    with pytest.raises(StreamOrderError, match="stream 0 uses memory that stream"):
        graph.launch()
    stream.synchronize()
    graph.launch()
    with stream, pytest.raises(StreamOrderError, match="uses memory that stream 0 wrote"):
        x.tolist()
    assert x.tolist() == [2, 2, 2]


def test_memory_that_is_used_again_keeps_its_history(cp, stream):
    """As CuPy's pool does, blocks go back to their own stream while others may still read them."""
    x = cp.ones(128)
    cp.cuda.Stream.null.synchronize()
    with stream:
        total = x.sum()
    del x
    _, half = cp.empty(64), cp.empty(64)
    with pytest.raises(StreamOrderError, match=r"stream 0 writes memory that stream .* read"):
        half.fill(0)
    stream.synchronize()
    half.fill(0)
    assert total.item() == 128


def test_a_graph_still_uses_what_was_freed_in_it(cp, stream):
    with stream:
        x = cp.ones(64)
        spare = cp.empty(128)
        del spare
        left = cp.empty(64)
        stream.begin_capture()
        x * 2  # lies right of it
        graph = stream.end_capture()
        del left
        other = cp.empty(128)  # where both were
        graph.launch()
    with pytest.raises(StreamOrderError, match="stream 0 uses memory that stream"):
        other.tolist()


def test_events_measure_time(cp, stream):
    start, end = cp.cuda.Event(), cp.cuda.Event()
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="never recorded"):
        cp.cuda.get_elapsed_time(start, end)
    start.record()
    stream.record(end)
    end.synchronize()
    assert end.done
    assert cp.cuda.get_elapsed_time(start, end) >= 0
