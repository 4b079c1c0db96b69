//! VMware's stream-optimised format ("Virtual Disk Format 5.0"): compressed grains of 64 KiB, one pass from front to end.

use super::source::Source;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::io::Write;

/// VMware takes whole MiB only.
pub(super) const ALIGNMENT: u64 = 1 << 20;
const SECTOR: u64 = 512;
/// Sectors in a grain.
const GRAIN: u64 = 128;
/// Grains in a table.
const TABLE: usize = 512;
const DESCRIPTOR_SECTORS: u64 = 20;
/// Sectors in front of the first grain.
const OVERHEAD: u64 = 128;
/// Valid line ends, compressed grains, markers.
const FLAGS: u32 = 0x0003_0001;
const DIRECTORY_IS_AT_END: u64 = u64::MAX;

/// What a marker announces.
#[derive(Clone, Copy)]
enum Marker {
    Table = 1,
    Directory = 2,
    Footer = 3,
}

/// A file that is only appended to, in sectors.
struct Out<W> {
    to: W,
    sectors: u64,
}

impl<W: Write> Out<W> {
    /// Writes `bytes` and zeros up to a whole sector.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.to.write_all(bytes)?;
        let padding = bytes.len().next_multiple_of(SECTOR as usize) - bytes.len();
        self.to.write_all(&[0; SECTOR as usize][..padding])?;
        self.sectors += (bytes.len() + padding) as u64 / SECTOR;
        Ok(())
    }

    fn mark(&mut self, marker: Marker, sectors: u64) -> std::io::Result<()> {
        let mut bytes = sectors.to_le_bytes().to_vec();
        bytes.extend(0_u32.to_le_bytes());
        bytes.extend((marker as u32).to_le_bytes());
        self.write(&bytes)
    }

    /// Writes a table, if anything is in it; where it is, or 0.
    fn table(&mut self, table: &mut [u32; TABLE]) -> anyhow::Result<u32> {
        if table.iter().all(|grain| *grain == 0) {
            return Ok(0);
        }
        let bytes: Vec<u8> = table.iter().flat_map(|grain| grain.to_le_bytes()).collect();
        self.mark(Marker::Table, bytes.len() as u64 / SECTOR)?;
        let at = self.place()?;
        self.write(&bytes)?;
        table.fill(0);
        Ok(at)
    }

    /// Tables count sectors in 32 bits.
    fn place(&self) -> anyhow::Result<u32> {
        u32::try_from(self.sectors).map_err(|_| anyhow::anyhow!("a VMDK holds at most 2 TiB of data"))
    }
}

/// Writes `source` to `to`. `name` is what the file will be called, `content` a number for what is in it.
///
/// # Errors
/// If reading or writing fails, or there is too much data.
pub(super) fn write(
    source: &Source,
    to: impl Write,
    name: &str,
    content: u32,
    passed: impl Fn(u64),
) -> anyhow::Result<()> {
    let sectors = source.len() / SECTOR;
    let mut out = Out { to, sectors: 0 };
    out.write(&header(sectors, DIRECTORY_IS_AT_END))?;
    let mut descriptor = descriptor(sectors, name, content).into_bytes();
    descriptor.resize(((OVERHEAD - 1) * SECTOR) as usize, 0);
    out.write(&descriptor)?;
    let mut directory = vec![0_u32; sectors.div_ceil(GRAIN).div_ceil(TABLE as u64) as usize];
    let (mut table, mut filling) = ([0; TABLE], 0);
    let mut whole = vec![0; (GRAIN * SECTOR) as usize];
    source.blocks((GRAIN * SECTOR) as u32, passed, |offset, bytes| {
        let grain = (offset / SECTOR / GRAIN) as usize;
        if grain / TABLE != filling {
            directory[filling] = out.table(&mut table)?;
            filling = grain / TABLE;
        }
        whole.fill(0);
        whole[..bytes.len()].copy_from_slice(bytes);
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
        packed.write_all(&whole)?;
        let packed = packed.finish()?;
        table[grain % TABLE] = out.place()?;
        let mut marked = (offset / SECTOR).to_le_bytes().to_vec();
        marked.extend((packed.len() as u32).to_le_bytes());
        marked.extend(packed);
        Ok(out.write(&marked)?)
    })?;
    directory[filling] = out.table(&mut table)?;
    let directory: Vec<u8> = directory.iter().flat_map(|table| table.to_le_bytes()).collect();
    out.mark(Marker::Directory, (directory.len() as u64).div_ceil(SECTOR))?;
    let directory_at = out.sectors;
    out.write(&directory)?;
    out.mark(Marker::Footer, 1)?;
    out.write(&header(sectors, directory_at))?;
    // The marker that ends the stream.
    out.write(&[0; SECTOR as usize])?;
    Ok(out.to.flush()?)
}

/// The first sector, and with the place of the directory the last but one.
fn header(sectors: u64, directory_at: u64) -> Vec<u8> {
    let mut header = Vec::from(*b"KDMV");
    header.extend(3_u32.to_le_bytes());
    header.extend(FLAGS.to_le_bytes());
    for value in [sectors, GRAIN, 1, DESCRIPTOR_SECTORS] {
        header.extend(value.to_le_bytes());
    }
    header.extend((TABLE as u32).to_le_bytes());
    for value in [0, directory_at, OVERHEAD] {
        header.extend(value.to_le_bytes());
    }
    header.push(0); // it was closed
    header.extend(*b"\n \r\n");
    header.extend(1_u16.to_le_bytes()); // deflate
    header.resize(SECTOR as usize, 0);
    header
}

fn descriptor(sectors: u64, name: &str, content: u32) -> String {
    // The name stands between quotes, and the number has two values with a meaning of their own.
    let name: String = name.chars().filter(|c| c.is_ascii_graphic() && *c != '"').take(200).collect();
    let content = content & 0x7fff_ffff;
    let cylinders = (sectors / (255 * 63)).clamp(1, 65535);
    format!(
        "# Disk DescriptorFile\nversion=1\nCID={content:08x}\nparentCID=ffffffff\ncreateType=\"streamOptimized\"\n\n\
         # Extent description\nRW {sectors} SPARSE \"{name}\"\n\n\
         # The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"4\"\nddb.adapterType = \"lsilogic\"\n\
         ddb.geometry.cylinders = \"{cylinders}\"\nddb.geometry.heads = \"255\"\nddb.geometry.sectors = \"63\"\n"
    )
}
