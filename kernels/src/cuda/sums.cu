// Sums of partial sums in a fixed order: see sums.rs.
#include "common.cuh"

constexpr int COLUMNS = 32;
constexpr int GROUPS = 32;

// total[c] += the sum over i of partial[i, first + c], for c in 0 .. count. A thread adds the rows i, i + GROUPS, … of one
// column, and then the groups are added from the first to the last, all in f64.
extern "C" __global__ void __launch_bounds__(COLUMNS * GROUPS)
    add_columns(const float* partial, float* total, i64 rows, i64 width, i64 first, i64 count) {
    __shared__ double sums[GROUPS][COLUMNS];
    const i64 c = blockIdx.x * (i64)COLUMNS + threadIdx.x;
    double sum = 0.0;
    if (c < count) {
#pragma unroll 8
        for (i64 i = threadIdx.y; i < rows; i += GROUPS) sum += partial[i * width + first + c];
    }
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && c < count) {
        for (int group = 1; group < GROUPS; group++) sum += sums[group][threadIdx.x];
        total[c] = (float)(total[c] + sum);
    }
}
