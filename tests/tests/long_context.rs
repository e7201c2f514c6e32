//! A million bases as one window: chunks that carry state give the bits of a single pass.

use longstrand_kernels::{Cpu, Rows, TILE, simd::Level};
use longstrand_model::{Chunking, Model, Observer, Request, Tap};
use longstrand_seq::{Genome, GenomeOptions, Vocabulary};
use longstrand_tests::{
    CHR20, data,
    synthetic::{Family, Shape},
};

const MEGABASE: u64 = 1 << 20;

/// Positions of a chunk; they do not divide the megabase.
const CHUNK: usize = 24 * TILE;

/// Ids of human chromosome 20 from base 9,450,001 on.
fn megabase() -> Vec<u8> {
    let mut genome = Genome::open(&data(CHR20), &GenomeOptions { sliced_reference: true }).expect("the shipped slice");
    let contig = genome.contigs().resolve("20").expect("chromosome 20");
    let mut ids = Vec::new();
    genome.read(contig, 9_450_000..9_450_000 + MEGABASE, &mut ids).expect("a megabase");
    Vocabulary::caduceus().encode_in_place(&mut ids);
    ids
}

/// Keeps all hidden states.
#[derive(Default)]
struct Kept(Vec<f32>);

impl Observer<f32> for Kept {
    fn hidden(&mut self, _: Tap, _: u64, rows: Rows<'_, f32>) {
        (0..rows.len()).for_each(|t| self.0.extend_from_slice(rows.row(t)));
    }
}

/// Counts positions whose hidden states are those that were kept, bit for bit, and the first that is not.
struct Compared<'a> {
    kept: &'a [f32],
    same: u64,
    first_other: Option<u64>,
}

impl Observer<f32> for Compared<'_> {
    fn hidden(&mut self, _: Tap, start: u64, rows: Rows<'_, f32>) {
        for (t, position) in (start..).enumerate().take(rows.len()) {
            let row = rows.row(t);
            let kept = &self.kept[position as usize * row.len()..][..row.len()];
            match row.iter().zip(kept).all(|(x, kept)| x.to_bits() == kept.to_bits()) {
                true => self.same += 1,
                false => self.first_other = self.first_other.or(Some(position)),
            }
        }
    }
}

fn a_megabase_is_one_answer(family: Family) {
    let ids = megabase();
    let model = Model::new(Cpu::new(Level::widest()), &Shape { family, d_model: 32, n_layer: 2 }.checkpoint(21));
    let request = Request { taps: &[Tap::Last], logits: false };
    let mut whole = Kept::default();
    assert!(model.encode(&ids, Chunking::Whole, &request, &mut model.scratch(), &mut whole).is_continue());
    assert_eq!(whole.0.len(), MEGABASE as usize * model.width());
    assert!(whole.0.iter().all(|x| x.is_finite()));
    let chunking = Chunking::Positions(CHUNK.try_into().expect("positions"));
    let mut compared = Compared { kept: &whole.0, same: 0, first_other: None };
    assert!(model.encode(&ids, chunking, &request, &mut model.scratch(), &mut compared).is_continue());
    assert_eq!((compared.same, compared.first_other), (MEGABASE, None), "{family:?}");
}

#[test]
fn a_megabase_through_a_causal_model() {
    a_megabase_is_one_answer(Family::Mamba);
}

#[test]
fn a_megabase_through_mamba_2() {
    a_megabase_is_one_answer(Family::Mamba2);
}

#[test]
fn a_megabase_through_caduceus_ph() {
    a_megabase_is_one_answer(Family::CaduceusPh);
}

#[test]
fn a_megabase_through_caduceus_ps() {
    a_megabase_is_one_answer(Family::CaduceusPs);
}
