// What the kernels of the scan share: how lanes lie over channels and time, and the small operations of their inner loops.
//
// A warp has QUAD channels and a tile of TILE positions: eight lanes a channel, STEPS positions a lane, which lane l of a
// channel takes one after the other. Loads of 16 bytes go through asynchronous copies, as registers have no room for them.
#pragma once

#include "common.cuh"

constexpr int QUAD = 4;
constexpr int LANES = 8;
constexpr int STEPS = 16;
constexpr int TILE = LANES * STEPS;

constexpr float LOG2_E = 1.4426950408889634f;
constexpr float LN_2 = 0.6931471805599453f;

// How elements of a type lie in vectors of 16 bytes.
template <typename T>
struct Vectors {
    static constexpr int SIZE = 16 / (int)sizeof(T);
    // Vectors of a lane's positions, and of a tile.
    static constexpr int LANE = STEPS / SIZE;
    static constexpr int ROW = TILE / SIZE;
    static constexpr int ROW_BYTES = ROW * 16;
    // Vectors of a row in shared memory are permuted among their neighbours, so that eight lanes which read the same part
    // of their stretches meet no bank twice.
    static __device__ __forceinline__ u32 place(u32 vector) {
        return sizeof(T) == 2 ? vector ^ ((vector >> 3) & 1) : vector ^ ((vector >> 3) & 3);
    }
    // Where the first vector of a stretch lies; vector v of it lies at `first ^ (16 * v)`.
    static __device__ __forceinline__ u32 first(u32 stretch) {
        return (stretch * LANE + (sizeof(T) == 2 ? (stretch >> 2) & 1 : (stretch >> 1) & 3)) * 16;
    }
};

// ------------------------------------------------------------------------------------------------ functions of a number

// 2^x, to two units in the last place.
__device__ __forceinline__ float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ float log2_fast(float x) {
    float y;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ float reciprocal_fast(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// ln(1 + e^x), and x itself above 20, as PyTorch has it. Of small e^x, 1 + e^x keeps too little for f32.
template <typename T>
__device__ __forceinline__ float softplus(float x) {
    const float v = exp2_fast(x * LOG2_E);
    float y = log2_fast(1.0f + v) * LN_2;
    if (sizeof(T) == 4) y = v < 0.015625f ? v * fmaf(v, fmaf(v, fmaf(v, -0.25f, 1.0f / 3.0f), -0.5f), 1.0f) : y;
    return x > 20.0f ? x : y;
}

// The derivative of softplus, given its value: 1 - e^-softplus.
template <typename T>
__device__ __forceinline__ float softplus_slope(float value) {
    const float far = 1.0f - exp2_fast(-value * LOG2_E);
    if (sizeof(T) == 2) return far;
    const float near = value * fmaf(value, fmaf(value, fmaf(value, -1.0f / 24.0f, 1.0f / 6.0f), -0.5f), 1.0f);
    return value < 0.03125f ? near : far;
}

__device__ __forceinline__ float silu_fast(float x) { return x * reciprocal_fast(1.0f + exp2_fast(x * -LOG2_E)); }

// ---------------------------------------------------------------------------------------- shared memory by its address

__device__ __forceinline__ u32 shared_address(const void* x) { return (u32)__cvta_generic_to_shared(x); }

// Neither load is volatile, so that the compiler may begin it early; what follows a barrier takes an address from `after`.
__device__ __forceinline__ uint4 load_vector(u32 at) {
    uint4 v;
    asm("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(at));
    return v;
}

__device__ __forceinline__ float load_word(u32 at) {
    float x;
    asm("ld.shared.f32 %0, [%1];" : "=f"(x) : "r"(at));
    return x;
}

// The same address, of which the compiler does not know that it is: loads from it stay behind this place.
__device__ __forceinline__ u32 after(u32 at) {
    asm volatile("" : "+r"(at) : : "memory");
    return at;
}

// Copies the first bytes of 16, and writes zeros in the place of the others.
__device__ __forceinline__ void copy_vector(u32 to, const void* from, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" : : "r"(to), "l"(from), "r"(bytes));
}

// Bytes of a vector of which `left` elements belong to the sequence. What lies behind its end may be anything, and zero times
// that need not be zero.
template <typename T>
__device__ __forceinline__ int bytes_of(i64 left) {
    return (int)max((i64)0, min((i64)16, left * (i64)sizeof(T)));
}

__device__ __forceinline__ void copies_end() { asm volatile("cp.async.commit_group;"); }

// Waits for all copies of this lane.
__device__ __forceinline__ void copies_wait() { asm volatile("cp.async.wait_all;" : : : "memory"); }

// ---------------------------------------------------------------------------------------------------- a lane's stretch

__device__ __forceinline__ void widen_vector(const uint4& v, float* x, float) {
    x[0] = __uint_as_float(v.x), x[1] = __uint_as_float(v.y), x[2] = __uint_as_float(v.z), x[3] = __uint_as_float(v.w);
}

__device__ __forceinline__ void widen_vector(const uint4& v, float* x, bf16) {
    const u32 words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        x[2 * i] = __uint_as_float(words[i] << 16);
        x[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
    }
}

__device__ __forceinline__ uint4 narrow_vector(const float* x, float) {
    return make_uint4(__float_as_uint(x[0]), __float_as_uint(x[1]), __float_as_uint(x[2]), __float_as_uint(x[3]));
}

__device__ __forceinline__ uint4 narrow_vector(const float* x, bf16) {
    return make_uint4(narrow2(x[0], x[1]), narrow2(x[2], x[3]), narrow2(x[4], x[5]), narrow2(x[6], x[7]));
}

// The place of step k of a stretch in the order of positions.
template <bool REVERSE>
__device__ __forceinline__ constexpr int position(int k) {
    return REVERSE ? STEPS - 1 - k : k;
}

// A row's stretch out of a permuted row in shared memory, in the order of positions.
template <typename T>
__device__ __forceinline__ void load_stretch(u32 first, u32 offset, float (&x)[STEPS]) {
#pragma unroll
    for (int v = 0; v < Vectors<T>::LANE; v++)
        widen_vector(load_vector((first ^ (16 * v)) + offset), x + v * Vectors<T>::SIZE, T());
}

// Writes a stretch, or adds it to what is there; nothing from `len` on.
template <typename T>
__device__ __forceinline__ void store_stretch(T* row, i64 start, i64 len, bool add, float (&x)[STEPS]) {
    constexpr int SIZE = Vectors<T>::SIZE;
    uint4* const to = reinterpret_cast<uint4*>(row + start);
    const bool is_whole = start + STEPS <= len;
    if (add) {
        float old[SIZE];
#pragma unroll
        for (int v = 0; v < Vectors<T>::LANE; v++) {
            if (start + v * SIZE >= len) break;
            widen_vector(to[v], old, T());
#pragma unroll
            for (int i = 0; i < SIZE; i++) x[v * SIZE + i] += old[i];
        }
    }
    if (is_whole) {
#pragma unroll
        for (int v = 0; v < Vectors<T>::LANE; v++) to[v] = narrow_vector(x + v * SIZE, T());
        return;
    }
#pragma unroll
    for (int k = 0; k < STEPS; k++)
        if (start + k < len) row[start + k] = narrow<T>(x[k]);
}

// ------------------------------------------------------------------------------------- recurrences over a channel's lanes

// h -> decay * h + value. Joins what lanes before this one do to what this one does: afterwards it takes the state before
// the channel's first lane to that after this one.
__device__ __forceinline__ void join_before(float& decay, float& value, int lane) {
#pragma unroll
    for (int k = 1; k < LANES; k *= 2) {
        const float d = __shfl_up_sync(~0u, decay, k, LANES), v = __shfl_up_sync(~0u, value, k, LANES);
        asm("{ .reg .pred p; setp.ge.s32 p, %4, %5; @p fma.rn.f32 %0, %1, %2, %0; @p mul.f32 %1, %1, %3; }"
            : "+f"(value), "+f"(decay) : "f"(v), "f"(d), "r"(lane), "r"(k));
    }
}

// The same against the order of lanes.
__device__ __forceinline__ void join_behind(float& decay, float& value, int lane) {
#pragma unroll
    for (int k = 1; k < LANES; k *= 2) {
        const float d = __shfl_down_sync(~0u, decay, k, LANES), v = __shfl_down_sync(~0u, value, k, LANES);
        if (lane + k < LANES) {
            value = fmaf(decay, v, value);
            decay *= d;
        }
    }
}
