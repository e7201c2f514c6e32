// Cross-entropy and its gradient: see mod.rs. A thread has a row of up to 32 logits in registers, a warp a wider one.
#include "common.cuh"

constexpr u8 IGNORED = 255;
constexpr int THREADS = 256;
constexpr int WARPS = THREADS / 32;

// Rows of a thread, or of a warp, in the forward kernels, one after the other.
constexpr int TURNS = 4;

// -------------------------------------------------------------------------------------------------------------- sums

// The loss of some positions, `Loss` of mod.rs.
struct Sums {
    double sum;
    double weight;
    u64 counted;
    u64 correct;
};

__device__ __forceinline__ void add(Sums& sums, const Sums& other) {
    sums.sum += other.sum;
    sums.weight += other.weight;
    sums.counted += other.counted;
    sums.correct += other.correct;
}

__device__ __forceinline__ void add_row(Sums& sums, float loss, float weight, bool correct) {
    sums.sum += (double)weight * loss;
    sums.weight += weight;
    sums.counted += 1;
    sums.correct += correct;
}

// The sums of a block, in its first thread, always by the same tree.
__device__ __forceinline__ Sums block_sums(Sums sums) {
    __shared__ Sums warps[WARPS];
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) {
        sums.sum += __shfl_xor_sync(0xffffffffu, sums.sum, offset);
        sums.weight += __shfl_xor_sync(0xffffffffu, sums.weight, offset);
        sums.counted += __shfl_xor_sync(0xffffffffu, sums.counted, offset);
        sums.correct += __shfl_xor_sync(0xffffffffu, sums.correct, offset);
    }
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = sums;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int warp = 1; warp < WARPS; warp++) add(sums, warps[warp]);
    }
    return sums;
}

// Adds the sums of blocks to the total. One block.
extern "C" __global__ void __launch_bounds__(THREADS) cross_entropy_add(const Sums* partial, Sums* total, i64 count) {
    Sums sums = {};
    for (i64 i = threadIdx.x; i < count; i += THREADS) add(sums, partial[i]);
    sums = block_sums(sums);
    if (threadIdx.x == 0) add(*total, sums);
}

// ------------------------------------------------------------------------------------------------- a thread has a row

__device__ __forceinline__ void store4(float* x, const float (&in)[4]) {
    *reinterpret_cast<float4*>(x) = make_float4(in[0], in[1], in[2], in[3]);
}

__device__ __forceinline__ void store4(bf16* x, const float (&in)[4]) {
    *reinterpret_cast<uint2*>(x) = make_uint2(narrow2(in[0], in[1]), narrow2(in[2], in[3]));
}

// The logits, and from width on what is smaller than all of them and has an exponential of 0.
template <int VECTORS>
__device__ __forceinline__ void load_row(const float* row, int width, bool aligned, float (&x)[4 * VECTORS]) {
#pragma unroll
    for (int i = 0; i < VECTORS; i++) {
        if (aligned && 4 * i < width) {
            const float4 four = reinterpret_cast<const float4*>(row)[i];
            x[4 * i] = four.x, x[4 * i + 1] = four.y, x[4 * i + 2] = four.z, x[4 * i + 3] = four.w;
        } else {
#pragma unroll
            for (int j = 4 * i; j < 4 * i + 4; j++) x[j] = j < width ? row[j] : __int_as_float(0xff800000);
        }
    }
}

// The largest logit; the others become their exponentials below it, and are added to the sum.
template <int WIDTH>
__device__ __forceinline__ float exponentials(float (&x)[WIDTH], float& sum) {
    float max = x[0];
#pragma unroll
    for (int i = 1; i < WIDTH; i++) max = fmaxf(max, x[i]);
    sum = 0.0f;
#pragma unroll
    for (int i = 0; i < WIDTH; i++) {
        x[i] = expf(x[i] - max);
        sum += x[i];
    }
    return max;
}

// The loss of a row, and whether no logit is larger than the label's and none before it as large.
template <int VECTORS>
__device__ __forceinline__ float row_loss(const float* row, int width, int label, bool aligned, bool& correct) {
    float x[4 * VECTORS], sum;
    load_row<VECTORS>(row, width, aligned, x);
    float own = __int_as_float(0x7fffffff);
#pragma unroll
    for (int i = 0; i < 4 * VECTORS; i++) own = i == label && i < width ? x[i] : own;
    correct = true;
#pragma unroll
    for (int i = 0; i < 4 * VECTORS; i++) correct = correct && (i < label ? x[i] < own : x[i] <= own);
    const float max = exponentials(x, sum);
    return (max - own) + logf(sum);
}

template <int VECTORS>
__device__ __forceinline__ Sums narrow_losses(const float* logits, const u8* labels, const float* weights, i64 rows,
                                              int width, bool aligned) {
    Sums sums = {};
#pragma unroll 1
    for (int turn = 0; turn < TURNS; turn++) {
        const i64 row = (blockIdx.x * (i64)TURNS + turn) * THREADS + threadIdx.x;
        const u8 label = row < rows ? labels[row] : IGNORED;
        if (label == IGNORED) continue;
        bool correct;
        const float loss = row_loss<VECTORS>(logits + row * width, width, label, aligned, correct);
        add_row(sums, loss, weights ? weights[row] : 1.0f, correct);
    }
    return sums;
}

extern "C" __global__ void __launch_bounds__(THREADS)
    cross_entropy_forward_narrow(const float* logits, const u8* labels, const float* weights, Sums* partial, i64 rows,
                                 int width, int aligned) {
    const Sums sums = block_sums(width <= 16 ? narrow_losses<4>(logits, labels, weights, rows, width, aligned)
                                             : narrow_losses<8>(logits, labels, weights, rows, width, aligned));
    if (threadIdx.x == 0) partial[blockIdx.x] = sums;
}

// The gradient of a row: scale times the probabilities, less one of the label.
template <int VECTORS, typename T>
__device__ __forceinline__ void row_gradient(const float* row, T* d_row, int width, int label, float scale,
                                             bool aligned) {
    float x[4 * VECTORS], sum = 1.0f;
    if (label == IGNORED) {
#pragma unroll
        for (int i = 0; i < 4 * VECTORS; i++) x[i] = 0.0f;
    } else {
        load_row<VECTORS>(row, width, aligned, x);
        exponentials(x, sum);
        const float normaliser = label < width ? 1.0f / sum : __int_as_float(0x7fffffff);
#pragma unroll
        for (int i = 0; i < 4 * VECTORS; i++) x[i] = scale * (x[i] * normaliser - (i == label ? 1.0f : 0.0f));
    }
#pragma unroll
    for (int i = 0; i < VECTORS; i++) {
        if (aligned && 4 * i < width) {
            const float four[4] = {x[4 * i], x[4 * i + 1], x[4 * i + 2], x[4 * i + 3]};
            store4(d_row + 4 * i, four);
        } else {
#pragma unroll
            for (int j = 4 * i; j < 4 * i + 4; j++)
                if (j < width) store(d_row, j, x[j]);
        }
    }
}

template <typename T>
__device__ __forceinline__ void backward_narrow(const float* logits, const u8* labels, const float* weights,
                                                T* d_logits, i64 rows, int width, float scale, bool aligned) {
    const i64 row = blockIdx.x * (i64)THREADS + threadIdx.x;
    if (row >= rows) return;
    const int label = labels[row];
    if (weights && label != IGNORED) scale *= weights[row];
    if (width <= 16) {
        row_gradient<4>(logits + row * width, d_logits + row * width, width, label, scale, aligned);
    } else {
        row_gradient<8>(logits + row * width, d_logits + row * width, width, label, scale, aligned);
    }
}

// --------------------------------------------------------------------------------------------------- a warp has a row

// The largest logit and the sum of the exponentials below it, in all lanes.
__device__ __forceinline__ float wide_normaliser(const float* row, int width, int lane, float& sum) {
    float max = __int_as_float(0xff800000);
    for (int i = lane; i < width; i += 32) max = fmaxf(max, row[i]);
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) max = fmaxf(max, __shfl_xor_sync(0xffffffffu, max, offset));
    sum = 0.0f;
    for (int i = lane; i < width; i += 32) sum += expf(row[i] - max);
    sum = warp_sum(sum);
    return max;
}

extern "C" __global__ void __launch_bounds__(THREADS)
    cross_entropy_forward_wide(const float* logits, const u8* labels, const float* weights, Sums* partial, i64 rows,
                               int width, int) {
    const int lane = threadIdx.x % 32;
    Sums sums = {};
    for (int turn = 0; turn < TURNS; turn++) {
        const i64 at = (blockIdx.x * (i64)TURNS + turn) * WARPS + threadIdx.x / 32;
        const u8 label = at < rows ? labels[at] : IGNORED;
        if (label == IGNORED) continue;
        const float* row = logits + at * width;
        const float own = label < width ? row[label] : __int_as_float(0x7fffffff);
        bool correct = true;
        for (int i = lane; i < width; i += 32) correct = correct && (i < label ? row[i] < own : row[i] <= own);
        correct = __all_sync(0xffffffffu, correct);
        float sum;
        const float max = wide_normaliser(row, width, lane, sum);
        if (lane == 0) add_row(sums, (max - own) + logf(sum), weights ? weights[at] : 1.0f, correct);
    }
    sums = block_sums(sums);
    if (threadIdx.x == 0) partial[blockIdx.x] = sums;
}

template <typename T>
__device__ __forceinline__ void backward_wide(const float* logits, const u8* labels, const float* weights, T* d_logits,
                                              i64 rows, int width, float scale) {
    const i64 at = blockIdx.x * (i64)WARPS + threadIdx.x / 32;
    if (at >= rows) return;
    const int label = labels[at], lane = threadIdx.x % 32;
    const float* row = logits + at * width;
    T* d_row = d_logits + at * width;
    if (label == IGNORED) {
        for (int i = lane; i < width; i += 32) store(d_row, i, 0.0f);
        return;
    }
    if (weights) scale *= weights[at];
    float sum;
    const float max = wide_normaliser(row, width, lane, sum);
    const float normaliser = label < width ? 1.0f / sum : __int_as_float(0x7fffffff);
    for (int i = lane; i < width; i += 32)
        store(d_row, i, scale * (expf(row[i] - max) * normaliser - (i == label ? 1.0f : 0.0f)));
}

#define KERNELS(NAME, T)                                                                                                \
    extern "C" __global__ void __launch_bounds__(THREADS)                                                               \
        cross_entropy_backward_narrow_##NAME(const float* logits, const u8* labels, const float* weights, T* d_logits,  \
                                             i64 rows, int width, float scale, int aligned) {                           \
        backward_narrow(logits, labels, weights, d_logits, rows, width, scale, aligned);                                \
    }                                                                                                                   \
    extern "C" __global__ void __launch_bounds__(THREADS)                                                               \
        cross_entropy_backward_wide_##NAME(const float* logits, const u8* labels, const float* weights, T* d_logits,    \
                                           i64 rows, int width, float scale, int) {                                     \
        backward_wide(logits, labels, weights, d_logits, rows, width, scale);                                           \
    }

KERNELS(f32, float)
KERNELS(bf16, bf16)
