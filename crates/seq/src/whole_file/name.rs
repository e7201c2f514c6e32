//! Temporary names: `.NAME.PROCESS-RANDOM.tmp`, PROCESS being its number and something that it alone has.

use std::{
    ffi::{OsStr, OsString},
    hash::{BuildHasher, Hasher, RandomState},
    process,
    sync::LazyLock,
};

/// How temporary names end.
pub(super) const SUFFIX: &str = ".tmp";

/// What stands for this process. Its number alone does not: containers that share a folder may each have a process 1.
static PROCESS: LazyLock<String> = LazyLock::new(|| {
    let chance = RandomState::new().build_hasher().finish() as u32;
    format!("{}-{chance:08x}", process::id())
});

/// How the temporary names of a file begin that this process writes.
pub(super) fn prefix(target: &OsStr) -> OsString {
    let mut name = OsString::from(".");
    name.push(target);
    name.push(format!(".{}-", *PROCESS));
    name
}

/// A temporary name, taken apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Temporary<'a> {
    /// The name that the file is to have.
    pub(super) target: &'a [u8],
    process: &'a [u8],
}

impl<'a> Temporary<'a> {
    pub(super) fn parse(name: &'a [u8]) -> Option<Self> {
        let inside = name.strip_prefix(b".")?.strip_suffix(SUFFIX.as_bytes())?;
        let dot = inside.iter().rposition(|&b| b == b'.')?;
        let (target, rest) = (&inside[..dot], &inside[dot + 1..]);
        let dash = rest.iter().rposition(|&b| b == b'-')?;
        let (process, random) = (&rest[..dash], &rest[dash + 1..]);
        let mut parts = process.split(|&b| b == b'-');
        let (number, chance) = (parts.next()?, parts.next()?);
        let is_ours = number.iter().all(u8::is_ascii_digit)
            && chance.len() == 8
            && chance.iter().all(u8::is_ascii_hexdigit)
            && parts.next().is_none()
            && random.iter().all(u8::is_ascii_alphanumeric);
        is_ours.then_some(Self { target, process })
    }

    /// Whether this process has given it.
    pub(super) fn is_own(&self) -> bool {
        self.process == PROCESS.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_others() {
        let mut own = prefix(OsStr::new("calls.vcf.gz"));
        own.push("aZ19xy.tmp");
        let parsed = Temporary::parse(own.as_encoded_bytes()).unwrap();
        assert!(parsed.is_own());
        assert_eq!(parsed.target, b"calls.vcf.gz");
        let other = Temporary::parse(b".calls.1-0123abcd-aZ19xy.tmp").unwrap();
        assert_eq!((other.target, other.is_own()), (&b"calls"[..], false));
        for name in [".tmp", ".a.tmp", ".a.1-0123abcd-aZ19xy", "a.1-0123abcd-aZ19xy.tmp", ".a.1-0123abc-aZ19xy.tmp"] {
            assert_eq!(Temporary::parse(name.as_bytes()), None, "{name}");
        }
    }
}
