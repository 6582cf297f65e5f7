// What the kernels of conv.cu share: sizes, four numbers at a time, what is staged, the way back.

struct Convolution {  // x (n, c, h, w), weight (o, c / groups, kh, kw), y (n, o, oh, ow)
    int n, c, h, w, o, groups;
    Window window;
    int rows, pitch;  // of a staged plane of x, zeros around it included: as far as windows reach
};

// What follows a convolution, the "epilogue": an activation, and a pooling if there is one.
struct Tail {
    Activation f;
    int pool;
    Window window;  // the pooling's, without padding; of 1 x 1 where there is none
};

enum { NO_POOL, AVERAGE, MAXIMUM };

// ---- four at a time --------------------------------------------------------------------------

struct alignas(16) Quad {  // one read from shared memory in float (16 bytes), two in double
    real of[4];
};

__device__ inline void add(Quad& sum, real x, const Quad& w) {
    for (int r = 0; r < 4; ++r) sum.of[r] += x * w.of[r];
}

// Channels are cut into fours group by group, so that four have the same input; the last four of a
// group may be fewer.
struct Four {
    int group, inside, first, count;  // inside: of the group's channels, first: of all
};

__device__ inline int fours_of(int channels, int groups) {
    return groups * ((channels / groups + 3) / 4);
}

__device__ inline Four four_of(int k, int channels, int groups) {
    const int each = channels / groups, fours = (each + 3) / 4;
    const int group = k / fours, inside = k % fours * 4;
    return {group, inside, group * each + inside, min(4, each - inside)};
}

// ---- the loop over a window --------------------------------------------------------------------

// Adds what a window gives with four kernels: sum[r] += at[c][u down][v right] weights[c][u][v][r].
// With a KW, which is the kernel's width and goes with a step of 1, the compiler can unroll.
template <int KW>
__device__ inline void add_window(Quad& sum, const real* at, const Quad* weights, int channels,
                                  int plane, int kh, int kw, int down, int right) {
    const int width = KW ? KW : kw, step = KW ? 1 : right;
    for (int c = 0; c < channels; ++c)
        for (int u = 0; u < kh; ++u, weights += width) {
            const real* row = at + c * plane + u * down;
#pragma unroll
            for (int v = 0; v < width; ++v) add(sum, row[v * step], weights[v]);
        }
}

__device__ inline void add_windows(Quad& sum, const real* at, const Quad* weights, int channels,
                                   int plane, const Window& w, int pitch) {
    const int down = w.dh * pitch;
    if (w.kw == 5 && w.dw == 1)
        add_window<5>(sum, at, weights, channels, plane, w.kh, 5, down, 1);
    else if (w.kw == 3 && w.dw == 1)
        add_window<3>(sum, at, weights, channels, plane, w.kh, 3, down, 1);
    else
        add_window<0>(sum, at, weights, channels, plane, w.kh, w.kw, down, w.dw);
}

// ---- staging ---------------------------------------------------------------------------------

__device__ inline void clear(real* shared, int n) {
    for (int k = threadIdx.x; k < n; k += blockDim.x) shared[k] = 0;
}

// How many threads can share a place, if a plane has so many: each takes some of the channels, and
// divides by the width once for all of them.
__device__ inline int sharing(int places) { return max(1, (int)blockDim.x / places); }

// Planes of an image with zeros around them: (channels, rows, pitch).
__device__ inline void stage_image(const real* x, real* planes, int channels,
                                   const Convolution& s) {
    const int places = s.h * s.w, plane = s.rows * s.pitch;
    const int lanes = sharing(places);
    clear(planes, channels * plane);
    __syncthreads();
    for (int k = threadIdx.x; k < lanes * places; k += blockDim.x) {
        const int at = k % places;
        real* to = planes + (at / s.w + s.window.ph) * s.pitch + at % s.w + s.window.pw;
        for (int c = k / places; c < channels; c += lanes) to[c * plane] = x[c * places + at];
    }
}

// (some, kh, kw) of four output channels, from input channel `first` of a group's `channels` on.
__device__ inline void stage_weights(Quad* weights, const real* weight, const Four& o,
                                     int channels, int first, int some, int kernel) {
    for (int k = threadIdx.x; k < some * kernel; k += blockDim.x) {
        Quad four;
        for (int r = 0; r < 4; ++r)
            four.of[r] = r < o.count ? weight[((o.first + r) * channels + first) * kernel + k] : 0;
        weights[k] = four;
    }
}

// ---- the way back through pooling and activation ---------------------------------------------

struct Upstream {
    const real* g;               // what arrives: the gradient of the block's output
    const real* y;               // the activation's result, or of it only the maxima; or null
    const unsigned char* which;  // where in its window each maximum was
};

// The pooling windows that cover a place: (top..bottom, left..right), both included.
struct Cells {
    int top, bottom, left, right;
};

__device__ inline Cells cells_over(const Window& p, int i, int j) {
    return {i < p.kh ? 0 : (i - p.kh) / p.sh + 1, min(i / p.sh, p.oh - 1),
            j < p.kw ? 0 : (j - p.kw) / p.sw + 1, min(j / p.sw, p.ow - 1)};
}

// The gradient before the activation, at (i, j) of a plane: what its windows pass on, times f'.
__device__ inline real gradient_before(const Tail& t, const Upstream& up, long long plane, int i,
                                       int j, const Cells& near, const Window& w) {
    const Window& p = t.window;
    const long long first = plane * p.oh * p.ow;
    const bool maximum = t.pool == MAXIMUM;
    real sum = 0, y = 0;
    if (!maximum && up.y) y = up.y[plane * w.oh * w.ow + i * w.ow + j];
    for (int a = near.top; a <= near.bottom; ++a)
        for (int b = near.left; b <= near.right; ++b) {
            const long long cell = first + a * p.ow + b;
            const real g = up.g[cell];  // read before it is known to count: reading takes long
            if (!maximum) {
                sum += g;
            } else if (up.which[cell] == (i - a * p.sh) * p.kw + j - b * p.sw) {
                sum += g;
                if (up.y) y = up.y[cell];  // the same in every window that it wins
            }
        }
    if (!maximum) sum /= p.kh * p.kw;
    return gradient(t.f, sum, y);
}
