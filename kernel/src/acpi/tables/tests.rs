//! Tests of the parsers, with tables of QEMU's machines.

use super::*;
use proptest::prelude::*;
use std::vec;

/// Pieces of memory, as captured: see `tests/fixtures/acpi/README.md`.
#[derive(Clone)]
struct Captured(Vec<(u64, Vec<u8>)>);

impl Firmware for Captured {
    fn bytes(&self, address: u64, len: usize) -> Option<&[u8]> {
        let (start, piece) =
            self.0.iter().find(|(start, piece)| (*start..start + piece.len() as u64).contains(&address))?;
        piece.get((address - start) as usize..)?.get(..len)
    }
}

impl Captured {
    fn read(mut file: &[u8]) -> Captured {
        let mut pieces = Vec::new();
        while let Some((header, rest)) = file.split_at_checked(12) {
            let (piece, rest) = rest.split_at(u32_at(header, 8) as usize);
            pieces.push((u64_at(header, 0), piece.to_vec()));
            file = rest;
        }
        Captured(pieces)
    }

    fn piece(&mut self, signature: &[u8]) -> &mut (u64, Vec<u8>) {
        self.0.iter_mut().find(|(_, piece)| piece.starts_with(signature)).unwrap()
    }

    fn root(&self) -> Option<u64> {
        self.0.iter().find(|(_, piece)| piece.starts_with(b"RSD PTR ")).map(|(address, _)| *address)
    }
}

fn q35() -> Captured {
    Captured::read(include_bytes!("../../../tests/fixtures/acpi/q35.bin"))
}

fn pc() -> Captured {
    Captured::read(include_bytes!("../../../tests/fixtures/acpi/pc.bin"))
}

#[test]
fn reads_the_tables_of_both_machines() {
    let q35 = Acpi::read(&q35(), q35().root()).unwrap();
    let ports = Fixed {
        pm_timer: Some(0x608),
        event: Some(0x600),
        event_len: 4,
        control: [Some(0x604), None],
        smi_command: Some(0xb2),
        enable: 2,
        reset: Some(Reset { register: Register::Port(0xcf9), value: 0xf }),
        off: Some([0, 0]),
        sleep: None,
        events: None,
    };
    assert_eq!(q35.io_apics, [IoApic { address: 0xfec0_0000, first_input: 0 }]);
    assert_eq!(q35.virtio, []);
    assert_eq!(q35.fixed, ports);
    assert_eq!((q35.processors, q35.lists_x2apics), (vec![0], false));
    assert_eq!(q35.nmi_inputs, [NmiInput { processor: None, input: 1, is_active_low: false }]);
    let space = ConfigurationSpace { base: 0xb000_0000, segment: 0, first_bus: 0, last_bus: 255 };
    assert_eq!((q35.configuration_spaces, q35.problems), (vec![space], vec![]));

    let pc = Acpi::read(&pc(), pc().root()).unwrap();
    assert_eq!((pc.fixed.event, pc.fixed.smi_command, pc.fixed.off), (Some(0x600), Some(0xb2), Some([0, 0])));
    assert_eq!((pc.configuration_spaces, pc.problems), (vec![], vec![]));
}

#[test]
fn the_root_pointer_is_found_in_the_bios_area() {
    let mut machine = q35();
    let mut area = vec![0; BIOS_AREA_LEN];
    let (address, pointer) = machine.piece(b"RSD PTR ").clone();
    let at = (address - BIOS_AREA) as usize;
    area[at..at + pointer.len()].copy_from_slice(&pointer);
    *machine.piece(b"RSD PTR ") = (BIOS_AREA, area);
    assert_eq!(Acpi::read(&machine, None).unwrap().processors, [0]);
    machine.0[0].1[at] ^= 1;
    assert_eq!(Acpi::read(&machine, None), Err(Problem::NoRoot));
}

#[test]
fn a_bad_table_is_named_and_the_others_are_read() {
    let mut machine = q35();
    let (address, madt) = machine.piece(b"APIC");
    let address = *address;
    madt[50] ^= 0x40;
    let acpi = Acpi::read(&machine, machine.root()).unwrap();
    assert_eq!((acpi.processors, acpi.problems), (vec![], vec![Problem::Checksum(address)]));
    assert_eq!(acpi.fixed.event, Some(0x600));
}

#[test]
fn a_table_that_lies_about_its_length_is_not_read() {
    for len in [0u32, 35, 1 << 30, u32::MAX] {
        let mut machine = q35();
        let (address, mcfg) = machine.piece(b"MCFG");
        let address = *address;
        mcfg[4..8].copy_from_slice(&len.to_le_bytes());
        let acpi = Acpi::read(&machine, machine.root()).unwrap();
        assert_eq!(acpi.problems, [Problem::Unreadable(address)]);
    }
}

#[test]
fn finds_the_values_that_switch_off() {
    // As Bochs, VirtualBox and many boards write it: bytes with and without a prefix, and a rooted name.
    assert_eq!(sleep_type_off(b"xx\x08_S5_\x12\x06\x04\x0a\x05\x0a\x07\0\0"), Some([5, 7]));
    assert_eq!(sleep_type_off(b"\x08\\_S5_\x12\x08\x04\x01\0\0\0"), Some([1, 0]));
    assert_eq!(sleep_type_off(b"\x08_S5_\x12\x46\x00\x04\x0a\x02"), Some([2, 2]));
    assert_eq!(sleep_type_off(b"\x08_S5_\x12\x06\x04\x0a\x08\0\0"), None);
    assert_eq!(sleep_type_off(b"\x08_S5_\x12"), None);
    assert_eq!(sleep_type_off(b"_S5_"), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn no_table_can_do_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..20),
        mend in any::<bool>(),
    ) {
        let mut machine = q35();
        for (piece, at, value) in changes {
            let count = machine.0.len();
            let bytes = &mut machine.0[piece.index(count)].1;
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if mend {
            for (_, bytes) in &mut machine.0 {
                bytes[9] = bytes[9].wrapping_sub(sum(bytes));
            }
        }
        let root = machine.root();
        // Whatever comes out, nothing may panic.
        let _ = Acpi::read(&machine, root);
    }

    #[test]
    fn no_bytes_in_a_definition_block_can_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut block = b"\x08_S5_\x12".to_vec();
        block.extend(bytes);
        // As above.
        let _ = sleep_type_off(&block);
    }
}
