//! Bytes that nobody else may learn: wiped when dropped, compared in constant time, never printed.

use alloc::boxed::Box;
use core::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// `N` secret bytes. They live on the heap, so that handing them on leaves no copies on the stack.
#[derive(Clone)]
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Takes the bytes over and wipes the place where they were.
    pub fn take(source: &mut [u8; N]) -> Secret<N> {
        let secret = Secret(Box::new(*source));
        source.zeroize();
        secret
    }

    /// Bytes that `fill` writes.
    pub fn filled(fill: impl FnOnce(&mut [u8; N])) -> Secret<N> {
        let mut secret = Secret(Box::new([0; N]));
        fill(&mut secret.0);
        secret
    }

    /// The bytes, to calculate with.
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// Whether every byte is zero, which is how absent keys are written.
    pub fn is_zero(&self) -> bool {
        self.0.ct_eq(&[0; N]).into()
    }
}

impl<const N: usize> PartialEq for Secret<N> {
    fn eq(&self, other: &Secret<N>) -> bool {
        self.0.ct_eq(&*other.0).into()
    }
}

impl<const N: usize> Eq for Secret<N> {}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Secret({N} bytes)")
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;
    use alloc::format;

    #[test]
    fn a_secret_is_compared_and_not_shown() {
        let mut bytes = [7; 4];
        let secret = Secret::take(&mut bytes);
        assert_eq!(bytes, [0; 4]);
        assert_eq!(secret, Secret::filled(|target| target.fill(7)));
        assert_ne!(secret, Secret::filled(|target| target.copy_from_slice(&[7, 7, 7, 6])));
        assert_eq!(format!("{secret:?}"), "Secret(4 bytes)");
        assert!(!secret.is_zero() && Secret::<3>::filled(|_| ()).is_zero());
    }
}
