// Windows to columns and back: im2col copies, col2im adds up what was copied.
//
//     x (n, c, h, w)                     cols, rows of windows
//     +---------------+                        window 0  window 1 ...
//     | [. .] .   .   |    c0, tap (0, 0)   |  thread 0  thread 1
//     | [. .] .   .   |    c0, tap (0, 1)   |     |         |        im2col: a thread for a window
//     |   window 0    |    c0, tap (1, 0)   |     |         |        of a channel, down its kh*kw
//     +---------------+    c0, tap (1, 1)   |     v         v        rows: it divides only once
//
// col2im has a thread for a pixel, which looks up the windows that cover it.  No two threads write
// to one place, so nothing is added atomically, and the order is fixed: by taps, row by row.
//
// Row r of window (image, i, j) is at  image * image_step + r * row_step + i * ow + j:  a matrix for
// each image, or all of them side by side in one.

#include "common.cuh"

extern "C" __global__ void im2col(const real* x, real* cols, Window w, int n, int c, int height,
                                  int width, long long image_step, long long row_step) {
    const int places = w.oh * w.ow;
    FOR_EACH(q, (long long)n * places) {
        const int image = q / places, place = q % places;
        const int top = place / w.ow * w.sh - w.ph, left = place % w.ow * w.sw - w.pw;
        for (int channel = blockIdx.y; channel < c; channel += gridDim.y) {
            const real* plane = x + ((long long)image * c + channel) * height * width;
            real* to = cols + image * image_step + channel * w.kh * w.kw * row_step + place;
            for (int u = 0; u < w.kh; ++u) {
                const int row = top + u * w.dh;
                for (int v = 0; v < w.kw; ++v, to += row_step) {
                    const int column = left + v * w.dw;
                    const bool inside = 0 <= row && row < height && 0 <= column && column < width;
                    *to = inside ? plane[row * width + column] : real(0);
                }
            }
        }
    }
}

extern "C" __global__ void col2im(const real* cols, real* x, Window w, int n, int c, int height,
                                  int width, long long image_step, long long row_step) {
    FOR_EACH(e, (long long)n * c * height * width) {
        const int plane = e / (height * width), pixel = e % (height * width);
        const int image = plane / c, channel = plane % c;
        const int row = pixel / width + w.ph, column = pixel % width + w.pw; // in the padded image
        const real* from = cols + image * image_step + channel * w.kh * w.kw * row_step;
        real sum = 0;
        for (int u = 0; u < w.kh; ++u) {
            const int i = window_at(row - u * w.dh, w.sh, w.oh); // whose tap u is this row
            for (int v = 0; i >= 0 && v < w.kw; ++v) {
                const int j = window_at(column - v * w.dw, w.sw, w.ow);
                if (j >= 0) sum += from[(u * w.kw + v) * row_step + i * w.ow + j];
            }
        }
        x[e] = sum;
    }
}
