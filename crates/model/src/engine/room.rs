//! How much memory passes take, and whether there is as much.

use super::{Engine, Kind};
use crate::encode::{Chunking, longest};
#[cfg(feature = "cuda")]
use crate::encode::{LONGEST_WINDOW, WINDOW_COPIES};

/// A window that takes more memory than there is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Excess {
    /// Bytes that it takes, about.
    pub needed: u64,
    /// Bytes that there are.
    pub available: u64,
    /// Positions of the longest window that fits.
    pub longest: u64,
    /// Whose memory: `memory`, or `GPU memory`.
    pub memory: &'static str,
}

impl Engine {
    /// Bytes of this machine's memory that a pass over `length` positions takes at its height, beside the weights and what
    /// its observer keeps. Of a GPU: what waits to be taken.
    pub fn pass_bytes(&self, chunking: Chunking, length: usize) -> u64 {
        match &self.0 {
            Kind::Cpu(model) => model.pass_bytes(chunking, length),
            #[cfg(feature = "cuda")]
            Kind::Cuda(..) if self.is_filled_by(length) => 0,
            #[cfg(feature = "cuda")]
            Kind::Cuda(..) => {
                let values = self.width() + self.config().vocab_size;
                (length as u64).saturating_mul((values * size_of::<f32>()) as u64)
            }
        }
    }

    /// About how many bytes of this machine's memory a run takes, weights aside, that works on one window of `length` bases
    /// at a time.
    pub fn window_bytes(&self, chunking: Chunking, length: u64) -> u64 {
        match &self.0 {
            Kind::Cpu(model) => model.window_bytes(chunking, length),
            #[cfg(feature = "cuda")]
            Kind::Cuda(..) => {
                let waiting = self.pass_bytes(chunking, usize::try_from(length).unwrap_or(usize::MAX));
                waiting.saturating_add(WINDOW_COPIES.saturating_mul(length))
            }
        }
    }

    /// Refuses windows of `length` bases where one at a time takes more than there is: of this machine's memory, `available`
    /// bytes where that is known, or of a GPU's. On the CPU short ones always pass.
    ///
    /// # Errors
    ///
    /// [`Excess`]
    pub fn check_window(&self, chunking: Chunking, length: u64, available: Option<u64>) -> Result<(), Excess> {
        match &self.0 {
            Kind::Cpu(model) => {
                let available = available.filter(|_| self.is_filled_by(usize::try_from(length).unwrap_or(usize::MAX)));
                check(length, available, "memory", |length| model.window_bytes(chunking, length))
            }
            #[cfg(feature = "cuda")]
            Kind::Cuda(models, _) => models.each().try_for_each(|model| {
                let device = model.device();
                let free = device.free_bytes().ok().map(|free| free + device.memory().cached);
                let bytes = |length: u64| model.pass_bytes(length.min(LONGEST_WINDOW) as usize);
                check(length, free, "GPU memory", bytes)
            }),
        }
    }
}

fn check(length: u64, available: Option<u64>, memory: &'static str, bytes: impl Fn(u64) -> u64) -> Result<(), Excess> {
    let needed = bytes(length);
    match available {
        Some(available) if needed > available => {
            Err(Excess { needed, available, longest: longest(available, bytes), memory })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_told_with_what_fits() {
        let bytes = |length| 10 * length + 5;
        assert_eq!(check(100, Some(1_005), "memory", bytes), Ok(()));
        assert_eq!(check(1 << 30, None, "memory", bytes), Ok(()));
        let excess = Excess { needed: 1_015, available: 1_014, longest: 100, memory: "GPU memory" };
        assert_eq!(check(101, Some(1_014), "GPU memory", bytes), Err(excess));
    }
}
