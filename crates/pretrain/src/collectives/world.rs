//! Which rank this process is, and where rank 0 is found.

use std::{env, str::FromStr, time::Duration};

use super::CollectiveError;

/// This process's place among those that train together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct World {
    /// This process, from 0.
    pub rank: usize,
    /// How many processes there are.
    pub size: usize,
    /// How many of them share this process's machine.
    pub local_size: usize,
    /// Which of these it is, from 0.
    pub local_rank: usize,
    /// The name or the address of rank 0's machine.
    pub host: String,
    /// The port that rank 0 listens at.
    pub port: u16,
    /// How long a rank waits for another.
    pub patience: Duration,
}

impl World {
    /// How long a rank waits for another: as long as a validation or a checkpoint may take. A process that ends is
    /// noticed at once; this is for those that hang.
    pub const PATIENCE: Duration = Duration::from_secs(30 * 60);

    /// A single process.
    pub fn alone() -> Self {
        Self { rank: 0, size: 1, local_size: 1, local_rank: 0, host: String::new(), port: 0, patience: Self::PATIENCE }
    }

    /// Reads `RANK`, `WORLD_SIZE`, `MASTER_ADDR` and `MASTER_PORT`, as launchers set them, and `LONGSTRAND_RANK_TIMEOUT`,
    /// seconds. Without the first two this process is alone, and with one rank it needs no others. `LOCAL_WORLD_SIZE` is 1
    /// where it is missing, and
    /// `LOCAL_RANK` then the remainder of the rank.
    ///
    /// Where torchrun's agent listens at `MASTER_PORT` itself (`TORCHELASTIC_USE_AGENT_STORE`), the next port is taken.
    ///
    /// # Errors
    ///
    /// - a variable is missing that another one calls for, or is none of the values that it can have
    pub fn from_environment() -> Result<Self, CollectiveError> {
        Self::read(|name| env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    /// As [`Self::from_environment`], of other variables.
    ///
    /// # Errors
    ///
    /// As [`Self::from_environment`].
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, CollectiveError> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let (rank, size) = (variable("RANK"), variable("WORLD_SIZE"));
        if rank.is_none() && size.is_none() {
            return Ok(Self::alone());
        }
        let size: usize = parse("WORLD_SIZE", size, "the number of ranks, at least 1", |&size| size > 0)?;
        let rank: usize = match (rank, size) {
            (None, 1) => 0,
            (rank, _) => parse("RANK", rank, &format!("a whole number from 0 to {}", size - 1), |&rank| rank < size)?,
        };
        let seconds = variable("LONGSTRAND_RANK_TIMEOUT").map(|value| {
            parse("LONGSTRAND_RANK_TIMEOUT", Some(value), "whole seconds, at least 1", |&seconds: &u64| seconds > 0)
        });
        let patience = seconds.transpose()?.map_or(Self::PATIENCE, Duration::from_secs);
        if size == 1 {
            return Ok(Self { patience, ..Self::alone() });
        }
        let host =
            parse("MASTER_ADDR", variable("MASTER_ADDR"), "the name or the address of rank 0's machine", |_| true)?;
        let port: u16 =
            parse("MASTER_PORT", variable("MASTER_PORT"), "a port that rank 0 can listen at, 1 to 65534", |port| {
                (1..u16::MAX).contains(port)
            })?;
        let local_size = variable("LOCAL_WORLD_SIZE").map(|value| {
            let expected = format!("the number of ranks on this machine, 1 to {size}");
            parse("LOCAL_WORLD_SIZE", Some(value), &expected, |local_size| (1..=size).contains(local_size))
        });
        let local_size = local_size.transpose()?;
        let local_rank = variable("LOCAL_RANK").map(|value| {
            let most = local_size.unwrap_or(size) - 1;
            let expected = format!("a whole number from 0 to {most}");
            parse("LOCAL_RANK", Some(value), &expected, |&local_rank| local_rank <= most)
        });
        let local_size = local_size.unwrap_or(1);
        let local_rank = local_rank.transpose()?.unwrap_or(rank % local_size);
        let is_taken = variable("TORCHELASTIC_USE_AGENT_STORE").is_some_and(|value| value == "True");
        Ok(Self { rank, size, local_size, local_rank, host, port: port + u16::from(is_taken), patience })
    }
}

fn parse<T: FromStr>(
    variable: &'static str,
    found: Option<String>,
    expected: &str,
    will_do: impl Fn(&T) -> bool,
) -> Result<T, CollectiveError> {
    let value = found.as_deref().and_then(|found| found.trim().parse().ok()).filter(will_do);
    value.ok_or_else(|| CollectiveError::Variable { variable, expected: expected.into(), found })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<World, String> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string());
        World::read(find).map_err(|error| error.to_string())
    }

    #[test]
    fn the_environment_of_launchers_is_understood() {
        assert_eq!(read(&[]), Ok(World::alone()));
        assert_eq!(read(&[("MASTER_ADDR", "x"), ("MASTER_PORT", "9")]), Ok(World::alone()));
        assert_eq!(read(&[("RANK", ""), ("WORLD_SIZE", "1")]), Ok(World::alone()));
        let two = [("RANK", "1"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "node7"), ("MASTER_PORT", "29500")];
        let world = World { rank: 1, size: 2, host: "node7".into(), port: 29_500, ..World::alone() };
        assert_eq!(read(&two), Ok(world.clone()));
        let more = [
            ("TORCHELASTIC_USE_AGENT_STORE", "True"),
            ("LONGSTRAND_RANK_TIMEOUT", "5"),
            ("LOCAL_WORLD_SIZE", "2"),
            ("LOCAL_RANK", "1"),
        ];
        let expected = World { port: 29_501, local_size: 2, local_rank: 1, patience: Duration::from_secs(5), ..world };
        assert_eq!(read(&[&two[..], &more].concat()), Ok(expected));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let refused = |variables: &[(&str, &str)], message: &str| assert_eq!(read(variables), Err(message.into()));
        refused(&[("RANK", "0")], "WORLD_SIZE: expected the number of ranks, at least 1, found no such variable");
        refused(&[("WORLD_SIZE", "0")], "WORLD_SIZE: expected the number of ranks, at least 1, found \"0\"");
        refused(&[("WORLD_SIZE", "3")], "RANK: expected a whole number from 0 to 2, found no such variable");
        refused(&[("WORLD_SIZE", "3"), ("RANK", "3")], "RANK: expected a whole number from 0 to 2, found \"3\"");
        let here = [("WORLD_SIZE", "3"), ("RANK", "2"), ("MASTER_ADDR", "::1")];
        let expected = "MASTER_PORT: expected a port that rank 0 can listen at, 1 to 65534, found";
        refused(&here, &format!("{expected} no such variable"));
        refused(&[&here[..], &[("MASTER_PORT", "70000")]].concat(), &format!("{expected} \"70000\""));
        refused(
            &[&here[..], &[("MASTER_PORT", "29500"), ("LOCAL_WORLD_SIZE", "4")]].concat(),
            "LOCAL_WORLD_SIZE: expected the number of ranks on this machine, 1 to 3, found \"4\"",
        );
        refused(
            &[&here[..], &[("MASTER_PORT", "29500"), ("LOCAL_WORLD_SIZE", "2"), ("LOCAL_RANK", "2")]].concat(),
            "LOCAL_RANK: expected a whole number from 0 to 1, found \"2\"",
        );
        refused(
            &[("WORLD_SIZE", "1"), ("LONGSTRAND_RANK_TIMEOUT", "soon")],
            "LONGSTRAND_RANK_TIMEOUT: expected whole seconds, at least 1, found \"soon\"",
        );
    }
}
