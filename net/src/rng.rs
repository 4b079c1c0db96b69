//! The seam for randomness.

/// A source of unpredictable bytes, seeded before anything of ours runs.
pub trait Rng: Clone + 'static {
    /// Fills `target`.
    fn fill(&self, target: &mut [u8]);

    /// A random number.
    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}
