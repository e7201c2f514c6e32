//! The report as one HTML file.

use std::fmt::Write;

use serde_json::Value;

use super::{
    Record,
    chart::{coloured, style},
    series::{smoothed, span},
    text::{decimals, duration, escaped, grouped},
};

/// What the page looks like but for its colours.
const FORM: &str = "\
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:780px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}p{margin:.3rem 0}
svg{max-width:100%;height:auto;display:block;margin:.6rem 0}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top;font-weight:400}td{overflow-wrap:anywhere}
tr+tr>*{border-top:1px solid}.numbers th,.numbers td{text-align:right}
pre{border:1px solid;padding:.8rem;overflow-x:auto;font-size:13px}
";

/// Its colours.
const COLOURS: &str = "\
body{background:$paper;color:$ink}.faint,th{color:$faint}tr+tr>*,pre{border-color:$grid}
";

impl Record {
    /// The report: one file that needs nothing else.
    pub fn html(&self) -> String {
        let name = self.folder.canonicalize().unwrap_or_else(|_| self.folder.clone());
        let name = name.file_name().map_or_else(|| "run".into(), |name| name.to_string_lossy().into_owned());
        let mut html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
             <title>{name}: pretraining</title>\n<style>\n{}{FORM}{}</style>\n</head>\n<body>\n\
             <h1>{name}</h1>\n<p class=\"faint\">{}</p>\n",
            style(),
            coloured(COLOURS),
            self.state(),
            name = escaped(&name)
        );
        table(&mut html, "Summary", &self.summary());
        html.push_str("<h2>Curves</h2>\n");
        html.push_str(&self.loss().part());
        self.others().iter().for_each(|chart| html.push_str(&chart.part()));
        self.validation_table(&mut html);
        table(&mut html, "Data", &self.data());
        let _ = write!(html, "<h2>Settings</h2>\n<pre>{}</pre>\n", escaped(&self.config));
        html.push_str("</body>\n</html>\n");
        html
    }

    fn state(&self) -> String {
        let (done, all) = (grouped(self.step()), grouped(self.settings.run.steps));
        let state = if self.is_finished() { "Finished" } else { "Unfinished" };
        let version = text_of(&self.facts["version"]).map(|version| format!(", longstrand {version}"));
        escaped(&format!("{state}: step {done} of {all}{}", version.unwrap_or_default()))
    }

    fn summary(&self) -> Vec<(String, String)> {
        let row = |name: &str, value: String| (name.to_owned(), value);
        let parameters = self.facts["parameters"].as_u64();
        let mut rows = Vec::new();
        let preset = self.settings.preset.as_ref().map(|preset| format!(" (preset {preset})")).unwrap_or_default();
        let model = &self.settings.model;
        let family = serde_json::to_value(model.family).ok().as_ref().and_then(text_of).unwrap_or_default();
        rows.push(row("Model", format!("{family}, width {}, {} layers{preset}", model.d_model, model.n_layer)));
        rows.extend(parameters.map(|parameters| row("Parameters", grouped(parameters))));
        let (steps, validations) = self.seconds();
        rows.push(row("Trained on", format!("{} bases", grouped(self.tokens()))));
        if steps > 0.0 {
            let speed = grouped((self.tokens() as f64 / steps).round() as u64);
            let time = format!("{} of steps ({speed} bases/s)", duration(steps));
            rows.push(row("Time", format!("{time}, {} of validations", duration(validations))));
        }
        let losses = self.points(|metrics| metrics.loss);
        if let Some((step, loss)) = smoothed(&losses, span(losses.len())).last() {
            rows.push(row("Training loss", format!("{loss:.4} nats at step {} (smoothed)", grouped(*step as u64))));
        }
        if let Some(best) = self.best() {
            let loss = decimals(best.validation.loss, 4);
            rows.push(row("Best validation", format!("{loss} nats at step {}", grouped(best.step))));
        }
        rows
    }

    fn validation_table(&self, html: &mut String) {
        html.push_str("<h2>Validations</h2>\n");
        if self.validations.is_empty() {
            html.push_str("<p class=\"faint\">none</p>\n");
            return;
        }
        html.push_str(
            "<table class=\"numbers\">\n<tr><th>step</th><th>loss</th><th>perplexity</th><th>accuracy</th>\
             <th>loss at [MASK]</th><th>targets</th></tr>\n",
        );
        for metrics in &self.validations {
            let of = &metrics.validation;
            let cells = [
                grouped(metrics.step),
                decimals(of.loss, 5),
                decimals(of.loss.map(f64::exp), 4),
                decimals(of.accuracy, 4),
                decimals(of.masked_loss, 5),
                grouped(of.targets),
            ];
            let _ = writeln!(html, "<tr><td>{}</td></tr>", cells.join("</td><td>"));
        }
        html.push_str("</table>\n");
    }

    fn data(&self) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        let data = &self.facts["data"];
        let count = |value: &Value| value.as_u64().map(grouped);
        if let Some((bases, contigs)) = count(&data["bases"]).zip(count(&data["contigs"])) {
            rows.push(("Usable".into(), format!("{bases} bases of {contigs} contigs")));
        }
        for (split, size) in data["splits"].as_object().into_iter().flatten() {
            rows.extend(count(size).map(|size| (format!("Split {split}"), size)));
        }
        for pool in data["training_windows"].as_array().into_iter().flatten() {
            let of = |key: &str| count(&pool[key]).unwrap_or_default();
            let skipped = format!(
                "skipped: {} contigs without a window, {} short intervals of {} bases together",
                of("skipped_contigs"),
                of("skipped_intervals"),
                of("skipped_bases")
            );
            rows.push((format!("Windows of {}", of("length")), format!("{}; {skipped}", of("windows"))));
        }
        for input in self.facts["inputs"].as_array().into_iter().flatten() {
            let digest = text_of(&input["sha256"]).map(|digest| format!("SHA-256 {digest}"));
            rows.push((text_of(&input["path"]).unwrap_or_default(), digest.unwrap_or_default()));
        }
        rows
    }
}

fn text_of(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn table(html: &mut String, title: &str, rows: &[(String, String)]) {
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(html, "<h2>{}</h2>\n<table>", escaped(title));
    for (name, value) in rows {
        let _ = writeln!(html, "<tr><th>{}</th><td>{}</td></tr>", escaped(name), escaped(value));
    }
    html.push_str("</table>\n");
}
