//! Virtual PC's format in its fixed form, which Azure takes: the disk's bytes and a footer (Microsoft, "Virtual Hard Disk
//! Image Format Specification").

use super::source::Source;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Azure takes whole MiB only.
pub(super) const ALIGNMENT: u64 = 1 << 20;
const FOOTER_LEN: usize = 512;
const GRAIN: u32 = 1 << 20;
/// 2000-01-01 in the seconds of 1970: what the footer counts from.
const EPOCH: u64 = 946_684_800;

/// Writes `source` to the empty `file`. `now`: seconds since 1970.
///
/// # Errors
/// If reading or writing fails.
pub(super) fn write(
    source: &Source,
    file: &File,
    now: u64,
    unique: [u8; 16],
    passed: impl Fn(u64),
) -> anyhow::Result<()> {
    file.set_len(source.len() + FOOTER_LEN as u64)?;
    source.blocks(GRAIN, passed, |offset, bytes| Ok(file.write_all_at(bytes, offset)?))?;
    file.write_all_at(&footer(source.len(), now, unique), source.len())?;
    Ok(())
}

fn footer(len: u64, now: u64, unique: [u8; 16]) -> [u8; FOOTER_LEN] {
    let mut footer = Vec::from(*b"conectix");
    footer.extend(2_u32.to_be_bytes()); // features: the bit that is always set
    footer.extend(0x0001_0000_u32.to_be_bytes());
    footer.extend(u64::MAX.to_be_bytes()); // no dynamic header
    footer.extend(u32::try_from(now.saturating_sub(EPOCH)).unwrap_or(u32::MAX).to_be_bytes());
    // Readers believe the size instead of the geometry, which cannot say most sizes, only from makers that they know.
    footer.extend(*b"win \x00\x0a\x00\x00Wi2k");
    footer.extend(len.to_be_bytes()); // at first,
    footer.extend(len.to_be_bytes()); // and now
    let (cylinders, heads, sectors) = geometry(len / 512);
    footer.extend(cylinders.to_be_bytes());
    footer.extend([heads, sectors]);
    footer.extend(2_u32.to_be_bytes()); // fixed
    footer.extend(0_u32.to_be_bytes()); // the sum, below
    footer.extend(unique);
    footer.resize(FOOTER_LEN, 0);
    let sum = !footer.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    let mut whole = [0; FOOTER_LEN];
    whole.copy_from_slice(&footer);
    whole[64..68].copy_from_slice(&sum.to_be_bytes());
    whole
}

/// Cylinders, heads and sectors, as the specification's appendix computes them.
fn geometry(sectors: u64) -> (u16, u8, u8) {
    let total = sectors.min(65535 * 16 * 255);
    let (mut per_track, mut heads, mut tracks);
    if total >= 65535 * 16 * 63 {
        (per_track, heads) = (255, 16);
        tracks = total / per_track;
    } else {
        per_track = 17;
        tracks = total / per_track;
        heads = tracks.div_ceil(1024).max(4);
        if tracks >= heads * 1024 || heads > 16 {
            (per_track, heads) = (31, 16);
            tracks = total / per_track;
        }
        if tracks >= heads * 1024 {
            (per_track, heads) = (63, 16);
            tracks = total / per_track;
        }
    }
    (u16::try_from(tracks / heads).unwrap_or(u16::MAX), heads as u8, per_track as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_geometry_is_that_of_the_specification() {
        // qemu-img looks for a geometry that is not smaller than the disk: one cylinder more in each of these.
        let cases = [(64 << 20, (963, 8, 17)), (512 << 20, (1040, 16, 63)), (8 << 30, (16644, 16, 63))];
        for (bytes, expected) in cases {
            assert_eq!(geometry(bytes / 512), expected, "{bytes}");
        }
        assert_eq!(geometry(u64::MAX), (65535, 16, 255));
    }

    #[test]
    fn the_bytes_of_a_footer_and_its_sum_give_all_ones() {
        let footer = footer(1 << 30, EPOCH + 7, [9; 16]);
        let mut zeroed = footer;
        zeroed[64..68].fill(0);
        let sum = zeroed.iter().map(|byte| u32::from(*byte)).sum::<u32>();
        assert_eq!(u32::from_be_bytes(footer[64..68].try_into().unwrap()), u32::MAX - sum);
        assert_eq!(
            (&footer[..8], &footer[24..28], &footer[48..56]),
            (&b"conectix"[..], &[0, 0, 0, 7][..], &(1_u64 << 30).to_be_bytes()[..])
        );
    }
}
