//! Rows on their way to the writer, a column at a time.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, FixedSizeListArray, Float16Array, Float32Array, Int64Array, RecordBatch};
use half::f16;

use super::{EmbeddingLayout, Flaws, Precision};

/// The strand that a row's bases are read from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Strand {
    /// The strand that the reference spells, `+`.
    Forward,
    /// Its reverse complement, `-`.
    Reverse,
}

impl Strand {
    fn symbol(self) -> &'static str {
        match self {
            Self::Forward => "+",
            Self::Reverse => "-",
        }
    }
}

/// One row. Its fields are the columns.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddingRow<'a> {
    /// Name of the window: that of the BED row or the read, or `contig:start-end`.
    pub name: &'a str,
    /// Contig that the window lies on.
    pub contig: &'a str,
    /// First base that the vector stands for, 0-based.
    pub start: u64,
    /// End of those bases, 0-based, half-open.
    pub end: u64,
    /// Strand that the bases are read from.
    pub strand: Strand,
    /// Layer that the vector is taken from: `last`, or the number of a block.
    pub layer: &'a str,
    /// Which part of the window the vector stands for, 0-based, in the window's own orientation; used if the layout has the
    /// column.
    pub bin: u64,
    /// Bases that the vector stands for.
    pub n_bases: u64,
    /// How many of them are not A, C, G or T.
    pub n_ambiguous: u64,
    /// How many of them are soft-masked (lower case); used if the layout has the column.
    pub n_soft_masked: u64,
    /// The vector, `[width]`.
    pub embedding: &'a [f32],
}

/// Rows that go to the writer together.
#[derive(Debug)]
pub struct EmbeddingRows {
    layout: EmbeddingLayout,
    name: StringBuilder,
    contig: StringBuilder,
    start: Vec<i64>,
    end: Vec<i64>,
    strand: StringBuilder,
    layer: StringBuilder,
    bin: Vec<i64>,
    n_bases: Vec<i64>,
    n_ambiguous: Vec<i64>,
    n_soft_masked: Vec<i64>,
    vectors: Vectors,
    flaws: Flaws,
}

/// `[rows, width]` at the table's precision.
#[derive(Debug)]
enum Vectors {
    F32(Vec<f32>),
    F16(Vec<f16>),
}

impl EmbeddingRows {
    /// No rows yet.
    pub fn new(layout: EmbeddingLayout) -> Self {
        Self {
            layout,
            name: StringBuilder::new(),
            contig: StringBuilder::new(),
            start: Vec::new(),
            end: Vec::new(),
            strand: StringBuilder::new(),
            layer: StringBuilder::new(),
            bin: Vec::new(),
            n_bases: Vec::new(),
            n_ambiguous: Vec::new(),
            n_soft_masked: Vec::new(),
            vectors: match layout.precision {
                Precision::F32 => Vectors::F32(Vec::new()),
                Precision::F16 => Vectors::F16(Vec::new()),
            },
            flaws: Flaws::default(),
        }
    }

    /// Adds a row.
    ///
    /// # Panics
    ///
    /// If the vector is not as wide as the layout says, or a coordinate does not fit 63 bits.
    pub fn push(&mut self, row: &EmbeddingRow<'_>) {
        assert_eq!(row.embedding.len(), self.layout.width.get(), "width of an embedding");
        self.name.append_value(row.name);
        self.contig.append_value(row.contig);
        self.start.push(signed(row.start));
        self.end.push(signed(row.end));
        self.strand.append_value(row.strand.symbol());
        self.layer.append_value(row.layer);
        self.bin.push(signed(row.bin));
        self.n_bases.push(signed(row.n_bases));
        self.n_ambiguous.push(signed(row.n_ambiguous));
        self.n_soft_masked.push(signed(row.n_soft_masked));
        self.flaws.check(row);
        match &mut self.vectors {
            Vectors::F32(values) => values.extend_from_slice(row.embedding),
            Vectors::F16(values) => {
                let from = values.len();
                values.extend(row.embedding.iter().map(|&value| f16::from_f32(value)));
                self.flaws.f16_overflows += overflows(row.embedding, &values[from..]);
            }
        }
    }

    /// Adds rows that come later.
    ///
    /// # Panics
    ///
    /// If they are of another layout.
    pub fn append(&mut self, mut later: Self) {
        assert_eq!(self.layout, later.layout, "layouts of the rows");
        let texts = [
            (&mut self.name, &mut later.name),
            (&mut self.contig, &mut later.contig),
            (&mut self.strand, &mut later.strand),
            (&mut self.layer, &mut later.layer),
        ];
        for (texts, later) in texts {
            texts.append_array(&later.finish()).expect("a column's texts have less than 2 GiB");
        }
        let numbers = [
            (&mut self.start, later.start),
            (&mut self.end, later.end),
            (&mut self.bin, later.bin),
            (&mut self.n_bases, later.n_bases),
            (&mut self.n_ambiguous, later.n_ambiguous),
            (&mut self.n_soft_masked, later.n_soft_masked),
        ];
        numbers.into_iter().for_each(|(numbers, later)| numbers.extend(later));
        match (&mut self.vectors, later.vectors) {
            (Vectors::F32(values), Vectors::F32(later)) => values.extend(later),
            (Vectors::F16(values), Vectors::F16(later)) => values.extend(later),
            _ => unreachable!("rows of one layout have one precision"),
        }
        self.flaws.append(&later.flaws);
    }

    /// Bytes of the vectors.
    pub fn bytes(&self) -> usize {
        self.len() * self.layout.width.get() * self.layout.precision.bytes()
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.start.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.start.is_empty()
    }

    /// What is wrong with the vectors.
    pub fn flaws(&self) -> &Flaws {
        &self.flaws
    }

    pub(super) fn into_batch(mut self) -> RecordBatch {
        let count = |values: Vec<i64>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.name.finish()),
            Arc::new(self.contig.finish()),
            count(self.start),
            count(self.end),
            Arc::new(self.strand.finish()),
            Arc::new(self.layer.finish()),
        ];
        if self.layout.binned {
            columns.push(count(self.bin));
        }
        columns.extend([count(self.n_bases), count(self.n_ambiguous)]);
        if self.layout.soft_masked {
            columns.push(count(self.n_soft_masked));
        }
        columns.push(self.vectors.into_lists(&self.layout));
        RecordBatch::try_new(Arc::new(self.layout.schema()), columns).expect("columns follow the layout's schema")
    }
}

impl Vectors {
    fn into_lists(self, layout: &EmbeddingLayout) -> ArrayRef {
        let values: ArrayRef = match self {
            Self::F32(values) => Arc::new(Float32Array::from(values)),
            Self::F16(values) => Arc::new(Float16Array::from(values)),
        };
        Arc::new(FixedSizeListArray::new(layout.element(), layout.list_width(), values, None))
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).expect("coordinates and counts of bases fit 63 bits")
}

fn overflows(wide: &[f32], narrow: &[f16]) -> u64 {
    wide.iter().zip(narrow).filter(|(wide, narrow)| wide.is_finite() && narrow.is_infinite()).count() as u64
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    #[test]
    fn appended_rows_are_those_of_both() {
        let layout = EmbeddingLayout {
            width: NonZeroUsize::new(2).unwrap(),
            precision: Precision::F16,
            binned: true,
            soft_masked: true,
        };
        let rows = |from: u64, to: u64| {
            let mut rows = EmbeddingRows::new(layout);
            for i in from..to {
                rows.push(&EmbeddingRow {
                    name: &format!("window {i}"),
                    contig: if i < 3 { "1" } else { "2" },
                    start: i,
                    end: i + 10,
                    strand: if i % 2 == 0 { Strand::Forward } else { Strand::Reverse },
                    layer: "last",
                    bin: i % 3,
                    n_bases: 10,
                    n_ambiguous: i,
                    n_soft_masked: i + 1,
                    embedding: &[i as f32, if i == 4 { 1e6 } else { f32::NAN }],
                });
            }
            rows
        };
        let mut both = rows(0, 2);
        both.append(rows(2, 2));
        both.append(rows(2, 7));
        assert_eq!((both.len(), both.bytes()), (7, 28));
        let all = rows(0, 7);
        assert_eq!(both.flaws(), all.flaws());
        let (both, all) = (both.into_batch(), all.into_batch());
        assert_eq!(format!("{both:?}"), format!("{all:?}"));
    }

    #[test]
    fn a_finite_number_beyond_f16_is_counted() {
        let wide = [65_504.0, 70_000.0, f32::INFINITY, f32::NAN];
        let narrow = wide.map(f16::from_f32);
        assert_eq!(overflows(&wide, &narrow), 1);
    }
}
