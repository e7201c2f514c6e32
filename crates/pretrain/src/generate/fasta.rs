//! Records of FASTA.

use std::io::Write;

use super::{GenerateError, Generation};

/// Bases of a line.
const LINE: usize = 60;

/// A record that is being written.
pub(super) struct Record<'a> {
    out: &'a mut (dyn Write + Send + 'a),
    /// Bases that wait for a whole line.
    line: Vec<u8>,
}

impl<'a> Record<'a> {
    /// Writes the header: the name with the sample's number, from 1 on, and what the sample was drawn with.
    pub(super) fn begin(
        out: &'a mut (dyn Write + Send + 'a),
        name: &str,
        sample: u64,
        options: &Generation,
    ) -> Result<Self, GenerateError> {
        let header =
            format!(">{name}_{} length={} seed={} {}\n", sample + 1, options.length, options.seed, options.choice);
        out.write_all(header.as_bytes()).map_err(GenerateError::Write)?;
        Ok(Self { out, line: Vec::with_capacity(LINE + 1) })
    }

    pub(super) fn extend(&mut self, bases: &[u8]) -> Result<(), GenerateError> {
        for &base in bases {
            self.line.push(base);
            if self.line.len() == LINE {
                self.flush()?;
            }
        }
        Ok(())
    }

    pub(super) fn end(mut self) -> Result<(), GenerateError> {
        if self.line.is_empty() { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), GenerateError> {
        self.line.push(b'\n');
        self.out.write_all(&self.line).map_err(GenerateError::Write)?;
        self.line.clear();
        Ok(())
    }
}
