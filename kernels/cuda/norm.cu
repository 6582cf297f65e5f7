// Batch normalisation of x (images, channels, length), with the mean and variance of each channel.
//
//     sums.cu     block (c, part)     sum of x over a part of channel c  ->  sums[c][part]
//     deviations  block (c, part)     mean from sums[c][:];  sum of (x - mean)^2  ->  squares
//     normalise   block (c, part)     mean, variance from both;  y over its part of the channel
//
//     sums.cu             block (c, part)     sums of g and of g x_hat over its part  ->  sums
//     normalise_backward  block (c, part)     dw, db are their totals;  dx over its part
//
// Each block adds up the few numbers that the blocks before have left, all in the same order: that
// costs less than a launch that does it once.  The variance is taken about the mean, in a pass of
// its own: the mean of squares less the square of the mean would lose all digits to a large mean.

#include "common.cuh"
#include "sums.cuh"

// Over all parts of this block's channel.
__device__ inline real channel_total(const real* sums) {
    return sum_of(sums + (long long)blockIdx.x * gridDim.y, gridDim.y);
}

__device__ inline bool speaks_for_channel() { return blockIdx.y == 0 && threadIdx.x == 0; }

extern "C" __global__ void deviations(const real* x, const real* sums, real* squares, int images,
                                      int channels, int length) {
    real mean = channel_total(sums) / (real)((long long)images * length), sum = 0;
    for_my_share(images, channels, length, [&](long long i) {
        sum += (x[i] - mean) * (x[i] - mean);
    });
    sum = block_sum(sum);
    if (threadIdx.x == 0) squares[(long long)blockIdx.x * gridDim.y + blockIdx.y] = sum;
}

// With sums and squares it writes mean and var, without (null) it takes them as given.
extern "C" __global__ void normalise(const real* x, const real* weight, const real* bias,
                                     const real* sums, const real* squares, real* mean, real* var,
                                     real eps, real* x_hat, real* inv_std, real* y, int images,
                                     int channels, int length) {
    int c = blockIdx.x;
    real m, v, count = (real)((long long)images * length);
    if (sums) {
        m = channel_total(sums) / count;
        v = channel_total(squares) / count;
    } else {
        m = mean[c];
        v = var[c];
    }
    real scale = 1 / sqrt(v + eps), w = weight ? weight[c] : 1, b = bias ? bias[c] : 0;
    for_my_share(images, channels, length, [&](long long i) {
        real hat = (x[i] - m) * scale;
        x_hat[i] = hat;
        y[i] = w * hat + b;
    });
    if (!speaks_for_channel()) return;
    inv_std[c] = scale;
    if (sums) {
        mean[c] = m;
        var[c] = v;
    }
}

// sums: of g and of g x_hat, (2, channels, parts); null where nobody asks for them; so may dx be.
extern "C" __global__ void normalise_backward(const real* g, const real* x_hat, const real* inv_std,
                                              const real* weight, const real* sums, bool own,
                                              real* dx, real* dw, real* db, int images,
                                              int channels, int length) {
    int c = blockIdx.x;
    real w = weight ? weight[c] : 1, count = (real)((long long)images * length);
    real of_g = 0, of_g_x_hat = 0;
    if (sums) {
        of_g = channel_total(sums);
        of_g_x_hat = channel_total(sums + (long long)channels * gridDim.y);
        if (speaks_for_channel()) {
            dw[c] = of_g_x_hat;
            db[c] = of_g;
        }
    }
    if (!dx) return;
    // What flows through the batch's own mean and variance; given ones are constants.
    real through_mean = w * of_g / count, through_var = w * of_g_x_hat / count, scale = inv_std[c];
    for_my_share(images, channels, length, [&](long long i) {
        real through = own ? through_mean + x_hat[i] * through_var : 0;
        dx[i] = (w * g[i] - through) * scale;
    });
}
