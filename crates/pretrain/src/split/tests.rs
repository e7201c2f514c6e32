use std::fs;

use longstrand_seq::GenomeOptions;

use super::*;

/// Two genomes: `one` has a (1,000 bases) and b (50), `two` has c (400).
fn sources(folder: &Path) -> Sources {
    let fasta = |records: &[(&str, usize)]| -> String {
        records
            .iter()
            .map(|(name, length)| format!(">{name}\n{}\n", "ACGT".repeat(length / 4 + 1).split_at(*length).0))
            .collect()
    };
    let paths = [folder.join("one.fa"), folder.join("two.fa")];
    fs::write(&paths[0], fasta(&[("a", 1_000), ("b", 50)])).unwrap();
    fs::write(&paths[1], fasta(&[("c", 400)])).unwrap();
    Sources::open(&paths, &GenomeOptions::default()).unwrap()
}

fn inside(splits: &Splits, split: Split) -> Vec<(usize, u64, u64)> {
    let Area::Inside(regions) = splits.get(split) else { panic!("regions") };
    regions.iter().map(|i| (i.contig, i.start, i.end)).collect()
}

#[test]
fn fractions_of_every_contig() {
    let folder = tempfile::tempdir().unwrap();
    let sources = sources(folder.path());
    let rule = SplitRule::Fraction { valid: 0.1, test: 0.2, gap: 20 };
    let splits = Splits::new(&rule, &sources, &sources.bases()).unwrap();
    assert_eq!(inside(&splits, Split::Train), [(0, 0, 690), (1, 0, 25), (2, 0, 270)]);
    assert_eq!(inside(&splits, Split::Valid), [(0, 710, 790), (2, 290, 310)]);
    assert_eq!(inside(&splits, Split::Test), [(0, 810, 1_000), (2, 330, 400)]);
    for (valid, test) in [(0.5, 0.5), (-0.1, 0.0), (0.0, 1.0), (f64::NAN, 0.0)] {
        let error = Splits::new(&SplitRule::Fraction { valid, test, gap: 0 }, &sources, &sources.bases()).unwrap_err();
        assert!(error.to_string().contains("together below 1, found"), "{error}");
    }
}

#[test]
fn contigs_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let sources = sources(folder.path());
    let names = |names: &[&str]| names.iter().map(|&name| name.into()).collect::<Vec<String>>();
    let rule = SplitRule::Contigs { valid: names(&["c"]), test: names(&["b"]) };
    let within =
        Regions::union(3, [Interval { contig: 0, start: 10, end: 20 }, Interval { contig: 2, start: 0, end: 7 }]);
    let splits = Splits::new(&rule, &sources, &within).unwrap();
    assert_eq!(inside(&splits, Split::Train), [(0, 10, 20)]);
    assert_eq!(inside(&splits, Split::Valid), [(2, 0, 7)]);
    assert_eq!(inside(&splits, Split::Test), []);
    let twice = SplitRule::Contigs { valid: names(&["c"]), test: names(&["c"]) };
    let error = Splits::new(&twice, &sources, &within).unwrap_err();
    assert_eq!(error.to_string(), "contig \"c\" is held out twice");
    let unknown = SplitRule::Contigs { valid: names(&["d"]), test: vec![] };
    let error = Splits::new(&unknown, &sources, &within).unwrap_err();
    assert_eq!(error.to_string(), "unknown contig \"d\": there are \"a\", \"b\", \"c\"");
}

#[test]
fn a_table_has_two_readings() {
    let folder = tempfile::tempdir().unwrap();
    let sources = sources(folder.path());
    let path = folder.path().join("split.bed");
    fs::write(&path, "a\t0\t100\ttrain\na\t100\t200\ttrain\na\t150\t300\tvalid\nc\t10\t20\ttest\na\t290\t400\ttrain\n")
        .unwrap();
    let read =
        |reading| Splits::new(&SplitRule::Bed { path: path.clone(), reading }, &sources, &sources.bases()).unwrap();

    let splits = read(Reading::LeakFree);
    assert_eq!(inside(&splits, Split::Train), [(0, 0, 150), (0, 300, 400)]);
    assert_eq!(inside(&splits, Split::Valid), [(0, 200, 290)]);
    assert_eq!(inside(&splits, Split::Test), [(2, 10, 20)]);

    let splits = read(Reading::Compatible);
    let Area::Rows { rows, within } = splits.get(Split::Train) else { panic!("rows") };
    assert_eq!(rows, &[(0, 0), (0, 100), (0, 290)]);
    assert_eq!(within, &sources.bases());

    fs::write(&path, "a\t0\t100\ttrain\na\t100\t200\n").unwrap();
    let rule = SplitRule::Bed { path: path.clone(), reading: Reading::LeakFree };
    let error = Splits::new(&rule, &sources, &sources.bases()).unwrap_err().to_string();
    assert!(
        error.ends_with("split.bed, interval 2: expected train, valid or test in the fourth column, found nothing")
    );
}

#[test]
fn a_name_that_two_genomes_have_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    sources(folder.path());
    let paths = [folder.path().join("two.fa"), folder.path().join("two.fa")];
    let sources = Sources::open(&paths, &GenomeOptions::default()).unwrap();
    assert_eq!(sources.bases().n_bases(), 800);
    let error = sources.resolve("c").unwrap_err();
    assert!(error.to_string().starts_with("contigs cannot be told by name among"), "{error}");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "contig \"c\" occurs more than once");
}
