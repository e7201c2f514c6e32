// RMS and layer norm over the channels of a row: see mod.rs. A warp has a row, a lane eight channels and every 256th
// eight after them. T is the type of what goes into the layer and out of it, R that of the residual stream.
#include "common.cuh"

constexpr int VECTOR = 8;
constexpr int STEP = 32 * VECTOR;

// Rows whose parameter gradients a block sums.
constexpr int BLOCK_ROWS = 64;

// The row's mean, or 0 where it does not count.
template <typename R>
__device__ __forceinline__ float row_mean(const R* x, int width, int first, bool is_layer, bool aligned) {
    if (!is_layer) return 0.0f;
    float sum = 0.0f, values[VECTOR];
    for (int i = first; i < width; i += STEP) {
        load_part(x, i, width, aligned, values);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) sum += values[j];
    }
    return warp_sum(sum) / width;
}

// Adds the layer's output to the row of the residual stream, as it is then stored.
template <typename T, typename R>
__device__ __forceinline__ void add_to_stream(const T* x, R* stream, int width, int first, bool aligned) {
    float values[VECTOR], added[VECTOR];
    for (int i = first; i < width; i += STEP) {
        load_part(stream, i, width, aligned, values);
        load_part(x, i, width, aligned, added);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) values[j] += added[j];
        store_part(stream, i, width, aligned, values);
    }
}

// x is null where nothing is added; then the stream is not written.
template <typename T, typename R>
__device__ __forceinline__ void forward(const T* x, R* stream, const float* weight, const float* bias, T* out, i64 rows,
                                        int width, float epsilon, bool is_layer, bool aligned) {
    const i64 row = blockIdx.x * (i64)(blockDim.x / 32) + threadIdx.x / 32;
    if (row >= rows) return;
    const int first = threadIdx.x % 32 * VECTOR;
    stream += row * width;
    out += row * width;
    // A lane reads again what it wrote itself and nothing else.
    if (x) add_to_stream(x + row * width, stream, width, first, aligned);

    const float mean = row_mean(stream, width, first, is_layer, aligned);
    float squares = 0.0f, values[VECTOR], w[VECTOR], b[VECTOR];
    for (int i = first; i < width; i += STEP) {
        load_part(stream, i, width, aligned, values);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) {
            const float centred = i + j < width ? values[j] - mean : 0.0f;
            squares += centred * centred;
        }
    }
    const float scale = rsqrtf(warp_sum(squares) / width + epsilon);
    for (int i = first; i < width; i += STEP) {
        load_part(stream, i, width, aligned, values);
        load_part(weight, i, width, aligned, w);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) values[j] = (values[j] - mean) * scale * w[j];
        if (bias) {
            load_part(bias, i, width, aligned, b);
#pragma unroll
            for (int j = 0; j < VECTOR; j++) values[j] += b[j];
        }
        store_part(out, i, width, aligned, values);
    }
}

// What a row's gradient needs to know of the whole row.
struct Statistics {
    float mean;
    float scale;
    // mean_d(g), or 0 where the mean does not count
    float mean_g;
    // scale² · mean_d(g · (x - mean))
    float slope;
};

template <typename T, typename R>
__device__ __forceinline__ Statistics statistics(const R* x, const T* d_out, const float* weight, int width, int first,
                                                 float epsilon, bool is_layer, bool aligned) {
    Statistics s;
    s.mean = row_mean(x, width, first, is_layer, aligned);
    float squares = 0.0f, total = 0.0f, product = 0.0f, values[VECTOR], d[VECTOR], w[VECTOR];
    for (int i = first; i < width; i += STEP) {
        load_part(x, i, width, aligned, values);
        load_part(d_out, i, width, aligned, d);
        load_part(weight, i, width, aligned, w);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) {
            const float centred = i + j < width ? values[j] - s.mean : 0.0f, g = d[j] * w[j];
            squares += centred * centred;
            total += g;
            product += g * centred;
        }
    }
    s.scale = rsqrtf(warp_sum(squares) / width + epsilon);
    s.mean_g = is_layer ? warp_sum(total) / width : 0.0f;
    s.slope = s.scale * s.scale * (warp_sum(product) / width);
    return s;
}

// The gradient of one row, and its share of the parameters': a lane adds to the sums of its own channels alone. Those of
// channel i + j are at j · vectors + i / 8, so that the lanes of a warp are on different banks.
template <typename T, typename R>
__device__ __forceinline__ void backward_row(const R* x, const T* d_out, const float* weight, R* d_x, T* narrowed,
                                             float* d_weight, float* d_bias, const Statistics& s, int width, int first,
                                             bool add, bool aligned) {
    const int vectors = (width + VECTOR - 1) / VECTOR;
    float values[VECTOR], d[VECTOR], w[VECTOR], before[VECTOR];
    for (int i = first; i < width; i += STEP) {
        load_part(x, i, width, aligned, values);
        load_part(d_out, i, width, aligned, d);
        load_part(weight, i, width, aligned, w);
        if (add) load_part(d_x, i, width, aligned, before);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) {
            const int at = j * vectors + i / VECTOR;
            const float centred = values[j] - s.mean;
            d_weight[at] += d[j] * centred * s.scale;
            d_bias[at] += d[j];
            values[j] = s.scale * (d[j] * w[j] - s.mean_g - centred * s.slope);
            if (add) values[j] += before[j];
        }
        store_part(d_x, i, width, aligned, values);
        if (narrowed) store_part(narrowed, i, width, aligned, values);
    }
}

template <typename T, typename R>
__device__ __forceinline__ void backward(const R* x, const T* d_out, const float* weight, R* d_x, T* narrowed,
                                         float* partial, i64 rows, int width, float epsilon, bool is_layer, bool add,
                                         bool aligned) {
    // For each warp, the sums of d_weight and those of d_bias.
    extern __shared__ float sums[];
    const int vectors = (width + VECTOR - 1) / VECTOR, padded = vectors * VECTOR;
    const int warp = threadIdx.x / 32, warps = blockDim.x / 32, first = threadIdx.x % 32 * VECTOR;
    float* d_weight = sums + (i64)warp * 2 * padded;
    float* d_bias = d_weight + padded;
    for (int i = threadIdx.x; i < warps * 2 * padded; i += blockDim.x) sums[i] = 0.0f;
    __syncthreads();

    const i64 start = blockIdx.x * (i64)BLOCK_ROWS;
    const i64 end = start + BLOCK_ROWS < rows ? start + BLOCK_ROWS : rows;
    for (i64 row = start + warp; row < end; row += warps) {
        const i64 at = row * width;
        const Statistics s = statistics(x + at, d_out + at, weight, width, first, epsilon, is_layer, aligned);
        backward_row(x + at, d_out + at, weight, d_x + at, narrowed ? narrowed + at : narrowed, d_weight, d_bias, s,
                     width, first, add, aligned);
    }
    __syncthreads();

    float* out = partial + blockIdx.x * (i64)(2 * width);
    for (int c = threadIdx.x; c < 2 * width; c += blockDim.x) {
        const int channel = c < width ? c : c - width;
        const int at = (c < width ? 0 : padded) + channel % VECTOR * vectors + channel / VECTOR;
        float sum = 0.0f;
        for (int other = 0; other < warps; other++) sum += sums[other * 2 * padded + at];
        out[c] = sum;
    }
}

#define KERNELS(NAME, T, R)                                                                                             \
    extern "C" __global__ void norm_forward_##NAME(const T* x, R* stream, const float* weight, const float* bias,       \
                                                   T* out, i64 rows, int width, float epsilon, int is_layer,            \
                                                   int aligned) {                                                       \
        forward(x, stream, weight, bias, out, rows, width, epsilon, is_layer, aligned);                                 \
    }                                                                                                                   \
    extern "C" __global__ void norm_backward_##NAME(const R* x, const T* d_out, const float* weight, R* d_x,            \
                                                    T* narrowed, float* partial, i64 rows, int width, float epsilon,    \
                                                    int is_layer, int add, int aligned) {                               \
        backward(x, d_out, weight, d_x, narrowed, partial, rows, width, epsilon, is_layer, add, aligned);               \
    }

KERNELS(f32_f32, float, float)
KERNELS(f32_bf16, float, bf16)
KERNELS(bf16_f32, bf16, float)
KERNELS(bf16_bf16, bf16, bf16)
