// SGD and Adam on all parameters of a model in one launch, wherever these lie in memory.
//
//     the tensors        p0 (5 numbers)   p1 (3)   p2 (0)   p3 (4)
//     as one array       0 1 2 3 4        5 6 7             8 9 10 11        start: 0, 5, 8, 8, 12
//     thread             0 1 2 3 4        5 6 7             8 9 10 11
//
// A launch costs more than an update of a small tensor, and a model has many of these.  The list of
// addresses and starts travels with the launch, among the kernel's arguments, of which there may be
// 4 KB: more tensors than fit take another launch.

#include "common.cuh"

enum { MOST = 96 }; // tensors of a launch

struct Tensors {
    long long start[MOST + 1];  // of each tensor among all numbers; then, how many there are
    real* array[4][MOST];       // p, and as many of g, v (or m), v as the update has
};

// A cursor: where number i of all is.  Numbers must come in ascending order.
struct Finger {
    int tensor = 0;
    long long at = 0;

    __device__ void to(const Tensors& all, long long i) {
        while (i >= all.start[tensor + 1]) ++tensor;
        at = i - all.start[tensor];
    }
};

// What is told to a captured kernel when it runs, if anything: to use other options, or to do
// nothing because a step before went wrong.
__device__ inline bool halted(const int* halt) { return halt && *halt != 0; }

__device__ inline real decayed(real g, real p, real weight_decay) {
    return weight_decay != 0 ? g + weight_decay * p : g; // 0 times infinity would be NaN
}

// ---- stochastic gradient descent ---------------------------------------------------------------

struct Sgd {
    double first, lr, momentum, dampening, weight_decay, nesterov;
};

// Arrays: p, g, and the velocity if there is one.
extern "C" __global__ void sgd(Tensors all, long long n, bool velocities, Sgd options,
                               const Sgd* later, const int* halt) {
    if (halted(halt)) return;
    Sgd o = later ? *later : options;
    real lr = (real)o.lr, momentum = (real)o.momentum, fresh = (real)(1 - o.dampening);
    Finger finger;
    FOR_EACH(i, n) {
        finger.to(all, i);
        real* p = all.array[0][finger.tensor] + finger.at;
        real g = decayed(all.array[1][finger.tensor][finger.at], *p, (real)o.weight_decay);
        if (velocities) {
            real* v = all.array[2][finger.tensor] + finger.at;
            *v = o.first != 0 ? g : momentum * *v + fresh * g;
            g = o.nesterov != 0 ? g + momentum * *v : *v;
        }
        *p -= lr * g;
    }
}

// ---- Adam --------------------------------------------------------------------------------------

// mean_share and square_share: 1 - beta^step, what the running means hold of their limit so far
struct Adam {
    double step, lr, beta1, beta2, eps, weight_decay, decoupled, mean_share, square_share;
};

// Arrays: p, g, and the running means of g and of its square.
extern "C" __global__ void adam(Tensors all, long long n, Adam options, const Adam* later,
                                const int* halt) {
    if (halted(halt)) return;
    Adam o = later ? *later : options;
    bool decoupled = o.decoupled != 0;
    real keep = decoupled ? (real)(1 - o.lr * o.weight_decay) : 1;
    real weight_decay = decoupled ? 0 : (real)o.weight_decay;
    real new_m = (real)(1 - o.beta1), beta2 = (real)o.beta2, new_v = (real)(1 - o.beta2);
    real root = (real)sqrt(o.square_share), eps = (real)o.eps, rate = (real)(o.lr / o.mean_share);
    Finger finger;
    FOR_EACH(i, n) {
        finger.to(all, i);
        real* p = all.array[0][finger.tensor] + finger.at;
        real* m = all.array[2][finger.tensor] + finger.at;
        real* v = all.array[3][finger.tensor] + finger.at;
        real before = *p * keep;
        real g = decayed(all.array[1][finger.tensor][finger.at], before, weight_decay);
        *m += new_m * (g - *m);
        *v = *v * beta2 + new_v * g * g;
        *p = before - rate * *m / (sqrt(*v) / root + eps);
    }
}

// ---- what must not go on -----------------------------------------------------------------------

// *halt = step, or *later if not null, where a number is NaN or infinite and *halt is still 0.
// Threads that find one write the same, so it does not matter which comes last.
extern "C" __global__ void check_finite(Tensors all, long long n, int* halt, int step,
                                        const long long* later) {
    Finger finger;
    FOR_EACH(i, n) {
        finger.to(all, i);
        real x = all.array[0][finger.tensor][finger.at];
        if (x - x != 0 && *halt == 0) *halt = later ? (int)*later : step;
    }
}
