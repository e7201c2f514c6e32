// Sums and maxima over positions, a thread a channel: see cuda.rs.
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
