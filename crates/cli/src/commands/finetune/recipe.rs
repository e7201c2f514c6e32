//! `finetune.json`: how a tuned model is applied.

use std::fs;
use std::path::Path;

use anyhow::{Context, anyhow};
use longstrand_pretrain::finetune::{Recipe, Strands, Task};
use serde_json::{Map, Value, json};

/// The file in the model's folder.
pub(super) const FILE: &str = "finetune.json";

/// What is written of a recipe.
pub(super) fn to_json(recipe: &Recipe) -> Map<String, Value> {
    let mut object = task(&recipe.task);
    object.insert("max_length".into(), recipe.longest.into());
    object.insert("strands".into(), strands(recipe.strands).into());
    object
}

fn task(task: &Task) -> Map<String, Value> {
    let value = match task {
        Task::Classes(labels) => json!({ "task": "classification", "labels": labels }),
        Task::Value { mean, scale } => json!({ "task": "regression", "mean": mean, "scale": scale }),
    };
    value.as_object().cloned().unwrap_or_default()
}

fn strands(strands: Strands) -> &'static str {
    match strands {
        Strands::Both => "both",
        Strands::Forward => "forward",
    }
}

/// Reads what stands in a tuned model's folder.
///
/// # Errors
///
/// The file is missing or not as it is written.
pub(super) fn read(model: &Path) -> anyhow::Result<Recipe> {
    let path = model.join(FILE);
    let text = fs::read(&path).with_context(|| {
        format!("cannot read {}, which `longstrand finetune` writes beside a model", path.display())
    })?;
    let value: Value = serde_json::from_slice(&text).with_context(|| format!("{}: not JSON", path.display()))?;
    parse(&value).map_err(|key| anyhow!("{}: key {key:?} is missing or not as it is written", path.display()))
}

fn parse(value: &Value) -> Result<Recipe, &'static str> {
    let number = |key: &'static str| value[key].as_f64().filter(|x| x.is_finite()).ok_or(key);
    let task = match value["task"].as_str() {
        Some("classification") => {
            let labels = value["labels"].as_array().filter(|labels| labels.len() > 1).ok_or("labels")?;
            let text = |label: &Value| label.as_str().map(str::to_owned).ok_or("labels");
            Task::Classes(labels.iter().map(text).collect::<Result<_, _>>()?)
        }
        Some("regression") => Task::Value { mean: number("mean")?, scale: number("scale")? },
        _ => return Err("task"),
    };
    let longest = value["max_length"].as_u64().and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
    let strands = match value["strands"].as_str() {
        Some("both") => Strands::Both,
        Some("forward") => Strands::Forward,
        _ => return Err("strands"),
    };
    Ok(Recipe { task, longest: longest.ok_or("max_length")?, strands })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_are_read_back() {
        for task in [Task::Classes(vec!["a".into(), "b".into()]), Task::Value { mean: -1.5, scale: 0.1 + 0.2 }] {
            let recipe = Recipe { task, longest: 1000, strands: Strands::Forward };
            let text = Value::from(to_json(&recipe)).to_string();
            assert_eq!(parse(&serde_json::from_str(&text).unwrap()), Ok(recipe));
        }
        for (text, key) in [
            (r#"{}"#, "task"),
            (r#"{"task": "classification", "labels": ["a"]}"#, "labels"),
            (r#"{"task": "regression", "mean": 0}"#, "scale"),
            (r#"{"task": "regression", "mean": 0, "scale": 1, "strands": "both", "max_length": 0}"#, "max_length"),
        ] {
            assert_eq!(parse(&serde_json::from_str(text).unwrap()), Err(key));
        }
    }
}
