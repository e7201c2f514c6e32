//! Messages: four little-endian u64 (kind, number, root, bytes), then the bytes.

use std::io::{self, Read, Write};

use super::super::{Operation, OperationKind};

/// What a message is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u64)]
pub(super) enum Kind {
    /// A part of an operation, or its whole.
    Barrier = 1,
    SumF32 = 2,
    SumF64 = 3,
    Broadcast = 4,
    Gather = 5,
    /// The sender ends in order.
    Leave = 6,
    /// The sender ends because of an error, told in UTF-8.
    Failed = 7,
}

impl Kind {
    const ALL: [Self; 7] =
        [Self::Barrier, Self::SumF32, Self::SumF64, Self::Broadcast, Self::Gather, Self::Leave, Self::Failed];
}

/// A message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    /// How many operations were before.
    pub(super) number: u64,
    /// The rank whose bytes are broadcast.
    pub(super) root: u64,
    pub(super) bytes: Vec<u8>,
}

const HEADER: usize = 32;

impl Frame {
    /// A message apart from any operation.
    pub(super) fn word(kind: Kind, text: &str) -> Self {
        Self { kind, number: 0, root: 0, bytes: text.as_bytes().to_vec() }
    }

    /// The operation of the message, as a message of this many bytes would ask for it.
    pub(super) fn operation(&self) -> Operation {
        let bytes = self.bytes.len() as u64;
        let kind = match self.kind {
            Kind::SumF32 => OperationKind::SumF32(bytes / 4),
            Kind::SumF64 => OperationKind::SumF64(bytes / 8),
            Kind::Broadcast => OperationKind::Broadcast(self.root),
            Kind::Gather => OperationKind::Gather,
            Kind::Barrier | Kind::Leave | Kind::Failed => OperationKind::Barrier,
        };
        Operation { number: self.number, kind }
    }

    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let header = [self.kind as u64, self.number, self.root, self.bytes.len() as u64];
        to.write_all(&header.map(u64::to_le_bytes).concat())?;
        to.write_all(&self.bytes)?;
        to.flush()
    }

    /// Reads a message; `None` at the end.
    pub(super) fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut header = Vec::with_capacity(HEADER);
        match from.take(HEADER as u64).read_to_end(&mut header)? {
            0 => return Ok(None),
            HEADER => (),
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        let (fields, _) = header.as_chunks();
        let [kind, number, root, length] = [0, 1, 2, 3].map(|field| u64::from_le_bytes(fields[field]));
        let kind = Kind::ALL.into_iter().find(|&known| known as u64 == kind).ok_or(io::ErrorKind::InvalidData)?;
        // Grows with what comes, so that a wrong length does not take the memory.
        let mut bytes = Vec::new();
        if from.take(length).read_to_end(&mut bytes)? as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some(Self { kind, number, root, bytes }))
    }
}

/// The parts of all ranks one after another, each behind its length.
pub(super) fn pack<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    parts.flat_map(|part| [&(part.len() as u64).to_le_bytes(), part].concat()).collect()
}

/// The inverse of [`pack`]; `None` of what it does not give.
pub(super) fn unpack(mut whole: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut parts = Vec::new();
    while let Some((length, rest)) = whole.split_first_chunk() {
        let (part, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        parts.push(part.to_vec());
        whole = rest;
    }
    whole.is_empty().then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_apart_again() {
        let parts: [&[u8]; 4] = [&[1, 2, 3], &[], &[7], &[0; 40]];
        let whole = pack(parts.into_iter());
        assert_eq!(unpack(&whole).unwrap(), parts);
        for cut in [1, 7, 9, whole.len() - 1] {
            assert_eq!(unpack(&whole[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn messages_come_through_whole_or_not() {
        let sent = [
            Frame { kind: Kind::SumF32, number: 7, root: 0, bytes: vec![1, 2, 3, 4] },
            Frame { kind: Kind::Broadcast, number: 1 << 40, root: 3, bytes: Vec::new() },
            Frame::word(Kind::Failed, "é"),
        ];
        let mut stream = Vec::new();
        sent.iter().for_each(|frame| frame.write(&mut stream).unwrap());
        let mut rest = &stream[..];
        for frame in &sent {
            assert_eq!(Frame::read(&mut rest).unwrap().as_ref(), Some(frame));
        }
        assert_eq!(Frame::read(&mut rest).unwrap(), None);
        for cut in [1, 31, 33, 35] {
            assert_eq!(Frame::read(&mut &stream[..cut]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "{cut}");
        }
        stream[0] = 99;
        assert_eq!(Frame::read(&mut &stream[..]).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
