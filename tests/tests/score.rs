//! `longstrand score` against the fixtures and against the model itself.

use std::{fs, path::Path};

use longstrand_model::checkpoint::Checkpoint;
use longstrand_tests::{
    command::Longstrand,
    fixture::{Expected, read_json, root},
    likelihood::{causal_log_probabilities, encode, reverse_complement},
    variants::{Contig, Scores, record, vcf},
};
use tempfile::TempDir;

/// What f32 may differ by in a score of a masked model.
const MASKED: f64 = 1e-4;
/// The same for a likelihood ratio, which is the difference of two sums of 1,023 terms.
const CAUSAL: f64 = 3e-4;
/// Bases behind an allele that the tests of anchors count.
const TAIL: usize = 300;

/// A case of variants on a contig of 5,000 bases, as files.
struct Case {
    folder: TempDir,
    contig: Contig,
    /// 0-based position, REF, ALT.
    variants: Vec<(usize, String, String)>,
    expected: Expected,
}

impl Case {
    fn read(name: &str) -> Self {
        let case = root().join(name);
        let fasta = fs::read_to_string(case.join("reference.fa")).expect("a reference");
        let bases = fasta.lines().skip(1).collect::<String>().into_bytes();
        let json = read_json(&case.join("variants.json")).expect("variants");
        let variants = json["variants"].as_array().expect("a list").iter().map(|variant| {
            let text = |key: &str| variant[key].as_str().expect("an allele").to_owned();
            let position = variant["pos0"].as_u64().expect("a position") as usize;
            (position, text("ref"), text("alt"))
        });
        let folder = tempfile::tempdir().expect("a temporary folder");
        let case = Self {
            folder,
            contig: Contig { name: "chrT", bases },
            variants: variants.collect(),
            expected: Expected::read(&case),
        };
        fs::write(case.reference(), &fasta).expect("the reference");
        case.write("all.vcf", &(0..case.variants.len()).collect::<Vec<_>>());
        case
    }

    fn reference(&self) -> std::path::PathBuf {
        self.folder.path().join("reference.fa")
    }

    /// Writes some of the variants.
    fn write(&self, name: &str, which: &[usize]) {
        let records = which.iter().map(|&i| {
            let (position, reference, alternate) = &self.variants[i];
            record(self.contig.name, position + 1, reference, alternate)
        });
        fs::write(self.folder.path().join(name), vcf(&[&self.contig], records)).expect("a VCF");
    }

    fn command(&self, variants: &str, model: &Path, options: &str) -> Longstrand {
        let longstrand = Longstrand::at(env!("CARGO_BIN_EXE_longstrand-under-test"));
        let command = longstrand.arg("score").arg(self.folder.path().join(variants)).arg("--reference");
        command.arg(self.reference()).model(model).args("-q").args(options)
    }

    fn scores(&self, variants: &str, model: &Path, options: &str) -> Scores {
        Scores::parse(&self.command(variants, model, options).args("--tsv -").succeeds().stdout)
    }

    fn checkpoint(&self, model: &Path) -> Checkpoint {
        Checkpoint::load(model).expect("the model of the case")
    }
}

fn close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= tolerance, "{what}: {i}: expected {expected}, found {found}");
    }
}

#[test]
fn masked_scores_are_those_of_the_fixtures() {
    for (name, model) in [("variant-masked-ph", "caduceus-ph"), ("variant-masked-ps", "caduceus-ps")] {
        let case = Case::read(name);
        let model = root().join(model);
        let expected = |tensor: &str| case.expected.require(tensor).0;
        let both = case.scores("all.vcf", &model, "--score masked --context 1024 --strand both");
        let columns = [("masked", "score_avg"), ("masked_forward", "score_fwd"), ("masked_reverse", "score_rc")];
        for (column, tensor) in columns {
            close(&format!("{name} {column}"), &both.values(column), &expected(tensor), MASKED);
        }
        for (strand, other) in [("forward", "reverse"), ("reverse", "forward")] {
            case.write("few.vcf", &[0, 20, 49]);
            let few = case.scores("few.vcf", &model, &format!("--strand {strand}"));
            let column = both.numbers(&format!("masked_{strand}"));
            assert_eq!(few.numbers("masked"), [column[0], column[20], column[49]]);
            assert_eq!(few.numbers(&format!("masked_{strand}")), few.numbers("masked"));
            assert!(few.numbers(&format!("masked_{other}")).iter().all(Option::is_none));
        }
    }
}

#[test]
fn parquet_holds_what_tsv_does() {
    let case = Case::read("variant-causal");
    let model = root().join("hf-mamba");
    let parquet = case.folder.path().join("scores.parquet");
    let command =
        case.command("all.vcf", &model, "--score likelihood,embedding --context 64 --tsv - --parquet").arg(&parquet);
    let tsv = Scores::parse(&command.succeeds().stdout);
    assert_eq!(Scores::read_parquet(&parquet), tsv);
    assert_eq!(tsv.rows().len(), 40);
}

#[test]
fn likelihoods_are_those_of_the_fixture_and_of_the_model() {
    let case = Case::read("variant-causal");
    let model = root().join("hf-mamba");
    let checkpoint = case.checkpoint(&model);
    let (score, _) = case.expected.require("score");
    let (log_p, _) = case.expected.require("logp_ref_alt");
    let both = case.scores("all.vcf", &model, "--context 1024 --strand both");
    close("forward", &both.values("likelihood_forward"), &score, CAUSAL);
    let per_base: Vec<f64> = both.values("likelihood_per_base_forward").iter().map(|x| x * 1023.0).collect();
    close("a base", &per_base, &score, CAUSAL);
    case.write("one.vcf", &[25]);
    for strand in ["forward", "reverse"] {
        let alone = case.scores("one.vcf", &model, &format!("--strand {strand}"));
        assert_eq!(alone.texts("likelihood"), both.texts(&format!("likelihood_{strand}"))[25..26]);
    }
    let (mut forward, mut reverse) = (Vec::new(), Vec::new());
    for (i, (position, reference, alternate)) in case.variants.iter().enumerate() {
        let log_likelihood = |allele: &str, turned: bool| {
            let mut bases = case.contig.bases[position - 512..*position].to_vec();
            bases.extend(allele.bytes());
            let behind = &case.contig.bases[position + reference.len()..];
            bases.extend(&behind[..1024 - bases.len()]);
            let bases = if turned { reverse_complement(&bases) } else { bases };
            causal_log_probabilities(&checkpoint, &encode(&checkpoint, &bases)).iter().sum::<f64>()
        };
        let [of_reference, of_alternate] = [reference, alternate].map(|allele| log_likelihood(allele, false));
        close("log p", &[of_reference, of_alternate], &log_p[2 * i..2 * i + 2], CAUSAL);
        forward.push(of_alternate - of_reference);
        reverse.push(log_likelihood(alternate, true) - log_likelihood(reference, true));
    }
    close("the model, forward", &both.values("likelihood_forward"), &forward, 1e-9);
    close("the model, reverse", &both.values("likelihood_reverse"), &reverse, 1e-9);
    let mean: Vec<f64> = forward.iter().zip(&reverse).map(|(a, b)| (a + b) / 2.0).collect();
    close("the mean", &both.values("likelihood"), &mean, 1e-9);
}

#[test]
fn an_anchored_score_does_not_depend_on_the_others() {
    let case = Case::read("variant-causal");
    for model in ["hf-mamba", "hf-mamba2"] {
        let model = root().join(model);
        for anchor in ["block", "contig"] {
            let options = format!("--anchor {anchor} --context 1024 --tail {TAIL}");
            let together = case.scores("all.vcf", &model, &options);
            for i in [7, 21, 30, 39] {
                case.write("one.vcf", &[i]);
                let alone = case.scores("one.vcf", &model, &options);
                assert_eq!(alone.rows(), &together.rows()[i..=i], "{} {anchor}", model.display());
            }
        }
    }
}

#[test]
fn an_anchored_score_is_that_of_all_bases_from_the_anchor_on() {
    let case = Case::read("variant-causal");
    for model in ["hf-mamba", "hf-mamba2"] {
        let model = root().join(model);
        let checkpoint = case.checkpoint(&model);
        for (anchor, block) in [("contig", None), ("block", Some(512))] {
            let options = format!("--anchor {anchor} --context 512 --tail {TAIL}");
            let found = case.scores("all.vcf", &model, &options);
            for (i, variant) in case.variants.iter().enumerate().step_by(5) {
                for (turned, column) in [(false, "likelihood_forward"), (true, "likelihood_reverse")] {
                    let [of_reference, of_alternate] = [&variant.1, &variant.2]
                        .map(|allele| from_anchor(&case, &checkpoint, variant, allele, block, turned));
                    let (found, expected) = (found.values(column)[i], of_alternate - of_reference);
                    let tolerance = 1e-6 * of_reference.abs().max(of_alternate.abs());
                    let what = format!("{} {anchor} {column} {variant:?}", model.display());
                    assert!((found - expected).abs() <= tolerance, "{what}: expected {expected}, found {found}");
                }
            }
        }
    }
}

/// Σ log p of an allele and the tail behind it, in a pass that begins with the anchor.
fn from_anchor(
    case: &Case,
    checkpoint: &Checkpoint,
    (position, reference, _): &(usize, String, String),
    allele: &str,
    block: Option<usize>,
    turned: bool,
) -> f64 {
    let bases = &case.contig.bases;
    let end = position + reference.len();
    let sequence = match turned {
        false => {
            let anchor = block.map_or(0, |block| (position / block).saturating_sub(1) * block);
            let tail = &bases[end..(end + TAIL).min(bases.len())];
            [&bases[anchor..*position], allele.as_bytes(), tail].concat()
        }
        true => {
            let anchor = block.map_or(bases.len(), |block| ((end - 1) / block + 2) * block).min(bases.len());
            let tail = &bases[position.saturating_sub(TAIL)..*position];
            reverse_complement(&[tail, allele.as_bytes(), &bases[end..anchor]].concat())
        }
    };
    let log_p = causal_log_probabilities(checkpoint, &encode(checkpoint, &sequence));
    let tail = if turned { TAIL.min(*position) } else { TAIL.min(bases.len() - end) };
    log_p[sequence.len() - tail - allele.len()..].iter().sum()
}
