// Convolution of small images, fused with the activation and the pooling behind it; and back.
//
//   a block: image n, output channels o .. o+3         a thread: one place (i, j) of all four
//
//     shared memory: planes of x with their padding      for every c, u, v:
//       c=0            c=1
//       0 0 0 0 0 0    0 0 0 0 0 0                           0 0 0 0 0 0
//       0 x x x x 0    0 x x x x 0                           0 x[x x x]0    window (i, j)
//       0 x x x x 0    0 x x x x 0   ...                     0 x[x x x]0    of plane c
//       0 x x x x 0    0 x x x x 0                           0 x[x x x]0
//       0 0 0 0 0 0    0 0 0 0 0 0                           0 0 0 0 0 0
//     and weights (c, kh, kw, 4): what one element         sum[0] += x[..] weight[c][u][v][0]
//     of a window is multiplied with, for o .. o+3         sum[1] += x[..] weight[c][u][v][1] ...
//
// Each x is read once and used for four products; all threads of a warp read the same four weights
// (a broadcast).  Where a block's shared memory has no room for all planes at once, they come some
// at a time; the sums stay in registers.  Then y = f(sum + bias), and from y in shared memory, a
// thread for a pooling window, p.  A block has at most 512 threads, so that each can have 128
// registers; images with more places take several rounds.
//
// The gradients go over the same products once more; gz is that before the activation:
//
//   dx   a thread has a pixel of four input channels, and adds up gz times the weight for each
//        window that covers the pixel: the u, v for which there is a place (i, j)
//   dw   a thread has one (c, u, v) of four output channels, and slides over x with gz as the
//        kernel.  `slices` threads share a weight, each with some rows of gz, and add up at the
//        end.  That is a part of dw, the one from this block's images
//
// gz is made from g while it is staged: it is never written to global memory.

#include "common.cuh"
#include "activation.cuh"
#include "conv.cuh"

// ---- forward ---------------------------------------------------------------------------------

// A pooling window over y (place, 4) in shared memory: its mean or maximum, for four channels.
__device__ inline void pool_cell(const Tail& t, const Quad* y, int width, int cell, Quad& out,
                                 int* which) {
    const Window& p = t.window;
    const Quad* corner = y + cell / p.ow * p.sh * width + cell % p.ow * p.sw;
    Quad sum = {}, best = *corner;
    for (int r = 0; r < 4; ++r) which[r] = 0;
    for (int u = 0; u < p.kh; ++u)
        for (int v = 0; v < p.kw; ++v) {
            const Quad here = corner[u * width + v];  // four channels
            for (int r = 0; r < 4; ++r) {
                const real x = here.of[r];
                sum.of[r] += x;
                if (x > best.of[r] || is_nan(x)) best.of[r] = x, which[r] = u * p.kw + v;
            }
        }
    for (int r = 0; r < 4; ++r)
        out.of[r] = t.pool == MAXIMUM ? best.of[r] : sum.of[r] / (p.kh * p.kw);
}

// Grid (images, fours of output channels), `chunk` planes at a time.  A thread has one place, and
// another for each round that the block needs.  y, p or which is null where it is not wanted.
extern "C" __global__ void __launch_bounds__(512, 1)
conv_forward(const real* x, const real* weight, const real* bias, real* y, real* p,
             unsigned char* which, Convolution s, Tail t, int chunk) {
    const Window& w = s.window;
    const Four o = four_of(blockIdx.y, s.o, s.groups);
    const long long image = blockIdx.x;
    const int channels = s.c / s.groups, kernel = w.kh * w.kw, places = w.oh * w.ow;
    const int plane = s.rows * s.pitch;
    DYNAMIC_SHARED(Quad, weights);                // (chunk, kh, kw)
    Quad* activated = weights + chunk * kernel;   // (places), if they are to be pooled
    real* planes = activated[t.pool == NO_POOL ? 0 : places].of;

    for (int round = 0; round < places; round += blockDim.x) {
        const int at = round + threadIdx.x;
        const real* corner = planes + at / w.ow * w.sh * s.pitch + at % w.ow * w.sw;
        Quad sum = {};
        for (int first = 0; first < channels; first += chunk) {
            const int some = min(chunk, channels - first);
            if (round == 0 || chunk < channels) { // else all is there already
                __syncthreads();                  // the planes before these have been used
                stage_weights(weights, weight, o, channels, first, some, kernel);
                stage_image(x + (image * s.c + o.group * channels + first) * s.h * s.w, planes,
                            some, s);
                __syncthreads();
            }
            if (at < places) add_windows(sum, corner, weights, some, plane, w, s.pitch);
        }
        if (at >= places) continue;
        for (int r = 0; r < o.count; ++r) {
            sum.of[r] = value(t.f, sum.of[r] + (bias ? bias[o.first + r] : 0));
            if (y) y[(image * s.o + o.first + r) * places + at] = sum.of[r];
        }
        if (t.pool != NO_POOL) activated[at] = sum;
    }
    if (t.pool == NO_POOL) return;

    __syncthreads();
    const int cells = t.window.oh * t.window.ow;
    for (int cell = threadIdx.x; cell < cells; cell += blockDim.x) {
        Quad out;
        int winner[4];
        pool_cell(t, activated, w.ow, cell, out, winner);
        for (int r = 0; r < o.count; ++r) {
            const long long k = (image * s.o + o.first + r) * cells + cell;
            p[k] = out.of[r];
            if (which) which[k] = winner[r];
        }
    }
}

// ---- backward --------------------------------------------------------------------------------

// How the work is cut; see conv.py.
struct Cut {
    int dx_blocks, dx_chunk;             // the first blocks do dx, so many planes of gz at a time
    int dw_chunk, chunks, slices, each;  // input channels, rows and images of those that do dw
};

// gz of some output channels: (channels, oh, ow).
__device__ inline void stage_gradient(const Upstream& up, const Tail& t, const Window& w,
                                      long long first, int channels, real* planes) {
    const int places = w.oh * w.ow, lanes = sharing(places);
    for (int k = threadIdx.x; k < lanes * places; k += blockDim.x) {
        const int at = k % places, i = at / w.ow, j = at % w.ow;
        const Cells near = cells_over(t.window, i, j);
        for (int c = k / places; c < channels; c += lanes)
            planes[c * places + at] = gradient_before(t, up, first + c, i, j, near, w);
    }
}

// Adds what the windows over a pixel give it, from some output channels.
__device__ inline void add_windows_over(Quad& sum, int row, int column, const real* gz,
                                        const Quad* weights, int channels, const Window& w) {
    const int places = w.oh * w.ow, kernel = w.kh * w.kw;
    for (int u = 0; u < w.kh; ++u) {
        const int i = window_at(row + w.ph - u * w.dh, w.sh, w.oh);
        for (int v = 0; i >= 0 && v < w.kw; ++v) {
            const int j = window_at(column + w.pw - v * w.dw, w.sw, w.ow);
            if (j < 0) continue;
            const real* at = gz + i * w.ow + j;
            const Quad* weight = weights + u * w.kw + v;
            for (int c = 0; c < channels; ++c) add(sum, at[c * places], weight[c * kernel]);
        }
    }
}

// A block: one image, four input channels; a thread: a pixel of all four.
__device__ inline void input_gradient(int block, const Upstream& up, const real* weight, real* dx,
                                      const Convolution& s, const Tail& t, int chunk) {
    const Window& w = s.window;
    const int fours = fours_of(s.c, s.groups);
    const Four c = four_of(block % fours, s.c, s.groups);
    const long long image = block / fours;
    const int channels = s.c / s.groups, outputs = s.o / s.groups, kernel = w.kh * w.kw;
    const int pixels = s.h * s.w;
    DYNAMIC_SHARED(Quad, weights);  // (chunk, kh, kw): of four input channels
    real* gz = weights[chunk * kernel].of;

    for (int round = 0; round < pixels; round += blockDim.x) {
        const int at = round + threadIdx.x;
        Quad sum = {};
        for (int begin = 0; begin < outputs; begin += chunk) {
            const int some = min(chunk, outputs - begin), first = c.group * outputs + begin;
            if (round == 0 || chunk < outputs) { // else all is there already
                __syncthreads();                 // the planes before these have been used
                for (int k = threadIdx.x; k < some * kernel; k += blockDim.x) {
                    const real* from =
                        weight + ((first + k / kernel) * channels + c.inside) * kernel;
                    Quad four;
                    for (int r = 0; r < 4; ++r)
                        four.of[r] = r < c.count ? from[r * kernel + k % kernel] : 0;
                    weights[k] = four;
                }
                stage_gradient(up, t, w, image * s.o + first, some, gz);
                __syncthreads();
            }
            if (at < pixels) add_windows_over(sum, at / s.w, at % s.w, gz, weights, some, w);
        }
        for (int r = 0; r < c.count; ++r)
            if (at < pixels) dx[(image * s.c + c.first + r) * pixels + at] = sum.of[r];
    }
}

// A block: four output channels, some input channels, some images.  A thread: one weight of all
// four, over every `slices`th row of places; the threads of a weight add up at the end.  The bias
// is one weight more, whose x is always 1.
__device__ inline void weight_gradient(int block, const Upstream& up, const real* x, real* parts,
                                       const Convolution& s, const Tail& t, const Cut& cut) {
    const Window& w = s.window;
    const int fours = fours_of(s.o, s.groups), chunk = block / fours % cut.chunks;
    const int part = block / fours / cut.chunks;
    const Four o = four_of(block % fours, s.o, s.groups);
    const int channels = s.c / s.groups, kernel = w.kh * w.kw, places = w.oh * w.ow;
    const int begin = chunk * cut.dw_chunk, some = min(cut.dw_chunk, channels - begin);
    const int plane = s.rows * s.pitch, taps = some * kernel + 1;
    const int tap = threadIdx.x % taps, slice = threadIdx.x / taps, u = tap % kernel / w.kw;
    const bool is_bias = tap == taps - 1;
    DYNAMIC_SHARED(Quad, gz);  // (places)
    real *planes = gz[places].of, *one = planes + some * plane;
    const real* corner =
        is_bias ? one : planes + tap / kernel * plane + u * w.dh * s.pitch + tap % w.kw * w.dw;
    const int down = is_bias ? 0 : w.sh * s.pitch, right = is_bias ? 0 : w.sw;

    Quad sum = {};
    const int last = min(s.n, (part + 1) * cut.each);
    for (long long image = part * cut.each; image < last; ++image) {
        __syncthreads();  // the image before this has been used
        for (int at = threadIdx.x; at < places; at += blockDim.x) {
            const int i = at / w.ow, j = at % w.ow;
            const Cells near = cells_over(t.window, i, j);
            const long long first = image * s.o + o.first;
            Quad four;
            for (int r = 0; r < 4; ++r)
                four.of[r] = r < o.count ? gradient_before(t, up, first + r, i, j, near, w) : 0;
            gz[at] = four;
        }
        stage_image(x + (image * s.c + o.group * channels + begin) * s.h * s.w, planes, some, s);
        if (threadIdx.x == 0) *one = 1;
        __syncthreads();
        for (int i = slice; slice < cut.slices && i < w.oh; i += cut.slices)
            for (int j = 0; j < w.ow; ++j)
                add(sum, corner[i * down + j * right], gz[i * w.ow + j]);
    }
    Quad* slices = gz;  // (slices, taps), in the memory of what is not needed any more
    __syncthreads();
    if (slice < cut.slices) slices[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x >= taps || (is_bias && begin > 0)) return;
    for (int k = 1; k < cut.slices; ++k) add(sum, 1, slices[k * taps + tap]);
    const int size = channels * kernel, all = s.o * size;  // of a kernel, of the weights
    real* to = parts + (long long)part * (all + s.o);      // weights, then biases
    for (int r = 0; r < o.count; ++r)
        to[is_bias ? all + o.first + r : (o.first + r) * size + begin * kernel + tap] = sum.of[r];
}

// Both gradients in one launch: the GPU has room for the blocks of both.
extern "C" __global__ void __launch_bounds__(512, 1)
conv_backward(const real* g, const real* y, const unsigned char* which, const real* x,
              const real* weight, real* dx, real* parts, Convolution s, Tail t, Cut cut) {
    const Upstream up = {g, y, which};
    const int block = blockIdx.x;
    if (block < cut.dx_blocks) input_gradient(block, up, weight, dx, s, t, cut.dx_chunk);
    else weight_gradient(block - cut.dx_blocks, up, x, parts, s, t, cut);
}

// Adds the parts (parts, n) up, always in the same order: a block has 32 sums and 8 threads for
// each, that take every 8th part and then add up among each other.
//
//     part         0   1   2   3   4   5   6   7   8   9 ...
//     threadIdx.y  0   1   2   3   4   5   6   7   0   1 ...
extern "C" __global__ void conv_add_parts(const real* parts, real* total, int n_parts, int n) {
    __shared__ real sums[8][32];
    const int i = blockIdx.x * 32 + threadIdx.x, y = threadIdx.y;
    real sum = 0;
    for (int part = y; i < n && part < n_parts; part += 8) sum += parts[(long long)part * n + i];
    sums[y][threadIdx.x] = sum;
    __syncthreads();
    if (y > 0 || i >= n) return;
    for (int k = 1; k < 8; ++k) sum += sums[k][threadIdx.x];
    total[i] = sum;
}
