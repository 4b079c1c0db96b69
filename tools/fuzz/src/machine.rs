//! What firmware and boot loaders give the kernel, and what they are given of it.
//!
//! The kernel's sources are taken in one by one: linked as a whole it would bring its own `memcpy` into this program.

#[path = "../../../kernel/src/command_line.rs"]
pub mod command_line;
#[path = "../../../kernel/src/loader/mod.rs"]
pub mod loader;
#[path = "../../../kernel/src/nvme/health.rs"]
pub mod nvme_health;
#[path = "../../../kernel/src/ahci/health.rs"]
pub mod sata_health;
#[path = "../../../kernel/src/acpi/tables/mod.rs"]
pub mod tables;

use crate::Input;
use loader::{KernelFile, SEGMENTS_MAX};
use storage::slots::{Image, SLOTS, Slot, Slots, record};
use tables::{Acpi, Firmware};

/// Bytes of a piece's header: address and length, as in the captured tables.
const PIECE_HEADER_LEN: usize = 12;
/// Where a table keeps its checksum, and a root pointer its own.
const TABLE_SUM_AT: usize = 9;
const ROOT_SUM_AT: usize = 8;
const ROOT_LEN: usize = 20;

/// Pieces of physical memory.
struct Pieces(Vec<(u64, Vec<u8>)>);

impl Firmware for Pieces {
    fn bytes(&self, address: u64, len: usize) -> Option<&[u8]> {
        self.0.iter().find_map(|(start, piece)| {
            let at = usize::try_from(address.checked_sub(*start)?).ok()?;
            piece.get(at..at.checked_add(len)?)
        })
    }
}

/// Makes the sum of `bytes` zero.
fn balance(bytes: &mut [u8], sum_at: usize) {
    if let Some(field) = bytes.get_mut(sum_at) {
        *field = 0;
        let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        bytes[sum_at] = sum.wrapping_neg();
    }
}

/// ACPI's tables in pieces of memory: address, length, bytes. The checksums are made right where the first byte asks
/// for it.
pub fn acpi(data: &[u8]) {
    let mut input = Input(data);
    let repair = input.byte() & 1 != 0;
    let mut pieces = Vec::new();
    let mut root = None;
    while let Some((header, _)) = input.0.split_first_chunk::<PIECE_HEADER_LEN>() {
        let address = u64::from_le_bytes(*header.first_chunk().expect("a header is longer"));
        let len = u32::from_le_bytes(*header.last_chunk().expect("a header is longer")) as usize;
        input.take(PIECE_HEADER_LEN);
        let mut piece = input.take(len).to_vec();
        if piece.starts_with(b"RSD PTR ") {
            root = Some(address);
            if let (true, Some(pointer)) = (repair, piece.get_mut(..ROOT_LEN)) {
                balance(pointer, ROOT_SUM_AT);
            }
        } else if repair {
            balance(&mut piece, TABLE_SUM_AT);
        }
        pieces.push((address, piece));
    }
    if let Ok(acpi) = Acpi::read(&Pieces(pieces), root) {
        assert!(acpi.configuration_spaces.iter().all(|space| space.first_bus <= space.last_bus));
        assert!(acpi.processors.iter().all(|id| *id != u32::MAX));
        assert!(acpi.nmi_inputs.iter().all(|input| input.input < 2));
        let is_listed = |id: u32| acpi.processors.contains(&id);
        assert!(acpi.nmi_inputs.iter().filter_map(|input| input.processor).all(is_listed));
        acpi.problems.iter().for_each(|problem| assert!(!problem.to_string().is_empty()));
    }
}

/// A kernel's file.
pub fn kernel_file(data: &[u8]) {
    let Ok(kernel) = KernelFile::parse(data) else { return };
    assert!((1..=SEGMENTS_MAX).contains(&kernel.segments.len()));
    for segment in &kernel.segments {
        assert!(segment.len >= 1 && segment.bytes.len() as u64 <= segment.len);
        assert!(segment.address.checked_add(segment.len).is_some());
    }
    let inside = kernel.segments.iter().any(|segment| {
        u64::from(kernel.entry).checked_sub(segment.address).is_some_and(|at| at < segment.len)
    });
    assert!(inside, "the kernel begins outside itself");
}

/// The record of the kernels that a disk keeps: any bytes are read, and what upgrades, starts and rollbacks make of it is what
/// the file says after each of them.
pub fn kernel_slots(data: &[u8]) {
    let mut input = Input(data);
    let read = record::parse(data);
    let first = Slots::with(Slot::A, Image { len: 1, sha256: [1; 32] });
    let mut slots = read.unwrap_or(first);
    let mut file = record::new_file(&slots);
    // Not more than the tries of a few kernels.
    for _ in 0..16 {
        let slot = SLOTS[usize::from(input.byte() & 1)];
        slots = match input.byte() % 4 {
            0 => slots.counted(),
            1 => slots.served(slot).unwrap_or(slots),
            2 => slots.filled(slot, Image { len: u32::from(input.byte()) + 1, sha256: [input.byte(); 32] }),
            _ => slots.switched(slot),
        };
        let order = slots.order();
        assert!(order.len() <= SLOTS.len() && order.iter().all(|kernel| kernel.image.is_some()));
        let (at, sector) = record::next_write(&slots, 512);
        file[at as usize..][..sector.len()].copy_from_slice(&sector);
        let now = record::parse(&file).expect("a record that was just written");
        assert_eq!((now.next, now.good, now.tried), (slots.next, slots.good, slots.tried));
        assert_eq!(SLOTS.map(|slot| now.image(slot)), SLOTS.map(|slot| slots.image(slot)));
        slots = now;
    }
}

/// What disks say of their health, of either kind: whatever it is, it can be told in a line.
pub fn disk_health(data: &[u8]) {
    for health in [nvme_health::parse(data), sata_health::parse(data)].into_iter().flatten() {
        assert!(health.is_known());
        assert!(!health.to_string().contains('\n'));
    }
    // The sum made right, so that what lies behind it is reached.
    let mut page = data.to_vec();
    page.resize(sata_health::SMART_LEN, 0);
    balance(&mut page, sata_health::SMART_LEN - 1);
    if let Some(health) = sata_health::parse(&page) {
        assert!(health.is_known() && health.celsius.is_none_or(|celsius| (-40..=120).contains(&celsius)));
    }
}
