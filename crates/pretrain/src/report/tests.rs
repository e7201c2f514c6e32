use std::{fs, path::Path};

use super::*;
use crate::{
    config::{Flag, resolve},
    train::MetricsLine,
};

/// The metrics of a run of preset `tiny` on the yeast genome.
const SAMPLE: &str = include_str!("sample/metrics.jsonl");

/// A run's folder with these settings and metrics.
fn folder(name: &str, steps: u64, metrics: Option<&str>) -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix(name).tempdir().unwrap();
    let flags = [Flag::new("run.steps", steps as i64), Flag::new("data.genomes", vec!["a<b>&\"c\".fa".to_owned()])];
    let settings = resolve(Some("tiny"), None, &flags).unwrap();
    fs::write(folder.path().join("config.toml"), settings.to_toml().unwrap()).unwrap();
    if let Some(metrics) = metrics {
        fs::write(folder.path().join("metrics.jsonl"), metrics).unwrap();
    }
    folder
}

fn written(folder: &Path) -> (String, String) {
    assert_eq!(write(folder).unwrap(), folder.join(REPORT));
    (fs::read_to_string(folder.join(LOSS)).unwrap(), fs::read_to_string(folder.join(REPORT)).unwrap())
}

/// Tags are closed in the order in which they were opened.
fn assert_well_formed(text: &str) {
    let mut open: Vec<&str> = Vec::new();
    for tag in text.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("an end of the tag");
        let name = tag.split([' ', '\n', '/']).find(|name| !name.is_empty()).unwrap();
        let is_empty = tag.ends_with('/') || tag.starts_with('!') || ["meta"].contains(&name);
        match tag.starts_with('/') {
            true => assert_eq!(open.pop(), Some(name), "{tag}"),
            false if is_empty => (),
            false => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

fn steps_of_sample() -> u64 {
    SAMPLE.lines().map(|line| serde_json::from_str::<MetricsLine>(line).unwrap().step()).max().unwrap()
}

#[test]
fn a_real_run_has_its_curves_and_its_numbers() {
    let steps = steps_of_sample();
    let folder = folder("yeast<&>", steps, Some(SAMPLE));
    let (svg, html) = written(folder.path());
    let record = Record::read(folder.path()).unwrap();
    assert!(record.is_finished() && record.step() == steps);
    for text in [&svg, &html] {
        assert_well_formed(text);
        assert!(!text.contains("NaN") && !text.contains("inf") && !text.contains("<script"));
        assert_eq!(text.matches("http").count(), text.matches("http://www.w3.org/2000/svg").count(), "no network");
        assert!(text.contains("prefers-color-scheme:dark"));
    }
    assert!(svg.contains(">nats per target<") && svg.contains(">step<") && svg.contains(">validation<"));
    let shown = record.validations.iter().filter(|metrics| metrics.validation.masked_loss.is_some()).count();
    assert_eq!(svg.matches("<circle").count(), record.validations.len() + shown);
    assert_eq!(html.matches("<svg").count(), 4);
    assert!(html.contains("yeast&lt;&amp;&gt;") && html.contains("a&lt;b&gt;&amp;"), "names are escaped");
    assert!(html.contains(&format!("Finished: step {steps} of {steps}")));
    let best = record.best().unwrap();
    assert!(html.contains(&format!("{:.4} nats at step {}", best.validation.loss.unwrap(), best.step)));
    for metrics in &record.validations {
        assert!(html.contains(&format!("<td>{:.5}</td>", metrics.validation.loss.unwrap())));
    }
    // Written again, it is the same.
    assert_eq!(written(folder.path()), (svg, html));
}

#[test]
fn every_point_lies_on_its_chart() {
    let folder = folder("run", steps_of_sample(), Some(SAMPLE));
    let (svg, _) = written(folder.path());
    let mut points = 0;
    for circle in svg.split("<circle ").skip(1) {
        let number = |key: &str| -> f64 {
            let (_, rest) = circle.split_once(&format!("{key}=\"")).unwrap();
            rest.split_once('"').unwrap().0.parse().unwrap()
        };
        assert!((74.0..=742.0).contains(&number("cx")) && (52.0..=294.0).contains(&number("cy")), "{circle}");
        points += 1;
    }
    assert!(points > 0);
}

#[test]
fn a_run_can_be_looked_at_at_any_time() {
    let begun = folder("run", 1_000, None);
    let (svg, html) = written(begun.path());
    assert!(svg.contains("no step yet") && html.contains("Unfinished: step 0 of 1,000"));
    assert_well_formed(&html);
    for lines in 1..12 {
        let some: String = SAMPLE.split_inclusive('\n').take(lines).chain(["{\"step\":9"]).collect();
        let going_on = folder("run", 1_000, Some(&some));
        let (svg, html) = written(going_on.path());
        assert_well_formed(&svg);
        assert_well_formed(&html);
        assert!(html.contains("Unfinished") && !html.contains("NaN"));
    }
}

#[test]
fn what_a_run_began_with_is_shown() {
    let folder = folder("run", 1_000, None);
    let facts = serde_json::json!({
        "version": "9.8.7",
        "parameters": 123_456,
        "inputs": [{ "path": "x<y>.fa", "sha256": "abcd" }],
        "data": {
            "contigs": 16,
            "bases": 12_071_326,
            "splits": { "train": 11_000_000, "valid": 500_000 },
            "training_windows": [{ "length": 1024, "windows": 10_000, "skipped_contigs": 2 }],
        },
    });
    fs::write(folder.path().join("run.json"), facts.to_string()).unwrap();
    let (_, html) = written(folder.path());
    for text in ["longstrand 9.8.7", "123,456", "x&lt;y&gt;.fa", "SHA-256 abcd", "12,071,326 bases of 16 contigs"] {
        assert!(html.contains(text), "{text}");
    }
    assert!(html.contains("<th>Split train</th><td>11,000,000</td>"));
    assert!(html.contains("Windows of 1,024") && html.contains("10,000; skipped: 2 contigs"));
}

#[test]
fn losses_that_are_none_are_left_out() {
    let line = |step: u64, loss: &str| {
        let rest = "\"rate\":1e-3,\"grad_norm\":1.0,\"length\":8,\"tokens\":64,\"seconds\":0.0";
        format!("{{\"step\":{step},\"loss\":{loss},\"accuracy\":null,{rest}}}\n")
    };
    let folder = folder("run", 3, Some(&(line(1, "null") + &line(2, "1.5") + &line(3, "null"))));
    let (svg, html) = written(folder.path());
    assert!(!svg.contains("NaN") && !html.contains("NaN") && !html.contains("inf"));
    assert!(html.contains("1.5000 nats at step 2"));
}

#[test]
fn what_is_no_run_is_named() {
    let empty = tempfile::tempdir().unwrap();
    let message = write(empty.path()).unwrap_err().to_string();
    assert!(message.starts_with("cannot read ") && message.ends_with("config.toml"), "{message}");
    let wrong = folder("run", 10, Some("{\"step\": \"one\"}\n"));
    let message = write(wrong.path()).unwrap_err().to_string();
    assert!(message.contains("metrics.jsonl, line 1"), "{message}");
}
