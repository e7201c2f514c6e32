//! Sampling and masking of real sequence: yeast, and the mixed-case bases around BRCA1.

use std::path::{Path, PathBuf};

use longstrand_pretrain::{
    batch::{Batches, PlacedBatch},
    config::{Flag, Settings, resolve},
    data::Data,
    objective::IGNORED,
    split::Split,
};
use longstrand_seq::{Strand, Vocabulary, strand::reverse_complement};

fn genome(name: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data").join(name);
    path.to_str().expect("a path in UTF-8").into()
}

const YEAST: &str = "scerevisiae_R64-1-1.fa.gz";
const BRCA1: &str = "brca1_hg19_chr17_41100001-41300000.fa.gz";

fn settings(preset: &str, genomes: &[&str], more: &[Flag]) -> Settings {
    let genomes: Vec<String> = genomes.iter().map(|name| genome(name)).collect();
    let mut flags = vec![Flag::new("data.genomes", genomes), Flag::new("data.sliced_reference", true)];
    flags.extend_from_slice(more);
    resolve(Some(preset), None, &flags).expect("settings that go together")
}

fn open(settings: &Settings) -> (Data, Batches) {
    let data = Data::open(settings).expect("genomes of the repository");
    let batches = data.training(settings).expect("windows to train on");
    (data, batches)
}

#[test]
fn steps_are_the_same_in_any_order_and_in_parts() {
    let settings = settings("tiny-ps", &[YEAST, BRCA1], &[Flag::new("data.reverse_complement", 0.5)]);
    let (mut data, batches) = open(&settings);
    let steps: Vec<PlacedBatch> = (0..6).map(|step| batches.read(&mut data.sources, step, 0..8).unwrap()).collect();
    let (mut other, batches) = open(&settings);
    for step in [5, 0, 3] {
        let expected = &steps[step as usize];
        let half = batches.read(&mut other.sources, step, 4..8).unwrap();
        assert_eq!(half.places, expected.places[4..]);
        assert_eq!(half.batch.ids, expected.batch.ids[4 * 512..]);
        assert_eq!(half.batch.labels, expected.batch.labels[4 * 512..]);
        assert_eq!(&batches.read(&mut other.sources, step, 0..8).unwrap(), expected);
    }
    assert_ne!(steps[0].batch.ids, steps[1].batch.ids);

    let summary = other.summary(&batches);
    assert_eq!((summary.contigs, summary.bases), (17, 12_071_326 + 200_000));
    let held: u64 = summary.splits.iter().map(|(_, bases)| bases).sum();
    assert_eq!(held, summary.bases - 17 * 2_000, "a gap around each of two borders of every contig");
}

#[test]
fn ids_are_the_bases_of_their_places() {
    let settings = settings("caduceus-ph-1k", &[YEAST], &[]);
    let (mut data, batches) = open(&settings);
    let placed = batches.read(&mut data.sources, 17, 0..200).unwrap();
    let vocabulary = Vocabulary::caduceus();
    let (mut bases, mut n_reverse, mut n_selected) = (Vec::new(), 0_u32, 0.0);
    let rows = placed.batch.ids.chunks(1_024).zip(placed.batch.labels.chunks(1_024));
    for (place, (ids, labels)) in placed.places.iter().zip(rows) {
        assert!(data.within.holds(&place.interval) && place.interval.len() == 1_024);
        data.sources.read(&place.interval, &mut bases).unwrap();
        if place.strand == Strand::Reverse {
            n_reverse += 1;
            reverse_complement(&mut bases);
        }
        vocabulary.encode_in_place(&mut bases);
        for ((&id, &label), &truth) in ids.iter().zip(labels).zip(&bases) {
            assert_eq!(if label == IGNORED { id } else { label }, truth);
            n_selected += f64::from(u8::from(label != IGNORED));
        }
    }
    assert!((65..135).contains(&n_reverse), "{n_reverse} of 200");
    let n = 200.0 * 1_024.0;
    assert!((n_selected - 0.15 * n).abs() < 5.0 * (n * 0.15 * 0.85_f64).sqrt(), "{n_selected} of {n}");
}

#[test]
fn repeats_of_brca1_count_less() {
    let flags = [Flag::new("objective.soft_mask_weight", 0.1), Flag::new("data.length", 4_096)];
    let settings = settings("mamba-1k", &[BRCA1], &flags);
    let (mut data, batches) = open(&settings);
    let placed = batches.read(&mut data.sources, 0, 0..64).unwrap();
    let weights = placed.batch.weights.unwrap();
    let soft = weights.iter().filter(|&&weight| weight == 0.1).count();
    assert!(weights.iter().all(|&weight| weight == 0.1 || weight == 1.0));
    // Near half of this region is repeats, among them many Alu.
    assert!((0.3..0.7).contains(&(soft as f64 / weights.len() as f64)), "{soft} of {}", weights.len());
    let mut bases = Vec::new();
    let first = placed.places[0];
    data.sources.read(&first.interval, &mut bases).unwrap();
    if first.strand == Strand::Reverse {
        reverse_complement(&mut bases);
    }
    for (t, &weight) in weights[..4_095].iter().enumerate() {
        assert_eq!(weight == 0.1, bases[t + 1].is_ascii_lowercase(), "{t}");
    }
}

#[test]
fn chromosomes_are_held_out_by_name_and_regions_by_bed() {
    let folder = tempfile::tempdir().unwrap();
    let (include, exclude) = (folder.path().join("in.bed"), folder.path().join("out.bed"));
    std::fs::write(&include, "IV\t0\t900000\nI\t0\t200000\nchrII\t0\t300000\n").unwrap();
    std::fs::write(&exclude, "IV\t100000\t800000\n").unwrap();
    let flags = [
        Flag::new("data.include", include.to_str().unwrap()),
        Flag::new("data.exclude", exclude.to_str().unwrap()),
        Flag::new("data.split.kind", "contigs"),
        Flag::new("data.split.valid_contigs", vec!["I"]),
        Flag::new("data.split.test_contigs", vec!["II"]),
    ];
    let settings = settings("tiny", &[YEAST], &flags);
    let (mut data, batches) = open(&settings);
    assert_eq!(
        data.summary(&batches).splits,
        [(Split::Train, 200_000), (Split::Valid, 200_000), (Split::Test, 300_000)]
    );
    let name = |data: &Data, contig| data.sources.name(contig).1.to_string();
    for place in batches.read(&mut data.sources, 3, 0..100).unwrap().places {
        assert_eq!(name(&data, place.interval.contig), "IV");
        assert!(place.interval.end <= 100_000 || place.interval.start >= 800_000, "{place:?}");
    }
    let valid = data.fixed(Split::Valid, &settings).unwrap();
    let first = valid.read(&mut data.sources, 0, 0..settings.validation.windows).unwrap();
    assert!(first.places.iter().all(|place| name(&data, place.interval.contig) == "I"));
    let reseeded = Settings {
        run: longstrand_pretrain::config::RunSettings { seed: 1, ..settings.run.clone() },
        ..settings.clone()
    };
    let again = data.fixed(Split::Valid, &reseeded).unwrap();
    assert_eq!(again.read(&mut data.sources, 0, 0..settings.validation.windows).unwrap(), first);
}

#[test]
fn nothing_to_train_on_is_told() {
    let none = resolve(Some("tiny"), None, &[]).unwrap();
    let message =
        |settings: &Settings| Data::open(settings).and_then(|data| data.training(settings)).err().unwrap().to_string();
    assert_eq!(message(&none), "setting data.genomes: expected at least one genome, found none");
    let long = settings("mamba-1k", &[BRCA1], &[Flag::new("data.length", 1 << 18)]);
    assert_eq!(
        message(&long),
        "split train: expected intervals of at least 262144 bases to draw windows from, found 179500 bases in shorter ones"
    );
}
