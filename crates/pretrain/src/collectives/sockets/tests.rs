use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use super::*;
use crate::random::{Draws, Purpose};

/// Ranks that meet at a port that is free.
fn worlds(size: usize, patience: Duration) -> Vec<World> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    (0..size)
        .map(|rank| World { rank, size, local_size: size, local_rank: rank, host: "127.0.0.1".into(), port, patience })
        .collect()
}

/// What each of several threads makes of its world.
fn together<T: Send>(worlds: &[World], work: impl Fn(&World) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = worlds.iter().map(|world| scope.spawn(move || work(world))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

const PATIENCE: Duration = Duration::from_secs(30);

/// Values of very different magnitudes, so that another order of adding gives other bits.
fn values(rank: usize, bucket: u32, length: usize) -> Vec<f32> {
    let draws = Draws::new(rank as u64, Purpose::Initial, 0, bucket);
    let value = |n| {
        let [a, b, ..] = draws.block(n);
        (f64::from(a) / 2.0_f64.powi(31) - 1.0) as f32 * 2.0_f32.powi((b % 24) as i32 - 12)
    };
    (0..length as u64).map(value).collect()
}

#[test]
fn sums_are_those_of_one_process_in_the_order_of_ranks() {
    const LENGTHS: [usize; 5] = [1, 7, 0, 1_003, 70_001];
    for size in [2, 3] {
        let sums = together(&worlds(size, PATIENCE), |world| {
            let mut ranks = Sockets::join(world).unwrap();
            for (bucket, &length) in (0..).zip(&LENGTHS) {
                ranks.start_sum(values(world.rank, bucket, length)).unwrap();
            }
            let mut numbers = [0.1 * world.rank as f64, 1.0];
            ranks.sum_f64(&mut numbers).unwrap();
            assert_eq!(numbers, if size == 2 { [0.1, 2.0] } else { [0.1 + 0.2, 3.0] });
            for root in 0..size {
                assert_eq!(
                    ranks.broadcast(root, vec![world.rank as u8; 3 + root]).unwrap(),
                    vec![root as u8; 3 + root]
                );
            }
            let sums = LENGTHS.map(|_| ranks.finish_sum().unwrap());
            ranks.barrier().unwrap();
            sums
        });
        for (bucket, length) in LENGTHS.into_iter().enumerate() {
            let add = |mut sum: Vec<f32>, rank| {
                sum.iter_mut().zip(values(rank, bucket as u32, length)).for_each(|(sum, value)| *sum += value);
                sum
            };
            let expected = (1..size).fold(values(0, bucket as u32, length), add);
            for of_rank in &sums {
                let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                assert!(bits(&of_rank[bucket]) == bits(&expected), "{size} ranks, {length} values");
            }
        }
    }
}

#[test]
fn ranks_that_disagree_are_named_to_all() {
    let errors = together(&worlds(3, PATIENCE), |world| {
        let mut ranks = Sockets::join(world).unwrap();
        ranks.agree("the settings", b"same").unwrap();
        let of_rank: &[u8] = if world.rank == 2 { b"other" } else { b"same" };
        let error = ranks.agree("the settings", of_rank).unwrap_err().to_string();
        // That is no fault of the connections: they last.
        ranks.barrier().unwrap();
        error
    });
    assert_eq!(errors, ["rank 2: expected the settings to be the same as on rank 0, found a difference"; 3]);
}

#[test]
fn who_does_not_greet_is_left_alone() {
    let worlds = worlds(2, PATIENCE);
    let stray = thread::spawn({
        let world = worlds[0].clone();
        move || {
            let call = || TcpStream::connect((world.host.as_str(), world.port)).ok();
            let mut stream =
                (0..500).find_map(|_| call().or_else(|| (thread::sleep(PATIENCE / 3_000), None).1)).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: somewhere-else\r\n\r\n").unwrap();
        }
    });
    let late = Duration::from_millis(300);
    together(&worlds, |world| {
        thread::sleep(late * world.rank as u32);
        Sockets::join(world).unwrap().barrier().unwrap();
    });
    stray.join().unwrap();
}

#[test]
fn a_parted_group_stays_parted() {
    let errors = together(&worlds(2, PATIENCE), |world| {
        let mut ranks = Sockets::join(world).unwrap();
        if world.rank == 1 {
            return Vec::new();
        }
        [ranks.barrier(), ranks.sum_f64(&mut [1.0])].map(|result| result.unwrap_err().to_string()).to_vec()
    });
    assert_eq!(errors[0], ["rank 1 has ended its run before operation 1, a barrier"; 2]);
}

#[test]
fn a_rank_that_hangs_is_named_though_another_came_long_before_rank_0() {
    let errors = together(&worlds(3, Duration::from_secs(1)), |world| {
        let mut ranks = Sockets::join(world).unwrap();
        match world.rank {
            0 => thread::sleep(Duration::from_millis(5_300)),
            1 => (),
            _ => {
                thread::sleep(Duration::from_secs(7));
                return String::new();
            }
        }
        ranks.barrier().unwrap_err().to_string()
    });
    let expected = "expected rank 2 at operation 1, a barrier, found no word of it within 1s";
    assert_eq!(errors, [expected, &format!("rank 0: {expected}"), ""]);
}

#[test]
fn groups_work_apart_and_what_is_gathered_comes_in_the_order_of_ranks() {
    together(&worlds(4, PATIENCE), |world| {
        let mut ranks = Sockets::join(world).unwrap();
        let mut group = ranks.split(2).unwrap();
        assert_eq!((group.rank(), group.world_size()), (world.rank % 2, 2));
        let first = world.rank / 2 * 2;
        // One group does more than the other.
        for round in 0..=first as u8 {
            let all = group.gather(vec![round; world.rank]).unwrap();
            assert_eq!(all, [vec![round; first], vec![round; first + 1]]);
        }
        let all = ranks.gather(vec![world.rank as u8]).unwrap();
        assert_eq!(all, [[0], [1], [2], [3]]);
        assert_eq!(ranks.split(1).unwrap().gather(vec![7]).unwrap(), [[7]]);
        assert_eq!(ranks.split(4).unwrap().rank(), world.rank);
        ranks.barrier().unwrap();
        group.barrier().unwrap();
    });
}

#[test]
fn a_group_names_ranks_as_all_do() {
    let errors = together(&worlds(4, PATIENCE), |world| {
        let mut ranks = Sockets::join(world).unwrap();
        let mut group = ranks.split(2).unwrap();
        if world.rank == 3 {
            return Vec::new();
        }
        let of_group = group.gather(Vec::new()).map_or_else(|error| error.to_string(), |_| String::new());
        let of_all = ranks.barrier().unwrap_err().to_string();
        vec![of_group, of_all]
    });
    let [of_group, of_all] = [
        "rank 3 has ended its run before operation 1, a gather",
        "rank 3 has ended its run before operation 2, a barrier",
    ];
    assert_eq!(errors[0], ["", of_all]);
    assert_eq!(errors[2], [of_group, &format!("rank 0: {of_all}")]);
}
