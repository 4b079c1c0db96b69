//! Where the key of an account comes from: a file, the environment, or whoever sits there; never the command line.

use anyhow::{Context, bail};
use net::auth::key::{AES_KEY_LEN, DES_KEY_LEN, aes_key, des_key};
use net::auth::{Account, Secret, UserName};
use std::io::Read;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The variable that may hold the password.
const VARIABLE: &str = "GRANARY_PASSWORD";
/// Bytes of a file that are read; passwords are shorter.
const FILE_LEN_MAX: u64 = 4096;

/// Where the key comes from.
#[derive(Debug, clap::Args)]
pub struct SecretArgs {
    /// Read the password from the first line of this file; `-` is standard input. Without it and `--key-file`, the
    /// password is in $GRANARY_PASSWORD, or asked for.
    #[arg(long, value_name = "FILE", conflicts_with = "key_file")]
    password_file: Option<PathBuf>,

    /// Read the key that is made of the password from this file: 32 hexadecimal digits.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,

    /// Speak p9sk1, too, where the peer has nothing better. It rests on DES, which whoever listens can break.
    #[arg(long, conflicts_with = "key_file")]
    p9sk1: bool,
}

/// The keys of an account.
pub struct Keys {
    /// For dp9ik.
    pub aes: Secret<AES_KEY_LEN>,
    /// For p9sk1, if that is to be spoken.
    pub des: Option<Secret<DES_KEY_LEN>>,
}

impl SecretArgs {
    /// The account of `user`, with its keys.
    ///
    /// # Errors
    /// There is no key, or what is in its place is none.
    pub fn account(&self, user: UserName) -> anyhow::Result<Account> {
        let Keys { aes, des } = self.keys(&user)?;
        let account = Account::new(user, &aes);
        Ok(match des {
            Some(key) => account.with_p9sk1(key),
            None => account,
        })
    }

    /// The keys of `user`.
    ///
    /// # Errors
    /// There are none, or what is in their place is none.
    pub fn keys(&self, user: &UserName) -> anyhow::Result<Keys> {
        match (&self.key_file, &self.password_file) {
            (Some(file), _) => {
                let aes = parse_key(&read(file)?).with_context(|| file.display().to_string())?;
                Ok(Keys { aes, des: None })
            }
            (None, Some(file)) => self.of_password(first_line(&read(file)?)?),
            (None, None) => match std::env::var(VARIABLE) {
                Ok(password) => self.of_password(Zeroizing::new(password).as_bytes()),
                Err(_) => self.of_password(ask(user)?.as_bytes()),
            },
        }
    }

    fn of_password(&self, password: &[u8]) -> anyhow::Result<Keys> {
        if password.is_empty() {
            bail!("the password is empty");
        }
        Ok(Keys { aes: aes_key(password), des: self.p9sk1.then(|| des_key(password)) })
    }
}

fn read(file: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let mut content = Zeroizing::new(Vec::with_capacity(FILE_LEN_MAX as usize));
    let read = match file.to_str() {
        Some("-") => std::io::stdin().take(FILE_LEN_MAX).read_to_end(&mut content),
        _ => std::fs::File::open(file).and_then(|file| file.take(FILE_LEN_MAX).read_to_end(&mut content)),
    };
    read.with_context(|| format!("reading {}", file.display()))?;
    Ok(content)
}

fn first_line(content: &[u8]) -> anyhow::Result<&[u8]> {
    let line = content.split(|&byte| byte == b'\n').next().unwrap_or_default();
    Ok(line.strip_suffix(b"\r").unwrap_or(line))
}

fn ask(user: &UserName) -> anyhow::Result<Zeroizing<String>> {
    let asked = rpassword::prompt_password(format!("password of {user}: "));
    asked.map(Zeroizing::new).context("asking for the password (give --password-file where nobody sits)")
}

fn parse_key(content: &[u8]) -> anyhow::Result<Secret<AES_KEY_LEN>> {
    const FORM: &str = "expected a key of 32 hexadecimal digits";
    let digits = content.trim_ascii();
    if digits.len() != 2 * AES_KEY_LEN {
        bail!(FORM);
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Zeroizing::new([0; AES_KEY_LEN]);
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else { bail!(FORM) };
        *byte = high << 4 | low;
    }
    Ok(Secret::take(&mut bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_digits_and_a_password_is_a_line() {
        let key = parse_key(b" 000102030405060708090a0B0C0D0e0f\n").unwrap();
        assert_eq!(key.expose()[15], 15);
        for bad in ["", "00", "000102030405060708090a0b0c0d0e0g", "000102030405060708090a0b0c0d0e0f00"] {
            assert!(parse_key(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(first_line(b"two words\r\nmore").unwrap(), b"two words");
        let args = SecretArgs { password_file: None, key_file: None, p9sk1: true };
        assert!(args.of_password(first_line(b"\n").unwrap()).is_err());
        assert!(args.of_password(b"kept safe").unwrap().des.is_some());
        assert!(SecretArgs { p9sk1: false, ..args }.of_password(b"kept safe").unwrap().des.is_none());
    }
}
