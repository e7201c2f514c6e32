//! What a pass gives, kept for the thread that asked.

use std::ops::ControlFlow;

use longstrand_kernels::Rows;

use crate::cuda::Piece;
use crate::output::{Observer, Tap};

/// A copy of a [`Piece`].
#[derive(Debug)]
pub(super) enum Kept {
    Hidden { tap: Tap, start: u64, values: Values },
    Logits { start: u64, values: Values },
    Advanced(u64),
}

/// Rows that follow each other directly.
#[derive(Debug)]
pub(super) struct Values {
    values: Vec<f32>,
    width: usize,
}

impl Values {
    fn of(rows: Rows<'_, f32>) -> Self {
        let mut values = Vec::with_capacity(rows.len() * rows.width());
        (0..rows.len()).for_each(|t| values.extend_from_slice(rows.row(t)));
        Self { values, width: rows.width() }
    }

    fn rows(&self) -> Rows<'_, f32> {
        Rows::new(&self.values, self.width)
    }
}

impl Kept {
    pub(super) fn of(piece: Piece<'_>) -> Self {
        match piece {
            Piece::Hidden { tap, start, rows } => Self::Hidden { tap, start, values: Values::of(rows) },
            Piece::Logits { start, rows } => Self::Logits { start, values: Values::of(rows) },
            Piece::Advanced(work) => Self::Advanced(work),
        }
    }

    pub(super) fn view(&self) -> Piece<'_> {
        match self {
            Self::Hidden { tap, start, values } => Piece::Hidden { tap: *tap, start: *start, rows: values.rows() },
            Self::Logits { start, values } => Piece::Logits { start: *start, rows: values.rows() },
            Self::Advanced(work) => Piece::Advanced(*work),
        }
    }
}

/// Tells an observer of a piece.
pub(super) fn hand_over(piece: Piece<'_>, observer: &mut dyn Observer<f32>) -> ControlFlow<()> {
    match piece {
        Piece::Hidden { tap, start, rows } => observer.hidden(tap, start, rows),
        Piece::Logits { start, rows } => observer.logits(start, rows),
        Piece::Advanced(work) => return observer.advanced(work),
    }
    ControlFlow::Continue(())
}
