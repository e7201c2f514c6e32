// Biases and their gradients: see cuda.rs. Matrices are row-major with a stride.
#include "common.cuh"

constexpr int THREADS = 256;
constexpr int WARPS = THREADS / 32;
constexpr int VECTOR = 8;

// Rows and columns that a block of the columns' sums has, and threads of a column.
constexpr int BLOCK_ROWS = 512;
constexpr int BLOCK_COLUMNS = 32;
constexpr int GROUPS = 8;

// Columns that a block of the rows' sums has.
constexpr int SEGMENT = 4096;

// A thread has eight numbers of a row. The bias is one number for each column, or for each row.
template <bool OF_ROWS, typename T>
__device__ __forceinline__ void add_bias(const float* bias, T* out, i64 rows, i64 columns, i64 stride, bool aligned) {
    const i64 vectors = (columns + VECTOR - 1) / VECTOR;
    const i64 vector = blockIdx.x * (i64)THREADS + threadIdx.x;
    if (vector >= rows * vectors) return;
    const i64 row = vector / vectors, first = vector % vectors * VECTOR;
    float values[VECTOR], added[VECTOR];
    load_part(out + row * stride, first, columns, aligned, values);
    if (OF_ROWS) {
#pragma unroll
        for (int j = 0; j < VECTOR; j++) added[j] = bias[row];
    } else {
        load_part(bias, first, columns, false, added);
    }
#pragma unroll
    for (int j = 0; j < VECTOR; j++) values[j] += added[j];
    store_part(out + row * stride, first, columns, aligned, values);
}

// partial[part, c] is the sum of x[r, c] over the rows of the part. A thread adds every eighth row, and then the groups are
// added from the first to the last.
template <typename T>
__device__ __forceinline__ void sum_columns(const T* x, float* partial, i64 rows, i64 columns, i64 stride) {
    __shared__ float sums[GROUPS][BLOCK_COLUMNS];
    const i64 blocks = (columns + BLOCK_COLUMNS - 1) / BLOCK_COLUMNS;
    const i64 part = blockIdx.x / blocks, c = blockIdx.x % blocks * BLOCK_COLUMNS + threadIdx.x;
    const i64 start = part * BLOCK_ROWS, end = start + BLOCK_ROWS < rows ? start + BLOCK_ROWS : rows;
    float sum = 0.0f;
    if (c < columns) {
#pragma unroll 4
        for (i64 r = start + threadIdx.y; r < end; r += GROUPS) sum += load(x, r * stride + c);
    }
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && c < columns) {
        for (int group = 1; group < GROUPS; group++) sum += sums[group][threadIdx.x];
        partial[part * columns + c] = sum;
    }
}

// partial[part, r] is the sum of x[r, c] over the columns of the part. A thread adds its vectors, a warp its threads, and
// then the warps are added from the first to the last.
template <typename T>
__device__ __forceinline__ void sum_rows(const T* x, float* partial, i64 rows, i64 columns, i64 stride, bool aligned) {
    __shared__ float sums[WARPS];
    const i64 part = blockIdx.x / rows, row = blockIdx.x % rows;
    const i64 start = part * SEGMENT, end = start + SEGMENT < columns ? start + SEGMENT : columns;
    float sum = 0.0f, values[VECTOR];
    for (i64 c = start + threadIdx.x * VECTOR; c < end; c += THREADS * VECTOR) {
        load_part(x + row * stride, c, end, aligned, values);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) sum += values[j];
    }
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int warp = 1; warp < WARPS; warp++) sum += sums[warp];
        partial[part * rows + row] = sum;
    }
}

#define KERNELS(NAME, T)                                                                                              \
    extern "C" __global__ void __launch_bounds__(THREADS) add_bias_to_columns_##NAME(                                 \
        const float* bias, T* out, i64 rows, i64 columns, i64 stride, int aligned) {                                  \
        add_bias<false>(bias, out, rows, columns, stride, aligned);                                                   \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(THREADS) add_bias_to_rows_##NAME(                                    \
        const float* bias, T* out, i64 rows, i64 columns, i64 stride, int aligned) {                                  \
        add_bias<true>(bias, out, rows, columns, stride, aligned);                                                    \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(GROUPS * BLOCK_COLUMNS) bias_gradient_of_columns_##NAME(             \
        const T* x, float* partial, i64 rows, i64 columns, i64 stride, int) {                                         \
        sum_columns(x, partial, rows, columns, stride);                                                               \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(THREADS) bias_gradient_of_rows_##NAME(                               \
        const T* x, float* partial, i64 rows, i64 columns, i64 stride, int aligned) {                                 \
        sum_rows(x, partial, rows, columns, stride, aligned);                                                         \
    }

KERNELS(f32, float)
KERNELS(bf16, bf16)
