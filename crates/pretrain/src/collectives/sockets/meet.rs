//! All ranks come to rank 0.
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
const VERSION: u64 = 1;

/// How long rank 0 lets one that has come be silent.
const SILENCE: Duration = Duration::from_secs(2);
/// How long a try to reach rank 0 takes at most.
const TRY: Duration = Duration::from_secs(2);
/// Time between two looks or tries.
const PAUSE: Duration = Duration::from_millis(20);

/// The connections of this rank.
pub(super) fn meet(world: &World) -> Result<Vec<(usize, TcpStream)>, CollectiveError> {
    let deadline = Instant::now() + world.patience;
    let streams = if world.rank == 0 { receive(world, deadline)? } else { vec![(0, visit(world, deadline)?)] };
    for (rank, stream) in &streams {
        prepare(stream, world).map_err(|source| CollectiveError::Unreachable {
            rank: *rank,
            address: world.address(),
            patience: world.patience,
            source: Arc::new(source),
        })?;
    }
    Ok(streams)
}

fn prepare(stream: &TcpStream, world: &World) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(None)?;
    stream.set_write_timeout(Some(world.patience))
}

/// Rank 0 waits for all others.
fn receive(world: &World, deadline: Instant) -> Result<Vec<(usize, TcpStream)>, CollectiveError> {
    let listener =
        bind(world).map_err(|source| CollectiveError::Listen { address: world.address(), source: Arc::new(source) })?;
    let mut here: Vec<Option<TcpStream>> = (1..world.size).map(|_| None).collect();
    let met = welcome(&listener, world, deadline, &mut here);
    let streams = here.into_iter().enumerate().filter_map(|(place, stream)| Some((place + 1, stream?)));
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

fn bind(world: &World) -> io::Result<TcpListener> {
    let listener = TcpListener::bind((world.host.as_str(), world.port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn welcome(
    listener: &TcpListener,
    world: &World,
    deadline: Instant,
    here: &mut [Option<TcpStream>],
) -> Result<(), CollectiveError> {
    while here.iter().any(Option::is_none) {
        // A try that fails is one caller's trouble; the next one is waited for.
        let caller = listener.accept().and_then(|(stream, _)| greeted(stream));
        let Ok((mut stream, hello)) = caller else {
            if Instant::now() > deadline {
                let missing = here.iter().enumerate().filter(|(_, stream)| stream.is_none());
                let ranks = missing.map(|(place, _)| place + 1).collect();
                return Err(CollectiveError::Absent { ranks, address: world.address(), patience: world.patience });
            }
            thread::sleep(PAUSE);
            continue;
        };
        match hello.place(world, here) {
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
    /// The place among ranks 1, 2, …, if it is free.
    fn place(&self, world: &World, here: &[Option<TcpStream>]) -> Result<usize, CollectiveError> {
        let stranger =
            |expected: String, found: String| Err(CollectiveError::Stranger { rank: self.rank, expected, found });
        if self.version != VERSION {
            return stranger(format!("version {VERSION} of these messages"), format!("version {}", self.version));
        }
        if self.size != world.size as u64 {
            return stranger(format!("WORLD_SIZE {}", world.size), self.size.to_string());
        }
        let place = usize::try_from(self.rank).ok().and_then(|rank| rank.checked_sub(1));
        match place.and_then(|place| Some((place, here.get(place)?))) {
            None => stranger(format!("a RANK from 1 to {}", world.size - 1), self.rank.to_string()),
            Some((_, Some(_))) => stranger("one process of each RANK".into(), "a second one".into()),
            Some((place, None)) => Ok(place),
        }
    }
}

/// Another rank looks for rank 0 until it is there.
fn visit(world: &World, deadline: Instant) -> Result<TcpStream, CollectiveError> {
    loop {
        match call(world) {
            Ok(stream) => return Ok(stream),
            Err(_) if Instant::now() < deadline => thread::sleep(PAUSE),
            Err(source) => {
                return Err(CollectiveError::Unreachable {
                    rank: world.rank,
                    address: world.address(),
                    patience: world.patience,
                    source: Arc::new(source),
                });
            }
        }
    }
}

fn call(world: &World) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = (world.host.as_str(), world.port).to_socket_addrs()?.collect();
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
    let hello = [GREETING, VERSION, world.size as u64, world.rank as u64];
    stream.write_all(&hello.map(u64::to_le_bytes).concat())?;
    Ok(stream)
}
