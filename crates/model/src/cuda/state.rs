//! States of causal models between the host and a device.

use std::ops::ControlFlow;

use longstrand_kernels::cuda::{CudaError, Real};

use super::executor::Executor;
use super::mixer::BranchState;
use super::output::{Output, Take};
use crate::mixer::MixerState;
use crate::output::Request;
use crate::stream::State;

impl<T: Real> Executor<T> {
    pub(super) fn initial_state(&self) -> Option<State<f32>> {
        let (conv, ssm) = BranchState::sizes(self.mixer());
        let zero = || MixerState { conv: vec![0.0; conv], ssm: vec![0.0; ssm] };
        let layers = || (0..self.config.n_layer).map(|_| vec![zero()]).collect();
        self.config.is_causal().then(|| State { layers: layers(), position: 0 })
    }

    pub(super) fn feed(
        &self,
        states: &mut [&mut State<f32>],
        sequences: &[&[u8]],
        request: &Request<'_>,
        take: Take<'_>,
    ) -> Result<ControlFlow<()>, CudaError> {
        assert_eq!(states.len(), sequences.len(), "a state for each sequence");
        assert!(self.config.is_causal(), "the model is not causal");
        let Some(len) = self.check(sequences) else { return Ok(ControlFlow::Continue(())) };
        let size = self.sequences_of(len).max(1);
        for (i, (states, group)) in states.chunks_mut(size).zip(sequences.chunks(size)).enumerate() {
            let mut take_of_group = |index: usize, piece: super::Piece| take(i * size + index, piece);
            let starts = states.iter().map(|state| state.position).collect();
            let mut on_device = self.upload_states(states)?;
            let mut output = Output::new(request, &mut take_of_group, starts);
            if self.feed_group(group, &mut on_device, &mut output)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            self.download_states(&on_device, states)?;
            states.iter_mut().for_each(|state| state.position += len as u64);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The states of all layers, those of sequences side by side.
    fn upload_states(&self, states: &[&mut State<f32>]) -> Result<Vec<BranchState>, CudaError> {
        let channels = self.mixer().conv_channels();
        let layer = |i: usize| {
            let (mut conv, mut ssm) = (Vec::new(), Vec::new());
            for state in states {
                let MixerState { conv: columns, ssm: of_scan } = &state.layers[i][0];
                conv.extend(transposed(columns, channels));
                ssm.extend_from_slice(of_scan);
            }
            Ok(BranchState {
                sequences: states.len(),
                conv: self.device.upload(&conv)?,
                ssm: self.device.upload(&ssm)?,
            })
        };
        (0..self.config.n_layer).map(layer).collect()
    }

    fn download_states(&self, layers: &[BranchState], states: &mut [&mut State<f32>]) -> Result<(), CudaError> {
        let (of_conv, of_scan) = BranchState::sizes(self.mixer());
        for (i, layer) in layers.iter().enumerate() {
            let (conv, ssm) = (layer.conv.view().to_vec()?, layer.ssm.view().to_vec()?);
            for (index, state) in states.iter_mut().enumerate() {
                let conv = &conv[index * of_conv..(index + 1) * of_conv];
                let ssm = ssm[index * of_scan..(index + 1) * of_scan].to_vec();
                state.layers[i][0] = MixerState { conv: transposed(conv, self.mixer().d_conv() - 1).collect(), ssm };
            }
        }
        Ok(())
    }
}

/// `[rows, columns]` to `[columns, rows]`.
pub(super) fn transposed(x: &[f32], columns: usize) -> impl Iterator<Item = f32> {
    let rows = x.len().checked_div(columns).unwrap_or(0);
    (0..columns).flat_map(move |c| (0..rows).map(move |r| x[r * columns + c]))
}
