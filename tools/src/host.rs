//! The host beneath our libraries: its sockets, its clock, its files. Everything runs on one thread.
//!
//! | module | what |
//! |---|---|
//! | [`stream`] | TCP as a pair of `embedded-io-async` halves |
//! | [`clock`] | the host's time |
//! | [`device`] | a file or disk as a [`storage::device::BlockDevice`] |
//! | [`parts`] | from such files to the parts of a store |
//! | [`disks`] | the same for disks that may be damaged |
//! | [`copy`] | copies of disks |
//! | [`journal`] | the log |
//! | [`rng`] | randomness |
//! | [`auth_servers`] | authentication servers over TCP |

pub mod auth_servers;
pub mod clock;
pub mod copy;
pub mod device;
pub mod disks;
pub mod journal;
pub mod parts;
pub mod pool;
pub mod rng;
pub mod stream;

use crate::dial::{Dial, VENTI_PORT};
use anyhow::Context;
use clock::HostClock;
use net::venti::client::{self, Client, Settings};
use std::future::Future;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// Runs `work`, and whatever it spawns with [`tokio::task::spawn_local`], on this thread until `work` is
/// done.
///
/// # Errors
/// If the host gives us no event loop, and those of `work`.
pub fn run<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("starting the event loop")?;
    let result = LocalSet::new().block_on(&runtime, work);
    // A thread that waits for standard input or a dead disk must not keep the process.
    runtime.shutdown_background();
    result
}

/// Connects to a venti server and says hello. Its bytes are carried by a task of the current [`run`].
///
/// # Errors
/// If nobody listens there, or what answers is no venti server.
pub async fn connect(dial: &Dial) -> anyhow::Result<Client> {
    let address = (dial.host.as_str(), dial.port_or(VENTI_PORT));
    let opened = TcpStream::connect(address).await;
    let stream = opened.with_context(|| format!("connecting to {dial}"))?;
    let (reader, writer) = stream::split(stream).with_context(|| format!("connecting to {dial}"))?;
    let greeted = client::connect(reader, writer, HostClock, Settings::default()).await;
    let (client, carrier) = greeted.with_context(|| format!("{dial}"))?;
    tokio::task::spawn_local(carrier);
    Ok(client)
}
