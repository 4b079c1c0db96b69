//! Bytes carried between a plain stream and a secured one, until either ends.

use crate::host::clock::HostClock;
use crate::host::stream::{Reader, Writer};
use embedded_io_async::{Error, ErrorKind, Read, Write};
use net::rng::Rng;
use net::secure::{GOODBYE, Secured};

/// Bytes carried at once.
const BUFFER: usize = 32 << 10;

/// Carries bytes both ways. As on Plan 9, there is no half that goes on alone: when either side ends, both are closed.
///
/// # Errors
/// A side failed, or the secured one ended without saying that it was done.
pub(super) async fn relay<G: Rng>(
    (mut plain_reader, mut plain_writer): (Reader, Writer),
    secured: Secured<Reader, Writer, G>,
) -> Result<(), ErrorKind> {
    let Secured { mut reader, mut writer, .. } = secured;
    let ended = tokio::select! {
        ended = carry(&mut plain_reader, &mut writer) => ended,
        ended = carry(&mut reader, &mut plain_writer) => ended,
    };
    writer.close(&HostClock, GOODBYE).await;
    ended
}

async fn carry(from: &mut impl Read, to: &mut impl Write) -> Result<(), ErrorKind> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await.map_err(|error| error.kind())?;
        if count == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..count]).await.map_err(|error| error.kind())?;
    }
}
