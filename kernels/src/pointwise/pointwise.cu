// Sum, product and change of type, element by element: see cuda.rs. A thread has eight elements.
#include "common.cuh"

constexpr int VECTOR = 8;

struct Add {
    __device__ __forceinline__ static float apply(float before, float x) { return before + x; }
};

struct Multiply {
    __device__ __forceinline__ static float apply(float before, float x) { return before * x; }
};

// The first of the thread's elements.
__device__ __forceinline__ i64 first() { return (blockIdx.x * (i64)blockDim.x + threadIdx.x) * VECTOR; }

// out[i] becomes Operation(out[i], x[i]).
template <typename Operation, typename T, typename U>
__device__ __forceinline__ void update(const U* x, T* out, i64 len, bool aligned) {
    const i64 i = first();
    if (i >= len) return;
    float before[VECTOR], values[VECTOR];
    load_part(out, i, len, aligned, before);
    load_part(x, i, len, aligned, values);
#pragma unroll
    for (int j = 0; j < VECTOR; j++) values[j] = Operation::apply(before[j], values[j]);
    store_part(out, i, len, aligned, values);
}

template <typename T, typename U>
__device__ __forceinline__ void convert(const T* from, U* to, i64 len, bool aligned) {
    const i64 i = first();
    if (i >= len) return;
    float values[VECTOR];
    load_part(from, i, len, aligned, values);
    store_part(to, i, len, aligned, values);
}

#define MULTIPLY(NAME, T)                                                                                               \
    extern "C" __global__ void pointwise_multiply_##NAME(const T* x, T* product, i64 len, int aligned) {                \
        update<Multiply>(x, product, len, aligned);                                                                     \
    }

// T is the first type of the name, U the second.
#define KERNELS(NAME, T, U)                                                                                             \
    extern "C" __global__ void pointwise_add_##NAME(const U* x, T* sum, i64 len, int aligned) {                         \
        update<Add>(x, sum, len, aligned);                                                                              \
    }                                                                                                                   \
    extern "C" __global__ void pointwise_convert_##NAME(const T* from, U* to, i64 len, int aligned) {                   \
        convert(from, to, len, aligned);                                                                                \
    }

MULTIPLY(f32, float)
MULTIPLY(bf16, bf16)

KERNELS(f32_f32, float, float)
KERNELS(f32_bf16, float, bf16)
KERNELS(bf16_f32, bf16, float)
KERNELS(bf16_bf16, bf16, bf16)
