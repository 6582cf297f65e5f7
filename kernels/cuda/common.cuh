// What every kernel file builds on: the element type, the loop over elements, windows, infinity.
//
// A .cu file is compiled twice, with REAL=float and REAL=double; `real` is the one or the other.

#ifndef REAL
#define REAL float
#endif
typedef REAL real;

// A grid-stride loop, the grid as one long row of threads: each takes every (threads in the grid)th
// element, so that neighbouring threads read neighbouring memory ("coalesced"), and any number of
// threads does any n.
//
//     element   0   1   2   3   4   5   6   7   8 ...
//     thread    0   1   2   3   0   1   2   3   0 ...
#define FOR_EACH(i, n)                                                                  \
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < (n);       \
         i += (long long)gridDim.x * blockDim.x)

// Memory that a block's threads share, as much as the launch asks for.
#ifndef CUDA_ON_CPU
#define DYNAMIC_SHARED(type, name)                        \
    extern __shared__ __align__(16) unsigned char name##_bytes[]; \
    type* name = reinterpret_cast<type*>(name##_bytes)
#endif

// Where a convolution or a pooling looks: minicnn.shapes.Window, each pair (height, width).
struct Window {
    int kh, kw, sh, sw, ph, pw, dh, dw, oh, ow;
};

__device__ inline real infinity() { return (real)__longlong_as_double(0x7ff0000000000000LL); }
__device__ inline bool is_nan(real x) { return x != x; }

// Index (below `count`) of the window that starts at this row or column of the padded image; -1 if
// none does.
__device__ inline int window_at(int start, int stride, int count) {
    if (stride == 1) return start >= 0 && start < count ? start : -1; // dividing takes a GPU long
    return start >= 0 && start % stride == 0 && start / stride < count ? start / stride : -1;
}
