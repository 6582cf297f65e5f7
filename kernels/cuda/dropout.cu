// Dropout with random numbers that are a pure function of seed and position: Philox4x32-10.
//
//     thread          i                 i + 1
//     counter         offset + i        offset + i + 1         128 bits; the key is the seed
//     words           w0 w1 w2 w3       w0 w1 w2 w3            ten rounds of Philox each
//     elements        4i ... 4i + 3     4i + 4 ... 4i + 7      kept where their word >= p 2^32
//
// No state, no order: the same mask on any device, with any number of threads, and a second time in
// backward, which draws the words again instead of keeping a mask.

#include "common.cuh"

struct Words {
    unsigned w[4];
};

// Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
__device__ inline Words philox(unsigned long long counter, unsigned long long seed) {
    unsigned c0 = (unsigned)counter, c1 = (unsigned)(counter >> 32), c2 = 0, c3 = 0;
    unsigned k0 = (unsigned)seed, k1 = (unsigned)(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        unsigned long long p0 = 0xD2511F53ull * c0, p1 = 0xCD9E8D57ull * c2;
        c0 = (unsigned)(p1 >> 32) ^ c1 ^ k0;
        c2 = (unsigned)(p0 >> 32) ^ c3 ^ k1;
        c1 = (unsigned)p1;
        c3 = (unsigned)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}

// Forward on x, backward on g.  `later`, if not null, holds seed and offset as they are when the
// kernel runs: those of the arguments are as they were when it was captured in a graph.
extern "C" __global__ void dropout(const real* x, real* y, unsigned long long seed,
                                   unsigned long long offset, const long long* later,
                                   unsigned long long threshold, real factor, long long n) {
    if (later) {
        seed = (unsigned long long)later[0];
        offset = (unsigned long long)later[1];
    }
    FOR_EACH(i, (n + 3) / 4) {
        Words words = philox(offset + (unsigned long long)i, seed);
        for (int k = 0; k < 4 && 4 * i + k < n; ++k) // a product: a dropped NaN stays one
            y[4 * i + k] = x[4 * i + k] * (words.w[k] >= threshold ? factor : 0);
    }
}
