//! The node's tree over 9P: what is there, what each client may do, what becomes of names; and the rules of the
//! protocol, message by message.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails as loudly as the test")]

mod archive_support;
mod p9_support;
mod p9_upgrade;
mod venti_support;

use archive_support::{archive, archive_of_many};
use net::p9::client::ClientError;
use net::p9::{FRAME_MAX, FRAME_MIN, NO_TAG, Qid, Reply, Request, Stat, StatChange};
use net::tree::Rights;
use p9_support::{ALL, Node};
use proptest::prelude::*;
use std::cell::Cell;
use std::rc::Rc;
use storage::block_type::BlockType;
use storage::names::Stage;
use storage::score::Score;
use venti_support::run;

fn refused(text: &str) -> ClientError {
    ClientError::Refused(text.to_owned())
}

fn names(stats: &[Stat]) -> Vec<&str> {
    stats.iter().map(|stat| stat.name.as_str()).collect()
}

#[test]
fn the_top_is_what_the_manual_says_and_every_file_of_it_can_be_read() {
    run(async {
        let node = Node::new().await;
        let mut client = node.client(ALL).await;
        let top = client.list("/").await.unwrap();
        assert_eq!(names(&top), ["9fat", "arenas", "ctl", "log", "names", "peers", "roots", "status"]);
        for stat in &top {
            let walked = client.stat(&stat.name).await.unwrap();
            assert_eq!((walked.qid, &walked.name), (stat.qid, &stat.name));
            assert!(client.read(&stat.name, 1 << 20).await.is_ok(), "{}", stat.name);
        }
        assert_eq!(client.stat("nothing").await, Err(refused("file does not exist")));
        assert_eq!(client.stat("names/a/b").await, Err(refused("file does not exist")));
    });
}

#[test]
fn files_of_9fat_are_made_replaced_appended_to_and_removed() {
    run(async {
        let node = Node::new().await;
        let mut client = node.client(ALL).await;
        client.create("9fat", "a long name.info", b"first").await.unwrap();
        assert_eq!(client.create("9fat", "a long name.info", b"").await, Err(refused("file already exists")));
        assert_eq!(client.read("9fat/a long name.info", 99).await.unwrap(), b"first");
        let long: Vec<u8> = (0..200_000_u32).map(|at| (at / 7) as u8).collect();
        client.write("9fat/A LONG NAME.INFO", &long).await.unwrap();
        assert_eq!(client.read("9fat/a long name.info", 1 << 20).await.unwrap(), long);
        let stat = client.stat("9fat/a long name.info").await.unwrap();
        assert_eq!((stat.length, stat.mtime, stat.mode), (200_000, 1_700_000_000, 0o644));
        client.remove("9fat/a long name.info").await.unwrap();
        assert_eq!(client.list("9fat").await.unwrap(), []);
        // A second client sees the same.
        client.create("9fat", "note", b"1").await.unwrap();
        let mut alone = node.attach(ALL, "9fat").await.unwrap();
        assert_eq!(names(&alone.list("/").await.unwrap()), ["note"]);
        assert_eq!(
            node.attach(ALL, "other").await.err().map(|error| error.to_string().contains("9fat")),
            Some(true)
        );
    });
}

#[test]
fn what_a_client_did_not_finish_writing_never_happened() {
    run(async {
        let node = Node::new().await;
        let mut client = node.client(ALL).await;
        client.create("9fat", "note", b"old").await.unwrap();
        let mut half = node.client(ALL).await;
        let walk = Request::Walk { fid: 0, newfid: 1, names: vec!["9fat".into(), "note".into()] };
        half.ask(&walk).await.unwrap();
        half.ask(&Request::Open { fid: 1, mode: 0x11 }).await.unwrap();
        half.ask(&Request::Write { fid: 1, offset: 0, data: "new".into() }).await.unwrap();
        drop(half);
        node.settle().await;
        assert_eq!(client.read("9fat/note", 99).await.unwrap(), b"old");
    });
}

#[test]
fn settings_that_make_no_sense_are_refused_with_the_line() {
    run(async {
        let node = Node::new().await;
        let mut client = node.client(ALL).await;
        client.create("9fat", "granary.ini", b"sysname=barn\n").await.unwrap();
        let error = client.write("9fat/granary.ini", b"sysname=barn\nventy=1\n").await.unwrap_err();
        assert_eq!(error, refused("granary.ini:2: there is no setting \"venty\""));
        assert_eq!(client.read("9fat/granary.ini", 99).await.unwrap(), b"sysname=barn\n");
    });
}

#[test]
fn directories_of_9fat_are_made_and_renamed_and_the_nodes_own_files_are_not() {
    run(async {
        let node = Node::new().await;
        let mut client = node.client(ALL).await;
        let denied = || Err(refused("permission denied"));
        let walk = |newfid, path: &str| Request::Walk {
            fid: 0,
            newfid,
            names: path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        };
        let make = Request::Create { fid: 11, name: "old keys".into(), perm: 0x8000_0000 | 0o755, mode: 0 };
        client.ask(&walk(11, "9fat")).await.unwrap();
        assert!(matches!(client.ask(&make).await, Ok(Reply::Create { qid, .. }) if qid.is_directory()));
        client.create("9fat/old keys", "barn", b"1").await.unwrap();
        // The fid follows the name.
        let rename = |fid, name: &str| {
            let change = StatChange { name: Some(name.to_owned()), ..StatChange::default() };
            Request::Wstat { fid, change }
        };
        client.ask(&walk(12, "9fat/old keys/barn")).await.unwrap();
        // So does every other fid of the connection.
        client.ask(&walk(14, "9fat/old keys/barn")).await.unwrap();
        client.ask(&walk(15, "9fat/old keys")).await.unwrap();
        assert_eq!(client.ask(&rename(12, "spring barn")).await, Ok(Reply::Wstat));
        let Reply::Stat(stat) = client.ask(&Request::Stat { fid: 12 }).await.unwrap() else { panic!() };
        assert_eq!(stat.name, "spring barn");
        assert_eq!(client.read("9fat/old keys/spring barn", 9).await.unwrap(), b"1");
        assert_eq!(client.ask(&rename(15, "keys")).await, Ok(Reply::Wstat));
        let Reply::Stat(stat) = client.ask(&Request::Stat { fid: 14 }).await.unwrap() else { panic!() };
        assert_eq!(stat.name, "spring barn");
        assert_eq!(client.ask(&rename(15, "old keys")).await, Ok(Reply::Wstat));
        assert_eq!(client.remove("9fat/old keys").await, Err(refused("the directory old keys is not empty")));
        client.create("9fat", "scorenames", b"").await.unwrap();
        for (path, name) in [("9fat/scorenames", "other"), ("9fat/old keys", "names.ok"), ("9fat", "x")] {
            client.ask(&walk(13, path)).await.unwrap();
            assert_eq!(client.ask(&rename(13, name)).await, denied(), "{path} to {name}");
            client.ask(&Request::Clunk { fid: 13 }).await.unwrap();
        }
        assert_eq!(client.create("9fat", "names.gone", b"").await.map(|()| Reply::Wstat), denied());
        // What would be refused as settings does not become them.
        client.create("9fat", "draft", b"no setting\n").await.unwrap();
        client.ask(&walk(13, "9fat/draft")).await.unwrap();
        let error = client.ask(&rename(13, "granary.ini")).await.unwrap_err().to_string();
        assert!(error.contains("granary.ini:1"), "{error}");
        client.remove("9fat/old keys/spring barn").await.unwrap();
        client.remove("9fat/old keys").await.unwrap();
        assert_eq!(names(&client.list("9fat").await.unwrap()), ["scorenames", "draft"]);
    });
}

#[test]
fn settings_are_obeyed_at_once_where_that_can_be_and_else_it_is_said_that_they_wait() {
    run(async {
        let node = Node::new().await;
        let mut client = node.client(ALL).await;
        client.create("9fat", "granary.ini", b"log=debug\n").await.unwrap();
        let refused =
            client.write("9fat/granary.ini", b"log=loud\ncache=4m\n").await.unwrap_err().to_string();
        assert!(refused.contains("granary.ini:1: log=loud"), "{refused}");
        let refused = client.write("9fat/granary.ini", b"log=lo\0d\n").await.unwrap_err().to_string();
        assert!(refused.contains("log=lo?d"), "{refused}");
        client.write("9fat/granary.ini", b"log=debug\ncache=4m\nip=none\n").await.unwrap();
        let status = String::from_utf8(client.read("status", 9999).await.unwrap()).unwrap();
        assert!(status.contains("\nsettings-waiting cache,ip\n"), "{status}");
        client.remove("9fat/granary.ini").await.unwrap();
        assert_eq!(*node.obeyed.borrow(), ["log=debug\n", "log=debug\ncache=4m\nip=none\n", ""]);
        assert_eq!(client.read("log", 99).await.unwrap(), b"a line\n");
    });
}

#[test]
fn a_name_is_shown_once_every_block_beneath_it_is_there() {
    run(async {
        let node = Node::new().await;
        let mut client = node.client(ALL).await;
        let (root, blocks) = archive(&[("grain", b"wheat".as_slice()), ("note", &[7; 30_000])]);
        let missing = blocks.iter().position(|block| block.block_type == BlockType::DATA).unwrap();
        for (number, block) in blocks.iter().enumerate().filter(|(number, _)| *number != missing) {
            assert!(number < blocks.len());
            node.store.write(block.block_type, block.data.clone(), node.now()).await.unwrap();
        }
        client.command("ctl", &format!("name barn.1009 vac:{root} iris")).await.unwrap();
        node.until(|registry| registry.proof("barn.1009", root).is_some()).await;
        let said = String::from_utf8(client.read("names/barn.1009", 9999).await.unwrap()).unwrap();
        let lost = &blocks[missing];
        assert!(said.contains("state=waiting"), "{said}");
        assert!(said.contains(&format!("block {}/0: it is missing", lost.score)), "{said}");
        assert_eq!(client.list("roots").await.unwrap(), []);
        assert_eq!(client.stat("roots/barn.1009").await, Err(refused("file does not exist")));
        assert!(client.read("9fat/scorenames", 9999).await.is_err());
        // The block arrives.
        node.store.write(lost.block_type, lost.data.clone(), node.now()).await.unwrap();
        node.until(|registry| registry.stage("barn.1009", root) == Some(Stage::Published)).await;
        node.settle().await;
        assert_eq!(names(&client.list("roots").await.unwrap()), ["barn.1009"]);
        let text = String::from_utf8(client.read("9fat/scorenames", 9999).await.unwrap()).unwrap();
        assert_eq!(text, format!("scorename=barn.1009 rootscore=vac:{root} user=iris\n\n"));
        assert_eq!(client.read("roots/barn.1009/grain", 99).await.unwrap(), b"wheat");
        assert_eq!(client.read("roots/barn.1009/note", 1 << 20).await.unwrap(), [7; 30_000]);
        let stat = client.stat("roots/barn.1009/note").await.unwrap();
        assert_eq!((stat.length, stat.mode), (30_000, 0o444));
        client.command("ctl", "prove barn.1009").await.unwrap();
        node.until(|registry| registry.proof("barn.1009", root).is_some_and(|proof| proof.is_full)).await;
        let registry = node.names.registry();
        let proof = registry.proof("barn.1009", root).unwrap();
        assert!(proof.blocks >= blocks.len() as u64);
        assert_eq!((proof.faults, proof.count), (0, 1));
    });
}

#[test]
fn what_scorecopy_writes_is_merged_and_a_name_is_never_rebound() {
    run(async {
        let node = Node::new().await;
        let mut client = node.client(ALL).await;
        let (root, blocks) = archive(&[("grain", b"wheat".as_slice())]);
        node.store_all(&blocks).await;
        let line = |name: &str| format!("scorename={name} rootscore=vac:{root} user=iris\n");
        client.create("9fat", "scorenames", line("a.1").as_bytes()).await.unwrap();
        node.until(|registry| registry.published().len() == 1).await;
        client.write("9fat/scorenames", format!("# planted\n{}", line("b.1")).as_bytes()).await.unwrap();
        node.until(|registry| registry.published().len() == 2).await;
        node.settle().await;
        let text = String::from_utf8(client.read("9fat/scorenames", 9999).await.unwrap()).unwrap();
        assert!(text.contains(&line("a.1")) && text.contains(&line("b.1")) && text.contains("# planted\n"));
        let other = Score::of(b"another root");
        let error = client.command("ctl", &format!("name a.1 vac:{other}")).await.unwrap_err();
        assert!(error.to_string().contains("never rebound"), "{error}");
        assert_eq!(client.remove("9fat/scorenames").await, Err(refused("permission denied")));
        client.command("ctl", &format!("remove a.1 vac:{root}")).await.unwrap();
        let error = client.command("ctl", &format!("name a.1 vac:{root}")).await.unwrap_err();
        assert!(error.to_string().contains("removed by an administrator"), "{error}");
    });
}

#[test]
fn each_right_allows_what_it_says_and_no_more() {
    run(async {
        let node = Node::new().await;
        node.client(ALL).await.create("9fat", "note", b"1").await.unwrap();
        let denied = || Err(refused("permission denied"));
        let score = Score::of(b"x");
        let name = |number: u8| format!("name n.{number} vac:{score}");
        let mut reader = node.client(Rights { read: true, ..Rights::default() }).await;
        assert_eq!(reader.read("9fat/note", 9).await.unwrap(), b"1");
        assert_eq!(reader.write("9fat/note", b"2").await, denied());
        assert_eq!(reader.create("9fat", "new", b"2").await, denied());
        assert_eq!(reader.remove("9fat/note").await, denied());
        assert_eq!(reader.command("ctl", &name(1)).await, denied());
        let mut namer = node.client(Rights { read: true, names: true, admin: false }).await;
        assert_eq!(namer.command("ctl", &name(2)).await, Ok(()));
        assert_eq!(namer.create("9fat", "scorenames", b"").await, Ok(()));
        assert_eq!(namer.write("9fat/note", b"2").await, denied());
        assert_eq!(namer.command("ctl", &format!("remove n.2 vac:{score}")).await, denied());
        assert_eq!(namer.command("ctl", "sync").await, denied());
        assert!(node.attach(Rights::default(), "").await.is_err());
        for place in ["names", "roots", "status", "arenas"] {
            let mut admin = node.client(ALL).await;
            assert_eq!(
                admin.create(place, "new", b"").await.map_err(
                    |error| error == refused("not a directory") || error == refused("permission denied")
                ),
                Err(true),
                "{place}"
            );
        }
    });
}

#[test]
fn a_shell_may_empty_ctl_before_it_writes_to_it() {
    run(async {
        let node = Node::new().await;
        let empty = |length| Request::Wstat {
            fid: 9,
            change: StatChange { length: Some(length), ..StatChange::default() },
        };
        let to_ctl = Request::Walk { fid: 0, newfid: 9, names: vec!["ctl".to_owned()] };
        let mut admin = node.client(ALL).await;
        admin.ask(&to_ctl).await.unwrap();
        assert_eq!(admin.ask(&empty(0)).await, Ok(Reply::Wstat));
        assert_eq!(admin.ask(&empty(1)).await, Err(refused("wstat prohibited")));
        let mut reader = node.client(Rights { read: true, ..Rights::default() }).await;
        reader.ask(&to_ctl).await.unwrap();
        assert_eq!(reader.ask(&empty(0)).await, Err(refused("wstat prohibited")));
    });
}

#[test]
fn a_right_that_is_taken_away_is_gone_for_those_who_are_connected() {
    run(async {
        let node = Node::new().await;
        let rights = Rc::new(Cell::new(ALL));
        let mut client = node.client_with(rights.clone()).await;
        let denied = || Err(refused("permission denied"));
        assert_eq!(client.create("9fat", "note", b"1").await, Ok(()));
        rights.set(Rights { read: true, ..Rights::default() });
        assert_eq!(client.write("9fat/note", b"2").await, denied());
        assert_eq!(client.command("ctl", "sync").await, denied());
        assert_eq!(client.read("9fat/note", 9).await.unwrap(), b"1");
        rights.set(Rights::default());
        assert_eq!(client.read("9fat/note", 9).await.unwrap_err(), refused("permission denied"));
        rights.set(ALL);
        assert_eq!(client.write("9fat/note", b"2").await, Ok(()), "and it may come back");
    });
}

#[test]
fn a_directory_of_100_000_files_is_listed_and_walked() {
    run(async {
        let node = Node::new().await;
        let mut client = node.client(ALL).await;
        let (root, blocks) = archive_of_many(100_000);
        node.store_all(&blocks).await;
        client.command("ctl", &format!("name many.1 vac:{root} iris")).await.unwrap();
        node.until(|registry| registry.published().len() == 1).await;
        let listed = client.list("roots/many.1").await.unwrap();
        assert_eq!(listed.len(), 100_000);
        let mut qids: Vec<Qid> = listed.iter().map(|stat| stat.qid).collect();
        qids.sort_unstable_by_key(|qid| qid.path);
        qids.dedup();
        assert_eq!(qids.len(), 100_000, "two files with one qid");
        for stat in listed.iter().step_by(997) {
            assert_eq!(client.stat(&format!("roots/many.1/{}", stat.name)).await.unwrap(), *stat);
        }
    });
}

#[test]
fn the_rules_of_the_protocol_are_kept() {
    run(async {
        let node = Node::new().await;
        let mut client = node.client(ALL).await;
        let error = |text: &str| Err(refused(text));
        let walk = |fid, newfid, names: &[&str]| Request::Walk {
            fid,
            newfid,
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert_eq!(client.ask(&walk(9, 1, &[])).await, error("fid unknown or out of range"));
        assert_eq!(client.ask(&walk(0, 1, &["nothing"])).await, error("file does not exist"));
        // A walk that comes part of the way says how far, and makes no fid.
        let Reply::Walk(qids) = client.ask(&walk(0, 1, &["9fat", "nothing"])).await.unwrap() else {
            panic!()
        };
        assert_eq!(qids.len(), 1);
        assert_eq!(client.ask(&Request::Stat { fid: 1 }).await, error("fid unknown or out of range"));
        assert_eq!(client.ask(&walk(0, 1, &["names", "..", "9fat"])).await.map(|_| ()), Ok(()));
        assert_eq!(client.ask(&walk(0, 1, &[])).await, error("fid already in use"));
        assert_eq!(client.ask(&Request::Open { fid: 1, mode: 1 }).await, error("file is a directory"));
        assert_eq!(
            client.ask(&Request::Read { fid: 1, offset: 0, count: 9 }).await,
            error("file not open for I/O")
        );
        assert!(client.ask(&Request::Open { fid: 1, mode: 0 }).await.is_ok());
        assert_eq!(client.ask(&Request::Open { fid: 1, mode: 0 }).await, error("file already open for I/O"));
        assert_eq!(client.ask(&walk(1, 2, &[])).await, error("file already open for I/O"));
        assert_eq!(
            client.ask(&walk(0, 3, &["status", "x"])).await.map(|reply| reply != Reply::Walk(vec![])),
            Ok(true)
        );
        assert_eq!(
            client.ask(&Request::Read { fid: 1, offset: 5, count: 900 }).await,
            error("bad offset in directory read")
        );
        assert_eq!(client.ask(&Request::Flush { oldtag: 77 }).await, Ok(Reply::Flush));
        let auth = Request::Auth { afid: 5, uname: "iris".into(), aname: String::new() };
        assert_eq!(client.ask(&auth).await, error("authentication not required"));
        let renamed = StatChange { name: Some("new".into()), ..StatChange::default() };
        assert_eq!(client.ask(&Request::Wstat { fid: 0, change: renamed }).await, error("wstat prohibited"));
        assert_eq!(client.ask(&Request::Clunk { fid: 1 }).await, Ok(Reply::Clunk));
        assert_eq!(client.ask(&Request::Clunk { fid: 1 }).await, error("fid unknown or out of range"));
        // A directory is read in whole entries only.
        client.ask(&walk(0, 1, &[])).await.unwrap();
        client.ask(&Request::Open { fid: 1, mode: 0 }).await.unwrap();
        let small = Request::Read { fid: 1, offset: 0, count: 20 };
        assert_eq!(client.ask(&small).await, error("directory entry is larger than the read"));
        let (mut offset, mut stats) = (0, Vec::new());
        loop {
            let read = Request::Read { fid: 1, offset, count: 150 };
            let Reply::Read(data) = client.ask(&read).await.unwrap() else { panic!() };
            if data.is_empty() {
                break;
            }
            offset += data.len() as u64;
            stats.extend(Stat::parse_all(&data).unwrap());
        }
        assert_eq!(stats.len(), 8);
    });
}

#[test]
fn a_version_is_agreed_on_first_and_resets_everything() {
    run(async {
        let node = Node::new().await;
        let mut raw = node.raw(ALL);
        let version = |msize, version: &str| Request::Version { msize, version: version.to_owned() };
        assert_eq!(
            raw.ask(1, &Request::attach(0, "iris", "")).await,
            Reply::Error("no version has been agreed on".into())
        );
        let spoken = |msize| Reply::Version { msize, version: "9P2000".into() };
        assert_eq!(raw.ask(NO_TAG, &version(8192, "9P2000.L")).await, spoken(8192));
        assert_eq!(raw.ask(NO_TAG, &version(u32::MAX, "9P2000")).await, spoken(FRAME_MAX));
        for (msize, text) in [(FRAME_MIN - 1, "9P2000"), (8192, "9P1999"), (8192, "9P20000"), (8192, "")] {
            let Reply::Version { version, .. } = raw.ask(NO_TAG, &version(msize, text)).await else {
                panic!()
            };
            assert_eq!(version, "unknown", "{msize} {text:?}");
        }
        raw.ask(NO_TAG, &version(8192, "9P2000")).await;
        assert!(matches!(raw.ask(1, &Request::attach(0, "iris", "")).await, Reply::Attach(_)));
        raw.ask(NO_TAG, &version(8192, "9P2000")).await;
        let stat = raw.ask(1, &Request::Stat { fid: 0 }).await;
        assert_eq!(stat, Reply::Error("fid unknown or out of range".into()));
    });
}

#[test]
fn fids_are_bounded() {
    run(async {
        let node = Node::new().await;
        let mut client = node.client(ALL).await;
        let walk = |newfid| Request::Walk { fid: 0, newfid, names: Vec::new() };
        for newfid in 1..4096 {
            client.ask(&walk(newfid)).await.unwrap();
        }
        assert_eq!(client.ask(&walk(5000)).await, Err(refused("too many fids")));
        client.ask(&Request::Clunk { fid: 7 }).await.unwrap();
        assert!(client.ask(&walk(5000)).await.is_ok());
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_bytes_hang_or_break_the_server(
        messages in proptest::collection::vec((99..130_u8, proptest::collection::vec(any::<u8>(), 0..40), any::<u32>()), 1..20),
    ) {
        run(async move {
            let node = Node::new().await;
            let mut raw = node.raw(ALL);
            raw.ask(NO_TAG, &Request::Version { msize: 8192, version: "9P2000".into() }).await;
            raw.ask(1, &Request::attach(0, "iris", "")).await;
            let mut bytes = Vec::new();
            for (kind, body, fid) in messages {
                let fid = (fid % 4).to_le_bytes();
                let size = (4 + 3 + 4 + body.len() as u32).to_le_bytes();
                bytes.extend_from_slice(&size);
                bytes.extend_from_slice(&[kind, 1, 0]);
                bytes.extend_from_slice(&fid);
                bytes.extend_from_slice(&body);
            }
            raw.send_and_close(&bytes).await;
            // The node serves others as before.
            assert!(node.client(ALL).await.list("/").await.is_ok());
        });
    }
}

#[test]
fn the_nodes_key_is_for_nobody_to_read_replace_or_bring_in() {
    run(async {
        let node = Node::new().await;
        let fat = &node.fat;
        fat.replace("node.key", b"secret", node.now()).await.unwrap();
        let mut client = node.client(ALL).await;
        for path in ["9fat/node.key", "9fat/NODE.KEY", "9fat/Node.Key"] {
            assert!(client.read(path, 99).await.is_err(), "{path}");
            assert!(client.write(path, b"x").await.is_err(), "{path}");
            assert!(client.remove(path).await.is_err(), "{path}");
        }
        let listed = client.list("9fat").await.unwrap();
        assert_eq!(listed.iter().find(|stat| stat.name == "node.key").unwrap().mode, 0);
        assert_eq!(fat.read("node.key", 99).await.unwrap(), b"secret");
        fat.remove("node.key").await.unwrap();
        assert_eq!(client.create("9fat", "node.KEY", b"x").await, Err(refused("permission denied")));
        client.create("9fat", "other", b"x").await.unwrap();
    });
}
