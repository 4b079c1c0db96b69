//! `p9any`: the server says which protocols it speaks for which domain, the client takes one.
//!
//! Only `dp9ik` is spoken here. Nothing protects the offer, so who took p9sk1 where that is all there is could be
//! pushed down to DES with its 56 bits by anybody on the way.

use super::gather::Endless;
use super::name::Domain;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Longest offer that is read, in bytes; 9front reads as many.
pub(super) const MAX_OFFER: usize = 2047;
/// Longest choice that is read, in bytes.
pub(super) const MAX_CHOICE: usize = 127;

/// What the server says in version 2 once it has the choice.
pub(super) const CONFIRMATION: &[u8; 3] = b"OK\0";

const DP9IK: &str = "dp9ik";

/// How the server negotiates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// What 9front's servers speak.
    #[default]
    V1,
    /// The server confirms the choice.
    V2,
}

/// Why a negotiation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAgreement {
    /// A text without an end, so probably another protocol.
    #[error("the peer does not speak p9any: {0}")]
    Endless(#[from] Endless),
    /// Bytes that are no text.
    #[error("the peer does not speak p9any: what it says is no text")]
    NotText,
    /// A version that nobody here knows.
    #[error("the server speaks version {0:?} of p9any; known are 1 and 2")]
    Version(String),
    /// The server has no dp9ik for the domain that is wanted.
    #[error(
        "the server offers {offered:?}, and no dp9ik for the domain that is wanted; give its account an AES key"
    )]
    NotOffered {
        /// What the server offers.
        offered: String,
    },
    /// The client takes what was not offered.
    #[error("the client wants {0:?}, which was not offered")]
    NotChosen(String),
    /// The server does not go on as it said.
    #[error("the server did not confirm the choice of dp9ik")]
    NotConfirmed,
}

/// The server's offer, with its end.
pub(super) fn offer(domain: &Domain, version: Version) -> Vec<u8> {
    let prefix = match version {
        Version::V1 => "",
        Version::V2 => "v.2 ",
    };
    format!("{prefix}{DP9IK}@{domain}\0").into_bytes()
}

/// The client's choice, with its end.
pub(super) fn choice(domain: &Domain) -> Vec<u8> {
    format!("{DP9IK} {domain}\0").into_bytes()
}

/// Whether a domain can be offered: words of an offer end at blanks.
pub(super) fn can_be_offered(domain: &Domain) -> bool {
    !domain.is_empty() && !domain.as_str().contains(' ')
}

/// The domain to choose from an offer: the wanted one, or the first.
pub(super) fn choose(offer: Vec<u8>, wanted: Option<&Domain>) -> Result<(Domain, Version), NoAgreement> {
    let offer = String::from_utf8(offer).map_err(|_| NoAgreement::NotText)?;
    let mut version = Version::V1;
    let mut items = offer.as_str();
    if let Some(named) = offer.strip_prefix("v.") {
        let (number, rest) = named.split_once(' ').unwrap_or((named, ""));
        if number != "2" {
            return Err(NoAgreement::Version(number.to_string()));
        }
        (version, items) = (Version::V2, rest);
    }
    let domains = items.split(' ').filter_map(|item| item.split_once('@'));
    let mut domains = domains.filter(|(protocol, _)| *protocol == DP9IK);
    let found = domains.find_map(|(_, domain)| {
        let domain = Domain::new(domain).ok().filter(can_be_offered)?;
        wanted.is_none_or(|wanted| *wanted == domain).then_some(domain)
    });
    match found {
        Some(domain) => Ok((domain, version)),
        None => Err(NoAgreement::NotOffered { offered: items.to_string() }),
    }
}

/// Whether the client took what was offered.
pub(super) fn check_choice(choice: Vec<u8>, offered: &Domain) -> Result<(), NoAgreement> {
    let choice = String::from_utf8(choice).map_err(|_| NoAgreement::NotText)?;
    let mut words = choice.split(' ').filter(|word| !word.is_empty());
    if [words.next(), words.next(), words.next()] == [Some(DP9IK), Some(offered.as_str()), None] {
        return Ok(());
    }
    Err(NoAgreement::NotChosen(choice))
}

#[cfg(test)]
mod tests {
    use super::{Domain, NoAgreement, Version, check_choice, choose, offer};

    fn chosen(offer: &str, wanted: Option<&str>) -> Result<(std::string::String, Version), NoAgreement> {
        let wanted = wanted.map(|wanted| Domain::new(wanted).unwrap());
        let (domain, version) = choose(offer.as_bytes().to_vec(), wanted.as_ref())?;
        Ok((domain.as_str().into(), version))
    }

    #[test]
    fn takes_dp9ik_wherever_it_stands() {
        assert_eq!(chosen("dp9ik@lab", None), Ok(("lab".into(), Version::V1)));
        assert_eq!(chosen("p9sk1@lab dp9ik@lab", None), Ok(("lab".into(), Version::V1)));
        assert_eq!(chosen("v.2 new@x dp9ik@lab", None), Ok(("lab".into(), Version::V2)));
        assert_eq!(chosen("dp9ik@lab dp9ik@home", Some("home")), Ok(("home".into(), Version::V1)));
        assert_eq!(chosen("odd  @ dp9ik@ dp9ik@lab", None), Ok(("lab".into(), Version::V1)));
    }

    #[test]
    fn never_falls_back_to_p9sk1() {
        for offer in ["p9sk1@lab", "p9sk1@home dp9ik@lab", "", "dp9ik", "v.2"] {
            assert!(matches!(chosen(offer, Some("home")), Err(NoAgreement::NotOffered { .. })), "{offer}");
        }
        assert!(matches!(chosen("p9sk1@lab", None), Err(NoAgreement::NotOffered { .. })));
    }

    #[test]
    fn refuses_versions_to_come() {
        assert_eq!(chosen("v.3 dp9ik@lab", None), Err(NoAgreement::Version("3".into())));
    }

    #[test]
    fn a_choice_is_two_words_that_were_offered() {
        let lab = Domain::new("lab").unwrap();
        assert_eq!(offer(&lab, Version::V2), b"v.2 dp9ik@lab\0");
        assert_eq!(check_choice(b"dp9ik lab".to_vec(), &lab), Ok(()));
        for bad in ["dp9ik", "dp9ik home", "p9sk1 lab", "dp9ik lab x", "dp9ik@lab", ""] {
            let refused = NoAgreement::NotChosen(bad.into());
            assert_eq!(check_choice(bad.as_bytes().to_vec(), &lab), Err(refused));
        }
        assert_eq!(check_choice([0xff].to_vec(), &lab), Err(NoAgreement::NotText));
    }
}
