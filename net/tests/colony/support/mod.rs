//! A colony in one process: nodes on simulated disks, a network that loses, cuts and parts, and time that costs nothing.

pub mod keys;
mod network;
mod node;

pub use network::Network;
pub use node::{Disks, Node};

use crate::archive_support::archive as archive_of;
use std::future::Future;
use storage::archive::NewBlock;
use storage::score::Score;

/// An archive that somebody gave to a node.
pub struct Given {
    pub name: String,
    pub root: Score,
    pub blocks: Vec<NewBlock>,
}

/// An archive of some files, whose content follows the number.
pub fn archive(number: u64, files: u64) -> Given {
    let contents: Vec<(String, Vec<u8>)> = (0..files)
        .map(|file| {
            let rng = storage::simulation::SeededRng::new(number << 16 | file);
            let mut content = vec![0; 1 + rng.below(20_000) as usize];
            rng.fill(&mut content);
            // Some of it is in every archive.
            if file == 0 {
                content = vec![7; 9000]
            }
            (format!("file{file}"), content)
        })
        .collect();
    let files: Vec<(&str, &[u8])> =
        contents.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect();
    let (root, blocks) = archive_of(&files);
    Given { name: format!("barn.{number}"), root, blocks }
}

/// Runs a test in time that passes as soon as everybody waits.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(tokio::task::LocalSet::new().run_until(test))
}
