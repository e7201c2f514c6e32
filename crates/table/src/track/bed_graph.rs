//! Text: a line for each run of equal values.

use std::mem;

use super::decimal;
use crate::error::TableError;
use crate::text_file::TextFile;

#[derive(Debug)]
pub(super) struct BedGraph {
    out: TextFile,
    contig: String,
    run: Option<Run>,
    /// The value at hand, as text.
    text: String,
    line: String,
}

/// Bases of one value, which is kept as given and as text.
#[derive(Debug)]
struct Run {
    start: u64,
    end: u64,
    value: f32,
    text: String,
}

impl BedGraph {
    pub(super) fn new(out: TextFile) -> Self {
        Self { out, contig: String::new(), run: None, text: String::new(), line: String::new() }
    }

    pub(super) fn begin_contig(&mut self, name: &str) -> Result<(), TableError> {
        self.end_run()?;
        self.contig = name.to_string();
        Ok(())
    }

    pub(super) fn push(&mut self, start: u64, values: &[f32]) -> Result<(), TableError> {
        for (position, &value) in (start..).zip(values) {
            self.push_value(position, value)?;
        }
        Ok(())
    }

    fn push_value(&mut self, position: u64, value: f32) -> Result<(), TableError> {
        let next = self.run.as_mut().filter(|run| run.end == position);
        if let Some(run) = next {
            let equal = run.value == value || {
                decimal::write(&mut self.text, value);
                run.text == self.text
            };
            if equal {
                run.end += 1;
                return Ok(());
            }
        } else {
            decimal::write(&mut self.text, value);
        }
        self.end_run()?;
        self.run = Some(Run { start: position, end: position + 1, value, text: self.text.clone() });
        Ok(())
    }

    fn end_run(&mut self) -> Result<(), TableError> {
        let Some(run) = self.run.take() else {
            return Ok(());
        };
        let mut line = mem::take(&mut self.line);
        line.clear();
        for field in [&self.contig, &run.start.to_string(), &run.end.to_string()] {
            line.push_str(field);
            line.push('\t');
        }
        line.push_str(&run.text);
        line.push('\n');
        self.line = line;
        self.out.append(self.line.as_bytes())
    }

    /// Returns the size of the file, or the bytes sent to a stream.
    pub(super) fn finish(mut self) -> Result<u64, TableError> {
        self.end_run()?;
        self.out.finish()
    }
}
