//! Log-probabilities by the model alone, in the plainest way: one pass over one sequence.

use longstrand_kernels::{Cpu, Rows, simd::Level};
use longstrand_model::{Chunking, Model, Observer, Request, Tap, checkpoint::Checkpoint};

/// log p of every id at every position of a sequence, `[L][V]`, in f64.
pub fn log_probabilities(checkpoint: &Checkpoint, ids: &[u8]) -> Vec<Vec<f64>> {
    let model = Model::new(Cpu::new(Level::widest()), checkpoint);
    let mut rows = LogProbabilities(Vec::with_capacity(ids.len()));
    let request = Request { taps: &[], logits: true };
    let _ = model.encode(ids, Chunking::Auto, &request, &mut model.scratch(), &mut rows);
    rows.0
}

/// log p of each id of a sequence under a causal model, given those before it; the first one has 0.
pub fn causal_log_probabilities(checkpoint: &Checkpoint, ids: &[u8]) -> Vec<f64> {
    let rows = log_probabilities(checkpoint, ids);
    let told = rows.iter().zip(&ids[1..]).map(|(row, &next)| row[usize::from(next)]);
    std::iter::once(0.0).chain(told).collect()
}

/// Ids of bases.
pub fn encode(checkpoint: &Checkpoint, bases: &[u8]) -> Vec<u8> {
    let mut ids = bases.to_vec();
    checkpoint.vocabulary.encode_in_place(&mut ids);
    ids
}

/// The reverse complement of A, C, G, T; other letters stay.
pub fn reverse_complement(bases: &[u8]) -> Vec<u8> {
    let complement = |base: &u8| match base {
        b'A' => b'T',
        b'C' => b'G',
        b'G' => b'C',
        b'T' => b'A',
        other => *other,
    };
    bases.iter().rev().map(complement).collect()
}

struct LogProbabilities(Vec<Vec<f64>>);

impl Observer<f32> for LogProbabilities {
    fn hidden(&mut self, _: Tap, _: u64, _: Rows<'_, f32>) {}

    fn logits(&mut self, _: u64, rows: Rows<'_, f32>) {
        self.0.extend((0..rows.len()).map(|t| log_softmax(rows.row(t))));
    }
}

fn log_softmax(row: &[f32]) -> Vec<f64> {
    let largest = row.iter().map(|&x| f64::from(x)).fold(f64::NEG_INFINITY, f64::max);
    let total = row.iter().map(|&x| (f64::from(x) - largest).exp()).sum::<f64>().ln() + largest;
    row.iter().map(|&x| f64::from(x) - total).collect()
}
