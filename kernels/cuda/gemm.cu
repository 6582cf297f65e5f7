// Matrix products (m, k) (k, n), one or many of one shape: a block for a tile, as in gemm.cuh.
//
//     blockIdx.x    tile 0 | tile 1 | ... of the first product, then those of the second, ...
//     blockIdx.y    which share of k ("split-K"): each makes a C of its own, and add_shares adds
//                   these up, a thread for an element.  With one share, bias and activation come
//                   at once.

#include "common.cuh"
#include "gemm.cuh"

struct ToMatrix {
    real* y;
    int columns;
    const real* bias; // one for each column, or null
    Activation f;

    __device__ void operator()(int i, int j, real sum) const {
        y[(long long)i * columns + j] = value(f, bias ? sum + bias[j] : sum);
    }
};

// a_row and a_k are the strides in a's memory from row to row and from k to k; for b, a row is a
// column of the product.
template <class T>
__device__ inline void product(const real* a, int a_row, int a_k, const real* b, int b_row, int b_k,
                               real* y, int m, int n, int k, int share, const real* bias,
                               const Activation& f) {
    __shared__ typename T::Memory memory;
    const int across = (n + T::COLUMNS - 1) / T::COLUMNS;
    const int tiles = (m + T::ROWS - 1) / T::ROWS * across;
    const int tile = blockIdx.x % tiles, item = blockIdx.x / tiles, items = gridDim.x / tiles;
    a += (long long)item * m * k;
    b += (long long)item * n * k;
    y += ((long long)blockIdx.y * items + item) * m * n;
    const int k_begin = blockIdx.y * share;
    product_tile<T>(memory, tile / across * T::ROWS, m, tile % across * T::COLUMNS, n, k_begin,
                    min(k, k_begin + share), Matrix{a, a_row, a_k}, Matrix{b, b_row, b_k},
                    ToMatrix{y, n, bias, f});
}

extern "C" __global__ void product_small(const real* a, int a_row, int a_k, const real* b,
                                         int b_row, int b_k, real* y, int m, int n, int k,
                                         int share, const real* bias, Activation f) {
    product<SmallTile>(a, a_row, a_k, b, b_row, b_k, y, m, n, k, share, bias, f);
}

extern "C" __global__ void product_large(const real* a, int a_row, int a_k, const real* b,
                                         int b_row, int b_k, real* y, int m, int n, int k,
                                         int share, const real* bias, Activation f) {
    product<LargeTile>(a, a_row, a_k, b, b_row, b_k, y, m, n, k, share, bias, f);
}

// y = f(the sum over the shares + bias), each share `size` long: in their order, whatever the grid.
extern "C" __global__ void add_shares(const real* shares, int count, real* y, long long size,
                                      int columns, const real* bias, Activation f) {
    FOR_EACH(i, size) {
        real sum = shares[i];
#pragma unroll 8
        for (int s = 1; s < count; ++s) sum += shares[s * size + i];
        y[i] = value(f, bias ? sum + bias[i % columns] : sum);
    }
}
