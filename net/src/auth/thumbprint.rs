//! Files of thumbprints: which certificates are trusted, by their hash and by nothing else.
//!
//! Lines `x509 sha256=HASH ...` and `x509 sha1=HASH ...`; `#include FILE`; all other lines mean nothing here. The
//! hash is hexadecimal or base64, of the certificate or of its public key. The latter as 9front writes it down:
//! with a NULL where for elliptic curves others name the curve.
//!
//! Words after the hash are for people, and for 9front nothing; ours may say `name=` and `roles=`.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use base64ct::{Base64Unpadded, Encoding};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use spki::der::asn1::AnyRef;
use spki::der::{Decode, Encode, SliceReader, Tag, Tagged};
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

/// How deep files may include one another.
pub const MAX_INCLUDES_DEEP: usize = 8;

/// Most certificates that are kept in mind.
pub const MAX_THUMBPRINTS: usize = 10_000;

/// Why a file is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadThumbprints {
    /// A hash that is none.
    #[error("line {line}: the hash is neither hexadecimal nor base64 of its full length")]
    Hash {
        /// The line, from 1.
        line: usize,
    },
    /// Too many.
    #[error("there are more than {MAX_THUMBPRINTS} thumbprints")]
    TooMany,
}

/// What the owner of a certificate may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Read blocks.
    pub read: bool,
    /// Write blocks.
    pub write: bool,
    /// Everything that a peer does: read, write, exchange names.
    pub replicate: bool,
}

impl Default for Roles {
    /// Where a line does not say.
    fn default() -> Roles {
        Roles { read: true, write: true, replicate: false }
    }
}

/// What a line says of a certificate, beside its hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// `name=`: what people call its owner. May be empty.
    pub name: String,
    /// `roles=`, of `read`, `write` and `replicate`.
    pub roles: Roles,
}

impl Grant {
    fn of(words: impl Iterator<Item = String>) -> Grant {
        let mut grant = Grant::default();
        for word in words {
            match word.split_once('=') {
                Some(("name", name)) => {
                    grant.name = name.chars().filter(|letter| !letter.is_control()).collect()
                }
                Some(("roles", roles)) => {
                    let has = |role| roles.split(',').any(|word| word == role);
                    let replicate = has("replicate");
                    let (read, write) = (replicate || has("read"), replicate || has("write"));
                    grant.roles = Roles { read, write, replicate };
                }
                _ => {}
            }
        }
        grant
    }
}

/// Certificates, by their hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thumbprints {
    sha1: BTreeMap<[u8; 20], Grant>,
    sha256: BTreeMap<[u8; 32], Grant>,
}

impl Thumbprints {
    /// Adds what a file lists. Yields the names of the files that it includes, to be added in turn by who can read
    /// them, [`MAX_INCLUDES_DEEP`] deep; one that does not exist counts as empty.
    pub fn add(&mut self, text: &str) -> Result<Vec<String>, BadThumbprints> {
        let mut includes = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let mut words = words(line);
            let (Some(first), Some(second)) = (words.next(), words.next()) else { continue };
            let known = match (first.as_str(), second.split_once('=')) {
                ("#include", _) => {
                    includes.push(second);
                    true
                }
                ("x509", Some(("sha1", hash))) => {
                    decode(hash).map(|hash| self.sha1.insert(hash, Grant::of(words))).is_some()
                }
                ("x509", Some(("sha256", hash))) => {
                    decode(hash).map(|hash| self.sha256.insert(hash, Grant::of(words))).is_some()
                }
                _ => true,
            };
            if !known {
                return Err(BadThumbprints::Hash { line: number });
            }
            if self.sha1.len() + self.sha256.len() + includes.len() > MAX_THUMBPRINTS {
                return Err(BadThumbprints::TooMany);
            }
        }
        Ok(includes)
    }

    /// Takes away what `others` list.
    pub fn remove_all(&mut self, others: &Thumbprints) {
        self.sha1.retain(|hash, _| !others.sha1.contains_key(hash));
        self.sha256.retain(|hash, _| !others.sha256.contains_key(hash));
    }

    /// Keeps only those of whom `keep` holds.
    pub fn retain(&mut self, keep: impl Fn(&Grant) -> bool) {
        self.sha1.retain(|_, grant| keep(grant));
        self.sha256.retain(|_, grant| keep(grant));
    }

    /// Whether a certificate (DER) is listed.
    pub fn accepts(&self, certificate: &[u8]) -> bool {
        self.find(certificate).is_some()
    }

    /// What is said of a certificate (DER), if it is listed.
    pub fn find(&self, certificate: &[u8]) -> Option<&Grant> {
        let whole = || self.sha256.get(&<[u8; 32]>::from(Sha256::digest(certificate)));
        let older = || self.sha1.get(&<[u8; 20]>::from(Sha1::digest(certificate)));
        whole().or_else(older).or_else(|| self.sha256.get(&key_thumbprint(certificate)?))
    }

    /// Whether nobody is listed.
    pub fn is_empty(&self) -> bool {
        self.sha1.is_empty() && self.sha256.is_empty()
    }
}

/// The hash of a certificate's public key as 9front writes it down. `None`: no certificate.
pub fn key_thumbprint(certificate: &[u8]) -> Option<[u8; 32]> {
    let certificate = sequence(&mut SliceReader::new(certificate).ok()?)?;
    let signed = sequence(&mut SliceReader::new(certificate.value()).ok()?)?;
    let mut fields = SliceReader::new(signed.value()).ok()?;
    let version = AnyRef::decode(&mut fields).ok()?;
    // Version 1 leaves the number of the version out, and begins with the serial number.
    let serial_number = usize::from(version.tag() != Tag::Integer);
    // Then come the algorithm, who signed, from when to when, and whom it is about.
    for _ in 0..serial_number + 4 {
        AnyRef::decode(&mut fields).ok()?;
    }
    let key = SubjectPublicKeyInfoRef::decode(&mut fields).ok()?;
    let algorithm = AlgorithmIdentifierRef { parameters: Some(AnyRef::NULL), ..key.algorithm };
    let written = SubjectPublicKeyInfoRef { algorithm, ..key }.to_der().ok()?;
    Some(Sha256::digest(written).into())
}

fn sequence<'a>(reader: &mut SliceReader<'a>) -> Option<AnyRef<'a>> {
    AnyRef::decode(reader).ok().filter(|any| any.tag() == Tag::Sequence)
}

fn decode<const N: usize>(hash: &str) -> Option<[u8; N]> {
    let mut decoded = [0; N];
    let filled = if hash.len() == 2 * N {
        base16ct::mixed::decode(hash, &mut decoded).ok()?
    } else {
        Base64Unpadded::decode(hash.trim_end_matches('='), &mut decoded).ok()?
    };
    (filled.len() == N).then_some(decoded)
}

/// Words as Plan 9 cuts them: at blanks and tabs that do not stand between `'`; `''` within them is one.
fn words(line: &str) -> impl Iterator<Item = String> {
    let mut rest = line;
    core::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t']);
        if rest.is_empty() {
            return None;
        }
        let (mut word, mut quoted) = (String::new(), false);
        let mut letters = rest.char_indices().peekable();
        let mut end = rest.len();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '\'' if quoted && letters.next_if(|(_, next)| *next == '\'').is_some() => word.push(letter),
                '\'' => quoted = !quoted,
                ' ' | '\t' if !quoted => {
                    end = at;
                    break;
                }
                _ => word.push(letter),
            }
        }
        rest = &rest[end..];
        Some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{array, bytes, fixture, list, text};
    use super::{BadThumbprints, Grant, Roles, Thumbprints, key_thumbprint, words};
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};
    use std::string::String;
    use std::vec::Vec;

    fn read(text: &str) -> Thumbprints {
        let mut thumbprints = Thumbprints::default();
        assert_eq!(thumbprints.add(text), Ok(Vec::new()));
        thumbprints
    }

    #[test]
    fn certificates_are_accepted_as_9front_does() {
        for certificate in list(&fixture("thumbprint")["certificates"]) {
            let der = bytes(&certificate["cert_der"]);
            assert_eq!(key_thumbprint(&der), Some(array(&certificate["spki_sha256_as_9front_computes_it"])));
            for vector in list(&certificate["file_lines"]) {
                let line = text(&vector["line"]);
                let accepted = read(line).accepts(&der);
                assert_eq!(accepted, vector["certificate_accepted"].as_bool().unwrap(), "{line}");
                let mut without = read(line);
                without.remove_all(&read(line));
                assert!(!without.accepts(&der));
            }
        }
    }

    #[test]
    fn a_malformed_hash_spoils_the_file() {
        let mut thumbprints = Thumbprints::default();
        for bad in
            ["x509 sha1=00", "x509 sha256=zz", "x509 sha1=", "x509 sha256=+CSyDpjRk9h6VFZ98SuhFwPUY9JM"]
        {
            let refused = thumbprints.add(&std::format!("# a comment\n{bad}\n"));
            assert_eq!(refused, Err(BadThumbprints::Hash { line: 2 }), "{bad}");
        }
    }

    #[test]
    fn other_files_are_named() {
        let includes =
            Thumbprints::default().add("#include /sys/lib/tls/more\n# include x\n#include\n").unwrap();
        assert_eq!(includes, ["/sys/lib/tls/more"]);
    }

    #[test]
    fn a_line_may_say_who_and_what_for() {
        let grant = |more| {
            let certificate = b"a certificate";
            let hash: String =
                Sha256::digest(certificate).iter().map(|byte| std::format!("{byte:02x}")).collect();
            read(&std::format!("x509 sha256={hash} {more}")).find(certificate).unwrap().clone()
        };
        let grant_of = |name: &str, read, write, replicate| Grant {
            name: name.into(),
            roles: Roles { read, write, replicate },
        };
        assert_eq!(grant(""), grant_of("", true, true, false));
        assert_eq!(grant("cn=ted name='the shed' # ours"), grant_of("the shed", true, true, false));
        assert_eq!(grant("roles=read,admin"), grant_of("", true, false, false));
        assert_eq!(grant("name=a roles=read,write,replicate"), grant_of("a", true, true, true));
        assert_eq!(grant("roles="), grant_of("", false, false, false));
    }

    #[test]
    fn words_are_cut_as_plan_9_does() {
        let cut = |line| words(line).collect::<Vec<String>>();
        assert_eq!(cut(" a\t'b c' d''e 'f''g' ''"), ["a", "b c", "de", "f'g", ""]);
        assert_eq!(cut("'open to the end"), ["open to the end"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn any_certificate_is_looked_at_without_harm(at in 0usize..400, with in any::<u8>(), len in 0usize..800) {
            let fixture = fixture("thumbprint");
            let mut der = bytes(&list(&fixture["certificates"])[0]["cert_der"]);
            let at = at % der.len();
            der[at] = with;
            der.truncate(len);
            let _ = key_thumbprint(&der);
        }

        #[test]
        fn any_text_is_read_without_harm(text in "(x509|#include|sha1=|sha256=|'| |=|[0-9a-f]{40}|\\PC|\n){0,20}") {
            let _ = Thumbprints::default().add(&text);
        }
    }
}
