//! Ranks that are processes, over TCP.
//!
//! ```text
//! rank 1 ┐ part          ┌ rank 1
//! rank 2 ┼──────► rank 0 ┼──────► whole
//! rank 3 ┘  gather, sum  └ rank 3
//! ```
//!
//! A group of ranks is connected in the same way to the first of it, by connections of its own.
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
    net::{IpAddr, SocketAddr, TcpListener},
    sync::Arc,
    sync::mpsc::{self, Receiver, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

use self::{
    frame::{Kind, unpack},
    group::Group,
    meet::{Meeting, listen, meet},
};
use super::{Alone, CollectiveError, Collectives, World};

/// A rank among several, connected to rank 0, or rank 0, connected to all others. Dropped, it takes its leave.
#[derive(Debug)]
pub struct Sockets {
    /// This rank and how many there are, counted from the first of them.
    rank: usize,
    size: usize,
    /// The rank that the others are connected to.
    first: usize,
    /// Where this process is found by the others.
    host: IpAddr,
    patience: Duration,
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
        let meeting = Meeting::from(world);
        let listener = (world.rank == 0).then(|| listen(0, &world.host, world.port)).transpose()?;
        Self::meet(&meeting, listener.as_ref())
    }

    fn meet(meeting: &Meeting, listener: Option<&TcpListener>) -> Result<Self, CollectiveError> {
        let streams = meet(meeting, listener)?;
        let (_, stream) = streams.first().expect("a meeting is of at least two ranks");
        let host = stream.local_addr().map_err(|source| meeting.unreachable(meeting.rank, source))?.ip();
        let mut group = Group::new(meeting, streams);
        group.call(Kind::Barrier, 0, Vec::new())?;
        let (jobs, queue) = mpsc::channel::<Job>();
        let talking = thread::spawn(move || {
            for Job { kind, root, part, reply } in queue {
                // Nobody waits for the reply of a sum that is given up.
                let _ = reply.send(group.call(kind, root, part));
            }
        });
        let started = VecDeque::new();
        let Meeting { first, size, rank, patience, .. } = *meeting;
        Ok(Self { rank: rank - first, size, first, host, patience, jobs: Some(jobs), talking: Some(talking), started })
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

    fn gather(&mut self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>, CollectiveError> {
        let whole = self.call(Kind::Gather, 0, bytes)?;
        Ok(unpack(&whole).expect("the parts of all ranks, as a group holds"))
    }

    fn split(&mut self, size: usize) -> Result<Box<dyn Collectives<Values = Self::Values>>, CollectiveError> {
        assert!(size > 0 && self.size.is_multiple_of(size), "{} ranks in groups of {size}", self.size);
        let place = self.rank / size * size;
        let (first, rank) = (self.first + place, self.first + self.rank);
        let leads = size > 1 && rank == first;
        let listener = leads.then(|| listen(rank, &self.host.to_string(), 0)).transpose()?;
        let own = listener.as_ref().map(TcpListener::local_addr).transpose();
        let own = own.map_err(|source| {
            let address = self.host.to_string();
            CollectiveError::Listen { rank, address, source: Arc::new(source) }
        })?;
        let own = own.map_or(String::new(), |address| address.to_string());
        let addresses = self.gather(own.into_bytes())?;
        if size == 1 {
            return Ok(Box::new(Alone::default()));
        }
        let address = String::from_utf8_lossy(&addresses[place]);
        let address: SocketAddr = address.parse().map_err(|_| {
            let (expected, found) = ("the address that it listens at".into(), address.into_owned());
            CollectiveError::Stranger { rank: first as u64, first: rank, expected, found }
        })?;
        let (host, port) = (address.ip().to_string(), address.port());
        let meeting = Meeting { first, size, rank, host, port, patience: self.patience };
        Ok(Box::new(Self::meet(&meeting, listener.as_ref())?))
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
