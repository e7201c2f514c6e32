use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use longstrand_kernels::simd::Level;
use longstrand_model::checkpoint::Checkpoint;
use longstrand_model::{Unwatched, Watch};
use longstrand_seq::Strand;
use longstrand_seq::strand::reverse_complement;
use longstrand_seq::window::{SoftMask, Window};
use longstrand_table::EmbeddingRow;

use super::{Embedder, RowSink};
use crate::options::{EmbedOptions, Strands};

static BUILTIN: LazyLock<Checkpoint> = LazyLock::new(|| Checkpoint::builtin().unwrap());

pub(super) fn window(bases: &[u8]) -> Window {
    Window {
        index: 0,
        name: "w".into(),
        contig: "chr".into(),
        start: 100,
        end: 100 + bases.len() as u64,
        strand: Strand::Forward,
        bases: bases.to_vec(),
        n_padded: 0,
        soft_mask: SoftMask::default(),
        n_ambiguous: 0,
    }
}

fn sequence(n: usize) -> Vec<u8> {
    let mut state = 12_345_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        b"ACGT"[(state >> 60) as usize % 4]
    };
    std::iter::repeat_with(next).take(n).collect()
}

fn options(layers: &str, pool: &str, strands: Strands) -> EmbedOptions {
    EmbedOptions { layers: layers.parse().unwrap(), pool: pool.parse().unwrap(), strands, ..EmbedOptions::default() }
}

fn embedder(options: EmbedOptions, chunk: Option<usize>) -> Embedder {
    let chunk = chunk.map(|chunk| NonZeroUsize::new(chunk).unwrap());
    Embedder::new(&BUILTIN, Level::detect().unwrap(), options, chunk).unwrap()
}

/// A row as it was pushed.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    name: String,
    layer: String,
    bin: u64,
    start: u64,
    end: u64,
    n_bases: u64,
    n_ambiguous: u64,
    n_soft_masked: u64,
    embedding: Vec<f32>,
}

impl RowSink for Vec<Row> {
    fn push(&mut self, row: &EmbeddingRow<'_>) -> ControlFlow<()> {
        Vec::push(
            self,
            Row {
                name: row.name.into(),
                layer: row.layer.into(),
                bin: row.bin,
                start: row.start,
                end: row.end,
                n_bases: row.n_bases,
                n_ambiguous: row.n_ambiguous,
                n_soft_masked: row.n_soft_masked,
                embedding: row.embedding.to_vec(),
            },
        );
        ControlFlow::Continue(())
    }
}

fn rows_but(embedder: &Embedder, window: Window, is_read: bool, skip: u64) -> Vec<Row> {
    let mut rows = Vec::new();
    let flow = embedder.embed(window, is_read, skip, &mut embedder.scratch(), &mut rows, &Unwatched);
    assert!(flow.is_continue());
    rows
}

fn rows(embedder: &Embedder, window: Window) -> Vec<Row> {
    rows_but(embedder, window, false, 0)
}

fn vectors(layers: &str, pool: &str, strands: Strands, bases: &[u8]) -> Vec<Vec<f32>> {
    let rows = rows(&embedder(options(layers, pool, strands), None), window(bases));
    rows.into_iter().map(|row| row.embedding).collect()
}

fn close(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5 * (1.0 + a.abs()))
}

fn mean_of(rows: &[Vec<f32>]) -> Vec<f32> {
    let sum = |d: usize| rows.iter().map(|row| f64::from(row[d])).sum::<f64>();
    (0..rows[0].len()).map(|d| (sum(d) / rows.len() as f64) as f32).collect()
}

#[test]
fn every_pool_is_a_function_of_the_rows_of_bases() {
    let bases = sequence(50);
    let of = |pool| vectors("last", pool, Strands::Forward, &bases);
    let each = of("none");
    assert_eq!(each.len(), 50);
    assert_eq!(of("mean"), [mean_of(&each)]);
    assert_eq!(of("center:7"), [mean_of(&each[21..28])]);
    assert_eq!(of("last"), [each[49].clone()]);
    assert_eq!(of("bins:20"), [mean_of(&each[..20]), mean_of(&each[20..40]), mean_of(&each[40..])]);
    let largest = |d: usize| each.iter().map(|row| row[d]).fold(f32::NEG_INFINITY, f32::max);
    assert_eq!(of("max"), [(0..256).map(largest).collect::<Vec<_>>()]);
}

#[test]
fn chunks_change_no_bit() {
    let bases = sequence(1300);
    for pool in ["mean", "bins:300"] {
        let options = options("1,last", pool, Strands::Average);
        let whole = rows(&embedder(options.clone(), None), window(&bases));
        let chunked = rows(&embedder(options, Some(256)), window(&bases));
        assert_eq!(whole, chunked, "{pool}");
    }
}

#[test]
fn strands_are_joined_base_by_base() {
    let bases = sequence(45);
    let mut complement = bases.clone();
    reverse_complement(&mut complement);
    for pool in ["mean", "bins:20", "center:10", "none"] {
        let forward = vectors("last", pool, Strands::Forward, &bases);
        let average = vectors("last", pool, Strands::Average, &bases);
        let concat = vectors("last", pool, Strands::Concat, &bases);
        assert_eq!(concat.len(), forward.len());
        for i in 0..forward.len() {
            assert_eq!(concat[i][..256], forward[i], "{pool}");
            let mean = mean_of(&[concat[i][..256].to_vec(), concat[i][256..].to_vec()]);
            assert_eq!(average[i], mean, "{pool}");
        }
    }
    // Base i of the window is base 44 - i of its reverse complement, and its last position is its own.
    let concat = vectors("last", "none", Strands::Concat, &bases);
    let reverse = vectors("last", "none", Strands::Forward, &complement);
    assert!((0..45).all(|i| concat[i][256..] == reverse[44 - i]));
    let last = vectors("last", "last", Strands::Concat, &bases);
    assert_eq!(last[0][256..], reverse[44]);
}

#[test]
fn an_average_over_strands_is_the_same_for_both() {
    let bases = sequence(64);
    let mut complement = bases.clone();
    reverse_complement(&mut complement);
    let of = |bases: &[u8]| vectors("last", "mean", Strands::Average, bases).remove(0);
    assert_eq!(of(&bases), of(&complement));
}

#[test]
fn padding_and_special_tokens_are_read_and_not_pooled() {
    let mut padded = window(&sequence(30));
    let plain = rows(&embedder(options("last", "none", Strands::Forward), None), padded.clone());
    padded.bases.extend(b"NNNN");
    padded.n_padded = 4;
    let with_pad = rows(&embedder(options("last", "none", Strands::Forward), None), padded.clone());
    assert_eq!(with_pad.len(), 30);
    assert_ne!(plain, with_pad, "a bidirectional model sees what follows");
    let special = EmbedOptions {
        special_tokens: crate::options::SpecialTokens::Published,
        ..options("last", "mean", Strands::Forward)
    };
    let special = rows(&embedder(special, None), padded);
    assert_eq!((special.len(), special[0].n_bases), (1, 30));
    assert!(!close(&special[0].embedding, &mean_of(&with_pad.into_iter().map(|r| r.embedding).collect::<Vec<_>>())));
}

#[test]
fn bins_have_their_own_coordinates_on_either_strand() {
    let mut bases = sequence(25);
    bases[1] = b'N';
    let bins = embedder(options("last", "bins:10", Strands::Forward), None);
    let places = |window: &Window, is_read| -> Vec<[u64; 6]> {
        let rows = rows_but(&bins, window.clone(), is_read, 0);
        assert!(rows.iter().all(|row| row.name == "w"));
        rows.iter().map(|r| [r.bin, r.start, r.end, r.n_bases, r.n_ambiguous, r.n_soft_masked]).collect()
    };
    let mut window = window(&bases);
    window.soft_mask = SoftMask::of(b"ACGTACGTaaaaACGTACGTACGTa");
    let forward = [[0, 100, 110, 10, 1, 2], [1, 110, 120, 10, 0, 2], [2, 120, 125, 5, 0, 1]];
    assert_eq!(places(&window, false), forward);
    window.strand = Strand::Reverse;
    let reverse = [[0, 115, 125, 10, 1, 2], [1, 105, 115, 10, 0, 2], [2, 100, 105, 5, 0, 1]];
    assert_eq!(places(&window, false), reverse);
    let of_read = [[0, 100, 125, 10, 1, 2], [1, 100, 125, 10, 0, 2], [2, 100, 125, 5, 0, 1]];
    assert_eq!(places(&window, true), of_read);
}

#[test]
fn layers_come_in_order_and_skipped_rows_are_the_first() {
    let embedder = embedder(options("last,0,2", "bins:20", Strands::Forward), None);
    let all = rows(&embedder, window(&sequence(30)));
    let layers: Vec<&str> = all.iter().map(|row| row.layer.as_str()).collect();
    assert_eq!(layers, ["0", "0", "2", "2", "last", "last"]);
    assert_eq!(embedder.rows(30), 6);
    assert_eq!(rows_but(&embedder, window(&sequence(30)), false, 4), all[4..]);
}

#[test]
fn what_the_model_does_not_have_is_refused() {
    let refused = |options, chunk| {
        let chunk = NonZeroUsize::new(chunk);
        Embedder::new(&BUILTIN, Level::detect().unwrap(), options, chunk).unwrap_err().to_string()
    };
    assert_eq!(
        refused(options("5", "mean", Strands::Forward), 0),
        format!("layer 5: expected last or 0 to 4, the blocks of {}", BUILTIN.name)
    );
    let equivariant = EmbedOptions { equivariant: Some(crate::options::Equivariant::Split), ..EmbedOptions::default() };
    assert!(refused(equivariant, 0).contains("--equivariant"));
    assert_eq!(refused(EmbedOptions::default(), 300), "expected a chunk of a multiple of 256 positions, found 300");
}

struct Cancelled;

impl Watch for Cancelled {
    fn is_cancelled(&self) -> bool {
        true
    }
}

#[test]
fn a_cancelled_pass_ends_without_rows() {
    let embedder = embedder(EmbedOptions::default(), None);
    let mut rows: Vec<Row> = Vec::new();
    let flow = embedder.embed(window(&sequence(600)), false, 0, &mut embedder.scratch(), &mut rows, &Cancelled);
    assert!(flow.is_break() && rows.is_empty());
}

fn fixture(name: &str, options: EmbedOptions) -> Embedder {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name);
    let checkpoint = Checkpoint::load(folder).unwrap();
    Embedder::new(&checkpoint, Level::detect().unwrap(), options, None).unwrap()
}

fn equivariant(form: &str, bases: &[u8]) -> Vec<Vec<f32>> {
    let options = EmbedOptions { equivariant: Some(form.parse().unwrap()), ..EmbedOptions::default() };
    let embedder = fixture("caduceus-ps", options);
    let rows = rows(&embedder, window(bases));
    assert!(rows.iter().all(|row| row.embedding.len() == embedder.width().get()));
    assert_eq!(rows.len() as u64, embedder.rows(bases.len() as u64));
    rows.into_iter().map(|row| row.embedding).collect()
}

#[test]
fn halves_are_taken_apart_so_that_either_strand_says_the_same() {
    let bases = sequence(70);
    let mut complement = bases.clone();
    reverse_complement(&mut complement);
    let published = equivariant("published", &bases).remove(0);
    let (a, b) = published.split_at(published.len() / 2);
    let b: Vec<f32> = b.iter().rev().copied().collect();
    let split = equivariant("split", &bases);
    assert_eq!(split, [a.to_vec(), b.clone()]);
    assert_eq!(equivariant("conjoined", &bases), [mean_of(&[a.to_vec(), b])]);

    let of_complement = equivariant("split", &complement);
    assert!(close(&of_complement[0], &split[1]) && close(&of_complement[1], &split[0]));
    assert!(close(&equivariant("conjoined", &complement)[0], &equivariant("conjoined", &bases)[0]));
}

#[test]
fn strands_are_not_read_twice() {
    let options = EmbedOptions { strands: Strands::Average, ..EmbedOptions::default() };
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/caduceus-ps");
    let checkpoint = Checkpoint::load(folder).unwrap();
    let error = Embedder::new(&checkpoint, Level::detect().unwrap(), options, None).unwrap_err().to_string();
    assert!(error.starts_with("--strand average: ") && error.contains("in one pass"), "{error}");
}

#[test]
fn a_causal_model_does_not_see_what_follows() {
    let bases = sequence(600);
    let of = |bases: &[u8], layers| {
        let embedder = fixture("caduceus-uni", options(layers, "none", Strands::Forward));
        assert!(embedder.model.is_causal());
        rows(&embedder, window(bases))
    };
    assert_eq!(of(&bases, "last")[..300], of(&bases[..300], "last")[..]);
    let both = of(&bases, "1,last");
    assert_eq!(both[600..], of(&bases, "last")[..]);
}
