//! `scorenames`, exchanged with a peer as `scorecopy` does, over 9P: a union, of which what comes waits for its blocks.
//!
//! Knows a file of the peer. Must not know when its blocks are confirmed: the caller does, and says what may be told.

use super::opening::WayError;
use super::worker::RoundError;
use crate::p9::client::{Client, ClientError};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use embedded_io_async::{Read, Write};
use storage::names::database::TEXT_LEN_MAX;
use storage::names::{self, Names};
use storage::score::Score;

/// The tree that has the file at its top, on a Granary and as ANTS' fatsrv gives it; then any tree there is.
const TREES: [&str; 2] = ["9fat", ""];
/// Where the file is in them.
const FOLDERS: [&str; 2] = ["", "9fat"];

/// What an exchange brought.
pub(super) struct Exchanged {
    /// The peer's file.
    pub(super) theirs: Vec<u8>,
    /// Records that it did not have and has now.
    pub(super) sent: u64,
}

/// Reads the peer's names, and writes those of `ours` that it lacks, unless its file still is the one of hash `told`.
///
/// # Errors
/// The way there, or in words.
pub(super) async fn exchange<R: Read, W: Write>(
    open: impl AsyncFn() -> Result<(R, W), WayError>,
    ours: Option<&Names>,
    told: Option<Score>,
) -> Result<Exchanged, RoundError> {
    let said = |error: ClientError| RoundError::Names(format!("{error}"));
    let (mut client, folder) = attach(open).await?;
    let path = format!("{folder}/{}", names::FILE);
    let listed = client.list(folder).await.map_err(said)?;
    let is_there = listed.iter().any(|file| file.name.eq_ignore_ascii_case(names::FILE));
    let theirs = match is_there {
        true => client.read(&path, TEXT_LEN_MAX).await.map_err(said)?,
        false => Vec::new(),
    };
    let ours = ours.filter(|_| told != Some(Score::of(&theirs)));
    let Some(ours) = ours else { return Ok(Exchanged { theirs, sent: 0 }) };
    let mut union = Names::parse(&theirs);
    let news = union.news(ours).len() as u64;
    if news == 0 {
        return Ok(Exchanged { theirs, sent: 0 });
    }
    union.merge(ours);
    // Some servers refuse to sync a file and have written it all the same; what counts is what can be read.
    let written = match is_there {
        true => client.write(&path, &union.text()).await,
        false => client.create(folder, names::FILE, &union.text()).await,
    };
    let now = client.read(&path, TEXT_LEN_MAX).await.map_err(said)?;
    // A Granary shows a name once it is complete there; that it took it is all it can say.
    match written {
        Err(error) if !Names::parse(&now).news(ours).is_empty() => Err(said(error)),
        _ => Ok(Exchanged { theirs, sent: news }),
    }
}

async fn attach<R: Read, W: Write>(
    open: impl AsyncFn() -> Result<(R, W), WayError>,
) -> Result<(Client<R, W>, &'static str), RoundError> {
    let mut refused = String::new();
    for (tree, folder) in TREES.into_iter().zip(FOLDERS) {
        let (reader, writer) = open().await?;
        match Client::attach(reader, writer, "granary", tree).await {
            Ok(client) => return Ok((client, folder)),
            Err(error) => refused = format!("attaching: {error}"),
        }
    }
    Err(RoundError::Names(refused))
}
