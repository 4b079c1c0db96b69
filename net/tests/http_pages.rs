//! What the pages say of stores that the real server filled: the same as the real server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails as loudly as the test")]

mod venti_support;

use flate2::read::GzDecoder;
use net::http::{Body, MachineStatus, Pages, Response, Site, Stage, Status};
use net::venti::connections::Connections;
use std::io::Read;
use std::path::Path;
use std::rc::Rc;
use storage::Timestamp;
use storage::device::ram::RamDisk;
use storage::simulation::block_on;
use storage::store::{Store, StorePart, StoreParts, StoreSettings};
use venti_support::{TestClock, run};

type TestSite = Site<Rc<RamDisk>, TestClock>;

fn file(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// A text of the real server.
fn expected(name: &str) -> String {
    String::from_utf8(file(&format!("tests/fixtures/venti-http/{name}"))).unwrap()
}

/// The body of an exchange with the real server over HTTP/1.0.
fn expected_body(name: &str) -> String {
    expected(name).replace('\r', "").split_once("\n\n").unwrap().1.to_owned()
}

/// An image that the storage tests keep.
fn disk(path: &str) -> Rc<RamDisk> {
    let bytes = file(&format!("../storage/tests/fixtures/venti/{path}.gz"));
    let mut image = Vec::new();
    GzDecoder::new(bytes.as_slice()).read_to_end(&mut image).unwrap();
    Rc::new(RamDisk::from_bytes(512, &image))
}

fn part(name: &str, device: Rc<RamDisk>) -> StorePart<Rc<RamDisk>> {
    StorePart { name: name.into(), device }
}

/// A site that shows a store on these disks, each named like its file.
fn site(arenas: &[(&str, Rc<RamDisk>)], sections: &[(&str, Rc<RamDisk>)]) -> Rc<TestSite> {
    let parts =
        |disks: &[(&str, Rc<RamDisk>)]| disks.iter().map(|(name, disk)| part(name, disk.clone())).collect();
    let parts = StoreParts { arenas: parts(arenas), index_sections: parts(sections), bloom: None };
    let store =
        block_on(async { Store::open(parts, StoreSettings::default(), Timestamp(1)).await.unwrap().0 });
    let site = empty_site();
    site.show_store(Rc::new(store));
    site.set_stage(Stage::Serving);
    site
}

fn empty_site() -> Rc<TestSite> {
    Site::new("barn".into(), TestClock::new(), Connections::new(4), MachineStatus::default)
}

fn text(response: Response) -> String {
    match response.body {
        Body::Whole(text) => text,
        Body::Pieces(pieces) => pieces.collect(),
    }
}

/// A page that must be there.
fn page(site: &TestSite, path: &str) -> String {
    let response = site.answer(path);
    assert_eq!(response.status, Status::Ok, "{path}");
    text(response)
}

fn main_disks() -> [(&'static str, Rc<RamDisk>); 2] {
    [("arenas.img", disk("main/arenas.img")), ("extra.img", disk("main/extra.img"))]
}

fn main_sections() -> [(&'static str, Rc<RamDisk>); 2] {
    [("isect0.img", disk("main/isect0.img")), ("isect1.img", disk("main/isect1.img"))]
}

#[test]
fn the_filled_store_is_shown_as_the_real_server_shows_it() {
    run(async {
        let site = site(&main_disks(), &main_sections());
        // `inqueue` is a quirk of the real server: once set, it never goes away.
        assert_eq!(page(&site, "/index"), expected_body("index-http10.resp").replace(" inqueue", ""));
        assert_eq!(page(&site, "/storage"), expected_body("storage.resp"));
        assert_eq!(page(&site, "/xindex"), expected_body("xindex.resp"));
    });
}

#[test]
fn a_store_that_is_not_indexed_yet_and_an_empty_one_are_shown_alike() {
    run(async {
        let arenas = main_disks();
        for offset in [1_835_008, 2_883_584, 3_932_160] {
            let tail = format!("../storage/tests/fixtures/venti/main/unindexed/arenas-tail-at-{offset}.bin");
            arenas[0].1.put(offset, &file(&tail));
        }
        let fresh =
            [("isect0.img", disk("main/fresh/isect0.img")), ("isect1.img", disk("main/fresh/isect1.img"))];
        assert_eq!(page(&site(&arenas, &fresh), "/index"), expected("http-index-synced-not-indexed.txt"));
        let empty = [main_disks()[1].clone(), ("arenas.img", disk("main/fresh/arenas.img"))];
        let empty = [empty[1].clone(), empty[0].clone()];
        assert_eq!(page(&site(&empty, &fresh), "/index"), expected("http-index-empty-store.txt"));
    });
}

#[test]
fn other_block_sizes_and_version_4_are_shown_as_the_real_server_shows_them() {
    run(async {
        for kind in ["v4", "b16k", "b512"] {
            let arenas = [("arenas.img", disk(&format!("small/{kind}/arenas.img")))];
            let sections = [("isect.img", disk(&format!("small/{kind}/isect.img")))];
            assert_eq!(
                page(&site(&arenas, &sections), "/index"),
                expected(&format!("index-{kind}.txt")),
                "{kind}"
            );
        }
    });
}

/// What ventiprog's awk and sed make of `/index`.
fn ventiprog(index: &str) -> String {
    let mut found = String::new();
    let mut name = "";
    for line in index.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if line.starts_with("arena=") {
            name = &fields[0][6..];
        } else if line.starts_with("\tarena=") {
            let place = fields[4].trim_start_matches('[');
            let base = place.split(',').next().unwrap();
            found += &format!("x {name} {base} {}\n", fields[2]);
        }
    }
    found
}

#[test]
fn ventiprog_finds_every_arena_and_where_its_log_begins() {
    run(async {
        let site = site(&main_disks(), &main_sections());
        assert_eq!(ventiprog(&page(&site, "/index")), expected("ventiprog-offsetparse.txt"));
        let odd = Site::new("barn".into(), TestClock::new(), Connections::new(4), MachineStatus::default);
        odd.show_store(Rc::new(block_on(async {
            let arenas = vec![part("my disk\n:arenas", disk("main/arenas.img"))];
            let parts = StoreParts { arenas, index_sections: Vec::new(), bloom: None };
            Store::open(parts, StoreSettings::default(), Timestamp(1)).await.unwrap().0
        })));
        let expected = expected("ventiprog-offsetparse.txt").replace("arenas.img", "my_disk_:arenas");
        assert_eq!(ventiprog(&page(&odd, "/index")), expected, "a path is one word");
    });
}

#[test]
fn a_node_is_ready_when_it_serves_and_alive_all_the_time() {
    run(async {
        let starting = empty_site();
        for path in ["/readyz", "/index", "/xindex", "/storage"] {
            let response = starting.answer(path);
            assert_eq!(response.status, Status::Unavailable, "{path}");
            assert_eq!(text(response), "starting: the store is being opened\n");
        }
        assert_eq!(page(&starting, "/healthz"), "alive\n");
        assert!(
            page(&starting, "/").contains("starting")
                && page(&starting, "/metrics").contains("granary_ready 0")
        );
        let site = site(&main_disks(), &main_sections());
        assert_eq!(page(&site, "/readyz"), "ready\n");
        assert!(page(&site, "/metrics").contains("\ngranary_store_blocks 1979\n"));
        assert!(page(&site, "/").contains("1,979 stored"));
        site.set_stage(Stage::Stopping);
        assert_eq!(site.answer("/readyz").status, Status::Unavailable);
        assert_eq!(page(&site, "/healthz"), "alive\n");
    });
}

#[test]
fn what_is_not_there_is_answered_by_what_is() {
    run(async {
        let site = empty_site();
        let asked = "/set?name=devnull&value=1/<script>";
        for path in [asked, "/index/", "//", "/..", "/flushicache", "/metrics\r\nX: y"] {
            let response = site.answer(path);
            assert_eq!(response.status, Status::NotFound, "{path}");
            let text = text(response);
            assert!(!text.contains("script") && !text.contains("devnull"), "{text}");
            for path in ["/ ", "/healthz", "/readyz", "/metrics", "/index", "/xindex", "/storage"] {
                assert!(text.contains(&format!("\n{path}")), "{path} is not in:\n{text}");
            }
        }
    });
}

#[test]
fn the_page_and_the_metrics_show_what_clients_did() {
    run(async {
        let site = site(&main_disks(), &main_sections());
        let connections = Connections::new(3);
        site.show_venti(connections.clone());
        let ticket = connections.admit(net::clock::Instant::default()).unwrap();
        let metrics = page(&site, "/metrics");
        for line in ["granary_venti_connections 1", "granary_venti_accepted_total 1"] {
            assert!(metrics.lines().any(|found| found == line), "{line} is not in:\n{metrics}");
        }
        drop(ticket);
        assert!(page(&site, "/metrics").contains("\ngranary_venti_connections 0\n"));
        let shown = page(&site, "/");
        assert!(shown.contains("1,979 stored") && shown.contains("<b class=\"a\">reads</b> 0 /s"), "{shown}");
    });
}
