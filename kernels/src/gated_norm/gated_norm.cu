// The gated norm over time-contiguous rows: see mod.rs. A block has 64 positions of a group: eight threads side by side
// have eight positions each of one channel, and others have the same of every 32nd channel after it.
#include "common.cuh"

constexpr int VECTOR = 8;
constexpr int LANES = 8;
constexpr int TILE = LANES * VECTOR;
constexpr int THREADS = 256;
constexpr int WARPS = THREADS / 32;

// Channels that a block has at once.
constexpr int SLOTS = THREADS / LANES;

// What a thread has.
struct Place {
    u32 batch;
    // The first channel of the group.
    u32 first;
    u32 tile;
    // The first of the thread's channels, counted in the group, and what they are less than.
    u32 slot;
    u32 end;
    // The first of its positions.
    i64 start;
};

// Blocks are in the order batch, group, tile. A thread behind the last position has no channels.
__device__ __forceinline__ Place place(i64 len, u32 group, u32 groups, u32 tiles) {
    Place at;
    const u32 run = blockIdx.x / tiles;
    at.tile = blockIdx.x % tiles;
    at.batch = run / groups;
    at.first = run % groups * group;
    at.slot = threadIdx.x / LANES;
    at.start = at.tile * (i64)TILE + threadIdx.x % LANES * VECTOR;
    at.end = at.start < len ? group : 0;
    return at;
}

// For each position, the sum over all threads that have it, in all of them and always by the same tree.
__device__ __forceinline__ void block_sums(float (&x)[VECTOR], float (&shared)[WARPS][TILE]) {
    const int lane = threadIdx.x % 32, first = threadIdx.x % LANES * VECTOR;
#pragma unroll
    for (int j = 0; j < VECTOR; j++) {
        x[j] += __shfl_xor_sync(0xffffffffu, x[j], 8);
        x[j] += __shfl_xor_sync(0xffffffffu, x[j], 16);
        if (lane < LANES) shared[threadIdx.x / 32][first + j] = x[j];
    }
    __syncthreads();
#pragma unroll
    for (int j = 0; j < VECTOR; j++) {
        x[j] = 0.0f;
#pragma unroll
        for (int warp = 0; warp < WARPS; warp++) x[j] += shared[warp][first + j];
    }
}

// x[j] · silu(z[j])
template <typename T>
__device__ __forceinline__ void load_gated(const T* x, const T* z, i64 start, i64 len, float (&gated)[VECTOR]) {
    float gates[VECTOR];
    load_part(x, start, len, true, gated);
    load_part(z, start, len, true, gates);
#pragma unroll
    for (int j = 0; j < VECTOR; j++) gated[j] *= silu(gates[j]);
}

// x is null where it is in y. A thread reads again what it wrote itself and nothing else.
template <typename T>
__device__ __forceinline__ void forward(const T* x, Strides xs, const T* z, Strides zs, T* y, Strides ys,
                                        const float* weight, i64 len, u32 group, u32 groups, u32 tiles,
                                        float epsilon) {
    __shared__ float shared[WARPS][TILE];
    const Place at = place(len, group, groups, tiles);
    const T* const from = x ? x : y;
    const Strides strides = x ? xs : ys;
    float scale[VECTOR] = {}, values[VECTOR];
#pragma unroll 2
    for (u32 c = at.slot; c < at.end; c += SLOTS) {
        const u32 channel = at.first + c;
        load_gated(row_of(from, strides, at.batch, channel), row_of(z, zs, at.batch, channel), at.start, len, values);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) scale[j] += values[j] * values[j];
    }
    block_sums(scale, shared);
#pragma unroll
    for (int j = 0; j < VECTOR; j++) scale[j] = rsqrtf(scale[j] / group + epsilon);
#pragma unroll 2
    for (u32 c = at.slot; c < at.end; c += SLOTS) {
        const u32 channel = at.first + c;
        load_gated(row_of(from, strides, at.batch, channel), row_of(z, zs, at.batch, channel), at.start, len, values);
        const float w = weight[channel];
#pragma unroll
        for (int j = 0; j < VECTOR; j++) values[j] *= scale[j] * w;
        store_part(row_of(y, ys, at.batch, channel), at.start, len, true, values);
    }
}

// The gradients of one row of the tile but that of the weight, and the sum of the thread's share of that.
template <typename T>
__device__ __forceinline__ float backward_row(const T* x, const T* z, const T* d_out, T* d_x, T* d_z, float weight,
                                              const float (&scale)[VECTOR], const float (&slope)[VECTOR], i64 start,
                                              i64 len, bool add) {
    float values[VECTOR], gates[VECTOR], d[VECTOR], d_weight = 0.0f;
    load_part(x, start, len, true, values);
    load_part(z, start, len, true, gates);
    load_part(d_out, start, len, true, d);
#pragma unroll
    for (int j = 0; j < VECTOR; j++) {
        const float s = sigmoid(gates[j]), gate = gates[j] * s, gated = values[j] * gate;
        if (start + j < len) d_weight += d[j] * gated * scale[j];
        const float d_gated = scale[j] * (d[j] * weight - gated * slope[j]);
        d[j] = d_gated * gate;
        values[j] *= d_gated * silu_slope(gates[j], s);
    }
    if (add) {
        load_part(d_x, start, len, true, gates);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) d[j] += gates[j];
        load_part(d_z, start, len, true, gates);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) values[j] += gates[j];
    }
    store_part(d_x, start, len, true, d);
    store_part(d_z, start, len, true, values);
    return d_weight;
}

// partial has a row of sums of d_weight for each batch and tile.
template <typename T>
__device__ __forceinline__ void backward(const T* x, Strides xs, const T* z, Strides zs, const T* d_out, Strides dos,
                                         T* d_x, Strides dxs, T* d_z, Strides dzs, const float* weight, float* partial,
                                         i64 len, u32 group, u32 groups, u32 tiles, float epsilon, bool add) {
    __shared__ float shared_scale[WARPS][TILE], shared_slope[WARPS][TILE];
    const Place at = place(len, group, groups, tiles);
    // Σ g² and Σ h · g, and then r and r² · mean(h · g).
    float scale[VECTOR] = {}, slope[VECTOR] = {}, values[VECTOR], d[VECTOR];
#pragma unroll 2
    for (u32 c = at.slot; c < at.end; c += SLOTS) {
        const u32 channel = at.first + c;
        load_gated(row_of(x, xs, at.batch, channel), row_of(z, zs, at.batch, channel), at.start, len, values);
        load_part(row_of(d_out, dos, at.batch, channel), at.start, len, true, d);
        const float w = weight[channel];
#pragma unroll
        for (int j = 0; j < VECTOR; j++) {
            scale[j] += values[j] * values[j];
            slope[j] += d[j] * w * values[j];
        }
    }
    block_sums(scale, shared_scale);
    block_sums(slope, shared_slope);
#pragma unroll
    for (int j = 0; j < VECTOR; j++) {
        scale[j] = rsqrtf(scale[j] / group + epsilon);
        slope[j] = scale[j] * scale[j] * (slope[j] / group);
    }
    // Threads behind the last position have nothing to add, but are asked for it.
    float* const sums = partial + (at.batch * (i64)tiles + at.tile) * ((i64)group * groups) + at.first;
    for (u32 base = 0; base < group; base += SLOTS) {
        const u32 c = base + at.slot, channel = at.first + c;
        float d_weight = 0.0f;
        if (c < at.end) {
            d_weight = backward_row(row_of(x, xs, at.batch, channel), row_of(z, zs, at.batch, channel),
                                    row_of(d_out, dos, at.batch, channel), row_of(d_x, dxs, at.batch, channel),
                                    row_of(d_z, dzs, at.batch, channel), weight[channel], scale, slope, at.start, len,
                                    add);
        }
#pragma unroll
        for (int offset = LANES / 2; offset > 0; offset /= 2)
            d_weight += __shfl_xor_sync(0xffffffffu, d_weight, offset);
        if (threadIdx.x % LANES == 0 && c < group) sums[c] = d_weight;
    }
}

#define KERNELS(NAME, T)                                                                                                \
    extern "C" __global__ void __launch_bounds__(THREADS)                                                               \
        gated_norm_forward_##NAME(const T* x, Strides xs, const T* z, Strides zs, T* y, Strides ys,                     \
                                  const float* weight, i64 len, u32 group, u32 groups, u32 tiles, float epsilon) {      \
        forward(x, xs, z, zs, y, ys, weight, len, group, groups, tiles, epsilon);                                       \
    }                                                                                                                   \
    extern "C" __global__ void __launch_bounds__(THREADS)                                                               \
        gated_norm_backward_##NAME(const T* x, Strides xs, const T* z, Strides zs, const T* d_out, Strides dos, T* d_x, \
                                   Strides dxs, T* d_z, Strides dzs, const float* weight, float* partial, i64 len,      \
                                   u32 group, u32 groups, u32 tiles, float epsilon, int add) {                          \
        backward(x, xs, z, zs, d_out, dos, d_x, dxs, d_z, dzs, weight, partial, len, group, groups, tiles, epsilon,     \
                 add);                                                                                                  \
    }

KERNELS(f32, float)
KERNELS(bf16, bf16)
