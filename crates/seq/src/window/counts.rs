/// What a source of windows gave and what it left out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct WindowCounts {
    /// Windows given.
    pub produced: u64,
    /// Bases in them, padding excluded; bases in two overlapping windows count twice.
    pub bases: u64,
    /// Bases in them that are none of A, C, G, T, padding excluded.
    pub ambiguous_bases: u64,
    /// Windows given that end in padding.
    pub padded: u64,
    /// Windows given that are shorter than the size ([`Partial::Keep`]).
    ///
    /// [`Partial::Keep`]: super::Partial::Keep
    pub kept_partial: u64,
    /// Windows left out because they are shorter than the size ([`Partial::Drop`]); each counts in one shard.
    ///
    /// [`Partial::Drop`]: super::Partial::Drop
    pub dropped_partial: u64,
    /// Windows left out because too many of their bases are none of A, C, G, T.
    pub dropped_ambiguous: u64,
}

impl WindowCounts {
    pub(super) fn add(&mut self, window: &super::Window, is_partial: bool) {
        self.produced += 1;
        self.kept_partial += u64::from(is_partial && window.n_padded == 0);
        self.bases += window.bases.len() as u64 - window.n_padded;
        self.ambiguous_bases += window.n_ambiguous;
        self.padded += u64::from(window.n_padded > 0);
    }
}
