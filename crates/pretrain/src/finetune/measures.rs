//! How good predictions are.
//!
//! | classes | |
//! |---|---|
//! | accuracy | the fraction whose likeliest class is the label; of equal probabilities the first class counts |
//! | mcc | Matthews' correlation, for several classes Gorodkin's R_K; 0 where all predictions or all labels are one class |
//! | f1 | of two classes: 2 TP / (2 TP + FP + FN) of the second one |
//! | f1_macro | the mean of F1 over classes that are a label or predicted |
//! | auroc | the area under the ROC curve, ties counted half; of more than two classes the mean of one against the rest |
//! | auprc | average precision, Σ (Rᵢ − Rᵢ₋₁) Pᵢ over distinct scores; of more than two classes as above |
//!
//! | values | |
//! |---|---|
//! | pearson | the correlation of predictions and labels |
//! | spearman | that of their ranks, where equal values share the mean of their ranks |
//! | mse | the mean of squared differences |
//!
//! What is not defined, such as the AUROC of labels that are all alike, is `None`.

/// Measures by their names, in a fixed order.
pub type Measures = Vec<(&'static str, Option<f64>)>;

/// Measures of probabilities, one row for each sequence and in it one for each class.
///
/// # Panics
///
/// If there is not one class for each row.
pub(super) fn class_measures(probabilities: &[Vec<f64>], classes: &[usize]) -> Measures {
    assert_eq!(probabilities.len(), classes.len(), "one class for each row");
    let n_classes = probabilities.first().map_or(0, Vec::len);
    let confusion = Confusion::new(probabilities, classes, n_classes);
    let mut measures = vec![("accuracy", confusion.accuracy()), ("mcc", confusion.mcc())];
    if n_classes == 2 {
        measures.push(("f1", confusion.f1(1)));
    }
    measures.push(("f1_macro", mean((0..n_classes).filter_map(|class| confusion.f1(class)))));
    let against_rest = |of: fn(&[f64], &[bool]) -> Option<f64>| {
        let first = if n_classes == 2 { 1 } else { 0 };
        let one = |class: usize| {
            let scores: Vec<f64> = probabilities.iter().map(|row| row[class]).collect();
            let is_it: Vec<bool> = classes.iter().map(|&label| label == class).collect();
            of(&scores, &is_it)
        };
        (first..n_classes).map(one).collect::<Option<Vec<f64>>>().and_then(|values| mean(values.into_iter()))
    };
    measures.extend([("auroc", against_rest(auroc)), ("auprc", against_rest(average_precision))]);
    measures
}

/// Measures of values.
///
/// # Panics
///
/// If there is not one label for each prediction.
pub(super) fn value_measures(predictions: &[f64], labels: &[f64]) -> Measures {
    assert_eq!(predictions.len(), labels.len(), "one label for each prediction");
    let squares = predictions.iter().zip(labels).map(|(a, b)| (a - b).powi(2));
    vec![
        ("pearson", correlation(predictions, labels)),
        ("spearman", correlation(&ranks(predictions), &ranks(labels))),
        ("mse", mean(squares)),
    ]
}

/// How often each class was predicted for each label.
struct Confusion {
    /// `[labels, predictions]`
    counts: Vec<Vec<f64>>,
    n: f64,
}

impl Confusion {
    fn new(probabilities: &[Vec<f64>], classes: &[usize], n_classes: usize) -> Self {
        let mut counts = vec![vec![0.0; n_classes]; n_classes];
        for (row, &label) in probabilities.iter().zip(classes) {
            counts[label][likeliest(row)] += 1.0;
        }
        Self { counts, n: classes.len() as f64 }
    }

    fn correct(&self) -> f64 {
        (0..self.counts.len()).map(|class| self.counts[class][class]).sum()
    }

    fn labels(&self, class: usize) -> f64 {
        self.counts[class].iter().sum()
    }

    fn predictions(&self, class: usize) -> f64 {
        self.counts.iter().map(|row| row[class]).sum()
    }

    fn accuracy(&self) -> Option<f64> {
        (self.n > 0.0).then(|| self.correct() / self.n)
    }

    fn mcc(&self) -> Option<f64> {
        let over = |of: &dyn Fn(usize) -> f64| (0..self.counts.len()).map(of).sum::<f64>();
        let joint = over(&|class| self.labels(class) * self.predictions(class));
        let labels = self.n * self.n - over(&|class| self.labels(class).powi(2));
        let predictions = self.n * self.n - over(&|class| self.predictions(class).powi(2));
        let spread = (labels * predictions).sqrt();
        let correlation = if spread > 0.0 { (self.correct() * self.n - joint) / spread } else { 0.0 };
        (self.n > 0.0).then_some(correlation)
    }

    fn f1(&self, class: usize) -> Option<f64> {
        let both = self.labels(class) + self.predictions(class);
        (both > 0.0).then(|| 2.0 * self.counts[class][class] / both)
    }
}

/// The place of the largest value, the first of equal ones.
pub(super) fn likeliest(row: &[f64]) -> usize {
    (0..row.len()).fold(0, |best, place| if row[place] > row[best] { place } else { best })
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (n, sum) = values.fold((0.0, 0.0), |(n, sum), value| (n + 1.0, sum + value));
    (n > 0.0).then(|| sum / n)
}

/// (Σ ranks of positives − P (P + 1) / 2) / (P N)
fn auroc(scores: &[f64], is_positive: &[bool]) -> Option<f64> {
    let positives = is_positive.iter().filter(|&&is| is).count() as f64;
    let negatives = is_positive.len() as f64 - positives;
    let sum: f64 = ranks(scores).iter().zip(is_positive).filter(|(_, is)| **is).map(|(rank, _)| rank).sum();
    (positives * negatives > 0.0).then(|| (sum - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}

fn average_precision(scores: &[f64], is_positive: &[bool]) -> Option<f64> {
    let positives = is_positive.iter().filter(|&&is| is).count() as f64;
    let order = ascending(scores);
    let (mut taken, mut found, mut area) = (0.0, 0.0, 0.0);
    for tied in order.chunk_by(|&a, &b| scores[a] == scores[b]).rev() {
        let hits = tied.iter().filter(|&&place| is_positive[place]).count() as f64;
        taken += tied.len() as f64;
        found += hits;
        area += hits / positives * (found / taken);
    }
    (positives > 0.0).then_some(area)
}

fn ascending(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    order
}

/// Ranks from 1; equal values share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0.0;
    for tied in ascending(values).chunk_by(|&a, &b| values[a] == values[b]) {
        let n = tied.len() as f64;
        tied.iter().for_each(|&place| ranks[place] = before + (n + 1.0) / 2.0);
        before += n;
    }
    ranks
}

fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let (mean_a, mean_b) = (mean(a.iter().copied())?, mean(b.iter().copied())?);
    let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 { a.iter().zip(b).map(|(a, b)| of(a - mean_a, b - mean_b)).sum() };
    let spread = (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt();
    (spread > 0.0).then(|| sum(&|a, b| a * b) / spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(measures: &Measures, expected: &[(&str, Option<f64>)]) {
        assert_eq!(measures.len(), expected.len(), "{measures:?}");
        for ((name, value), (expected_name, expected)) in measures.iter().zip(expected) {
            assert_eq!(name, expected_name);
            match (value, expected) {
                (Some(a), Some(b)) => assert!((a - b).abs() < 1e-12, "{name}: {a}, expected {b}"),
                (a, b) => assert_eq!(a, b, "{name}"),
            }
        }
    }

    fn binary(positive: &[f64]) -> Vec<Vec<f64>> {
        positive.iter().map(|&p| vec![1.0 - p, p]).collect()
    }

    /// TP 2, FP 1, FN 1, TN 2. Pairs: 0.9 beats all three negatives, 0.6 beats 0.3 and 0.1 and loses to 0.7, 0.3 ties with 0.3
    /// and beats 0.1. Precision: 1/1 at 0.9, 2/3 at 0.6, 3/5 at the tie.
    #[test]
    fn two_classes_by_hand() {
        let measures = class_measures(&binary(&[0.9, 0.7, 0.6, 0.3, 0.3, 0.1]), &[1, 0, 1, 1, 0, 0]);
        check(
            &measures,
            &[
                ("accuracy", Some(4.0 / 6.0)),
                ("mcc", Some((2.0 * 2.0 - 1.0) / 9.0)),
                ("f1", Some(4.0 / 6.0)),
                ("f1_macro", Some(4.0 / 6.0)),
                ("auroc", Some((3.0 + 2.0 + 1.5) / 9.0)),
                ("auprc", Some((1.0 + 2.0 / 3.0 + 3.0 / 5.0) / 3.0)),
            ],
        );
    }

    /// Labels 0 0 1 1 2, predicted 0 1 1 1 2: labels 2 2 1, predictions 1 3 1, 4 correct.
    #[test]
    fn three_classes_by_hand() {
        let rows = [[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.8, 0.1], [0.3, 0.4, 0.3], [0.1, 0.1, 0.8]];
        let rows: Vec<Vec<f64>> = rows.iter().map(|row| row.to_vec()).collect();
        let measures = class_measures(&rows, &[0, 0, 1, 1, 2]);
        let mcc = (4.0 * 5.0 - (2.0 + 6.0 + 1.0)) / ((25.0_f64 - 9.0) * (25.0 - 11.0)).sqrt();
        // Class 0: positives 0.6 and 0.2 against 0.1, 0.3, 0.1: five of six pairs. Class 1: 0.8 and 0.4 against 0.3, 0.5, 0.1:
        // five of six. Class 2: 0.8 beats all.
        let auroc = (5.0 / 6.0 + 5.0 / 6.0 + 1.0) / 3.0;
        let auprc = ((1.0 + 2.0 / 3.0) / 2.0 + (1.0 + 2.0 / 3.0) / 2.0 + 1.0) / 3.0;
        check(
            &measures,
            &[
                ("accuracy", Some(0.8)),
                ("mcc", Some(mcc)),
                ("f1_macro", Some((2.0 / 3.0 + 4.0 / 5.0 + 1.0) / 3.0)),
                ("auroc", Some(auroc)),
                ("auprc", Some(auprc)),
            ],
        );
    }

    #[test]
    fn what_is_not_defined_is_none() {
        let measures = class_measures(&binary(&[0.9, 0.2]), &[0, 0]);
        check(
            &measures,
            &[
                ("accuracy", Some(0.5)),
                ("mcc", Some(0.0)),
                ("f1", Some(0.0)),
                ("f1_macro", Some((2.0 / 3.0) / 2.0)),
                ("auroc", None),
                ("auprc", None),
            ],
        );
        check(&value_measures(&[1.0, 1.0], &[1.0, 3.0]), &[("pearson", None), ("spearman", None), ("mse", Some(2.0))]);
        assert_eq!(likeliest(&[0.5, 0.5]), 0);
    }

    /// Deviations −1.5 −0.5 0.5 1.5 and −2 −2 −1 5: 3 + 1 − 0.5 + 7.5 = 11 of √(5 · 34). Ranks 1 2 3 4 and 1.5 1.5 3 4:
    /// deviations −1.5 −0.5 0.5 1.5 and −1 −1 0.5 1.5: 1.5 + 0.5 + 0.25 + 2.25 = 4.5 of √(5 · 4.5).
    #[test]
    fn values_by_hand() {
        check(
            &value_measures(&[1.0, 2.0, 3.0, 4.0], &[0.0, 0.0, 1.0, 7.0]),
            &[
                ("pearson", Some(11.0 / 170.0_f64.sqrt())),
                ("spearman", Some(4.5 / 22.5_f64.sqrt())),
                ("mse", Some((1.0 + 4.0 + 4.0 + 9.0) / 4.0)),
            ],
        );
    }
}
