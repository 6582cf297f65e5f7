// Sums in a fixed order: over a warp, over a block, and over a channel of a batch of images.
//
// Each lane of a warp adds what its partner has, first 16 lanes away, then 8, 4, 2 and 1.  Both
// partners compute the same sum, so that in the end every lane holds the same bits:
//
//     lane          0        1        2        3
//     has           a        b        c        d
//     ^2            a+c      b+d      c+a      d+b
//     ^1      (a+c)+(b+d)   ... in all four, since x + y = y + x

template <typename T, typename F>
__device__ inline T warp_reduce(T x, F combine, int lanes = 32) {
    for (int d = lanes / 2; d > 0; d /= 2) x = combine(x, __shfl_xor_sync(~0u, x, d));
    return x;
}

// All threads of a one-dimensional block of whole warps have to call it, and all get the result;
// `nothing` is what changes nothing when combined.
template <typename T, typename F>
__device__ inline T block_reduce(T x, T nothing, F combine) {
    __shared__ T of_warp[32];
    x = warp_reduce(x, combine);
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = x;
    __syncthreads();
    x = threadIdx.x % 32 < blockDim.x / 32 ? of_warp[threadIdx.x % 32] : nothing;
    __syncthreads(); // a next call may write into of_warp now
    return warp_reduce(x, combine);
}

struct Add {
    __device__ real operator()(real a, real b) const { return a + b; }
};

__device__ inline real block_sum(real x) { return block_reduce(x, (real)0, Add()); }

// The sum of an array, by one block.
__device__ inline real sum_of(const real* x, int n) {
    real sum = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) sum += x[i];
    return block_sum(sum);
}

// Calls f(place) for this thread's share of channel blockIdx.x of x (images, channels, length).
// The channel's elements are dealt out in turn to the threads of all blocks (blockIdx.x, 0),
// (.., 1) ..; the next element is found by a carry, as in adding by hand: a division for each would
// be slow.
template <typename F>
__device__ inline void for_my_share(int images, int channels, int length, F f) {
    int first = blockIdx.y * blockDim.x + threadIdx.x, step = gridDim.y * blockDim.x;
    int image = first / length, at = first % length;
    int images_on = step / length, on = step % length;
    while (image < images) {
        f(((long long)image * channels + blockIdx.x) * length + at);
        image += images_on;
        at += on;
        if (at >= length) {
            at -= length;
            ++image;
        }
    }
}
