//! The client's end.

use super::line::Line;
use super::tickets::AuthServers;
use super::{Means, SecureError, Secured};
use crate::auth::dp9ik::client::{ClosedAt, Event, OwnTickets};
use crate::auth::dp9ik::{Client, ClientError, Established, Nonces, Tickets, draw_secret};
use crate::auth::{Account, Domain, UserName};
use crate::clock::{Clock, Instant, within};
use crate::rng::Rng;
use crate::tls_psk;
use alloc::format;
use alloc::string::{String, ToString};
use embedded_io_async::{Read, Write};

/// Who a client is, and whom it wants.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Its account. Making it takes a while; keep it.
    pub account: Account,
    /// The domain that the server must offer; the first that it offers, where none is given.
    pub domain: Option<Domain>,
    /// The account that the server must have. Where none is given, everybody who has an account can play the server.
    pub server: Option<UserName>,
}

/// Proves to a server who this client is, and has the server prove itself.
///
/// # Errors
/// The two ends did not come together; close. The error says whose fault it is, as far as that can be known.
pub async fn dial<R: Read, W: Write, C: Clock, G: Rng>(
    reader: R,
    writer: W,
    caller: &Caller,
    servers: &impl AuthServers,
    means: &Means<C, G>,
) -> Result<Secured<R, W, G>, SecureError> {
    let begin = means.clock.now();
    within(&means.clock, begin.plus(means.patience), async {
        let mut line = Line::new(reader, writer);
        // An authentication server that does not answer leaves time to do without it.
        let tickets_by = begin.plus(means.patience / 2);
        let Established { user, server, secret } =
            authenticate(&mut line, caller, servers, means, tickets_by).await?;
        if let Some(wanted) = caller.server.clone().filter(|wanted| *wanted != server) {
            return Err(SecureError::OtherServer { wanted, found: server });
        }
        let end = tls_psk::Client::new(secret, means.rng.clone());
        let (reader, writer) = line.protect(end, &means.arithmetic).await?;
        Ok(Secured { user, server, reader, writer })
    })
    .await
    .unwrap_or(Err(SecureError::TimedOut))
}

async fn authenticate<R: Read, W: Write, C: Clock, G: Rng>(
    line: &mut Line<R, W>,
    caller: &Caller,
    servers: &impl AuthServers,
    means: &Means<C, G>,
    tickets_by: Instant,
) -> Result<Established, SecureError> {
    let mut client = Client::new(&caller.account, caller.domain.clone(), Nonces::draw(&means.rng));
    loop {
        let next = line.run(|input| client.step(input)).await;
        match next.map_err(|error| closed(error, client.closed_at()))? {
            Event::FetchTickets(domain) => {
                let fetching = fetch(&client, &domain, servers, &means.rng);
                match within(&means.clock, tickets_by, fetching).await {
                    Some(Ok(tickets)) => client.use_tickets(tickets)?,
                    Some(Err(NoTickets::Refused(error))) => return Err(error),
                    Some(Err(NoTickets::Unreachable(reason))) => {
                        make(&mut client, &domain, reason, &means.rng)?
                    }
                    None => make(&mut client, &domain, "it does not answer".to_string(), &means.rng)?,
                }
            }
            Event::Established(established) => return Ok(established),
        }
    }
}

/// That the server closed says nothing by itself, but when it did so does.
fn closed(error: SecureError, at: ClosedAt) -> SecureError {
    match error {
        SecureError::Hungup => at.into(),
        other => other,
    }
}

/// Why an authentication server gave nothing.
enum NoTickets {
    /// It cannot be heard.
    Unreachable(String),
    /// It says no, or what it says is of no use.
    Refused(SecureError),
}

/// Asks an authentication server for tickets.
async fn fetch(
    client: &Client<'_>,
    domain: &Domain,
    servers: &impl AuthServers,
    rng: &impl Rng,
) -> Result<Tickets, NoTickets> {
    let (reader, writer) = servers.open(domain).await.map_err(NoTickets::Unreachable)?;
    let conversation = client.ticket_client(draw_secret(rng));
    let mut conversation = conversation.map_err(|error| NoTickets::Refused(error.into()))?;
    Line::new(reader, writer).run(|input| conversation.step(input)).await.map_err(|error| match error {
        SecureError::Hungup => NoTickets::Unreachable("it closes the connection".to_string()),
        SecureError::Stream(kind) => NoTickets::Unreachable(format!("the connection failed: {kind:?}")),
        said => NoTickets::Refused(said),
    })
}

/// Makes tickets without an authentication server, which works if the server's account is our own.
fn make(client: &mut Client<'_>, domain: &Domain, reason: String, rng: &impl Rng) -> Result<(), SecureError> {
    let own = OwnTickets { scalar: draw_secret(rng), ticket_key: draw_secret(rng) };
    client.make_tickets(own).map_err(|error| match error {
        ClientError::NotOurs { ours, server } => {
            let reason = format!("{domain}: {reason}");
            SecureError::NoAuthServer { reason, ours, server }
        }
        other => other.into(),
    })
}
