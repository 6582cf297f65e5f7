// The threads of a block on the CPU: who runs, who waits for whom, and what is an error.
//
//     grid      blocks one after another, in forward or in reversed order
//     block     its threads one after another on one fibre (a stack of its own), until one waits:
//
//       fibre 0   thread 0 ---- __syncthreads() |                 | thread 0 goes on ----
//       fibre 1                                 | thread 1 ------ |                       thread 1
//
// A thread that waits keeps its fibre, and the next thread starts on another one.  A kernel that
// never waits runs on a single fibre, at the speed of a loop.

#pragma once
#include "fibres.h"

extern "C" {
extern char __start_cuda_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_cuda_shared[] __attribute__((weak, visibility("hidden")));
}

namespace cuda_cpu {

constexpr unsigned MAX_THREADS = 1024, WARP = 32;
enum State { RUNNING, AT_BARRIER, AT_WARP, DONE };

struct Place {
    const char* file;
    int line;
    bool operator==(const Place& other) const {
        return line == other.line && (file == other.file || !strcmp(file, other.file));
    }
};

struct Worker {
    Fibre fibre;
    uint3 thread_index{};
    unsigned thread = 0;
    State state = DONE;
    Place place{};      // where it waits,
    unsigned mask = 0;  // for which lanes of its warp,
    uint64_t value = 0; // and what it offers to them
};

static Worker workers[MAX_THREADS];
static Worker* at[MAX_THREADS]; // who runs each thread; null before it starts and after it left
static Worker* current;
static unsigned n_threads, next_thread, n_left, n_workers;
static uint3 next_index;
static bool reversed;
static void (*body)(const void*);
static const void* body_argument;
static uint64_t delivered[MAX_THREADS]; // what the lanes of a warp get from each other
static char* dynamic_shared;
static char message[512];

// ---- threads -----------------------------------------------------------------------------------

// The index of the next thread, without dividing.
inline uint3 step_index() {
    uint3 i = next_index;
    if (!reversed) {
        if (++next_index.x == blockDim.x) {
            next_index.x = 0;
            if (++next_index.y == blockDim.y) next_index.y = 0, ++next_index.z;
        }
    } else if (next_index.x-- == 0) {
        next_index.x = blockDim.x - 1;
        if (next_index.y-- == 0) next_index.y = blockDim.y - 1, --next_index.z;
    }
    return i;
}

// What a fibre does: threads that have not started yet, block after block.
inline void work() {
    Worker* self = current;
    arrive();
    for (;;) {
        while (next_thread < n_threads) {
            unsigned t = next_thread++;
            self->thread = t = reversed ? n_threads - 1 - t : t;
            self->thread_index = threadIdx = step_index();
            at[t] = self;
            body(body_argument);
            at[t] = nullptr;
            ++n_left;
        }
        self->state = DONE;
        leave(self->fibre);
    }
}

inline void resume(Worker* worker) {
    current = worker;
    worker->state = RUNNING;
    threadIdx = worker->thread_index;
    enter(worker->fibre);
}

inline void wait(State state, Place place, unsigned mask = 0) {
    Worker* self = current;
    self->state = state;
    self->place = place;
    self->mask = mask;
    leave(self->fibre);
}

inline void resume_all(const bool* ready) {
    for (unsigned i = 0; i < n_workers; ++i)
        if (ready[i]) resume(&workers[i]);
}

// ---- waiting -----------------------------------------------------------------------------------

inline bool complain(const Worker* worker, unsigned n, const char* what) {
    snprintf(message, sizeof message,
             "block (%u, %u, %u): thread (%u, %u, %u) waits at %s:%d, but %u of the block's %u "
             "threads %s",
             blockIdx.x, blockIdx.y, blockIdx.z, worker->thread_index.x, worker->thread_index.y,
             worker->thread_index.z, worker->place.file, worker->place.line, n, n_threads, what);
    for (unsigned i = 0; i < n_workers; ++i) prepare(workers[i].fibre, work); // from the beginning
    return false;
}

// For each lane of a warp: does the worker's mask name it, and has it not left the kernel?
template <typename F>
void for_lanes(const Worker* worker, F f) {
    unsigned first = worker->thread / WARP * WARP;
    for (unsigned lane = 0; lane < WARP && first + lane < n_threads; ++lane)
        if (worker->mask >> lane & 1 && at[first + lane]) f(at[first + lane]);
}

inline bool together(const Worker* a, const Worker* b) {
    return a->state == AT_WARP && b->state == AT_WARP && a->mask == b->mask && a->place == b->place;
}

// Lets warps go on whose lanes all wait at the same place.
inline bool run_warps() {
    bool ready[MAX_THREADS] = {}, progress = false;
    const Worker* stuck = nullptr;
    unsigned absent = 0;
    for (unsigned i = 0; i < n_workers; ++i) {
        const Worker* worker = &workers[i];
        if (worker->state != AT_WARP) continue;
        unsigned missing = !(worker->mask >> worker->thread % WARP & 1);
        for_lanes(worker, [&](const Worker* other) { missing += !together(worker, other); });
        ready[i] = !missing;
        progress |= ready[i];
        if (missing) stuck = worker, absent = missing;
    }
    if (!progress) return complain(stuck, absent, "that its mask names are elsewhere");
    memset(delivered, -1, sizeof delivered); // what comes from a lane that takes no part
    for (unsigned i = 0; i < n_workers; ++i)
        if (ready[i]) delivered[workers[i].thread] = workers[i].value;
    resume_all(ready);
    return true;
}

inline bool run_barrier(const Worker* first) {
    if (n_left) return complain(first, n_left, "have left the kernel");
    bool ready[MAX_THREADS];
    unsigned elsewhere = 0;
    for (unsigned i = 0; i < n_workers; ++i) {
        elsewhere += !(workers[i].place == first->place);
        ready[i] = true;
    }
    if (elsewhere) return complain(first, elsewhere, "wait elsewhere");
    resume_all(ready);
    return true;
}

// ---- blocks ------------------------------------------------------------------------------------

// The static shared memory of all kernels of the file, which lies in one section.
__attribute__((no_sanitize("address"))) inline void poison_section() {
#if defined(__SANITIZE_ADDRESS__) // memset would stumble over what lies between the arrays
    for (char* p = __start_cuda_shared; p < __stop_cuda_shared; ++p) *(volatile char*)p = -1;
#else
    memset(__start_cuda_shared, -1, size_t(__stop_cuda_shared - __start_cuda_shared));
#endif
}

inline bool run_block(size_t shared) {
    poison_section();
    if (shared) memset(dynamic_shared, -1, shared);
    next_thread = n_left = n_workers = 0;
    next_index = reversed ? uint3{blockDim.x - 1, blockDim.y - 1, blockDim.z - 1} : uint3{};
    while (next_thread < n_threads) {
        Worker* worker = &workers[n_workers++];
        if (!worker->fibre.stack) prepare(worker->fibre, work);
        resume(worker);
    }
    for (;;) {
        bool at_warp = false;
        const Worker* at_barrier = nullptr;
        for (unsigned i = n_workers; i-- > 0;) {
            at_warp |= workers[i].state == AT_WARP;
            if (workers[i].state == AT_BARRIER) at_barrier = &workers[i];
        }
        if (!at_warp && !at_barrier) return true;
        if (!(at_warp ? run_warps() : run_barrier(at_barrier))) return false;
    }
}

template <typename... A, size_t... I>
const char* run(void (*kernel)(A...), void** arguments, size_t shared, std::index_sequence<I...>) {
    auto call = [&] { kernel(*static_cast<std::remove_const_t<A>*>(arguments[I])...); };
    body = [](const void* f) { (*static_cast<const decltype(call)*>(f))(); };
    body_argument = &call;
    unsigned long long n = 1ull * gridDim.x * gridDim.y * gridDim.z;
    for (unsigned long long i = 0; i < n; ++i) {
        unsigned long long b = reversed ? n - 1 - i : i;
        blockIdx = {unsigned(b % gridDim.x), unsigned(b / gridDim.x % gridDim.y),
                    unsigned(b / gridDim.x / gridDim.y)};
        if (!run_block(shared)) return message;
    }
    return nullptr;
}

// Runs a grid; null, or what is wrong with the kernel.
template <typename... A>
const char* launch(void (*kernel)(A...), const unsigned* dims, size_t shared, bool backwards,
                   void** arguments) {
    gridDim = {dims[0], dims[1], dims[2]};
    blockDim = {dims[3], dims[4], dims[5]};
    n_threads = blockDim.x * blockDim.y * blockDim.z;
    reversed = backwards;
    dynamic_shared = static_cast<char*>(shared ? malloc(shared) : nullptr); // exactly so many
    const char* wrong = run(kernel, arguments, shared, std::index_sequence_for<A...>{});
    free(dynamic_shared);
    return wrong;
}

// ---- what a kernel's parameters are ------------------------------------------------------------

struct Parameter {
    char pointer; // 'p' for a pointer, else 0
    char kind;    // as NumPy's: b, i, u, f; s for a struct, v for void, p for a pointer
    char writes;  // whether it points to what may be changed
    int size;     // of the value, or of what is pointed to
};

template <typename T>
constexpr char kind() {
    if (std::is_void_v<T>) return 'v';
    if (std::is_pointer_v<T>) return 'p';
    if (std::is_same_v<T, bool>) return 'b';
    if (std::is_floating_point_v<T>) return 'f';
    if (std::is_integral_v<T> || std::is_enum_v<T>) return std::is_signed_v<T> ? 'i' : 'u';
    return 's';
}

template <typename T>
constexpr Parameter parameter() {
    if constexpr (std::is_pointer_v<T>) {
        using E = std::remove_pointer_t<T>;
        constexpr bool writes = !std::is_const_v<E>;
        if constexpr (std::is_void_v<E>) return {'p', 'v', writes, 1};
        else return {'p', kind<std::remove_cv_t<E>>(), writes, sizeof(E)};
    } else {
        static_assert(std::is_trivially_copyable_v<T>, "a kernel's arguments are copied as bytes");
        return {0, kind<T>(), 0, sizeof(T)};
    }
}

// Fills in what the parameters are; returns how many.
template <typename... A>
int describe(void (*)(A...), Parameter* out) {
    const Parameter all[] = {parameter<std::remove_cv_t<A>>()..., Parameter{}};
    for (size_t i = 0; i < sizeof...(A); ++i) out[i] = all[i];
    return sizeof...(A);
}

// ---- shuffles ----------------------------------------------------------------------------------

template <typename T>
T shuffle(unsigned mask, T value, unsigned lane, bool own, Place place) {
    static_assert(sizeof(T) <= 8, "shuffles move up to 8 bytes");
    memcpy(&current->value, &value, sizeof value);
    wait(AT_WARP, place, mask);
    if (own) return value;
    unsigned from = current->thread / WARP * WARP + lane;
    if (from >= n_threads || !(mask >> lane & 1)) memset(&value, -1, sizeof value);
    else memcpy(&value, &delivered[from], sizeof value);
    return value;
}

inline unsigned lane() { return current->thread % WARP; }

template <typename T>
T shuffle_down(unsigned mask, T value, unsigned by, Place place) {
    return shuffle(mask, value, lane() + by, lane() + by >= WARP, place);
}
template <typename T>
T shuffle_up(unsigned mask, T value, unsigned by, Place place) {
    return shuffle(mask, value, lane() - by, lane() < by, place);
}
template <typename T>
T shuffle_xor(unsigned mask, T value, unsigned by, Place place) {
    return shuffle(mask, value, lane() ^ by, (lane() ^ by) >= WARP, place);
}

}  // namespace cuda_cpu
