//! Ranks that are processes, over TCP.
//!
//! ```text
//! rank 1 ┐ part          ┌ rank 1
//! rank 2 ┼──────► rank 0 ┼──────► whole
//! rank 3 ┘  gather, sum  └ rank 3
//! ```
//!
//! Rank 0 gathers the parts of all ranks, puts them together in the order of ranks and gives everyone the whole. That is
//! simple, and the same bits for all; its price is that rank 0's network carries 2 (N − 1) times the gradients a step, so
//! it is meant for a few processes on CPUs. What goes wrong is found by rank 0, which tells the others before it ends.
//!
//! A thread of each rank does the talking while the rank computes; one thread more for each connection listens, so
//! that a rank that dies is noticed at once, whoever is being waited for.

mod frame;
mod group;
mod meet;

use std::{
    collections::VecDeque,
    sync::mpsc::{self, Receiver, Sender},
    thread::{self, JoinHandle},
};

use self::{frame::Kind, group::Group};
use super::{CollectiveError, Collectives, World};

/// A rank among several, connected to rank 0, or rank 0, connected to all others. Dropped, it takes its leave.
#[derive(Debug)]
pub struct Sockets {
    rank: usize,
    size: usize,
    jobs: Option<Sender<Job>>,
    talking: Option<JoinHandle<()>>,
    started: VecDeque<Receiver<Reply>>,
}

type Reply = Result<Vec<u8>, CollectiveError>;

/// An operation, this rank's part of it, and where the whole goes.
struct Job {
    kind: Kind,
    root: usize,
    part: Vec<u8>,
    reply: Sender<Reply>,
}

impl Sockets {
    /// Waits until all ranks are connected.
    ///
    /// # Errors
    ///
    /// As [`join`](super::join).
    pub fn join(world: &World) -> Result<Self, CollectiveError> {
        let mut group = Group::new(world, meet::meet(world)?);
        group.call(Kind::Barrier, 0, Vec::new())?;
        let (jobs, queue) = mpsc::channel::<Job>();
        let talking = thread::spawn(move || {
            for Job { kind, root, part, reply } in queue {
                // Nobody waits for the reply of a sum that is given up.
                let _ = reply.send(group.call(kind, root, part));
            }
        });
        let started = VecDeque::new();
        Ok(Self { rank: world.rank, size: world.size, jobs: Some(jobs), talking: Some(talking), started })
    }

    fn start(&self, kind: Kind, root: usize, part: Vec<u8>) -> Receiver<Reply> {
        let (reply, replied) = mpsc::channel();
        let jobs = self.jobs.as_ref().expect("there until the drop");
        jobs.send(Job { kind, root, part, reply }).expect("the talking thread ends after its queue");
        replied
    }

    fn call(&self, kind: Kind, root: usize, part: Vec<u8>) -> Reply {
        wait(&self.start(kind, root, part))
    }
}

fn wait(replied: &Receiver<Reply>) -> Reply {
    replied.recv().expect("the talking thread replies to every job")
}

impl Collectives for Sockets {
    type Values = Vec<f32>;

    fn rank(&self) -> usize {
        self.rank
    }

    fn world_size(&self) -> usize {
        self.size
    }

    fn start_sum(&mut self, values: Vec<f32>) -> Result<(), CollectiveError> {
        let part = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.started.push_back(self.start(Kind::SumF32, 0, part));
        Ok(())
    }

    fn finish_sum(&mut self) -> Result<Vec<f32>, CollectiveError> {
        let started = self.started.pop_front().expect("a sum was begun, as the contract asks");
        let whole = wait(&started)?;
        Ok(whole.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
    }

    fn sum_f64(&mut self, values: &mut [f64]) -> Result<(), CollectiveError> {
        let part = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let whole = self.call(Kind::SumF64, 0, part)?;
        values.iter_mut().zip(whole.as_chunks().0).for_each(|(value, &bytes)| *value = f64::from_le_bytes(bytes));
        Ok(())
    }

    fn broadcast(&mut self, root: usize, bytes: Vec<u8>) -> Result<Vec<u8>, CollectiveError> {
        assert!(root < self.size, "a broadcast comes from a rank");
        self.call(Kind::Broadcast, root, if self.rank == root { bytes } else { Vec::new() })
    }

    fn barrier(&mut self) -> Result<(), CollectiveError> {
        self.call(Kind::Barrier, 0, Vec::new()).map(|_| ())
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(talking) = self.talking.take() {
            // A panic there has been seen by whoever waited for a reply.
            let _ = talking.join();
        }
    }
}

#[cfg(test)]
mod tests;
