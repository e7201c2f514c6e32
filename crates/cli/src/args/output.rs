//! `-o/--output`, `--resume` and `--force`: where a table goes.

use std::path::PathBuf;

use longstrand_table::{Destination, Existing};

/// Where a table goes, and what to do if it is there already.
#[derive(Clone, Debug, clap::Args)]
pub struct OutputOptions {
    /// Where to write: a file named *.parquet, or else a folder of parts
    #[arg(short, long, value_name = "PATH")]
    pub output: PathBuf,
    /// Go on behind what an earlier run of the same command has left; begin if there is nothing
    #[arg(long, conflicts_with = "force")]
    pub resume: bool,
    /// Replace an output that exists
    #[arg(long)]
    pub force: bool,
}

impl OutputOptions {
    /// The file or folder.
    pub fn destination(&self) -> Destination {
        Destination::from_path(&self.output)
    }

    /// What to do about an output that exists.
    pub fn existing(&self) -> Existing {
        match (self.resume, self.force) {
            (true, _) => Existing::Resume,
            (false, true) => Existing::Replace,
            (false, false) => Existing::Refuse,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        output: OutputOptions,
    }

    fn existing(flags: &[&str]) -> Option<Existing> {
        let line = ["test", "-o", "out.parquet"].iter().chain(flags);
        Line::try_parse_from(line).ok().map(|line| line.output.existing())
    }

    #[test]
    fn resuming_and_replacing_exclude_each_other() {
        assert_eq!(existing(&[]), Some(Existing::Refuse));
        assert_eq!(existing(&["--resume"]), Some(Existing::Resume));
        assert_eq!(existing(&["--force"]), Some(Existing::Replace));
        assert_eq!(existing(&["--resume", "--force"]), None);
    }
}
