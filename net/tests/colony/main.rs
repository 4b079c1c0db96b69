//! Colonies of nodes: everything reaches everybody, once; no name is early; nothing that is confirmed is missing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails as loudly as the test")]
#![allow(dead_code, reason = "the helpers of venti are shared with other tests")]

#[path = "../archive_support/mod.rs"]
mod archive_support;
mod support;
mod trials;
#[path = "../venti_support/mod.rs"]
mod venti_support;

use std::rc::Rc;
use std::time::Duration;
use storage::score::Score;
use support::{Disks, Given, Network, Node, archive, run};
use tokio::time::sleep;

const NAMES: [&str; 5] = ["east", "west", "north", "south", "middle"];

fn peers_of(name: &str, all: &[&'static str]) -> Vec<(&'static str, String)> {
    let others = all.iter().filter(|other| **other != name);
    others
        .map(|other| (*other, format!("venti=tcp!{other}!17034\n# granary names=tcp!{other}!564\n")))
        .collect()
}

async fn colony(network: &Rc<Network>, count: usize) -> Vec<Node> {
    let mut nodes = Vec::new();
    for name in &NAMES[..count] {
        let disks = Disks::new(12 << 20, &peers_of(name, &NAMES[..count])).await;
        nodes.push(Node::start(network, name, disks, network.rng.next_u64()).await);
    }
    nodes
}

/// Waits until every node shows every name, in simulated time.
async fn converge(nodes: &[Node], given: &[Given], seconds: u64) {
    for _ in 0..seconds {
        if nodes.iter().all(|node| given.iter().all(|given| node.shows(given))) {
            return;
        }
        check_names(nodes, given).await;
        sleep(Duration::from_secs(1)).await;
    }
    let states: Vec<String> = nodes
        .iter()
        .flat_map(|node| {
            node.peers.all().into_iter().map(|peer| {
                format!("{} to {}:\n{}", node.name, peer.name, peer.show(net::clock::Clock::now(&node.clock)))
            })
        })
        .collect();
    panic!("not everybody has everything after {seconds} s:\n{}", states.join("\n"));
}

/// No node shows a name before it has what is beneath it.
async fn check_names(nodes: &[Node], given: &[Given]) {
    for node in nodes {
        for given in given.iter().filter(|given| node.shows(given)) {
            assert!(node.is_complete(given).await, "{} shows {} too early", node.name, given.name);
        }
    }
}

#[test]
fn an_archive_reaches_every_node_and_each_block_travels_once_to_each() {
    run(async {
        let network = Network::new(1);
        let nodes = colony(&network, 3).await;
        let given: Vec<Given> = (0..4).map(|number| archive(number, 12)).collect();
        for (given, node) in given.iter().zip(nodes.iter().cycle()) {
            node.give(given).await;
            sleep(Duration::from_millis(1500)).await;
        }
        converge(&nodes, &given, 200).await;
        sleep(Duration::from_secs(100)).await;
        let blocks = nodes[0].store.totals().clumps;
        let writes: u64 = nodes.iter().map(Node::writes).sum();
        assert!(nodes.iter().all(|node| node.store.totals().clumps == blocks));
        assert_eq!(writes, 2 * blocks, "each block goes to each of the two others once");
        assert_eq!(nodes.iter().map(Node::sent_twice).sum::<u64>(), 0);
    });
}

#[test]
fn a_peer_that_refuses_writes_loses_nothing_and_stops_nobody_else() {
    run(async {
        let network = Network::new(2);
        let nodes = colony(&network, 3).await;
        let given = [archive(1, 10)];
        nodes[1].refuse(true);
        nodes[0].give(&given[0]).await;
        sleep(Duration::from_secs(60)).await;
        assert!(nodes[2].shows(&given[0]) && !nodes[1].shows(&given[0]));
        // The original's offset has moved on by now.
        let cursors = nodes[0].peers.get("west").unwrap().info().cursors.clone();
        assert!(cursors.values().all(|cursor| *cursor == 0), "{cursors:?}");
        let told = nodes[0].peers.get("west").unwrap().progress().last_error.clone().unwrap();
        assert!(told.contains("no space left in arenas"), "{told}");
        nodes[1].refuse(false);
        converge(&nodes, &given, 700).await;
        assert!(nodes[1].is_complete(&given[0]).await);
    });
}

#[test]
fn on_a_slow_link_a_name_shows_only_once_everything_is_there() {
    run(async {
        let network = Network::new(3);
        network.speed.set(20_000);
        let nodes = colony(&network, 2).await;
        let given = [archive(1, 20)];
        nodes[0].give(&given[0]).await;
        let mut waited = 0;
        while !nodes[1].shows(&given[0]) {
            check_names(&nodes, &given).await;
            sleep(Duration::from_millis(100)).await;
            waited += 1;
            assert!(waited < 10_000);
        }
        assert!(waited > 20, "the link is not slow");
        check_names(&nodes, &given).await;
    });
}

/// A block of a node rots while it is off; returns the node, which has met the damage.
async fn rot(network: &Rc<Network>, node: Node, offset: u64) -> (Node, Score) {
    let (place, score, block_type) = node.byte_at(offset).await.unwrap();
    let name = node.name.clone();
    let mut disks = node.crash(1).await;
    disks.rot(place);
    let node = Node::start(network, &name, disks, 9).await;
    assert!(!node.store.has(score, block_type).await.unwrap(), "it did not rot");
    (node, score)
}

#[test]
fn a_block_that_rots_is_fetched_from_a_peer() {
    run(async {
        let network = Network::new(4);
        let mut nodes = colony(&network, 2).await;
        let given = [archive(1, 6)];
        nodes[0].give(&given[0]).await;
        converge(&nodes, &given, 100).await;
        sleep(Duration::from_secs(30)).await;
        for at in 0..2 {
            let (node, _) = rot(&network, nodes.remove(at), 5000).await;
            assert!(!node.is_complete(&given[0]).await);
            sleep(Duration::from_secs(30)).await;
            assert!(node.is_complete(&given[0]).await, "{} was not healed", node.name);
            let healed: u64 = node.peers.all().iter().map(|peer| peer.progress().healed_blocks).sum();
            assert_eq!(healed, 1, "{}", node.name);
            nodes.insert(at, node);
        }
    });
}

#[test]
fn what_cannot_be_read_is_remembered_and_sent_once_it_can_be() {
    run(async {
        let network = Network::new(5);
        let mut nodes = colony(&network, 2).await;
        let given = [archive(1, 6)];
        network.part("east", "west", true);
        nodes[0].give(&given[0]).await;
        let (node, lost) = rot(&network, nodes.remove(0), 5000).await;
        nodes.insert(0, node);
        network.part("east", "west", false);
        sleep(Duration::from_secs(400)).await;
        let west = nodes[0].peers.get("west").unwrap();
        assert_eq!(west.info().holes.len(), 1);
        assert_eq!(west.progress().lag_bytes, 0, "the other blocks went on");
        assert!(!nodes[1].shows(&given[0]));
        // Somebody has it, and writes it again.
        let block = given[0].blocks.iter().find(|block| block.score == lost).unwrap();
        nodes[0].store.write(block.block_type, block.data.clone(), storage::Timestamp(1)).await.unwrap();
        converge(&nodes, &given, 2000).await;
        sleep(Duration::from_secs(700)).await;
        assert!(west.info().holes.is_empty());
        assert!(nodes[1].is_complete(&given[0]).await);
    });
}

#[test]
fn peers_come_and_go_with_their_files_and_cursors_go_on() {
    run(async {
        let network = Network::new(6);
        let disks = [Disks::new(12 << 20, &[]).await, Disks::new(12 << 20, &[]).await];
        let [first, second] = disks;
        let nodes =
            [Node::start(&network, "east", first, 1).await, Node::start(&network, "west", second, 2).await];
        let given = [archive(1, 8), archive(2, 8)];
        nodes[0].give(&given[0]).await;
        sleep(Duration::from_secs(5)).await;
        let now = storage::Timestamp(1_700_000_000);
        let (file, text) = ("west.info", b"venti=tcp!west!17034\n# granary names=tcp!west!564\nmine=(a b)\n");
        nodes[0].nine_fat.replace(file, text, now).await.unwrap();
        converge(&nodes, &given[..1], 100).await;
        sleep(Duration::from_secs(10)).await;
        let kept = nodes[0].nine_fat.read(file, 1 << 20).await.unwrap();
        assert!(kept.starts_with(text), "{}", String::from_utf8_lossy(&kept));
        let sent = nodes[1].writes();
        nodes[0].nine_fat.remove(file).await.unwrap();
        sleep(Duration::from_secs(5)).await;
        assert!(nodes[0].peers.names().is_empty());
        nodes[0].give(&given[1]).await;
        sleep(Duration::from_secs(100)).await;
        assert!(!nodes[1].shows(&given[1]) && nodes[1].writes() == sent);
        nodes[0].nine_fat.replace(file, &kept, now).await.unwrap();
        converge(&nodes, &given, 100).await;
        assert_eq!(nodes[1].writes(), nodes[1].store.totals().clumps);
    });
}

/// Two nodes, of which the first one has a peer's file, and something to send.
async fn pair(network: &Rc<Network>, info: &str, given: &Given) -> [Node; 2] {
    let disks = [Disks::new(12 << 20, &[("west", info.to_owned())]).await, Disks::new(12 << 20, &[]).await];
    let [first, second] = disks;
    let nodes = [Node::start(network, "east", first, 1).await, Node::start(network, "west", second, 2).await];
    nodes[0].give(given).await;
    nodes
}

/// The other one learns that the first is a peer, and where.
async fn knows_back(node: &Node) {
    let now = storage::Timestamp(1_700_000_000);
    let text = b"venti=tcp!east!17034\n# granary hours=0-24\n";
    node.nine_fat.replace("east.info", text, now).await.unwrap();
}

fn last_error(node: &Node) -> String {
    node.peers.get("west").unwrap().progress().last_error.clone().unwrap_or_default()
}

#[test]
fn blocks_names_and_cursors_go_behind_authentication() {
    run(async {
        let network = Network::new(20);
        let given = [archive(1, 8)];
        let info = "venti=tcp!west!27034\n# granary names=tcp!west\n";
        let nodes = pair(&network, info, &given[0]).await;
        // Whoever has the key and is no peer gets nothing.
        sleep(Duration::from_secs(20)).await;
        assert!(last_error(&nodes[0]).contains("authentication: "), "{}", last_error(&nodes[0]));
        assert_eq!(nodes[1].writes(), 0);
        knows_back(&nodes[1]).await;
        converge(&nodes, &given, 300).await;
        assert!(nodes[1].is_complete(&given[0]).await);
        sleep(Duration::from_secs(10)).await;
        let west = nodes[0].peers.get("west").unwrap();
        assert!(west.progress().lag_bytes == 0 && west.info().cursors.values().any(|cursor| *cursor > 0));
        assert!(west.show(net::clock::Clock::now(&nodes[0].clock)).contains("\nway auth\n"));
    });
}

#[test]
fn blocks_names_and_cursors_go_by_tls_to_the_certificate_that_is_pinned_and_to_no_other() {
    run(async {
        let network = Network::new(21);
        let given = archive(1, 8);
        let pin = |name: &str| {
            let pin = support::keys::certificate(name).fingerprint();
            format!("venti=tcp!west!17035\n# granary names=direct\n# granary pin={pin}\n")
        };
        let nodes = pair(&network, &pin("north"), &given).await;
        sleep(Duration::from_secs(20)).await;
        assert!(last_error(&nodes[0]).contains(" is not trusted"), "{}", last_error(&nodes[0]));
        assert_eq!(nodes[1].writes(), 0);
        let now = storage::Timestamp(1_700_000_000);
        nodes[0].nine_fat.replace("west.info", pin("west").as_bytes(), now).await.unwrap();
        sleep(Duration::from_secs(60)).await;
        assert!(nodes[1].is_complete(&given).await, "{}", last_error(&nodes[0]));
        assert_eq!(last_error(&nodes[0]), "");
        assert!(nodes[1].shows(&given), "its name did not come");
        // From then on, names that do not change cost a handshake and a small message a minute.
        sleep(Duration::from_secs(200)).await;
        let before = network.carried.get();
        sleep(Duration::from_secs(600)).await;
        let each = (network.carried.get() - before) / 10;
        assert!((100..4000).contains(&each), "{each} bytes");
        // The peer takes us off its list, and says so when we come again.
        nodes[1].nine_fat.replace("thumbprints", b"", now).await.unwrap();
        nodes[0].give(&archive(2, 8)).await;
        sleep(Duration::from_secs(60)).await;
        assert!(last_error(&nodes[0]).starts_with("TLS: "), "{}", last_error(&nodes[0]));
        // And we take everybody off ours.
        nodes[0].nine_fat.replace("west.info", b"venti=tcp!west!17035\n", now).await.unwrap();
        nodes[0].nine_fat.replace("thumbprints", b"", now).await.unwrap();
        sleep(Duration::from_secs(60)).await;
        assert!(
            last_error(&nodes[0]).contains("no certificate of a peer is known"),
            "{}",
            last_error(&nodes[0])
        );
    });
}

#[test]
fn a_way_that_is_not_understood_is_not_taken_for_none() {
    run(async {
        let network = Network::new(22);
        let given = archive(1, 8);
        let nodes = pair(&network, "venti=tcp!west!17034\n# granary way=tsl\n", &given).await;
        sleep(Duration::from_secs(60)).await;
        assert!(last_error(&nodes[0]).contains("lest it go in clear"), "{}", last_error(&nodes[0]));
        assert_eq!(network.carried.get(), 0);
    });
}

#[test]
fn nothing_is_sent_outside_of_the_hours() {
    run(async {
        let network = Network::new(23);
        let given = archive(1, 8);
        // The nodes' clocks begin at 22:13 UTC.
        let nodes = pair(&network, "venti=tcp!west!17034\n# granary hours=23-2\n", &given).await;
        sleep(Duration::from_secs(45 * 60)).await;
        assert_eq!(network.carried.get(), 0);
        let west = nodes[0].peers.get("west").unwrap();
        assert_eq!(west.progress().state, net::replicate::State::OutOfHours);
        sleep(Duration::from_secs(5 * 60)).await;
        assert!(nodes[1].is_complete(&given).await);
        // They end at 02:00: what comes later waits for the next evening.
        sleep(Duration::from_secs(3 * 3600)).await;
        let later = archive(2, 8);
        nodes[0].give(&later).await;
        sleep(Duration::from_secs(20 * 3600)).await;
        assert!(!nodes[1].is_complete(&later).await);
        sleep(Duration::from_secs(2 * 3600)).await;
        assert!(nodes[1].is_complete(&later).await);
    });
}

/// How an archive of about 4 MB goes from one node to another.
struct Journey {
    /// Bytes per second over all.
    speed: f64,
    /// What the network had carried, with questions and answers, and after how many seconds.
    carried: Vec<(f64, u64)>,
}

async fn journey(network: &Rc<Network>, rate: &str) -> Journey {
    let disks = [Disks::new(30 << 20, &[]).await, Disks::new(30 << 20, &[]).await];
    let [first, second] = disks;
    let nodes = [Node::start(network, "east", first, 1).await, Node::start(network, "west", second, 2).await];
    let given = archive(1, 400);
    nodes[0].give(&given).await;
    let text = format!("venti=tcp!west!17034\n{rate}");
    nodes[0].nine_fat.replace("west.info", text.as_bytes(), storage::Timestamp(1)).await.unwrap();
    let bytes: usize = given.blocks.iter().map(|block| block.data.len()).sum();
    assert!(bytes > 3_000_000, "{bytes}");
    let began = tokio::time::Instant::now();
    let before = network.carried.get();
    let mut carried = Vec::new();
    let is_done = |progress: &net::replicate::Progress| progress.sent_blocks > 0 && progress.lag_bytes == 0;
    while nodes[0].peers.get("west").is_none_or(|west| !is_done(&west.progress())) {
        sleep(Duration::from_millis(5)).await;
        carried.push((began.elapsed().as_secs_f64(), network.carried.get() - before));
    }
    Journey { speed: bytes as f64 / began.elapsed().as_secs_f64(), carried }
}

#[test]
fn a_rate_is_kept_and_a_long_way_is_filled() {
    run(async {
        let limited = journey(&Network::new(7), "# granary rate=100000\n").await;
        assert!((95_000.0..=105_000.0).contains(&limited.speed), "limited: {}", limited.speed);
        assert!(limited.carried.last().is_some_and(|(_, bytes)| *bytes > 3_000_000));
        for (at, (seconds, bytes)) in limited.carried.iter().enumerate() {
            let later = limited.carried[at..].iter().find(|(later, _)| *later >= seconds + 1.0);
            let in_a_second = later.map_or(0, |(_, later)| later - bytes);
            // With a lump that was due already, and what is asked about others.
            assert!(in_a_second < 170_000, "a burst of {in_a_second} bytes after {seconds} s");
        }
        let network = Network::new(8);
        network.delay.set(Duration::from_millis(25));
        network.speed.set(1_000_000);
        let far = journey(&network, "").await;
        assert!(far.speed > 800_000.0, "far: {}", far.speed);
    });
}
