//! `p9any`: the server says which protocols it speaks for which domain, the client takes one.
//!
//! Nothing protects the offer, so who takes p9sk1 where that is all there is can be pushed down to DES with its 56 bits
//! by anybody on the way. Only an account that was given a key for it does.

use super::account::Account;
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

/// A protocol that can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Key agreement with the password, then new tickets.
    Dp9ik,
    /// Tickets under the password's DES key.
    P9sk1,
}

impl Protocol {
    const fn name(self) -> &'static str {
        match self {
            Protocol::Dp9ik => "dp9ik",
            Protocol::P9sk1 => "p9sk1",
        }
    }
}

/// The protocols that an account speaks, in the order in which 9front offers them.
pub(super) fn spoken(account: &Account) -> &'static [Protocol] {
    match account.des_key() {
        Some(_) => &[Protocol::P9sk1, Protocol::Dp9ik],
        None => &[Protocol::Dp9ik],
    }
}

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
    /// The server has no dp9ik for the domain that is wanted, nor what else is spoken here.
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
    #[error("the server did not confirm the choice")]
    NotConfirmed,
}

/// The server's offer, with its end.
pub(super) fn offer(domain: &Domain, spoken: &[Protocol], version: Version) -> Vec<u8> {
    let prefix = match version {
        Version::V1 => "",
        Version::V2 => "v.2 ",
    };
    let items: Vec<String> = spoken.iter().map(|protocol| format!("{}@{domain}", protocol.name())).collect();
    format!("{prefix}{}\0", items.join(" ")).into_bytes()
}

/// The client's choice, with its end.
pub(super) fn choice(protocol: Protocol, domain: &Domain) -> Vec<u8> {
    format!("{} {domain}\0", protocol.name()).into_bytes()
}

/// Whether a domain can be offered: words of an offer end at blanks.
pub(crate) fn can_be_offered(domain: &Domain) -> bool {
    !domain.is_empty() && !domain.as_str().contains(' ')
}

/// What to choose from an offer: of the wanted domain, or of the first, dp9ik if that is there at all.
pub(super) fn choose(
    offer: Vec<u8>,
    spoken: &[Protocol],
    wanted: Option<&Domain>,
) -> Result<(Protocol, Domain, Version), NoAgreement> {
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
    let offered = |protocol: Protocol| {
        let domains = items.split(' ').filter_map(|item| item.split_once('@'));
        let mut domains = domains.filter(|(name, _)| *name == protocol.name());
        domains.find_map(|(_, domain)| {
            let domain = Domain::new(domain).ok().filter(can_be_offered)?;
            wanted.is_none_or(|wanted| *wanted == domain).then_some((protocol, domain))
        })
    };
    let best_first = [Protocol::Dp9ik, Protocol::P9sk1].into_iter();
    match best_first.filter(|protocol| spoken.contains(protocol)).find_map(offered) {
        Some((protocol, domain)) => Ok((protocol, domain, version)),
        None => Err(NoAgreement::NotOffered { offered: items.to_string() }),
    }
}

/// What the client took of that which was offered.
pub(super) fn chosen(
    choice: Vec<u8>,
    spoken: &[Protocol],
    offered: &Domain,
) -> Result<Protocol, NoAgreement> {
    let choice = String::from_utf8(choice).map_err(|_| NoAgreement::NotText)?;
    let mut words = choice.split(' ').filter(|word| !word.is_empty());
    let said = [words.next(), words.next(), words.next()];
    let named = |protocol: &Protocol| said == [Some(protocol.name()), Some(offered.as_str()), None];
    spoken.iter().copied().find(named).ok_or_else(|| NoAgreement::NotChosen(choice.clone()))
}

#[cfg(test)]
mod tests {
    use super::{Domain, NoAgreement, Protocol, Version, choose, chosen as taken, offer};

    const ONLY: &[Protocol] = &[Protocol::Dp9ik];
    const BOTH: &[Protocol] = &[Protocol::P9sk1, Protocol::Dp9ik];

    fn chosen(offer: &str, wanted: Option<&str>) -> Result<(std::string::String, Version), NoAgreement> {
        let (protocol, domain, version) = choice(offer, ONLY, wanted)?;
        assert_eq!(protocol, Protocol::Dp9ik);
        Ok((domain.as_str().into(), version))
    }

    fn choice(
        offer: &str,
        spoken: &[Protocol],
        wanted: Option<&str>,
    ) -> Result<(Protocol, Domain, Version), NoAgreement> {
        let wanted = wanted.map(|wanted| Domain::new(wanted).unwrap());
        choose(offer.as_bytes().to_vec(), spoken, wanted.as_ref())
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
    fn takes_p9sk1_only_if_that_is_spoken_and_nothing_better_offered() {
        let lab = || Domain::new("lab").unwrap();
        let found = choice("p9sk1@lab", BOTH, None);
        assert_eq!(found, Ok((Protocol::P9sk1, lab(), Version::V1)));
        for offer in ["p9sk1@lab dp9ik@lab", "p9sk1@home dp9ik@lab"] {
            assert_eq!(choice(offer, BOTH, None), Ok((Protocol::Dp9ik, lab(), Version::V1)));
        }
        let found = choice("p9sk1@lab dp9ik@home", BOTH, Some("lab"));
        assert_eq!(found, Ok((Protocol::P9sk1, lab(), Version::V1)));
    }

    #[test]
    fn refuses_versions_to_come() {
        assert_eq!(chosen("v.3 dp9ik@lab", None), Err(NoAgreement::Version("3".into())));
    }

    #[test]
    fn a_choice_is_two_words_that_were_offered() {
        let lab = Domain::new("lab").unwrap();
        assert_eq!(offer(&lab, ONLY, Version::V2), b"v.2 dp9ik@lab\0");
        assert_eq!(offer(&lab, BOTH, Version::V1), b"p9sk1@lab dp9ik@lab\0");
        assert_eq!(taken(b"dp9ik lab".to_vec(), ONLY, &lab), Ok(Protocol::Dp9ik));
        assert_eq!(taken(b"p9sk1 lab".to_vec(), BOTH, &lab), Ok(Protocol::P9sk1));
        for bad in ["dp9ik", "dp9ik home", "p9sk1 lab", "dp9ik lab x", "dp9ik@lab", ""] {
            let refused = NoAgreement::NotChosen(bad.into());
            assert_eq!(taken(bad.as_bytes().to_vec(), ONLY, &lab), Err(refused));
        }
        assert_eq!(taken([0xff].to_vec(), ONLY, &lab), Err(NoAgreement::NotText));
    }
}
