//! Numbers out of a binary index, which may be damaged: nothing is believed that the bytes do not bear out.

/// Goes on if the condition holds.
pub(crate) fn require(condition: bool) -> Option<()> {
    condition.then_some(())
}

/// Little-endian fields that are left to read; none where the bytes end.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn take(&mut self, n: u64) -> Option<&'a [u8]> {
        let (taken, left) = self.0.split_at_checked(usize::try_from(n).ok()?)?;
        self.0 = left;
        Some(taken)
    }

    pub(crate) fn skip(&mut self, n: u64) -> Option<()> {
        self.take(n).map(drop)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    /// A number of things, which is signed in the format.
    pub(crate) fn count(&mut self) -> Option<u64> {
        let n = self.u32()?;
        (n <= i32::MAX as u32).then_some(n.into())
    }
}
