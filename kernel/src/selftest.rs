//! Tests that only a machine can run: `selftest` on the command line, with `debug-exit` for QEMU to say how they ended.
//!
//! Knows what must hold of the machine. `selftest=fault` and `selftest=panic` end in a report instead, `selftest=hang` in
//! a reset by the watchdog, for tests of that.

use crate::arch::exceptions;
use crate::command_line::CommandLine;
use crate::executor::{spawn, timers::sleep_until, yield_now};
use crate::memory::{copy, heap};
use crate::panic::{DebugExit, debug_exit};
use crate::processors::{self, pool};
use crate::{acpi, arch, console, entropy, interrupts, memory, time, watchdog};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::arch::asm;
use core::cell::RefCell;
use core::mem::MaybeUninit;
use core::sync::atomic::Ordering;
use core::time::Duration;
use futures_util::future::join_all;
use net::rng::Rng;
use storage::score::Score;

/// Which test the command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All that return.
    All,
    /// A page fault, which ends the machine.
    Fault,
    /// A panic, which does so too.
    Panic,
    /// A page fault on another processor, which does so, too.
    FaultElsewhere,
    /// A panic on another processor.
    PanicElsewhere,
    /// Nothing but waiting, for ten seconds: for measuring what an idle machine costs.
    Idle,
}

/// How long a machine hangs that has a watchdog.
const HANG_SECONDS: u16 = 2;

type Outcome = Result<(), &'static str>;

/// What `words` ask for.
pub fn asked_for(words: CommandLine<'_>) -> Option<Which> {
    if words.has("selftest") {
        return Some(Which::All);
    }
    match words.value("selftest") {
        Some("fault") => Some(Which::Fault),
        Some("panic") => Some(Which::Panic),
        Some("fault-elsewhere") => Some(Which::FaultElsewhere),
        Some("panic-elsewhere") => Some(Which::PanicElsewhere),
        Some("idle") => Some(Which::Idle),
        _ => None,
    }
}

/// Runs tests and ends the machine.
pub async fn run(which: Which) {
    match which {
        Which::All => all().await,
        Which::Fault => read_unmapped_memory(),
        Which::Panic => panic!("asked for by the command line"),
        Which::FaultElsewhere => pool::arithmetic().run(read_unmapped_memory).await,
        Which::PanicElsewhere => {
            pool::arithmetic().run(|| panic!("asked for by the command line, elsewhere")).await
        }
        Which::Idle => {
            sleep_until(time::now().plus(Duration::from_secs(10))).await;
            finish(0);
        }
    }
}

async fn all() {
    let mut failures = 0;
    let mut note = |name: &str, outcome: Outcome| match outcome {
        Ok(()) => log::info!("{name}: good"),
        Err(what) => {
            failures += 1;
            log::error!("{name}: {what}");
        }
    };
    note("copies", copy::self_test());
    note("heap", heap_gives_apart_what_it_gives());
    note("large memory", all_memory_can_be_used());
    note("breakpoint", a_breakpoint_returns());
    note("red zone", red_zone_survives_interrupts());
    note("vector registers", vector_registers_survive_interrupts());
    note("device memory", memory_is_no_device());
    note("timers", timers_keep_time().await);
    note("processors", others_work().await);
    note("order", tasks_run_in_order().await);
    note("randomness", randomness());
    log::info!("{:?} {:?} {:?}", interrupts::status(), crate::executor::status(), heap::status());
    finish(failures);
}

/// Reports, and ends the machine where it can be ended.
pub(crate) fn finish(failures: u32) {
    log::info!("self-test: {failures} failures");
    console::flush();
    debug_exit(if failures == 0 { DebugExit::Success } else { DebugExit::Failure });
    acpi::power::power_off();
}

fn heap_gives_apart_what_it_gives() -> Outcome {
    let before = heap::status();
    let mut held: Vec<Vec<u8>> = Vec::new();
    for round in 0..2000usize {
        let len = (round * 7919) % 70_000 + 1;
        held.push(alloc::vec![round as u8; len]);
        if held.len() > 40 {
            let old = held.swap_remove(round % 40);
            if old.iter().any(|&byte| byte != old[0]) {
                return Err("an allocation was overwritten");
            }
        }
    }
    drop(held);
    let after = heap::status();
    if (after.small_used, after.large_used) == (before.small_used, before.large_used) {
        Ok(())
    } else {
        Err("memory was not given back")
    }
}

/// Takes nearly all free memory in 64 to 127 pieces, powers of two as the pool's blocks are; writes to both ends of
/// each, and gives it back.
fn all_memory_can_be_used() -> Outcome {
    let free = heap::status().free;
    let piece_len = 1usize << (free / 64).max(1).ilog2();
    let mut pieces: Vec<Vec<u64>> = Vec::with_capacity(128);
    while pieces.len() < pieces.capacity() {
        let mut piece = Vec::new();
        if piece.try_reserve_exact(piece_len / 8).is_err() {
            break;
        }
        let mark = pieces.len() as u64;
        let room: &mut [MaybeUninit<u64>] = piece.spare_capacity_mut();
        if let [first, .., last] = room {
            first.write(mark);
            last.write(!mark);
        }
        pieces.push(piece);
    }
    let taken = pieces.len() * piece_len;
    let whole = (0..).zip(pieces.iter_mut()).all(|(mark, piece)| {
        let [first, .., last] = piece.spare_capacity_mut() else { return false };
        // SAFETY: the loop above wrote it.
        let first = unsafe { first.assume_init() };
        // SAFETY: as above.
        let last = unsafe { last.assume_init() };
        (first, last) == (mark, !mark)
    });
    drop(pieces);
    if !whole {
        return Err("two pieces share memory");
    }
    // A piece may not fit before and behind each hole in the map.
    if taken < free / 8 * 7 { Err("much memory cannot be had") } else { Ok(()) }
}

fn a_breakpoint_returns() -> Outcome {
    let before = exceptions::HARMLESS.load(Ordering::Relaxed);
    x86_64::instructions::interrupts::int3();
    let after = exceptions::HARMLESS.load(Ordering::Relaxed);
    if after == before + 1 { Ok(()) } else { Err("the exception was not counted") }
}

/// Keeps values below the stack pointer while the timer interrupts, as the precompiled libraries do.
fn red_zone_survives_interrupts() -> Outcome {
    let interrupted = interrupts::status().timer;
    for _ in 0..50 {
        arch::apic::start_timer(crate::time::timer_ticks(Duration::from_micros(200)));
        let end = time::now().plus(Duration::from_millis(1));
        while time::now() < end {
            if !red_zone_holds() {
                return Err("an interrupt wrote below the stack pointer");
            }
        }
    }
    if interrupts::status().timer > interrupted + 25 { Ok(()) } else { Err("the timer hardly interrupted") }
}

/// Writes to the red zone, lets interrupts in for a while, and looks whether it is still the same.
fn red_zone_holds() -> bool {
    let (first, last): (u64, u64);
    // SAFETY: the 128 bytes below the stack pointer are this function's by the ABI, and not `nostack` makes the compiler
    // keep nothing of its own there; interrupts are off before and after.
    unsafe {
        asm!(
            "mov qword ptr [rsp - 8], {a}",
            "mov qword ptr [rsp - 128], {b}",
            "sti",
            "mov {n:e}, 2000",
            "2: dec {n:e}",
            "jnz 2b",
            "cli",
            "mov {a}, qword ptr [rsp - 8]",
            "mov {b}, qword ptr [rsp - 128]",
            n = out(reg) _,
            a = inout(reg) 0x5a5a_1111_2222_3333u64 => first,
            b = inout(reg) 0xa5a5_4444_5555_6666u64 => last,
        );
    }
    first == 0x5a5a_1111_2222_3333 && last == 0xa5a5_4444_5555_6666
}

fn vector_registers_survive_interrupts() -> Outcome {
    for round in 0..50u64 {
        arch::apic::start_timer(crate::time::timer_ticks(Duration::from_micros(100)));
        let (low, high): (u64, u64);
        // SAFETY: only registers are touched; interrupts are off before and after.
        unsafe {
            asm!(
                "movq xmm0, {a}",
                "movq xmm15, {b}",
                "sti",
                "mov {n:e}, 400000",
                "2: dec {n:e}",
                "jnz 2b",
                "cli",
                "movq {a}, xmm0",
                "movq {b}, xmm15",
                n = out(reg) _,
                a = inout(reg) round => low,
                b = inout(reg) !round => high,
                out("xmm0") _,
                out("xmm15") _,
            );
        }
        if (low, high) != (round, !round) {
            return Err("an interrupt changed a vector register");
        }
    }
    Ok(())
}

fn memory_is_no_device() -> Outcome {
    let own = (&raw const interrupts_probe).addr() as u64;
    match (memory::map_mmio(own, 8), memory::map_mmio(0, 8), memory::map_mmio(u64::MAX - 8, 4)) {
        (Err(_), Err(_), Err(_)) => Ok(()),
        _ => Err("RAM or nothing was mapped as a device"),
    }
}

/// Something that lies in the image.
#[expect(non_upper_case_globals, reason = "a place, not a value")]
static interrupts_probe: u64 = 1;

async fn timers_keep_time() -> Outcome {
    for micros in [0, 100, 1000, 10_000, 150_000] {
        let start = time::now();
        sleep_until(start.plus(Duration::from_micros(micros))).await;
        let slept = time::now().since(start).as_micros() as u64;
        log::info!("slept {slept} µs of {micros}");
        if slept < micros {
            return Err("a timer came early");
        }
        // A host that is busy elsewhere may keep the whole machine waiting.
        if slept > micros + 500_000 {
            return Err("a timer came half a second late");
        }
    }
    Ok(())
}

async fn tasks_run_in_order() -> Outcome {
    let order = Rc::new(RefCell::new(Vec::new()));
    for number in 0..3 {
        let order = order.clone();
        spawn(async move {
            for _ in 0..3 {
                order.borrow_mut().push(number);
                yield_now().await;
            }
        });
    }
    while Rc::strong_count(&order) > 1 {
        yield_now().await;
    }
    if *order.borrow() == [0, 1, 2, 0, 1, 2, 0, 1, 2] { Ok(()) } else { Err("tasks do not take turns") }
}

/// Every processor works, its results arrive, and it keeps its registers and red zone meanwhile.
async fn others_work() -> Outcome {
    let arithmetic = pool::arithmetic();
    let rounds = 400 * arithmetic.width() as u64;
    let sums: Vec<_> = (0..rounds)
        .map(|number| {
            let bytes = alloc::vec![number as u8; 8192];
            arithmetic.run(move || (number, Score::of(&bytes)))
        })
        .collect();
    for (number, sum) in join_all(sums).await.into_iter().enumerate() {
        if sum != (number as u64, Score::of(&alloc::vec![number as u8; 8192])) {
            return Err("a result is wrong, or somebody else's");
        }
    }
    for processor in processors::status() {
        log::info!("processor {}: {} jobs in {} µs", processor.id, processor.jobs, processor.busy_micros);
    }
    match processors::status().iter().all(|processor| processor.jobs > 0) {
        true => Ok(()),
        false => Err("a processor did nothing"),
    }
}

fn randomness() -> Outcome {
    match entropy::rng() {
        Ok(rng) if rng.next_u64() != rng.next_u64() => Ok(()),
        Ok(_) => Err("the generator repeats itself"),
        Err(error) => {
            log::info!("{error}");
            Ok(())
        }
    }
}

/// Returns to nobody, as a task that hangs: the watchdog, if there is one, ends this.
pub(crate) fn hang() -> ! {
    let is_armed = watchdog::arm(HANG_SECONDS, time::now());
    log::info!("hanging, as the command line asks; {}", if is_armed { "watched" } else { "nobody watches" });
    console::flush();
    loop {
        core::hint::spin_loop();
    }
}

/// Page 0 is not mapped.
fn read_unmapped_memory() {
    let nowhere: *const u8 = core::ptr::without_provenance(0x10);
    // SAFETY: it is not sound: it faults, which ends the machine as was asked for.
    let byte = unsafe { nowhere.read_volatile() };
    log::error!("page 0 holds {byte}");
}
