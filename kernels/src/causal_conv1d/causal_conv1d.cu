// Depthwise causal convolution with SiLU over time-contiguous rows: see mod.rs. A thread has eight positions of a
// channel. MAX is the most taps that a kernel takes; REVERSE walks from the last position to the first.
//
// Positions are counted in the direction of the walk where it matters ("steps"): step 0 is the first one walked.
#include "common.cuh"

constexpr int VECTOR = 8;
constexpr int WARPS = 8;
// Pieces whose sums a block of the backward kernel adds up.
constexpr u32 TURNS = 8;

// What all kernels take. The state is [B, D, K-1] in the order of positions, the taps [K, D].
struct Shape {
    i64 len;
    u32 channels;
    u32 segments;
    int kernel;
    int reverse;
};

// Where step -1 - i lies in the state, and the final state's last step but i.
__device__ __forceinline__ int state_index(int i, int before, bool reverse) { return reverse ? i : before - 1 - i; }

// The weights of a channel, newest first: taps[j] meets the step j before. Those from K on are not read.
template <int MAX>
__device__ __forceinline__ void load_taps(const float* weight, u32 channel, u32 channels, int kernel,
                                          float (&taps)[MAX]) {
#pragma unroll
    for (int j = 0; j < MAX; j++) taps[j] = j < kernel ? weight[(kernel - 1 - j) * (i64)channels + channel] : 0.0f;
}

// The steps first - BEFORE .. first + 8 + AFTER of a row, where `first` is the first step of the vector at position
// `start`. What the sequence does not have is 0.
template <int BEFORE, int AFTER, bool REVERSE, typename T>
__device__ __forceinline__ void load_steps(const T* row, i64 start, i64 len, float (&out)[BEFORE + VECTOR + AFTER]) {
    constexpr int FROM = -((BEFORE + VECTOR - 1) / VECTOR), TO = (AFTER + VECTOR - 1) / VECTOR;
#pragma unroll
    for (int v = FROM; v <= TO; v++) {
        const i64 at = REVERSE ? start - VECTOR * v : start + VECTOR * v;
        float part[VECTOR] = {};
        if (at >= 0 && at < len) load8(row + at, part);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) {
            const int i = BEFORE + (REVERSE ? VECTOR * v + VECTOR - 1 - j : VECTOR * v + j);
            if (i >= 0 && i < BEFORE + VECTOR + AFTER) out[i] = at + j < len ? part[j] : 0.0f;
        }
    }
}

// Fills in the steps before the sequence, which the state has.
template <int SIZE>
__device__ __forceinline__ void load_state(const float* state, i64 first, int before, bool reverse,
                                           float (&steps)[SIZE]) {
    if (first >= 0) return;
#pragma unroll
    for (int i = 0; i < SIZE; i++) {
        const i64 back = -(first + i) - 1;
        if (back >= 0 && back < before) steps[i] = state[state_index((int)back, before, reverse)];
    }
}

// The convolution at the step whose newest input is x[0] and whose oldest is x[-(K-1)].
template <int MAX>
__device__ __forceinline__ float convolve(const float* x, const float (&taps)[MAX], int kernel, float bias) {
    float sum = bias;
#pragma unroll
    for (int j = 0; j < MAX; j++)
        if (j < kernel) sum += taps[j] * x[-j];
    return sum;
}

template <typename T, int MAX, bool REVERSE>
__device__ __forceinline__ void forward(const T* x, Strides xs, const float* weight, const float* bias,
                                        const float* state, T* out, Strides os, Shape shape) {
    const Piece at = piece(shape.channels, shape.segments);
    if (at.start >= shape.len) return;
    const int before = shape.kernel - 1;
    const i64 first = REVERSE ? shape.len - VECTOR - at.start : at.start;
    float taps[MAX], steps[MAX - 1 + VECTOR], values[VECTOR];
    load_taps(weight, at.channel, shape.channels, shape.kernel, taps);
    load_steps<MAX - 1, 0, REVERSE>(row_of(x, xs, at.batch, at.channel), at.start, shape.len, steps);
    load_state(state + (at.batch * (i64)shape.channels + at.channel) * before, first - (MAX - 1), before, REVERSE, steps);
    const float b = bias ? bias[at.channel] : 0.0f;
#pragma unroll
    for (int i = 0; i < VECTOR; i++)
        values[REVERSE ? VECTOR - 1 - i : i] = silu(convolve(steps + i + MAX - 1, taps, shape.kernel, b));
    store_part(row_of(out, os, at.batch, at.channel), at.start, shape.len, true, values);
}

// The last K-1 steps of the state and the sequence take the state's place. A thread has a row.
template <typename T>
__device__ __forceinline__ void final_state(const T* x, Strides xs, float* state, u32 rows, Shape shape) {
    constexpr int MOST = 15;
    const u32 row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    const int before = shape.kernel - 1;
    const T* own = row_of(x, xs, row / shape.channels, row % shape.channels);
    float* own_state = state + row * (i64)before;
    float kept[MOST];
#pragma unroll
    for (int i = 0; i < MOST; i++) {
        if (i >= before) continue;
        const i64 step = shape.len - 1 - i;
        kept[i] = step >= 0 ? load(own, shape.reverse ? shape.len - 1 - step : step)
                            : own_state[state_index((int)(-step - 1), before, shape.reverse)];
    }
#pragma unroll
    for (int i = 0; i < MOST; i++)
        if (i < before) own_state[state_index(i, before, shape.reverse)] = kept[i];
}

// Adds the numbers of a block's threads, by the same tree whatever they are: sum i is that of thread i.
template <int COUNT>
__device__ __forceinline__ float block_sums(const float (&values)[COUNT]) {
    __shared__ float sums[WARPS][COUNT];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
        const float sum = warp_sum(values[i]);
        if (lane == 0) sums[warp][i] = sum;
    }
    __syncthreads();
    float total = 0.0f;
    if (threadIdx.x < COUNT)
        for (int other = 0; other < blockDim.x / 32; other++) total += sums[other][threadIdx.x];
    return total;
}

// What a thread has of one of all sequences' pieces, which are in the order of sequences and segments.
__device__ __forceinline__ Piece piece_of(u32 index, u32 channel, u32 segments) {
    const u32 segment = index % segments;
    return {index / segments, channel, segment, segment * (i64)2048 + threadIdx.x * VECTOR};
}

// d_state is the gradient of the final state; partial is [groups, K + 1, D], the taps' sums and then the bias's. A block has
// TURNS pieces of a channel, of all sequences' pieces one after the other.
template <typename T, int MAX, bool REVERSE>
__device__ __forceinline__ void backward(const T* x, Strides xs, const float* weight, const float* bias,
                                         const float* state, const T* d_out, Strides dos, const float* d_state, T* d_x,
                                         Strides dxs, float* partial, Shape shape, u32 pieces, bool add) {
    constexpr int HALO = MAX - 1;
    const u32 channel = blockIdx.x % shape.channels, group = blockIdx.x / shape.channels;
    const int before = shape.kernel - 1;
    const float b = bias ? bias[channel] : 0.0f;
    float taps[MAX];
    load_taps(weight, channel, shape.channels, shape.kernel, taps);
    // The sums of the taps, newest first, and of the bias.
    float sums[MAX + 1] = {};
#pragma unroll 1
    for (u32 own = group * TURNS; own < min((group + 1) * TURNS, pieces); own++) {
        const Piece at = piece_of(own, channel, shape.segments);
        if (at.start >= shape.len) continue;
        const i64 first = REVERSE ? shape.len - VECTOR - at.start : at.start;
        const i64 state_at = (at.batch * (i64)shape.channels + channel) * before;
        float steps[HALO + VECTOR + HALO], d[VECTOR + HALO];
        load_steps<HALO, HALO, REVERSE>(row_of(x, xs, at.batch, at.channel), at.start, shape.len, steps);
        load_state(state + state_at, first - HALO, before, REVERSE, steps);
        load_steps<0, HALO, REVERSE>(row_of(d_out, dos, at.batch, at.channel), at.start, shape.len, d);
        // To the gradient of the sum inside the SiLU.
#pragma unroll
        for (int i = 0; i < VECTOR + HALO; i++) {
            const float sum = convolve(steps + i + HALO, taps, shape.kernel, b), s = sigmoid(sum);
            const bool inside = first + i >= 0 && first + i < shape.len;
            d[i] = inside ? d[i] * silu_slope(sum, s) : 0.0f;
        }
        T* d_row = row_of(d_x, dxs, at.batch, at.channel);
        float values[VECTOR];
        if (add) load_part(d_row, at.start, shape.len, true, values);
#pragma unroll
        for (int i = 0; i < VECTOR; i++) {
            float sum = 0.0f;
#pragma unroll
            for (int j = 0; j < MAX; j++) {
                if (j >= shape.kernel) continue;
                sum += taps[j] * d[i + j];
                sums[j] += d[i] * steps[i + HALO - j];
            }
            sums[MAX] += d[i];
            const i64 left = shape.len - 1 - (first + i);
            if (left >= 0 && left < before) sum += d_state[state_at + state_index((int)left, before, REVERSE)];
            const int place = REVERSE ? VECTOR - 1 - i : i;
            values[place] = add ? values[place] + sum : sum;
        }
        store_part(d_row, at.start, shape.len, true, values);
    }
    const float total = block_sums(sums);
    const int j = threadIdx.x;
    if (j < shape.kernel || j == MAX) {
        const int column = j == MAX ? shape.kernel : shape.kernel - 1 - j;
        partial[(group * (i64)(shape.kernel + 1) + column) * shape.channels + channel] = total;
    }
}

// The gradient of the sum inside the SiLU at a step of the sequence.
template <typename T>
__device__ float step_gradient(const T* x, const float* weight, const float* state, const T* d_out, float bias, i64 step,
                               u32 channel, const Shape& shape) {
    const int before = shape.kernel - 1;
    float sum = bias;
    for (int j = 0; j < shape.kernel; j++) {
        const i64 at = step - j;
        const float input = at >= 0 ? load(x, shape.reverse ? shape.len - 1 - at : at)
                                    : state[state_index((int)(-at - 1), before, shape.reverse)];
        sum += weight[(before - j) * (i64)shape.channels + channel] * input;
    }
    return load(d_out, shape.reverse ? shape.len - 1 - step : step) * silu_slope(sum, sigmoid(sum));
}

// Replaces the gradient of the final state by that of the initial one. A thread has a row.
template <typename T>
__device__ __forceinline__ void initial_gradient(const T* x, Strides xs, const float* weight, const float* bias,
                                                 const float* state, const T* d_out, Strides dos, float* d_state,
                                                 u32 rows, Shape shape) {
    const u32 row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    const u32 batch = row / shape.channels, channel = row % shape.channels;
    const int before = shape.kernel - 1;
    const T* own = row_of(x, xs, batch, channel);
    const T* own_d = row_of(d_out, dos, batch, channel);
    const float* own_state = state + row * (i64)before;
    float* own_d_state = d_state + row * (i64)before;
    const float b = bias ? bias[channel] : 0.0f;
    // Step -1 - i. A stretch shorter than the state leaves it a part of the final state, as the last step but i + L, which
    // is read here before its own turn comes.
    for (int i = 0; i < before; i++) {
        float sum = i + shape.len < before ? own_d_state[state_index((int)(i + shape.len), before, shape.reverse)] : 0.0f;
        for (int j = i + 1; j < shape.kernel && j - i - 1 < shape.len; j++)
            sum += weight[(before - j) * (i64)shape.channels + channel] *
                   step_gradient(own, weight, own_state, own_d, b, j - i - 1, channel, shape);
        own_d_state[state_index(i, before, shape.reverse)] = sum;
    }
}

#define WALKS(NAME, T, MAX, WALK, REVERSE)                                                                             \
    extern "C" __global__ void causal_conv1d_forward_##NAME##_##MAX##_##WALK(                                          \
        const T* x, Strides xs, const float* weight, const float* bias, const float* state, T* out, Strides os,        \
        Shape shape) {                                                                                                 \
        forward<T, MAX, REVERSE>(x, xs, weight, bias, state, out, os, shape);                                          \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(32 * WARPS) causal_conv1d_backward_##NAME##_##MAX##_##WALK(           \
        const T* x, Strides xs, const float* weight, const float* bias, const float* state, const T* d_out,            \
        Strides dos, const float* d_state, T* d_x, Strides dxs, float* partial, Shape shape, u32 pieces, int add) {    \
        backward<T, MAX, REVERSE>(x, xs, weight, bias, state, d_out, dos, d_state, d_x, dxs, partial, shape, pieces,   \
                                  add);                                                                                \
    }

#define KERNELS(NAME, T)                                                                                               \
    WALKS(NAME, T, 4, forward, false)                                                                                  \
    WALKS(NAME, T, 4, reverse, true)                                                                                   \
    WALKS(NAME, T, 16, forward, false)                                                                                 \
    WALKS(NAME, T, 16, reverse, true)                                                                                  \
    extern "C" __global__ void causal_conv1d_final_state_##NAME(const T* x, Strides xs, float* state, u32 rows,        \
                                                                Shape shape) {                                         \
        final_state(x, xs, state, rows, shape);                                                                        \
    }                                                                                                                  \
    extern "C" __global__ void causal_conv1d_initial_gradient_##NAME(                                                  \
        const T* x, Strides xs, const float* weight, const float* bias, const float* state, const T* d_out,            \
        Strides dos, float* d_state, u32 rows, Shape shape) {                                                          \
        initial_gradient(x, xs, weight, bias, state, d_out, dos, d_state, rows, shape);                                \
    }

KERNELS(f32, float)
KERNELS(bf16, bf16)
