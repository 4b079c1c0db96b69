//! A whole node in memory, and a client of its tree that sends anything. Every request is answered, the connection ends,
//! and 9fat is sound afterwards.

use crate::Input;
use crate::store::{NOW, stores};
use crate::wire::{Chunks, StoppedClock, Written};
use bytes::Bytes;
use net::p9::{FRAME_MAX, HEADER_LEN, Limits, Reply, Request, serve_connection};
use net::tree::{NodeFiles, NodeTree, Rights, Surroundings};
use net::venti::connections::Connections;
use std::rc::Rc;
use storage::device::Image;
use storage::device::ram::RamDisk;
use storage::fat::{NineFat, Volume};
use storage::names::NameKeeper;
use storage::simulation::block_on;
use storage::store::{Store, StoreSettings};

const SECTORS: u64 = 9000;
/// Requests of one run.
const REQUESTS_MAX: usize = 64;

thread_local! {
    static NINE_FAT: Image = nine_fat();
}

/// A 9fat with settings, a name, and a directory.
fn nine_fat() -> Image {
    let disk = RamDisk::new(512, SECTORS);
    block_on(async {
        let mut volume = Volume::format(&disk, b"9FAT       ", 0, 7, NOW).await?;
        volume.replace("granary.ini", b"sysname=barn\n", NOW).await?;
        let names = b"scorename=a.1 rootscore=vac:bd99126ad6d3f1be5754bde2b2932d4d819183cc user=iris\n";
        volume.replace("scorenames", names, NOW).await?;
        volume.make_directory("keys", NOW).await?;
        volume.replace("keys/one", b"1", NOW).await
    })
    .expect("the disk is large enough");
    disk.image()
}

/// Rights, then requests: kind, length of the body, body.
pub fn p9_session(data: &[u8]) {
    let mut input = Input(data);
    let bits = input.byte();
    let rights = Rights { read: true, names: bits & 1 != 0, admin: bits & 2 != 0 };
    let mut stream = Vec::new();
    let version = Request::Version { msize: FRAME_MAX, version: "9P2000".into() };
    stream.extend_from_slice(&version.to_bytes(u16::MAX));
    stream.extend_from_slice(&Request::attach(0, "iris", "").to_bytes(1));
    let mut requests = 2;
    while !input.is_empty() && requests < REQUESTS_MAX {
        let kind = input.byte();
        let len = usize::from(input.byte());
        let body = input.take(len);
        let size = (HEADER_LEN + body.len()) as u32;
        stream.extend_from_slice(&size.to_le_bytes());
        stream.extend_from_slice(&[kind, requests as u8, 0]);
        stream.extend_from_slice(body);
        requests += 1;
    }
    block_on(serve(rights, &stream, requests));
}

async fn serve(rights: Rights, stream: &[u8], requests: usize) {
    let settings = StoreSettings { read_only: true, ..StoreSettings::default() };
    let (store, _) = Store::open(stores()[0].parts(), settings, NOW).await.expect("the store is whole");
    let (store, disk) = (Rc::new(store), Rc::new(RamDisk::from(NINE_FAT.with(Image::clone))));
    let fat = Some(Rc::new(NineFat::open(disk.clone(), true).await.expect("the file system is whole")));
    let names = Rc::new(NameKeeper::open(store.clone(), fat.clone()).await);
    let around = Surroundings { log: Box::new(Vec::new), obey: None, peers: Rc::default() };
    let tree = NodeTree::new("barn".into(), store, fat, names, StoppedClock, 1000, around);
    let files =
        NodeFiles { tree: Rc::new(tree), rights: Box::new(move || rights), client: "a client".into() };
    let (sent, ticket) = (Written::default(), Connections::new(1).admit(Default::default()));
    let ticket = ticket.expect("there is room for one");
    let chunks = Chunks { rest: stream, size: 4096 };
    serve_connection(chunks, sent.clone(), &files, &Limits::default(), &StoppedClock, &ticket).await;
    let sent = sent.0.borrow();
    let (mut rest, mut replies) = (&sent[..], 0);
    while let Some((size, _)) = rest.split_first_chunk() {
        let (frame, more) = rest.split_at(u32::from_le_bytes(*size) as usize);
        Reply::parse(Bytes::copy_from_slice(&frame[4..])).expect("a reply is well formed");
        (rest, replies) = (more, replies + 1);
    }
    assert!(replies <= requests, "{replies} replies to {requests} requests");
    let found = Volume::open(disk).await.expect("the file system is there").survey().await;
    assert!(found.as_ref().is_ok_and(|found| found.is_clean()), "{found:?}");
}
