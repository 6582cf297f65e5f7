// Adding values to places that may repeat, in the order of the values, without atomics.
//
//     sorted places   2  2  2  5  7  7        places[order]
//     order           0  3  4  1  2  5        a stable argsort: equal places keep their order
//     thread          0  1  2  3  4  5
//                     |        |  |           the first thread of each place does it all
//                     v        v  v
//     x               2        5  7

#include "common.cuh"

extern "C" __global__ void add_at(const long long* places, const long long* order,
                                  const real* values, real* x, long long n) {
    FOR_EACH(i, n) {
        const long long place = places[i];
        if (i > 0 && places[i - 1] == place) continue;
        real sum = 0;
        for (long long k = i; k < n && places[k] == place; ++k) sum += values[order[k]];
        x[place] += sum;
    }
}
