use super::*;
use crate::random::Purpose;

/// `n` random bases, some of them `N`, IUPAC codes or lower case.
fn some_bases(n: u64) -> Vec<u8> {
    let draws = Draws::new(3, Purpose::Initial, 0, 0);
    let letters = b"ACGTACGTACGTACGTacgtNR";
    (0..n).map(|i| letters[(draws.unit(i) * letters.len() as f64) as usize]).collect()
}

fn prepare(objective: Objective, weight: f64, bases: &[u8], index: u32) -> Batch {
    let preparation = Preparation::new(objective, Vocabulary::caduceus(), weight).unwrap();
    let mut batch = preparation.batch(bases.len());
    preparation.push(&mut batch, bases, &Draws::new(1, Purpose::Mask, 0, index));
    batch
}

/// Whether `count` of `n` is within 5 standard deviations of a binomial distribution.
fn is_likely(count: usize, n: usize, p: f64) -> bool {
    (count as f64 - n as f64 * p).abs() < 5.0 * (n as f64 * p * (1.0 - p)).sqrt()
}

#[test]
fn the_next_base_is_the_target() {
    let batch = prepare(Objective::Causal, 0.1, b"AcgTNRa", 0);
    assert_eq!(batch.ids, [7, 8, 9, 10, 11, 6, 7]);
    assert_eq!(batch.labels, [8, 9, 10, IGNORED, IGNORED, 7, IGNORED]);
    assert_eq!(batch.weights.as_deref(), Some(&[0.1, 0.1, 1.0, 1.0, 1.0, 0.1, 1.0][..]));
    assert_eq!((batch.len(), batch.n_targets()), (1, 4));
    assert!((batch.total_weight() - 1.3).abs() < 1e-6);
    assert_eq!(prepare(Objective::Causal, 1.0, b"", 0), Batch::default());
    assert_eq!(prepare(Objective::Causal, 1.0, b"NNN", 0).n_targets(), 0);
}

#[test]
fn masks_have_the_published_fractions() {
    let bases = some_bases(200_000);
    let batch = prepare(Objective::Masked(Masking::default()), 1.0, &bases, 0);
    let vocabulary = Vocabulary::caduceus();
    let mut seen = Vec::new();
    vocabulary.encode(&bases, &mut seen);
    let n_bases = seen.iter().filter(|&&id| vocabulary.is_base(id)).count();
    assert!(is_likely(batch.n_targets(), n_bases, 0.15));
    assert_eq!(batch.weights, None);

    let (mut masked, mut other, mut counts) = (0, 0, [0_usize; 12]);
    for ((&id, &label), &true_id) in batch.ids.iter().zip(&batch.labels).zip(&seen) {
        if label == IGNORED {
            assert_eq!(id, true_id);
            continue;
        }
        assert!(vocabulary.is_base(label) && label == true_id);
        match id {
            3 => masked += 1,
            id if id != true_id => {
                other += 1;
                counts[usize::from(id)] += 1;
            }
            _ => {}
        }
    }
    let n = batch.n_targets();
    // One random token in twelve is the mask, and one the base itself.
    assert!(is_likely(masked, n, 0.8 + 0.1 / 12.0), "{masked} of {n}");
    assert!(is_likely(other, n, 0.1 * 10.0 / 12.0), "{other} of {n}");
    assert!(counts.iter().enumerate().all(|(id, &count)| (count > 0) != (id == 3)), "{counts:?}");
}

#[test]
fn random_tokens_may_be_bases_alone() {
    let masking = Masking { select: 0.5, mask: 0.0, random: 0.6, random_ids: RandomIds::Bases };
    let bases = some_bases(50_000);
    let batch = prepare(Objective::Masked(masking), 1.0, &bases, 0);
    let targets: Vec<_> = batch.ids.iter().zip(&batch.labels).filter(|(_, label)| **label != IGNORED).collect();
    assert!(targets.iter().all(|(id, _)| (7..=10).contains(*id)));
    let changed = targets.iter().filter(|(id, label)| id != label).count();
    assert!(is_likely(changed, targets.len(), 0.6 * 0.75), "{changed}");
}

#[test]
fn a_window_is_masked_by_its_draws_alone() {
    let bases = some_bases(1_000);
    let objective = Objective::Masked(Masking::default());
    let preparation = Preparation::new(objective, Vocabulary::caduceus(), 1.0).unwrap();
    let mut batch = preparation.batch(bases.len());
    for index in [4, 2, 9] {
        preparation.push(&mut batch, &bases, &Draws::new(1, Purpose::Mask, 0, index));
    }
    assert_eq!(batch.len(), 3);
    let alone = prepare(objective, 1.0, &bases, 2);
    assert_eq!((&batch.ids[1_000..2_000], &batch.labels[1_000..2_000]), (&alone.ids[..], &alone.labels[..]));
    assert_ne!(batch.ids[..1_000], alone.ids[..]);
}

#[test]
fn soft_masked_targets_weigh_less() {
    let masking = Masking { select: 1.0, ..Masking::default() };
    let batch = prepare(Objective::Masked(masking), 0.25, b"AcNt", 0);
    assert_eq!(batch.labels, [7, 8, IGNORED, 10]);
    assert_eq!(batch.weights.as_deref(), Some(&[1.0, 0.25, 1.0, 0.25][..]));
    assert_eq!(batch.total_weight(), 1.5);
}

#[test]
fn plant_caduceus_has_seven_tokens() {
    let masking = Masking { select: 1.0, mask: 0.0, random: 1.0, random_ids: RandomIds::Vocabulary };
    let preparation = Preparation::new(Objective::Masked(masking), Vocabulary::plant_caduceus(), 1.0).unwrap();
    let mut batch = preparation.batch(5_000);
    preparation.push(&mut batch, &b"ACGTN".repeat(1_000), &Draws::new(1, Purpose::Mask, 0, 0));
    assert_eq!(batch.ids.iter().max(), Some(&6));
    assert_eq!(batch.n_targets(), 4_000);
    assert!(batch.ids.chunks(5).all(|ids| ids[4] == 2));
}

#[test]
fn what_is_no_fraction_is_told() {
    let error = |masking, weight| {
        Preparation::new(Objective::Masked(masking), Vocabulary::caduceus(), weight).unwrap_err().to_string()
    };
    let published = Masking::default();
    assert!(error(Masking { select: 1.1, ..published }, 1.0).ends_with("from 0 to 1, found 1.1"));
    assert!(error(Masking { mask: 0.8, random: 0.3, ..published }, 1.0).ends_with("found 0.8 and 0.3"));
    assert!(error(Masking { mask: f64::NAN, ..published }, 1.0).ends_with("found NaN and 0.1"));
    assert!(error(published, -1.0).ends_with("at least 0, found -1"));
}
