// Activations and their derivatives: one thread for an element, whatever the shape.
//
//     x   | x0 | x1 | x2 | x3 | x4 | ...        thread i reads x[i] and writes y[i]
//     y   | y0 | y1 | y2 | y3 | y4 | ...
//
// Most derivatives are computed from y, as in the reference: nothing else has to be kept.

#include "common.cuh"
#include "activation.cuh"

extern "C" __global__ void activate(const real* x, real* y, Activation f, long long n) {
    FOR_EACH(i, n) y[i] = value(f, x[i]);
}

// y holds x for a kind whose derivative is computed from x.
extern "C" __global__ void activate_backward(const real* g, const real* y, real* dx, Activation f,
                                             long long n) {
    FOR_EACH(i, n) dx[i] = gradient(f, g[i], y[i]);
}
