// The gradients of SSD inside a chunk: see cuda.rs and cpu/backward.rs, whose letters these are.
#include "tile.cuh"

struct Gradient {
    // [B, H P, L]
    Rows<const T> x, d_y;
    // [B, G N, L]
    Rows<const T> b, c;
    // [B, H, L]
    Rows<const T> dt;
    Rows<T> d_x, d_dt, d_b, d_c;
    // [B, G, chunks, SIDE, SIDE]
    const float* scores;
    // [B, H, 3, chunks SIDE]
    const float* steps;
    const float* a;
    const float* d;
    const float* bias;
    // S before and G behind each chunk of the strip in the walk, [B, H, strip, N, P]
    const T* states;
    const T* adjoints;
    // Sums of each chunk for d_a, d_d and d_dt_bias, [B, chunks, 3, H]
    float* sums;
    i64 len, chunks, strip, first_chunk;
    int heads, head_dim, state_count, group_heads;
    int reverse, add_x, add_dt, add_b, add_c;
    float least, largest;
    // A d_y that is absent is zero.
    int absent;
};

// Where a block is: blocks of one chunk run at one time, and `own` is which of them it is.
struct Chunk {
    i64 batch, place, chunk, start;
    // Positions that it has.
    int left, own;

    __device__ __forceinline__ Chunk(const Gradient& p, int of_chunk) {
        batch = blockIdx.z, place = blockIdx.x / of_chunk, own = blockIdx.x % of_chunk;
        chunk = p.first_chunk + place, start = chunk * SIDE, left = (int)min((i64)SIDE, p.len - start);
    }
};

__device__ __forceinline__ void fetch_head(const Gradient& p, const Chunk& at, int head, Steps& steps) {
    fetch_steps(steps, p.steps + (at.batch * p.heads + head) * 3 * p.chunks * SIDE, p.chunks * SIDE, at.start);
}

// Up to SIDE channels of a head's x and d_y.
__device__ __forceinline__ void fetch_channels(const Gradient& p, const Chunk& at, int head, int first, T* x, T* d_y) {
    const int rows = min(SIDE, p.head_dim - first), channel = head * p.head_dim + first;
    fetch(x, p.x.row(at.batch, channel) + at.start, p.x.strides.row, rows, at.left);
    fetch(d_y, p.d_y.row(at.batch, channel) + at.start, p.d_y.strides.row, p.absent ? 0 : rows, at.left);
}

// Up to SIDE rows of B or C from state n of a group on.
__device__ __forceinline__ void fetch_rows(const Gradient& p, const Chunk& at, Rows<const T> from, int group, int n, T* to) {
    const int rows = min(SIDE, p.state_count - n);
    fetch(to, from.row(at.batch, group * p.state_count + n) + at.start, from.strides.row, rows, at.left);
}

// Where state n and channel `first` of a chunk's S or G begin.
__device__ __forceinline__ i64 state_at(const Gradient& p, const Chunk& at, int head, int n, int first) {
    const i64 row = (at.batch * p.heads + head) * p.strip + at.place;
    return (row * p.state_count + n) * p.head_dim + first;
}

__device__ __forceinline__ void fetch_state(const Gradient& p, i64 from, const T* states, int n, int first, T* to) {
    fetch(to, states + from, p.head_dim, min(SIDE, p.state_count - n), min(SIDE, p.head_dim - first));
}

// ------------------------------------------------------------------------------------------ x, Δ and the parameters of heads

// Calls f(row, column) for the thread's share of the pairs of a tile.
template <typename F>
__device__ __forceinline__ void each_tile_pair(F f) {
#pragma unroll
    for (int i = 0; i < SIDE * SIDE / 2 / THREADS; i++) f(i * (THREADS * 2 / SIDE) + threadIdx.x / (SIDE / 2), threadIdx.x % (SIDE / 2) * 2);
}

// The sum over the block, the same in all threads, in a fixed order.
__device__ __forceinline__ float block_sum(float x, float* parts) {
    x = warp_sum(x);
    __syncthreads();
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
    __syncthreads();
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < THREADS / 32; i++) sum += parts[i];
    return sum;
}

// Sums over the rows of a product, eight columns a thread: those of its Place.
typedef float Columns[8];

// columns[j] += factor(j) · Σ over the thread's rows of tile · sums, before or behind a product.
template <typename F>
__device__ __forceinline__ void add_columns(Columns& columns, Sums& sums, const T* tile, F factor) {
    const Place place;
#pragma unroll
    for (int c = 0; c < 4; c++) {
        const int j = place.column + 8 * c;
        const float2 near = load_pair(tile + place.row * PITCH + j), far = load_pair(tile + (place.row + 8) * PITCH + j);
        columns[2 * c] += factor(j) * fmaf(sums[c][2], far.x, sums[c][0] * near.x);
        columns[2 * c + 1] += factor(j + 1) * fmaf(sums[c][3], far.y, sums[c][1] * near.y);
    }
}

// Leaves in `parts[w][j]` what the warps that have the rows from 16 w on sum up to.
__device__ __forceinline__ void share_columns(Columns& columns, float (*parts)[SIDE]) {
    const Place place;
#pragma unroll
    for (int c = 0; c < 8; c++) {
#pragma unroll
        for (int k = 4; k < 32; k *= 2) columns[c] += __shfl_xor_sync(~0u, columns[c], k);
        if (threadIdx.x % 32 < 4) parts[threadIdx.x / 32 % 4][place.column + c / 2 * 8 + c % 2] = columns[c];
    }
}

__device__ __forceinline__ float column_of(const float (*parts)[SIDE], int j) {
    return (parts[0][j] + parts[1][j]) + (parts[2][j] + parts[3][j]);
}

constexpr int PLACES = SIDE / 4;
constexpr int FLOW_PITCH = SIDE + 1;

// through[k] = Σ of flow[i, j] over j < k ≤ i, both in the order of the walk: what passes step k inside the chunk. Four threads
// a row, and then a column. No number is taken away from another, as what does not pass k may be far larger.
__device__ __forceinline__ void sum_through(float* flow, float* through) {
    const int own = threadIdx.x / 4, first = threadIdx.x % 4 * PLACES;
    float* const row = flow + own * FLOW_PITCH + first;
    float sum = 0.0f;
#pragma unroll
    for (int j = 0; j < PLACES; j++) sum += row[j];
    float before = 0.0f;
#pragma unroll
    for (int i = 0; i < 3; i++) {
        const float part = __shfl_sync(~0u, sum, i, 4);
        if (i < threadIdx.x % 4) before += part;
    }
#pragma unroll
    for (int j = 0; j < PLACES; j++) {
        const float x = row[j];
        row[j] = before;
        before += x;
    }
    __syncthreads();
    sum = 0.0f;
#pragma unroll
    for (int i = first; i < first + PLACES; i++) sum += i >= own ? flow[i * FLOW_PITCH + own] : 0.0f;
    sum += __shfl_xor_sync(~0u, sum, 1);
    sum += __shfl_xor_sync(~0u, sum, 2);
    if (threadIdx.x % 4 == 0) through[own] = sum;
}

// The derivative of Δ', by Δ before the bias.
__device__ __forceinline__ float slope_of(float raw, const Gradient& p) {
    const float free = raw > 20.0f ? raw : log1pf(expf(raw));
    if (free < p.least || free > p.largest) return 0.0f;
    return raw > 20.0f ? 1.0f : 1.0f / (1.0f + expf(-raw));
}

// What a head's block has in shared memory besides tiles.
struct HeadSums {
    Steps steps;
    float by_x[4][SIDE], by_b[4][SIDE], by_c[4][SIDE];
    float through[SIDE];
    float parts[THREADS / 32];
    // Of the two warps that have the steps: sums of what is read behind and put in before, and of the parameters.
    float flows[2][2], totals[2][2];
};

// In: a thread's number of a warp's 32. Out: the sum of those from its own on.
__device__ __forceinline__ float sum_from(float x) {
#pragma unroll
    for (int k = 1; k < 32; k *= 2) {
        const float more = __shfl_down_sync(~0u, x, k);
        if (threadIdx.x % 32 + k < 32) x += more;
    }
    return x;
}

// The same up to and with its own.
__device__ __forceinline__ float sum_to(float x) {
#pragma unroll
    for (int k = 1; k < 32; k *= 2) {
        const float more = __shfl_up_sync(~0u, x, k);
        if (threadIdx.x % 32 >= k) x += more;
    }
    return x;
}

// The gradients of Δ and of the head's parameters, once all sums are there; a thread has a step of the walk. `passing` is what
// goes through the whole chunk.
__device__ __forceinline__ void finish_head(const Gradient& p, const Chunk& at, int head, HeadSums& shared, float passing, float skip) {
    const int k = threadIdx.x, warp = k / 32, lane = k % 32, own = p.reverse ? SIDE - 1 - k : k;
    float through = passing;
    if (k < SIDE) {
        const float read = sum_from(column_of(shared.by_c, own)), put_in = sum_to(column_of(shared.by_b, own));
        const float before = __shfl_up_sync(~0u, put_in, 1);
        through += shared.through[k] + read + (lane > 0 ? before : 0.0f);
        if (lane == 0) shared.flows[warp][0] = read;
        if (lane == 31) shared.flows[warp][1] = put_in;
    }
    __syncthreads();
    if (k < SIDE) {
        through += warp == 0 ? shared.flows[1][0] : shared.flows[0][1];
        float by_rate = 0.0f, by_bias = 0.0f;
        if (own < at.left) {
            const i64 t = at.start + own;
            const float raw = load(p.dt.row(at.batch, head), t) + p.bias[head];
            by_rate = shared.steps.delta[own] * through;
            by_bias = fmaf(p.a[head], through, column_of(shared.by_x, own)) * slope_of(raw, p);
            T* const to = p.d_dt.row(at.batch, head);
            store(to, t, p.add_dt ? by_bias + load(to, t) : by_bias);
        }
        by_rate = warp_sum(by_rate), by_bias = warp_sum(by_bias);
        if (lane == 0) shared.totals[warp][0] = by_rate, shared.totals[warp][1] = by_bias;
    }
    __syncthreads();
    if (k == 0) {
        float* const sums = p.sums + (at.batch * p.chunks + at.chunk) * 3 * p.heads + head;
        sums[0] = shared.totals[0][0] + shared.totals[1][0];
        sums[p.heads] = skip;
        sums[2 * p.heads] = shared.totals[0][1] + shared.totals[1][1];
    }
}

// A block has a head's chunk.
extern "C" __global__ void __launch_bounds__(THREADS, sizeof(T) == 2 ? 2 : 1) KERNEL(heads)(Gradient p) {
    __shared__ HeadSums shared;
    T* const x = reinterpret_cast<T*>(tiles);
    T *const d_y = x + TILE, *const weights = x + 2 * TILE, *const rows = x + 3 * TILE, *const state = x + 4 * TILE;
    const Chunk at(p, p.heads);
    const int head = at.own, group = head / p.group_heads;
    const bool reverse = p.reverse;
    Steps& steps = shared.steps;
    fetch_head(p, at, head, steps);

    Sums flow;
    clear(flow);
    float skip = 0.0f;
    for (int first = 0; first < p.head_dim; first += SIDE) {
        __syncthreads();
        fetch_channels(p, at, head, first, x, d_y);
        arrive();
        product<true, true>(flow, d_y, x);
        each_tile_pair([&](int row, int column) {
            const float2 a = load_pair(x + row * PITCH + column), b = load_pair(d_y + row * PITCH + column);
            skip = fmaf(a.y, b.y, fmaf(a.x, b.x, skip));
        });
    }

    // The way back through the scores and the decays, and what goes that way.
    float* const flows = reinterpret_cast<float*>(rows);
    const float* const scores = p.scores + ((at.batch * (p.heads / p.group_heads) + group) * p.chunks + at.chunk) * SIDE * SIDE;
    each_pair(flow, [&](float& a, float& b, int i, int j) {
        const float2 score = reaches(reverse, reverse ? j + 1 : j, i) ? load_pair(scores + i * SIDE + j) : make_float2(0.0f, 0.0f);
        const float near = reaches(reverse, j, i) ? score.x * steps.decay(i, j) : 0.0f;
        const float far = reaches(reverse, j + 1, i) ? score.y * steps.decay(i, j + 1) : 0.0f;
        store_pair(weights + i * PITCH + j, near, far);
        float* const row = flows + (reverse ? SIDE - 1 - i : i) * FLOW_PITCH;
        row[reverse ? SIDE - 1 - j : j] = near * steps.delta[j] * a;
        row[reverse ? SIDE - 2 - j : j + 1] = far * steps.delta[j + 1] * b;
    });
    __syncthreads();
    sum_through(flows, shared.through);

    Columns by_x = {}, by_b = {}, by_c = {};
    float passing = 0.0f;
    const int last = last_of(reverse);
    for (int first = 0; first < p.head_dim; first += SIDE) {
        __syncthreads();
        if (p.head_dim > SIDE) fetch_channels(p, at, head, first, x, d_y);
        Sums sums;
        clear(sums);
        for (int n = 0; n < p.state_count; n += SIDE) {
            __syncthreads();
            fetch_rows(p, at, p.b, group, n, rows);
            fetch_state(p, state_at(p, at, head, n, first), p.adjoints, n, first, state);
            arrive();
            product<true, true>(sums, state, rows);
        }
        each_pair(sums, [&](float& a, float& b, int, int j) { a *= steps.decay(last, j), b *= steps.decay(last, j + 1); });
        add_columns(by_b, sums, x, [&](int j) { return steps.delta[j]; });
        product<false, true>(sums, d_y, weights);
        add_columns(by_x, sums, x, [](int) { return 1.0f; });
        const float direct = p.d[head];
        each_pair(sums, [&](float& a, float& b, int row, int j) {
            if (row >= p.head_dim - first) return;
            const float2 own = load_pair(d_y + row * PITCH + j);
            T* const to = p.d_x.row(at.batch, head * p.head_dim + first + row);
            write_pair(to, at.start + j, p.len, p.add_x, fmaf(steps.delta[j], a, direct * own.x), fmaf(steps.delta[j + 1], b, direct * own.y));
        });

        clear(sums);
        for (int n = 0; n < p.state_count; n += SIDE) {
            const i64 from = state_at(p, at, head, n, first);
            __syncthreads();
            fetch_rows(p, at, p.c, group, n, rows);
            fetch_state(p, from, p.states, n, first, state);
            arrive();
            product<true, true>(sums, state, rows);
            const int wide = min(SIDE, p.head_dim - first), high = min(SIDE, p.state_count - n);
            each_tile_pair([&](int row, int column) {
                if (row >= high || column >= wide) return;
                const float2 a = load_pair(state + row * PITCH + column), b = load_pair(p.adjoints + from + row * p.head_dim + column);
                passing = fmaf(a.y, b.y, fmaf(a.x, b.x, passing));
            });
        }
        add_columns(by_c, sums, d_y, [&](int i) { return steps.from_start(i); });
    }
    share_columns(by_x, shared.by_x), share_columns(by_b, shared.by_b), share_columns(by_c, shared.by_c);
    passing = block_sum(passing, shared.parts) * steps.from_start(last);
    skip = block_sum(skip, shared.parts);
    finish_head(p, at, head, shared, passing, skip);
}

// ------------------------------------------------------------------------------------------------------------------ B and C

// A block has up to SIDE states of a group's chunk, and sums over the heads in their order.
extern "C" __global__ void __launch_bounds__(THREADS, sizeof(T) == 2 ? 2 : 1) KERNEL(rows)(Gradient p) {
    __shared__ Steps steps;
    T* const x = reinterpret_cast<T*>(tiles);
    T *const d_y = x + TILE, *const before = x + 2 * TILE, *const behind = x + 3 * TILE;
    const int slices = (p.state_count + SIDE - 1) / SIDE;
    const Chunk at(p, p.heads / p.group_heads * slices);
    const int group = at.own / slices, n = at.own % slices * SIDE;
    const bool reverse = p.reverse;
    const int last = last_of(reverse);
    Sums all, d_b, d_c;
    clear(all), clear(d_b), clear(d_c);
#pragma unroll 1
    for (int head = group * p.group_heads; head < (group + 1) * p.group_heads; head++) {
        Sums flow;
        clear(flow);
#pragma unroll 1
        for (int first = 0; first < p.head_dim; first += SIDE) {
            const i64 from = state_at(p, at, head, n, first);
            __syncthreads();
            if (first == 0) fetch_head(p, at, head, steps);
            fetch_channels(p, at, head, first, x, d_y);
            fetch_state(p, from, p.states, n, first, before);
            fetch_state(p, from, p.adjoints, n, first, behind);
            arrive();
            product<true, true>(flow, d_y, x);
            __syncthreads();
            scale_columns(d_y, [&](int i) { return steps.from_start(i); });
            scale_columns(x, [&](int j) { return steps.decay(last, j) * steps.delta[j]; });
            __syncthreads();
            product<false, true>(d_c, before, d_y);
            product<false, true>(d_b, behind, x);
        }
        each_pair(flow, [&](float& a, float& b, int i, int j) {
            a = reaches(reverse, j, i) ? steps.decay(i, j) * steps.delta[j] * a : 0.0f;
            b = reaches(reverse, j + 1, i) ? steps.decay(i, j + 1) * steps.delta[j + 1] * b : 0.0f;
        });
#pragma unroll
        for (int c = 0; c < 4; c++) {
#pragma unroll
            for (int k = 0; k < 4; k++) all[c][k] += flow[c][k];
        }
    }
    __syncthreads();
    put(x, all);
    fetch_rows(p, at, p.b, group, n, before);
    fetch_rows(p, at, p.c, group, n, behind);
    arrive();
    product<false, false>(d_c, before, x);
    product<false, true>(d_b, behind, x);
    auto write = [&](Rows<T> to, bool add, Sums& sums) {
        each_pair(sums, [&](float& a, float& b, int row, int t) {
            if (n + row >= p.state_count) return;
            write_pair(to.row(at.batch, group * p.state_count + n + row), at.start + t, p.len, add, a, b);
        });
    };
    write(p.d_b, p.add_b, d_b);
    write(p.d_c, p.add_c, d_c);
}
