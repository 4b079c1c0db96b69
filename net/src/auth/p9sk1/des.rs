//! DES with keys of seven bytes, over what is longer than a block: blocks overlap by one byte, so that any length from
//! eight on stays what it is. Source: authsrv(6) and encrypt(2) of Plan 9.

use crate::auth::key::DES_KEY_LEN;
use crate::auth::secret::Secret;
use core::ops::Range;
use des::Des;
use des::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};

const BLOCK: usize = 8;

/// Encrypts in place. Fewer bytes than a block cannot be.
pub(in crate::auth) fn encrypt(key: &Secret<DES_KEY_LEN>, bytes: &mut [u8]) {
    let cipher = cipher(key);
    for place in blocks(bytes.len()) {
        if let Ok(block) = <&mut Array<u8, _>>::try_from(&mut bytes[place]) {
            cipher.encrypt_block(block);
        }
    }
}

/// Undoes [`encrypt`].
pub(in crate::auth) fn decrypt(key: &Secret<DES_KEY_LEN>, bytes: &mut [u8]) {
    let cipher = cipher(key);
    for place in blocks(bytes.len()).rev() {
        if let Ok(block) = <&mut Array<u8, _>>::try_from(&mut bytes[place]) {
            cipher.decrypt_block(block);
        }
    }
}

/// The key as DES takes it: seven bits in each byte, and one that makes their number odd.
pub(in crate::auth) fn with_parity(key: &Secret<DES_KEY_LEN>) -> Secret<BLOCK> {
    let bits = key.expose().iter().fold(0u64, |bits, &byte| bits << 8 | u64::from(byte));
    Secret::filled(|target| {
        for (index, byte) in target.iter_mut().enumerate() {
            let seven = (bits >> (49 - 7 * index)) as u8 & 0x7f;
            *byte = seven << 1 | u8::from(seven.count_ones().is_multiple_of(2));
        }
    })
}

fn cipher(key: &Secret<DES_KEY_LEN>) -> Des {
    Des::new(&Array(*with_parity(key).expose()))
}

/// Where the blocks are that `len` bytes are cut into.
fn blocks(len: usize) -> impl DoubleEndedIterator<Item = Range<usize>> {
    assert!(len >= BLOCK, "nothing here is shorter than a block");
    let whole = (len - 1) / 7;
    let last = (!(len - 1).is_multiple_of(7)).then_some(len - BLOCK);
    (0..whole).map(|index| 7 * index).chain(last).map(|at| at..at + BLOCK)
}

#[cfg(test)]
mod tests {
    use super::{decrypt, encrypt, with_parity};
    use crate::auth::fixtures::{array, bytes, fixture, list};
    use crate::auth::secret::Secret;

    #[test]
    fn bytes_are_encrypted_as_9front_does() {
        for vector in list(&fixture("tickets")["des_chain"]) {
            let key = Secret::take(&mut array(&vector["key7"]));
            assert_eq!(with_parity(&key).expose(), &array(&vector["key8_odd_parity"]));
            let plain = bytes(&vector["plain"]);
            let mut text = plain.clone();
            encrypt(&key, &mut text);
            assert_eq!(text, bytes(&vector["cipher"]));
            decrypt(&key, &mut text);
            assert_eq!(text, plain);
        }
    }
}
