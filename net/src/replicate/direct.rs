//! Names exchanged with a Granary over the connection to its venti: the client's end.
//!
//! Must not know when, nor what becomes of names that come.

use super::desk::{Book, PIECE, Question, parse_digest};
use super::worker::RoundError;
use crate::venti::client::{Client, ClientError};
use alloc::vec::Vec;
use storage::names::Names;
use storage::names::database::TEXT_LEN_MAX;
use storage::score::Score;

/// What an exchange brought.
pub(super) struct Direct {
    /// The digest of the peer's names before it.
    pub(super) digest: Score,
    /// Records of theirs, those that we lack among them; `None` where nothing had changed.
    pub(super) theirs: Option<Vec<u8>>,
    /// Records that the peer lacked and was given.
    pub(super) sent: u64,
}

/// Compares names, and gives the peer what it lacks of `ours`, unless `may_give` is false. `known`: the peer's digest at
/// the last exchange, if ours are the same since: where it is still that, there is nothing to do.
///
/// # Errors
/// What the peer says, or the connection.
pub(super) async fn exchange(
    client: &Client,
    ours: &Names,
    may_give: bool,
    known: Option<Score>,
) -> Result<Direct, RoundError> {
    let book = Book::new(ours);
    let answer = client.names(Question::Digest(known.unwrap_or(book.digest)).encode()).await?;
    let (digest, mut hashes) = understood(&answer)?;
    if digest == book.digest || known == Some(digest) {
        return Ok(Direct { digest, theirs: None, sent: 0 });
    }
    let again;
    if hashes.is_empty() {
        again = client.names(Question::Digest(book.digest).encode()).await?;
        hashes = understood(&again)?.1;
    }
    let mut theirs = Vec::new();
    for heap in book.differing(hashes) {
        read_heap(client, heap, &mut theirs).await?;
    }
    let news = if may_give { Names::parse(&theirs).news(ours) } else { Vec::new() };
    // What is in other heaps they have.
    let differing = book.differing(hashes);
    let mut sent = 0;
    let mut piece = Vec::new();
    for record in news {
        let raw = record.raw.trim_ascii_end();
        let heap = Score::of(record.raw.trim_ascii()).0[0];
        if !differing.contains(&heap) || raw.len() > PIECE {
            continue;
        }
        if piece.len() + raw.len() > PIECE {
            give(client, &mut piece).await?;
        }
        piece.extend_from_slice(raw);
        piece.push(b'\n');
        sent += 1;
    }
    if !piece.is_empty() {
        give(client, &mut piece).await?;
    }
    Ok(Direct { digest, theirs: Some(theirs), sent })
}

fn understood(answer: &[u8]) -> Result<(Score, &[u8]), RoundError> {
    parse_digest(answer).ok_or(RoundError::Peer(ClientError::Protocol("a digest of names that is none")))
}

async fn read_heap(client: &Client, heap: u8, into: &mut Vec<u8>) -> Result<(), RoundError> {
    let begin = into.len();
    loop {
        let from = u32::try_from(into.len() - begin).unwrap_or(u32::MAX);
        let piece = client.names(Question::Heap(heap, from).encode()).await?;
        into.extend_from_slice(&piece);
        if into.len() > TEXT_LEN_MAX {
            return Err(RoundError::Peer(ClientError::Protocol("more names than a file may hold")));
        }
        if piece.len() < PIECE {
            return Ok(());
        }
    }
}

async fn give(client: &Client, piece: &mut Vec<u8>) -> Result<(), RoundError> {
    let text = core::mem::take(piece);
    client.names(Question::Give(text.into()).encode()).await?;
    Ok(())
}
