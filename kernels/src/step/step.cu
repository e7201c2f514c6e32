// One position of many sequences of a causal model: see mod.rs.
//
// Products lie with a warp: its lanes share the channels of a row of weights, four at a time, and it has ROWS rows for the
// SEQUENCES sequences of its block, whose inputs are in shared memory. Each sum is made of the same operations in the same order
// whatever ROWS and SEQUENCES are.
#include "common.cuh"
#include "scan.cuh"

constexpr int VECTOR = 4;
constexpr int STRIDE = 32 * VECTOR;
constexpr int WARPS = 4;

// The most inputs that a convolution keeps.
constexpr int MOST_KEPT = 15;

// States of a lane that are on their way at a time.
constexpr int FLIGHT = 4;

// ----------------------------------------------------------------------------------------------- four numbers at a time

__device__ __forceinline__ void load4(const float* x, float (&out)[VECTOR]) {
    const float4 v = *reinterpret_cast<const float4*>(x);
    out[0] = v.x, out[1] = v.y, out[2] = v.z, out[3] = v.w;
}

__device__ __forceinline__ void load4(const bf16* x, float (&out)[VECTOR]) {
    const uint2 v = *reinterpret_cast<const uint2*>(x);
    out[0] = __uint_as_float(v.x << 16), out[1] = __uint_as_float(v.x & 0xffff0000u);
    out[2] = __uint_as_float(v.y << 16), out[3] = __uint_as_float(v.y & 0xffff0000u);
}

// Numbers i .. i + 4 of len, at once where rows are aligned; zeros from len on.
template <typename T>
__device__ __forceinline__ void load_part4(const T* x, int i, int len, bool aligned, float (&out)[VECTOR]) {
    if (aligned) {
        load4(x + i, out);
        return;
    }
#pragma unroll
    for (int j = 0; j < VECTOR; j++) out[j] = i + j < len ? load(x, i + j) : 0.0f;
}

__device__ __forceinline__ void store4(float* x, const float (&in)[VECTOR]) {
    *reinterpret_cast<float4*>(x) = make_float4(in[0], in[1], in[2], in[3]);
}

// ------------------------------------------------------------------------------------------------------------- products

// The sums over the lanes of COUNT numbers, a power of two: lane l has that of number l / (32 / COUNT). Each is added up by the
// tree of warp_sum.
template <int COUNT>
__device__ __forceinline__ float warp_sums(float (&x)[COUNT]) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int half = COUNT / 2, offset = 16; half > 0; half /= 2, offset /= 2) {
        const bool is_upper = lane & offset;
#pragma unroll
        for (int i = 0; i < half; i++) {
            const float kept = is_upper ? x[i + half] : x[i], sent = is_upper ? x[i] : x[i + half];
            x[i] = kept + __shfl_xor_sync(0xffffffffu, sent, offset);
        }
    }
#pragma unroll
    for (int offset = 16 / COUNT; offset > 0; offset /= 2) x[0] += __shfl_xor_sync(0xffffffffu, x[0], offset);
    return x[0];
}

// What a lane has of the products of a block: one output, or none.
struct Place {
    // Of a warp.
    int first_row;
    int row;
    // Of a block.
    int first_sequence;
    int sequence;
    bool is_there;
};

template <int ROWS, int SEQUENCES>
__device__ __forceinline__ Place place(int rows, int sequences) {
    constexpr int LANES_EACH = 32 / (ROWS * SEQUENCES);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, index = lane / LANES_EACH;
    Place at;
    at.first_row = ((int)blockIdx.x * WARPS + warp) * ROWS;
    at.row = at.first_row + index / SEQUENCES;
    at.first_sequence = (int)blockIdx.y * SEQUENCES;
    at.sequence = at.first_sequence + index % SEQUENCES;
    at.is_there = lane % LANES_EACH == 0 && at.row < rows && at.sequence < sequences;
    return at;
}

// Σ_k weight[row, k] · x[sequence, k] for the lane's place. Rows of x lie `padded` apart, with zeros behind the width.
template <int ROWS, int SEQUENCES, typename T>
__device__ __forceinline__ float products(const T* weight, const Place& at, int rows, int width, bool aligned,
                                          const float* x, int padded) {
    float sums[ROWS * SEQUENCES] = {};
#pragma unroll(ROWS == 1 ? 4 : 2)
    for (int k = threadIdx.x % 32 * VECTOR; k < width; k += STRIDE) {
        float w[ROWS][VECTOR], values[VECTOR];
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            load_part4(weight + min(at.first_row + r, rows - 1) * (i64)width, k, width, aligned, w[r]);
#pragma unroll
        for (int s = 0; s < SEQUENCES; s++) {
            load4(x + s * padded + k, values);
#pragma unroll
            for (int r = 0; r < ROWS; r++)
#pragma unroll
                for (int j = 0; j < VECTOR; j++)
                    sums[r * SEQUENCES + s] = fmaf(w[r][j], values[j], sums[r * SEQUENCES + s]);
        }
    }
    return warp_sums(sums);
}

// ---------------------------------------------------------------------------------------- what products are made of

// How a row is normed.
struct Norm {
    float epsilon;
    int is_layer;
};

// Writes the norm of a row to shared memory; a warp does it.
__device__ __forceinline__ void norm_row(const float* row, int width, bool aligned, const float* weight,
                                         const float* bias, Norm norm, float* out) {
    const int first = threadIdx.x % 32 * VECTOR;
    float sum = 0.0f, squares = 0.0f, values[VECTOR], w[VECTOR], b[VECTOR];
    // A lane reads again what it wrote itself and nothing else.
    for (int k = first; k < width; k += STRIDE) {
        load_part4(row, k, width, aligned, values);
        store4(out + k, values);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) sum += values[j];
    }
    const float mean = norm.is_layer ? warp_sum(sum) / width : 0.0f;
    for (int k = first; k < width; k += STRIDE) {
        load4(out + k, values);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) {
            const float centred = k + j < width ? values[j] - mean : 0.0f;
            squares = fmaf(centred, centred, squares);
        }
    }
    const float scale = rsqrtf(warp_sum(squares) / width + norm.epsilon);
    for (int k = first; k < width; k += STRIDE) {
        load4(out + k, values);
        load_part4(weight, k, width, aligned, w);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) b[j] = 0.0f;
        if (bias) load_part4(bias, k, width, aligned, b);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) values[j] = k + j < width ? fmaf((values[j] - mean) * scale, w[j], b[j]) : 0.0f;
        store4(out + k, values);
    }
}

__device__ __forceinline__ void copy_row(const float* row, int width, bool aligned, float* out) {
    float values[VECTOR];
    for (int k = threadIdx.x % 32 * VECTOR; k < width; k += STRIDE) {
        load_part4(row, k, width, aligned, values);
        store4(out + k, values);
    }
}

// y · silu(z), normed group by group, as a warp writes it to shared memory.
__device__ __forceinline__ void gate_row(const float* y, const float* z, const float* weight, int width, int padded,
                                         int group, float epsilon, float* out) {
    for (int start = 0; start < width; start += group) {
        float squares = 0.0f;
        for (int k = start + threadIdx.x % 32; k < start + group; k += 32) {
            const float gated = y[k] * silu(z[k]);
            out[k] = gated;
            squares = fmaf(gated, gated, squares);
        }
        const float scale = rsqrtf(warp_sum(squares) / group + epsilon);
        for (int k = start + threadIdx.x % 32; k < start + group; k += 32) out[k] = out[k] * scale * weight[k];
    }
    for (int k = width + threadIdx.x % 32; k < padded; k += 32) out[k] = 0.0f;
}

// Has the warps of a block write the inputs of its sequences to shared memory, and waits. Those of a sequence that is not there
// are not written, and what is made of them goes nowhere.
template <int SEQUENCES, typename Write>
__device__ __forceinline__ void stage(int first_sequence, int sequences, Write write) {
    for (int s = threadIdx.x / 32; s < SEQUENCES; s += WARPS)
        if (first_sequence + s < sequences) write(s);
    __syncthreads();
}

// ---------------------------------------------------------------------------------- the input projection and convolution

struct Project {
    Norm norm;
    int sequences;
    int width;
    int rows;
    // Rows that pass the convolution.
    int first;
    int channels;
    int kernel;
    int aligned;
};

// A channel's convolution but for its newest input.
struct Window {
    float sum;
    float tap;
};

// Adds up what the state keeps, and moves it on by one position.
__device__ __forceinline__ Window advance_window(float* kept, const float* taps, const float* bias, int channel,
                                                 int channels, int kernel) {
    float inputs[MOST_KEPT];
#pragma unroll
    for (int j = 0; j < MOST_KEPT; j++) inputs[j] = j < kernel - 1 ? kept[j] : 0.0f;
    Window window;
    window.sum = bias ? bias[channel] : 0.0f;
    window.tap = taps[(kernel - 1) * (i64)channels + channel];
#pragma unroll
    for (int j = 0; j < MOST_KEPT; j++)
        if (j < kernel - 1) window.sum = fmaf(taps[j * (i64)channels + channel], inputs[j], window.sum);
#pragma unroll
    for (int j = 1; j < MOST_KEPT; j++)
        if (j < kernel - 1) kept[j - 1] = inputs[j];
    return window;
}

template <int ROWS, int SEQUENCES, typename T>
__device__ __forceinline__ void project(const float* stream, const float* norm_weight, const float* norm_bias,
                                        const T* weight, const float* bias, const float* taps, const float* tap_bias,
                                        float* state, float* out, Project sizes) {
    extern __shared__ float4 shared[];
    float* const x = reinterpret_cast<float*>(shared);
    const int width = sizes.width, padded = (width + VECTOR - 1) / VECTOR * VECTOR;
    const Place at = place<ROWS, SEQUENCES>(sizes.rows, sizes.sequences);
    const int channel = at.row - sizes.first, before = sizes.kernel - 1;
    const bool is_convolved = at.is_there && channel >= 0 && channel < sizes.channels;
    float* const kept = state + (at.sequence * (i64)sizes.channels + channel) * before;
    Window window = {};
    if (is_convolved) window = advance_window(kept, taps, tap_bias, channel, sizes.channels, sizes.kernel);
    stage<SEQUENCES>(at.first_sequence, sizes.sequences, [&](int s) {
        const float* const row = stream + (at.first_sequence + s) * (i64)width;
        norm_row(row, width, sizes.aligned, norm_weight, norm_bias, sizes.norm, x + s * padded);
    });
    float value = products<ROWS, SEQUENCES>(weight, at, sizes.rows, width, sizes.aligned, x, padded);
    if (!at.is_there) return;
    if (bias) value += bias[at.row];
    if (is_convolved) {
        if (before > 0) kept[before - 1] = value;
        value = silu(fmaf(window.tap, value, window.sum));
    }
    out[at.sequence * (i64)sizes.rows + at.row] = value;
}

// ------------------------------------------------------------------------------------------------------ other products

struct Multiply {
    int sequences;
    // Channels of a row of x, and from one row to the next.
    int width;
    int stride;
    int rows;
    int adds;
    int aligned;
};

// Where a gate lies, and how its product is normed.
struct Gate {
    int stride;
    int group;
    float epsilon;
};

template <int ROWS, int SEQUENCES, typename T>
__device__ __forceinline__ void multiply_staged(const T* weight, const float* bias, float* out, const float* x,
                                                int padded, const Place& at, Multiply sizes) {
    float value = products<ROWS, SEQUENCES>(weight, at, sizes.rows, sizes.width, sizes.aligned, x, padded);
    if (!at.is_there) return;
    if (bias) value += bias[at.row];
    float* const to = out + at.sequence * (i64)sizes.rows + at.row;
    *to = sizes.adds ? *to + value : value;
}

template <int ROWS, int SEQUENCES, typename T>
__device__ __forceinline__ void multiply(const float* x, const T* weight, const float* bias, float* out, Multiply sizes) {
    extern __shared__ float4 shared[];
    float* const staged = reinterpret_cast<float*>(shared);
    const int padded = (sizes.width + VECTOR - 1) / VECTOR * VECTOR;
    const Place at = place<ROWS, SEQUENCES>(sizes.rows, sizes.sequences);
    stage<SEQUENCES>(at.first_sequence, sizes.sequences, [&](int s) {
        const float* const row = x + (at.first_sequence + s) * (i64)sizes.stride;
        copy_row(row, sizes.width, sizes.aligned, staged + s * padded);
    });
    multiply_staged<ROWS, SEQUENCES>(weight, bias, out, staged, padded, at, sizes);
}

template <int ROWS, int SEQUENCES, typename T>
__device__ __forceinline__ void multiply_gated(const float* y, const float* z, const float* norm_weight, const T* weight,
                                               const float* bias, float* out, Gate gate, Multiply sizes) {
    extern __shared__ float4 shared[];
    float* const staged = reinterpret_cast<float*>(shared);
    const int padded = (sizes.width + VECTOR - 1) / VECTOR * VECTOR;
    const Place at = place<ROWS, SEQUENCES>(sizes.rows, sizes.sequences);
    stage<SEQUENCES>(at.first_sequence, sizes.sequences, [&](int s) {
        const i64 sequence = at.first_sequence + s;
        gate_row(y + sequence * sizes.stride, z + sequence * gate.stride, norm_weight, sizes.width, padded, gate.group,
                 gate.epsilon, staged + s * padded);
    });
    multiply_staged<ROWS, SEQUENCES>(weight, bias, out, staged, padded, at, sizes);
}

#define PRODUCTS(T, TYPE, ROWS, SEQUENCES)                                                                             \
    extern "C" __global__ void __launch_bounds__(32 * WARPS) step_project_##TYPE##_##ROWS##x##SEQUENCES(               \
        const float* stream, const float* norm_weight, const float* norm_bias, const T* weight, const float* bias,     \
        const float* taps, const float* tap_bias, float* state, float* out, Project sizes) {                           \
        await_previous();                                                                                              \
        project<ROWS, SEQUENCES>(stream, norm_weight, norm_bias, weight, bias, taps, tap_bias, state, out, sizes);     \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(32 * WARPS) step_multiply_##TYPE##_##ROWS##x##SEQUENCES(              \
        const float* x, const T* weight, const float* bias, float* out, Multiply sizes) {                              \
        await_previous();                                                                                              \
        multiply<ROWS, SEQUENCES>(x, weight, bias, out, sizes);                                                        \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(32 * WARPS) step_multiply_gated_##TYPE##_##ROWS##x##SEQUENCES(        \
        const float* y, const float* z, const float* norm_weight, const T* weight, const float* bias, float* out,      \
        Gate gate, Multiply sizes) {                                                                                   \
        await_previous();                                                                                              \
        multiply_gated<ROWS, SEQUENCES>(y, z, norm_weight, weight, bias, out, gate, sizes);                            \
    }

PRODUCTS(float, f32, 1, 1)
PRODUCTS(float, f32, 1, 8)
PRODUCTS(float, f32, 4, 8)
PRODUCTS(bf16, bf16, 1, 1)
PRODUCTS(bf16, bf16, 1, 8)
PRODUCTS(bf16, bf16, 4, 8)

// ------------------------------------------------------------------------------------------------------------- the scans

// Adds a number of each warp of a block, for each lane, from the first warp to the last.
__device__ __forceinline__ float add_warps(float (*sums)[32], float x) {
    const int lane = threadIdx.x % 32;
    sums[threadIdx.x / 32][lane] = x;
    __syncthreads();
    float sum = 0.0f;
#pragma unroll
    for (int warp = 0; warp < WARPS; warp++) sum += sums[warp][lane];
    return sum;
}

struct Scan {
    int channels;
    int states;
    int rank;
    // From one sequence to the next of what the input projection gave, and where the gate lies in it.
    int stride;
    int gate;
};

// A block has 32 channels of a sequence, a lane each; its warps share the states.
template <typename T>
__device__ __forceinline__ void scan(const float* projected, const float* selected, const T* dt_proj, const float* a,
                                     const float* d, const float* delta_bias, float* state, float* y, Scan sizes) {
    __shared__ float low_rank[WARPS][32], read[WARPS][32];
    const int warp = threadIdx.x / 32, own = (int)blockIdx.x * 32 + threadIdx.x % 32;
    const int channels = sizes.channels, states = sizes.states, channel = min(own, channels - 1);
    const i64 sequence = blockIdx.y;
    projected += sequence * sizes.stride;
    selected += sequence * (sizes.rank + 2 * states);
    state += sequence * states * channels;

    float h[FLIGHT], rate[FLIGHT];
    auto fetch = [&](int first) {
#pragma unroll
        for (int j = 0; j < FLIGHT; j++) {
            const i64 at = min(first + j * WARPS, states - 1) * (i64)channels + channel;
            h[j] = state[at];
            rate[j] = a[at];
        }
    };
    fetch(warp);
    const float u = projected[channel], z = projected[sizes.gate + channel];
    float delta = 0.0f;
    for (int r = warp; r < sizes.rank; r += WARPS) delta = fmaf(load(dt_proj, channel * (i64)sizes.rank + r), selected[r], delta);
    delta = softplus<float>(add_warps(low_rank, delta) + delta_bias[channel]);

    const float* const b = selected + sizes.rank;
    const float* const c = b + states;
    float q = 0.0f;
    for (int first = warp; first < states; first += FLIGHT * WARPS) {
        if (first != warp) fetch(first);
#pragma unroll
        for (int j = 0; j < FLIGHT; j++) {
            const int n = first + j * WARPS;
            if (n >= states) break;
            h[j] = fmaf(exp2_fast(delta * rate[j] * LOG2_E), h[j], delta * u * b[n]);
            q = fmaf(c[n], h[j], q);
            if (own < channels) state[n * (i64)channels + channel] = h[j];
        }
    }
    q = fmaf(d[channel], u, add_warps(read, q));
    if (warp == 0 && own < channels) y[sequence * channels + channel] = q * silu(z);
}

extern "C" __global__ void __launch_bounds__(32 * WARPS)
    step_scan_f32(const float* projected, const float* selected, const float* dt_proj, const float* a, const float* d,
                  const float* delta_bias, float* state, float* y, Scan sizes) {
    await_previous();
    scan(projected, selected, dt_proj, a, d, delta_bias, state, y, sizes);
}

extern "C" __global__ void __launch_bounds__(32 * WARPS)
    step_scan_bf16(const float* projected, const float* selected, const bf16* dt_proj, const float* a, const float* d,
                   const float* delta_bias, float* state, float* y, Scan sizes) {
    await_previous();
    scan(projected, selected, dt_proj, a, d, delta_bias, state, y, sizes);
}

struct Duality {
    float least;
    float largest;
    int head_dim;
    int channels;
    int states;
    // Channels of a group of heads that share B and C, and all states of all groups.
    int group;
    int shared;
    // From one sequence to the next of what the input projection gave, and where x and the step sizes lie in it.
    int stride;
    int main;
    int steps;
};

// As the scan of Mamba, with one rate of a head.
extern "C" __global__ void __launch_bounds__(32 * WARPS)
    step_duality(const float* projected, const float* a, const float* d, const float* dt_bias, float* state, float* y,
                 Duality sizes) {
    __shared__ float read[WARPS][32];
    await_previous();
    const int warp = threadIdx.x / 32, own = (int)blockIdx.x * 32 + threadIdx.x % 32;
    const int states = sizes.states, channel = min(own, sizes.channels - 1), head = channel / sizes.head_dim;
    const i64 sequence = blockIdx.y;
    projected += sequence * sizes.stride;
    state += sequence * states * sizes.channels + head * (i64)states * sizes.head_dim + channel % sizes.head_dim;
    const float* const b = projected + sizes.main + sizes.channels + channel / sizes.group * states;
    const float* const c = b + sizes.shared;

    float h[FLIGHT];
    auto fetch = [&](int first) {
#pragma unroll
        for (int j = 0; j < FLIGHT; j++) h[j] = state[min(first + j * WARPS, states - 1) * (i64)sizes.head_dim];
    };
    fetch(warp);
    const float raw = softplus<float>(projected[sizes.steps + head] + dt_bias[head]);
    const float delta = fminf(fmaxf(raw, sizes.least), sizes.largest), decay = exp2_fast(delta * a[head] * LOG2_E);
    const float x = projected[sizes.main + channel];
    float q = 0.0f;
    for (int first = warp; first < states; first += FLIGHT * WARPS) {
        if (first != warp) fetch(first);
#pragma unroll
        for (int j = 0; j < FLIGHT; j++) {
            const int n = first + j * WARPS;
            if (n >= states) break;
            h[j] = fmaf(decay, h[j], delta * x * b[n]);
            q = fmaf(c[n], h[j], q);
            if (own < sizes.channels) state[n * (i64)sizes.head_dim] = h[j];
        }
    }
    q = fmaf(d[head], x, add_warps(read, q));
    if (warp == 0 && own < sizes.channels) y[sequence * sizes.channels + channel] = q;
}

// ------------------------------------------------------------------------------------------------- from logits to logits

struct Head {
    Norm norm;
    int width;
    int aligned;
    // Rows of the table that stand for the bases.
    int bases[4];
};

// A block has a sequence, a warp a base. The first block counts the step.
template <typename T>
__device__ __forceinline__ void head(const float* stream, const float* norm_weight, const float* norm_bias,
                                     const T* table, float* logits, u32* step, Head sizes) {
    extern __shared__ float4 shared[];
    float* const x = reinterpret_cast<float*>(shared);
    const int warp = threadIdx.x / 32, width = sizes.width;
    if (warp == 0)
        norm_row(stream + blockIdx.x * (i64)width, width, sizes.aligned, norm_weight, norm_bias, sizes.norm, x);
    __syncthreads();
    const Place at = {};
    const T* const row = table + sizes.bases[warp] * (i64)width;
    const float logit = products<1, 1>(row, at, 1, width, sizes.aligned, x, 0);
    if (threadIdx.x % 32 == 0) logits[blockIdx.x * 4 + warp] = logit;
    if (blockIdx.x == 0 && threadIdx.x == 0) *step += 1;
}

extern "C" __global__ void __launch_bounds__(32 * WARPS)
    step_head_f32(const float* stream, const float* norm_weight, const float* norm_bias, const float* table,
                  float* logits, u32* step, Head sizes) {
    await_previous();
    head(stream, norm_weight, norm_bias, table, logits, step, sizes);
}

extern "C" __global__ void __launch_bounds__(32 * WARPS)
    step_head_bf16(const float* stream, const float* norm_weight, const float* norm_bias, const bf16* table,
                   float* logits, u32* step, Head sizes) {
    await_previous();
    head(stream, norm_weight, norm_bias, table, logits, step, sizes);
}

struct Choose {
    double temperature;
    int top_k;
    int sequences;
    int width;
    int is_aligned;
    // Rows of the table that stand for the bases.
    int bases[4];
};

// What stands for a base where a logit was not finite.
constexpr u8 NOT_FINITE = 255;

// Bits of a finite number as an integer that is larger where the number is; -0 is below 0.
__device__ __forceinline__ int rank_of(float x) {
    const int bits = __float_as_int(x);
    return bits ^ (int)((u32)(bits >> 31) >> 1);
}

// The base that a number in [0, 1) stands for, in the operations of `Choice::choose`; the four first lanes share the exponentials.
__device__ __forceinline__ int choose(float (&logits)[4], double unit, const Choose& choice) {
    int order[4] = {0, 1, 2, 3};
#pragma unroll
    for (int i = 1; i < 4; i++)
#pragma unroll
        for (int j = i; j > 0; j--) {
            const bool is_later = rank_of(logits[j - 1]) < rank_of(logits[j]);
            const float logit = logits[j - 1];
            const int base = order[j - 1];
            logits[j - 1] = is_later ? logits[j] : logit, logits[j] = is_later ? logit : logits[j];
            order[j - 1] = is_later ? order[j] : base, order[j] = is_later ? base : order[j];
        }
    if (choice.temperature == 0.0) return order[0];
    const int lane = threadIdx.x % 4;
    const float logit = lane == 0 ? logits[0] : lane == 1 ? logits[1] : lane == 2 ? logits[2] : logits[3];
    const double own = exp(((double)logit - (double)logits[0]) / choice.temperature);
    double weights[4], total = 0.0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        weights[i] = __shfl_sync(0xffffffffu, own, i);
        if (i < choice.top_k) total = __dadd_rn(total, weights[i]);
    }
    double left = __dmul_rn(unit, total);
    int taken = order[0];
    bool is_taken = false;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        left = __dadd_rn(left, -weights[i]);
        const bool is_here = !is_taken && i < choice.top_k && left < 0.0;
        taken = is_here ? order[i] : taken;
        is_taken = is_taken || is_here;
    }
    return taken;
}

// Chooses the next base of each sequence and begins its way through the layers. A warp has a sequence.
extern "C" __global__ void __launch_bounds__(32 * WARPS)
    step_choose(const float* logits, const double* units, const u32* step, const float* table, float* stream, u8* chosen,
                Choose choice) {
    await_previous();
    const int sequence = (int)blockIdx.x * WARPS + threadIdx.x / 32, width = choice.width;
    if (sequence >= choice.sequences) return;
    const float4 v = reinterpret_cast<const float4*>(logits)[sequence];
    float own[4] = {v.x, v.y, v.z, v.w};
    const i64 at = *step * (i64)choice.sequences + sequence;
    bool is_finite = true;
#pragma unroll
    for (int i = 0; i < 4; i++) is_finite = is_finite && fabsf(own[i]) < __int_as_float(0x7f800000);
    const int base = is_finite ? choose(own, units[at], choice) : 0;
    if (threadIdx.x % 32 == 0) chosen[at] = is_finite ? (u8)base : NOT_FINITE;
    const float* const row = table + choice.bases[base] * (i64)width;
    float* const to = stream + sequence * (i64)width;
    float values[VECTOR];
    for (int k = threadIdx.x % 32 * VECTOR; k < width; k += STRIDE) {
        load_part4(row, k, width, choice.is_aligned, values);
#pragma unroll
        for (int j = 0; j < VECTOR; j++)
            if (k + j < width) to[k + j] = values[j];
    }
}
