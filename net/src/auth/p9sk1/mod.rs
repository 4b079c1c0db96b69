//! `p9sk1`, which came before `dp9ik`: its tickets and authenticators, and the cipher beneath.
//!
//! Who saw one connection learns the account's key, and with it everything, by trying 2^56 of them. It is spoken only
//! by an [`Account`](super::Account) that was given a key for it, which is for whoever has nothing better.
//!
//! | module | what |
//! |---|---|
//! | `des` | DES with keys of seven bytes, over what is longer than a block |
//! | [`ticket`] | tickets and authenticators in their old form |

mod des;
pub mod ticket;

pub(super) use des::encrypt;
pub use ticket::DesTicket;

use super::key::{DES_KEY_LEN, SessionSecret};
use super::secret::Secret;

/// The secret of a session: the key of its ticket.
pub(super) fn session_secret(ticket_key: &Secret<DES_KEY_LEN>) -> SessionSecret {
    SessionSecret::P9sk1(des::with_parity(ticket_key))
}
