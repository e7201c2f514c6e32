//! Whether what is written to the standard output goes anywhere.

use std::fs;
use std::path::Path;

/// Refuses to write to the standard output where there is none.
///
/// # Errors
///
/// One of the outputs is `-`, and the process was started without a standard output.
pub fn check<'a>(outputs: impl IntoIterator<Item = &'a Path>) -> anyhow::Result<()> {
    if outputs.into_iter().any(|output| output == Path::new("-")) && is_closed() {
        anyhow::bail!("expected an open standard output for -, found a closed one");
    }
    Ok(())
}

/// Whether the process was started without a standard output, as by `>&-`. Known on Linux alone.
///
/// Rust's start-up opens /dev/null for reading and writing in the place of one that is closed. A shell's `> /dev/null` is open
/// for writing alone, and so is told from it; a parent that itself opens /dev/null for both is not.
fn is_closed() -> bool {
    let opens = fs::read_link("/proc/self/fd/1").is_ok_and(|path| path == Path::new("/dev/null"));
    opens && fs::read_to_string("/proc/self/fdinfo/1").is_ok_and(|info| is_read_too(&info))
}

/// Whether the flags of an open file, as the system tells them, are those of one to read and write.
fn is_read_too(info: &str) -> bool {
    const ACCESS: u64 = 0o3;
    const READ_AND_WRITE: u64 = 0o2;
    let flags = info.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
    flags.is_some_and(|flags| flags & ACCESS == READ_AND_WRITE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_is_read_from_the_flags() {
        assert!(is_read_too("pos:\t0\nflags:\t0100002\nmnt_id:\t27\n"));
        assert!(!is_read_too("pos:\t0\nflags:\t0100001\nmnt_id:\t27\n"));
        assert!(!is_read_too(""));
    }
}
