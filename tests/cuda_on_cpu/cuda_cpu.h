// What a .cu file needs to be compiled by g++ and run on the CPU: the words of CUDA C.
//
// What is undefined on a GPU shows here: shared memory holds NaN (all bits 1) when a block starts,
// so do values shuffled from lanes that take no part; threads that wait at different places, or for
// threads that have left, are an error (scheduler.h).  What the kernels are not to use is missing:
// atomic additions of floats, and functions that trade accuracy for speed.

#pragma once
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <type_traits>
#include <utility>

// ---- the language ------------------------------------------------------------------------------

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __constant__ static const
#define __align__(n) __attribute__((aligned(n)))
// One block runs at a time, so one copy is enough; the section lets each block start on poison.
#define __shared__ static __attribute__((section("cuda_shared")))
#define DYNAMIC_SHARED(type, name) type* name = reinterpret_cast<type*>(cuda_cpu::dynamic_shared)

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
};
static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;
static const int warpSize = 32;

#define CUDA_CPU_VECTOR(T, name)                                                                   \
    struct alignas(2 * sizeof(T)) name##2 {                                                        \
        T x, y;                                                                                    \
    };                                                                                             \
    struct name##3 {                                                                               \
        T x, y, z;                                                                                 \
    };                                                                                             \
    struct alignas(16) name##4 {                                                                   \
        T x, y, z, w;                                                                              \
    };                                                                                             \
    inline name##2 make_##name##2(T x, T y) { return {x, y}; }                                     \
    inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }                             \
    inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
CUDA_CPU_VECTOR(float, float)
CUDA_CPU_VECTOR(double, double)
CUDA_CPU_VECTOR(int, int)
CUDA_CPU_VECTOR(long long, longlong)
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

#include "scheduler.h"

// ---- what a block's threads do together --------------------------------------------------------

#define CUDA_CPU_HERE cuda_cpu::Place{__FILE__, __LINE__}
#define CUDA_CPU_MASK(mask, ...) mask
#define __syncthreads() cuda_cpu::wait(cuda_cpu::AT_BARRIER, CUDA_CPU_HERE)
#define __syncwarp(...)                                                                            \
    cuda_cpu::wait(cuda_cpu::AT_WARP, CUDA_CPU_HERE, CUDA_CPU_MASK(__VA_ARGS__ __VA_OPT__(, ) ~0u))
#define __shfl_sync(mask, value, from)                                                             \
    cuda_cpu::shuffle(mask, value, (from) % 32u, false, CUDA_CPU_HERE)
#define __shfl_down_sync(mask, value, by) cuda_cpu::shuffle_down(mask, value, by, CUDA_CPU_HERE)
#define __shfl_up_sync(mask, value, by) cuda_cpu::shuffle_up(mask, value, by, CUDA_CPU_HERE)
#define __shfl_xor_sync(mask, value, by) cuda_cpu::shuffle_xor(mask, value, by, CUDA_CPU_HERE)
inline void __threadfence() {}
inline void __threadfence_block() {}

// Atomics on integers only: sums of floats would depend on the order in which threads come.
#define CUDA_CPU_ATOMIC(name, expression)                                                          \
    template <typename T>                                                                          \
    T name(T* p, std::common_type_t<T> v) {                                                        \
        static_assert(std::is_integral_v<T>, #name " on floats has no fixed order");               \
        T old = *p;                                                                                \
        *p = expression;                                                                           \
        return old;                                                                                \
    }
CUDA_CPU_ATOMIC(atomicAdd, old + v)
CUDA_CPU_ATOMIC(atomicMax, old < v ? v : old)
CUDA_CPU_ATOMIC(atomicMin, v < old ? v : old)
CUDA_CPU_ATOMIC(atomicExch, v)

// ---- arithmetic --------------------------------------------------------------------------------

// As CUDA's: of a number and a NaN the number, unlike std::max.
template <typename A, typename B>
inline std::common_type_t<A, B> max(A a, B b) {
    if constexpr (std::is_floating_point_v<std::common_type_t<A, B>>) return fmax(a, b);
    else return std::common_type_t<A, B>(a) < std::common_type_t<A, B>(b) ? b : a;
}
template <typename A, typename B>
inline std::common_type_t<A, B> min(A a, B b) {
    if constexpr (std::is_floating_point_v<std::common_type_t<A, B>>) return fmin(a, b);
    else return std::common_type_t<A, B>(b) < std::common_type_t<A, B>(a) ? b : a;
}

template <typename To, typename From>
inline To cuda_cpu_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "as many bits as before");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
inline float __int_as_float(int x) { return cuda_cpu_bits<float>(x); }
inline float __uint_as_float(unsigned x) { return cuda_cpu_bits<float>(x); }
inline int __float_as_int(float x) { return cuda_cpu_bits<int>(x); }
inline unsigned __float_as_uint(float x) { return cuda_cpu_bits<unsigned>(x); }
inline double __longlong_as_double(long long x) { return cuda_cpu_bits<double>(x); }
inline long long __double_as_longlong(double x) { return cuda_cpu_bits<long long>(x); }

inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline float rsqrt(float x) { return 1 / sqrtf(x); }
inline double rsqrt(double x) { return 1 / sqrt(x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned(uint64_t(a) * b >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
template <typename T>
inline T __ldg(const T* p) { return *p; }

// CUDA's functions that trade accuracy for speed; the C library has some of these names too.
#pragma GCC poison __expf __exp10f __logf __log2f __log10f __powf __sinf __cosf __tanf __fdividef
