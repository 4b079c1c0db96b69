//! What simulated nodes prove themselves with: made once, because making keys takes longer than a trial.

use net::auth::key::aes_key;
use net::auth::{Account, Domain, UserName};
use net::replicate::Keys;
use net::rng::Rng;
use net::secure;
use net::tls13::{Identity, Source};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use storage::arithmetic::Arithmetic;
use storage::score::Score;

/// Not random, and never the same twice.
#[derive(Clone, Copy)]
pub struct SimRng;

static NEXT: AtomicU64 = AtomicU64::new(1);
pub static SOURCE: Source<SimRng> = Source::new(SimRng);

impl Rng for SimRng {
    fn fill(&self, target: &mut [u8]) {
        for chunk in target.chunks_mut(20) {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            chunk.copy_from_slice(&Score::of(&number.to_le_bytes()).0[..chunk.len()]);
        }
    }
}

/// Nodes whose keys there are; the last one is a stranger whom nobody lists.
pub const OWNERS: [&str; 6] = ["east", "west", "north", "south", "middle", "stranger"];

/// The certificate of a node, and its key.
pub fn certificate(name: &str) -> Identity {
    static ALL: OnceLock<Vec<Identity>> = OnceLock::new();
    let all =
        ALL.get_or_init(|| OWNERS.iter().map(|name| Identity::generate(&SimRng, name).unwrap()).collect());
    let at = OWNERS.iter().position(|owner| *owner == name).expect("a node that has a key");
    all[at].clone()
}

/// The account that all nodes share, as nodes of one host owner do.
pub fn account() -> secure::Identity {
    static SHARED: OnceLock<secure::Identity> = OnceLock::new();
    let make = || of_password("barn", b"kept safe");
    SHARED.get_or_init(make).clone()
}

/// An account of the domain `lab`.
pub fn of_password(user: &str, password: &[u8]) -> secure::Identity {
    let account = Account::new(UserName::new(user).unwrap(), &aes_key(password));
    secure::Identity { account, domain: Domain::new("lab").unwrap() }
}

/// What a node has.
pub fn keys(name: &str) -> Keys<SimRng> {
    Keys {
        account: Some(account()),
        auth: None,
        certificate: Some(certificate(name)),
        source: Some(&SOURCE),
        rng: SimRng,
        arithmetic: Arithmetic::here(),
    }
}

/// The `thumbprints` of a node that lets all others replicate.
pub fn thumbprints(own: &str) -> String {
    let others = OWNERS[..5].iter().filter(|name| **name != own);
    others.map(|name| format!("{} roles=replicate\n", certificate(name).line(name))).collect()
}
