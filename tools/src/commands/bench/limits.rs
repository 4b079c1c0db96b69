//! What this machine could do at most: one hash per block, one trip through TCP, one write to a disk. A venti server
//! that was as fast as the slowest of them could not be made faster, so measurements are shown as a share of it.
//!
//! Knows nothing of venti. The limits are those of the measuring machine: they say something about a server that runs
//! on it, and little about one elsewhere.

use super::measure::Phase;
use anyhow::Context;
use std::fmt;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Instant;

const MIB: usize = 1 << 20;
/// Bytes that are hashed, sent, and written.
const BYTES: usize = 32 * MIB;
/// Bytes per system call.
const PIECE: usize = 256 << 10;
/// Messages that go there and back.
const EXCHANGES: usize = 4096;

/// What this machine can do.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(super) struct Limits {
    /// What one processor hashes.
    pub(super) sha1_mib_per_s: f64,
    /// What goes through one TCP connection to this machine itself.
    pub(super) tcp_mib_per_s: f64,
    /// Messages a second that are answered before the next one is sent.
    pub(super) tcp_exchanges_per_s: f64,
    /// What is written to a new file and flushed, where a folder for it was given.
    pub(super) disk_mib_per_s: Option<f64>,
}

/// What a measurement could not be faster than.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Limit {
    /// Hashing.
    Sha1,
    /// TCP.
    Tcp,
    /// The disk.
    Disk,
}

/// How near a measurement came to what it could not be faster than.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub(super) struct Share {
    pub(super) percent: f64,
    pub(super) limit: Limit,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Limit::Sha1 => "sha1",
            Limit::Tcp => "tcp",
            Limit::Disk => "disk",
        })
    }
}

impl Limits {
    /// Measures them, which takes a second or so; the disk's only if `scratch` names a folder on it.
    pub(super) fn measure(scratch: Option<&Path>) -> anyhow::Result<Limits> {
        let disk = scratch.map(|folder| {
            disk_rate(folder).with_context(|| format!("writing a scratch file in {}", folder.display()))
        });
        let (tcp_mib_per_s, tcp_exchanges_per_s) = tcp_rates().context("measuring TCP")?;
        Ok(Limits {
            sha1_mib_per_s: sha1_rate(),
            tcp_mib_per_s,
            tcp_exchanges_per_s,
            disk_mib_per_s: disk.transpose()?,
        })
    }

    /// What share of the slowest limit `mib_per_second` is. None for misses, which carry no bytes.
    pub(super) fn share(&self, phase: Phase, mib_per_second: f64) -> Option<Share> {
        let disk = self.disk_mib_per_s.filter(|_| phase == Phase::New);
        let limits = [
            Some((self.sha1_mib_per_s, Limit::Sha1)),
            Some((self.tcp_mib_per_s, Limit::Tcp)),
            disk.map(|rate| (rate, Limit::Disk)),
        ];
        let slowest = limits.into_iter().flatten().min_by(|one, other| one.0.total_cmp(&other.0));
        let (rate, limit) = slowest.filter(|_| phase != Phase::Miss)?;
        Some(Share { percent: 100.0 * mib_per_second / rate, limit })
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Limits { sha1_mib_per_s, tcp_mib_per_s, tcp_exchanges_per_s, disk_mib_per_s } = self;
        write!(f, "this machine: SHA-1 {sha1_mib_per_s:.0} MiB/s, TCP {tcp_mib_per_s:.0} MiB/s")?;
        write!(f, " and {tcp_exchanges_per_s:.0} exchanges/s")?;
        disk_mib_per_s.map_or(Ok(()), |rate| write!(f, ", disk {rate:.0} MiB/s"))
    }
}

fn rate(bytes: usize, begun: Instant) -> f64 {
    bytes as f64 / MIB as f64 / begun.elapsed().as_secs_f64()
}

fn sha1_rate() -> f64 {
    let bytes = vec![1; PIECE];
    let begun = Instant::now();
    for _ in 0..BYTES / PIECE {
        std::hint::black_box(storage::score::Score::of(std::hint::black_box(&bytes)));
    }
    rate(BYTES, begun)
}

/// Bytes through one connection, then messages there and back.
fn tcp_rates() -> std::io::Result<(f64, f64)> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let mut sender = TcpStream::connect(listener.local_addr()?)?;
    let (mut receiver, _) = listener.accept()?;
    sender.set_nodelay(true)?;
    receiver.set_nodelay(true)?;
    let other_end = std::thread::spawn(move || -> std::io::Result<()> {
        let mut buffer = vec![0; PIECE];
        let mut received = 0;
        while received < BYTES {
            let room = PIECE.min(BYTES - received);
            received += match receiver.read(&mut buffer[..room])? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                count => count,
            };
        }
        receiver.write_all(&buffer[..1])?;
        for _ in 0..EXCHANGES {
            receiver.read_exact(&mut buffer[..1])?;
            receiver.write_all(&buffer[..1])?;
        }
        Ok(())
    });
    let (piece, mut answer) = (vec![1; PIECE], [0]);
    let begun = Instant::now();
    for _ in 0..BYTES / PIECE {
        sender.write_all(&piece)?;
    }
    sender.read_exact(&mut answer)?;
    let bytes = rate(BYTES, begun);
    let begun = Instant::now();
    for _ in 0..EXCHANGES {
        sender.write_all(&answer)?;
        sender.read_exact(&mut answer)?;
    }
    let exchanges = EXCHANGES as f64 / begun.elapsed().as_secs_f64();
    other_end.join().unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into()))?;
    Ok((bytes, exchanges))
}

/// Bytes into a new file, flushed at the end. It is gone afterwards, whatever happens.
fn disk_rate(folder: &Path) -> std::io::Result<f64> {
    let mut file = tempfile::tempfile_in(folder)?;
    let piece = vec![1; PIECE];
    let begun = Instant::now();
    for _ in 0..BYTES / PIECE {
        file.write_all(&piece)?;
    }
    file.sync_data()?;
    Ok(rate(BYTES, begun))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_that_of_the_slowest_thing_that_the_phase_needs() {
        let limits = Limits {
            sha1_mib_per_s: 1000.0,
            tcp_mib_per_s: 2000.0,
            tcp_exchanges_per_s: 1.0,
            disk_mib_per_s: Some(100.0),
        };
        let share = |phase| limits.share(phase, 50.0).map(|share| (share.percent, share.limit));
        assert_eq!(share(Phase::New), Some((50.0, Limit::Disk)));
        assert_eq!(share(Phase::Duplicate), Some((5.0, Limit::Sha1)));
        assert_eq!(share(Phase::Random), Some((5.0, Limit::Sha1)));
        assert_eq!(share(Phase::Miss), None);
    }

    #[test]
    fn every_limit_is_measured_and_the_scratch_file_goes() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits::measure(Some(folder.path())).unwrap();
        let rates = [limits.sha1_mib_per_s, limits.tcp_mib_per_s, limits.tcp_exchanges_per_s];
        assert!(rates.into_iter().chain(limits.disk_mib_per_s).all(|rate| rate.is_finite() && rate > 0.0));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(Limits::measure(Some(&folder.path().join("absent"))).is_err());
    }
}
