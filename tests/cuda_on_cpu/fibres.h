// Fibres: stacks of their own that one thread changes between, as its scheduler says.
//
//     enter(fibre)    called by the scheduler: goes on where the fibre left off
//     leave(fibre)    called on the fibre: goes on where the scheduler entered it

#pragma once
#include <stdint.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__x86_64__) && !defined(CUDA_CPU_UCONTEXT)

// Pushes what a called function must keep, changes stacks, pops the same of the other one: 20 times
// as fast as swapcontext, which asks the kernel for the signal mask.
extern "C" __attribute__((visibility("hidden"))) void cuda_cpu_switch(void** save, void* load);
asm(R"(
    .text
    .hidden cuda_cpu_switch
    .globl cuda_cpu_switch
    .type cuda_cpu_switch, @function
cuda_cpu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size cuda_cpu_switch, . - cuda_cpu_switch
)");

namespace cuda_cpu {

typedef void* Context; // a stack pointer
inline void change(Context& save, Context& load) { cuda_cpu_switch(&save, load); }

// A stack that looks as if `f` had been interrupted before its first instruction.
inline void start(Context& context, char* stack, size_t size, void (*f)()) {
    void** top = reinterpret_cast<void**>(stack + size);
    *--top = nullptr; // where f would return to; below it the stack is aligned as after a call
    *--top = reinterpret_cast<void*>(f);
    for (int i = 0; i < 6; ++i) *--top = nullptr; // the six registers
    context = top;
}

}  // namespace cuda_cpu

#else
#include <ucontext.h>

namespace cuda_cpu {

typedef ucontext_t Context;
inline void change(Context& save, Context& load) { swapcontext(&save, &load); }

inline void start(Context& context, char* stack, size_t size, void (*f)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = size;
    makecontext(&context, f, 0);
}

}  // namespace cuda_cpu
#endif

namespace cuda_cpu {

constexpr size_t STACK = 256 * 1024, LINE = 64, LINES = 64; // of a cache: those of one page

struct Fibre {
    Context context{};
    char* stack = nullptr;
    void* sanitizers_stack = nullptr;
};

static Context scheduler;
#if defined(__SANITIZE_ADDRESS__)
static const void* main_stack;
static size_t main_size;
#endif

// Has a fibre begin with f when it is entered next; f never returns.  Stacks begin on different
// cache lines, or all of them would fight for a few.
inline void prepare(Fibre& fibre, void (*f)()) {
    static size_t made = 0;
    if (!fibre.stack) {
        fibre.stack = static_cast<char*>(aligned_alloc(LINE, STACK + LINE * LINES));
        fibre.stack += made++ * 5 % LINES * LINE;
    }
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(fibre.stack, STACK);
#endif
    start(fibre.context, fibre.stack, STACK, f);
}

inline void enter(Fibre& fibre) {
#if defined(__SANITIZE_ADDRESS__)
    void* own;
    __sanitizer_start_switch_fiber(&own, fibre.stack, STACK);
#endif
    change(scheduler, fibre.context);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(own, nullptr, nullptr);
#endif
}

inline void leave(Fibre& fibre) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&fibre.sanitizers_stack, main_stack, main_size);
#endif
    change(fibre.context, scheduler);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fibre.sanitizers_stack, &main_stack, &main_size);
#endif
}

// The first thing that a fibre's function does.
inline void arrive() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &main_stack, &main_size);
#endif
}

}  // namespace cuda_cpu
