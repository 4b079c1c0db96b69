//! What 9front's loaders tell the kernel that `bootfile=` names: lines `key=value` at a fixed address, the lines of
//! `plan9.ini` among them. Source: `sys/src/boot/pc/sub.c` and `sys/src/boot/efi/{sub,efi}.c` of 9front.
//!
//! Knows four keys: `*e820`, `*acpi`, `*bootscreen`, and `granary`, the words of our command line. Must not know the
//! others: what `plan9.ini` says to a node, the node reads from 9fat.

use super::screen::{PixelFormat, Screen};
use super::{BootInfo, COMMAND_LINE_MAX, MemoryKind, MemoryRegion, Physical};
use heapless::String;

/// Where the loader leaves its words (`CONFADDR`); [`BootInfo::from_pvh`] is given it in the place of a start_info.
pub const ADDRESS: u32 = 0x1200;
/// Bytes in front of the lines (`BOOTLINELEN`).
const HEAD: usize = 64;
/// Bytes of lines that a kernel looks at (`BOOTARGSLEN` of 9front's own).
const TEXT_LEN: usize = 0x6000 - 0x200 - HEAD;

/// Adds to `info` what the lines say.
pub(super) fn read(physical: &impl Physical, info: &mut BootInfo) {
    let mut text = [0; TEXT_LEN];
    physical.copy(u64::from(ADDRESS) + HEAD as u64, &mut text);
    let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
    for line in text.utf8_chunks().flat_map(|chunk| chunk.valid().lines()) {
        match line.split_once('=') {
            Some(("*e820", map)) => memory(map, info),
            Some(("*acpi", address)) => info.rsdp = address.strip_prefix("0x").and_then(hexadecimal),
            Some(("*bootscreen", screen)) => info.screen = parse_screen(screen),
            Some(("granary", words)) => info.command_line = command_line(words),
            _ => {}
        }
    }
}

/// `TYPE START END`, again and again: numbers in hexadecimal, with 0x from a BIOS and without from UEFI.
fn memory(map: &str, info: &mut BootInfo) {
    let mut words = map.split_ascii_whitespace().map(|word| hexadecimal(word.trim_start_matches("0x")));
    while let (Some(Some(kind)), Some(Some(start)), Some(Some(end))) =
        (words.next(), words.next(), words.next())
    {
        let kind = match kind {
            1 => MemoryKind::Usable,
            3 => MemoryKind::AcpiTables,
            _ => MemoryKind::Reserved,
        };
        if start < end && info.memory.push(MemoryRegion { start, end, kind }).is_err() {
            return;
        }
    }
}

/// `WIDTHxHEIGHTxDEPTH CHANNELS ADDRESS`, such as `1024x768x32 x8r8g8b8 0xc0000000`; the highest bits come first.
fn parse_screen(text: &str) -> Option<Screen> {
    let mut words = text.split_ascii_whitespace();
    let mut sides = words.next()?.split('x').map(str::parse);
    let (Some(Ok(width)), Some(Ok(height)), Some(Ok(32_u32))) = (sides.next(), sides.next(), sides.next())
    else {
        return None;
    };
    let format = match words.next()? {
        "x8r8g8b8" => PixelFormat::Bgr,
        "x8b8g8r8" => PixelFormat::Rgb,
        _ => return None,
    };
    let address = hexadecimal(words.next()?.strip_prefix("0x")?)?;
    let pitch = u32::checked_mul(width, 4)?;
    // It refuses what no screen is.
    Screen::parse(&Screen { address, pitch, width, height, format }.encode())
}

fn command_line(words: &str) -> String<COMMAND_LINE_MAX> {
    let mut line = String::new();
    // What does not fit is cut off, as it is of other loaders' lines.
    words.chars().filter(char::is_ascii).take(COMMAND_LINE_MAX).for_each(|letter| {
        let _ = line.push(letter);
    });
    line
}

fn hexadecimal(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{IMAGE, Ram};
    use super::*;

    fn told(lines: &str) -> BootInfo {
        let mut ram = std::vec![0; 0x8000];
        let text = ADDRESS as usize + HEAD;
        ram[text..text + lines.len()].copy_from_slice(lines.as_bytes());
        super::super::parse(&Ram(ram), u64::from(ADDRESS), IMAGE)
    }

    #[test]
    fn a_bios_loaders_lines_are_understood() {
        let info = told(
            "*e820=1 0x0000000000000000 0x000000000009fc00 2 0x000000000009fc00 0x00000000000a0000 \
             3 0x000000007ffe0000 0x0000000080000000 \nbootfile=9granary\nconsole=0 b115200\ngranary=log=debug status=5\n",
        );
        let region = |start, end, kind| MemoryRegion { start, end, kind };
        let expected = [
            region(0, 0x9fc00, MemoryKind::Usable),
            region(0x9fc00, 0xa0000, MemoryKind::Reserved),
            region(0x7ffe_0000, 0x8000_0000, MemoryKind::AcpiTables),
        ];
        assert_eq!(info.memory.as_slice(), expected);
        assert_eq!(info.command_line.as_str(), "log=debug status=5");
        assert_eq!((info.rsdp, info.screen), (None, None));
    }

    #[test]
    fn a_uefi_loaders_lines_are_understood() {
        let info = told(
            "*acpi=0x7f9fe014\n*bootscreen=1280x800x32 x8r8g8b8 0x80000000\nbootfile=9granary\n\
             *e820=1 0000000000000000 00000000000a0000 1 0000000000100000 0000000000800000\n",
        );
        assert_eq!((info.rsdp, info.memory.len(), info.memory[1].end), (Some(0x7f9f_e014), 2, 0x80_0000));
        let screen = info.screen.unwrap();
        assert_eq!(
            (screen.address, screen.pitch, screen.width, screen.height),
            (0x8000_0000, 5120, 1280, 800)
        );
        assert_eq!(screen.format, PixelFormat::Bgr);
    }

    #[test]
    fn lines_that_say_nothing_do_nothing() {
        for lines in [
            "",
            "*e820=\n*acpi=\n*bootscreen=\ngranary=",
            "*e820=1 0x5\n*acpi=1\n*bootscreen=1x1x24 r8g8b8 0x1",
            "*e820=1 7 5\n*bootscreen=99999x99999x32 x8r8g8b8 0x80000000",
            "*e820=x 1 2\n*bootscreen=4294967295x1x32 x8r8g8b8 0x8\n\u{e9}=\u{e9}",
        ] {
            let info = told(lines);
            assert!(info.memory.is_empty() && info.rsdp.is_none() && info.screen.is_none(), "{lines}");
            assert_eq!(info.command_line.as_str(), "");
        }
        assert_eq!(told(&"granary=y".repeat(2000)).command_line.len(), COMMAND_LINE_MAX);
    }
}
