//! What Google Compute Engine imports: a gzip of a tar in GNU's old format that holds `disk.raw`, whole GiB long. Holes are
//! left out, as `tar -S` does.

use super::source::Source;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

/// Google takes whole GiB only.
pub(super) const ALIGNMENT: u64 = 1 << 30;
const BLOCK: u64 = 512;
const GRAIN: u32 = 64 << 10;

/// A stretch of data in the disk.
#[derive(Clone, Copy)]
struct Stretch {
    offset: u64,
    len: u64,
}

/// Writes `source` to `to`. `now`: seconds since 1970.
///
/// # Errors
/// If reading or writing fails.
pub(super) fn write(source: &Source, to: impl Write, now: u64, passed: impl Fn(u64)) -> anyhow::Result<()> {
    // Which blocks hold data stands in front of them, so the image is read twice; the second time counts.
    let mut stretches: Vec<Stretch> = Vec::new();
    source.blocks(
        GRAIN,
        |_| (),
        |offset, bytes| {
            match stretches.last_mut().filter(|last| last.offset + last.len == offset) {
                Some(last) => last.len += bytes.len() as u64,
                None => stretches.push(Stretch { offset, len: bytes.len() as u64 }),
            }
            Ok(())
        },
    )?;
    let data: u64 = stretches.iter().map(|stretch| stretch.len).sum();
    // A hole at the end is told by an empty stretch behind it.
    stretches.push(Stretch { offset: source.len(), len: 0 });
    let mut out = GzEncoder::new(to, Compression::default());
    write_headers(&mut out, source.len(), data, &stretches, now)?;
    let mut written = 0;
    source.blocks(GRAIN, passed, |_, bytes| {
        written += bytes.len() as u64;
        Ok(out.write_all(bytes)?)
    })?;
    if written != data {
        anyhow::bail!("the image changed while it was read; stop what writes to it, and try again");
    }
    // Two empty blocks end an archive. The data are whole blocks: every stretch is.
    out.write_all(&[0; 2 * BLOCK as usize])?;
    out.finish()?.flush()?;
    Ok(())
}

fn write_headers(
    out: &mut impl Write,
    len: u64,
    data: u64,
    stretches: &[Stretch],
    now: u64,
) -> anyhow::Result<()> {
    let mut header = Header::new_gnu();
    header.set_path("disk.raw")?;
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(now);
    header.set_entry_type(EntryType::GNUSparse);
    header.set_size(data);
    let gnu = header.as_gnu_mut().ok_or_else(|| anyhow::anyhow!("a header of GNU's is not one"))?;
    gnu.set_real_size(len);
    let (inside, behind) = stretches.split_at(stretches.len().min(gnu.sparse.len()));
    fill(&mut gnu.sparse, inside);
    gnu.set_is_extended(!behind.is_empty());
    header.set_cksum();
    out.write_all(header.as_bytes())?;
    let mut rest = behind.chunks(GnuExtSparseHeader::new().sparse().len()).peekable();
    while let Some(chunk) = rest.next() {
        let mut more = GnuExtSparseHeader::new();
        fill(more.sparse_mut(), chunk);
        more.set_is_extended(rest.peek().is_some());
        out.write_all(more.as_bytes())?;
    }
    Ok(())
}

fn fill(places: &mut [GnuSparseHeader], stretches: &[Stretch]) {
    for (place, stretch) in places.iter_mut().zip(stretches) {
        place.set_offset(stretch.offset);
        place.set_length(stretch.len);
    }
}
