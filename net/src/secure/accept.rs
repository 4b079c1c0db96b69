//! The server's end.

use super::line::Line;
use super::{Means, SecureError, Secured};
use crate::auth::dp9ik::server::Event;
use crate::auth::dp9ik::{Established, Nonces, Server, draw_secret};
use crate::auth::p9any::Version;
use crate::auth::{Account, Domain, UserName};
use crate::clock::{Clock, within};
use crate::rng::Rng;
use crate::tls_psk;
use embedded_io_async::{Read, Write};

/// Who a server is. Making its account takes a while; keep it.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its account.
    pub account: Account,
    /// The domain whose authentication server vouches for clients.
    pub domain: Domain,
}

/// Lets a client prove itself, and proves who this server is to a client that `may_connect`.
///
/// # Errors
/// The client proves nothing, or may not connect, or is too slow. Close then: there is no refusal to be said.
pub async fn accept<R: Read, W: Write, C: Clock, G: Rng>(
    reader: R,
    writer: W,
    identity: &Identity,
    may_connect: impl FnOnce(&UserName) -> bool,
    means: &Means<C, G>,
) -> Result<Secured<R, W, G>, SecureError> {
    let deadline = means.clock.now().plus(means.patience);
    within(&means.clock, deadline, async {
        let mut line = Line::new(reader, writer);
        let Established { user, server, secret } =
            authenticate(&mut line, identity, may_connect, &means.rng).await?;
        let end = tls_psk::Server::new(secret, means.rng.clone());
        let (reader, writer) = line.protect(end, &means.arithmetic).await?;
        Ok(Secured { user, server, reader, writer })
    })
    .await
    .unwrap_or(Err(SecureError::TimedOut))
}

async fn authenticate<R: Read, W: Write>(
    line: &mut Line<R, W>,
    identity: &Identity,
    may_connect: impl FnOnce(&UserName) -> bool,
    rng: &impl Rng,
) -> Result<Established, SecureError> {
    let Identity { account, domain } = identity;
    let (nonces, scalar) = (Nonces::draw(rng), draw_secret(rng));
    let mut server = Server::new(account, domain, Version::V1, nonces, scalar)?;
    let mut may_connect = Some(may_connect);
    loop {
        match line.run(|input| server.step(input)).await? {
            Event::MayConnect(user) => match may_connect.take().is_some_and(|may| may(&user)) {
                true => server.admit(),
                false => return Err(SecureError::NotAdmitted(user)),
            },
            Event::Established(established) => return Ok(established),
        }
    }
}
