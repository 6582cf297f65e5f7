// Softmax and cross-entropy in one; for a row of logits `lanes` threads, a few neighbouring ones.
//
//     z (rows, classes = 10), lanes = 2            a warp of 32 threads does 16 rows at a time
//
//       thread 0, 1   row 0   | 0 1 0 1 0 1 0 1 0 1 |     class c is read by lane c % lanes
//       thread 2, 3   row 1   | 0 1 0 1 0 1 0 1 0 1 |
//       ...                                               The lanes' maxima, sums and losses are
//       thread 30, 31 row 15  | 0 1 0 1 0 1 0 1 0 1 |     then combined by shuffles.
//
// Few classes take few lanes, so that none is idle; from 129 classes on, a row takes a whole warp.
// Rows are dealt out to the warps of the grid in turn.  Behind the last row a warp's spare lanes do
// the last row once more and keep nothing of it, because all lanes have to take part in a shuffle.

#include "common.cuh"
#include "sums.cuh"

struct Max {
    __device__ real operator()(real a, real b) const { return a > b ? a : b; }
};

struct Min {
    __device__ long long operator()(long long a, long long b) const { return a < b ? a : b; }
};

__device__ inline real not_a_number() { return infinity() - infinity(); }

struct Rows {
    long long rows;
    int classes, lanes;
};

// Which rows this thread's group of lanes does: row(0), row(1) ... while more(k).
struct Group {
    long long rows, first, step;
    int lane;

    __device__ Group(const Rows& shape) {
        long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
        rows = shape.rows;
        first = thread / shape.lanes;
        step = (long long)gridDim.x * blockDim.x / shape.lanes;
        lane = (int)(thread % shape.lanes);
    }
    __device__ bool more(long long k) const { return k * step < rows; } // for all threads alike
    __device__ bool mine(long long k) const { return first + k * step < rows; }
    __device__ long long row(long long k) const { return mine(k) ? first + k * step : rows - 1; }
};

// log softmax of a row, shifted by the maximum, so that exp never overflows.
struct LogSoftmax {
    const real* z;
    real largest, log_sum;

    __device__ LogSoftmax(const real* row, const Rows& shape, int lane) : z(row) {
        real most = -infinity(), sum = 0;
        for (int c = lane; c < shape.classes; c += shape.lanes) most = Max()(z[c], most);
        largest = warp_reduce(most, Max(), shape.lanes);
        for (int c = lane; c < shape.classes; c += shape.lanes) sum += exp(z[c] - largest);
        log_sum = log(warp_reduce(sum, Add(), shape.lanes));
    }
    __device__ real operator()(int c) const { return z[c] - largest - log_sum; }
};

// ---- target distributions ----------------------------------------------------------------------

extern "C" __global__ void softmax_cross_entropy(const real* z, const real* q, real* log_p,
                                                 real* losses, Rows shape) {
    Group group(shape);
    for (long long k = 0; group.more(k); ++k) {
        long long row = group.row(k), start = row * shape.classes;
        LogSoftmax log_softmax(z + start, shape, group.lane);
        real loss = 0;
        for (int c = group.lane; c < shape.classes; c += shape.lanes) {
            real log_p_c = log_softmax(c), q_c = q[start + c];
            if (q_c != 0) loss -= q_c * log_p_c; // never 0 times -inf
            if (group.mine(k)) log_p[start + c] = log_p_c;
        }
        loss = warp_reduce(loss, Add(), shape.lanes);
        if (group.mine(k) && group.lane == 0) losses[row] = loss;
    }
}

// dz and dq may be null.
extern "C" __global__ void softmax_cross_entropy_backward(const real* g, const real* log_p,
                                                          const real* q, real* dz, real* dq,
                                                          Rows shape) {
    Group group(shape);
    for (long long k = 0; group.more(k); ++k) {
        long long row = group.row(k), start = row * shape.classes;
        real sum = 0;
        for (int c = group.lane; c < shape.classes; c += shape.lanes) sum += q[start + c];
        sum = warp_reduce(sum, Add(), shape.lanes);
        if (!group.mine(k)) continue;
        for (long long i = start + group.lane; i < start + shape.classes; i += shape.lanes) {
            if (dz) dz[i] = g[row] * (exp(log_p[i]) * sum - q[i]);
            if (dq) dq[i] = -g[row] * log_p[i];
        }
    }
}

// ---- class indices -----------------------------------------------------------------------------

enum { EACH, SUM, MEAN }; // what is made of the rows' losses

struct Labels {
    Rows shape;
    long long ignored;
    double smoothing;
    int reduction;
};

__device__ inline bool is_class(const Labels& how, long long label) {
    return label >= 0 && label < how.shape.classes;
}

// The target distribution: 1 - smoothing at the label, and the rest shared by all, times weights.
__device__ inline real target(const Labels& how, const real* weight, int c, long long label) {
    real q = how.smoothing != 0 ? (real)(how.smoothing / how.shape.classes) : 0;
    if (c == label) q += (real)(1 - how.smoothing);
    return weight ? q * weight[c] : q;
}

// What the rows, or some of them, add up to.
struct Totals {
    real loss, divisor; // the losses, and the weights of the rows' labels
    long long wrong;    // the first row whose label is neither a class nor ignored; or `rows`
};

// By one block: the loss, and what backward and the host have to know.
// kept: what "mean" divides by, and the weights of all classes
__device__ inline void finish(const Labels& how, const Totals& of_all, const real* weight, real* y,
                              real* kept, long long* wrong) {
    real all = weight ? sum_of(weight, how.shape.classes) : (real)how.shape.classes;
    if (threadIdx.x != 0) return;
    if (how.reduction != EACH) y[0] = of_all.loss;
    if (how.reduction == MEAN) y[0] = of_all.loss / of_all.divisor; // NaN for no rows: 0 / 0
    kept[0] = of_all.divisor;
    kept[1] = all;
    wrong[0] = of_all.wrong;
}

// The totals of all threads of a block.
__device__ inline Totals block_totals(const Labels& how, const Totals& own) {
    return {block_sum(own.loss), block_sum(own.divisor),
            block_reduce(own.wrong, how.shape.rows, Min())};
}

// sums (2, blocks) and first_wrong (blocks) take each block's totals; if there is but one block, it
// finishes the loss, and both may be null.  y holds each row's loss, or a single number.
extern "C" __global__ void __launch_bounds__(512, 1)
cross_entropy(const real* z, const long long* labels, const real* weight, real* log_p, real* y,
              real* kept, long long* wrong, real* sums, long long* first_wrong, Labels how) {
    Group group(how.shape);
    int classes = how.shape.classes, lanes = how.shape.lanes;
    Totals own = {0, 0, how.shape.rows};
    for (long long k = 0; group.more(k); ++k) {
        long long row = group.row(k), start = row * classes, label = labels[row];
        LogSoftmax log_softmax(z + start, how.shape, group.lane);
        bool counts = label != how.ignored, known = is_class(how, label);
        real loss = 0;
        for (int c = group.lane; c < classes; c += lanes) {
            real log_p_c = log_softmax(c), q = counts ? target(how, weight, c, label) : 0;
            if (q != 0) loss -= q * log_p_c; // never 0 times -inf
            if (group.mine(k)) log_p[start + c] = log_p_c;
        }
        loss = warp_reduce(loss, Add(), lanes);
        if (!group.mine(k) || group.lane != 0) continue;
        if (counts && !known) {
            loss = not_a_number();
            if (own.wrong == how.shape.rows) own.wrong = row;
        }
        if (how.reduction == EACH) y[row] = loss;
        own.loss += loss;
        if (counts && known) own.divisor += weight ? weight[label] : 1;
    }
    Totals of_block = block_totals(how, own);
    if (gridDim.x == 1) {
        finish(how, of_block, weight, y, kept, wrong);
    } else if (threadIdx.x == 0) {
        sums[blockIdx.x] = of_block.loss;
        sums[gridDim.x + blockIdx.x] = of_block.divisor;
        first_wrong[blockIdx.x] = of_block.wrong;
    }
}

// One block adds up what the blocks of cross_entropy have left.
extern "C" __global__ void cross_entropy_finish(const real* sums, const long long* first_wrong,
                                                int blocks, const real* weight, real* y,
                                                real* kept, long long* wrong, Labels how) {
    Totals own = {0, 0, how.shape.rows};
    for (int b = threadIdx.x; b < blocks; b += blockDim.x) {
        own.loss += sums[b];
        own.divisor += sums[blocks + b];
        own.wrong = Min()(own.wrong, first_wrong[b]);
    }
    finish(how, block_totals(how, own), weight, y, kept, wrong);
}

// One thread for a logit.  g holds each row's gradient, or a single number.
extern "C" __global__ void cross_entropy_backward(const real* g, const real* log_p,
                                                  const long long* labels, const real* weight,
                                                  const real* kept, real* dz, Labels how,
                                                  long long n) {
    real share = 0; // of each row, where g is a single number; the mean over no rows has none
    if (how.reduction == SUM) share = g[0];
    if (how.reduction == MEAN && kept[0] != 0) share = g[0] / kept[0];
    FOR_EACH(i, n) {
        long long row = i / how.shape.classes, label = labels[row];
        int c = (int)(i % how.shape.classes);
        real g_row = how.reduction == EACH ? g[row] : share;
        if (label == how.ignored) {
            dz[i] = 0 * exp(log_p[i]); // a NaN stays one
        } else if (!is_class(how, label)) {
            dz[i] = not_a_number();
        } else { // softmax(z) sum(q) - q
            real sum = (real)(1 - how.smoothing) * (weight ? weight[label] : 1);
            if (how.smoothing != 0) sum += (real)(how.smoothing / how.shape.classes) * kept[1];
            dz[i] = g_row * (exp(log_p[i]) * sum - target(how, weight, c, label));
        }
    }
}
