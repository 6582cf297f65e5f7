// What a captured training step needs around the network: its numbers, its batch, its result.
//
//     write_words   one block       numbers passed as arguments  ->  words[0 .. n)
//     take_batch    block = image   x[b] = images[order[step * batch + b]], y[b] = its label
//                                   threads 0, 1, 2 ... copy pixels 0, 1, 2 ...
//     record        one block       records[step] = (loss, right answers); thread t counts those
//                                   of the images t, t + 256 ...
//
// Which step of the epoch it is stands in device memory, where write_words put it: all else that a
// graph's launches are given is the same in every replay.

#include "common.cuh"
#include "sums.cuh"

struct Words {
    long long word[480]; // a launch takes 4096 bytes of arguments
};

extern "C" __global__ void write_words(const Words values, long long* words, int n) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) words[i] = values.word[i];
}

// order: the numbers of the images of an epoch, in the order of the steps.
extern "C" __global__ void take_batch(const real* images, const long long* labels,
                                      const long long* order, const long long* step, real* x,
                                      long long* y, int pixels) {
    long long image = order[*step * gridDim.x + blockIdx.x];
    const real* from = images + image * pixels;
    real* to = x + (long long)blockIdx.x * pixels;
    for (int i = threadIdx.x; i < pixels; i += blockDim.x) to[i] = from[i];
    if (threadIdx.x == 0) y[blockIdx.x] = labels[image];
}

// The first of the largest; a NaN counts as larger than any number, as in NumPy's argmax.
__device__ inline int largest(const real* x, int n) {
    int best = 0;
    real most = x[0];
    for (int k = 1; k < n; ++k) {
        const real here = x[k];
        if (here > most || (is_nan(here) && !is_nan(most))) best = k, most = here;
    }
    return best;
}

// records[step] = (loss, number of right answers), the latter -1 once the training has halted.
// Counts are kept in reals, which hold whole numbers up to 2^24 at least.
extern "C" __global__ void record(const real* logits, const long long* labels, const real* loss,
                                  const int* halt, const long long* step, double* records,
                                  int batch, int classes) {
    real right = 0;
    for (int i = threadIdx.x; i < batch; i += blockDim.x) {
        right += largest(logits + (long long)i * classes, classes) == labels[i];
    }
    right = block_sum(right);
    if (threadIdx.x > 0) return;
    records[2 * *step] = *loss;
    records[2 * *step + 1] = *halt ? -1 : right;
}
