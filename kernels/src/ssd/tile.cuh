// What the kernels of SSD are made of: square tiles in shared memory, their products, and the decays of a chunk.
//
// All matrices of a chunk are cut into tiles of SIDE by SIDE numbers of the type of the activations, and what is
// missing is zero. The eight warps of a block share a product's sums: four times 16 rows, twice 32 columns. bf16 goes
// through the tensor cores, f32 through multiply-adds, with the sums in the same places, so that nothing else differs.
#pragma once

#include "common.cuh"

constexpr int SIDE = 64;
constexpr int THREADS = 256;

// Chunks, of SIDE positions, of a segment.
constexpr int CHUNKS = 4;

constexpr float LOG2_E = 1.4426950408889634f;

// The type is a matter of the program's macros: ELEMENT and its NAME, which ends those of its kernels.
typedef ELEMENT T;

#define JOIN(kernel, name) ssd_##kernel##_##name
#define NAMED(kernel, name) JOIN(kernel, name)
#define KERNEL(kernel) NAMED(kernel, NAME)

// Time-contiguous rows, [B, D, L].
template <typename E>
struct Rows {
    E* data;
    Strides strides;

    __device__ __forceinline__ E* row(i64 batch, i64 channel) const { return data + batch * strides.batch + channel * strides.row; }
};

// Elements of 16 bytes.
constexpr int SIZE = 16 / (int)sizeof(T);

// Elements from a tile's row to the next: an odd number of vectors, so that eight rows meet no bank twice.
constexpr int PITCH = SIDE + SIZE;
constexpr int TILE = SIDE * PITCH;

// A block's tiles.
extern __shared__ uint4 tiles[];

// ------------------------------------------------------------------------------------------- the instructions themselves

// 2^x, to two units in the last place.
__device__ __forceinline__ float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// Begins to copy the first bytes of 16, and to write zeros in the place of the others.
__device__ __forceinline__ void copy_vector(void* to, const void* from, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"((u32)__cvta_generic_to_shared(to)), "l"(from), "r"(bytes)
                 : "memory");
}

__device__ __forceinline__ void copies_wait() { asm volatile("cp.async.wait_all;" : : : "memory"); }

// Four 8 by 8 matrices, of whose rows a lane has the address of one.
__device__ __forceinline__ void load_matrices(u32 (&x)[4], const bf16* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"((u32)__cvta_generic_to_shared(row))
                 : "memory");
}

__device__ __forceinline__ void load_transposed(u32 (&x)[4], const bf16* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"((u32)__cvta_generic_to_shared(row))
                 : "memory");
}

// sums += a · b, 16 by 16 times 16 by 8.
__device__ __forceinline__ void multiply(float (&sums)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// ------------------------------------------------------------------------------------------------------- pairs of numbers

__device__ __forceinline__ float2 load_pair(const float* x) { return *reinterpret_cast<const float2*>(x); }

__device__ __forceinline__ float2 load_pair(const bf16* x) {
    const u32 word = *reinterpret_cast<const u32*>(x);
    return make_float2(__uint_as_float(word << 16), __uint_as_float(word & 0xffff0000u));
}

__device__ __forceinline__ void store_pair(float* x, float a, float b) { *reinterpret_cast<float2*>(x) = make_float2(a, b); }

__device__ __forceinline__ void store_pair(bf16* x, float a, float b) { *reinterpret_cast<u32*>(x) = narrow2(a, b); }

// Sets or adds to positions t and t + 1 of a row, as far as it goes.
__device__ __forceinline__ void write_pair(T* row, i64 t, i64 len, bool add, float a, float b) {
    if (t + 1 < len) {
        const float2 before = add ? load_pair(row + t) : make_float2(0.0f, 0.0f);
        store_pair(row + t, a + before.x, b + before.y);
    } else if (t < len) {
        store(row, t, add ? a + load(row, t) : a);
    }
}

// ------------------------------------------------------------------------------------------------------------ the products

// What a thread has of a product's sums: `sums[c][2 r + e]` is in row + 8 r, column + 8 c + e.
typedef float Sums[4][4];

struct Place {
    int row, column;

    __device__ __forceinline__ Place()
        : row(threadIdx.x / 32 % 4 * 16 + threadIdx.x % 32 / 4), column(threadIdx.x / 128 * 32 + threadIdx.x % 4 * 2) {}
};

// Calls f(a, b, row, column) for a thread's pairs of sums, a in `column` and b in the next one.
template <typename F>
__device__ __forceinline__ void each_pair(Sums& sums, F f) {
    const Place place;
#pragma unroll
    for (int c = 0; c < 4; c++) {
#pragma unroll
        for (int r = 0; r < 2; r++) f(sums[c][2 * r], sums[c][2 * r + 1], place.row + 8 * r, place.column + 8 * c);
    }
}

__device__ __forceinline__ void clear(Sums& sums) {
    each_pair(sums, [](float& a, float& b, int, int) { a = b = 0.0f; });
}

__device__ __forceinline__ void put(T* tile, Sums& sums) {
    each_pair(sums, [&](float& a, float& b, int row, int column) { store_pair(tile + row * PITCH + column, a, b); });
}

// sums[m, n] += Σ_k a[m, k] · b[k, n]. A tile lies with k as its rows where it is BY_DEPTH, and else with m or n.
template <bool A_BY_DEPTH, bool B_BY_DEPTH>
__device__ __forceinline__ void product(Sums& sums, const bf16* a, const bf16* b) {
    const int lane = threadIdx.x % 32, m = threadIdx.x / 32 % 4 * 16, n = threadIdx.x / 128 * 32;
#pragma unroll
    for (int k = 0; k < SIDE; k += 16) {
        u32 left[4];
        if (A_BY_DEPTH) load_transposed(left, a + (k + lane % 8 + lane / 16 * 8) * PITCH + m + lane / 8 % 2 * 8);
        else load_matrices(left, a + (m + lane % 16) * PITCH + k + lane / 16 * 8);
#pragma unroll
        for (int c = 0; c < 4; c += 2) {
            u32 right[4];
            const int column = n + c * 8;
            if (B_BY_DEPTH) load_transposed(right, b + (k + lane % 16) * PITCH + column + lane / 16 * 8);
            else load_matrices(right, b + (column + lane % 8 + lane / 16 * 8) * PITCH + k + lane / 8 % 2 * 8);
            multiply(sums[c], left, right[0], right[1]);
            multiply(sums[c + 1], left, right[2], right[3]);
        }
    }
}

template <bool A_BY_DEPTH, bool B_BY_DEPTH>
__device__ __forceinline__ void product(Sums& sums, const float* a, const float* b) {
    const Place place;
#pragma unroll 1
    for (int k = 0; k < SIDE; k += 4) {
        float left[2][4];
#pragma unroll
        for (int r = 0; r < 2; r++) {
            const int row = place.row + 8 * r;
            if (A_BY_DEPTH) {
#pragma unroll
                for (int i = 0; i < 4; i++) left[r][i] = a[(k + i) * PITCH + row];
            } else {
                const float4 x = *reinterpret_cast<const float4*>(a + row * PITCH + k);
                left[r][0] = x.x, left[r][1] = x.y, left[r][2] = x.z, left[r][3] = x.w;
            }
        }
#pragma unroll
        for (int c = 0; c < 4; c++) {
            float right[2][4];
            const int column = place.column + 8 * c;
            if (B_BY_DEPTH) {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    const float2 x = load_pair(b + (k + i) * PITCH + column);
                    right[0][i] = x.x, right[1][i] = x.y;
                }
            } else {
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    const float4 x = *reinterpret_cast<const float4*>(b + (column + e) * PITCH + k);
                    right[e][0] = x.x, right[e][1] = x.y, right[e][2] = x.z, right[e][3] = x.w;
                }
            }
#pragma unroll
            for (int i = 0; i < 4; i++) {
#pragma unroll
                for (int e = 0; e < 4; e++) sums[c][e] = fmaf(left[e / 2][i], right[e % 2][i], sums[c][e]);
            }
        }
    }
}

// --------------------------------------------------------------------------------------------------------- tiles and memory

// Begins to fill a tile with `rows` rows of `columns` elements, both at most SIDE, each from a 16-byte border on. `from` is an
// address of the buffer even if nothing is read; what lies behind the end of a row may be anything, and becomes zero.
__device__ __forceinline__ void fetch(T* tile, const T* from, i64 stride, int rows, int columns) {
    constexpr int VECTORS = SIDE / SIZE;
#pragma unroll
    for (int i = 0; i < SIDE * VECTORS / THREADS; i++) {
        const int vector = i * THREADS + threadIdx.x, row = vector / VECTORS, column = vector % VECTORS * SIZE;
        const bool there = row < rows && column < columns;
        const int bytes = there ? min(16, (columns - column) * (int)sizeof(T)) : 0;
        copy_vector(tile + row * PITCH + column, there ? from + row * stride + column : from, bytes);
    }
}

// What all threads have begun to copy is there for all of them, and what they did before too.
__device__ __forceinline__ void arrive() {
    copies_wait();
    __syncthreads();
}

// Multiplies every column by its factor, `factor(column)`.
template <typename F>
__device__ __forceinline__ void scale_columns(T* tile, F factor) {
    const int column = threadIdx.x % (SIDE / 2) * 2;
    const float a = factor(column), b = factor(column + 1);
#pragma unroll
    for (int row = threadIdx.x / (SIDE / 2); row < SIDE; row += THREADS / (SIDE / 2)) {
        T* const at = tile + row * PITCH + column;
        const float2 x = load_pair(at);
        store_pair(at, x.x * a, x.y * b);
    }
}

// -------------------------------------------------------------------------------------------------------------- the decays

// The steps of a head's chunk: Δ', and s, the sum of Δ'A in powers of two from the walk's first position of the chunk up to
// and with each, as a float and what that loses.
struct alignas(16) Steps {
    float delta[SIDE], sum[SIDE], rest[SIDE];

    // From j to i, the later one in the walk.
    __device__ __forceinline__ float decay(int i, int j) const { return exp2_fast((sum[i] - sum[j]) + (rest[i] - rest[j])); }

    // From the start of the chunk to i.
    __device__ __forceinline__ float from_start(int i) const { return exp2_fast(sum[i]); }
};

// Begins to copy the steps of a chunk. `steps` is [3, padded] of a sequence's head.
__device__ __forceinline__ void fetch_steps(Steps& to, const float* steps, i64 padded, i64 start) {
    const int vector = threadIdx.x, place = vector % (SIDE / 4) * 4;
    if (vector < 3 * SIDE / 4) copy_vector(to.delta + vector * 4, steps + vector / (SIDE / 4) * padded + start + place, 16);
}

// Whether the walk meets j no later than i.
__device__ __forceinline__ bool reaches(bool reverse, int j, int i) { return reverse ? j >= i : j <= i; }

// The last position of a chunk in the walk.
__device__ __forceinline__ int last_of(bool reverse) { return reverse ? 0 : SIDE - 1; }
