//! The first promise: what a sync was answered for is there after any power cut.

use super::{Bench, Node};
use crate::client::Client;
use crate::random::Random;
use anyhow::{Context, Result, ensure};
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

/// Connections that write at once.
const WRITERS: u64 = 4;
/// Blocks per sync.
const BLOCKS: usize = 24;

/// Blocks whose sync was answered, by score.
type Synced = HashMap<[u8; 20], Vec<u8>>;

/// Kills the machine again and again while four connections write and sync; reads back what was promised in the round
/// before, and everything at the end.
pub fn under_load(bench: &Bench) -> Result<()> {
    let disk = bench.image("2G", &[])?;
    let node = bench.node(&disk)?;
    let mut random = Random::new(bench.seed);
    let mut synced = Synced::new();
    let mut newest = Synced::new();
    for round in 0..bench.rounds {
        let running_for = Duration::from_millis(500 + random.next() % 2000);
        let seed = random.next();
        let written = round_of_writing(&node, seed, running_for, &newest).with_context(|| {
            format!("round {round} of --seed {} ({} blocks synced before)", bench.seed, synced.len())
        })?;
        synced.extend(std::mem::replace(&mut newest, written));
    }
    synced.extend(newest);
    ensure!(!synced.is_empty(), "no sync was answered in {} rounds", bench.rounds);
    let machine = node.boot()?;
    verify(&node, &synced)?;
    node.stop(machine)?;
    println!("  {} power cuts, {} blocks synced, 0 lost", bench.rounds, synced.len());
    Ok(())
}

fn round_of_writing(node: &Node, seed: u64, running_for: Duration, newest: &Synced) -> Result<Synced> {
    let mut machine = node.boot()?;
    verify(node, newest)?;
    let (sender, receiver) = mpsc::channel();
    let ended: Mutex<Vec<String>> = Mutex::default();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let sender = sender.clone();
            let ended = &ended;
            scope.spawn(move || {
                // A writer goes on until its connection dies with the machine.
                if let Err(error) = write_until_cut(node, seed ^ writer, &sender) {
                    ended
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .push(format!("{error:#}"));
                }
            });
        }
        std::thread::sleep(running_for);
        machine.cut_power()
    })?;
    drop(sender);
    Ok(collect(&receiver))
}

fn write_until_cut(node: &Node, seed: u64, synced: &Sender<Vec<([u8; 20], Vec<u8>)>>) -> Result<()> {
    let mut random = Random::new(seed);
    let mut client: Client = node.client()?;
    loop {
        let mut group = Vec::new();
        for _ in 0..1 + random.below(BLOCKS) {
            let size = 1 + random.below(16384);
            let block = random.bytes(size);
            group.push((client.write(&block)?, block));
        }
        client.sync()?;
        synced.send(group)?;
    }
}

fn collect(receiver: &Receiver<Vec<([u8; 20], Vec<u8>)>>) -> Synced {
    receiver.try_iter().flatten().collect()
}

fn verify(node: &Node, synced: &Synced) -> Result<()> {
    let mut client = node.client()?;
    for (score, block) in synced {
        let found = client.read(score).with_context(|| format!("synced block {} is lost", hex(score)))?;
        ensure!(found == *block, "block {} came back with other bytes", hex(score));
    }
    Ok(())
}

fn hex(score: &[u8; 20]) -> String {
    score.iter().map(|byte| format!("{byte:02x}")).collect()
}
