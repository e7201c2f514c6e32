// Gradients of the scan, tile by tile.
//
// The states that enter the tiles are known from the way forward, and what the adjoint brings into them from a chain of
// its own (selective_scan.cu), so that tiles do not wait for each other. A block has a tile and walks over groups of
// WARPS * QUAD channels, a warp QUAD of them: B and C, and the sums of their gradients over channels, stay in shared memory
// for all groups. States are divided into a slice a warp: of a group, each warp begins with its own one and goes on to the
// next, all together, so that no two warps add to the same sums at a time, and all add in the same order in every run. Sums
// over time are left as one number a tile, to be added up in the order of tiles.
//
// In the names of the room's contract, with h⁻ the state before t in the direction of the scan:
//
//     g[t] = e[t⁺] * g[t⁺] + C[t] * dq[t]      r[t] = e[t] * g[t]      w[t] = r[t] * h⁻[t]
//     du = D * dq + Δ' * Σ_n B * g              dΔ = (Σ_n A * w + u * Σ_n B * g) * softplus'
//     dA = Σ_t Δ' * w    dD = Σ_t dq * u    dbias = Σ_t dΔ    dB = Σ_d g * Δ' * u    dC = Σ_d dq * h

#include "scan.cuh"

constexpr int WARPS = 4;
constexpr int THREADS = 32 * WARPS;
constexpr int GROUP = WARPS * QUAD;

template <typename T>
struct Backward {
    // [B, D, L], and [B, N, L]
    const T *u, *delta, *d_q, *b, *c;
    T *d_u, *d_delta;
    i64 u_batch, delta_batch, d_q_batch, b_batch, c_batch, d_u_batch, d_delta_batch;
    i64 stride;
    i64 len;
    // [N, D], [D], [D]
    const float *a, *d, *bias;
    // [B, tiles, N, D]: the states that enter, and the adjoint's.
    const float *borders, *adjoint;
    // [splits, B, 2 N, tiles * TILE]: dB, then dC, of the channels of a split.
    float* d_rows;
    // [B * tiles, N + 2, D]: dA, then dD and dbias.
    float* d_params;
    int channels, states, add_u, add_delta;
};

// The parts of a block's shared memory, in bytes from its start.
template <typename T>
struct Parts {
    using V = Vectors<T>;
    // u, Δ and dq of a warp's channels: vectors in the order of lanes, which only the lane itself reads.
    static constexpr u32 STAGE = 3 * V::LANE * 32 * 16;
    // What is known of a channel and state: what enters the tile, what its adjoint brings, and A. Then the sums of dA of
    // the channel's lanes take its place.
    static constexpr u32 KNOWN = LANES * 4;
    // B and C of a state.
    static constexpr u32 PAIR = 2 * V::ROW_BYTES;
    // dB and dC of a state, in the order of `add_channels`: first that of the first half of all steps.
    static constexpr u32 HALF = 32 * 16;
    static constexpr u32 TOTAL = 2 * HALF;
    // Which of eight numbers is that of the lane.
    static constexpr u32 PICKS = 2 * 32 * 16;
    u32 stage, known, rows, totals, picks, of_group;

    // Where the first of two groups has its stage and what it knows; those of the other one are `of_group` bytes further on.
    __device__ __forceinline__ Parts(u32 base, int warp, int lane, int states) {
        const u32 of_warp = STAGE + states * QUAD * KNOWN;
        of_group = WARPS * of_warp;
        stage = base + warp * of_warp + lane * 16;
        known = base + warp * of_warp + STAGE;
        rows = base + 2 * of_group;
        totals = rows + states * PAIR;
        picks = totals + states * TOTAL + lane * 16;
    }
};

__device__ __forceinline__ void store_vector(u32 at, float4 x) {
    asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" : : "r"(at), "f"(x.x), "f"(x.y), "f"(x.z), "f"(x.w) : "memory");
}

__device__ __forceinline__ float4 load_floats(u32 at) {
    float4 x;
    asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(x.x), "=f"(x.y), "=f"(x.z), "=f"(x.w) : "r"(at) : "memory");
    return x;
}

// The sum over a channel's lanes, in its first one.
__device__ __forceinline__ float lanes_sum(float x) {
#pragma unroll
    for (int k = LANES / 2; k > 0; k /= 2) x += from_lane<true>(x, k);
    return x;
}

// -------------------------------------------------------------------------------------------------- sums over channels

// A product of 16 x 8 numbers of ten bits after the first and 8 x 8 of them, added to 16 x 8. Lane l has of the first one
// row l / 4, columns l % 4 (a.x) and l % 4 + 4 (a.z), and the same of row l / 4 + 8 (a.y, a.w); of the second one column
// l / 4, rows l % 4 and l % 4 + 4; of the sums row l / 4, columns 2 * (l % 4) and the next (x, y), and of row l / 4 + 8 (z, w).
__device__ __forceinline__ void add_product(float4& sum, float4 a, float b_upper, float b_lower) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sum.x), "+f"(sum.y), "+f"(sum.z), "+f"(sum.w)
        : "r"(__float_as_uint(a.x)), "r"(__float_as_uint(a.y)), "r"(__float_as_uint(a.z)), "r"(__float_as_uint(a.w)),
          "r"(__float_as_uint(b_upper)), "r"(__float_as_uint(b_lower)));
}

// What the first eleven bits of a number are, and what they leave.
__device__ __forceinline__ float head(float x) { return __uint_as_float(__float_as_uint(x) & 0xffffe000u); }
__device__ __forceinline__ float rest(float x) { return x - head(x); }

// Adds dB (x and z) and dC (y and w) of two steps over a warp's channels. The second factor picks the columns of the sums
// that these steps have: it is one where a lane's number is that of the step. Of a term all but eleven bits are dropped, which
// is as if its u or dq had been rounded a quarter as far again as it was when it became bf16. Of f32, 22 bits are kept.
template <typename T>
__device__ __forceinline__ void add_channels(float4& sum, float4 terms, float is_first, float is_second) {
    add_product(sum, make_float4(head(terms.x), head(terms.y), head(terms.z), head(terms.w)), is_first, is_second);
    if (sizeof(T) == 4)
        add_product(sum, make_float4(rest(terms.x), rest(terms.y), rest(terms.z), rest(terms.w)), is_first, is_second);
}

// What is dropped of a term is always towards zero, 0.034 % of it on average, which the sum is given back.
template <typename T>
constexpr float DROPPED = sizeof(T) == 2 ? 0.00034f : 0.0f;

// Where `add_channels` leaves dB or dC of a position of the tile, in bytes from the first one of the state.
template <bool REVERSE>
__device__ __forceinline__ u32 place_of(int which, int t) {
    const int stretch = t / STEPS, lane = REVERSE ? LANES - 1 - stretch : stretch;
    const int step = position<REVERSE>(t % STEPS), half = step / 8, column = step % 8;
    return half * 512 + (lane * QUAD + column / 2) * 16 + which * 8 + column % 2 * 4;
}

// ------------------------------------------------------------------------------------------ recurrences over all lanes

// The sums of steps of one (x), two (y) and four lanes (z), the nearest of which is the neighbour.
template <bool BEHIND>
__device__ __forceinline__ float4 spans_of(float all_steps) {
    const float one = from_lane<BEHIND>(all_steps, 1);
    const float two = one + from_lane<BEHIND>(one, 1);
    return make_float4(one, two, two + from_lane<BEHIND>(two, 2), 0.0f);
}

// A recurrence over a channel's lanes: what leaves each lane when nothing enters it becomes what enters it, given what enters
// the channel's first one in this walk.
template <bool BEHIND>
struct Join {
    float value, spans[3];
    int before;

    __device__ __forceinline__ Join(float entering, float left, float4 spans, int lane)
        : value(from_lane<BEHIND>(left, 1)), spans{spans.x, spans.y, spans.z}, before(BEHIND ? LANES - 1 - lane : lane) {
        value = before == 0 ? entering : value;
    }

    // Adds what the lanes between 2^i and 2^(i + 1) before this one bring.
    __device__ __forceinline__ void add(int i, float rate) {
        const float decay = exp2_fast(rate * spans[i]), other = from_lane<BEHIND>(value, 1 << i);
        asm("{ .reg .pred p; setp.ge.s32 p, %3, %4; @p fma.rn.f32 %0, %1, %2, %0; }"
            : "+f"(value) : "f"(decay), "f"(other), "r"(before), "r"(1 << i));
    }
};

template <typename T, bool REVERSE>
__device__ __forceinline__ void backward(const Backward<T>& p) {
    using V = Vectors<T>;
    using P = Parts<T>;
    extern __shared__ uint4 shared[];
    const int lane_of_warp = threadIdx.x & 31, warp = __shfl_sync(~0u, threadIdx.x / 32, 0);
    const int lane = lane_of_warp / QUAD, place = lane_of_warp % QUAD;
    const int states = p.states, tiles = (int)((p.len + TILE - 1) / TILE);
    const i64 batch = blockIdx.y, tile = blockIdx.x, tile_start = tile * TILE;
    const P parts(shared_address(shared), warp, lane_of_warp, states);
    const int stretch = REVERSE ? LANES - 1 - lane : lane;
    // Positions of this lane's stretch that belong to the sequence. In 64 bits: of 32 bits ptxas 13.0 makes one instruction of both
    // bounds and of the question whether it is STEPS, and answers that wrongly.
    const int left = (int)max((i64)0, min((i64)STEPS, p.len - tile_start - stretch * STEPS));
    const int groups = (p.channels + GROUP - 1) / GROUP;
    const i64 of_tile = batch * tiles + tile;
    // Of this lane in a group.
    auto wanted_channel = [&](int group) { return group * GROUP + warp * QUAD + place; };

    // B and C of all states.
    for (int i = threadIdx.x; i < states * 2 * V::ROW; i += THREADS) {
        const int vector = i % V::ROW, row = i / V::ROW, state = row / 2;
        const T* const from = row % 2 ? p.c + batch * p.c_batch : p.b + batch * p.b_batch;
        const i64 t = tile_start + vector * V::SIZE;
        copy_vector(parts.rows + row * V::ROW_BYTES + vector * 16,
                    from + state * p.stride + (t < p.len ? t : 0), t < p.len);
    }
    // What lies behind the end of the sequence in a vector that it cuts may be anything, and zero times that need not be zero.
    auto clear_behind = [&] {
        const int there = (int)(p.len - tile_start), vector = there / V::SIZE;
        for (int i = threadIdx.x; i < states * 2 * V::ROW; i += THREADS)
            for (int j = i % V::ROW == vector ? there % V::SIZE : V::SIZE; j < V::SIZE; j++)
                store_number(parts.rows + i / V::ROW * V::ROW_BYTES + vector * 16 + j * sizeof(T), narrow<T>(0.0f));
    };
    for (int i = threadIdx.x; i < states * (int)P::TOTAL / 16; i += THREADS)
        store_vector(parts.totals + i * 16, make_float4(0.0f, 0.0f, 0.0f, 0.0f));

    auto copy_group = [&](int group, u32 to) {
        const bool is_live = group < groups && wanted_channel(group) < p.channels;
        const int channel = is_live ? wanted_channel(group) : 0;
        const T* const own[3] = {p.u + batch * p.u_batch, p.delta + batch * p.delta_batch, p.d_q + batch * p.d_q_batch};
        const i64 start = channel * p.stride + (left > 0 ? tile_start + stretch * STEPS : 0);
#pragma unroll
        for (int which = 0; which < 3; which++) {
#pragma unroll
            for (int v = 0; v < V::LANE; v++) {
                const bool there = is_live && v * V::SIZE < left;
                copy_vector(parts.stage + to + (which * V::LANE + v) * 512, own[which] + start + (there ? v * V::SIZE : 0), there);
            }
        }
        u32 at = parts.known + to + lane_of_warp * P::KNOWN;
        const i64 entry = of_tile * states * p.channels;
        i64 i = lane * (i64)p.channels + channel;
#pragma unroll 1
        for (int s = lane; s < states; s += LANES) {
            copy_number(at, p.borders + entry + i, is_live);
            copy_number(at + 4, p.adjoint + entry + i, is_live);
            copy_number(at + 8, p.a + i, is_live);
            i += LANES * (i64)p.channels, at += 32 * P::KNOWN;
        }
    };
    copy_group(blockIdx.z, 0);

    // Registers have no room for them.
    if (warp == 0) {
        store_vector(parts.picks, make_float4(lane == 0, lane == 1, lane == 2, lane == 3));
        store_vector(parts.picks + 512, make_float4(lane == 4, lane == 5, lane == 6, lane == 7));
    }
    const int slice = (states + WARPS - 1) / WARPS;
    u32 own = 0;

    for (int group = blockIdx.z; group < groups; group += gridDim.z) {
        const bool is_live = wanted_channel(group) < p.channels;
        const float bias = is_live ? p.bias[wanted_channel(group)] : 0.0f;
        copies_wait();
        if (group == (int)blockIdx.z) {
            if (tile_start + TILE > p.len) clear_behind();
            __syncthreads();
        } else {
            __syncwarp();
        }
        const u32 stage = after(parts.stage + own), known = after(parts.known + own);
        own ^= parts.of_group;
        copy_group(group + gridDim.z, own);
        clear_stage<T>(is_live ? left : 0, V::LANE * 512, [&](int v) { return stage + v * 512; });

        float step[STEPS], du[STEPS], dq[STEPS], all_steps = 0.0f;
        // Σ_n B * g and Σ_n A * w
        float into[STEPS], back[STEPS];
        {
            float x[STEPS], raw[STEPS], y[STEPS];
#pragma unroll
            for (int v = 0; v < V::LANE; v++) {
                widen_vector(load_vector(after(stage) + v * 512), x + v * V::SIZE, T());
                widen_vector(load_vector(after(stage) + (V::LANE + v) * 512), raw + v * V::SIZE, T());
                widen_vector(load_vector(after(stage) + (2 * V::LANE + v) * 512), y + v * V::SIZE, T());
            }
#pragma unroll
            for (int k = 0; k < STEPS; k++) {
                const int j = position<REVERSE>(k);
                step[k] = softplus<T>(raw[j] + bias);
                du[k] = step[k] * x[j];
                dq[k] = y[j];
                into[k] = back[k] = 0.0f;
                keep(du[k]), keep(dq[k]);
                all_steps += step[k];
            }
        }
        // They take the place of Δ: registers have no room for them.
        const u32 spans = stage + V::LANE * 512;
        store_vector(spans, spans_of<false>(all_steps));
        store_vector(spans + 512, spans_of<true>(all_steps));

        for (int turn = 0; turn < WARPS; turn++) {
            const int first = (warp + turn) % WARPS * slice, end = min(first + slice, states);
            u32 row = after(parts.rows) + first * P::PAIR + stretch * V::LANE * 16;
            u32 slot = known + (first * QUAD + place) * P::KNOWN;
            u32 total = parts.totals + first * P::TOTAL + lane_of_warp * 16;
#pragma unroll 1
            for (int s = first; s < end; s++) {
                const float4 of_state = load_floats(slot);
                const float a = of_state.z, rate = a * LOG2_E;
                float decay[STEPS], h[STEPS], in[STEPS], b[STEPS], c[STEPS];
                load_stretch<T>(row, b);
                load_stretch<T>(row + V::ROW_BYTES, c);
                float state = 0.0f, g = 0.0f;
#pragma unroll
                for (int k = 0; k < STEPS; k++) {
                    decay[k] = exp2_fast(rate * step[k]);
                    h[k] = du[k] * b[position<REVERSE>(k)];
                    state = k == 0 ? h[0] : fmaf(decay[k], state, h[k]);
                }
#pragma unroll
                for (int k = STEPS - 1; k >= 0; k--) {
                    in[k] = dq[k] * c[position<REVERSE>(k)];
                    g = k == STEPS - 1 ? in[k] : fmaf(decay[k + 1], g, in[k]);
                }
                Join<false> from_before(of_state.x, state, load_floats(spans), lane);
                Join<true> from_behind(of_state.y, decay[0] * g, load_floats(spans + 512), lane);
#pragma unroll
                for (int i = 0; i < 3; i++) from_before.add(i, rate), from_behind.add(i, rate);
                const float before = from_before.value;

                state = before;
#pragma unroll
                for (int k = 0; k < STEPS; k++) h[k] = state = fmaf(decay[k], state, h[k]);
                float d_a = 0.0f;
                g = from_behind.value + in[STEPS - 1];
#pragma unroll
                for (int half = 1; half >= 0; half--) {
                    float4 sum = load_floats(total + half * P::HALF);
                    const float4 low = load_floats(parts.picks), high = load_floats(parts.picks + 512);
                    const float is_step[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
                    for (int pair = 3; pair >= 0; pair--) {
                        float d_b[2], d_c[2];
#pragma unroll
                        for (int m = 1; m >= 0; m--) {
                            const int k = 8 * half + 2 * pair + m;
                            if (k < STEPS - 1) g = fmaf(decay[k + 1], g, in[k]);
                            const float w = decay[k] * g * (k > 0 ? h[k - 1] : before);
                            back[k] = fmaf(a, w, back[k]);
                            d_a = fmaf(step[k], w, d_a);
                            into[k] = fmaf(b[position<REVERSE>(k)], g, into[k]);
                            d_b[m] = g * du[k];
                            d_c[m] = dq[k] * h[k];
                        }
                        add_channels<T>(sum, make_float4(d_b[0], d_c[0], d_b[1], d_c[1]), is_step[2 * pair], is_step[2 * pair + 1]);
                    }
                    store_vector(total + half * P::HALF, sum);
                }
                __syncwarp();
                store_number(slot + lane * 4, d_a);
                row += P::PAIR, slot += QUAD * P::KNOWN, total += P::TOTAL;
            }
            __syncthreads();
        }

        const int channel = min(wanted_channel(group), p.channels - 1);
        float* const d_params = p.d_params + of_tile * (i64)(states + 2) * p.channels + channel;
#pragma unroll 1
        for (int s = lane; s < states && is_live; s += LANES) {
            const u32 slot = known + (s * QUAD + place) * P::KNOWN;
            const float4 x = load_floats(slot), y = load_floats(slot + 16);
            d_params[(i64)s * p.channels] = ((x.x + x.y) + (x.z + x.w)) + ((y.x + y.y) + (y.z + y.w));
        }
        float x[STEPS], out_u[STEPS], out_delta[STEPS], d_bias = 0.0f, d_skip = 0.0f;
        const float skip = p.d[channel];
#pragma unroll
        for (int v = 0; v < V::LANE; v++) widen_vector(load_vector(after(stage) + v * 512), x + v * V::SIZE, T());
#pragma unroll
        for (int k = 0; k < STEPS; k++) {
            const int j = position<REVERSE>(k);
            out_u[j] = fmaf(skip, dq[k], step[k] * into[k]);
            out_delta[j] = fmaf(x[j], into[k], back[k]) * softplus_slope<T>(step[k]);
            d_bias += out_delta[j];
            d_skip = fmaf(dq[k], x[j], d_skip);
        }
        d_skip = lanes_sum(d_skip), d_bias = lanes_sum(d_bias);
        if (!is_live) continue;
        const i64 own_start = channel * p.stride + stretch * STEPS;
        store_stretch(p.d_u + batch * p.d_u_batch + tile_start + own_start, left, p.add_u, out_u);
        store_stretch(p.d_delta + batch * p.d_delta_batch + tile_start + own_start, left, p.add_delta, out_delta);
        if (lane == 0) d_params[(i64)states * p.channels] = d_skip, d_params[(i64)(states + 1) * p.channels] = d_bias;
    }
    float* const d_rows = p.d_rows + (blockIdx.z * (i64)gridDim.y + batch) * 2 * states * tiles * TILE + tile_start;
    for (int i = threadIdx.x; i < states * 2 * TILE; i += THREADS) {
        const int t = i % TILE, row = i / TILE, which = row / states, state = row % states;
        const float total = load_word(after(parts.totals) + state * P::TOTAL + place_of<REVERSE>(which, t));
        d_rows[(i64)row * tiles * TILE + t] = fmaf(total, DROPPED<T>, total);
    }
}

// Adds what the splits have of dB and dC, in their order: eight positions a thread.
struct RowsShape {
    i64 len, padded;
    int splits, states, add_b, add_c;
};

template <typename T>
__device__ __forceinline__ void rows(const float* d_rows, T* d_b, Strides bs, T* d_c, Strides cs, RowsShape shape) {
    const i64 start = (blockIdx.x * (i64)blockDim.x + threadIdx.x) * 8, batch = blockIdx.z;
    if (start >= shape.len) return;
    const bool is_c = (int)blockIdx.y >= shape.states, add = is_c ? shape.add_c : shape.add_b;
    const i64 split = (i64)gridDim.z * gridDim.y * shape.padded;
    const float* const from = d_rows + (batch * gridDim.y + blockIdx.y) * shape.padded + start;
    T* const to = is_c ? row_of(d_c, cs, batch, blockIdx.y - shape.states) : row_of(d_b, bs, batch, blockIdx.y);
    float sum[8], more[8];
    load8(from, sum);
    for (int i = 1; i < shape.splits; i++) {
        load8(from + i * split, more);
#pragma unroll
        for (int j = 0; j < 8; j++) sum[j] += more[j];
    }
    if (add) {
        load_part(to, start, shape.len, true, more);
#pragma unroll
        for (int j = 0; j < 8; j++) sum[j] += more[j];
    }
    store_part(to, start, shape.len, true, sum);
}

// The type is a matter of the program's macros: ELEMENT and its NAME.
#define ROWS_NAME(name) selective_scan_rows_##name
#define ROWS(name)                                                                                                     \
    extern "C" __global__ void ROWS_NAME(name)(const float* d_rows, ELEMENT* d_b, Strides bs, ELEMENT* d_c,            \
                                               Strides cs, RowsShape shape) {                                          \
        rows(d_rows, d_b, bs, d_c, cs, shape);                                                                         \
    }

ROWS(NAME)

// Blocks of a multiprocessor are those that its registers have room for.
#define BACKWARD_NAME(name, walk) selective_scan_backward_##name##_##walk
#define BACKWARD(name, walk, reverse)                                                                                  \
    extern "C" __global__ void __launch_bounds__(THREADS, sizeof(ELEMENT) == 2 ? 3 : 2)                                \
        BACKWARD_NAME(name, walk)(Backward<ELEMENT> scan) {                                                            \
        backward<ELEMENT, reverse>(scan);                                                                              \
    }

BACKWARD(NAME, forward, false)
BACKWARD(NAME, reverse, true)
