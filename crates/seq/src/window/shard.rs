use std::{error, fmt, str::FromStr};

/// One of several equal parts of a run.
///
/// With S bases in the whole run, the window whose first base has s bases of windows before it belongs to shard
/// ⌊s·n/S⌋ of n. Shards are therefore contiguous runs of windows, balanced by bases to within one window, and one after
/// another they are the whole run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Shard {
    index: u64,
    count: u64,
}

impl Shard {
    /// The whole run as its only shard.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Shard `index` (0-based) of `count`; none when `index` is not below `count`.
    pub fn new(index: u64, count: u64) -> Option<Self> {
        (index < count).then_some(Self { index, count })
    }

    /// Which shard it is; 0-based.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How many shards there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The shard (0-based) that holds base `offset` of `total`; the end itself counts to the last shard.
    pub fn of(&self, offset: u64, total: u64) -> u64 {
        if offset >= total {
            return self.count - 1;
        }
        let shard = u128::from(offset) * u128::from(self.count) / u128::from(total);
        shard as u64
    }

    /// How many of `total` things, counted from 0, belong to the shard where each is told by [`Self::of`].
    pub fn size(&self, total: u64) -> u64 {
        self.first_offset(self.index + 1, total) - self.first_offset(self.index, total)
    }

    /// The first base offset of shard `index`: the smallest s with ⌊s·n/S⌋ ≥ `index`.
    pub(super) fn first_offset(&self, index: u64, total: u64) -> u64 {
        let offset = (u128::from(index) * u128::from(total)).div_ceil(u128::from(self.count));
        offset as u64
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.count)
    }
}

/// A text that is no shard.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParseShardError(String);

impl fmt::Display for ParseShardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a shard i/n with 1 <= i <= n, such as 2/8, found {:?}", self.0)
    }
}

impl error::Error for ParseShardError {}

impl FromStr for Shard {
    type Err = ParseShardError;

    /// Parses `i/n`, where i is 1-based.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || -> Option<Self> {
            let (i, n) = text.split_once('/')?;
            let index = i.parse::<u64>().ok()?.checked_sub(1)?;
            Self::new(index, n.parse().ok()?)
        };
        parse().ok_or_else(|| ParseShardError(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_and_print() {
        let shard: Shard = "2/8".parse().unwrap();
        assert_eq!((shard.index(), shard.count()), (1, 8));
        assert_eq!(shard.to_string(), "2/8");
        for bad in ["0/8", "9/8", "8", "a/b", "1/0", "1/", "-1/2", ""] {
            let error = bad.parse::<Shard>().unwrap_err();
            assert!(error.to_string().contains("found"), "{bad}");
        }
    }

    #[test]
    fn shards_have_all_things_between_them() {
        for (count, all) in [(1, 7), (3, 7), (8, 5), (4, 0), (5, 100)] {
            let each = |index| Shard::new(index, count).unwrap().size(all);
            assert_eq!((0..count).map(each).sum::<u64>(), all);
            for index in 0..count {
                let shard = Shard::new(index, count).unwrap();
                assert_eq!((0..all).filter(|&record| shard.of(record, all) == index).count() as u64, each(index));
            }
        }
    }

    #[test]
    fn first_offset_is_where_the_shard_begins() {
        for total in [1, 2, 7, 100, u64::MAX] {
            for count in [1, 2, 3, 8, 13] {
                let shard = Shard::new(0, count).unwrap();
                for index in 1..count {
                    let first = shard.first_offset(index, total);
                    assert!(shard.of(first, total) >= index);
                    assert!(first > 0 && shard.of(first - 1, total) < index);
                }
            }
        }
    }
}
