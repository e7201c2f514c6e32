//! Copies between host and device, through pinned memory.
//!
//! The driver copies from and to pinned memory alone; what it does with other memory is slower and waits. Pieces of it
//! take turns: while the device copies one, the host fills or empties the next. There are enough of them that who sends little
//! does not wait for the kernels that were started before.

use std::{mem, ops::Range, slice, sync::Arc};

use cudarc::driver::{CudaContext, CudaEvent, CudaStream, result};

use super::{CudaError, Device, Element, device::refused, pinned::Pinned};

/// Bytes of a piece.
const PIECE: usize = 2 << 20;

/// Pieces of the memory.
const PIECES: usize = 8;

/// Pinned memory.
pub(super) struct Staging {
    pieces: Vec<Piece>,
    /// Whose turn it is, so that a copy does not wait for the one before.
    next: usize,
}

struct Piece {
    memory: Pinned,
    /// When the device is done with it.
    done: CudaEvent,
}

impl Piece {
    fn new(context: &Arc<CudaContext>) -> Result<Self, CudaError> {
        Ok(Self {
            memory: Pinned::new(context, PIECE)?,
            done: context.new_event(None).map_err(refused("cuEventCreate"))?,
        })
    }

    /// The bytes, when the device is done with them.
    fn bytes(&mut self) -> Result<&mut [u8], CudaError> {
        self.done.synchronize().map_err(refused("cuEventSynchronize"))?;
        Ok(self.memory.bytes())
    }

    /// Has the device copy the first bytes to `address`, when all that was asked for before is done.
    fn send(&mut self, len: usize, address: u64, stream: &CudaStream) -> Result<(), CudaError> {
        let bytes = &self.memory.bytes()[..len];
        // SAFETY: nobody touches the bytes before `done`, and the caller has so many at the address.
        unsafe { result::memcpy_htod_async(address, bytes, stream.cu_stream()) }
            .map_err(refused("cuMemcpyHtoDAsync"))?;
        self.done.record(stream).map_err(refused("cuEventRecord"))
    }

    /// Has the device copy bytes from `address`, when all that was asked for before is done.
    fn fetch(&mut self, len: usize, address: u64, stream: &CudaStream) -> Result<(), CudaError> {
        let bytes = &mut self.bytes()?[..len];
        // SAFETY: nobody touches the bytes before `done`, and the caller has so many at the address.
        unsafe { result::memcpy_dtoh_async(bytes, address, stream.cu_stream()) }
            .map_err(refused("cuMemcpyDtoHAsync"))?;
        self.done.record(stream).map_err(refused("cuEventRecord"))
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let _ = self.done.synchronize();
    }
}

impl Staging {
    pub(super) fn new(context: &Arc<CudaContext>) -> Result<Self, CudaError> {
        Ok(Self { pieces: (0..PIECES).map(|_| Piece::new(context)).collect::<Result<_, _>>()?, next: 0 })
    }

    fn send(&mut self, bytes: &[u8], address: u64, stream: &CudaStream) -> Result<(), CudaError> {
        for part in parts(bytes.len()) {
            let next = self.turn();
            let piece = &mut self.pieces[next];
            piece.bytes()?[..part.len()].copy_from_slice(&bytes[part.clone()]);
            piece.send(part.len(), address + part.start as u64, stream)?;
        }
        Ok(())
    }

    fn fetch(&mut self, bytes: &mut [u8], address: u64, stream: &CudaStream) -> Result<(), CudaError> {
        let mut last = None;
        for part in parts(bytes.len()) {
            let piece = self.turn();
            self.pieces[piece].fetch(part.len(), address + part.start as u64, stream)?;
            if let Some((piece, part)) = last.replace((piece, part)) {
                self.empty(piece, part, bytes)?;
            }
        }
        last.map_or(Ok(()), |(piece, part)| self.empty(piece, part, bytes))
    }

    /// The piece whose turn it is.
    fn turn(&mut self) -> usize {
        self.next = (self.next + 1) % PIECES;
        self.next
    }

    /// Takes a part out of a piece.
    fn empty(&mut self, piece: usize, part: Range<usize>, bytes: &mut [u8]) -> Result<(), CudaError> {
        let len = part.len();
        bytes[part].copy_from_slice(&self.pieces[piece].bytes()?[..len]);
        Ok(())
    }
}

/// The ranges of bytes that are copied at once.
fn parts(bytes: usize) -> impl Iterator<Item = Range<usize>> {
    (0..bytes).step_by(PIECE).map(move |start| start..(start + PIECE).min(bytes))
}

/// Copies to `address`, where there is room.
pub(super) fn to_device<T: Element>(device: &Device, host: &[T], address: u64) -> Result<(), CudaError> {
    // SAFETY: an element has no padding, so that all its bytes can be read.
    let bytes = unsafe { slice::from_raw_parts(host.as_ptr().cast::<u8>(), mem::size_of_val(host)) };
    device.sending(|staging| staging.send(bytes, address, device.stream()))
}

/// Copies from `address`, where there are so many.
pub(super) fn to_host<T: Element>(device: &Device, address: u64, host: &mut [T]) -> Result<(), CudaError> {
    // SAFETY: any bytes are a value of an element.
    let bytes = unsafe { slice::from_raw_parts_mut(host.as_mut_ptr().cast::<u8>(), mem::size_of_val(host)) };
    device.fetching(|staging| staging.fetch(bytes, address, device.stream()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_all_bytes_in_order() {
        for bytes in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE] {
            let mut end = 0;
            for part in parts(bytes) {
                assert!(part.start == end && !part.is_empty() && part.len() <= PIECE);
                end = part.end;
            }
            assert_eq!(end, bytes);
        }
    }
}
