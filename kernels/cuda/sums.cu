// The sums of each channel of x (images, channels, length): of a, and of a*b where there is a b.
//
//     channel c of 3 images   | length numbers | length numbers | length numbers |
//     dealt out to the threads of block (c, 0), then (c, 1), and again (c, 0) ...
//
//     channel_sums    block (c, part)   its part of channel c   ->  sums[0][c][part], [1][c][part]
//     add_parts       block i           all parts of one sum    ->  totals[i]

#include "common.cuh"
#include "sums.cuh"

extern "C" __global__ void channel_sums(const real* a, const real* b, real* sums, int images,
                                        int channels, int length) {
    real of_a = 0, of_ab = 0;
    for_my_share(images, channels, length, [&](long long i) {
        of_a += a[i];
        if (b) of_ab += a[i] * b[i];
    });
    of_a = block_sum(of_a);
    if (b) of_ab = block_sum(of_ab);
    if (threadIdx.x) return;
    long long here = (long long)blockIdx.x * gridDim.y + blockIdx.y;
    sums[here] = of_a;
    if (b) sums[(long long)channels * gridDim.y + here] = of_ab;
}

extern "C" __global__ void add_parts(const real* sums, real* totals, int parts) {
    real sum = sum_of(sums + (long long)blockIdx.x * parts, parts);
    if (threadIdx.x == 0) totals[blockIdx.x] = sum;
}
