//! Many clients at once.

use super::{Bench, Node};
use crate::client::{self, message};
use crate::random::Random;
use anyhow::{Context, Result, anyhow, ensure};

/// Sixteen connections write, read back what they and others wrote, and have many requests under way.
pub fn sixteen_at_once(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let node = bench.node(&disk)?;
    let machine = node.boot()?;
    std::thread::scope(|scope| -> Result<()> {
        let clients: Vec<_> = (0..16)
            .map(|number| {
                scope.spawn({
                    let node = &node;
                    move || one(node, number)
                })
            })
            .collect();
        for (number, client) in clients.into_iter().enumerate() {
            let outcome = client.join().map_err(|_| anyhow!("client {number} panicked"))?;
            outcome.with_context(|| format!("client {number}"))?;
        }
        Ok(())
    })?;
    node.stop(machine)
}

fn one(node: &Node, number: u64) -> Result<()> {
    let mut client = node.client()?;
    // Two clients share each seed, so half of all writes are duplicates.
    let mut random = Random::new(number / 2);
    let blocks: Vec<Vec<u8>> = (0..100)
        .map(|_| {
            let size = 1 + random.below(20_000);
            random.bytes(size)
        })
        .collect();
    let mut scores = Vec::new();
    for group in blocks.chunks(20) {
        scores.extend(write_pipelined(&mut client, group)?);
    }
    client.sync()?;
    for (score, block) in scores.iter().zip(&blocks) {
        ensure!(client.read(score)? == *block, "a block came back with other bytes");
    }
    Ok(())
}

/// Sends all blocks under tags of their own, then takes the replies in whatever order they come.
fn write_pipelined(client: &mut client::Client, blocks: &[Vec<u8>]) -> Result<Vec<[u8; 20]>> {
    for (tag, block) in blocks.iter().enumerate() {
        client.send(message::WRITE, u8::try_from(tag)?, &client::write_body(block))?;
    }
    let mut scores = vec![None; blocks.len()];
    for _ in blocks {
        let reply = client.receive()?;
        ensure!(reply.kind == message::WRITE + 1, "message {} in reply to a write", reply.kind);
        let place = scores.get_mut(usize::from(reply.tag)).context("a tag that nobody sent")?;
        ensure!(place.is_none(), "tag {} was answered twice", reply.tag);
        *place = Some(<[u8; 20]>::try_from(reply.body.as_slice())?);
    }
    scores.into_iter().map(|score| score.context("a write was not answered")).collect()
}
