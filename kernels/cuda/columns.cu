// Between images and what matrix products read and make: (a, b, p) -> (b, a, p).
//
//     product  (O, n, p)                          image  (n, O, p)          p = oh*ow places
//     channel 0 | image 0 | image 1 | ...         image 0 | channel 0 | channel 1 | ...
//     channel 1 | image 0 | image 1 | ...         image 1 | channel 0 | channel 1 | ...
//
// A thread has one (b, place) and goes through all a; its neighbours read and write its neighbours.

#include "common.cuh"
#include "activation.cuh"

// y[j][i] = f(x[i][j] + bias[i]), bias may be null.
extern "C" __global__ void swap_outer(const real* x, real* y, int a, int b, int p,
                                      const real* bias, Activation f) {
    const long long row = (long long)b * p;
    FOR_EACH(q, row) {
        const int j = q / p, place = q % p;
        for (int i = blockIdx.y; i < a; i += gridDim.y) {
            const real z = x[i * row + q];
            y[((long long)j * a + i) * p + place] = value(f, bias ? z + bias[i] : z);
        }
    }
}
