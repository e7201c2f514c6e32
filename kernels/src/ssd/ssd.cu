// SSD in chunks: see cuda.rs for the passes and what they leave.
#include "tile.cuh"

// --------------------------------------------------------------------------------------------------------------- the steps

// 2 to this power is zero in f32. A step never counts for less, so that the sums beside it keep their precision.
constexpr double FORGETS = -1000.0;

struct StepsShape {
    i64 len, chunks, count;
    float least, largest;
    int heads, reverse;
};

__device__ __forceinline__ float step_of(float raw, const StepsShape& p) {
    const float free = raw > 20.0f ? raw : log1pf(expf(raw));
    return free < p.least ? p.least : free > p.largest ? p.largest : free;
}

// Δ' and the sums of a chunk, a warp each, two positions a lane in the order of the walk. Behind the end a step is zero.
extern "C" __global__ void __launch_bounds__(THREADS)
    KERNEL(steps)(const T* dt, Strides strides, const float* a, const float* bias, float* steps, StepsShape p) {
    const i64 index = blockIdx.x * (i64)(THREADS / 32) + threadIdx.x / 32;
    if (index >= p.count) return;
    const i64 chunk = index % p.chunks, row = index / p.chunks, padded = p.chunks * SIDE;
    const int lane = threadIdx.x % 32, head = row % p.heads;
    const T* const from = row_of(dt, strides, row / p.heads, head);
    const double given = a[head] * 1.4426950408889634, rate = given < -1e300 ? -1e300 : given;
    float* const to = steps + row * 3 * padded + chunk * SIDE;
    int place[2];
    float delta[2];
    double power[2];
#pragma unroll
    for (int k = 0; k < 2; k++) {
        place[k] = p.reverse ? SIDE - 1 - (2 * lane + k) : 2 * lane + k;
        const i64 t = chunk * SIDE + place[k];
        delta[k] = t < p.len ? step_of(load(from, t) + bias[head], p) : 0.0f;
        power[k] = delta[k] * rate;
        power[k] = power[k] < FORGETS ? FORGETS : power[k];
    }
    double sum = power[0] + power[1];
#pragma unroll
    for (int k = 1; k < 32; k *= 2) {
        const double before = __shfl_up_sync(~0u, sum, k);
        if (lane >= k) sum += before;
    }
    const double sums[2] = {sum - power[1], sum};
#pragma unroll
    for (int k = 0; k < 2; k++) {
        const float near = (float)sums[k];
        to[place[k]] = delta[k];
        to[padded + place[k]] = near;
        to[2 * padded + place[k]] = (float)(sums[k] - near);
    }
}

// -------------------------------------------------------------------------------------------------------------- the scores

struct ScoresShape {
    i64 len, chunks;
    int states, groups;
};

// C_i · B_j of a chunk and group, for its heads to share: [B, G, chunks, SIDE, SIDE].
extern "C" __global__ void __launch_bounds__(THREADS)
    KERNEL(scores)(const T* b, Strides bs, const T* c, Strides cs, float* scores, ScoresShape p) {
    T* const left = reinterpret_cast<T*>(tiles);
    T* const right = left + TILE;
    const i64 chunk = blockIdx.x / p.groups, start = chunk * SIDE;
    const int group = blockIdx.x % p.groups, positions = (int)min((i64)SIDE, p.len - start);
    Sums sums;
    clear(sums);
    for (int n = 0; n < p.states; n += SIDE) {
        const int rows = min(SIDE, p.states - n);
        __syncthreads();
        fetch(left, row_of(c, cs, blockIdx.z, group * p.states + n) + start, cs.row, rows, positions);
        fetch(right, row_of(b, bs, blockIdx.z, group * p.states + n) + start, bs.row, rows, positions);
        arrive();
        product<true, true>(sums, left, right);
    }
    float* const to = scores + ((blockIdx.z * (i64)p.groups + group) * p.chunks + chunk) * SIDE * SIDE;
    each_pair(sums, [&](float& x, float& y, int i, int j) { store_pair(to + i * SIDE + j, x, y); });
}

// ---------------------------------------------------------------------------------------------------------------- the walk

// What a walk over the chunks of a segment is for.
enum Pass {
    // What the segment adds to the state, from a state of zero.
    SUM,
    // The state before each chunk.
    BORDERS,
    // y.
    READ,
};

struct Walk {
    // [B, H P, L]
    Rows<const T> x;
    // [B, G N, L]
    Rows<const T> b, c;
    // [B, H P, L]
    Rows<T> y;
    // [B, G, chunks, SIDE, SIDE]
    const float* scores;
    // [B, H, 3, chunks SIDE]
    const float* steps;
    const float* d;
    // [B, H, segments, N, P]: what each adds, or what enters it
    float* states;
    // [B, H, chunks of the strip, N, P]
    T* borders;
    i64 len, chunks, segments, first_segment, strip;
    int heads, head_dim, state_count, group_heads;
    // `reverse` is of the scan. The adjoint walks against it, with d_y for x and C for B. An x that is absent is zero.
    int reverse, adjoint, add, absent;
};

// Of a block: a segment of a head, and up to SIDE of the head's channels. Heads that share B and C run at one time.
struct Part {
    i64 batch, place;
    int head, group, first, width;

    __device__ __forceinline__ Part(const Walk& p) {
        const int parts = (p.head_dim + SIDE - 1) / SIDE, own = blockIdx.x % (p.heads * parts);
        batch = blockIdx.z, place = blockIdx.x / (p.heads * parts), head = own / parts, group = head / p.group_heads;
        first = own % parts * SIDE, width = min(SIDE, p.head_dim - first);
    }

    __device__ __forceinline__ i64 row(const Walk& p) const { return batch * p.heads + head; }
};

// Calls f(pair of sums, where it is in a state of [N, P]) for what there is of it.
template <int SLICES, typename F>
__device__ __forceinline__ void each_state(Sums (&state)[SLICES], const Walk& p, const Part& part, F f) {
    // Unknown anew, so that no call keeps where its numbers are in registers for the next one.
    int stride = p.head_dim;
    asm volatile("" : "+r"(stride));
#pragma unroll
    for (int s = 0; s < SLICES; s++) {
        each_pair(state[s], [&](float& x, float& y, int row, int column) {
            const int n = s * SIDE + row;
            if (n < p.state_count && column < part.width) f(x, y, n * stride + part.first + column);
        });
    }
}

// weights[i, j] = (C_i · B_j) exp(s_i - s_j) Δ'_j where the walk goes from j to i.
__device__ __forceinline__ void weigh(T* weights, const float* scores, const Steps& steps, bool reverse) {
#pragma unroll
    for (int k = 0; k < SIDE * SIDE / 8 / THREADS; k++) {
        const int i = (k * THREADS + threadIdx.x) / 8, first = threadIdx.x % 8 * 8;
        float x[8] = {};
        if (reaches(reverse, reverse ? first + 7 : first, i)) load8(scores + i * SIDE + first, x);
#pragma unroll
        for (int j = 0; j < 8; j++)
            x[j] = reaches(reverse, first + j, i) ? x[j] * steps.decay(i, first + j) * steps.delta[first + j] : 0.0f;
        store8(weights + i * PITCH + first, x);
    }
}

// A block on its way: copies are begun a tile ahead of the products that need them.
struct Course {
    const Walk& p;
    const Part part;
    const i64 segment;
    // Chunks of the segment.
    const int count;
    Steps* const steps;
    // Rows of B or C, in turn, and x of a chunk and the next.
    T *const rows, *const xs, *const work;
    int turn;

    __device__ __forceinline__ Course(const Walk& p, Steps* steps)
        : p(p), part(p), segment(p.first_segment + part.place), count((int)min((i64)CHUNKS, p.chunks - segment * CHUNKS)),
          steps(steps), rows(reinterpret_cast<T*>(tiles)), xs(rows + 2 * TILE), work(rows + 4 * TILE), turn(0) {}

    // The chunk of the segment that is met at step k.
    __device__ __forceinline__ int met(int k) const { return p.reverse != p.adjoint ? count - 1 - k : k; }
    __device__ __forceinline__ i64 start(int k) const { return (segment * CHUNKS + met(k)) * SIDE; }
    __device__ __forceinline__ int left(int k) const { return (int)min((i64)SIDE, p.len - start(k)); }
    __device__ __forceinline__ const Steps& steps_of(int k) const { return steps[k & 1]; }
    __device__ __forceinline__ T* x_of(int k) const { return xs + (k & 1) * TILE; }
    __device__ __forceinline__ const T* rows_now() const { return rows + turn * TILE; }

    // Begins to copy the rows of B or C that are wanted next, from state s SIDE on.
    __device__ __forceinline__ void fetch_rows(const Rows<const T>& from, int k, int s) {
        const i64 row = (i64)part.group * p.state_count + s * SIDE;
        turn ^= 1;
        fetch(rows + turn * TILE, from.row(part.batch, row) + start(k), from.strides.row, min(SIDE, p.state_count - s * SIDE), left(k));
    }

    // Begins to copy x and the steps of the chunk met at step k.
    __device__ __forceinline__ void fetch_chunk(int k) {
        const i64 row = (i64)part.head * p.head_dim + part.first, padded = p.chunks * SIDE;
        fetch(x_of(k), p.x.row(part.batch, row) + start(k), p.x.strides.row, p.absent ? 0 : part.width, left(k));
        fetch_steps(steps[k & 1], p.steps + part.row(p) * 3 * padded, padded, start(k));
    }
};

// y of the chunk met at step k, from the state before it. `follow` begins what is to be copied behind C.
template <int SLICES, typename F>
__device__ __forceinline__ void read_out(Course& at, int k, Sums (&state)[SLICES], F follow) {
    const Walk& p = at.p;
    const Steps& steps = at.steps_of(k);
    Sums y;
    clear(y);
#pragma unroll
    for (int s = 0; s < SLICES; s++) {
        if (s > 0) __syncthreads();
        put(at.work, state[s]);
        arrive();
        const T* const rows = at.rows_now();
        if (s + 1 < SLICES) at.fetch_rows(p.c, k, s + 1);
        else follow();
        product<true, true>(y, at.work, rows);
    }
    each_pair(y, [&](float& a, float& b, int, int i) { a *= steps.from_start(i), b *= steps.from_start(i + 1); });
    __syncthreads();
    const i64 chunk = at.segment * CHUNKS + at.met(k), groups = p.heads / p.group_heads;
    weigh(at.work, p.scores + ((at.part.batch * groups + at.part.group) * p.chunks + chunk) * SIDE * SIDE, steps, p.reverse);
    __syncthreads();
    const T* const x = at.x_of(k);
    product<false, false>(y, x, at.work);
    const float skip = p.d[at.part.head];
    each_pair(y, [&](float& a, float& b, int row, int i) {
        if (row >= at.part.width) return;
        const float2 own = load_pair(x + row * PITCH + i);
        T* const to = p.y.row(at.part.batch, (i64)at.part.head * p.head_dim + at.part.first + row);
        write_pair(to, at.start(k) + i, p.len, p.add, fmaf(skip, own.x, a), fmaf(skip, own.y, b));
    });
}

// S ← exp(s_end) S + Σ_j weight_j B_j ⊗ x_j, where the weight is exp(s_end - s_j) Δ'_j; of the adjoint it is exp(s_j).
template <int SLICES, typename F>
__device__ __forceinline__ void advance(Course& at, int k, Sums (&state)[SLICES], F follow) {
    const Walk& p = at.p;
    const Steps& steps = at.steps_of(k);
    const int last = last_of(p.reverse);
    T* const x = at.x_of(k);
    scale_columns(x, [&](int j) { return p.adjoint ? steps.from_start(j) : steps.decay(last, j) * steps.delta[j]; });
    const float decay = steps.from_start(last);
#pragma unroll
    for (int s = 0; s < SLICES; s++) {
        arrive();
        const T* const rows = at.rows_now();
        if (s + 1 < SLICES) at.fetch_rows(p.b, k, s + 1);
        else follow();
        each_pair(state[s], [&](float& a, float& b, int, int) { a *= decay, b *= decay; });
        product<false, false>(state[s], rows, x);
    }
}

template <int SLICES, Pass PASS>
__device__ __forceinline__ void walk(const Walk& p) {
    __shared__ Steps steps[2];
    Course at(p, steps);
    const i64 size = (i64)p.state_count * p.head_dim;
    float* const border = p.states + (at.part.row(p) * p.segments + at.segment) * size;
    Sums state[SLICES];
#pragma unroll
    for (int s = 0; s < SLICES; s++) clear(state[s]);
    if (PASS != SUM) {
        each_state(state, p, at.part, [&](float& a, float& b, int place) {
            const float2 entering = load_pair(border + place);
            a = entering.x, b = entering.y;
        });
    }
    auto begin = [&](int k) {
        if (k == at.count) return;
        at.fetch_chunk(k);
        at.fetch_rows(PASS == READ ? p.c : p.b, k, 0);
    };
    begin(0);
#pragma unroll 1
    for (int k = 0; k < at.count; k++) {
        // What follows the last chunk is known.
        const bool advances = PASS == SUM || k + 1 < at.count;
        if (PASS == READ) {
            read_out(at, k, state, [&]() {
                if (advances) at.fetch_rows(p.b, k, 0);
            });
        }
        if (PASS == BORDERS) {
            T* const to = p.borders + ((at.part.row(p) * p.strip + at.part.place) * CHUNKS + at.met(k)) * size;
            each_state(state, p, at.part, [&](float& a, float& b, int place) { store_pair(to + place, a, b); });
        }
        arrive();
        if (advances) advance(at, k, state, [&]() { begin(k + 1); });
    }
    if (PASS == SUM) each_state(state, p, at.part, [&](float& a, float& b, int place) { store_pair(border + place, a, b); });
}

// Registers are bounded so that several blocks share a multiprocessor.
#define SHARING(pass, slices) (slices == 4 ? 1 : sizeof(T) == 4 || pass == READ ? 2 : 3)
#define WALK(pass, which, slices)                                                                                      \
    extern "C" __global__ void __launch_bounds__(THREADS, SHARING(which, slices)) KERNEL(pass##_##slices)(Walk p) {    \
        walk<slices, which>(p);                                                                                        \
    }

WALK(sum, SUM, 1)
WALK(sum, SUM, 2)
WALK(sum, SUM, 4)
WALK(borders, BORDERS, 1)
WALK(borders, BORDERS, 2)
WALK(borders, BORDERS, 4)
WALK(read, READ, 1)
WALK(read, READ, 2)
WALK(read, READ, 4)

// ------------------------------------------------------------------------------------------------- states over segments

struct PassShape {
    i64 chunks, segments, size, count;
    int reverse, adjoint;
};

// Puts what enters each segment in the place of what it adds: a thread has one number of a head's state. The final state,
// where it is asked for, may take the place of the initial one.
extern "C" __global__ void __launch_bounds__(THREADS)
    KERNEL(pass)(const float* steps, float* states, const float* initial, float* last, PassShape p) {
    const i64 index = blockIdx.x * (i64)THREADS + threadIdx.x;
    if (index >= p.count) return;
    const i64 row = index / p.size, padded = p.chunks * SIDE;
    const float* const sums = steps + (row * 3 + 1) * padded + last_of(p.reverse);
    float* const own = states + row * p.segments * p.size + index % p.size;
    const bool descends = p.reverse != p.adjoint;
    float value = initial[index];
#pragma unroll 4
    for (i64 k = 0; k < p.segments; k++) {
        const i64 segment = descends ? p.segments - 1 - k : k;
        float power = 0.0f;
#pragma unroll
        for (int i = 0; i < CHUNKS; i++) {
            const i64 chunk = segment * CHUNKS + i;
            if (chunk < p.chunks) power += sums[chunk * SIDE];
        }
        const float added = own[segment * p.size];
        own[segment * p.size] = value;
        value = fmaf(exp2_fast(power), value, added);
    }
    if (last) last[index] = value;
}
