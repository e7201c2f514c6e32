//! All ranks come to the first of them: rank 0, or the first one of a group.
//!
//! A rank says who it is in 32 bytes: a greeting, the version of these messages, how many ranks it counts, and its own
//! number. Who greets otherwise is none of ours and is left alone.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::frame::{Frame, Kind};
use crate::collectives::{CollectiveError, World};

const GREETING: u64 = u64::from_le_bytes(*b"LngStrnd");
const VERSION: u64 = 2;

/// How long the first rank lets one that has come be silent.
const SILENCE: Duration = Duration::from_secs(2);
/// How long a try to reach the first rank takes at most.
const TRY: Duration = Duration::from_secs(2);
/// Time between two looks or tries.
const PAUSE: Duration = Duration::from_millis(20);

/// Ranks that meet: all, or a group of some that stand side by side.
pub(super) struct Meeting {
    /// The rank that all others come to.
    pub(super) first: usize,
    /// How many there are, this one among them.
    pub(super) size: usize,
    /// This rank, as it is numbered among all.
    pub(super) rank: usize,
    /// The name or the address of the first rank's machine.
    pub(super) host: String,
    /// The port that it listens at.
    pub(super) port: u16,
    /// How long a rank waits for another.
    pub(super) patience: Duration,
}

impl Meeting {
    /// Where the first rank is found, for messages.
    fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// A rank that does not find the first.
    pub(super) fn unreachable(&self, rank: usize, source: io::Error) -> CollectiveError {
        let (first, address, patience) = (self.first, self.address(), self.patience);
        CollectiveError::Unreachable { rank, first, address, patience, source: Arc::new(source) }
    }
}

impl From<&World> for Meeting {
    fn from(world: &World) -> Self {
        let World { rank, size, port, patience, .. } = *world;
        Self { first: 0, size, rank, host: world.host.clone(), port, patience }
    }
}

/// Listens for the ranks that come to this one, the first of a meeting: at its port, or at any where that is 0.
pub(super) fn listen(rank: usize, host: &str, port: u16) -> Result<TcpListener, CollectiveError> {
    let listener = TcpListener::bind((host, port)).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|source| {
        let address = if port == 0 { host.into() } else { format!("{host}:{port}") };
        CollectiveError::Listen { rank, address, source: Arc::new(source) }
    })
}

/// The connections of this rank, which has a listener if it is the first.
pub(super) fn meet(
    meeting: &Meeting,
    listener: Option<&TcpListener>,
) -> Result<Vec<(usize, TcpStream)>, CollectiveError> {
    let deadline = Instant::now() + meeting.patience;
    let streams = match listener {
        Some(listener) => receive(listener, meeting, deadline)?,
        None => vec![(meeting.first, visit(meeting, deadline)?)],
    };
    for (rank, stream) in &streams {
        prepare(stream, meeting).map_err(|source| meeting.unreachable(*rank, source))?;
    }
    Ok(streams)
}

fn prepare(stream: &TcpStream, meeting: &Meeting) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(None)?;
    stream.set_write_timeout(Some(meeting.patience))
}

/// The first rank waits for all others.
fn receive(
    listener: &TcpListener,
    meeting: &Meeting,
    deadline: Instant,
) -> Result<Vec<(usize, TcpStream)>, CollectiveError> {
    let mut here: Vec<Option<TcpStream>> = (1..meeting.size).map(|_| None).collect();
    let met = welcome(listener, meeting, deadline, &mut here);
    let streams = here.into_iter().enumerate().filter_map(|(place, stream)| Some((meeting.first + 1 + place, stream?)));
    let mut streams: Vec<(usize, TcpStream)> = streams.collect();
    match met {
        Ok(()) => Ok(streams),
        Err(error) => {
            let word = Frame::word(Kind::Failed, &error.to_string());
            // Who cannot be told finds the connection closed.
            streams.iter_mut().for_each(|(_, stream)| drop(word.write(stream)));
            Err(error)
        }
    }
}

fn welcome(
    listener: &TcpListener,
    meeting: &Meeting,
    deadline: Instant,
    here: &mut [Option<TcpStream>],
) -> Result<(), CollectiveError> {
    while here.iter().any(Option::is_none) {
        // A try that fails is one caller's trouble; the next one is waited for.
        let caller = listener.accept().and_then(|(stream, _)| greeted(stream));
        let Ok((mut stream, hello)) = caller else {
            if Instant::now() > deadline {
                let missing = here.iter().enumerate().filter(|(_, stream)| stream.is_none());
                let ranks = missing.map(|(place, _)| meeting.first + 1 + place).collect();
                return Err(CollectiveError::Absent { ranks, address: meeting.address(), patience: meeting.patience });
            }
            thread::sleep(PAUSE);
            continue;
        };
        match hello.place(meeting, here) {
            Ok(place) => here[place] = Some(stream),
            Err(error) => {
                let _ = Frame::word(Kind::Failed, &error.to_string()).write(&mut stream);
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Who came.
struct Hello {
    version: u64,
    size: u64,
    rank: u64,
}

fn greeted(mut stream: TcpStream) -> io::Result<(TcpStream, Hello)> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(SILENCE))?;
    let mut hello = [0; 32];
    stream.read_exact(&mut hello)?;
    let (fields, _) = hello.as_chunks();
    match [0, 1, 2, 3].map(|field| u64::from_le_bytes(fields[field])) {
        [GREETING, version, size, rank] => Ok((stream, Hello { version, size, rank })),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

impl Hello {
    /// The place among the ranks behind the first, if it is free.
    fn place(&self, meeting: &Meeting, here: &[Option<TcpStream>]) -> Result<usize, CollectiveError> {
        let (rank, first) = (self.rank, meeting.first);
        let stranger =
            |expected: String, found: String| Err(CollectiveError::Stranger { rank, first, expected, found });
        if self.version != VERSION {
            return stranger(format!("version {VERSION} of these messages"), format!("version {}", self.version));
        }
        if self.size != meeting.size as u64 {
            return stranger(format!("WORLD_SIZE {}", meeting.size), self.size.to_string());
        }
        let place = usize::try_from(self.rank).ok().and_then(|rank| rank.checked_sub(first + 1));
        match place.and_then(|place| Some((place, here.get(place)?))) {
            None => {
                let last = first + meeting.size - 1;
                stranger(format!("a RANK from {} to {last}", first + 1), self.rank.to_string())
            }
            Some((_, Some(_))) => stranger("one process of each RANK".into(), "a second one".into()),
            Some((place, None)) => Ok(place),
        }
    }
}

/// Another rank looks for the first until it is there.
fn visit(meeting: &Meeting, deadline: Instant) -> Result<TcpStream, CollectiveError> {
    loop {
        match call(meeting) {
            Ok(stream) => return Ok(stream),
            Err(_) if Instant::now() < deadline => thread::sleep(PAUSE),
            Err(source) => {
                return Err(meeting.unreachable(meeting.rank, source));
            }
        }
    }
}

fn call(meeting: &Meeting) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = (meeting.host.as_str(), meeting.port).to_socket_addrs()?.collect();
    let mut result = Err(io::ErrorKind::AddrNotAvailable.into());
    for address in &addresses {
        result = TcpStream::connect_timeout(address, TRY);
        if result.is_ok() {
            break;
        }
    }
    let mut stream = result?;
    // On one machine, a port that nobody listens at yet can be what the system picks for this end too.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    let hello = [GREETING, VERSION, meeting.size as u64, meeting.rank as u64];
    stream.write_all(&hello.map(u64::to_le_bytes).concat())?;
    Ok(stream)
}
