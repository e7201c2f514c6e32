// What kernels share. No CUDA header is needed, so that none has to be installed.
#pragma once

typedef long long i64;
typedef unsigned long long u64;
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;

// The upper half of a float.
struct bf16 {
    u16 bits;
};

// ---------------------------------------------------------------------------------------------------- single numbers

__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ float widen(bf16 x) { return __uint_as_float((u32)x.bits << 16); }

// The nearest value of a type, ties to even.
template <typename T>
__device__ __forceinline__ T narrow(float x);

template <>
__device__ __forceinline__ float narrow<float>(float x) {
    return x;
}

template <>
__device__ __forceinline__ bf16 narrow<bf16>(float x) {
    bf16 y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}

// Two numbers as one word, the first one in the lower half.
__device__ __forceinline__ u32 narrow2(float low, float high) {
    u32 word;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
}

template <typename T>
__device__ __forceinline__ float load(const T* x, i64 i) {
    return widen(x[i]);
}

template <typename T>
__device__ __forceinline__ void store(T* x, i64 i, float value) {
    x[i] = narrow<T>(value);
}

// ---------------------------------------------------------------------------------------------------- kernel after kernel

// Of a kernel that may begin before the one before it has ended: waits for its end, and lets the next one begin.
__device__ __forceinline__ void await_previous() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;");
    asm volatile("griddepcontrol.wait;" : : : "memory");
#endif
}

// ------------------------------------------------------------------------------- eight numbers from a 16-byte border on

__device__ __forceinline__ void load8(const float* x, float (&out)[8]) {
    const float4 a = reinterpret_cast<const float4*>(x)[0], b = reinterpret_cast<const float4*>(x)[1];
    out[0] = a.x, out[1] = a.y, out[2] = a.z, out[3] = a.w;
    out[4] = b.x, out[5] = b.y, out[6] = b.z, out[7] = b.w;
}

__device__ __forceinline__ void load8(const bf16* x, float (&out)[8]) {
    const uint4 a = *reinterpret_cast<const uint4*>(x);
    const u32 words[4] = {a.x, a.y, a.z, a.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        out[2 * i] = __uint_as_float(words[i] << 16);
        out[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
    }
}

__device__ __forceinline__ void store8(float* x, const float (&in)[8]) {
    reinterpret_cast<float4*>(x)[0] = make_float4(in[0], in[1], in[2], in[3]);
    reinterpret_cast<float4*>(x)[1] = make_float4(in[4], in[5], in[6], in[7]);
}

__device__ __forceinline__ void store8(bf16* x, const float (&in)[8]) {
    *reinterpret_cast<uint4*>(x) =
        make_uint4(narrow2(in[0], in[1]), narrow2(in[2], in[3]), narrow2(in[4], in[5]), narrow2(in[6], in[7]));
}

// Numbers i .. i + 8 of len, at once where the vector is whole and aligned; zeros from len on.
template <typename T>
__device__ __forceinline__ void load_part(const T* x, i64 i, i64 len, bool aligned, float (&out)[8]) {
    if (aligned && i + 8 <= len) {
        load8(x + i, out);
        return;
    }
#pragma unroll
    for (int j = 0; j < 8; j++) out[j] = i + j < len ? load(x, i + j) : 0.0f;
}

template <typename T>
__device__ __forceinline__ void store_part(T* x, i64 i, i64 len, bool aligned, const float (&in)[8]) {
    if (aligned && i + 8 <= len) {
        store8(x + i, in);
        return;
    }
#pragma unroll
    for (int j = 0; j < 8; j++)
        if (i + j < len) store(x, i + j, in[j]);
}

// -------------------------------------------------------------------------------------------------------------- sums

// The sum over the lanes of a warp, the same in all of them, by the same tree whatever the values.
__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
    return x;
}

// --------------------------------------------------------------------------------------------------------- functions

// 1 / (1 + e^-x)
__device__ __forceinline__ float sigmoid(float x) { return __fdividef(1.0f, 1.0f + __expf(-x)); }

// x / (1 + e^-x)
__device__ __forceinline__ float silu(float x) { return x * sigmoid(x); }

// The derivative of silu, given the sigmoid.
__device__ __forceinline__ float silu_slope(float x, float s) { return s * (1.0f + x * (1.0f - s)); }

// ------------------------------------------------------------------------------------- time-contiguous rows, [B, D, L]

// Elements from one row, and from one sequence, to the next.
struct Strides {
    i64 row;
    i64 batch;
};

// What a block has of the rows: its channel, and eight positions a thread of its segment.
struct Piece {
    u32 batch;
    u32 channel;
    u32 segment;
    // The first of the thread's eight positions.
    i64 start;
};

// Blocks are in the order batch, channel, segment.
__device__ __forceinline__ Piece piece(u32 channels, u32 segments) {
    Piece piece;
    const u32 row = blockIdx.x / segments;
    piece.segment = blockIdx.x % segments;
    piece.batch = row / channels;
    piece.channel = row % channels;
    // More segments than one have 256 threads each.
    piece.start = piece.segment * (i64)2048 + threadIdx.x * 8;
    return piece;
}

template <typename T>
__device__ __forceinline__ T* row_of(T* data, Strides strides, u32 batch, u32 channel) {
    return data + batch * strides.batch + channel * strides.row;
}
