//! The kernel as 9front's loader starts it: QEMU does what that loader does, which is not here.

use super::{BOOT_LIMIT, Bench, boots};
use crate::machine::Firmware;
use anyhow::{Context, Result, ensure};

/// Where the loader leaves its words (`CONFADDR`, `BOOTLINELEN` in 9front's `sys/src/boot/pc/sub.c`).
const WORDS_AT: u64 = 0x1200;
const WORDS_HEAD: usize = 64;
const PAGE: u64 = 4096;

/// The main job on a machine that `9granary` started, with the words of a BIOS loader.
pub fn granary_kernel(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let folder = bench.folder.path();
    let kernel = bench.programs.kernel.to_str().context("the kernel's path is not UTF-8")?;
    bench.programs.granary(&["image", "kernel", "9granary", "--kernel", kernel], folder)?;
    let mut node = bench.node(&disk)?;
    node.spec.firmware = Firmware::Direct;
    node.spec.memory = "512M".into();
    // The last mebibyte is left out: firmware keeps its tables there.
    let words = "*e820=1 0x0000000000000000 0x000000000009fc00 1 0x0000000000100000 0x000000001ff00000 \n\
                 bootfile=9granary\nconsole=0 b115200\ngranary=status=7 log=debug\nsysname=barn\n";
    let loaded = as_loaded(&std::fs::read(folder.join("9granary"))?, words)?;
    node.spec.kernel = folder.join("loaded.elf");
    std::fs::write(&node.spec.kernel, loaded)?;
    let mut machine = node.boot()?;
    machine.wait_for_console("status: up=7s", BOOT_LIMIT)?;
    node.stop(machine)?;
    boots::main_job(bench, node)
}

/// Text, data and words where 9front's loader puts them, as a file that QEMU starts as the loader does: at the first byte of
/// the text, in 32 bits, paging off.
fn as_loaded(executable: &[u8], words: &str) -> Result<Vec<u8>> {
    let (header, rest) =
        executable.split_first_chunk::<32>().context("9granary is shorter than its header")?;
    let number =
        |at: usize| header[4 * at..][..4].iter().fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
    let [magic, text, data, cleared, _, entry] = [0, 1, 2, 3, 4, 5].map(number);
    ensure!(magic == 0x1eb, "9granary begins with {magic:x}");
    let (text_bytes, data_bytes) = rest.split_at(usize::try_from(text)?);
    ensure!(data_bytes.len() as u64 == data, "9granary has {} bytes behind its text", data_bytes.len());
    let data_at = (entry + text).next_multiple_of(PAGE);
    let end = (data_at + data).next_multiple_of(PAGE) + cleared.next_multiple_of(PAGE);
    let words = [&[0; WORDS_HEAD][..], words.as_bytes(), b"\0"].concat();
    let entry_note =
        [&[4, 0, 0, 0, 4, 0, 0, 0, 18, 0, 0, 0][..], b"Xen\0", &(entry as u32).to_le_bytes()].concat();
    Ok(elf(
        entry,
        &[
            (LOAD, WORDS_AT, &words, words.len() as u64),
            (LOAD, entry, text_bytes, text),
            (LOAD, data_at, data_bytes, end - data_at),
            (NOTE, 0, &entry_note, entry_note.len() as u64),
        ],
    ))
}

/// Types of program headers (System V ABI, chapter 5).
const LOAD: u32 = 1;
const NOTE: u32 = 4;

/// An ELF file of these parts: type, address, bytes, length in memory.
fn elf(entry: u64, parts: &[(u32, u64, &[u8], u64)]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend_from_slice(&[2, 0, 62, 0, 1, 0, 0, 0]);
    [entry, 64, 0].iter().for_each(|number| file.extend_from_slice(&number.to_le_bytes()));
    file.extend_from_slice(&[0, 0, 0, 0, 64, 0, 56, 0, parts.len() as u8, 0, 64, 0, 0, 0, 0, 0]);
    let mut at = 64 + 56 * parts.len() as u64;
    for (kind, address, bytes, len) in parts {
        file.extend_from_slice(&kind.to_le_bytes());
        file.extend_from_slice(&7_u32.to_le_bytes());
        let alignment = if *kind == NOTE { 4 } else { 1 };
        for number in [at, *address, *address, bytes.len() as u64, *len, alignment] {
            file.extend_from_slice(&number.to_le_bytes());
        }
        at += bytes.len() as u64;
    }
    parts.iter().for_each(|(_, _, bytes, _)| file.extend_from_slice(bytes));
    file
}
