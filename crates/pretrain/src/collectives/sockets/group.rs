//! Parts of all ranks to a whole.

use std::{
    io,
    net::{Shutdown, TcpStream},
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::{Duration, Instant},
};

use super::frame::{Frame, Kind, pack, unpack};
use super::meet::Meeting;
use crate::collectives::{CollectiveError, Operation, OperationKind};

/// How much longer the others wait than the first rank, so that they hear from it what is wrong.
const GRACE: Duration = Duration::from_secs(5);

/// How long a rank that cannot send waits for word of what is wrong.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The connections of this rank.
pub(super) struct Group {
    rank: usize,
    /// The rank that leads, the first one.
    first: usize,
    size: usize,
    patience: Duration,
    /// By rank; the first rank has all others, and every other one has the first.
    streams: Vec<(usize, TcpStream)>,
    events: Receiver<(usize, Event)>,
    number: u64,
    broken: Option<CollectiveError>,
}

/// What comes from a rank.
enum Event {
    /// A message, and when it came.
    Frame(Frame, Instant),
    /// The connection was closed.
    Closed,
    /// The connection broke.
    Broken(io::Error),
}

impl Group {
    pub(super) fn new(meeting: &Meeting, streams: Vec<(usize, TcpStream)>) -> Self {
        let (events, received) = mpsc::channel();
        let mut heard = Vec::with_capacity(streams.len());
        for (rank, stream) in streams {
            match stream.try_clone() {
                Ok(stream) => drop(thread::spawn({
                    let events = events.clone();
                    move || listen(rank, stream, &events)
                })),
                Err(error) => drop(events.send((rank, Event::Broken(error)))),
            }
            heard.push((rank, stream));
        }
        Self {
            rank: meeting.rank,
            first: meeting.first,
            size: meeting.size,
            patience: meeting.patience,
            streams: heard,
            events: received,
            number: 0,
            broken: None,
        }
    }

    /// Brings this rank's part of an operation and waits for the whole.
    pub(super) fn call(&mut self, kind: Kind, root: usize, part: Vec<u8>) -> Result<Vec<u8>, CollectiveError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let own = Frame { kind, number: self.number, root: root as u64, bytes: part };
        self.number += 1;
        let whole = if self.rank == self.first { self.lead(own) } else { self.follow(&own) };
        let whole = whole.and_then(|whole| self.complete(kind, whole));
        whole.inspect_err(|error| self.broken = Some(error.clone()))
    }

    /// What is gathered, if it is of all ranks.
    fn complete(&self, kind: Kind, whole: Vec<u8>) -> Result<Vec<u8>, CollectiveError> {
        let is_complete = kind != Kind::Gather || unpack(&whole).is_some_and(|parts| parts.len() == self.size);
        let during = Operation { number: self.number - 1, kind: OperationKind::Gather };
        if is_complete { Ok(whole) } else { Err(CollectiveError::Garbled { rank: self.first, during }) }
    }

    fn lead(&mut self, own: Frame) -> Result<Vec<u8>, CollectiveError> {
        let whole = self.gather(&own).map(|parts| combine(own, parts));
        let given = whole.and_then(|whole| self.give(&whole).map(|()| whole.bytes));
        given.inspect_err(|error| {
            let word = Frame::word(Kind::Failed, &error.to_string());
            // Who cannot be told any more finds the connection closed; one that hangs must not keep the word from the others.
            self.streams.iter_mut().for_each(|(_, stream)| drop(last_word(&word, stream)));
        })
    }

    /// The parts of the other ranks in their order. Patience begins with the first rank that has come, be it before this one: it must not be
    /// the first that gives up, as it would blame the first one.
    fn gather(&mut self, own: &Frame) -> Result<Vec<Vec<u8>>, CollectiveError> {
        let mut deadline = Instant::now() + self.patience;
        let mut parts: Vec<Option<Vec<u8>>> = vec![None; self.size - 1];
        while parts.iter().any(Option::is_none) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok((rank, event)) = self.events.recv_timeout(left) else {
                let missing = parts.iter().enumerate().filter(|(_, part)| part.is_none());
                let ranks = missing.map(|(place, _)| self.first + 1 + place).collect();
                return Err(CollectiveError::Late { ranks, during: own.operation(), patience: self.patience });
            };
            if let Event::Frame(_, came) = &event {
                deadline = deadline.min(*came + self.patience);
            }
            let frame = understood(rank, event, own.operation())?;
            let place = rank - self.first - 1;
            if !is_part_of(&frame, own) {
                return Err(CollectiveError::Differs { rank, expected: own.operation(), found: frame.operation() });
            }
            parts[place] = Some(frame.bytes);
        }
        Ok(parts.into_iter().flatten().collect())
    }

    fn give(&mut self, whole: &Frame) -> Result<(), CollectiveError> {
        for (rank, stream) in &mut self.streams {
            whole.write(stream).map_err(|error| CollectiveError::lost(*rank, whole.operation(), error))?;
        }
        Ok(())
    }

    fn follow(&mut self, own: &Frame) -> Result<Vec<u8>, CollectiveError> {
        let during = own.operation();
        let (_, stream) = self.streams.first_mut().expect("the first rank is connected, as the meeting holds");
        let sent = own.write(stream);
        let patience = if sent.is_ok() { self.patience + GRACE } else { LAST_WORDS };
        match (self.events.recv_timeout(patience), sent) {
            (Ok((rank, event)), _) => understood(rank, event, during).map(|frame| frame.bytes),
            (Err(_), Err(error)) => Err(CollectiveError::lost(self.first, during, error)),
            (Err(_), Ok(())) => Err(CollectiveError::Late { ranks: vec![self.first], during, patience }),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let word = Frame::word(Kind::Leave, "");
        for (_, stream) in &mut self.streams {
            // Who is gone needs no farewell.
            let _ = last_word(&word, stream);
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Sends what is the last word to a rank, which may not read any more.
fn last_word(word: &Frame, stream: &mut TcpStream) -> io::Result<()> {
    stream.set_write_timeout(Some(LAST_WORDS))?;
    word.write(stream)
}

fn listen(rank: usize, mut stream: TcpStream, events: &Sender<(usize, Event)>) {
    loop {
        let event = match Frame::read(&mut stream) {
            Ok(Some(frame)) => Event::Frame(frame, Instant::now()),
            Ok(None) => Event::Closed,
            Err(error) => Event::Broken(error),
        };
        let is_last = !matches!(event, Event::Frame(..));
        if events.send((rank, event)).is_err() || is_last {
            return;
        }
    }
}

/// A message of an operation, or what is wrong.
fn understood(rank: usize, event: Event, during: Operation) -> Result<Frame, CollectiveError> {
    match event {
        Event::Frame(Frame { kind: Kind::Leave, .. }, _) => Err(CollectiveError::Left { rank, during }),
        Event::Frame(Frame { kind: Kind::Failed, bytes, .. }, _) => {
            Err(CollectiveError::Told { rank, message: String::from_utf8_lossy(&bytes).into_owned() })
        }
        Event::Frame(frame, _) => Ok(frame),
        Event::Broken(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(CollectiveError::Garbled { rank, during })
        }
        Event::Broken(error) => Err(CollectiveError::lost(rank, during, error)),
        Event::Closed => Err(CollectiveError::Lost { rank, during, source: None }),
    }
}

fn is_part_of(frame: &Frame, own: &Frame) -> bool {
    let is_same = (frame.kind, frame.number, frame.root) == (own.kind, own.number, own.root);
    is_same && (matches!(own.kind, Kind::Broadcast | Kind::Gather) || frame.bytes.len() == own.bytes.len())
}

/// The whole of the first rank's part and of those of the others.
fn combine(own: Frame, mut parts: Vec<Vec<u8>>) -> Frame {
    let Frame { kind, number, root, mut bytes } = own;
    match kind {
        Kind::SumF32 => parts.iter().for_each(|part| {
            for (sum, value) in bytes.as_chunks_mut().0.iter_mut().zip(part.as_chunks().0) {
                *sum = (f32::from_le_bytes(*sum) + f32::from_le_bytes(*value)).to_le_bytes();
            }
        }),
        Kind::SumF64 => parts.iter().for_each(|part| {
            for (sum, value) in bytes.as_chunks_mut().0.iter_mut().zip(part.as_chunks().0) {
                *sum = (f64::from_le_bytes(*sum) + f64::from_le_bytes(*value)).to_le_bytes();
            }
        }),
        Kind::Broadcast if root > 0 => bytes = parts.swap_remove(root as usize - 1),
        Kind::Gather => bytes = pack([&bytes].into_iter().chain(&parts).map(Vec::as_slice)),
        Kind::Broadcast | Kind::Barrier | Kind::Leave | Kind::Failed => (),
    }
    Frame { kind, number, root, bytes }
}
