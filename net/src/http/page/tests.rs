//! The status page of made-up nodes.

use super::*;
use crate::clock::Instant;
use crate::disks::DiskHealth;
use crate::http::history::{History, Sample};
use crate::http::metrics;
use crate::http::view::{
    HttpView, MachineStatus, MemoryStatus, NameRow, NamesView, PeerView, ProcessorUse, VentiView,
};
use crate::replicate::Progress;
use crate::venti::connections::Counters as Served;
use crate::venti::latency::Histogram;
use alloc::vec::Vec;
use core::time::Duration;
use flate2::read::GzDecoder;
use std::io::Read;
use storage::device::ram::RamDisk;
use storage::names::Proof;
use storage::score::Score;
use storage::simulation::block_on;
use storage::store::{
    ArenaStatus, Damage, DamageCause, Store, StorePart, StoreParts, StoreSettings, StoreStatus, StoreTotals,
};

fn store(damage: &[Damage]) -> StoreView {
    let totals = StoreTotals {
        arenas: 16,
        active: 3,
        sealed: 2,
        summed: 1,
        space: 8 << 30,
        used: 3 << 30,
        clumps: 400_000,
        uncompressed_size: 6 << 30,
        indexed_clumps: 399_990,
        ..StoreTotals::default()
    };
    let status = StoreStatus {
        reads: 1000,
        misses: 10,
        writes: 900,
        duplicates: 600,
        damage_count: damage.len() as u64,
        damage: damage.to_vec(),
        ..StoreStatus::default()
    };
    StoreView { status, totals, index: None }
}

fn peer() -> PeerView {
    let progress = Progress {
        lag_bytes: 5 << 20,
        sent_blocks: 1234,
        last_error: Some("venti: <no> space for bd99126ad6d3f1be5754bde2b2932d4d819183cc".into()),
        ..Progress::default()
    };
    PeerView {
        name: "east".into(),
        way: crate::replicate::Way::Tls,
        state: "sending".into(),
        progress,
        lag: Duration::from_secs(61),
        holes: 2,
    }
}

fn names() -> NamesView {
    let proof = |faults, first: Option<&str>| Proof {
        at: Timestamp(1_795_380_824),
        is_full: faults == 0,
        count: 1,
        blocks: 1234,
        bytes: 9 << 20,
        faults,
        first_fault: first.map(Into::into),
    };
    let row = |name: &str, is_published, proof| NameRow {
        name: name.into(),
        user: "iris <i>".into(),
        is_published,
        proof: Some(proof),
    };
    let lost =
        proof(2, Some("/grain/wheat: block bd99126ad6d3f1be5754bde2b2932d4d819183cc/0: it is missing"));
    let rows = [row("lost.1", false, lost), row("barn.1009", true, proof(0, None))];
    NamesView { published: 7, waiting: 1, rows: rows.into(), ..NamesView::default() }
}

fn show(name: &str, stage: Stage, store: Option<StoreView>, page: fn(&View) -> String) -> String {
    let mut history = History::default();
    for number in 0..400 {
        let at = Instant { micros: number * 10_000_000 };
        history.note(Sample {
            at,
            used: (3 << 30) + number * 1024,
            reads: number * 120,
            ..Sample::default()
        });
    }
    let histogram = Histogram::default();
    for micros in [40, 300, 20_000_000] {
        histogram.note(Duration::from_micros(micros));
    }
    let latencies = [histogram.latencies(), Histogram::default().latencies(), histogram.latencies()];
    let venti = VentiView { open: 2, counters: Served { reads: 3, ..Served::default() }, latencies };
    let memory = MemoryStatus { total: 1 << 30, free: 1 << 29, failures: 0 };
    let processors = [(1_995_000_000, 7000), (250_000, 31)];
    let processors = processors.map(|(busy_micros, jobs)| ProcessorUse { busy_micros, jobs }).into();
    page(&View {
        name,
        version: "0.1.0",
        stage,
        uptime: Duration::from_secs(3990),
        now: Timestamp(1_795_380_824),
        venti: store.is_some().then_some(venti),
        store,
        names: Some(names()),
        peers: [peer()].into(),
        logins: [("admitted", 3), ("stranger", 1234)].into(),
        http: HttpView {
            open: 1,
            counters: Served::default(),
            answers: [(crate::http::Status::Ok, 4)].into(),
        },
        machine: MachineStatus { memory: Some(memory), networks: Vec::new(), processors, disks: disks() },
        history: &history,
    })
}

fn disks() -> Vec<DiskHealth> {
    let good = DiskHealth { name: "S1".into(), celsius: Some(35), ..DiskHealth::default() };
    let bad = DiskHealth { name: "S2".into(), pending: Some(4), ..DiskHealth::default() };
    [good, bad].into()
}

/// What a text browser shows, about: everything but markup and style.
fn words(page: &str) -> String {
    let body = page.split("</style>").nth(1).unwrap();
    let mut words = String::new();
    for piece in body.split('<').skip(1) {
        words.push_str(piece.split_once('>').unwrap().1);
    }
    words
}

#[test]
fn everything_that_matters_is_said_in_words() {
    let page = show("barn", Stage::Serving, Some(store(&[])), page);
    let words = words(&page);
    for text in [
        "barn",
        "serving",
        "up 1 hour 6 minutes",
        "5.0 GiB free",
        "3.0 GiB of 8.0 GiB used (37.6 %)",
        "days left",
        "400,000 stored",
        "Compression 2.0 : 1",
        "Duplicates 3.0 : 1: of 900 written since the start, 600 were here",
        "No damage seen",
        "reads 12 /s, at most 12 /s",
        "16 arenas: 3 in use, 2 of them sealed, 1 of these summed",
        "more than 10 s",
        "2026-11-22 20:53 UTC",
        "7 published, 1 waiting for blocks",
        "lost.1iris &lt;i&gt;waiting1,2349.0 MiBwalked 2026-11-22 20:532 faults, the first: /grain/wheat: block …/0",
        "barn.1009iris &lt;i&gt;published1,2349.0 MiBproved",
        "and 6 more",
        "S135 °C",
        "S24 sectors unreadable",
    ] {
        assert!(words.contains(text), "{text} is not in:\n{words}");
    }
}

#[test]
fn the_page_is_one_file_that_loads_and_runs_nothing() {
    for stage in [Stage::Starting, Stage::Serving, Stage::Failed, Stage::Stopping] {
        let page = show("barn", stage, Some(store(&[])), page);
        for banned in ["<script", "<link", "<img", "@import", "url(", "src=", "http://", "https://", "<form"]
        {
            assert!(!page.contains(banned), "{banned}");
        }
        assert!(page.len() < 32 << 10, "{} bytes", page.len());
    }
}

#[test]
fn elements_are_closed_in_the_order_in_which_they_were_opened() {
    let damage = Damage { arena: "a<b".parse().unwrap(), offset: 5, cause: DamageCause::BeyondEnd };
    let page = show("a&b", Stage::Serving, Some(store(&[damage])), page);
    let mut open = Vec::new();
    for piece in page.split('<').skip(1) {
        let (tag, _) = piece.split_once('>').unwrap();
        let name = tag.trim_start_matches('/').split_whitespace().next().unwrap();
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "<{tag}>"),
            None if tag.ends_with('/') || ["!DOCTYPE", "meta", "br"].contains(&name) => {}
            None => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn neither_names_nor_damage_become_markup_or_tell_a_score() {
    let score = Score::of(b"secret");
    let cause = DamageCause::Score { expected: score, got: Score::of(b"other") };
    let damage = [Damage { arena: "<b>".parse().unwrap(), offset: 12, cause }; 30];
    for make in [page, metrics::page] {
        let page = show("<i>\"&", Stage::Serving, Some(store(&damage)), make);
        assert!(!page.contains("<b>\n") && !page.contains("<i>"), "{page}");
        assert!(!page.contains(&format!("{score}")) && !page.contains(&format!("{}", Score::of(b"other"))));
    }
    let page = show("barn", Stage::Serving, Some(store(&damage)), page);
    assert!(page.contains("&lt;b&gt; 12; expected=… got=…") && page.contains("30 damaged places"), "{page}");
    assert_eq!(page.matches("<li>").count(), DAMAGE_SHOWN);
}

#[test]
fn a_node_without_a_store_says_so() {
    let page = show("barn", Stage::Failed, None, page);
    assert!(words(&page).contains("not serving: the console says why"));
    let page = show("barn", Stage::Starting, None, metrics::page);
    assert!(page.contains("\ngranary_ready 0\n") && !page.contains("granary_store"));
}

#[test]
fn metrics_are_families_of_samples() {
    let page = show("barn", Stage::Serving, Some(store(&[])), metrics::page);
    let mut families = Vec::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let name = rest.split(' ').next().unwrap();
            assert!(!families.contains(&name), "{name} twice");
            families.push(name);
        } else if !line.starts_with("# HELP ") {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let family = families.last().unwrap();
            assert!(sample.starts_with(family) && family.starts_with("granary_"), "{line}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    let lines = [
        "granary_venti_request_seconds_bucket{op=\"read\",le=\"0.00005\"} 1",
        "granary_venti_request_seconds_bucket{op=\"read\",le=\"10\"} 2",
        "granary_venti_request_seconds_bucket{op=\"read\",le=\"+Inf\"} 3",
        "granary_venti_request_seconds_sum{op=\"read\"} 20.00034",
        "granary_store_arenas{state=\"open\"} 1",
        "granary_http_answers_total{code=\"200\"} 4",
        "granary_disk_temperature_celsius{disk=\"S1\"} 35",
        "granary_disk_bad{disk=\"S1\"} 0",
        "granary_disk_bad{disk=\"S2\"} 1",
        "granary_disk_pending_sectors{disk=\"S2\"} 4",
    ];
    lines
        .iter()
        .for_each(|line| assert!(page.lines().any(|found| found == *line), "{line} is not in:\n{page}"));
}

/// An arena that the real server sealed.
fn arena() -> ArenaStatus {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../storage/tests/fixtures/venti/main/arenas.img.gz");
    let mut image = Vec::new();
    GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut image).unwrap();
    let arenas = [StorePart { name: "disk0:arenas".into(), device: RamDisk::from_bytes(512, &image) }].into();
    let parts = StoreParts { arenas, index_sections: Vec::new(), bloom: None };
    block_on(async {
        let (store, _) = Store::open(parts, StoreSettings::default(), Timestamp(1)).await.unwrap();
        store.arena(0).unwrap()
    })
}

#[test]
fn arenas_are_drawn_one_by_one_up_to_a_point() {
    let arenas = |count: usize| {
        let arena = arena();
        let mut store = store(&[]);
        store.status.arenas = (0..count).map(|_| arena.clone()).collect();
        store.totals.active = count;
        show("barn", Stage::Serving, Some(store), page)
    };
    assert_eq!(arenas(3).matches("<rect class=\"sealed\"").count(), 3);
    let many = arenas(1000);
    assert!(!many.contains("<rect class=\"sealed\"") && many.contains("968 earlier ones"));
    assert_eq!(many.matches("<td>arenas0</td>").count(), 32);
}
