// Gating by SiLU over time-contiguous rows: see mod.rs. A thread has eight positions of a channel. Without x the output is
// gated in place.
#include "common.cuh"

template <typename T>
__device__ __forceinline__ void forward(const T* x, Strides xs, const T* z, Strides zs, T* out, Strides os, i64 len,
                                        u32 channels, u32 segments) {
    const Piece at = piece(channels, segments);
    if (at.start >= len) return;
    float values[8], gates[8];
    T* out_row = row_of(out, os, at.batch, at.channel);
    load_part(x ? row_of(x, xs, at.batch, at.channel) : out_row, at.start, len, true, values);
    load_part(row_of(z, zs, at.batch, at.channel), at.start, len, true, gates);
#pragma unroll
    for (int j = 0; j < 8; j++) values[j] *= silu(gates[j]);
    store_part(out_row, at.start, len, true, values);
}

template <typename T>
__device__ __forceinline__ void backward(T* x, Strides xs, const T* z, Strides zs, const T* d_out, Strides dos, T* d_x,
                                         Strides dxs, T* d_z, Strides dzs, i64 len, u32 channels, u32 segments,
                                         bool gates) {
    const Piece at = piece(channels, segments);
    if (at.start >= len) return;
    T* x_row = row_of(x, xs, at.batch, at.channel);
    float values[8], gate[8], gated[8], d[8];
    load_part(x_row, at.start, len, true, values);
    load_part(row_of(z, zs, at.batch, at.channel), at.start, len, true, gate);
    load_part(row_of(d_out, dos, at.batch, at.channel), at.start, len, true, d);
#pragma unroll
    for (int j = 0; j < 8; j++) {
        const float s = sigmoid(gate[j]);
        gated[j] = values[j] * (gate[j] * s);
        values[j] *= d[j] * silu_slope(gate[j], s);
        d[j] *= gate[j] * s;
    }
    if (gates) store_part(x_row, at.start, len, true, gated);
    store_part(row_of(d_x, dxs, at.batch, at.channel), at.start, len, true, d);
    store_part(row_of(d_z, dzs, at.batch, at.channel), at.start, len, true, values);
}

#define KERNELS(NAME, T)                                                                                               \
    extern "C" __global__ void silu_gate_forward_##NAME(const T* x, Strides xs, const T* z, Strides zs, T* out,        \
                                                        Strides os, i64 len, u32 channels, u32 segments) {             \
        forward(x, xs, z, zs, out, os, len, channels, segments);                                                       \
    }                                                                                                                  \
    extern "C" __global__ void silu_gate_backward_##NAME(T* x, Strides xs, const T* z, Strides zs, const T* d_out,     \
                                                         Strides dos, T* d_x, Strides dxs, T* d_z, Strides dzs,        \
                                                         i64 len, u32 channels, u32 segments, int gates) {             \
        backward(x, xs, z, zs, d_out, dos, d_x, dxs, d_z, dzs, len, channels, segments, gates);                        \
    }

KERNELS(f32, float)
KERNELS(bf16, bf16)
