// The scan as a chain of warps.
//
// A block has QUAD channels of a sequence, and its warps take the tiles of TILE positions in turn. What is costly of a tile,
// the exponentials, does not need the state before it: a warp computes them, runs each lane's stretch from zero, joins the
// lanes, and only then takes the state from the warp that has the tile before, hands its own on, and runs the stretches
// again from what is now known. So the warps of a block work on as many tiles at a time, one state behind the other, and
// never wait for each other all together: the state passes through a slot of (value, tag) in shared memory.
//
// The same chain runs the adjoint r[t] = e[t] * (r[t ± 1] + C[t] * dq[t]) against the scan's direction, without an output.

#include "scan.cuh"

// States whose rows of B and C are copied together, so that the next ones are under way meanwhile.
template <typename T>
constexpr int BATCH = sizeof(T) == 2 ? 4 : 2;

template <typename T>
struct Scan {
    // [B, D, L]; z may be missing, y too. The adjoint has the gradient of y in the place of u, and no z, b and y.
    const T *u, *delta, *z, *b, *c;
    T* y;
    // Elements from one sequence to the next.
    i64 u_batch, delta_batch, z_batch, b_batch, c_batch, y_batch;
    // Elements from one row to the next, in all of them.
    i64 stride;
    i64 len;
    // [N, D], [D], [D]
    const float *a, *d, *bias;
    // [B, N, D]; may be the same.
    const float* initial;
    float* final;
    // [B, tiles, N, D]: the state that enters each tile; may be missing.
    float* borders;
    int channels, states, add;
};

// Where the parts of a block's shared memory begin.
template <typename T, int WARPS, bool IS_ADJOINT>
struct Layout {
    static constexpr int ROWS = IS_ADJOINT ? 1 : 2;
    // u, delta and z of a warp's tile: vectors in the order of lanes, which only the lane itself reads.
    static constexpr int STAGE = 3 * Vectors<T>::LANE * 32 * 16;
    // B and C of a state.
    static constexpr int PAIR = ROWS * Vectors<T>::ROW_BYTES;
    static constexpr int RING = 2 * BATCH<T> * PAIR;
    // (value, tag) of each channel, for a state.
    static constexpr int SLOT = QUAD * 8;

    u32 stage, ring, slots, rates;

    __device__ __forceinline__ Layout(u32 base, int warp, int lane, int states) {
        stage = base + warp * STAGE + lane * 16;
        ring = base + WARPS * STAGE + warp * RING;
        slots = base + WARPS * (STAGE + RING);
        rates = slots + WARPS * states * SLOT;
    }
};

__device__ __forceinline__ void publish(u32 slot, u32 tag, float value) {
    asm volatile("st.volatile.shared.v2.u32 [%0], {%1, %2};" : : "r"(slot), "r"(__float_as_uint(value)), "r"(tag) : "memory");
}

__device__ __forceinline__ uint2 peek(u32 slot) {
    uint2 word;
    asm volatile("ld.volatile.shared.v2.u32 {%0, %1}, [%2];" : "=r"(word.x), "=r"(word.y) : "r"(slot) : "memory");
    return word;
}

// The value of a slot once it has this tag, given what was there a moment ago.
__device__ __forceinline__ float await(u32 slot, u32 tag, uint2 word) {
    while (word.y != tag) word = peek(slot);
    return __uint_as_float(word.x);
}

template <typename T, int WARPS, bool REVERSE, bool IS_ADJOINT>
__device__ __forceinline__ void chain(const Scan<T>& p) {
    using V = Vectors<T>;
    using L = Layout<T, WARPS, IS_ADJOINT>;
    constexpr u32 NEVER = ~0u;
    extern __shared__ uint4 shared[];
    const int lane_of_warp = threadIdx.x & 31, warp = threadIdx.x / 32;
    const int lane = lane_of_warp & (LANES - 1), place = lane_of_warp / LANES;
    // States are walked in batches; those that fill the last one have no rate and no rows, and stay zero.
    const int states = p.states, padded = (states + BATCH<T> - 1) / BATCH<T> * BATCH<T>;
    const i64 batch = blockIdx.y;
    const L layout(shared_address(shared), warp, lane_of_warp, padded);
    const int tiles = (int)((p.len + TILE - 1) / TILE);
    auto channel_of = [&](int place) { return min((int)blockIdx.x * QUAD + place, p.channels - 1); };

    // The state before the first tile lies in the slots of the last warp.
    for (int i = threadIdx.x; i < WARPS * padded * QUAD; i += WARPS * 32) {
        const int state = i / QUAD % padded;
        const bool is_first = i / (padded * QUAD) == WARPS - 1;
        const bool is_there = is_first && p.initial && state < states;
        const float h = is_there ? p.initial[(batch * states + state) * p.channels + channel_of(i % QUAD)] : 0.0f;
        publish(layout.slots + i * 8, is_first ? 0 : NEVER, h);
    }
    for (int i = threadIdx.x; i < padded * QUAD; i += WARPS * 32) {
        const int state = i / QUAD;
        const float a = state < states ? p.a[(i64)state * p.channels + channel_of(i % QUAD)] : 0.0f;
        publish(layout.rates + i * 8, 0, a * LOG2_E);
    }
    __syncthreads();

    const int channel = channel_of(place);
    const bool is_live = (int)blockIdx.x * QUAD + place < p.channels;
    const bool is_gated = !IS_ADJOINT && p.z;
    const T* const u = p.u + batch * p.u_batch + channel * p.stride;
    const T* const delta = p.delta + batch * p.delta_batch + channel * p.stride;
    const T* const z = is_gated ? p.z + batch * p.z_batch + channel * p.stride : nullptr;
    const float bias = p.bias[channel], skip = IS_ADJOINT ? 0.0f : p.d[channel];
    const int stretch = REVERSE ? LANES - 1 - lane : lane;
    auto tile_start = [&](int tile) { return (i64)(REVERSE ? tiles - 1 - tile : tile) * TILE; };

    auto copy_stretch = [&](int which, const T* row, int tile) {
        const i64 t = tile_start(tile) + stretch * STEPS;
#pragma unroll
        for (int v = 0; v < V::LANE; v++) {
            const bool there = tile < tiles && t + v * V::SIZE < p.len;
            copy_vector(layout.stage + (which * V::LANE + v) * 512, row + (there ? t + v * V::SIZE : 0), there ? 16 : 0);
        }
    };

    // Rows of B and C of one batch of states after the other, one batch ahead. A lane copies a vector of both rows where a
    // tile has as many vectors as there are lanes, and of one where it has half as many.
    static_assert(V::ROW == 32 || V::ROW == 16, "vectors of a tile");
    const T* const b = IS_ADJOINT ? p.c + batch * p.c_batch : p.b + batch * p.b_batch;
    const T* const c = p.c + batch * p.c_batch;
    const i64 to_c = reinterpret_cast<const char*>(c) - reinterpret_cast<const char*>(b);
    constexpr bool BOTH = V::ROW == 16;
    const int own = lane_of_warp % V::ROW;
    const bool takes_c = BOTH && lane_of_warp >= V::ROW;
    const u32 ring_to = after(layout.ring + (takes_c ? V::ROW_BYTES : 0) + V::place(own) * 16);
    const T *next_row = nullptr, *then_row;
    int bytes = 0, then_bytes, next_state = 0, next_tile = warp - WARPS;
    u32 into = 0;
    auto aim = [&] {
        const int tile = next_tile + WARPS;
        const i64 t = tile_start(tile) + own * V::SIZE;
        const i64 left = tile < tiles ? p.len - t : 0;
        then_row = (takes_c && !IS_ADJOINT ? c : b) + (left > 0 ? t : 0);
        then_bytes = bytes_of<T>(left);
    };
    auto turn = [&] { next_state = 0, next_row = then_row, bytes = then_bytes, next_tile += WARPS; };
    auto copy_rows = [&] {
#pragma unroll
        for (int j = 0; j < BATCH<T>; j++) {
            const u32 to = ring_to + into + j * L::PAIR;
            const bool there = next_state + j < states;
            if (!(BOTH && IS_ADJOINT && takes_c)) copy_vector(to, next_row, there ? bytes : 0);
            if (!BOTH && !IS_ADJOINT)
                copy_vector(to + V::ROW_BYTES, reinterpret_cast<const char*>(next_row) + to_c, there ? bytes : 0);
            next_row += there ? p.stride : 0;
        }
        into ^= BATCH<T> * L::PAIR;
        next_state += BATCH<T>;
        if (next_state == padded) turn();
    };
    auto save_borders = [&](int tile, u32 slots, int first, int count) {
        float* const to = p.borders + (batch * tiles + (REVERSE ? tiles - 1 - tile : tile)) * states * p.channels;
        for (int i = first; i < states * QUAD; i += count) {
            const int own_channel = blockIdx.x * QUAD + i % QUAD;
            if (own_channel < p.channels) to[(i64)(i / QUAD) * p.channels + own_channel] = load_word(slots + i * 8);
        }
    };
    if (p.borders && tiles > 0) save_borders(0, layout.slots + (WARPS - 1) * padded * L::SLOT, threadIdx.x, WARPS * 32);
    __syncthreads();

    copy_stretch(0, u, warp);
    copy_stretch(1, delta, warp);
    aim();
    turn();
    aim();
    copy_rows();

    u32 stage = layout.stage, at = 0;
    u32 rows = after(layout.ring + V::first(stretch));
    const u32 from = layout.slots + (warp + WARPS - 1) % WARPS * padded * L::SLOT + place * 8;
    const u32 hop = after(layout.slots + warp * padded * L::SLOT + place * 8 - from);

    for (int tile = warp; tile < tiles; tile += WARPS) {
        const i64 start = tile_start(tile) + stretch * STEPS;
        const int left = (int)max((i64)0, min((i64)STEPS, p.len - start));
        // The step, the step times the input, and the output; for the adjoint du is the gradient of the output.
        float step[STEPS], du[STEPS], y[STEPS], all_steps = 0.0f;
        copies_wait();
        stage = after(stage);
        {
            float x[STEPS], raw[STEPS];
#pragma unroll
            for (int v = 0; v < V::LANE; v++) {
                widen_vector(load_vector(stage + v * 512), x + v * V::SIZE, T());
                widen_vector(load_vector(stage + (V::LANE + v) * 512), raw + v * V::SIZE, T());
            }
#pragma unroll
            for (int k = 0; k < STEPS; k++) {
                const int j = position<REVERSE>(k);
                step[k] = softplus<T>(raw[j] + bias);
                du[k] = IS_ADJOINT ? x[j] : step[k] * x[j];
                y[k] = skip * x[j];
            }
            if (left < STEPS) {
#pragma unroll
                for (int k = 0; k < STEPS; k++)
                    if (position<REVERSE>(k) >= left) step[k] = du[k] = 0.0f;
            }
#pragma unroll
            for (int k = 0; k < STEPS; k++) all_steps += step[k];
            // It is kept and not added up anew for every state.
            asm volatile("" : "+f"(all_steps));
        }
        if (is_gated) copy_stretch(2, z, tile);
        copy_stretch(0, u, tile + WARPS);
        copy_stretch(1, delta, tile + WARPS);
        aim();

        u32 slot = from, to = from + hop, rate_at = layout.rates + place * 8;
#pragma unroll 1
        for (int s = 0; s < padded; s += BATCH<T>) {
            copies_wait();
            __syncwarp();
            rows = after(rows);
            rate_at = after(rate_at);
            copy_rows();
#pragma unroll
            for (int j = 0; j < BATCH<T>; j++) {
                const float rate = load_word(rate_at + j * L::SLOT);
                float decay[STEPS], x[STEPS], row[STEPS], h = 0.0f;
                load_stretch<T>(rows, at + j * L::PAIR, row);
#pragma unroll
                for (int k = 0; k < STEPS; k++) {
                    decay[k] = exp2_fast(rate * step[k]);
                    x[k] = du[k] * row[position<REVERSE>(k)];
                    if (IS_ADJOINT) h = decay[k] * (h + x[k]);
                    else h = k == 0 ? x[k] : fmaf(decay[k], h, x[k]);
                }
                const uint2 early = peek(slot + j * L::SLOT);
                float through = exp2_fast(rate * all_steps), value = h;
                join_before(through, value, lane);
                float through_before, value_before;
                if constexpr (!IS_ADJOINT) {
                    through_before = __shfl_up_sync(~0u, through, 1, LANES);
                    value_before = __shfl_up_sync(~0u, value, 1, LANES);
                }
                const float enters = await(slot + j * L::SLOT, tile, early);
                if (lane == LANES - 1) publish(to + j * L::SLOT, tile + 1, fmaf(through, enters, value));
                if constexpr (!IS_ADJOINT) {
                    h = lane == 0 ? enters : fmaf(through_before, enters, value_before);
                    load_stretch<T>(rows, at + j * L::PAIR + V::ROW_BYTES, row);
#pragma unroll
                    for (int k = 0; k < STEPS; k++) {
                        h = fmaf(decay[k], h, x[k]);
                        y[k] = fmaf(row[position<REVERSE>(k)], h, y[k]);
                    }
                }
            }
            slot += BATCH<T> * L::SLOT, to += BATCH<T> * L::SLOT, rate_at += BATCH<T> * L::SLOT;
            at ^= BATCH<T> * L::PAIR;
        }
        // Lanes may have waited for their states apart: without this, they would go on apart.
        __syncwarp();
        // What this warp has handed on enters the next tile; the last one has none behind it.
        if (p.borders && tile + 1 < tiles) save_borders(tile + 1, after(from + hop - place * 8), lane_of_warp, 32);
        if constexpr (!IS_ADJOINT) {
            if (!p.y) continue;
            float out[STEPS];
#pragma unroll
            for (int k = 0; k < STEPS; k++) out[position<REVERSE>(k)] = y[k];
            if (is_gated) {
                copies_wait();
                stage = after(stage);
                float gate[STEPS];
#pragma unroll
                for (int v = 0; v < V::LANE; v++)
                    widen_vector(load_vector(stage + (2 * V::LANE + v) * 512), gate + v * V::SIZE, T());
#pragma unroll
                for (int k = 0; k < STEPS; k++) out[k] *= silu_fast(gate[k]);
            }
            if (is_live) store_stretch(p.y + batch * p.y_batch + channel * p.stride, start, p.len, p.add, out);
        }
    }
    __syncthreads();
    if (!p.final) return;
    const u32 last = after(layout.slots) + (tiles + WARPS - 1) % WARPS * padded * L::SLOT;
    for (int i = threadIdx.x; i < states * QUAD; i += WARPS * 32) {
        const int own_channel = blockIdx.x * QUAD + i % QUAD;
        if (own_channel < p.channels)
            p.final[(batch * states + i / QUAD) * p.channels + own_channel] = load_word(last + i * 8);
    }
}

// Which type and which pass is a matter of the program's macros: ELEMENT and its NAME, and PASS, which is the ADJOINT or not.
// Registers of a multiprocessor are for 512 threads with 128 each.
#define JOINED(pass, name, warps, walk) selective_scan_##pass##_##name##_##warps##_##walk
#define KERNEL(pass, name, warps, walk, reverse)                                                                       \
    extern "C" __global__ void __launch_bounds__(32 * warps, 16 / warps)                                               \
        JOINED(pass, name, warps, walk)(Scan<ELEMENT> scan) {                                                          \
        chain<ELEMENT, warps, reverse, ADJOINT>(scan);                                                                 \
    }

KERNEL(PASS, NAME, 4, forward, false)
KERNEL(PASS, NAME, 4, reverse, true)
KERNEL(PASS, NAME, 8, forward, false)
KERNEL(PASS, NAME, 8, reverse, true)
KERNEL(PASS, NAME, 16, forward, false)
KERNEL(PASS, NAME, 16, reverse, true)
