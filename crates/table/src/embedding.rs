//! The table of `embed`: one row for each pooled vector.

mod flaws;
mod rows;
mod writer;

use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema};

pub use flaws::Flaws;
pub use rows::{EmbeddingRow, EmbeddingRows, Strand};
pub use writer::EmbeddingWriter;

/// Bytes of vectors that a row group aims at.
const GROUP_BYTES: usize = 64 << 20;
/// Most rows of a row group, unless asked for: what a killed run may have to compute again.
const GROUP_ROWS: usize = 2_048;
/// Bytes of vectors handed to the encoder at once.
pub(crate) const SLICE_BYTES: usize = 1 << 20;

/// The width of a number in the vectors.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Precision {
    /// 32 bits.
    F32,
    /// 16 bits, IEEE 754 half precision.
    F16,
}

impl Precision {
    /// Bytes of a number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::F32 => DataType::Float32,
            Self::F16 => DataType::Float16,
        }
    }
}

/// Which columns the table has, and how wide its vectors are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EmbeddingLayout {
    /// Numbers in a vector.
    pub width: NonZeroUsize,
    /// Bits of a number.
    pub precision: Precision,
    /// Whether there is a column `n_soft_masked`.
    pub soft_masked: bool,
    /// Whether there is a column `bin`.
    pub binned: bool,
}

impl EmbeddingLayout {
    /// Rows of a row group unless asked for otherwise: 64 MiB of vectors, at most 2,048 rows: a group is what a killed run
    /// may have to compute again.
    pub fn rows_per_group(&self) -> NonZeroUsize {
        let rows = GROUP_BYTES / self.row_bytes();
        NonZeroUsize::new(rows.min(GROUP_ROWS)).unwrap_or(NonZeroUsize::MIN)
    }

    /// Bytes of the vectors in a row group of this many rows.
    pub fn group_bytes(&self, rows_per_group: NonZeroUsize) -> u64 {
        (rows_per_group.get() as u64).saturating_mul(self.row_bytes() as u64)
    }

    fn row_bytes(&self) -> usize {
        self.width.get() * self.precision.bytes()
    }

    fn rows_per_slice(&self) -> usize {
        (SLICE_BYTES / self.row_bytes()).max(1)
    }

    fn element(&self) -> FieldRef {
        Arc::new(Field::new("element", self.precision.data_type(), false))
    }

    fn list_width(&self) -> i32 {
        i32::try_from(self.width.get()).expect("a vector has fewer than 2^31 numbers")
    }

    fn schema(&self) -> Schema {
        let text = |name| Field::new(name, DataType::Utf8, false);
        let count = |name| Field::new(name, DataType::Int64, false);
        let mut fields =
            vec![text("name"), text("contig"), count("start"), count("end"), text("strand"), text("layer")];
        if self.binned {
            fields.push(count("bin"));
        }
        fields.extend([count("n_bases"), count("n_ambiguous")]);
        if self.soft_masked {
            fields.push(count("n_soft_masked"));
        }
        let vector = DataType::FixedSizeList(self.element(), self.list_width());
        fields.push(Field::new("embedding", vector, false));
        Schema::new(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_groups_hold_64_mib_or_2048_rows() {
        let layout = |width| EmbeddingLayout {
            width: NonZeroUsize::new(width).unwrap(),
            precision: Precision::F32,
            soft_masked: false,
            binned: false,
        };
        assert_eq!(layout(256).rows_per_group().get(), 2_048);
        assert_eq!(layout(16_384).rows_per_group().get(), 1_024);
        assert_eq!(layout(1 << 30).rows_per_group().get(), 1);
    }
}
