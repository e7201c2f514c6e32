// The scan as a chain of warps.
//
// A block has QUAD channels of a sequence, and its warps take the tiles of TILE positions in turn. What is costly of a tile,
// the exponentials, does not need the state before it: a warp computes them, runs each lane's stretch from zero, joins the
// lanes, and only then takes the state from the warp that has the tile before, hands its own on, and runs the stretches
// again from what is now known. So the warps of a block work on as many tiles at a time, one state behind the other, and
// never wait for each other all together: the state passes through a slot of (value, tag) in shared memory.
//
// The same chain runs the adjoint r[t] = e[t] * (r[t ± 1] + C[t] * dq[t]) against the scan's direction. Only what leaves a tile
// is wanted of it, which is a sum over positions of C[t] * dq[t] times all decays from there on: 2^(rate * steps from there on),
// so that no recurrence has to be run.

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
    // u, delta or z of a warp's tile: a row a channel, whose vectors have changed places with neighbours so that lanes meet few
    // banks twice; and all three.
    static constexpr u32 PLANE = QUAD * Vectors<T>::ROW_BYTES;
    static constexpr int STAGE = 3 * PLANE;
    // B and C of a state.
    static constexpr int PAIR = ROWS * Vectors<T>::ROW_BYTES;
    static constexpr int RING = 2 * BATCH<T> * PAIR;
    // (value, tag) of each channel, for a state.
    static constexpr int SLOT = QUAD * 8;

    u32 stage, ring, slots, rates;

    __device__ __forceinline__ Layout(u32 base, int warp, int states) {
        stage = base + warp * STAGE;
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

// The value of a slot once it has this tag, given what was there a moment ago. Lanes wait together for the slots of all: those
// that leave a loop apart go on apart.
__device__ __forceinline__ float await(u32 slot, u32 tag, uint2 word) {
    while (__any_sync(~0u, word.y != tag)) word = peek(slot);
    return __uint_as_float(word.x);
}

// Makes of each step the sum of all steps of the tile from it on. Returns that of the tile's first one.
__device__ __forceinline__ float steps_to_end(float (&step)[STEPS], int lane) {
#pragma unroll
    for (int k = STEPS - 2; k >= 0; k--) step[k] += step[k + 1];
    float behind = from_lane<true>(step[0], 1);
    if (lane == LANES - 1) behind = 0.0f;
#pragma unroll
    for (int k = 1; k < LANES; k *= 2) {
        const float more = from_lane<true>(behind, k);
        if (lane + k < LANES) behind += more;
    }
#pragma unroll
    for (int k = 0; k < STEPS; k++) step[k] += behind;
    return __shfl_sync(~0u, step[0], threadIdx.x % QUAD);
}

// Sums over a channel's lanes of COUNT numbers, one of which each lane is given: that of the lanes before it, LANES / COUNT to
// a number.
template <int COUNT>
__device__ __forceinline__ float lanes_sums(float (&x)[COUNT], int lane) {
    int count = COUNT;
#pragma unroll
    for (int k = LANES / 2; k > 0; k /= 2) {
        count = max(count / 2, 1);
#pragma unroll
        for (int i = 0; i < count; i++) {
            const bool is_upper = lane & k;
            const float other = k * COUNT >= LANES ? (is_upper ? x[i] : x[i + count]) : x[i];
            if (k * COUNT >= LANES && is_upper) x[i] = x[i + count];
            x[i] += __shfl_xor_sync(~0u, other, k * QUAD);
        }
    }
    return x[0];
}

template <typename T, int WARPS, bool REVERSE, bool IS_ADJOINT>
__device__ __forceinline__ void chain(const Scan<T>& p) {
    using V = Vectors<T>;
    using L = Layout<T, WARPS, IS_ADJOINT>;
    constexpr u32 NEVER = ~0u;
    extern __shared__ uint4 shared[];
    const int lane_of_warp = threadIdx.x & 31, warp = __shfl_sync(~0u, threadIdx.x / 32, 0);
    const int lane = lane_of_warp / QUAD, place = lane_of_warp % QUAD;
    // States are walked in batches; those that fill the last one have no rate and no rows, and stay zero.
    const int states = p.states, padded = (states + BATCH<T> - 1) / BATCH<T> * BATCH<T>;
    const i64 batch = blockIdx.y;
    const L layout(shared_address(shared), warp, padded);
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
    // Lanes copy eight vectors of each channel at a time, side by side, which are not those that they compute with.
    const int copied = lane_of_warp / LANES, vector = lane_of_warp % LANES;
    const i64 copied_row = channel_of(copied) * p.stride;
    const T* const u = p.u + batch * p.u_batch + copied_row;
    const T* const delta = p.delta + batch * p.delta_batch + copied_row;
    const T* const z = is_gated ? p.z + batch * p.z_batch + copied_row : nullptr;
    const float bias = p.bias[channel], skip = IS_ADJOINT ? 0.0f : p.d[channel];
    const int stretch = REVERSE ? LANES - 1 - lane : lane;
    // That state of a batch which this lane takes on of the adjoint.
    const int own_state = lane / (LANES / BATCH<T>);
    auto tile_start = [&](int tile) { return (i64)(REVERSE ? tiles - 1 - tile : tile) * TILE; };

    const u32 stage_to = layout.stage + copied * V::ROW_BYTES + (vector ^ copied) * 16;
    auto copy_tile = [&](int which, const T* row, int tile) {
        const i64 t = tile_start(tile) + vector * V::SIZE;
#pragma unroll
        for (int v = 0; v < V::LANE; v++) {
            const int further = v * LANES;
            const bool there = tile < tiles && t + further * V::SIZE < p.len;
            copy_vector(stage_to + which * L::PLANE + further * 16, row + (there ? t + further * V::SIZE : 0), there);
        }
    };

    // Rows of B and C of one batch of states after the other, one batch ahead. Lanes copy TOGETHER rows at a time, a vector
    // each: B and C of a state, or C of two states, where a tile has half as many vectors as there are lanes.
    constexpr int TOGETHER = 32 / V::ROW;
    const int own = lane_of_warp % V::ROW, of_rows = lane_of_warp / V::ROW;
    const T* const b = p.b + batch * p.b_batch;
    const T* const c = p.c + batch * p.c_batch;
    const i64 to_c = reinterpret_cast<const char*>(c) - reinterpret_cast<const char*>(b);
    const T* const own_rows = IS_ADJOINT ? c + of_rows * p.stride : of_rows ? c : b;
    const int own_states = IS_ADJOINT ? states - of_rows : states;
    const u32 ring_to = after(layout.ring + of_rows * V::ROW_BYTES + own * 16);
    const T *next_row = nullptr, *then_row;
    int next_states = 0, then_states, next_state = 0, next_tile = warp - WARPS;
    u32 into = 0;
    auto aim = [&] {
        const int tile = next_tile + WARPS;
        const i64 t = tile_start(tile) + own * V::SIZE;
        const bool there = tile < tiles && t < p.len;
        then_row = own_rows + (there ? t : 0);
        then_states = there ? own_states : 0;
    };
    auto turn = [&] { next_state = 0, next_row = then_row, next_states = then_states, next_tile += WARPS; };
    auto copy_rows = [&] {
#pragma unroll
        for (int i = 0; i < BATCH<T> * L::ROWS / TOGETHER; i++) {
            const int state = i * TOGETHER / L::ROWS;
            const char* const from = reinterpret_cast<const char*>(next_row + state * p.stride);
            copy_vector(ring_to + into + i * TOGETHER * V::ROW_BYTES, i * TOGETHER % L::ROWS ? from + to_c : from,
                        next_state + state < next_states);
        }
        next_row += BATCH<T> * p.stride;
        into ^= BATCH<T> * L::PAIR;
        next_state += BATCH<T>;
        if (next_state == padded) turn();
    };
    // Of a vector that is cut by the end of the sequence, what lies behind it may be anything, and zero times that need not be
    // zero.
    auto clear_behind = [&](int tile, u32 from) {
        const int left = (int)min((i64)V::SIZE, p.len - tile_start(tile) - own * V::SIZE);
        if (left <= 0) return;
#pragma unroll 1
        for (u32 row = 0; row < BATCH<T> * L::PAIR; row += TOGETHER * V::ROW_BYTES)
#pragma unroll 1
            for (int i = left; i < V::SIZE; i++) store_number(ring_to + from + row + i * sizeof(T), narrow<T>(0.0f));
    };
    // What lies in the slots of a warp, as what enters a tile.
    auto save_borders = [&](int tile, u32 slots) {
        if (!is_live) return;
        const i64 of_tile = batch * tiles + (REVERSE ? tiles - 1 - tile : tile);
        float* to = p.borders + (of_tile * states + lane) * p.channels + channel;
        u32 at = slots + lane_of_warp * 8;
#pragma unroll 1
        for (int s = lane; s < states; s += LANES, to += LANES * (i64)p.channels, at += 32 * 8) *to = load_word(at);
    };
    if (p.borders && tiles > 0 && warp == 0) save_borders(0, layout.slots + (WARPS - 1) * padded * L::SLOT);
    __syncthreads();

    copy_tile(0, u, warp);
    copy_tile(1, delta, warp);
    aim();
    turn();
    aim();
    copy_rows();
    copies_wait();
    __syncwarp();

    u32 stage = layout.stage + place * V::ROW_BYTES, at = 0;
    u32 rows = after(layout.ring + stretch * V::LANE * 16);
    // Where vector v of the lane's stretch of u lies.
    auto place_of = [&](int v) { return stage + ((stretch * V::LANE + v) ^ place) * 16; };
    const u32 from = layout.slots + (warp + WARPS - 1) % WARPS * padded * L::SLOT + place * 8;
    const u32 hop = after(layout.slots + warp * padded * L::SLOT + place * 8 - from);

    for (int tile = warp; tile < tiles; tile += WARPS) {
        const i64 start = tile_start(tile) + stretch * STEPS;
        const int left = (int)max((i64)0, min((i64)STEPS, p.len - start));
        const bool is_cut = tile_start(tile) + TILE > p.len;
        // The step, and the step times the input; for the adjoint all steps from there on, and the gradient of the output.
        float step[STEPS], du[STEPS], y[STEPS], all_steps = 0.0f;
        clear_stage<T>(left, L::PLANE, place_of);
        stage = after(stage);
        {
            float x[STEPS], raw[STEPS];
#pragma unroll
            for (int v = 0; v < V::LANE; v++) {
                widen_vector(load_vector(place_of(v)), x + v * V::SIZE, T());
                widen_vector(load_vector(place_of(v) + L::PLANE), raw + v * V::SIZE, T());
            }
#pragma unroll
            for (int k = 0; k < STEPS; k++) {
                const int j = position<REVERSE>(k);
                step[k] = softplus<T>(raw[j] + bias);
                du[k] = IS_ADJOINT ? x[j] : step[k] * x[j];
                y[k] = skip * x[j];
            }
            if constexpr (IS_ADJOINT) {
                all_steps = steps_to_end(step, lane);
            } else {
#pragma unroll
                for (int k = 0; k < STEPS; k++) all_steps += step[k];
            }
            // It is kept and not added up anew for every state.
            keep(all_steps);
        }
        // Other lanes copy over what this one has read.
        __syncwarp();
        if (is_gated) copy_tile(2, z, tile);
        copy_tile(0, u, tile + WARPS);
        copy_tile(1, delta, tile + WARPS);
        aim();

        u32 slot = from, to = from + hop, rate_at = layout.rates + place * 8;
#pragma unroll 1
        for (int s = 0; s < padded; s += BATCH<T>) {
            if (is_cut) {
                clear_behind(tile, at);
                __syncwarp();
            }
            rows = after(rows);
            rate_at = after(rate_at);
            copy_rows();
            if constexpr (IS_ADJOINT) {
                const uint2 early = peek(slot + own_state * L::SLOT);
                float sums[BATCH<T>];
#pragma unroll
                for (int j = 0; j < BATCH<T>; j++) {
                    const float rate = load_word(rate_at + j * L::SLOT);
                    float row[STEPS];
                    load_stretch<T>(rows + at + j * L::PAIR, row);
                    sums[j] = 0.0f;
#pragma unroll
                    for (int k = 0; k < STEPS; k++)
                        sums[j] = fmaf(exp2_fast(rate * step[k]), du[k] * row[position<REVERSE>(k)], sums[j]);
                }
                const float value = lanes_sums(sums, lane);
                const float through = exp2_fast(load_word(rate_at + own_state * L::SLOT) * all_steps);
                const float enters = await(slot + own_state * L::SLOT, tile, early);
                if (lane % (LANES / BATCH<T>) == 0)
                    publish(to + own_state * L::SLOT, tile + 1, fmaf(through, enters, value));
            } else {
#pragma unroll
                for (int j = 0; j < BATCH<T>; j++) {
                    const float rate = load_word(rate_at + j * L::SLOT);
                    float decay[STEPS], x[STEPS], row[STEPS], h = 0.0f;
                    load_stretch<T>(rows + at + j * L::PAIR, row);
#pragma unroll
                    for (int k = 0; k < STEPS; k++) {
                        decay[k] = exp2_fast(rate * step[k]);
                        x[k] = du[k] * row[position<REVERSE>(k)];
                        h = k == 0 ? x[k] : fmaf(decay[k], h, x[k]);
                    }
                    const uint2 early = peek(slot + j * L::SLOT);
                    float through = exp2_fast(rate * all_steps), value = h;
                    join_before(through, value, lane);
                    const float through_before = from_lane<false>(through, 1), value_before = from_lane<false>(value, 1);
                    const float enters = await(slot + j * L::SLOT, tile, early);
                    if (lane == LANES - 1) publish(to + j * L::SLOT, tile + 1, fmaf(through, enters, value));
                    h = lane == 0 ? enters : fmaf(through_before, enters, value_before);
                    load_stretch<T>(rows + at + j * L::PAIR + V::ROW_BYTES, row);
#pragma unroll
                    for (int k = 0; k < STEPS; k++) {
                        h = fmaf(decay[k], h, x[k]);
                        y[k] = fmaf(row[position<REVERSE>(k)], h, y[k]);
                    }
                }
            }
            slot += BATCH<T> * L::SLOT, to += BATCH<T> * L::SLOT, rate_at += BATCH<T> * L::SLOT;
            at ^= BATCH<T> * L::PAIR;
            // Here, and not before the rows are needed: what a tile copies for the next one has a batch's time to arrive.
            copies_wait();
            __syncwarp();
        }
        // What this warp has handed on enters the next tile; the last one has none behind it.
        if (p.borders && tile + 1 < tiles) save_borders(tile + 1, after(from + hop - place * 8));
        if constexpr (!IS_ADJOINT) {
            if (!p.y) continue;
            float out[STEPS];
#pragma unroll
            for (int k = 0; k < STEPS; k++) out[position<REVERSE>(k)] = y[k];
            if (is_gated) {
                stage = after(stage);
                float gate[STEPS];
#pragma unroll
                for (int v = 0; v < V::LANE; v++)
                    widen_vector(load_vector(place_of(v) + 2 * L::PLANE), gate + v * V::SIZE, T());
#pragma unroll
                for (int k = 0; k < STEPS; k++) out[k] *= silu_fast(gate[k]);
            }
            if (is_live) store_stretch(p.y + batch * p.y_batch + channel * p.stride + start, left, p.add, out);
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
