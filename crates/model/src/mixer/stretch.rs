//! What a core tells of a stretch, and is told by others.

use longstrand_kernels::{Backend, backend::Scalar};

use super::{Core, MixerState, Stretch};
use crate::scratch::Place;
use crate::train::BackwardPlace;

impl<B: Backend> Core<B> {
    /// Columns that the convolution looks back, K−1.
    pub(crate) fn columns_before(&self) -> usize {
        match self {
            Self::Mamba(core) => core.config.d_conv - 1,
            Self::Mamba2(core) => core.config.d_conv - 1,
        }
    }

    /// Step sizes of a position.
    pub(crate) fn step_count(&self) -> usize {
        match self {
            Self::Mamba(core) => core.config.d_inner,
            Self::Mamba2(core) => core.config.n_heads,
        }
    }

    /// Adds the step sizes of what has just been run.
    pub(crate) fn elapsed(&self, place: &mut Place<'_, B>, rows: usize, sums: &mut [f64]) {
        let steps = match self {
            Self::Mamba(core) => core.steps(place.scratch, rows),
            Self::Mamba2(core) => core.steps(place.scratch, rows),
        };
        place.backend.elapsed(&steps, sums);
    }

    /// Multiplies a state of the scan, or a gradient of one, by the decay over a time.
    pub(crate) fn fade(&self, elapsed: &[f64], state: &mut [B::Scalar]) {
        let fade = |x: &mut B::Scalar, a: B::Scalar, elapsed: f64| {
            // An infinite rate by no time would be no number.
            *x = B::Scalar::from_f64(x.to_f64() * (a.to_f64().max(f64::MIN) * elapsed).exp());
        };
        match self {
            Self::Mamba(core) => {
                for (state, a) in state.chunks_exact_mut(elapsed.len()).zip(core.a.chunks_exact(elapsed.len())) {
                    state.iter_mut().zip(a).zip(elapsed).for_each(|((x, &a), &elapsed)| fade(x, a, elapsed));
                }
            }
            Self::Mamba2(core) => {
                let size = state.len() / elapsed.len();
                for ((state, &a), &elapsed) in state.chunks_exact_mut(size).zip(&core.a).zip(elapsed) {
                    state.iter_mut().for_each(|x| fade(x, a, elapsed));
                }
            }
        }
    }

    /// Walks a stretch back for the gradient of the scan's state alone, from that of y, and adds its step sizes.
    pub(crate) fn retreat(
        &self,
        place: &mut BackwardPlace<'_, B>,
        stretch: Stretch,
        entering: &MixerState<B::Scalar>,
        d_ssm: &mut [B::Scalar],
        sums: &mut [f64],
    ) {
        match self {
            Self::Mamba(core) => core.retreat(place, stretch, entering, d_ssm),
            Self::Mamba2(core) => core.retreat(place, stretch, entering, d_ssm),
        }
        self.elapsed(&mut place.forward(), stretch.rows, sums);
    }
}
