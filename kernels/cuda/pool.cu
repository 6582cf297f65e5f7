// Pooling: average, maximum, LeNet's trainable subsampling; one thread for a number of the result.
//
//     forward     thread = one window, y[i, j]      looks at the window's elements inside the image
//     backward    thread = one pixel, dx[h, w]      looks at the windows that cover it
//
//       windows 3 wide, stride 2          0 0 0
//       over a row of x                       1 1 1
//                                                 2 2 2
//       x                                 a b c d e f g     pixel c: of windows 0 and 1
//
// Backward could also have each window add to its elements' dx, but where windows overlap, the
// order of these additions would differ from run to run.  Here each dx is one thread's sum, always
// in the same order.

#include "common.cuh"

// Calls f(place in the plane, place in the window) for window (i, j)'s elements inside the image.
template <typename F>
__device__ inline void for_each_inside(const Window& s, int i, int j, int height, int width, F f) {
    for (int u = 0; u < s.kh; ++u) {
        int h = i * s.sh - s.ph + u * s.dh;
        if (h < 0 || h >= height) continue;
        for (int v = 0; v < s.kw; ++v) {
            int w = j * s.sw - s.pw + v * s.dw;
            if (w >= 0 && w < width) f(h * width + w, u * s.kw + v);
        }
    }
}

// The first window whose last element, d*(k - 1) behind its first, reaches position `at`.
__device__ inline int first_window(int at, int k, int s, int p, int d) {
    int reached = at + p - d * (k - 1);
    return reached > 0 ? (reached + s - 1) / s : 0;
}

// Calls f(i, j, place in the window) for each window that covers pixel (h, w).
template <typename F>
__device__ inline void for_each_window(const Window& s, int h, int w, F f) {
    int last_i = min((h + s.ph) / s.sh, s.oh - 1), last_j = min((w + s.pw) / s.sw, s.ow - 1);
    int first_j = first_window(w, s.kw, s.sw, s.pw, s.dw);
    for (int i = first_window(h, s.kh, s.sh, s.ph, s.dh); i <= last_i; ++i) {
        int down = h + s.ph - i * s.sh; // from the window's first row
        if (down % s.dh != 0) continue; // between two rows of a dilated window
        for (int j = first_j; j <= last_j; ++j) {
            int right = w + s.pw - j * s.sw;
            if (right % s.dw == 0) f(i, j, down / s.dh * s.kw + right / s.dw);
        }
    }
}

// Number i of (planes, height, width) as its plane's number, row and column.
struct Place {
    long long plane;
    int row, column;
};

__device__ inline Place place_of(long long i, int height, int width) {
    int size = height * width, rest = (int)(i % size);
    return {i / size, rest / width, rest % width};
}

// ---- average -----------------------------------------------------------------------------------

// Along one axis the elements of window i that count: padding may, what is beyond it never does.
__device__ inline int counted(int i, int n, int k, int s, int p, bool padding) {
    int start = i * s - p, margin = padding ? p : 0;
    return min(start + k, n + margin) - max(start, -margin);
}

struct Average {
    int count_padding;
    double divisor; // 0 for the number of elements that count
};

__device__ inline real divisor_of(const Average& how, const Window& s, int i, int j, int height,
                                  int width) {
    if (how.divisor != 0) return (real)how.divisor;
    return (real)(counted(i, height, s.kh, s.sh, s.ph, how.count_padding) *
                  counted(j, width, s.kw, s.sw, s.pw, how.count_padding));
}

extern "C" __global__ void avg_pool2d(const real* x, real* y, Window s, Average how, int height,
                                      int width, long long n) {
    FOR_EACH(k, n) {
        Place at = place_of(k, s.oh, s.ow);
        const real* plane = x + at.plane * height * width;
        real sum = 0;
        for_each_inside(s, at.row, at.column, height, width, [&](int i, int) { sum += plane[i]; });
        y[k] = sum / divisor_of(how, s, at.row, at.column, height, width);
    }
}

extern "C" __global__ void avg_pool2d_backward(const real* g, real* dx, Window s, Average how,
                                               int height, int width, long long n) {
    FOR_EACH(k, n) {
        Place at = place_of(k, height, width);
        const real* plane = g + at.plane * s.oh * s.ow;
        real sum = 0;
        for_each_window(s, at.row, at.column, [&](int i, int j, int) {
            sum += plane[i * s.ow + j] / divisor_of(how, s, i, j, height, width);
        });
        dx[k] = sum;
    }
}

// ---- maximum -----------------------------------------------------------------------------------

// Of equal numbers the first stays, and NaN beats everything.
__device__ inline bool beats(real x, real best) { return x > best || is_nan(x); }

// The first element of a window, along one axis, that is not padding in front.
__device__ inline int first_inside(int start, int d) { return start < 0 ? (d - 1 - start) / d : 0; }

// `which`: the winner's place in the window; `indices`, where wanted: its place in the plane.
extern "C" __global__ void max_pool2d(const real* x, real* y, int* which, long long* indices,
                                      Window s, int height, int width, long long n) {
    FOR_EACH(k, n) {
        Place at = place_of(k, s.oh, s.ow);
        const real* plane = x + at.plane * height * width;
        int top = at.row * s.sh - s.ph, left = at.column * s.sw - s.pw;
        real best = -infinity();
        int winner = first_inside(top, s.dh) * s.kw + first_inside(left, s.dw); // of all -inf
        for_each_inside(s, at.row, at.column, height, width, [&](int i, int place) {
            if (beats(plane[i], best)) {
                best = plane[i];
                winner = place;
            }
        });
        y[k] = best;
        which[k] = winner;
        if (indices)
            indices[k] = (long long)(top + winner / s.kw * s.dh) * width + left +
                         winner % s.kw * s.dw;
    }
}

extern "C" __global__ void max_pool2d_backward(const real* g, const int* which, real* dx, Window s,
                                               int height, int width, long long n) {
    FOR_EACH(k, n) {
        Place at = place_of(k, height, width);
        long long plane = at.plane * s.oh * s.ow;
        real sum = 0;
        for_each_window(s, at.row, at.column, [&](int i, int j, int place) {
            if (which[plane + i * s.ow + j] == place) sum += g[plane + i * s.ow + j];
        });
        dx[k] = sum;
    }
}

// ---- trainable subsampling ---------------------------------------------------------------------

extern "C" __global__ void subsample2d(const real* x, const real* coefficient, const real* bias,
                                       real* sums, real* y, Window s, int channels, int height,
                                       int width, long long n) {
    FOR_EACH(k, n) {
        Place at = place_of(k, s.oh, s.ow);
        const real* plane = x + at.plane * height * width;
        int c = (int)(at.plane % channels);
        real sum = 0;
        for_each_inside(s, at.row, at.column, height, width, [&](int i, int) { sum += plane[i]; });
        sums[k] = sum;
        y[k] = coefficient[c] * sum + bias[c];
    }
}

extern "C" __global__ void subsample2d_backward(const real* g, const real* coefficient, real* dx,
                                                Window s, int channels, int height, int width,
                                                long long n) {
    FOR_EACH(k, n) {
        Place at = place_of(k, height, width);
        const real* plane = g + at.plane * s.oh * s.ow;
        real factor = coefficient[at.plane % channels], sum = 0;
        for_each_window(s, at.row, at.column, [&](int i, int j, int) {
            sum += factor * plane[i * s.ow + j];
        });
        dx[k] = sum;
    }
}
