//! Where the inputs of layers wait for the way back: on the device, and where it has no room, in the memory of the host.
//!
//! The first layers' are put away: the way back needs them last. A copy is made between the layers' kernels, so that a layer
//! whose input is put away takes longer by two copies of it.

use longstrand_kernels::cuda::{Buffer, CudaError, Device, HostBuffer, Real};

/// The memory that the gradients of a sequence may take.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Room {
    /// Bytes of the device's memory; all that is free where nothing is said.
    pub device: Option<u64>,
    /// Bytes of the host's memory in which the inputs of layers may be put away.
    pub host: u64,
}

/// The input of a layer, `[strands, columns, D]`.
#[derive(Debug)]
pub(super) enum Held<T: Real> {
    Here(Buffer<T>),
    Away(HostBuffer<T>),
}

/// Bytes of the device's memory that the gradients of a sequence take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    pub(super) layers: usize,
    /// The input of a layer.
    pub(super) input: u64,
    /// Everything else at its most.
    pub(super) rest: u64,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Shelves<T: Real> {
    pub(super) room: Room,
    /// How many of the first layers put their inputs away.
    away: usize,
    /// Memory of the host from earlier sequences.
    spare: Vec<HostBuffer<T>>,
}

impl<T: Real> Default for Shelves<T> {
    fn default() -> Self {
        Self { room: Room::default(), away: 0, spare: Vec::new() }
    }
}

impl Need {
    /// How many layers have to put their inputs away and may, where so many bytes are free.
    fn away(self, free: u64, host: u64) -> usize {
        let of_input = |bytes: u64| usize::try_from(bytes / self.input.max(1)).unwrap_or(usize::MAX);
        let here = of_input(free.saturating_sub(self.rest));
        self.layers.saturating_sub(here).min(of_input(host))
    }
}

impl<T: Real> Shelves<T> {
    /// Divides the inputs of a sequence's layers between the device and the host; of one that is to stay on the device, `None`.
    pub(super) fn divide(&mut self, device: &Device, need: Option<Need>) -> Result<(), CudaError> {
        self.away = 0;
        if let Some(need) = need {
            let memory = device.memory();
            let free = match self.room.device {
                Some(room) => room.saturating_sub(memory.in_use),
                // What the pool cannot use again of what it holds, and states at borders.
                None => (device.free_bytes()? + memory.cached) / 32 * 31,
            };
            self.away = need.away(free, self.room.host);
        }
        Ok(())
    }

    /// Keeps the input of a layer.
    pub(super) fn hold(&mut self, layer: usize, input: Buffer<T>) -> Result<Held<T>, CudaError> {
        if layer >= self.away {
            return Ok(Held::Here(input));
        }
        self.spare.retain(|spare| spare.len() == input.len());
        let mut away = match self.spare.pop() {
            Some(spare) => spare,
            None => HostBuffer::new(input.device(), input.len())?,
        };
        away.put(input.view())?;
        Ok(Held::Away(away))
    }

    /// Gives back what was kept.
    pub(super) fn give(&mut self, held: Held<T>, device: &Device) -> Result<Buffer<T>, CudaError> {
        match held {
            Held::Here(input) => Ok(input),
            Held::Away(away) => {
                let mut input = device.buffer(away.len())?;
                away.take(input.view_mut())?;
                self.spare.push(away);
                Ok(input)
            }
        }
    }
}

#[cfg(test)]
impl<T: Real> Shelves<T> {
    /// How many inputs have been put away at a time.
    pub(super) fn spare_count(&self) -> usize {
        self.spare.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_put_away_as_far_as_the_host_has_room() {
        let need = Need { layers: 16, input: 10, rest: 50 };
        for (free, host, away) in [
            (210, 1_000, 0),
            (209, 1_000, 1),
            (60, 1_000, 15),
            (10, 1_000, 16),
            (10, 0, 0),
            (10, 39, 3),
            (u64::MAX, u64::MAX, 0),
        ] {
            assert_eq!(need.away(free, host), away, "{free} free, {host} on the host");
        }
    }
}
