//! Where firmware's SMBIOS entry point is, as a loader tells the kernel. A BIOS puts it where it is found by itself; UEFI does
//! not.
//!
//! It travels as a screen does ([`super::screen`]): a module of [`SMBIOS_LEN`] bytes, [`MAGIC`] and the address, little-endian.

use super::u64_at;

/// What the module begins with.
pub const MAGIC: [u8; 8] = *b"GRsmbios";
/// Bytes of it.
pub const SMBIOS_LEN: usize = 16;

/// The module.
pub fn encode(address: u64) -> [u8; SMBIOS_LEN] {
    let mut bytes = [0; SMBIOS_LEN];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..].copy_from_slice(&address.to_le_bytes());
    bytes
}

/// The address in a module; none if it is another one.
pub fn parse(bytes: &[u8]) -> Option<u64> {
    let address = u64_at(bytes, 8);
    (bytes.len() >= SMBIOS_LEN && bytes.starts_with(&MAGIC) && address != 0).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_loader_says_is_what_the_kernel_reads() {
        assert_eq!(parse(&encode(0x7f00_1230)), Some(0x7f00_1230));
        assert_eq!(parse(&encode(0)), None);
        assert_eq!(parse(b"GRscreen\x01\0\0\0\0\0\0\0"), None);
        assert_eq!(parse(b"GRsmb"), None);
    }
}
