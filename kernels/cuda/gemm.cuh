// The product of two matrices, tile by tile: C[i][j] = sum over k of A[i][k] B[j][k].
//
// Both operands are read by (row, k): a B that lies in memory as (k, j) is one with other strides.
// A block makes one tile of C.  It walks along k, DEPTH at a time, and brings each such stage of A
// and of B into shared memory, where all its threads read it many times:
//
//               k -->                               j0    COLUMNS
//          +--------+--------+---               +---------+
//     i0   | stage  | stage  |                  | . . . . |     a thread adds HEIGHT x WIDTH
//     ROWS |   0    |   1    |  A         i0    | . . . . |     of them in registers:
//          +--------+--------+---          ROWS | . . . . |
//     j0   | stage  | stage  |                  +---------+       a.v[0] | x  x
//  COLUMNS |   0    |   1    |  B                 C's tile        a.v[1] | x  x
//          +--------+--------+---                                         --------
//            DEPTH                                                  b.v[0] b.v[1]
//
// A small tile has fewer such pieces than a block has threads.  Then SLICES threads share a piece,
// each taking every SLICES-th k of a stage, and their sums are added at the end, in order.
//
// The next stage is read into registers while the present one is multiplied, which hides the time
// that memory takes to answer.

#include "activation.cuh"

template <int N>
struct alignas(N * sizeof(real)) Vector {
    real v[N];
};

template <int ROWS_, int COLUMNS_, int DEPTH_, int HEIGHT_, int WIDTH_, int SLICES_>
struct Tile {
    static constexpr int ROWS = ROWS_, COLUMNS = COLUMNS_, DEPTH = DEPTH_;
    static constexpr int HEIGHT = HEIGHT_, WIDTH = WIDTH_, SLICES = SLICES_;
    static constexpr int ACROSS = COLUMNS / WIDTH;          // pieces in a row of the tile
    static constexpr int PIECES = ROWS / HEIGHT * ACROSS;
    static constexpr int THREADS = PIECES * SLICES;

    // How many vectors of N numbers are 16 bytes; one where a vector is larger.
    template <int N>
    static constexpr int PADDING = sizeof(Vector<N>) < 16 ? 16 / sizeof(Vector<N>) : 1;

    // What a block shares.  Each k takes 16 bytes more than are used, so that eight k begin at
    // different fours of the 32 banks: a warp that writes along k (see place_of) has no bank
    // conflicts.  Some stay, 2-way: along k with vectors of 4 doubles, which get 32 bytes more, and
    // along rows with 16 rows of floats, of which a warp writes two k at once.
    struct Stage {
        Vector<HEIGHT> a[DEPTH][ROWS / HEIGHT + PADDING<HEIGHT>];
        Vector<WIDTH> b[DEPTH][COLUMNS / WIDTH + PADDING<WIDTH>];
    };
    union Memory {
        Stage stage;
        real sums[SLICES][ROWS][COLUMNS]; // when all stages are done
    };
};

// Many blocks for small matrices, few steps for each; and much to do with each number read.
typedef Tile<16, 16, 128, 2, 2, 4> SmallTile;
typedef Tile<64, 64, 16, 4, 4, 1> LargeTile;

// An operand in memory; others that a tile can be made of have these functions too.  What is read,
// a Raw, becomes a number of the operand only when it goes to shared memory: so all reads of a
// stage are on their way before the first one is waited for.
struct Matrix {
    typedef real Raw;
    const real* start;
    int row_step, k_step;

    __device__ Raw operator()(int row, int k) const {
        return start[(long long)row * row_step + (long long)k * k_step];
    }
    __device__ real ready(Raw read) const { return read; }
    // Whether neighbours in memory have neighbouring rows, or else neighbouring k.
    __device__ bool along_rows() const { return row_step == 1; }
};

// The e-th element of a stage as it is read, so that the threads of a warp read neighbours: along
// rows, or eight k of four rows.  Eight floats are a whole sector of memory, 32 bytes.
struct Place {
    int row, k;
};
template <int ROWS>
__device__ inline Place place_of(int e, bool along_rows) {
    if (along_rows) return {e % ROWS, e / ROWS};
    return {e / 8 % ROWS, e / (8 * ROWS) * 8 + e % 8};
}

// Reads this thread's elements of the stage that begins at (row0, k0); elements out of range read
// as 0 and reach no stored result.
template <class T, int ROWS, int EACH, class Operand>
__device__ inline void fetch(typename Operand::Raw (&mine)[EACH], const Operand& from, int row0,
                             int rows, int k0, int k_end) {
#pragma unroll
    for (int s = 0; s < EACH; ++s) {
        Place at = place_of<ROWS>(threadIdx.x + s * T::THREADS, from.along_rows());
        int row = row0 + at.row, k = k0 + at.k;
        mine[s] = row < rows && k < k_end ? from(row, k) : typename Operand::Raw{};
    }
}

// Writes them to shared memory: element (row, k) to stage[k][row], `N` rows in a vector.
template <class T, int ROWS, int EACH, int N, int PITCH, class Operand>
__device__ inline void put(const typename Operand::Raw (&mine)[EACH], const Operand& from,
                           Vector<N> (*stage)[PITCH]) {
#pragma unroll
    for (int s = 0; s < EACH; ++s) {
        Place at = place_of<ROWS>(threadIdx.x + s * T::THREADS, from.along_rows());
        stage[at.k][at.row / N].v[at.row % N] = from.ready(mine[s]);
    }
}

// Makes the tile of C at (i0, j0) from k_begin to k_end; each element goes to store(i, j, sum).
// All threads of the block must call it.
template <class T, class A, class B, class Store>
__device__ void product_tile(typename T::Memory& memory, int i0, int rows, int j0, int columns,
                             int k_begin, int k_end, const A& a, const B& b, const Store& store) {
    constexpr int A_EACH = T::ROWS * T::DEPTH / T::THREADS;
    constexpr int B_EACH = T::COLUMNS * T::DEPTH / T::THREADS;
    typename A::Raw next_a[A_EACH];
    typename B::Raw next_b[B_EACH];
    real sum[T::HEIGHT][T::WIDTH] = {};
    const int slice = threadIdx.x / T::PIECES, piece = threadIdx.x % T::PIECES;
    const int down = piece / T::ACROSS, across = piece % T::ACROSS;

    fetch<T, T::ROWS>(next_a, a, i0, rows, k_begin, k_end);
    fetch<T, T::COLUMNS>(next_b, b, j0, columns, k_begin, k_end);
    for (int k0 = k_begin; k0 < k_end; k0 += T::DEPTH) {
        __syncthreads(); // the stage before is no longer read
        put<T, T::ROWS>(next_a, a, memory.stage.a);
        put<T, T::COLUMNS>(next_b, b, memory.stage.b);
        __syncthreads();
        fetch<T, T::ROWS>(next_a, a, i0, rows, k0 + T::DEPTH, k_end);
        fetch<T, T::COLUMNS>(next_b, b, j0, columns, k0 + T::DEPTH, k_end);
        const int depth = min(T::DEPTH, k_end - k0);
#pragma unroll 8
        for (int k = slice; k < depth; k += T::SLICES) {
            Vector<T::HEIGHT> x = memory.stage.a[k][down];
            Vector<T::WIDTH> y = memory.stage.b[k][across];
#pragma unroll
            for (int h = 0; h < T::HEIGHT; ++h)
#pragma unroll
                for (int w = 0; w < T::WIDTH; ++w) sum[h][w] += x.v[h] * y.v[w];
        }
    }

    __syncthreads();
#pragma unroll
    for (int h = 0; h < T::HEIGHT; ++h)
#pragma unroll
        for (int w = 0; w < T::WIDTH; ++w)
            memory.sums[slice][down * T::HEIGHT + h][across * T::WIDTH + w] = sum[h][w];
    __syncthreads();
    // Now neighbouring threads have neighbouring elements, as C has them.
    for (int e = threadIdx.x; e < T::ROWS * T::COLUMNS; e += T::THREADS) {
        const int i = e / T::COLUMNS, j = e % T::COLUMNS;
        real total = memory.sums[0][i][j];
#pragma unroll
        for (int s = 1; s < T::SLICES; ++s) total += memory.sums[s][i][j];
        if (i0 + i < rows && j0 + j < columns) store(i0 + i, j0 + j, total);
    }
}
