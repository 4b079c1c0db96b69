//! Randomness: a ChaCha20 generator, seeded from the processor and from whatever drivers add.
//!
//! Knows which sources count. Must not know what random numbers are for. Without a source there is no generator at all, so
//! nothing can run on guessable keys by mistake.

use crate::arch::cpu;
use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng};
use net::rng::Rng;
use spin::Mutex;
use x86_64::instructions::random::RdRand;

/// Bytes of good randomness before the generator may be used.
pub const SEED_LEN: usize = 32;

struct Pool {
    generator: ChaCha20Rng,
    /// Good bytes so far, as far as it matters.
    credit: usize,
}

static POOL: Mutex<Option<Pool>> = Mutex::new(None);

/// No source of randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no source of randomness: the processor has neither RDSEED nor RDRAND, and no virtio-rng device was found; \
         give the machine one (QEMU: -device virtio-rng-pci)"
)]
pub struct NoEntropy;

/// The machine's random number generator. There is one only if it is seeded.
#[derive(Clone, Copy, Debug)]
pub struct KernelRng(());

/// The generator.
///
/// # Errors
/// [`NoEntropy`] while fewer than [`SEED_LEN`] good bytes have come in.
pub fn rng() -> Result<KernelRng, NoEntropy> {
    let seeded = POOL.lock().as_ref().is_some_and(|pool| pool.credit >= SEED_LEN);
    seeded.then_some(KernelRng(())).ok_or(NoEntropy)
}

/// Mixes in `bytes` from a source that an attacker cannot predict, such as a virtio-rng device. They never make the state
/// weaker, whatever they are.
pub fn add_seed(source: &str, bytes: &[u8]) {
    mix(bytes, bytes.len());
    log::info!("{} bytes of randomness from {source}", bytes.len());
}

/// Seeds from the processor, if it can.
pub fn init() {
    // Good for telling two machines apart, not for keys: no credit.
    mix(&cpu::time_stamp().to_le_bytes(), 0);
    let mut seed = [0; 2 * SEED_LEN];
    if let Some(source) = from_processor(&mut seed) {
        add_seed(source, &seed);
    }
}

fn mix(bytes: &[u8], credit: usize) {
    let mut pool = POOL.lock();
    let pool = pool.get_or_insert_with(|| Pool { generator: ChaCha20Rng::from_seed([0; 32]), credit: 0 });
    for chunk in bytes.chunks(32) {
        pool.rekey(chunk);
    }
    pool.credit = pool.credit.saturating_add(credit).min(SEED_LEN);
}

impl Pool {
    /// Replaces the key by its own output, changed by `bytes`: earlier output cannot be found from the new state.
    fn rekey(&mut self, bytes: &[u8]) {
        let mut key = [0; 32];
        self.generator.fill_bytes(&mut key);
        for (key, byte) in key.iter_mut().zip(bytes) {
            *key ^= byte;
        }
        self.generator = ChaCha20Rng::from_seed(key);
    }
}

impl Rng for KernelRng {
    fn fill(&self, target: &mut [u8]) {
        if let Some(pool) = POOL.lock().as_mut() {
            pool.generator.fill_bytes(target);
            pool.rekey(&[]);
        }
    }
}

/// Fills `seed` by RDSEED, or else RDRAND; returns its name.
fn from_processor(seed: &mut [u8]) -> Option<&'static str> {
    let by_rdseed = |seed: &mut [u8]| cpu::has_rdseed() && fill_with(seed, rdseed);
    if by_rdseed(seed) {
        return Some("RDSEED");
    }
    let rdrand = RdRand::new().filter(|_| cpu::has_rdrand())?;
    fill_with(seed, || rdrand.get_u64()).then_some("RDRAND")
}

/// Fills `target` with numbers from `source`; no success if it falters or repeats itself, as broken processors do.
fn fill_with(target: &mut [u8], mut source: impl FnMut() -> Option<u64>) -> bool {
    const TRIES: usize = 100;
    let mut last = None;
    for chunk in target.chunks_exact_mut(8) {
        let Some(number) = (0..TRIES).find_map(|_| source()) else { return false };
        if last == Some(number) {
            return false;
        }
        last = Some(number);
        chunk.copy_from_slice(&number.to_le_bytes());
    }
    true
}

fn rdseed() -> Option<u64> {
    let number: u64;
    let valid: u8;
    // SAFETY: only called where CPUID offers RDSEED; it touches registers and flags alone.
    unsafe {
        core::arch::asm!("rdseed {}", "setc {}", out(reg) number, out(reg_byte) valid, options(nomem, nostack));
    }
    (valid != 0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_repeats_itself_or_fails_is_refused() {
        let mut seed = [0; 32];
        assert!(!fill_with(&mut seed, || Some(u64::MAX)));
        assert!(!fill_with(&mut seed, || None));
        let mut next = 0;
        let counting = || {
            next += 1;
            (next % 3 != 0).then_some(next)
        };
        assert!(fill_with(&mut seed, counting));
    }

    #[test]
    fn there_is_no_generator_without_a_seed_and_output_never_repeats() {
        mix(&[1; 8], 0);
        assert_eq!(rng().map(|_| ()), Err(NoEntropy));
        add_seed("a test", &[7; 16]);
        assert_eq!(rng().map(|_| ()), Err(NoEntropy));
        add_seed("a test", &[7; 16]);
        let rng = rng().unwrap();
        let mut numbers: std::vec::Vec<u64> = (0..1000).map(|_| rng.next_u64()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 1000);
    }
}
