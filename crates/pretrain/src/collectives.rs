//! What several processes that train one model say to each other.
//!
//! Each process is a *rank*, 0 to N − 1. Every rank works on its part of a step's windows, and then all sum their
//! gradients:
//!
//! ```text
//! gradients ─ Buckets (25 MiB, last layer first) ─ start_sum ┐ … ┌ finish_sum ─ gradients summed over ranks
//!                                                            └ N ┘
//! ```
//!
//! The sum of a value is ((g₀ + g₁) + g₂) + … in the order of ranks, computed once. So every rank gets the same bits, and
//! two runs of as many ranks do. All ranks call the same operations in the same order; what differs in kind or size is an
//! error that names the rank.
//!
//! [`join`] makes the ranks of the environment meet. A single process is [`Alone`]: its sums are what it gave.

mod alone;
mod buckets;
mod error;
mod sockets;
mod world;

pub use alone::Alone;
pub use buckets::Buckets;
pub use error::{CollectiveError, Operation, OperationKind};
pub use sockets::Sockets;
pub use world::World;

/// Operations of all ranks together. A rank calls them in the same order as every other rank.
///
/// After an error nothing goes any more: every later call gives the same error.
pub trait Collectives: Send {
    /// Values that are summed, where gradients live: `Vec<f32>` in the memory of a CPU.
    type Values: Send;

    /// This process, from 0.
    fn rank(&self) -> usize;

    /// How many processes there are.
    fn world_size(&self) -> usize;

    /// Begins to sum values over all ranks, which may go on while this rank computes.
    ///
    /// # Errors
    ///
    /// - the ranks are parted already; what goes wrong with this sum is told when it is finished
    fn start_sum(&mut self, values: Self::Values) -> Result<(), CollectiveError>;

    /// Waits for the sum that was begun first, and gives it.
    ///
    /// # Errors
    ///
    /// - a rank is gone or does not come in time
    /// - a rank brought another operation, or another number of values
    ///
    /// # Panics
    ///
    /// When no sum was begun.
    fn finish_sum(&mut self) -> Result<Self::Values, CollectiveError>;

    /// Replaces a few numbers, such as losses and counts of targets, by their sums over all ranks.
    ///
    /// # Errors
    ///
    /// As [`Self::finish_sum`].
    fn sum_f64(&mut self, values: &mut [f64]) -> Result<(), CollectiveError>;

    /// Gives every rank the bytes of one rank, `root`. What the others bring is not looked at.
    ///
    /// # Errors
    ///
    /// As [`Self::finish_sum`].
    ///
    /// # Panics
    ///
    /// When `root` is no rank.
    fn broadcast(&mut self, root: usize, bytes: Vec<u8>) -> Result<Vec<u8>, CollectiveError>;

    /// Gives every rank the bytes of each, in the order of ranks, which may bring different numbers of them.
    ///
    /// # Errors
    ///
    /// As [`Self::finish_sum`].
    fn gather(&mut self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>, CollectiveError>;

    /// Parts the ranks into groups of so many that stand side by side, which then work together apart from the others. All
    /// ranks call it; they stay together as well. In what goes wrong in a group, ranks have the numbers that they have here.
    ///
    /// # Errors
    ///
    /// - the first rank of a group cannot listen, or another one does not reach it in time
    /// - as [`Self::finish_sum`]
    ///
    /// # Panics
    ///
    /// When they do not make whole groups.
    fn split(&mut self, size: usize) -> Result<Box<dyn Collectives<Values = Self::Values>>, CollectiveError>;

    /// Waits until every rank has come here.
    ///
    /// # Errors
    ///
    /// As [`Self::finish_sum`].
    fn barrier(&mut self) -> Result<(), CollectiveError>;

    /// Makes sure that every rank has the same of something, such as its settings.
    ///
    /// # Errors
    ///
    /// - a rank has other bytes than rank 0, which every rank is told
    /// - as [`Self::finish_sum`]
    fn agree(&mut self, what: &str, bytes: &[u8]) -> Result<(), CollectiveError> {
        let of_rank_0 = self.broadcast(0, bytes.to_vec())?;
        let mut differs = vec![0.0; self.world_size()];
        differs[self.rank()] = f64::from(u8::from(of_rank_0 != bytes));
        self.sum_f64(&mut differs)?;
        match differs.iter().position(|&differs| differs > 0.0) {
            None => Ok(()),
            Some(rank) => Err(CollectiveError::Disagrees { rank, what: what.into() }),
        }
    }
}

/// The ranks of a training on CPUs.
pub type Ranks = Box<dyn Collectives<Values = Vec<f32>>>;

/// Makes all ranks meet, over TCP where there is more than one.
///
/// # Errors
///
/// - rank 0 cannot listen at its address, or another rank finds nobody there in time
/// - a rank does not come in time, two come as one, or one counts other ranks
pub fn join(world: &World) -> Result<Ranks, CollectiveError> {
    match world.size {
        1 => Ok(Box::new(Alone::default())),
        _ => Ok(Box::new(Sockets::join(world)?)),
    }
}
