//! What a direction carries from one stretch to the next.

use std::ops::Range;

use longstrand_kernels::cuda::{Buffer, CudaError, Device, View, ViewMut};

use crate::config::MixerConfig;

/// The state of one branch of one layer, of all sequences.
#[derive(Debug)]
pub(in crate::cuda) struct BranchState {
    pub(in crate::cuda) sequences: usize,
    /// Inputs of the convolution, `[sequences, C, K-1]`.
    pub(in crate::cuda) conv: Buffer<f32>,
    /// `[sequences, N, I]` for Mamba, `[sequences, H, N, P]` for Mamba-2.
    pub(in crate::cuda) ssm: Buffer<f32>,
}

impl BranchState {
    /// The state before the start of sequences.
    pub(in crate::cuda) fn zeros(device: &Device, mixer: &MixerConfig, sequences: usize) -> Result<Self, CudaError> {
        let (conv, ssm) = Self::sizes(mixer);
        Ok(Self { sequences, conv: device.zeros(sequences * conv)?, ssm: device.zeros(sequences * ssm)? })
    }

    /// Values that a sequence keeps for the convolution and for the scan.
    pub(in crate::cuda) fn sizes(mixer: &MixerConfig) -> (usize, usize) {
        (mixer.conv_channels() * (mixer.d_conv() - 1), mixer.d_inner() * mixer.d_state())
    }

    /// Bytes of a state of one sequence.
    pub(in crate::cuda) fn bytes(mixer: &MixerConfig) -> usize {
        let (conv, ssm) = Self::sizes(mixer);
        (conv + ssm) * size_of::<f32>()
    }

    /// The same state, in memory of its own.
    pub(in crate::cuda) fn copy(&self) -> Result<Self, CudaError> {
        let copy = |from: &Buffer<f32>| {
            let mut to = from.device().buffer(from.len())?;
            to.view_mut().copy_from(from.view())?;
            Ok(to)
        };
        Ok(Self { sequences: self.sequences, conv: copy(&self.conv)?, ssm: copy(&self.ssm)? })
    }

    /// The convolution's inputs before some of the sequences.
    pub(in crate::cuda) fn conv_of(&self, sequences: &Range<usize>) -> View<'_, f32> {
        self.conv.view().slice(self.part(&self.conv, sequences))
    }

    pub(in crate::cuda) fn conv_of_mut(&mut self, sequences: &Range<usize>) -> ViewMut<'_, f32> {
        let part = self.part(&self.conv, sequences);
        self.conv.view_mut().slice(part)
    }

    /// The scan's state of some of the sequences.
    pub(in crate::cuda) fn scan_of(&self, sequences: &Range<usize>) -> View<'_, f32> {
        self.ssm.view().slice(self.part(&self.ssm, sequences))
    }

    pub(in crate::cuda) fn scan_of_mut(&mut self, sequences: &Range<usize>) -> ViewMut<'_, f32> {
        let part = self.part(&self.ssm, sequences);
        self.ssm.view_mut().slice(part)
    }

    /// Where some of the sequences lie in a buffer of all.
    fn part(&self, all: &Buffer<f32>, sequences: &Range<usize>) -> Range<usize> {
        let size = all.len() / self.sequences;
        sequences.start * size..sequences.end * size
    }
}
