//! Seeds of venti's formats, its wire, its archives and its store.

use super::{Seeds, fixture};
use storage::archive::meta_block::{HEADER_LEN, PLACE_LEN};

const MAIN: &str = "storage/tests/fixtures/venti/main";
const SMALL: &str = "storage/tests/fixtures/venti/small";
const PRELUDE: usize = 256 * 1024;

pub fn add(seeds: &mut Seeds) {
    for (name, folder, block_size, log) in
        [("v5", MAIN.to_string(), 8192, 802_816), ("v4", format!("{SMALL}/v4"), 8192, 802_816)]
    {
        let arenas = fixture(&format!("{folder}/arenas.img.gz"));
        arena_partition(seeds, name, &arenas, block_size, log);
    }
    let section = fixture(&format!("{MAIN}/isect0.img.gz"));
    index_section(seeds, "v2", &section, 8192);
    index_section(seeds, "v1", &fixture(&format!("{SMALL}/v4/isect.img.gz")), 8192);
    index_section(seeds, "b512", &fixture(&format!("{SMALL}/b512/isect.img.gz")), 512);
    let bloom = fixture(&format!("{MAIN}/bloom.img.gz"));
    let score = storage::score::Score::of(b"any block").0;
    seeds.add("bloom", "main", &[&score, &bloom[..256]]);
    // Of 512 bytes, with all of them there.
    seeds.add("bloom", "small", &[&score, &bloom[..12], &512_u32.to_be_bytes(), &[0; 496]]);
    for (name, folder) in [("main", MAIN.to_string()), ("v4", format!("{SMALL}/v4"))] {
        seeds.add("venti_config", name, &[&fixture(&format!("{folder}/venti.conf"))]);
    }
    let all = "index main # comment\nisect /tmp/isect:1m-2m\narenas /dev/sdC0/arenas\nbloom b:part\nmem 0x10m\n\
               bcmem 1g\nicmem 017k\nqueuewrites\naddr tcp!*!venti\nhttpaddr tcp!*!8000\nwebroot /sys/www\nmgr x\n";
    seeds.add("venti_config", "all", &[all.as_bytes()]);
    whack(seeds);
    archive(seeds);
    wire(seeds);
    store(seeds);
    repair(seeds);
    let records = "# times\nbegun=1800000000 ended=1800000100 clumps=7 bytes=4096 damaged=1 lost=0 seal=good arena=arenas0\n";
    seeds.add("scrub_records", "one", &[records.as_bytes()]);
    let score = "rootscore=vac:bd99126ad6d3f1be5754bde2b2932d4d819183cc";
    let names =
        format!("scorename=a.1 {score} user=iris\n\n# c\nscorename=b.1 {score}\n\tuser=\"two words\"\n");
    seeds.add("names", "two", &[&[60], names.as_bytes()]);
    let attach = net::p9::Request::attach(0, "iris", "").to_bytes(1);
    seeds.add("p9_message", "attach", &[&attach[4..]]);
    let change = net::p9::StatChange { length: Some(0), ..Default::default() };
    let wstat = net::p9::Request::Wstat { fid: 1, change }.to_bytes(1);
    seeds.add("p9_message", "wstat", &[&wstat[4..]]);
    let walk = net::p9::Request::Walk { fid: 0, newfid: 1, names: vec!["a".into(), "..".into()] }.to_bytes(1);
    seeds.add("p9_message", "walk", &[&walk[4..]]);
    p9_session(seeds);
    for (what, line, headers) in [
        ("page", "GET / HTTP/1.1", "Host: a\r\n"),
        ("curl", "GET /index HTTP/1.1", "Host: a:8000\r\nUser-Agent: curl/8\r\nAccept: */*\r\n"),
        ("old", "GET /metrics?x=1 HTTP/1.0", "Connection: keep-alive\r\n"),
        ("head", "HEAD http://a/healthz HTTP/1.1", "Host: a\r\nConnection: close\r\nContent-Length: 0\r\n"),
    ] {
        seeds.add("http_request", what, &[line.as_bytes(), b"\r\n", headers.as_bytes(), b"\r\n"]);
    }
}

/// Conversations of a client of the node's tree: each request without size and tag.
fn p9_session(seeds: &mut Seeds) {
    use net::p9::{Request, StatChange};
    let walk = |newfid, path: &str| Request::Walk {
        fid: 0,
        newfid,
        names: path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
    };
    let open = |mode| Request::Open { fid: 1, mode };
    let read = |offset| Request::Read { fid: 1, offset, count: 8000 };
    let write = |text: &str| Request::Write { fid: 1, offset: 0, data: text.to_owned().into() };
    let clunk = Request::Clunk { fid: 1 };
    let wstat = |change| Request::Wstat { fid: 1, change };
    let renamed = StatChange { name: Some("two, longer".into()), ..StatChange::default() };
    let make = |name: &str, perm| Request::Create { fid: 1, name: name.into(), perm, mode: 1 };
    let score = "vac:bd99126ad6d3f1be5754bde2b2932d4d819183cc";
    for (what, requests) in [
        ("lists", vec![walk(1, ""), open(0), read(0), read(400), clunk.clone()]),
        (
            "reads",
            vec![walk(1, "9fat/granary.ini"), open(0), read(0), Request::Stat { fid: 1 }, clunk.clone()],
        ),
        ("writes", vec![walk(1, "9fat/granary.ini"), open(0x11), write("log=warn\n"), clunk.clone()]),
        ("makes", vec![walk(1, "9fat/keys"), make("a new file", 0o644), write("text"), clunk.clone()]),
        ("makes a directory", vec![walk(1, "9fat"), make("d", 0x8000_01ed), clunk.clone()]),
        ("renames", vec![walk(1, "9fat/keys/one"), wstat(renamed), Request::Stat { fid: 1 }, clunk.clone()]),
        ("removes", vec![walk(1, "9fat/keys/one"), Request::Remove { fid: 1 }]),
        ("names", vec![walk(1, "ctl"), open(1), write(&format!("name b.2 {score} iris")), clunk.clone()]),
        ("sets", vec![walk(1, "ctl"), open(1), write("set log=warn\nunset sysname\nsync"), clunk.clone()]),
        (
            "merges",
            vec![walk(1, "9fat/scorenames"), open(0x11), write("scorename=c rootscore=x\n"), clunk.clone()],
        ),
        ("looks", vec![walk(1, "names/a.1"), open(0), read(0), clunk.clone(), walk(1, "roots/a.1"), clunk]),
    ] {
        let mut bytes = vec![3];
        for request in requests {
            let frame = request.to_bytes(1);
            bytes.extend_from_slice(&[frame[4], (frame.len() - 7) as u8]);
            bytes.extend_from_slice(&frame[7..]);
        }
        seeds.add("p9_session", what, &[&bytes]);
    }
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn arena_partition(seeds: &mut Seeds, name: &str, image: &[u8], block_size: usize, log: usize) {
    let map = until_zero(&image[PRELUDE + block_size..]);
    seeds.add("arena_partition", name, &[&image[PRELUDE..PRELUDE + 512], map]);
    seeds.add("arena_head", name, &[&image[log - block_size..log - block_size + 96]]);
    let tail = log - block_size + (1 << 20) - block_size;
    seeds.add("arena_tail", name, &[&image[tail..tail + 144]]);
    seeds.add("directory", name, &[&image[tail - block_size..tail - block_size + 8 * 25]]);
    // The first clumps of each kind.
    let (mut at, mut taken) = (log, [0; 3]);
    while let Some(header) = image.get(at..at + 38).filter(|header| header[..4] != [0; 4]) {
        let (len, kind) =
            (usize::from(u16::from_be_bytes([header[5], header[6]])), usize::from(header[29]) % 3);
        if len < 700 && taken[kind] < 2 {
            taken[kind] += 1;
            seeds.add("clump", name, &[&image[at..at + 38 + len]]);
        }
        at += 38 + len;
    }
    let tail = fixture(&format!("{MAIN}/unindexed/arenas-tail-at-2883584.bin"));
    seeds.add("arena_tail", "unindexed", &[&tail[..144]]);
}

fn index_section(seeds: &mut Seeds, name: &str, image: &[u8], block_size: usize) {
    seeds.add("index_section", name, &[&image[PRELUDE..PRELUDE + 164]]);
    seeds.add("index_config", name, &[until_zero(&image[PRELUDE + block_size..])]);
    let base = u32::from_be_bytes(image[PRELUDE + 140..PRELUDE + 144].try_into().unwrap()) as usize;
    let version = image[PRELUDE + 7];
    let count = |block: &[u8]| usize::from(u16::from_be_bytes([block[0], block[1]]));
    let buckets = image[base..].chunks_exact(block_size).filter(|block| (1..13).contains(&count(block)));
    for block in buckets.take(2) {
        // The entry that is inserted: the first one's score, then another.
        let entry = [[version].as_slice(), &block[6..26], &[13, 0, 1, 0, 0, 32, 0, 16]].concat();
        let kept = (6 + 38 * (count(block) + 1)).min(block_size);
        seeds.add("bucket", name, &[&entry, &block[..kept]]);
        seeds.add("bucket", name, &[&[version], &[7; 20], &[13, 0, 1, 0, 0, 32, 0, 16], &block[..kept]]);
    }
}

fn whack(seeds: &mut Seeds) {
    let packed = [
        ("text", "00-ascii-text", 0),
        ("rare", "02-ascii-with-rare-high", 0),
        ("first", "06-first-two-bytes-literal", 1),
        ("matches", "10-long-matches", 0),
        ("run", "13-one-byte-run", 0),
        ("directory", "15-stored-directory-block", 1),
    ];
    for (what, file, plain) in packed {
        let path = format!("storage/tests/fixtures/venti/whack/{file}");
        let plain = fixture(&format!("{path}.plain{}", if plain == 1 { "" } else { ".gz" }));
        let packed = fixture(&format!("{path}.whack"));
        if packed.len() < 3000 {
            seeds.add("whack_decode", what, &[&(plain.len() as u16).to_be_bytes(), &packed]);
        }
        seeds.add("whack_round_trip", what, &[&[0], &plain[..plain.len().min(1500)]]);
    }
    seeds.add("whack_round_trip", "repeated", &[&[20], &[b'a', b'b', 0, 200].repeat(200)]);
}

fn archive(seeds: &mut Seeds) {
    let entries = "storage/tests/fixtures/venti/entries";
    for tree in ["fossil-2", "tree1", "tree3-b57344", "tree5-b128k"] {
        let directory = fixture(&format!("{entries}/dir-of-{tree}.bin"));
        seeds.add("archive_entry", tree, &[&directory]);
        seeds.add("archive_root", tree, &[&fixture(&format!("{entries}/root-{tree}.bin"))]);
        let scores = [[1; 20], [2; 20], storage::score::Score::ZERO.0].concat();
        for depth in [0, 1, 2] {
            let mut entry = directory[..40].to_vec();
            entry[8] = (entry[8] & !0x1c) | depth << 2;
            entry[18] = 200;
            seeds.add(
                "stream",
                tree,
                &[&[depth & 1], &entry, &[0, 60], &scores, &[0, 60], &scores, &[0, 4, 1, 2, 3, 4]],
            );
        }
    }
    for tree in ["fossil-2", "tree3-b57344"] {
        let block = fixture(&format!("{entries}/meta-root-of-{tree}.bin"));
        seeds.add("meta_block", tree, &[&[1], &block]);
        let place = &block[HEADER_LEN..HEADER_LEN + PLACE_LEN];
        let at = usize::from(u16::from_be_bytes([place[0], place[1]]));
        let len = usize::from(u16::from_be_bytes([place[2], place[3]]));
        seeds.add("file_entry", tree, &[&block[at..at + len]]);
    }
    seeds.add("zero_truncation", "data", &[&[13, 1, 2, 3, 0, 0, 0]]);
    seeds.add("zero_truncation", "pointers", &[&[3], &[9; 20], &storage::score::Score::ZERO.0.repeat(2)]);
}

fn wire(seeds: &mut Seeds) {
    for line in ["venti-02-libventi", "venti-04:02-granary", "venti-03:02:04-a-04", "http/1.1"] {
        seeds.add("greeting", "line", &[&[2], line.as_bytes(), b"\n"]);
    }
    for name in ["02-write", "03-read-hit", "04-read-miss-all-types", "05-sync", "07-unvac-list"] {
        for (version, number) in [("v04", 0), ("v02", 1)] {
            let file =
                |way: &str| fixture(&format!("net/tests/fixtures/venti-wire/{version}-{name}.{way}.bin.gz"));
            let (sent, answered) = (file("c2s"), file("s2c"));
            let first_line = sent.iter().position(|byte| *byte == b'\n').unwrap() + 1;
            let sent = &sent[..sent.len().min(1500)];
            seeds.add("frames", name, &[&[number, 7], &sent[first_line..]]);
            seeds.add("session", name, &[&[6], sent]);
            seeds.add("connection", name, &[&[40, 3], sent]);
            seeds.add("client", name, &[&[30], &answered[..answered.len().min(1500)]]);
        }
    }
}

fn store(seeds: &mut Seeds) {
    // Steps: 0 change (window, place, length, bytes), 1 and 2 read and write a block, 3 a new one, 4 sync, 6 index, 7 open.
    let busy = [9, 17, 2, 10, 250, 3, 0, 1, 3, 0, 8, 4, 7, 9, 3, 0, 9, 6, 4, 7, 1];
    for kind in 0..8 {
        seeds.add("store", "busy", &[&[kind], &busy]);
    }
    for window in 0..21 {
        let change = [0, window, 0, window, 4, 0xff, 1, 0x80, 0];
        seeds.add("store", "changed", &[&[window & 7], &change, &busy]);
        seeds.add(
            "store",
            "zeroed",
            &[&[window & 1], &[0, window, 0, 0, 0], &busy, &[0, window, 0, 0, 0], &busy],
        );
    }
    let full: Vec<u8> = (0..40).flat_map(|number| [3, number, 0]).chain([4, 6, 7, 9, 2, 4]).collect();
    seeds.add("store", "full", &[&[4], &full]);
}

fn repair(seeds: &mut Seeds) {
    // Kind (1: index lags, 2: covers what is lost), then changes: window, place, length, bytes.
    for window in 0..21 {
        seeds.add("repair", "changed", &[&[window & 3, window, 0, window, 4, 0xff, 1, 0x80, 0]]);
        seeds.add("repair", "zeroed", &[&[(window + 1) & 3, window, 0, 0, 0]]);
    }
    seeds.add("repair", "whole", &[&[1]]);
}
