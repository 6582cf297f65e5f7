// The linear layer's gradients in one launch: the blocks' roles.
//
//     y = x W^T + b,   x (m, in), W (out, in);   gz = g f'(y), recomputed wherever g is read
//
//     blocks  0 ... | tiles of dx        dx = gz W               (m, in),       sums over out
//     then          | tiles of dW, db    [dW db] = gz^T [x 1]    (out, in + 1), sums over the batch
//
// db is the product of gz^T with a column of ones, behind the columns of x: one column more.

#include "common.cuh"
#include "gemm.cuh"

// Half as deep as a small tile: a multiprocessor then has registers for two blocks.
typedef Tile<16, 16, 64, 2, 2, 4> ShallowTile;

struct ActivationGradient {
    struct Raw {
        real g, y;
    };
    Matrix g, y;
    const Activation& f;

    __device__ Raw operator()(int row, int k) const { return {g(row, k), y(row, k)}; }
    __device__ real ready(const Raw& read) const { return gradient(f, read.g, read.y); }
    __device__ bool along_rows() const { return g.along_rows(); }
};

// x by columns, the first `count` of them, and then ones.
struct WithOnes {
    typedef real Raw;
    Matrix x;
    int count;

    __device__ Raw operator()(int row, int k) const { return row < count ? x(row, k) : real(1); }
    __device__ real ready(Raw read) const { return read; }
    __device__ bool along_rows() const { return x.along_rows(); }
};

struct ToWeightAndBias {
    real *dw, *db;
    int count;

    __device__ void operator()(int i, int j, real sum) const {
        if (j < count) dw[(long long)i * count + j] = sum;
        else db[i] = sum;
    }
};

struct ToInput {
    real* dx;
    int columns;

    __device__ void operator()(int i, int j, real sum) const {
        dx[(long long)i * columns + j] = sum;
    }
};

// Null for a gradient that is not wanted, and for the y of no activation.
extern "C" __global__ void linear_backward(const real* g, const real* y, Activation f,
                                           const real* x, const real* weight, real* dx, real* dw,
                                           real* db, int m, int in, int out) {
    typedef ShallowTile T;
    __shared__ T::Memory memory;
    if (!y) y = g;
    const int across_dx = (in + T::COLUMNS - 1) / T::COLUMNS;
    const int dx_tiles = dx ? (m + T::ROWS - 1) / T::ROWS * across_dx : 0;
    int tile = blockIdx.x;
    if (tile < dx_tiles) {
        ActivationGradient gz = {{g, out, 1}, {y, out, 1}, f};
        product_tile<T>(memory, tile / across_dx * T::ROWS, m, tile % across_dx * T::COLUMNS, in, 0,
                        out, gz, Matrix{weight, 1, in}, ToInput{dx, in});
        return;
    }
    tile -= dx_tiles;
    const int count = dw ? in : 0, columns = count + (db ? 1 : 0);
    const int across = (columns + T::COLUMNS - 1) / T::COLUMNS;
    ActivationGradient gz = {{g, 1, out}, {y, 1, out}, f};
    product_tile<T>(memory, tile / across * T::ROWS, out, tile % across * T::COLUMNS, columns, 0, m,
                    gz, WithOnes{{x, 1, in}, count}, ToWeightAndBias{dw, db, count});
}
