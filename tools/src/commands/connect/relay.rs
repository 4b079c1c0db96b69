//! Bytes carried between a plain stream and a secured one, until either ends.

use crate::host::stream::{Reader, Writer};
use embedded_io_async::{Error, ErrorKind, Read, Write};

/// Bytes carried at once.
const BUFFER: usize = 64 << 10;

/// Carries bytes both ways. As on Plan 9, there is no half that goes on alone: when either side ends, that is all; the
/// caller then closes both.
///
/// # Errors
/// A side failed, or the secured one ended without saying that it was done.
pub(super) async fn relay(
    (mut plain_reader, mut plain_writer): (Reader, Writer),
    (reader, writer): (&mut impl Read, &mut impl Write),
) -> Result<(), ErrorKind> {
    tokio::select! {
        ended = carry(&mut plain_reader, writer) => ended,
        ended = carry(reader, &mut plain_writer) => ended,
    }
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
