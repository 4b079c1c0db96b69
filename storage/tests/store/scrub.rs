//! The scrubber on stores that are whole: its schedule, its pace, its manners towards clients, and its memory.

use crate::support::{NOW, disk, fresh_arenas, lump, open, parts};
use futures_util::future::{join, select};
use std::cell::Cell;
use std::future::pending;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use storage::Timestamp;
use storage::block_type::BlockType;
use storage::device::ram::RamDisk;
use storage::device::sim::SimDisk;
use storage::device::{BlockDevice, Image};
use storage::fat::{NineFat, Volume};
use storage::scrub::{FILE, Keeper, PIECE, SealResult};
use storage::settings::Scrub;
use storage::simulation::{block_on, yield_now};
use storage::store::{Store, StoreSettings};

pub const DAY: Duration = Duration::from_secs(86_400);

/// Time that passes only in pauses, up to an end.
pub struct Clock {
    start: Timestamp,
    passed: Cell<Duration>,
    end: Duration,
}

impl Clock {
    /// From `start` on, for `len`.
    pub fn new(start: Timestamp, len: Duration) -> Clock {
        Clock { start, passed: Cell::new(Duration::ZERO), end: len }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        Timestamp(self.start.0 + self.passed.get().as_secs() as u32)
    }

    /// Lets time pass; never returns at the end.
    pub async fn pause(&self, time: Duration) {
        self.passed.set((self.passed.get() + time).min(self.end));
        if self.is_over() {
            pending::<()>().await;
        }
        yield_now().await;
    }

    fn is_over(&self) -> bool {
        self.passed.get() >= self.end
    }

    /// Polls `work` until the time is over. Returns the time of the end.
    pub async fn run(&self, work: impl Future<Output = ()>) -> Timestamp {
        let over = async {
            while !self.is_over() {
                yield_now().await;
            }
        };
        select(pin!(work), pin!(over)).await;
        self.now()
    }
}

/// Scrubs for some time; returns when that was over.
pub async fn scrub<D: BlockDevice + 'static>(
    store: &Store<D>,
    setting: Scrub,
    from: Timestamp,
    time: Duration,
) -> Timestamp {
    let clock = Clock::new(from, time);
    clock.run(store.scrub(setting, &|| clock.now(), &async |time| clock.pause(time).await)).await
}

/// A store of some megabytes on a disk that counts.
async fn filled(lumps: u64) -> (Rc<SimDisk>, Store<Rc<SimDisk>>) {
    let disk = Rc::new(SimDisk::new(fresh_arenas(512, 8192, 4 << 20, 4, 1), 1));
    let (store, _) = open(vec![disk.clone()]).await.unwrap();
    write(&store, 0..lumps).await;
    (disk, store)
}

async fn write<D: BlockDevice + 'static>(store: &Store<D>, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let data = lump(4 * number + 1, 8192);
        store.write(BlockType::DATA, data.into(), NOW).await.unwrap();
    }
    store.sync().await.unwrap();
}

/// The real server's store, with two sealed arenas.
pub async fn of_the_real_server(settings: StoreSettings) -> ([Rc<SimDisk>; 2], Store<Rc<SimDisk>>) {
    let disks = ["arenas", "extra", "isect0", "isect1"].map(|name| {
        let image: Image = disk(&format!("main/{name}.img.gz")).image();
        Rc::new(SimDisk::new(image, 1))
    });
    let [arenas, extra, isect0, isect1] = disks;
    let all = parts(vec![arenas.clone(), extra.clone()], vec![isect0, isect1], None);
    let (store, report) = Store::open(all, settings, NOW).await.unwrap();
    assert!(report.damage.is_empty());
    ([arenas, extra], store)
}

#[test]
fn every_clump_and_seal_of_the_real_servers_store_is_verified_and_nothing_is_written() {
    block_on(async {
        let (disks, store) = of_the_real_server(StoreSettings::default()).await;
        let end = scrub(&store, Scrub::Days(30), NOW, DAY).await;
        let status = store.status();
        assert_eq!((status.damage_count, status.damaged_blocks), (0, 0), "{:?}", status.damage);
        let records: Vec<_> = status.arenas.iter().filter_map(|arena| Some((arena, arena.scrub?))).collect();
        assert_eq!(records.len(), 3);
        for (arena, record) in &records {
            assert_eq!((record.clumps, record.bytes), (arena.durable.clumps, arena.durable.used));
            assert_eq!((record.damaged, record.lost), (0, 0));
            let sealed = if arena.seal.is_some() { SealResult::Good } else { SealResult::None };
            assert_eq!(record.seal, sealed, "{}", arena.name);
            assert!(NOW <= record.begun && record.begun <= record.ended && record.ended <= end);
        }
        assert_eq!(records.iter().map(|(_, record)| record.clumps).sum::<u32>(), 1979);
        assert!(disks.iter().all(|disk| disk.counts().writes == 0));
    });
}

#[test]
fn sealed_arenas_are_verified_again_on_a_schedule() {
    block_on(async {
        let (disks, store) = of_the_real_server(StoreSettings::default()).await;
        let sealed = store.status().arenas[1].clone();
        let after_a_day = scrub(&store, Scrub::Days(30), NOW, DAY).await;
        let read = disks[0].counts().bytes_read;
        // It rots in a place that nobody reads.
        disks[0].flip_bit((sealed.start + 8192 + sealed.durable.used + 5) * 8);
        let after_29_days = scrub(&store, Scrub::Days(30), after_a_day, 28 * DAY).await;
        assert_eq!((disks[0].counts().bytes_read, store.status().damage_count), (read, 0));
        scrub(&store, Scrub::Days(30), after_29_days, 2 * DAY).await;
        let status = store.status();
        assert_eq!(status.damage_count, 1);
        assert!(
            status.damage[0].to_string().starts_with("arenas1: the seal is broken"),
            "{:?}",
            status.damage
        );
        assert_eq!(status.arenas[1].scrub.unwrap().seal, SealResult::Bad);
        assert_eq!(status.arenas[0].scrub.unwrap().seal, SealResult::Good);
    });
}

#[test]
fn the_pace_is_obeyed_to_the_byte() {
    block_on(async {
        let (disk, store) = filled(500).await;
        let before = disk.counts().bytes_read;
        let (rate, clock) = (1 << 20, Clock::new(NOW, DAY));
        let pause = async |time| {
            clock.pause(time).await;
            // The first minute passes before anything is read.
            let paced = clock.passed.get().saturating_sub(Duration::from_secs(60));
            let allowed = paced.as_micros() * rate / 1_000_000;
            // Sectors at both ends of a piece may be read for a few bytes of it.
            let read = u128::from(disk.counts().bytes_read - before);
            assert!(read <= allowed + allowed / 16 + PIECE as u128, "{read} bytes read in {paced:?}");
        };
        clock.run(store.scrub(Scrub::Rate(rate as u64), &|| clock.now(), &pause)).await;
        let status = store.status();
        let used: u64 = status.arenas.iter().map(|arena| arena.durable.used).sum();
        assert!((used..used * 11 / 10).contains(&status.scrub_bytes), "{} of {used}", status.scrub_bytes);
    });
}

#[test]
fn clients_go_first_and_are_served_meanwhile() {
    let passed_until_done = |busy: bool| {
        block_on(async {
            let (_, store) = filled(200).await;
            let clock = Clock::new(NOW, Duration::from_secs(3600));
            let done = Cell::new(Duration::ZERO);
            let client = async {
                for number in 0.. {
                    if clock.is_over() {
                        return;
                    }
                    let data = lump(4 * (number % 200) + 1, 8192);
                    if busy {
                        let score = storage::score::Score::of(&data);
                        assert_eq!(store.read(score, BlockType::DATA).await.unwrap(), data);
                    }
                    yield_now().await;
                }
            };
            let pause = async |time| {
                if store.status().arenas[0].scrub.is_some() && done.get().is_zero() {
                    done.set(clock.passed.get());
                }
                clock.pause(time).await;
            };
            let now = || clock.now();
            let work = store.scrub(Scrub::Rate(256 << 10), &now, &pause);
            join(clock.run(work), client).await;
            assert!(store.status().arenas[0].scrub.is_some());
            done.get() - Duration::from_secs(60)
        })
    };
    let (quiet, busy) = (passed_until_done(false), passed_until_done(true));
    assert!(quiet * 3 / 2 < busy && busy < quiet * 5 / 2, "{quiet:?} alone, {busy:?} beside a client");
}

#[test]
fn what_an_arena_takes_later_is_verified_later_and_alone() {
    block_on(async {
        let (disk, store) = filled(300).await;
        let later = scrub(&store, Scrub::Days(30), NOW, DAY).await;
        write(&store, 300..310).await;
        let before = disk.counts().bytes_read;
        let end = scrub(&store, Scrub::Days(30), later, Duration::from_secs(7200)).await;
        let arena = &store.status().arenas[0];
        let record = arena.scrub.unwrap();
        assert_eq!((record.clumps, record.bytes, record.damaged), (310, arena.durable.used, 0));
        assert!(record.begun < later && record.ended > later && record.ended <= end);
        let read = disk.counts().bytes_read - before;
        assert!((10 * 8192..15 * 8192).contains(&read), "{read} bytes read for ten blocks");
    });
}

/// A disk with an empty 9fat on it.
async fn nine_fat() -> Rc<SimDisk> {
    let disk = RamDisk::new(512, 20_000);
    Volume::format(&disk, b"9FAT       ", 2048, 7, NOW).await.unwrap();
    Rc::new(SimDisk::new(disk.image(), 1))
}

async fn keeper(disk: Option<Rc<SimDisk>>) -> Keeper<Rc<SimDisk>> {
    match disk {
        Some(disk) => Keeper::new(Some(Rc::new(NineFat::open(disk, true).await.unwrap()))),
        None => Keeper::new(None),
    }
}

/// Runs a store with its records in 9fat for some time.
async fn keep(
    disk: &Rc<SimDisk>,
    nine_fat: Option<Rc<SimDisk>>,
    from: Timestamp,
    time: Duration,
) -> (Store<Rc<SimDisk>>, Timestamp) {
    let (store, _) = open(vec![disk.clone()]).await.unwrap();
    let (keeper, clock) = (keeper(nine_fat).await, Clock::new(from, time));
    let work = keeper.run(&store, Scrub::Days(30), || clock.now(), async |time| clock.pause(time).await);
    let end = clock.run(work).await;
    keeper.save(&store, end).await;
    (store, end)
}

#[test]
fn a_restart_keeps_what_was_found_and_the_schedule() {
    block_on(async {
        let (disk, _) = filled(300).await;
        let nine_fat = nine_fat().await;
        let (store, end) = keep(&disk, Some(nine_fat.clone()), NOW, DAY).await;
        let (records, _) = store.scrub_records();
        assert_eq!(records.iter().count(), 1);
        let (store, end) = keep(&disk, Some(nine_fat.clone()), end, 20 * DAY).await;
        assert_eq!((store.scrub_records().0, store.status().scrub_bytes), (records.clone(), 0));
        let (store, end) = keep(&disk, Some(nine_fat.clone()), end, 15 * DAY).await;
        assert!(store.status().scrub_bytes > 300 * 8192);
        assert_ne!(store.scrub_records().0, records);
        // Without 9fat, nothing is known and everything is read.
        let (store, _) = keep(&disk, None, end, DAY).await;
        assert!(store.status().scrub_bytes > 300 * 8192);
    });
}

#[test]
fn a_file_that_is_none_costs_a_pass_and_nothing_else() {
    block_on(async {
        let (disk, _) = filled(20).await;
        for content in [&b"\xff\x00nonsense"[..], b"begun=4294967295 ended=1 arena=arenas0\n", b""] {
            let nine_fat = nine_fat().await;
            Volume::open(nine_fat.clone()).await.unwrap().replace(FILE, content, NOW).await.unwrap();
            let (store, _) = keep(&disk, Some(nine_fat.clone()), NOW, DAY).await;
            assert_eq!(store.status().arenas[0].scrub.unwrap().clumps, 20);
            let text = Volume::open(nine_fat).await.unwrap().read(FILE, 1000).await.unwrap();
            assert_eq!(text, store.scrub_records().0.print().as_bytes());
        }
    });
}

#[test]
fn the_file_is_written_when_something_has_changed_and_at_most_once_an_hour() {
    block_on(async {
        let (disk, store) = filled(20).await;
        let nine_fat = nine_fat().await;
        drop(store);
        keep(&disk, Some(nine_fat.clone()), NOW, 29 * DAY).await;
        let once = nine_fat.counts().writes;
        assert!((1..20).contains(&once), "{once} writes for one record");
        // A store that grows all the time changes its records every hour, and no more often.
        let (store, _) = open(vec![disk.clone()]).await.unwrap();
        let (keeper, clock) = (keeper(Some(nine_fat.clone())).await, Clock::new(NOW, DAY / 4));
        let growing = async {
            for number in 20.. {
                clock.pause(Duration::from_secs(300)).await;
                write(&store, number..number + 1).await;
            }
        };
        let work = keeper.run(&store, Scrub::Days(30), || clock.now(), async |time| clock.pause(time).await);
        clock.run(async { (_, _) = join(work, growing).await }).await;
        let writes = nine_fat.counts().writes - once;
        assert!(writes <= 8 * once, "{writes} writes in six hours, {once} at a time");
        assert!(store.status().arenas[0].scrub.unwrap().clumps > 20);
    });
}
