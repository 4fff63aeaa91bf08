//! Runs a scenario once per seed, on every core, and names the seed that fails.

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// Runs only this seed.
const ONE: &str = "PIECEWORK_SEED";
/// Runs this many seeds instead of the test's own number.
const COUNT: &str = "PIECEWORK_SEEDS";

/// Calls `run` with 0, 1, … `count - 1`, spread over the cores. The first panic stops the rest; the output names its
/// seed and the command for it alone.
///
/// It prints the number of seeds (`cargo test -- --show-output`).
///
/// `PIECEWORK_SEED=n` runs seed `n` alone, `PIECEWORK_SEEDS=n` runs n seeds instead of `count`.
pub fn for_seeds(count: u64, run: impl Fn(u64) + Sync) {
    if let Some(seed) = number(ONE) {
        return run(seed);
    }
    let count = number(COUNT).unwrap_or(count);
    println!("{count} seeds");
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= count {
                break;
            }
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
                stop.store(true, Ordering::Relaxed);
                println!("seed {seed} failed; {ONE}={seed} runs it alone");
                return Err(panic);
            }
        }
        Ok(())
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let failed = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ends = workers.into_iter().map(|worker| worker.join());
        ends.filter_map(|end| end.unwrap_or_else(Err).err()).next()
    });
    if let Some(panic) = failed {
        resume_unwind(panic);
    }
}

fn number(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    match value.parse() {
        Ok(number) => Some(number),
        Err(_) => panic!("{name}={value:?} is not a number; give a seed such as {name}=17"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn every_seed_runs_once() {
        let seen = Mutex::new(Vec::new());
        for_seeds(100, |seed| seen.lock().unwrap().push(seed));
        let mut seen = seen.into_inner().unwrap();
        seen.sort_unstable();
        // One of the environment's variables may be set: then fewer or others.
        if env::var_os(ONE).is_none() && env::var_os(COUNT).is_none() {
            assert_eq!(seen, (0..100).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_seed_that_fails_fails_the_test() {
        let failed = catch_unwind(|| for_seeds(100, |seed| assert!(seed % 7 != 3, "seed {seed}")));
        if env::var_os(ONE).is_none() && env::var_os(COUNT).is_none() {
            let panic = failed.expect_err("seed 3 fails");
            let text = panic.downcast_ref::<String>().unwrap();
            assert!(text.starts_with("seed "), "{text}");
        }
    }
}
