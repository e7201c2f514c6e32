// What the kernels of the scan share: how lanes lie over channels and time, and the small operations of their inner loops.
//
// A warp has QUAD channels and a tile of TILE positions: eight lanes a channel, STEPS positions a lane, which it takes one
// after the other. Lanes of the warp go over channels first, as the operands of a product of matrices do. Loads of 16 bytes
// go through asynchronous copies, as registers have no room for them.
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

// ln(1 + e^x). Of small e^x, 1 + e^x keeps too little for f32.
template <typename T>
__device__ __forceinline__ float softplus(float x) {
    const float v = exp2_fast(fabsf(x) * -LOG2_E);
    float y = log2_fast(1.0f + v) * LN_2;
    if (sizeof(T) == 4) y = v < 0.015625f ? v * fmaf(v, fmaf(v, fmaf(v, -0.25f, 1.0f / 3.0f), -0.5f), 1.0f) : y;
    return fmaxf(x, 0.0f) + y;
}

// The derivative of softplus, given its value: 1 - e^-softplus, which is one from 17 on.
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

__device__ __forceinline__ void store_number(u32 at, float x) {
    asm volatile("st.shared.f32 [%0], %1;" : : "r"(at), "f"(x) : "memory");
}

__device__ __forceinline__ void store_number(u32 at, bf16 x) {
    asm volatile("st.shared.b16 [%0], %1;" : : "r"(at), "h"(x.bits) : "memory");
}

// The same address, of which the compiler does not know that it is: loads from it stay behind this place.
__device__ __forceinline__ u32 after(u32 at) {
    asm volatile("" : "+r"(at) : : "memory");
    return at;
}

// A number that the compiler is to hold on to, and not to make anew from what it was made of.
__device__ __forceinline__ void keep(float& x) { asm volatile("" : "+f"(x)); }

// Copies a number, or writes zero in its place.
__device__ __forceinline__ void copy_number(u32 to, const float* from, bool there) {
    asm volatile("{ .reg .pred p; setp.eq.s32 p, %2, 0; cp.async.ca.shared.global [%0], [%1], 4, p; }"
                 : : "r"(to), "l"(from), "r"((int)there));
}

// Copies a vector, or writes zeros in its place. The two vectors of 32 bytes are fetched once if two lanes copy them together and
// to the same 128 bytes of shared memory, and else twice.
__device__ __forceinline__ void copy_vector(u32 to, const void* from, bool there) {
    asm volatile("{ .reg .pred p; setp.eq.s32 p, %2, 0; cp.async.cg.shared.global [%0], [%1], 16, p; }"
                 : : "r"(to), "l"(from), "r"((int)there));
}

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

// A stretch in the order of positions, out of a row in shared memory; `first` is where its first vector lies.
template <typename T>
__device__ __forceinline__ void load_stretch(u32 first, float (&x)[STEPS]) {
#pragma unroll
    for (int v = 0; v < Vectors<T>::LANE; v++)
        widen_vector(load_vector(first + v * 16), x + v * Vectors<T>::SIZE, T());
}

// Of a lane's u, Δ and a third stretch, `apart` bytes from each other, what is not `left` of the sequence does nothing to any sum:
// there is no step, as Δ is far below all others, and zeros. `place` tells where a vector of the first one lies.
template <typename T, typename Place>
__device__ __forceinline__ void clear_stage(int left, u32 apart, Place place) {
    constexpr int SIZE = Vectors<T>::SIZE;
#pragma unroll 1
    for (int k = left; k < STEPS; k++) {
        const u32 at = place(k / SIZE) + k % SIZE * sizeof(T);
        store_number(at, narrow<T>(0.0f));
        store_number(at + apart, narrow<T>(-1e30f));
        store_number(at + 2 * apart, narrow<T>(0.0f));
    }
}

// In one piece, of which the compiler makes five.
__device__ __forceinline__ void store_global(uint4* to, uint4 x) {
    asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" : : "l"(to), "r"(x.x), "r"(x.y), "r"(x.z), "r"(x.w) : "memory");
}

// Writes a stretch, or adds it to what is there, but for what is not `left` of the sequence.
template <typename T>
__device__ __forceinline__ void store_stretch(T* stretch, int left, bool add, float (&x)[STEPS]) {
    constexpr int SIZE = Vectors<T>::SIZE;
    uint4* const to = reinterpret_cast<uint4*>(stretch);
    if (add) {
        float old[SIZE];
#pragma unroll
        for (int v = 0; v < Vectors<T>::LANE; v++) {
            if (v * SIZE >= left) break;
            widen_vector(to[v], old, T());
#pragma unroll
            for (int i = 0; i < SIZE; i++) x[v * SIZE + i] += old[i];
        }
    }
    if (left == STEPS) {
#pragma unroll
        for (int v = 0; v < Vectors<T>::LANE; v++) store_global(to + v, narrow_vector(x + v * SIZE, T()));
        return;
    }
#pragma unroll
    for (int k = 0; k < STEPS; k++)
        if (k < left) stretch[k] = narrow<T>(x[k]);
}

// ------------------------------------------------------------------------------------- recurrences over a channel's lanes

// A value of the lane of the same channel that is `lanes` before or behind this one, if there is one.
template <bool BEHIND>
__device__ __forceinline__ float from_lane(float x, int lanes) {
    return BEHIND ? __shfl_down_sync(~0u, x, lanes * QUAD) : __shfl_up_sync(~0u, x, lanes * QUAD);
}

// h -> decay * h + value. Joins what lanes before this one do to what this one does: afterwards it takes the state before
// the channel's first lane to that after this one.
__device__ __forceinline__ void join_before(float& decay, float& value, int lane) {
#pragma unroll
    for (int k = 1; k < LANES; k *= 2) {
        const float d = from_lane<false>(decay, k), v = from_lane<false>(value, k);
        asm("{ .reg .pred p; setp.ge.s32 p, %4, %5; @p fma.rn.f32 %0, %1, %2, %0; @p mul.f32 %1, %1, %3; }"
            : "+f"(value), "+f"(decay) : "f"(v), "f"(d), "r"(lane), "r"(k));
    }
}
