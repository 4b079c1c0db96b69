//! Venti inside TLS: who may read and write, and how a connection ends.

use super::engine::Peer;
use super::error::Failure;
use super::halves::{Ours, accept};
use crate::clock::Clock;
use crate::rng::Rng;
use crate::venti::Blocks;
use crate::venti::allowed::{Allowed, Rights};
use crate::venti::connections::Ticket;
use crate::venti::serve::{Ending, Limits, serve_connection};
use core::pin::pin;
use core::time::Duration;
use embedded_io_async::{Read, Write};
use futures_util::future::select;

/// How long a client may take to hear our goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// Serves one client until either end closes the connection. Dropping the halves afterwards closes the stream.
///
/// # Errors
/// If the client is none of ours.
pub async fn serve_venti<S, W, R, B, C>(
    (reader, writer): (S, W),
    ours: Ours<'_, R>,
    blocks: &B,
    limits: &Limits,
    clock: &C,
    ticket: &Ticket,
) -> Result<(Peer, Ending), Failure>
where
    S: Read,
    W: Write,
    R: Rng + Send + Sync,
    B: Blocks,
    C: Clock,
{
    let mut secured = accept(reader, writer, ours, clock, limits.hello).await?;
    let roles = secured.peer.grant.roles;
    let rights = || Rights { read: roles.read, write: roles.write, names: roles.replicate };
    let allowed = Allowed { blocks, rights };
    let ending =
        serve_connection(&mut secured.reader, &mut secured.writer, &allowed, limits, clock, ticket).await;
    let goodbye = clock.sleep_until(clock.now().plus(GOODBYE));
    select(pin!(secured.writer.close()), pin!(goodbye)).await;
    Ok((secured.peer, ending))
}
