"""Register tiles as Numba value types: all the LLVM there is, so that kernels are plain Python.

A Tile is a small matrix of vectors, rows x columns x lanes, that LLVM keeps in registers; a lane is
one number of a vector, and one instruction works on all lanes at once.  A tile grows by one of

    add_outer(tile, a, b)    tile[m, n, lane] += a[m] * b[n, lane]         (a is spread over lanes)
    add_inner(tile, a, b)    tile[m, n, lane] += a[m, lane] * b[n, lane]   (lanes are summed later)

Rows, columns and lanes are constants when a kernel is compiled; strides and offsets are not.
`count` is how many lanes of the last vector are really there: the others are neither read nor
written, so that no kernel needs room behind its arrays.
"""

from llvmlite import binding, ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

INT32, INT64 = ir.IntType(32), ir.IntType(64)
LLVM = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}
SUFFIX = {types.float32: "f32", types.float64: "f64"}


def _register_bytes() -> int:
    """The width of a vector register of the CPU that Numba compiles for."""
    wanted = config.CPU_FEATURES  # NUMBA_CPU_FEATURES, to try another CPU's code
    features = binding.get_host_cpu_features().flatten() if wanted is None else wanted
    names = features.split(",")
    return 64 if "+avx512f" in names else 32 if "+avx" in names else 16


BYTES = _register_bytes()
LANES = {types.float32: BYTES // 4, types.float64: BYTES // 8}
REGISTERS = 32 if BYTES == 64 else 16
# Tiles that fit into the registers, with what add_outer and add_inner hold besides.
OUTER_ROWS, OUTER_COLUMNS = (8, 2) if REGISTERS == 32 else (6, 2)
INNER_ROWS, INNER_COLUMNS = (6, 4) if REGISTERS == 32 else (2, 4)


class Tile(types.Type):
    """rows x columns vectors of `lanes` numbers of type `dtype`."""

    def __init__(self, dtype, rows, columns):
        self.dtype, self.rows, self.columns, self.lanes = dtype, rows, columns, LANES[dtype]
        self.vector = ir.VectorType(LLVM[dtype], self.lanes)
        self.llvm = ir.ArrayType(self.vector, rows * columns)
        self.cells = [(m, n) for m in range(rows) for n in range(columns)]
        super().__init__(f"Tile({dtype}, {rows}x{columns})")


@register_model(Tile)
class _TileModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, kind.llvm)


# ---- emitting LLVM instructions --------------------------------------------------------------


def _number(kind):
    return LLVM[kind] if kind in LLVM else ir.IntType(kind.bitwidth)


def _offset(builder, pointer, index, kind):
    index = INT64(index) if isinstance(index, int) else index
    return builder.gep(pointer, [index], source_etype=_number(kind))


def _intrinsic(builder, tile, name, result, *args):
    full = f"llvm.{name}.v{tile.lanes}{SUFFIX[tile.dtype]}" + (".p0" if "masked" in name else "")
    kind = ir.FunctionType(result, [a.type for a in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, full), args)


def _first(builder, tile, count):
    """The mask of the lanes below `count`."""
    lanes = ir.VectorType(INT32, tile.lanes)
    return builder.icmp_signed(
        "<",
        ir.Constant(lanes, list(range(tile.lanes))),
        _spread(builder, builder.trunc(count, INT32), lanes),
    )


def _spread(builder, number, vector):
    """A vector with `number` in every lane."""
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, number, INT32(0))
    zeros = ir.Constant(ir.VectorType(INT32, vector.count), None)
    return builder.shuffle_vector(first, undefined, zeros)


def _load(builder, tile, pointer, mask=None):
    size = BYTES // tile.lanes  # of one number: arrays need not be aligned to vectors
    if mask is None:
        return builder.load(pointer, typ=tile.vector, align=size)
    pointer = builder.bitcast(pointer, tile.vector.as_pointer())
    nothing = ir.Constant(tile.vector, None)
    return _intrinsic(
        builder, tile, "masked.load", tile.vector, pointer, INT32(size), mask, nothing
    )


def _store(builder, tile, value, pointer, mask=None):
    size = BYTES // tile.lanes
    pointer = builder.bitcast(pointer, tile.vector.as_pointer())
    if mask is None:
        builder.store(value, pointer, align=size)
    else:
        _intrinsic(builder, tile, "masked.store", ir.VoidType(), value, pointer, INT32(size), mask)


def _rows(builder, tile, pointer, stride):
    """The address of each row.

    Left alone LLVM reaches every row by adding the stride to the one before, a chain of additions
    slower than the arithmetic.  Here four rows share a base, and no base depends on another.
    """
    kind, base = tile.dtype, pointer
    steps = [
        None,
        stride,
        builder.mul(stride, INT64(2)),
        _opaque(builder, builder.mul(stride, INT64(3))),
    ]
    for m in range(tile.rows):
        if m and m % 4 == 0:
            base = _offset(builder, pointer, _opaque(builder, builder.mul(stride, INT64(m))), kind)
        yield _offset(builder, base, steps[m % 4], kind) if m % 4 else base


def _opaque(builder, number):
    """The same number, in a form whose origin LLVM cannot see."""
    return builder.asm(ir.FunctionType(INT64, [INT64]), "", "=r,0", [number], False)


def _multiply_add(builder, tile, value, left, right):
    """value[m, n] + left[m] * right[n] for all cells."""
    for k, (m, n) in enumerate(tile.cells):
        part = builder.extract_value(value, k)
        part = _intrinsic(builder, tile, "fma", tile.vector, left[m], right[n], part)
        value = builder.insert_value(value, part, k)
    return value


# ---- pointers --------------------------------------------------------------------------------


@intrinsic
def pointer(typing, array):
    """Where an array's memory starts."""

    def emit(context, builder, signature, args):
        return context.make_array(signature.args[0])(context, builder, args[0]).data

    return types.CPointer(array.dtype)(array), emit


@intrinsic
def at(typing, address, index):
    """The address `index` numbers further."""

    def emit(context, builder, signature, args):
        index = context.cast(builder, args[1], signature.args[1], types.int64)
        return _offset(builder, args[0], index, address.dtype)

    return address(address, index), emit


@intrinsic
def lanes_of(typing, address):
    """How many of the numbers at `address` a vector has, a constant."""

    def emit(context, builder, signature, args):
        return INT64(LANES[address.dtype])

    return types.int64(address), emit


@intrinsic
def no_unroll(typing):
    """Keeps LLVM from unrolling the loop around this line, which would spill the tile."""

    def emit(context, builder, signature, args):
        builder.asm(ir.FunctionType(ir.VoidType(), []), "", "", [], True)
        return context.get_dummy_value()

    return types.void(), emit


# ---- tiles -----------------------------------------------------------------------------------


def _tile(address, rows, columns):
    return Tile(address.dtype, rows.literal_value, columns.literal_value)


@intrinsic(prefer_literal=True)
def zero_tile(typing, address, rows, columns):
    """A tile of zeros, of the type of numbers at `address`."""
    tile = _tile(address, rows, columns)

    def emit(context, builder, signature, args):
        return ir.Constant(tile.llvm, None)

    return tile(address, rows, columns), emit


@intrinsic(prefer_literal=True)
def spread_tile(typing, address, stride, rows, columns):
    """A tile with address[m * stride] all over row m."""
    tile = _tile(address, rows, columns)

    def emit(context, builder, signature, args):
        value = ir.Constant(tile.llvm, ir.Undefined)
        for m in range(tile.rows):
            place = _offset(builder, args[0], builder.mul(args[1], INT64(m)), tile.dtype)
            row = _spread(builder, builder.load(place, typ=LLVM[tile.dtype]), tile.vector)
            for n in range(tile.columns):
                value = builder.insert_value(value, row, m * tile.columns + n)
        return value

    return tile(address, types.int64, rows, columns), emit


def _cells(builder, tile, address, stride, count):
    """Each cell's number, place in memory, and mask if it is in the last column."""
    mask = _first(builder, tile, count)
    for k, (m, n) in enumerate(tile.cells):
        place = _offset(builder, address, builder.mul(stride, INT64(m)), tile.dtype)
        place = _offset(builder, place, n * tile.lanes, tile.dtype)
        yield k, place, mask if n == tile.columns - 1 else None


@intrinsic(prefer_literal=True)
def load_tile(typing, address, stride, count, rows, columns):
    """The tile at `address`, its rows `stride` apart."""
    tile = _tile(address, rows, columns)

    def emit(context, builder, signature, args):
        value = ir.Constant(tile.llvm, ir.Undefined)
        for k, place, mask in _cells(builder, tile, *args[:3]):
            value = builder.insert_value(value, _load(builder, tile, place, mask), k)
        return value

    return tile(address, types.int64, types.int64, rows, columns), emit


@intrinsic
def store_tile(typing, tile, address, stride, count):
    """Writes the tile to `address`, its rows `stride` apart."""

    def emit(context, builder, signature, args):
        for k, place, mask in _cells(builder, tile, *args[1:]):
            _store(builder, tile, builder.extract_value(args[0], k), place, mask)
        return context.get_dummy_value()

    return types.void(tile, address, types.int64, types.int64), emit


@intrinsic
def add_outer(typing, tile, a, a_row, b, count):
    """tile[m, n, lane] + a[m * a_row] * b[n * lanes + lane]."""

    def emit(context, builder, signature, args):
        value, a, a_row, b, count = args
        masks = [None] * (tile.columns - 1) + [_first(builder, tile, count)]
        right = [
            _load(builder, tile, _offset(builder, b, n * tile.lanes, tile.dtype), mask)
            for n, mask in enumerate(masks)
        ]
        left = [
            _spread(builder, builder.load(place, typ=LLVM[tile.dtype]), tile.vector)
            for place in _rows(builder, tile, a, a_row)
        ]
        return _multiply_add(builder, tile, value, left, right)

    return tile(tile, a, types.int64, b, types.int64), emit


@intrinsic
def add_inner(typing, tile, a, a_row, b, offsets, count):
    """tile[m, n, lane] + a[m * a_row + lane] * b[offsets[n] + lane]; all lanes if count is None."""

    def emit(context, builder, signature, args):
        value, a, a_row, b, offsets, number = args
        mask, right = None if count is types.none else _first(builder, tile, number), []
        left = [_load(builder, tile, place, mask) for place in _rows(builder, tile, a, a_row)]
        for n in range(tile.columns):
            offset = builder.load(_offset(builder, offsets, n, types.int64), typ=INT64)
            right.append(_load(builder, tile, _offset(builder, b, offset, tile.dtype), mask))
        return _multiply_add(builder, tile, value, left, right)

    return tile(tile, a, types.int64, b, offsets, count), emit


def _sum(builder, tile, vector):
    """The sum of the lanes, halves added to halves: a fixed order."""
    lanes = tile.lanes
    while lanes > 1:
        lanes //= 2
        index = ir.VectorType(INT32, lanes)
        low, high = (
            builder.shuffle_vector(
                vector, vector, ir.Constant(index, [*range(start, start + lanes)])
            )
            for start in (0, lanes)
        )
        vector = builder.fadd(low, high)
    return builder.extract_element(vector, INT32(0))


@intrinsic
def store_sums(typing, tile, address, stride, column, more):
    """address[m * stride + n * column] = the sum of tile[m, n]'s lanes, plus itself with `more`."""

    def emit(context, builder, signature, args):
        value, address, stride, column, more = args
        more = builder.icmp_signed("!=", more, INT64(0))
        for k, (m, n) in enumerate(tile.cells):
            place = _offset(builder, address, builder.mul(stride, INT64(m)), tile.dtype)
            place = _offset(builder, place, builder.mul(column, INT64(n)), tile.dtype)
            before = builder.load(place, typ=LLVM[tile.dtype])  # c is ours: reading it does no harm
            before = builder.select(more, before, ir.Constant(LLVM[tile.dtype], 0.0))
            total = _sum(builder, tile, builder.extract_value(value, k))
            builder.store(builder.fadd(total, before), place)
        return context.get_dummy_value()

    return types.void(tile, address, types.int64, types.int64, types.int64), emit


# ---- transposing -----------------------------------------------------------------------------


@intrinsic
def turn_tile(typing, source, source_row, rows, columns, target, target_row):
    """target[j * target_row + i] = source[i * source_row + j] for i < rows and j < columns.

    At most as many of each as a vector has lanes.  Rows and lanes change places bit by bit: a step
    swaps, for all pairs of rows whose numbers differ in one bit, the lanes that do.
    """
    tile = Tile(source.dtype, LANES[source.dtype], 1)
    lanes = tile.lanes

    def place(builder, address, stride, i):
        return _offset(builder, address, builder.mul(stride, INT64(i)), tile.dtype)

    def mask(builder, i, rows, count):
        return _first(
            builder, tile, builder.select(builder.icmp_signed("<", INT64(i), rows), count, INT64(0))
        )

    def emit(context, builder, signature, args):
        source, source_row, rows, columns, target, target_row = args
        lines = [
            _load(
                builder,
                tile,
                place(builder, source, source_row, i),
                mask(builder, i, rows, columns),
            )
            for i in range(lanes)
        ]
        bit = 1
        while bit < lanes:
            low = [k + lanes - bit if k & bit else k for k in range(lanes)]  # of a, else of b
            high = [k + lanes if k & bit else k + bit for k in range(lanes)]
            for i in (i for i in range(lanes) if not i & bit):
                pair = lines[i], lines[i + bit]
                for k, order in (i, low), (i + bit, high):
                    index = ir.Constant(ir.VectorType(INT32, lanes), order)
                    lines[k] = builder.shuffle_vector(*pair, index)
            bit *= 2
        for j, line in enumerate(lines):
            _store(
                builder,
                tile,
                line,
                place(builder, target, target_row, j),
                mask(builder, j, columns, rows),
            )
        return context.get_dummy_value()

    i64 = types.int64
    return types.void(source, i64, i64, i64, target, i64), emit
