//! The program as several processes that train together.

use std::{
    iter,
    net::TcpListener,
    process,
    sync::atomic::{AtomicU16, Ordering},
};

use crate::command::{Finished, Longstrand, Running};

/// A port that nobody listens at, below those that systems give to callers.
///
/// # Panics
///
/// When every port is taken.
pub fn free_port() -> u16 {
    static ASKED: AtomicU16 = AtomicU16::new(0);
    let first = 16_000 + (process::id() % 8_000) as u16;
    let ports = iter::repeat_with(|| first + ASKED.fetch_add(1, Ordering::Relaxed) % 8_000);
    ports.take(100).find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok()).expect("a free port")
}

/// Starts one process for each of these commands, with the environment of a launcher.
pub fn start(commands: &[Longstrand]) -> Vec<Running> {
    let (port, size) = (free_port().to_string(), commands.len().to_string());
    let started = commands.iter().enumerate().map(|(rank, command)| {
        let command = command.clone().variable("RANK", rank.to_string()).variable("WORLD_SIZE", &size);
        let command = command.variable("LOCAL_RANK", rank.to_string()).variable("LOCAL_WORLD_SIZE", &size);
        let command = command.variable("MASTER_ADDR", "127.0.0.1").variable("MASTER_PORT", &port);
        command.variable("LONGSTRAND_RANK_TIMEOUT", "60").start()
    });
    started.collect()
}

/// Runs them to their ends.
pub fn run(commands: &[Longstrand]) -> Vec<Finished> {
    start(commands).into_iter().map(Running::finish).collect()
}

/// What an interrupted run ends with.
const INTERRUPTED: i32 = 130;

/// Asserts that all ranks have been interrupted and ended in order, and that rank 0 alone says so.
///
/// # Panics
///
/// When they have not.
pub fn assert_interrupted(ended: &[Finished]) {
    for (rank, finished) in ended.iter().enumerate() {
        assert_eq!(finished.code, Some(INTERRUPTED), "{finished}");
        assert_eq!(finished.stderr.contains("the same command with --resume"), rank == 0, "{finished}");
        assert_eq!(finished.stderr.lines().count(), usize::from(rank == 0), "{finished}");
    }
}
