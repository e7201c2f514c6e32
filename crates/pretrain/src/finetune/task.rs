//! What a head is to say, and how wrong it is.

use super::data::Table;
use super::error::FineTuneError;

/// Whether labels are classes or values.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TaskKind {
    /// Classes.
    Classification,
    /// Values.
    Regression,
}

/// What the outputs of a head stand for.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// A logit for each class, in this order.
    Classes(Vec<String>),
    /// (value − mean) / scale.
    Value {
        /// Mean of the training values.
        mean: f64,
        /// Their standard deviation; 1 where they are all the same.
        scale: f64,
    },
}

/// A label that has been understood.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Target {
    /// The place of a class.
    Class(usize),
    /// A value.
    Value(f64),
}

/// How much a sequence of each class counts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ClassWeights {
    /// As much as any other.
    #[default]
    Equal,
    /// n / (classes · sequences of the class), so that every class counts as much as any other.
    Balanced,
}

impl Task {
    /// The task that a table's labels pose. Classes are in the order of their names, or of their numbers where all are whole
    /// numbers.
    ///
    /// # Errors
    ///
    /// Fewer than two classes, or a label that is no finite number.
    pub(super) fn of_table(kind: TaskKind, table: &Table) -> Result<Self, FineTuneError> {
        match kind {
            TaskKind::Classification => {
                let labels = classes(table);
                if labels.len() < 2 {
                    let found = labels.concat();
                    return Err(FineTuneError::OneClass { path: table.path.clone(), found });
                }
                Ok(Self::Classes(labels))
            }
            TaskKind::Regression => {
                let values: Result<Vec<f64>, FineTuneError> = table
                    .examples
                    .iter()
                    .map(|example| {
                        let label = example.label.as_deref().unwrap_or_default();
                        value(label).ok_or_else(|| table.wrong_label(example, "a number".into()))
                    })
                    .collect();
                let task = Self::of_values(&values?);
                match task {
                    Self::Value { mean, scale } if !(mean.is_finite() && scale.is_finite()) => {
                        let found = format!("a mean of {mean} and a deviation of {scale}");
                        Err(FineTuneError::Usage(format!("labels: expected values that f64 can add up, found {found}")))
                    }
                    task => Ok(task),
                }
            }
        }
    }

    fn of_values(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt();
        Self::Value { mean, scale: if deviation > 0.0 { deviation } else { 1.0 } }
    }

    /// Outputs of the head.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Classes(labels) => labels.len(),
            Self::Value { .. } => 1,
        }
    }

    /// What a label means, or what it should have been.
    ///
    /// # Errors
    ///
    /// The class is not one of these, or the label is no finite number.
    pub(super) fn target(&self, label: &str) -> Result<Target, String> {
        match self {
            Self::Classes(labels) => match labels.iter().position(|known| known == label) {
                Some(class) => Ok(Target::Class(class)),
                None => Err(format!("one of the classes trained on ({})", labels.join(", "))),
            },
            Self::Value { .. } => value(label).map(Target::Value).ok_or_else(|| "a number".into()),
        }
    }

    /// The loss of a head's outputs.
    ///
    /// # Panics
    ///
    /// If the target is of another task.
    pub(super) fn loss(&self, outputs: &[f64], target: Target) -> f64 {
        match (self, target) {
            (Self::Classes(_), Target::Class(class)) => log_sum_exp(outputs) - outputs[class],
            (Self::Value { mean, scale }, Target::Value(value)) => (outputs[0] - (value - mean) / scale).powi(2),
            _ => panic!("a target of another task"),
        }
    }

    /// The gradient of the loss by the outputs.
    ///
    /// # Panics
    ///
    /// If the target is of another task.
    pub(super) fn d_outputs(&self, outputs: &[f64], target: Target) -> Vec<f64> {
        match (self, target) {
            (Self::Classes(_), Target::Class(class)) => {
                let mut d_outputs = softmax(outputs);
                d_outputs[class] -= 1.0;
                d_outputs
            }
            (Self::Value { mean, scale }, Target::Value(value)) => vec![2.0 * (outputs[0] - (value - mean) / scale)],
            _ => panic!("a target of another task"),
        }
    }

    /// What outputs say: the probability of each class, or the value.
    pub(super) fn said(&self, outputs: &[f64]) -> Vec<f64> {
        match self {
            Self::Classes(_) => softmax(outputs),
            Self::Value { mean, scale } => vec![mean + scale * outputs[0]],
        }
    }

    /// How much a sequence of each target counts.
    pub(super) fn weights(&self, targets: &[Target], weights: ClassWeights) -> Vec<f64> {
        let (Self::Classes(labels), ClassWeights::Balanced) = (self, weights) else {
            return vec![1.0; targets.len()];
        };
        let mut counts = vec![0.0; labels.len()];
        targets.iter().for_each(|target| counts[target.stratum()] += 1.0);
        let n = targets.len() as f64;
        targets.iter().map(|target| n / (labels.len() as f64 * counts[target.stratum()])).collect()
    }
}

impl Target {
    /// What parts of a table are to have alike: the class.
    pub(super) fn stratum(self) -> usize {
        match self {
            Self::Class(class) => class,
            Self::Value(_) => 0,
        }
    }
}

fn classes(table: &Table) -> Vec<String> {
    let mut labels: Vec<String> = table.examples.iter().filter_map(|example| example.label.clone()).collect();
    labels.sort_unstable();
    labels.dedup();
    let numbers: Option<Vec<i64>> = labels.iter().map(|label| label.parse().ok()).collect();
    if numbers.is_some() {
        labels.sort_by_key(|label| label.parse::<i64>().unwrap_or_default());
    }
    labels
}

fn value(label: &str) -> Option<f64> {
    label.parse().ok().filter(|value: &f64| value.is_finite())
}

fn log_sum_exp(outputs: &[f64]) -> f64 {
    let largest = outputs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + outputs.iter().map(|x| (x - largest).exp()).sum::<f64>().ln()
}

fn softmax(outputs: &[f64]) -> Vec<f64> {
    let log_sum = log_sum_exp(outputs);
    outputs.iter().map(|x| (x - log_sum).exp()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} {b}");
    }

    #[test]
    fn cross_entropy_by_hand() {
        let task = Task::Classes(vec!["a".into(), "b".into(), "c".into()]);
        let outputs = [0.0, 2.0_f64.ln(), 5.0_f64.ln()];
        close(task.loss(&outputs, Target::Class(1)), 4.0_f64.ln());
        for (found, expected) in task.d_outputs(&outputs, Target::Class(1)).into_iter().zip([0.125, -0.75, 0.625]) {
            close(found, expected);
        }
        close(task.said(&[1000.0, 1000.0, -1000.0])[0], 0.5);
    }

    #[test]
    fn squared_error_by_hand() {
        let task = Task::of_values(&[1.0, 3.0, 5.0, 7.0]);
        assert_eq!(task, Task::Value { mean: 4.0, scale: 5.0_f64.sqrt() });
        let task = Task::Value { mean: 4.0, scale: 2.0 };
        close(task.loss(&[0.5], Target::Value(3.0)), 1.0);
        assert_eq!((task.d_outputs(&[0.5], Target::Value(3.0)), task.said(&[0.5])), (vec![2.0], vec![5.0]));
        assert_eq!(Task::of_values(&[2.0, 2.0]), Task::Value { mean: 2.0, scale: 1.0 });
        assert!(task.target("1e999").is_err() && task.target("x").is_err());
    }

    #[test]
    fn balanced_classes_count_alike() {
        let task = Task::Classes(vec!["a".into(), "b".into()]);
        let targets = [0, 0, 0, 1].map(Target::Class);
        let weights = task.weights(&targets, ClassWeights::Balanced);
        close(weights[..3].iter().sum(), 2.0);
        close(weights[3], 2.0);
        assert_eq!(task.weights(&targets, ClassWeights::Equal), [1.0; 4]);
    }
}
