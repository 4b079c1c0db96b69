//! Copies between two servers in memory, over real connections.

use super::tree::{Copy, Kind, Manner, Totals};
use crate::host::clock::HostClock;
use crate::host::{self, stream};
use crate::progress::Progress;
use bytes::Bytes;
use net::clock::Clock;
use net::venti::client::Client;
use net::venti::connections::Connections;
use net::venti::serve::{Limits, serve_connection};
use net::venti::{Blocks, MAX_LUMP, Presence, Text};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use storage::archive::entry::Entry;
use storage::archive::root::Root;
use storage::archive::shape::Shape;
use storage::archive::stream_writer::StreamWriter;
use storage::block_type::BlockType;
use storage::score::Score;

#[derive(Default)]
struct Shelf {
    lumps: RefCell<HashMap<(Score, BlockType), Bytes>>,
}

impl Blocks for Shelf {
    async fn read(&self, score: Score, block_type: BlockType, _limit: usize) -> Result<Bytes, Text> {
        let found = self.lumps.borrow().get(&(score, block_type)).cloned();
        found.ok_or_else(|| Text::new(format!("no block with score {score}/{} exists", block_type.decoded())))
    }

    async fn write(&self, block_type: BlockType, lump: Bytes) -> Result<Score, Text> {
        let score = Score::of(&lump);
        self.lumps.borrow_mut().insert((score, block_type), lump);
        Ok(score)
    }

    async fn have(&self, names: &[(Score, BlockType)], _asker: u64) -> Result<Vec<Presence>, Text> {
        let mut presences = Vec::new();
        for (score, block_type) in names {
            let read = self.read(*score, *block_type, usize::MAX).await;
            presences.push(if read.is_ok() { Presence::Here } else { Presence::Missing });
        }
        Ok(presences)
    }

    async fn sync(&self) -> Result<(), Text> {
        Ok(())
    }
}

async fn connect(shelf: &Rc<Shelf>) -> anyhow::Result<Client> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let dial = format!("tcp!127.0.0.1!{}", listener.local_addr()?.port()).parse()?;
    let shelf = Rc::clone(shelf);
    tokio::task::spawn_local(async move {
        let (reader, writer) = stream::split(listener.accept().await?.0)?;
        let ticket = Connections::new(1).admit(HostClock.now()).unwrap();
        serve_connection(reader, writer, &*shelf, &Limits::default(), &HostClock, &ticket).await;
        anyhow::Ok(())
    });
    host::connect(&dial).await
}

/// Two archives, one after the other, each with a file of many leaves and a small one. Returns the newer
/// one's score.
fn plant(shelf: &Shelf) -> Score {
    let put = |block_type, lump: &[u8]| {
        let score = Score::of(lump);
        shelf.lumps.borrow_mut().insert((score, block_type), Bytes::copy_from_slice(lump));
        score
    };
    let mut previous = Score::NULL;
    for version in 1..=2u8 {
        let mut directory = Vec::new();
        for leaves in [1000u32, 1] {
            let mut blocks = Vec::new();
            let mut file = StreamWriter::new(Shape::for_block_size(512, false));
            for number in 0..leaves {
                let mut leaf = [version; 512];
                leaf[..4].copy_from_slice(&(number % 900).to_be_bytes());
                file.push_leaf(&leaf, &mut blocks);
            }
            let entry = file.finish(u64::from(leaves) * 512, false, &mut blocks).unwrap();
            directory.extend_from_slice(&entry.to_bytes().unwrap());
            for block in blocks {
                assert_eq!(put(block.block_type, &block.data), block.score);
            }
        }
        let top = put(BlockType::DIRECTORY, &directory);
        previous = put(BlockType::ROOT, &Root::vac(top, 512, previous).to_bytes().unwrap());
    }
    previous
}

async fn copy(
    from: &Rc<Shelf>,
    to: &Rc<Shelf>,
    root: Score,
    manner: Manner,
) -> anyhow::Result<(Score, Totals)> {
    let copy = Copy::new(connect(from).await?, connect(to).await?, manner, Progress::hidden());
    let score = copy.everything(root, Kind(16)).await?;
    Ok((score, copy.totals()))
}

#[test]
fn everything_below_a_root_arrives_and_a_fast_second_time_asks_once() {
    host::run(async {
        let (from, to) = (Rc::<Shelf>::default(), Rc::<Shelf>::default());
        let root = plant(&from);
        let (score, totals) = copy(&from, &to, root, Manner { memory: true, ..Manner::default() }).await?;
        assert_eq!((score, totals.unreadable), (root, 0));
        assert!(*from.lumps.borrow() == *to.lumps.borrow());
        assert_eq!(totals.blocks, from.lumps.borrow().len() as u64, "nothing twice");
        let again = copy(&from, &to, root, Manner { fast: true, ..Manner::default() }).await?.1;
        assert_eq!(again, Totals { skipped: 1, ..Totals::default() });
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_missing_leaf_ends_a_copy_or_is_left_out_or_replaced() {
    host::run(async {
        let from = Rc::<Shelf>::default();
        let root = plant(&from);
        let mut lost = [1; 512];
        lost[..4].copy_from_slice(&500u32.to_be_bytes());
        assert!(from.lumps.borrow_mut().remove(&(Score::of(&lost), BlockType::DATA)).is_some());
        assert!(copy(&from, &Rc::default(), root, Manner::default()).await.is_err());

        let to = Rc::default();
        let (score, totals) = copy(&from, &to, root, Manner { ignore: true, ..Manner::default() }).await?;
        assert_eq!((score, totals.unreadable), (root, 1));
        assert!(*from.lumps.borrow() == *to.lumps.borrow());

        let to = Rc::default();
        let (score, totals) = copy(&from, &to, root, Manner { rewrite: true, ..Manner::default() }).await?;
        assert!(score != root && totals.unreadable == 1);
        let whole = copy(&to, &Rc::default(), score, Manner::default()).await?;
        assert_eq!((whole.0, whole.1.unreadable), (score, 0), "the new tree has no hole");
        Ok(())
    })
    .unwrap();
}

#[test]
fn hostile_blocks_are_copied_as_bytes() {
    host::run(async {
        let (from, to) = (Rc::<Shelf>::default(), Rc::<Shelf>::default());
        let odd_root = from.write(BlockType::ROOT, Bytes::from_static(b"no root")).await.unwrap();
        assert_eq!(copy(&from, &to, odd_root, Manner::default()).await?.0, odd_root);
        // An entry that claims the deepest tree over a block that is no whole number of scores.
        let pointer = BlockType::pointer(7).unwrap();
        let odd_pointers = from.write(pointer, Bytes::from_static(b"nineteen bytes long")).await.unwrap();
        let mut entry = Entry::empty(Shape::for_block_size(512, true));
        entry.shape.depth = 7;
        entry.score = odd_pointers;
        let mut directory = entry.to_bytes().unwrap().to_vec();
        directory.extend_from_slice(&[0xff; 57]);
        directory.resize(MAX_LUMP - 3, 0xff);
        let directory = from.write(BlockType::DIRECTORY, Bytes::from(directory)).await.unwrap();
        let block = Root::vac(directory, 512, Score::NULL).to_bytes().unwrap();
        let root = from.write(BlockType::ROOT, Bytes::copy_from_slice(&block)).await.unwrap();
        let ignore = Manner { ignore: true, ..Manner::default() };
        assert_eq!(copy(&from, &to, root, ignore).await?.0, root);
        assert!(*from.lumps.borrow() == *to.lumps.borrow());
        Ok(())
    })
    .unwrap();
}
