//! Passes side by side, each by one thread.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use longstrand_kernels::Cpu;
use longstrand_model::{Model, Scratch};
use rayon::ThreadPoolBuilder;

/// What the work gives for each number below `count`, as many at a time as there are threads.
pub(super) fn side_by_side<T: Send>(
    model: &Model<Cpu>,
    count: usize,
    work: impl Fn(usize, &mut Scratch<f32>) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let turns = || {
        let mut scratch = model.scratch();
        let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed)).take_while(|&i| i < count);
        numbers.map(|i| (i, work(i, &mut scratch))).collect::<Vec<(usize, T)>>()
    };
    let alone = || ThreadPoolBuilder::new().num_threads(1).build().expect("a pool of one thread").install(turns);
    let mut given: Vec<(usize, T)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..rayon::current_num_threads()).map(|_| scope.spawn(alone)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a thread that did its work")).collect()
    });
    given.sort_by_key(|(i, _)| *i);
    given.into_iter().map(|(_, given)| given).collect()
}
