// Token embedding: see mod.rs. R is the type of the residual stream; the table and its gradient are f32.
#include "common.cuh"

constexpr int VECTOR = 8;

// Positions whose gradients a block sums.
constexpr int BLOCK_ROWS = 512;

// A warp has a position. A token outside the table has a row of NaN.
template <typename R>
__device__ __forceinline__ void forward(const float* table, const u8* ids, R* out, i64 len, int width, int vocabulary,
                                        bool aligned) {
    const i64 t = blockIdx.x * (i64)(blockDim.x / 32) + threadIdx.x / 32;
    if (t >= len) return;
    const int id = ids[t];
    float values[VECTOR];
    for (int i = threadIdx.x % 32 * VECTOR; i < width; i += 32 * VECTOR) {
        if (id < vocabulary) {
            load_part(table + id * (i64)width, i, width, aligned, values);
        } else {
#pragma unroll
            for (int j = 0; j < VECTOR; j++) values[j] = __int_as_float(0x7fc00000);
        }
        store_part(out + t * width, i, width, aligned, values);
    }
}

// A thread has a channel and adds the block's positions, from the first to the last, to one sum for each token.
// partial is [blocks, V, D].
template <typename R>
__device__ __forceinline__ void backward(const u8* ids, const R* d_out, float* partial, i64 len, int width,
                                         int vocabulary) {
    // [V, threads]
    extern __shared__ float sums[];
    const int channel = blockIdx.y * blockDim.x + threadIdx.x;
    if (channel >= width) return;
    float* own = sums + threadIdx.x;
    for (int v = 0; v < vocabulary; v++) own[v * blockDim.x] = 0.0f;
    const i64 start = blockIdx.x * (i64)BLOCK_ROWS;
    const i64 end = start + BLOCK_ROWS < len ? start + BLOCK_ROWS : len;
    for (i64 t = start; t < end; t += VECTOR) {
        float values[VECTOR];
        int tokens[VECTOR];
#pragma unroll
        for (int j = 0; j < VECTOR; j++) {
            tokens[j] = t + j < end ? ids[t + j] : vocabulary;
            values[j] = t + j < end ? load(d_out, (t + j) * width + channel) : 0.0f;
        }
#pragma unroll
        for (int j = 0; j < VECTOR; j++)
            if (tokens[j] < vocabulary) own[tokens[j] * blockDim.x] += values[j];
    }
    float* out = partial + blockIdx.x * (i64)vocabulary * width + channel;
    for (int v = 0; v < vocabulary; v++) out[v * (i64)width] = own[v * blockDim.x];
}

#define KERNELS(NAME, R)                                                                                               \
    extern "C" __global__ void embedding_forward_##NAME(const float* table, const u8* ids, R* out, i64 len, int width,  \
                                                        int vocabulary, int aligned) {                                 \
        forward(table, ids, out, len, width, vocabulary, aligned);                                                     \
    }                                                                                                                  \
    extern "C" __global__ void embedding_backward_##NAME(const u8* ids, const R* d_out, float* partial, i64 len,        \
                                                         int width, int vocabulary) {                                  \
        backward(ids, d_out, partial, len, width, vocabulary);                                                         \
    }

KERNELS(f32, float)
KERNELS(bf16, bf16)
