//! Ranks that are processes: this file's test binary, started several times.

#![cfg(target_os = "linux")]

use std::{
    env,
    io::{self, Read, Write},
    process::{self, Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use longstrand_pretrain::{
    collectives::{Buckets, CollectiveError, Ranks, World, join},
    random::{Draws, Purpose},
};
use longstrand_tests::ranks::free_port;

/// What a process is to do; without it, nothing.
const ROLE: &str = "COLLECTIVES_TEST_ROLE";

/// Buckets of one, of odd numbers, of more than a socket holds.
const LENGTHS: [usize; 6] = [1, 3, 1_000, 65_537, 0, 1_200_007];

/// How long ranks wait that are to see another one hang.
const SHORT: Duration = Duration::from_secs(4);

/// A process of a test, and what it printed.
struct Rank(Child);

/// How a rank ended.
#[derive(Debug, PartialEq)]
struct Ended {
    succeeded: bool,
    lines: Vec<String>,
}

fn start(role: &str, rank: usize, size: usize, port: u16) -> Rank {
    let mut command = Command::new(env::current_exe().expect("this binary"));
    command.args(["--exact", "a_rank", "--ignored", "--nocapture", "-q"]).env(ROLE, role);
    command.env("RANK", rank.to_string()).env("WORLD_SIZE", size.to_string());
    command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", port.to_string()).env("LONGSTRAND_RANK_TIMEOUT", "60");
    Rank(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a rank"))
}

impl Rank {
    fn end(mut self) -> Ended {
        let mut text = String::new();
        self.0.stdout.take().expect("a pipe").read_to_string(&mut text).expect("text");
        let lines = text.lines().filter_map(|line| Some(line.split_once("says ")?.1.to_owned())).collect();
        Ended { succeeded: self.0.wait().expect("an end").success(), lines }
    }
}

/// Runs a role on every rank to its end.
fn run(role: &str, size: usize) -> Vec<Ended> {
    let port = free_port();
    let ranks: Vec<Rank> = (0..size).map(|rank| start(role, rank, size, port)).collect();
    ranks.into_iter().map(Rank::end).collect()
}

/// Values of very different magnitudes, so that another order of adding gives other bits.
fn values(rank: usize, bucket: usize) -> Vec<f32> {
    let draws = Draws::new(rank as u64, Purpose::Initial, 0, bucket as u32);
    let value = |n| {
        let [a, b, ..] = draws.block(n);
        (f64::from(a) / 2.0_f64.powi(31) - 1.0) as f32 * 2.0_f32.powi((b % 24) as i32 - 12)
    };
    (0..LENGTHS[bucket] as u64).map(value).collect()
}

/// FNV-1a of all bits.
fn digest(values: &[f32]) -> u64 {
    let add = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    values.iter().flat_map(|value| value.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, add)
}

fn digests(sums: &[Vec<f32>]) -> String {
    format!("{:x?}", sums.iter().map(|sum| digest(sum)).collect::<Vec<_>>())
}

fn say(line: &str) {
    writeln!(io::stdout(), "{line}").expect("a pipe");
}

/// The body of a rank.
#[test]
#[ignore = "a process of the other tests"]
fn a_rank() {
    let Ok(role) = env::var(ROLE) else { return };
    let world = World::from_environment().expect("the environment of a launcher");
    if let Err(error) = act(&role, &world) {
        say(&format!("says {error}"));
        process::exit(3);
    }
}

fn act(role: &str, world: &World) -> Result<(), CollectiveError> {
    let patience = if role == "stopped" { SHORT } else { world.patience };
    let mut ranks = join(&World { patience, ..world.clone() })?;
    match role {
        "sums" => sums(&mut ranks),
        "buckets" => buckets(&mut ranks),
        "sizes" => {
            ranks.barrier()?;
            ranks.start_sum(vec![1.0; if ranks.rank() == 2 { 99 } else { 100 }])?;
            ranks.finish_sum().map(|_| ())
        }
        "kinds" => {
            let result = if ranks.rank() == 1 { ranks.barrier() } else { ranks.sum_f64(&mut [1.0]) };
            result.and_then(|()| ranks.barrier())
        }
        "forever" | "stopped" => {
            say("says ready");
            loop {
                ranks.start_sum(vec![1.0; 5_000])?;
                ranks.start_sum(vec![1.0; 70_000])?;
                ranks.finish_sum()?;
                ranks.finish_sum()?;
            }
        }
        role => panic!("no role {role}"),
    }
}

fn sums(ranks: &mut Ranks) -> Result<(), CollectiveError> {
    for bucket in 0..LENGTHS.len() {
        ranks.start_sum(values(ranks.rank(), bucket))?;
    }
    let mut numbers = [1.0, 10.0_f64.powi(ranks.rank() as i32)];
    ranks.sum_f64(&mut numbers)?;
    let sums: Vec<Vec<f32>> = LENGTHS.iter().map(|_| ranks.finish_sum()).collect::<Result<_, _>>()?;
    let last = ranks.world_size() - 1;
    let word = ranks.broadcast(last, format!("rank {}", ranks.rank()).into_bytes())?;
    ranks.barrier()?;
    say(&format!("says {} {numbers:?} {}", String::from_utf8_lossy(&word), digests(&sums)));
    Ok(())
}

fn buckets(ranks: &mut Ranks) -> Result<(), CollectiveError> {
    let mut tensors: Vec<Vec<f32>> = (0..LENGTHS.len()).map(|tensor| values(ranks.rank(), tensor)).collect();
    let mut slices: Vec<&mut [f32]> = tensors.iter_mut().map(Vec::as_mut_slice).collect();
    Buckets::new(&LENGTHS, 1 << 18).sum(&mut slices, ranks.as_mut())?;
    say(&format!("says {}", digests(&tensors)));
    Ok(())
}

/// What one process makes of the values of all ranks.
fn expected(size: usize) -> String {
    let sum = |bucket| {
        (1..size).fold(values(0, bucket), |mut sum, rank| {
            sum.iter_mut().zip(values(rank, bucket)).for_each(|(sum, value)| *sum += value);
            sum
        })
    };
    digests(&(0..LENGTHS.len()).map(sum).collect::<Vec<_>>())
}

#[test]
fn processes_get_the_bits_of_one_process_every_time() {
    for size in [1, 2, 3, 5] {
        let last = size - 1;
        let powers: f64 = (0..size as i32).map(|rank| 10.0_f64.powi(rank)).sum();
        let line = format!("rank {last} {:?} {}", [size as f64, powers], expected(size));
        let ended = run("sums", size);
        assert_eq!(ended.len(), size);
        ended.iter().for_each(|ended| assert_eq!(ended, &Ended { succeeded: true, lines: vec![line.clone()] }));
        if size == 3 {
            assert_eq!(run("sums", size), ended);
            for ended in run("buckets", size) {
                assert_eq!(ended, Ended { succeeded: true, lines: vec![expected(size)] });
            }
        }
    }
}

/// Starts three ranks that sum for ever, does something to one, and returns what the others say, which is soon.
fn parted(role: &str, victim: usize, signal: &str) -> Vec<String> {
    let port = free_port();
    let mut ranks: Vec<Rank> = (0..3).map(|rank| start(role, rank, 3, port)).collect();
    // Some output of the victim: the ranks have met.
    let mut first = [0; 64];
    assert!(ranks[victim].0.stdout.as_mut().expect("a pipe").read(&mut first).expect("a word") > 0);
    thread::sleep(Duration::from_millis(500));
    let id = ranks[victim].0.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().expect("kill").success());
    let started = Instant::now();
    let mut victim = ranks.remove(victim);
    let said = ranks.into_iter().map(|rank| {
        let Ended { succeeded, mut lines } = rank.end();
        assert!(!succeeded, "{lines:?}");
        lines.pop().expect("a word")
    });
    let said = said.collect();
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    victim.0.kill().expect("a process of this test");
    victim.0.wait().expect("an end");
    said
}

#[test]
fn a_killed_rank_is_told_by_the_others_within_seconds() {
    for victim in [0, 1, 2] {
        for said in parted("forever", victim, "-KILL") {
            assert!(said.contains(&format!("rank {victim} is gone: its connection ended during operation ")), "{said}");
        }
    }
}

#[test]
fn a_rank_that_hangs_is_told_in_time() {
    for said in parted("stopped", 1, "-STOP") {
        assert!(said.contains("expected rank 1 at operation ") && said.ends_with("no word of it within 4s"), "{said}");
    }
    for said in parted("stopped", 0, "-STOP") {
        assert!(said.starts_with("expected rank 0 at operation "), "{said}");
    }
}

#[test]
fn ranks_that_do_other_things_are_named() {
    let words = |role| run(role, 3).into_iter().map(|ended| ended.lines.concat()).collect::<Vec<_>>();
    let differs = "rank 2: expected operation 2, a sum of 100 f32, found operation 2, a sum of 99 f32";
    assert_eq!(words("sizes"), [differs.into(), format!("rank 0: {differs}"), format!("rank 0: {differs}")]);
    let differs = "rank 1: expected operation 1, a sum of 1 f64, found operation 1, a barrier";
    assert_eq!(words("kinds"), [differs.into(), format!("rank 0: {differs}"), format!("rank 0: {differs}")]);
}

#[test]
fn who_does_not_fit_is_told_when_ranks_meet() {
    let port = free_port();
    let (first, second) = (start("sums", 0, 2, port), start("sums", 1, 3, port));
    let differs = "rank 1 came to meet rank 0: expected WORLD_SIZE 2, found 3";
    assert_eq!(first.end().lines, [differs]);
    assert_eq!(second.end().lines, [format!("rank 0: {differs}")]);

    let twice = [0, 1, 1].map(|rank| start("sums", rank, 3, port)).map(Rank::end);
    let differs = "rank 1 came to meet rank 0: expected one process of each RANK, found a second one";
    assert_eq!(twice[0].lines, [differs]);
    twice[1..].iter().for_each(|ended| assert_eq!(ended.lines, [format!("rank 0: {differs}")]));

    let alone = start("stopped", 0, 3, port).end();
    assert_eq!(alone.lines, [format!("expected ranks 1, 2 at 127.0.0.1:{port} within 4s, found nobody")]);
    let alone = start("stopped", 2, 3, port).end();
    assert_eq!(alone.lines, [format!("rank 2: expected rank 0 at 127.0.0.1:{port}, found nobody within 4s")]);
}
