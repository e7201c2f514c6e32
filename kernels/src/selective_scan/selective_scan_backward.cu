// Gradients of the scan, tile by tile.
//
// The states that enter the tiles are known from the way forward, and what the adjoint brings into them from a chain of
// its own (selective_scan.cu), so that tiles do not wait for each other. A block has a tile and walks over groups of
// WARPS * QUAD channels, a warp QUAD of them: B and C, and the sums of their gradients over channels, stay in shared memory
// for all groups. Sums run in the order of channels; those over time are left as one number a tile, to be added up in the
// order of tiles.
//
// In the names of the room's contract, with h⁻ the state before t in the direction of the scan:
//
//     g[t] = e[t⁺] * g[t⁺] + C[t] * dq[t]      r[t] = e[t] * g[t]      w[t] = r[t] * h⁻[t]
//     du = D * dq + Δ' * Σ_n B * g              dΔ = (Σ_n A * w + u * Σ_n B * g) * softplus'
//     dA = Σ_t Δ' * w    dD = Σ_t dq * u    dbias = Σ_t dΔ    dB = Σ_d g * Δ' * u    dC = Σ_d dq * h

#include "scan.cuh"

constexpr int WARPS = 6;
constexpr int THREADS = 32 * WARPS;
constexpr int GROUP = WARPS * QUAD;
// Four positions of the sum of dB and dC belong to one of PARTS threads each, which share the rows of a group.
constexpr int COLUMNS = 2 * TILE / 4;
constexpr int PARTS = THREADS / COLUMNS;
static_assert(THREADS % COLUMNS == 0 && GROUP % PARTS == 0, "threads share the rows evenly");

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
    static constexpr u32 STAGE = 3 * V::LANE * 32 * 16;
    static constexpr u32 PAIR = 2 * V::ROW_BYTES;
    static constexpr u32 EXCHANGE = GROUP * 2 * TILE * 4;
    static constexpr u32 SUMS = PARTS * COLUMNS * 16;
    // What a warp has to know of each state and channel: what enters the tile, what its adjoint brings, and A.
    u32 stage, rows, exchange, sums, totals, known;

    __device__ __forceinline__ Parts(u32 base, int warp, int lane, int states) {
        stage = base + warp * STAGE + lane * 16;
        rows = base + WARPS * STAGE;
        exchange = rows + states * PAIR;
        sums = exchange + 2 * EXCHANGE;
        totals = sums + 2 * SUMS;
        known = totals + states * 2 * TILE * 4 + warp * states * QUAD * 16;
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

__device__ __forceinline__ void add_to(float4& x, const float4& y) { x.x += y.x, x.y += y.y, x.z += y.z, x.w += y.w; }

// The sum over a channel's lanes, in its first one.
__device__ __forceinline__ float lanes_sum(float x) {
#pragma unroll
    for (int k = LANES / 2; k > 0; k /= 2) x += __shfl_down_sync(~0u, x, k, LANES);
    return x;
}

// A row of f32 in shared memory is permuted as one of Vectors<float>.
__device__ __forceinline__ u32 float_place(u32 vector) { return Vectors<float>::place(vector) * 16; }

template <typename T, bool REVERSE>
__device__ __forceinline__ void backward(const Backward<T>& p) {
    using V = Vectors<T>;
    using P = Parts<T>;
    extern __shared__ uint4 shared[];
    const int lane_of_warp = threadIdx.x & 31, warp = threadIdx.x / 32;
    const int lane = lane_of_warp & (LANES - 1), place = lane_of_warp / LANES;
    const int states = p.states, tiles = (int)((p.len + TILE - 1) / TILE);
    const i64 batch = blockIdx.y, tile = blockIdx.x, tile_start = tile * TILE;
    const P parts(shared_address(shared), warp, lane_of_warp, states);
    const int stretch = REVERSE ? LANES - 1 - lane : lane;
    const i64 start = tile_start + stretch * STEPS;
    const int left = (int)max((i64)0, min((i64)STEPS, p.len - start));
    const int groups = (p.channels + GROUP - 1) / GROUP;

    // B and C of all states.
    for (int i = threadIdx.x; i < states * 2 * V::ROW; i += THREADS) {
        const int vector = i % V::ROW, which = i / V::ROW % 2, state = i / (2 * V::ROW);
        const T* const row = which ? p.c + batch * p.c_batch : p.b + batch * p.b_batch;
        const i64 t = tile_start + vector * V::SIZE;
        copy_vector(parts.rows + (state * 2 + which) * V::ROW_BYTES + V::place(vector) * 16,
                    row + state * p.stride + (t < p.len ? t : 0), bytes_of<T>(p.len - t));
    }
    auto copy_group = [&](int group) {
        const int channel = min(group * GROUP + warp * QUAD + place, p.channels - 1);
        const bool is_live = group < groups && group * GROUP + warp * QUAD + place < p.channels;
        const T* const own[3] = {p.u + batch * p.u_batch, p.delta + batch * p.delta_batch, p.d_q + batch * p.d_q_batch};
#pragma unroll
        for (int which = 0; which < 3; which++) {
#pragma unroll
            for (int v = 0; v < V::LANE; v++) {
                const bool there = is_live && start + v * V::SIZE < p.len;
                copy_vector(parts.stage + (which * V::LANE + v) * 512,
                            own[which] + channel * p.stride + (there ? start + v * V::SIZE : 0), there ? 16 : 0);
            }
        }
    };
    copy_group(blockIdx.z);

    for (int group = blockIdx.z; group < groups; group += gridDim.z) {
        const bool is_first = group == (int)blockIdx.z;
        const int wanted = group * GROUP + warp * QUAD + place;
        const bool is_live = wanted < p.channels;
        const int channel = is_live ? wanted : p.channels - 1;
        const float bias = p.bias[channel], skip = p.d[channel];
        const i64 entry = (batch * tiles + tile) * states * p.channels;
        for (int i = lane_of_warp; i < states * QUAD; i += 32) {
            const int own = min(group * GROUP + warp * QUAD + i % QUAD, p.channels - 1);
            const i64 of_state = (i64)(i / QUAD) * p.channels + own;
            const float4 known = make_float4(p.borders[entry + of_state], p.adjoint[entry + of_state], p.a[of_state], 0.0f);
            store_vector(parts.known + i * 16, known);
        }
        copies_wait();
        if (is_first) __syncthreads();
        else __syncwarp();

        float step[STEPS], du[STEPS], dq[STEPS], all_steps = 0.0f, d_skip = 0.0f;
        // Σ_n B * g and Σ_n A * w
        float into[STEPS], back[STEPS];
        u32 stage = after(parts.stage);
        {
            float x[STEPS], raw[STEPS], y[STEPS];
#pragma unroll
            for (int v = 0; v < V::LANE; v++) {
                widen_vector(load_vector(stage + v * 512), x + v * V::SIZE, T());
                widen_vector(load_vector(stage + (V::LANE + v) * 512), raw + v * V::SIZE, T());
                widen_vector(load_vector(stage + (2 * V::LANE + v) * 512), y + v * V::SIZE, T());
            }
#pragma unroll
            for (int k = 0; k < STEPS; k++) {
                const int j = position<REVERSE>(k);
                step[k] = softplus<T>(raw[j] + bias);
                du[k] = step[k] * x[j];
                dq[k] = y[j];
                into[k] = back[k] = 0.0f;
            }
            // What does not belong to the sequence, or to no channel, does nothing to any sum.
            if (left < STEPS || !is_live) {
#pragma unroll
                for (int k = 0; k < STEPS; k++)
                    if (!is_live || position<REVERSE>(k) >= left) step[k] = du[k] = dq[k] = x[position<REVERSE>(k)] = 0.0f;
            }
#pragma unroll
            for (int k = 0; k < STEPS; k++) {
                all_steps += step[k];
                d_skip = fmaf(dq[k], x[position<REVERSE>(k)], d_skip);
            }
            asm volatile("" : "+f"(all_steps));
        }

        const u32 first = V::first(stretch);
        float* const d_params = p.d_params + (batch * tiles + tile) * (i64)(states + 2) * p.channels + channel;
        // What dB and dC of the state before last have been summed to, by the threads of a part.
        auto add_parts = [&](int s) {
            if (threadIdx.x >= COLUMNS) return;
            const u32 from = parts.sums + (s & 1) * P::SUMS + threadIdx.x * 16;
            float4 sum = load_floats(from);
#pragma unroll
            for (int i = 1; i < PARTS; i++) add_to(sum, load_floats(from + i * COLUMNS * 16));
            const u32 total = parts.totals + (s * COLUMNS + threadIdx.x) * 16;
            if (!is_first) {
                float4 so_far = load_floats(total);
                add_to(so_far, sum);
                sum = so_far;
            }
            store_vector(total, sum);
        };
#pragma unroll 1
        for (int s = 0; s < states; s++) {
            const float4 known = load_floats(parts.known + (s * QUAD + place) * 16);
            const float entering = known.x, adjoint = known.y, a = known.z, rate = a * LOG2_E;
            const u32 rows = after(parts.rows) + s * P::PAIR;
            float decay[STEPS], h[STEPS], in[STEPS], row[STEPS];
            load_stretch<T>(rows + first, 0, row);
            float state = 0.0f;
#pragma unroll
            for (int k = 0; k < STEPS; k++) {
                decay[k] = exp2_fast(rate * step[k]);
                h[k] = du[k] * row[position<REVERSE>(k)];
                state = k == 0 ? h[0] : fmaf(decay[k], state, h[k]);
            }
            const float all = exp2_fast(rate * all_steps);
            float through = all, value = state;
            join_before(through, value, lane);
            const float through_before = __shfl_up_sync(~0u, through, 1, LANES), value_before = __shfl_up_sync(~0u, value, 1, LANES);
            const float before = lane == 0 ? entering : fmaf(through_before, entering, value_before);
            state = before;
#pragma unroll
            for (int k = 0; k < STEPS; k++) h[k] = state = fmaf(decay[k], state, h[k]);

            load_stretch<T>(rows + first, V::ROW_BYTES, row);
#pragma unroll
            for (int k = 0; k < STEPS; k++) in[k] = row[position<REVERSE>(k)] * dq[k];
            float g = in[STEPS - 1];
#pragma unroll
            for (int k = STEPS - 2; k >= 0; k--) g = fmaf(decay[k + 1], g, in[k]);
            through = all, value = decay[0] * g;
            join_behind(through, value, lane);
            const float through_behind = __shfl_down_sync(~0u, through, 1, LANES), value_behind = __shfl_down_sync(~0u, value, 1, LANES);
            const float behind = lane == LANES - 1 ? adjoint : fmaf(through_behind, adjoint, value_behind);

            load_stretch<T>(rows + first, 0, row);
            const u32 exchange = parts.exchange + (s & 1) * P::EXCHANGE + (warp * QUAD + place) * 2 * TILE * 4;
            const u32 own = exchange + (stretch * 4 + ((stretch >> 1) & 3)) * 16;
            float d_a = 0.0f;
            g = behind + in[STEPS - 1];
#pragma unroll
            for (int v = 3; v >= 0; v--) {
                float d_b[4], d_c[4];
#pragma unroll
                for (int m = 3; m >= 0; m--) {
                    const int k = 4 * v + m, j = REVERSE ? 3 - m : m;
                    if (k < STEPS - 1) g = fmaf(decay[k + 1], g, in[k]);
                    const float w = decay[k] * g * (k > 0 ? h[k - 1] : before);
                    back[k] = fmaf(a, w, back[k]);
                    d_a = fmaf(step[k], w, d_a);
                    into[k] = fmaf(row[position<REVERSE>(k)], g, into[k]);
                    d_b[j] = g * du[k];
                    d_c[j] = dq[k] * h[k];
                }
                const int part = REVERSE ? 3 - v : v;
                store_vector(own ^ (16 * part), make_float4(d_b[0], d_b[1], d_b[2], d_b[3]));
                store_vector((own ^ (16 * part)) + TILE * 4, make_float4(d_c[0], d_c[1], d_c[2], d_c[3]));
            }
            d_a = lanes_sum(d_a);
            if (lane == 0 && is_live) d_params[(i64)s * p.channels] = d_a;
            __syncthreads();
            {
                const int column = threadIdx.x % COLUMNS, part = threadIdx.x / COLUMNS, which = column / (TILE / 4);
                const u32 from = parts.exchange + (s & 1) * P::EXCHANGE + which * TILE * 4 + float_place(column % (TILE / 4));
                float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll
                for (int i = 0; i < GROUP / PARTS; i++) add_to(sum, load_floats(from + (part * (GROUP / PARTS) + i) * 2 * TILE * 4));
                store_vector(parts.sums + (s & 1) * P::SUMS + (part * COLUMNS + column) * 16, sum);
            }
            if (s > 0) add_parts(s - 1);
        }
        __syncthreads();
        add_parts(states - 1);

        float x[STEPS], raw[STEPS], out_u[STEPS], out_delta[STEPS], d_bias = 0.0f;
        stage = after(stage);
#pragma unroll
        for (int v = 0; v < V::LANE; v++) {
            widen_vector(load_vector(stage + v * 512), x + v * V::SIZE, T());
            widen_vector(load_vector(stage + (V::LANE + v) * 512), raw + v * V::SIZE, T());
        }
#pragma unroll
        for (int k = 0; k < STEPS; k++) {
            const int j = position<REVERSE>(k);
            const float slope = raw[j] + bias > 20.0f ? 1.0f : softplus_slope<T>(step[k]);
            const float d_delta = fmaf(x[j], into[k], back[k]) * slope;
            out_u[j] = fmaf(skip, dq[k], step[k] * into[k]);
            out_delta[j] = d_delta;
            d_bias += j < left ? d_delta : 0.0f;
        }
        copy_group(group + gridDim.z);
        if (is_live) {
            store_stretch(p.d_u + batch * p.d_u_batch + channel * p.stride, start, p.len, p.add_u, out_u);
            store_stretch(p.d_delta + batch * p.d_delta_batch + channel * p.stride, start, p.len, p.add_delta, out_delta);
        }
        d_skip = lanes_sum(d_skip), d_bias = lanes_sum(d_bias);
        if (lane == 0 && is_live) d_params[(i64)states * p.channels] = d_skip, d_params[(i64)(states + 1) * p.channels] = d_bias;
    }
    __syncthreads();
    float4* const d_rows = reinterpret_cast<float4*>(p.d_rows + (blockIdx.z * (i64)gridDim.y + batch) * 2 * states * tiles * TILE + tile_start);
    for (int i = threadIdx.x; i < states * COLUMNS; i += THREADS) {
        const int state = i / COLUMNS, which = i % COLUMNS / (TILE / 4), vector = i % (TILE / 4);
        d_rows[(i64)(which * states + state) * tiles * (TILE / 4) + vector] = load_floats(parts.totals + i * 16);
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

// A block of f32 has more in shared memory than half of a multiprocessor's.
#define BACKWARD_NAME(name, walk) selective_scan_backward_##name##_##walk
#define BACKWARD(name, walk, reverse)                                                                                  \
    extern "C" __global__ void __launch_bounds__(THREADS, sizeof(ELEMENT) == 2 ? 2 : 1)                                \
        BACKWARD_NAME(name, walk)(Backward<ELEMENT> scan) {                                                            \
        backward<ELEMENT, reverse>(scan);                                                                              \
    }

BACKWARD(NAME, forward, false)
BACKWARD(NAME, reverse, true)
