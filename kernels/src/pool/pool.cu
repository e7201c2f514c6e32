// Sums and maxima over positions and their way back, a thread a channel: see cuda.rs.
#include "common.cuh"

struct Sum {
    __device__ __forceinline__ static double start() { return 0.0; }
    __device__ __forceinline__ static double apply(double so_far, double x) { return so_far + x; }
};

struct Max {
    __device__ __forceinline__ static double start() { return -__longlong_as_double(0x7ff0000000000000); }
    // NaN stays.
    __device__ __forceinline__ static double apply(double so_far, double x) { return x > so_far || x != x ? x : so_far; }
};

struct Rows {
    i64 first, end;
};

// Pieces first .. end of a span. What is open of it lies at `open`, unless it begins here; it goes to `out`, divided, or
// if that is negative it stays open.
struct Span {
    i64 first, end, begins, open, out, divisor;
};

// partial[piece, c] is what the rows of a piece come to.
template <typename Operation>
__device__ __forceinline__ void pieces(const float* rows, const Rows* of_pieces, double* partial, i64 width) {
    const i64 c = blockIdx.y * (i64)blockDim.x + threadIdx.x;
    if (c >= width) return;
    const Rows piece = of_pieces[blockIdx.x];
    double so_far = Operation::start();
#pragma unroll 8
    for (i64 row = piece.first; row < piece.end; row++) so_far = Operation::apply(so_far, rows[row * width + c]);
    partial[blockIdx.x * width + c] = so_far;
}

template <typename Operation>
__device__ __forceinline__ void spans(const double* partial, const Span* of_spans, double* open, float* out, i64 width) {
    const i64 c = blockIdx.y * (i64)blockDim.x + threadIdx.x;
    if (c >= width) return;
    const Span span = of_spans[blockIdx.x];
    double so_far = span.begins ? Operation::start() : open[span.open * width + c];
#pragma unroll 8
    for (i64 piece = span.first; piece < span.end; piece++) so_far = Operation::apply(so_far, partial[piece * width + c]);
    if (span.out < 0) open[span.open * width + c] = so_far;
    else out[span.out * width + c] = (float)(so_far / (double)span.divisor);
}

#define KERNELS(NAME, Operation)                                                                                        \
    extern "C" __global__ void pool_pieces_##NAME(const float* rows, const Rows* of_pieces, double* partial,            \
                                                  i64 width) {                                                          \
        pieces<Operation>(rows, of_pieces, partial, width);                                                             \
    }                                                                                                                   \
    extern "C" __global__ void pool_spans_##NAME(const double* partial, const Span* of_spans, double* open, float* out, \
                                                 i64 width) {                                                           \
        spans<Operation>(partial, of_spans, open, out, width);                                                          \
    }

KERNELS(mean, Sum)
KERNELS(max, Max)

// Rows first .. end of a span that has so many positions, and which of the vectors is its own.
struct Part {
    i64 first, end, vector, positions;
};

// Parts first .. end of a span, and its vector.
struct Owner {
    i64 first, end, vector;
};

__device__ __forceinline__ void add(float* d_rows, i64 at, double d) { d_rows[at] = (float)((double)d_rows[at] + d); }

extern "C" __global__ void pool_backward_mean(const double* d_vectors, const Part* parts, float* d_rows, i64 width) {
    const i64 c = blockIdx.y * (i64)blockDim.x + threadIdx.x;
    if (c >= width) return;
    const Part part = parts[blockIdx.x];
    const double share = d_vectors[part.vector * width + c] / (double)part.positions;
#pragma unroll 8
    for (i64 row = part.first; row < part.end; row++) add(d_rows, row * width + c, share);
}

// found[part, c] is the first row of a part that has the maximum, or is NaN; -1 where none does.
extern "C" __global__ void pool_find_max(const float* rows, const float* vectors, const Part* parts, i64* found,
                                         i64 width) {
    const i64 c = blockIdx.y * (i64)blockDim.x + threadIdx.x;
    if (c >= width) return;
    const Part part = parts[blockIdx.x];
    const float max = vectors[part.vector * width + c];
    i64 first = -1;
#pragma unroll 8
    for (i64 row = part.end - 1; row >= part.first; row--) {
        const float x = rows[row * width + c];
        if (x == max || x != x) first = row;
    }
    found[blockIdx.x * width + c] = first;
}

// The gradient of a maximum goes to the first row that was found, and leaves zero in its place.
extern "C" __global__ void pool_backward_max(const i64* found, const Owner* owners, double* d_vectors, float* d_rows,
                                             i64 width) {
    const i64 c = blockIdx.y * (i64)blockDim.x + threadIdx.x;
    if (c >= width) return;
    const Owner owner = owners[blockIdx.x];
    i64 first = -1;
#pragma unroll 8
    for (i64 part = owner.end - 1; part >= owner.first; part--) {
        const i64 row = found[part * width + c];
        if (row >= 0) first = row;
    }
    if (first < 0) return;
    add(d_rows, first * width + c, d_vectors[owner.vector * width + c]);
    d_vectors[owner.vector * width + c] = 0.0;
}
