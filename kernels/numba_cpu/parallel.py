"""Threads: one call that runs a kernel's body in several of them at once, by OpenMP.

    parallel(threads, body, (x, y, n))

runs body(thread, threads, x, y, n) for thread = 0 .. threads - 1, and returns when all are done.
The body finds its share of the work by `share`.  Numba's prange would do as well, but compiles a
second or more for every loop; this compiles in no time, since all it does is call.
"""

import ctypes

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minicnn.kernels import threads
from minicnn.kernels.numba_cpu.compiling import inner

INT32, INT64 = ir.IntType(32), ir.IntType(64)
ANY = ir.IntType(8).as_pointer()

LIBRARIES = (
    "libgomp.so.1",
    "libomp.so",
    "libomp.so.5",
    "libomp.dylib",
    "/opt/homebrew/opt/libomp/lib/libomp.dylib",
)
FUNCTIONS = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")


def _find_openmp() -> bool:
    """Makes OpenMP's functions known to LLVM; without it everything runs in one thread."""
    for name in LIBRARIES:
        try:
            library = ctypes.CDLL(name)
            addresses = [ctypes.cast(getattr(library, f), ctypes.c_void_p).value for f in FUNCTIONS]
        except (OSError, AttributeError):
            continue
        for symbol, address in zip(FUNCTIONS, addresses, strict=True):
            binding.add_symbol("minicnn_" + symbol, address)
        return True
    never_called = ctypes.cast(ctypes.pythonapi.Py_IsInitialized, ctypes.c_void_p).value
    for symbol in FUNCTIONS:
        binding.add_symbol("minicnn_" + symbol, never_called)
    return False


if not _find_openmp():
    threads.only_one("OpenMP's library (libgomp.so.1; package libgomp1) was not found")


@inner
def share(thread, threads, total):
    """(first, behind the last) of the `total` tasks that are this thread's."""
    return thread * total // threads, (thread + 1) * total // threads


@inner
def share_numbers(thread, threads, total):
    """As `share`, of numbers in a loop that LLVM turns into vectors: shares begin at whole blocks.

    What vectors leave over at the end of a loop may be rounded another way; so the end must be the
    same numbers, however many threads there are.
    """
    first, last = share(thread, threads, (total + 63) // 64)
    return min(64 * first, total), min(64 * last, total)


@intrinsic
def parallel(typing, threads, body, args):
    """Runs body(thread, threads, *args) in each of so many threads."""
    called = body.get_call_type(typing, (types.int64, types.int64, *args.types), {})
    compiled = body.dispatcher.overloads[called.args]

    def emit(context, builder, signature, values):
        context.add_linking_libs([compiled.library])

        def call(builder, thread, threads, packed):
            parts = cgutils.unpack_tuple(builder, packed, len(args.types))
            everything = [thread, threads, *parts]
            context.call_internal_no_propagate(builder, compiled.fndesc, called, everything)

        count = context.cast(builder, values[0], signature.args[0], types.int64)
        several = builder.icmp_signed(">", count, INT64(1))
        with builder.if_else(several, likely=False) as (then, otherwise):
            with then:
                place = cgutils.alloca_once_value(builder, values[2])
                task = _task(context, builder, values[2].type, call)
                start = _symbol(
                    builder, "GOMP_parallel", ir.VoidType(), [task.type, ANY, INT32, INT32]
                )
                number = builder.trunc(count, INT32)
                builder.call(start, [task, builder.bitcast(place, ANY), number, INT32(0)])
            with otherwise:
                call(builder, INT64(0), INT64(1), values[2])
        return context.get_dummy_value()

    return types.void(threads, body, args), emit


def _symbol(builder, name, result, args):
    kind = ir.FunctionType(result, args)
    return cgutils.get_or_insert_function(builder.module, kind, "minicnn_" + name)


def _task(context, builder, packed_type, call):
    """The C function that OpenMP calls in each thread with the address of the packed arguments."""
    module = builder.module
    name = module.get_unique_name("minicnn_task")
    task = ir.Function(module, ir.FunctionType(ir.VoidType(), [ANY]), name)
    task.linkage = "internal"
    inside = ir.IRBuilder(task.append_basic_block())
    numbers = [
        inside.sext(inside.call(_symbol(inside, name, INT32, []), []), INT64)
        for name in ("omp_get_thread_num", "omp_get_num_threads")
    ]
    address = inside.bitcast(task.args[0], packed_type.as_pointer())
    call(inside, *numbers, inside.load(address, typ=packed_type))
    inside.ret_void()
    return task
