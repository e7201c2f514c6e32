//! The keys of a classification head, which are Caduceus' in every dialect that has one.

use serde_json::json;

use super::fields::Fields;
use super::write::{Object, into_object};
use super::{ClassifierPooling, ConfigError, Head};

/// Reads `id2label` or `num_labels`, and `pooling_strategy`.
pub(super) fn parse(fields: &Fields<'_>) -> Result<Head, ConfigError> {
    Ok(Head::SequenceClassification { n_labels: n_labels(fields)?, pooling: pooling(fields)? })
}

fn n_labels(fields: &Fields<'_>) -> Result<usize, ConfigError> {
    match fields.object("id2label")?.entries().count() {
        0 => fields.size_or("num_labels", 2),
        n => Ok(n),
    }
}

fn pooling(fields: &Fields<'_>) -> Result<ClassifierPooling, ConfigError> {
    match fields.text("pooling_strategy")? {
        None | Some("mean") => Ok(ClassifierPooling::Mean),
        Some("max") => Ok(ClassifierPooling::Max),
        Some("last") => Ok(ClassifierPooling::Last),
        Some("first") => Ok(ClassifierPooling::First),
        Some(_) => Err(fields.invalid("pooling_strategy", "\"mean\", \"max\", \"last\" or \"first\"")),
    }
}

/// What [`parse`] reads.
pub(super) fn object(n_labels: usize, pooling: ClassifierPooling) -> Object {
    let label = |i: usize| format!("LABEL_{i}");
    let id2label: Object = (0..n_labels).map(|i| (i.to_string(), label(i).into())).collect();
    let label2id: Object = (0..n_labels).map(|i| (label(i), i.into())).collect();
    let pooling = match pooling {
        ClassifierPooling::Mean => "mean",
        ClassifierPooling::Max => "max",
        ClassifierPooling::Last => "last",
        ClassifierPooling::First => "first",
    };
    into_object(json!({"id2label": id2label, "label2id": label2id, "pooling_strategy": pooling}))
}
