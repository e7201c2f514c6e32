//! `--shard i/n`: one part of the work.

use std::error::Error;
use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

/// The share of one of several runs that divide a piece of work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Shard {
    /// Which share, 0-based (1-based on the command line).
    pub index: usize,
    /// How many there are.
    pub count: NonZeroUsize,
}

impl Default for Shard {
    fn default() -> Self {
        Self { index: 0, count: NonZeroUsize::MIN }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.count)
    }
}

impl FromStr for Shard {
    type Err = ParseShardError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (number, count) = text.split_once('/')?;
            let number: NonZeroUsize = number.parse().ok()?;
            let count: NonZeroUsize = count.parse().ok()?;
            (number <= count).then_some(Self { index: number.get() - 1, count })
        };
        parse().ok_or(ParseShardError)
    }
}

/// Text that is not a shard.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ParseShardError;

impl fmt::Display for ParseShardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected i/n with 1 <= i <= n, as in 3/8")
    }
}

impl Error for ParseShardError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_counted_from_one() {
        let shard: Shard = "3/8".parse().unwrap();
        assert_eq!((shard.index, shard.count.get()), (2, 8));
        assert_eq!(shard.to_string(), "3/8");
        for wrong in ["", "3", "0/8", "9/8", "1/0", "-1/8", "1/8/2", "a/b"] {
            assert_eq!(wrong.parse::<Shard>(), Err(ParseShardError), "{wrong}");
        }
    }
}
