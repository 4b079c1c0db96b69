//! The host's randomness.

use net::rng::Rng;

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostRng;

impl Rng for HostRng {
    /// # Panics
    /// If the operating system has no randomness. Nothing that needs it could go on.
    fn fill(&self, target: &mut [u8]) {
        let filled = getrandom::fill(target);
        assert!(filled.is_ok(), "the operating system has no randomness: {filled:?}");
    }
}
