use std::{collections::HashMap, fs, path::Path};

use longstrand_model::Unwatched;
use longstrand_seq::{Genome, GenomeOptions, Vocabulary};

use super::*;
use crate::{
    evaluate::{Class, Tally},
    objective::{IGNORED, Masking, Objective, Preparation},
    random::{Draws, Purpose},
};

fn digits(bases: &str) -> Vec<u8> {
    bases.bytes().map(digit).collect()
}

fn counted(neighbours: Neighbours, sequences: &[&str]) -> Markov {
    let mut counts = Counts::new(neighbours);
    sequences.iter().for_each(|bases| counts.add(&digits(bases), 0..bases.len()));
    counts.finish()
}

#[test]
fn names_of_neighbours_come_back() {
    for (text, neighbours) in [("0", Neighbours::Left(0)), ("12", Neighbours::Left(12)), ("3+3", Neighbours::Both(3))] {
        assert_eq!(text.parse::<Neighbours>().unwrap(), neighbours);
        assert_eq!(neighbours.to_string(), text);
    }
    for text in ["", "-1", "13", "2+3", "7+7", "3+", "x"] {
        let message = text.parse::<Neighbours>().unwrap_err().to_string();
        assert!(message.ends_with(&format!("both sides (6+6), found {text}")), "{message}");
    }
    assert!(Neighbours::Left(3).are_causal() && !Neighbours::Both(1).are_causal());
}

#[test]
fn one_base_to_the_left_by_hand() {
    // A→C twice, C→A once, C→G once; the first A has no neighbour.
    let model = counted(Neighbours::Left(1), &["ACACG"]);
    assert_eq!(model.n_counted(), 5);
    let of = |context: &str| model.probabilities(&digits(context), context.len());
    assert_eq!(of("A"), [1.0 / 6.0, 3.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0]);
    assert_eq!(of("TC"), [2.0 / 6.0, 1.0 / 6.0, 2.0 / 6.0, 1.0 / 6.0]);
    assert_eq!(of("g"), [0.25; 4]);
    // Without a neighbour: two A, two C, one G.
    for context in ["", "N", "AN"] {
        assert_eq!(of(context), [3.0 / 9.0, 3.0 / 9.0, 2.0 / 9.0, 1.0 / 9.0], "{context}");
    }
}

#[test]
fn both_sides_by_hand() {
    // (A, G) holds C twice and T once; (C, A) holds G once, (G, C) A and (G, T) A once each.
    let model = counted(Neighbours::Both(1), &["ACGACGATG"]);
    let of = |sequence: &str| model.probabilities(&digits(sequence), 1);
    assert_eq!(of("A?G"), [1.0 / 7.0, 3.0 / 7.0, 1.0 / 7.0, 2.0 / 7.0]);
    assert_eq!(of("C?A"), [1.0 / 6.0, 1.0 / 6.0, 3.0 / 6.0, 1.0 / 6.0]);
    assert_eq!(of("T?T"), [0.25; 4]);
    // Three A, two C, three G and a T without neighbours, as one side of them is none.
    for sequence in ["A?N", "N?G", "A?"] {
        assert_eq!(of(sequence), [4.0 / 13.0, 3.0 / 13.0, 4.0 / 13.0, 2.0 / 13.0], "{sequence}");
    }
}

#[test]
fn nothing_is_counted_between_sequences_or_outside_of_the_targets() {
    assert_eq!(counted(Neighbours::Left(2), &["ACG", "TTT"]).probabilities(&digits("CG"), 2), [0.25; 4]);
    let mut counts = Counts::new(Neighbours::Both(1));
    counts.add(&digits("ACGNT"), 1..4);
    let model = counts.finish();
    assert_eq!(model.n_counted(), 2);
    assert_eq!(model.probabilities(&digits("A?G"), 1), [0.2, 0.4, 0.2, 0.2]);
}

fn yeast() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/scerevisiae_R64-1-1.fa.gz")
}

fn yeast_bases(region: &str) -> Vec<u8> {
    let mut genome = Genome::open(&yeast(), &GenomeOptions::default()).unwrap();
    let interval = longstrand_seq::region::parse(region, genome.contigs()).unwrap();
    let mut bases = Vec::new();
    genome.read(interval.contig, interval.start..interval.end, &mut bases).unwrap();
    bases
}

/// Words as text in a map: the probability of the base at `t`, by a count over the whole training sequence for every
/// number of neighbours.
struct Slow {
    k: usize,
    is_both: bool,
    patterns: HashMap<(Vec<u8>, u8), f64>,
}

impl Slow {
    fn pattern(&self, bases: &[u8], t: usize, k: usize) -> Option<Vec<u8>> {
        let left = bases.get(t.checked_sub(k)?..t)?;
        let right = if self.is_both { bases.get(t + 1..t + 1 + k)? } else { &[] };
        let pattern = [left, b".", right].concat();
        pattern.iter().all(|base| b"ACGT.".contains(base)).then_some(pattern)
    }

    fn new(training: &[u8], k: usize, is_both: bool) -> Self {
        let mut slow = Self { k, is_both, patterns: HashMap::new() };
        for k in 0..=k {
            for t in 0..training.len() {
                if let Some(pattern) = slow.pattern(training, t, k) {
                    *slow.patterns.entry((pattern, training[t])).or_default() += 1.0;
                }
            }
        }
        slow
    }

    fn probability(&self, bases: &[u8], t: usize) -> f64 {
        let pattern = (0..=self.k).rev().find_map(|k| self.pattern(bases, t, k)).unwrap();
        let count = |base: u8| self.patterns.get(&(pattern.clone(), base)).copied().unwrap_or(0.0);
        (count(bases[t]) + 1.0) / (b"ACGT".iter().map(|&base| count(base)).sum::<f64>() + 4.0)
    }
}

#[test]
fn real_sequence_equals_slow_counting() {
    let (training, held_out) = (yeast_bases("I:1,001-31,000"), yeast_bases("II:5,001-9,000"));
    let with_n = [&held_out[..700], b"NNNN", &held_out[700..1_500]].concat();
    for (neighbours, k, is_both) in [
        (Neighbours::Left(0), 0, false),
        (Neighbours::Left(3), 3, false),
        (Neighbours::Left(6), 6, false),
        (Neighbours::Both(1), 1, true),
        (Neighbours::Both(3), 3, true),
    ] {
        let training_text = std::str::from_utf8(&training).unwrap();
        let model = counted(neighbours, &[training_text]);
        let slow = Slow::new(&training, k, is_both);
        let numbers: Vec<u8> = with_n.iter().copied().map(digit).collect();
        for t in (0..with_n.len()).filter(|&t| with_n[t] != b'N') {
            let fast = model.probabilities(&numbers, t)[usize::from(numbers[t])];
            assert!((fast - slow.probability(&with_n, t)).abs() < 1e-12, "{neighbours} at {t}");
        }
    }
}

#[test]
fn a_genome_is_counted_once_in_pieces_as_in_one() {
    let region = "IV:1-1,531,933";
    let folder = tempfile::tempdir().unwrap();
    let bed = folder.path().join("some.bed");
    fs::write(&bed, "IV\t0\t900000\nIV\t300000\t1531933\n").unwrap();
    let neighbours = [Neighbours::Left(4), Neighbours::Both(2)];
    let on = |regions: &[&str], beds: &[&Path]| CountedOn {
        path: yeast(),
        regions: regions.iter().map(ToString::to_string).collect(),
        beds: beds.iter().map(|bed| bed.to_path_buf()).collect(),
        ..CountedOn::default()
    };
    let bases = yeast_bases(region);
    let whole: Vec<Markov> =
        neighbours.iter().map(|&each| counted(each, &[std::str::from_utf8(&bases).unwrap()])).collect();
    assert_eq!(on(&[region], &[]).count(&neighbours, &Unwatched).unwrap(), whole);
    assert_eq!(on(&["IV:500-600"], &[&bed]).count(&neighbours, &Unwatched).unwrap(), whole);
    let all = on(&[], &[]).count(&neighbours[..1], &Unwatched).unwrap();
    assert_eq!(all[0].n_counted(), 12_071_326);
    let error = on(&["Z:1-2"], &[]).count(&neighbours, &Unwatched).unwrap_err();
    assert!(matches!(error, BaselineError::Region { .. }));
}

#[test]
fn targets_are_those_of_the_language_model() {
    let bases = yeast_bases("II:5,001-5,200");
    let model = counted(Neighbours::Left(2), &[std::str::from_utf8(&bases).unwrap()]);
    let vocabulary = Vocabulary::caduceus();
    let numbers: Vec<u8> = bases.iter().copied().map(digit).collect();
    let loss = |t: usize| -model.probabilities(&numbers, t)[usize::from(numbers[t])].ln();
    for objective in [Objective::Causal, Objective::Masked(Masking { select: 0.4, ..Masking::default() })] {
        let is_causal = objective == Objective::Causal;
        let preparation = Preparation::new(objective, vocabulary.clone(), 1.0).unwrap();
        let mut batch = preparation.batch(200);
        preparation.push(&mut batch, &bases, &Draws::new(1, Purpose::Mask, 0, 0));
        let mut tally = Tally::default();
        model.add(&batch, &vocabulary, is_causal, &mut tally);
        let targets: Vec<usize> =
            (0..200).filter(|&t| batch.labels[t] != IGNORED).map(|t| t + usize::from(is_causal)).collect();
        let all = tally.total(Class::All);
        assert_eq!(all.targets, targets.len() as u64);
        assert!((all.loss - targets.iter().copied().map(loss).sum::<f64>()).abs() < 1e-9, "{objective:?}");
        let masked = tally.total(Class::Masked).targets;
        let expected = batch.ids.iter().filter(|&&id| Some(id) == vocabulary.mask()).count() as u64;
        assert_eq!(masked, if is_causal { 0 } else { expected });
        assert_eq!(masked + tally.total(Class::Visible).targets, if is_causal { 0 } else { all.targets });
        assert!(all.accuracy() > 0.3 && all.accuracy() < 0.9);
    }
}
