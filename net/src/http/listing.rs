//! Venti's own pages, in venti's shape: `/index`, which ventiprog's awk reads, `/xindex` and `/storage`.
//!
//! Knows the real server's texts, wrong ends included: scripts rely on the starts. An arena's seal stands in them as it
//! does there: it names no block. The long ones are made arena by arena, as the client takes them.

use super::escape::{Commas, Escaped, Word};
use super::response::{Body, ContentType, Response, Status};
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use core::fmt::{self, Write};
use core::iter::{from_fn, once};
use storage::device::BlockDevice;
use storage::format::arena_tail::Counters;
use storage::format::clump::CLUMP_HEADER_LEN;
use storage::format::directory::RECORD_LEN;
use storage::store::{ArenaStatus, IndexStatus, SectionStatus, Store, StoreTotals};

/// A piece of a page has about so many bytes.
const PIECE_LEN: usize = 4 << 10;
/// `tabsize`, which venti prints and nobody uses.
const TABLE_SIZE: usize = 512 * 1024;
/// The name that is shown where there is no index on disk.
const NO_INDEX: &str = "none";

/// `/index`.
pub(super) fn index<D: BlockDevice + 'static>(store: Rc<Store<D>>) -> Response {
    let head = index_head(store.index_status().as_ref());
    let arenas = arenas(store, index_arena);
    let body = Body::Pieces(Box::new(once(head).chain(arenas)));
    Response { status: Status::Ok, content_type: ContentType::Text, body }
}

/// `/xindex`.
pub(super) fn xml<D: BlockDevice + 'static>(store: Rc<Store<D>>) -> Response {
    let head = xml_head(store.index_status().as_ref());
    let maps = arenas(store.clone(), xml_map);
    let between = once(String::from("\t</amaps>\n\t<arenas>\n"));
    let all = arenas(store, xml_arena);
    let end = once(String::from("\t</arenas>\n</index>\n"));
    let body = Body::Pieces(Box::new(once(head).chain(maps).chain(between).chain(all).chain(end)));
    Response { status: Status::Ok, content_type: ContentType::Xml, body }
}

/// `/storage`.
pub(super) fn storage(index: Option<&IndexStatus>, totals: &StoreTotals) -> String {
    let name = Name(index);
    let StoreTotals { arenas, active, space, clumps, compressed_clumps, uncompressed_size, .. } = *totals;
    let stored = data_of(totals.used, clumps);
    format!(
        "index={name}\ntotal arenas={} active={}\ntotal space={} used={}\n\
         clumps={} compressed clumps={} data={} compressed data={}\n",
        Commas(arenas as u64),
        Commas(active as u64),
        Commas(space),
        Commas(totals.used + clumps * RECORD_LEN as u64),
        Commas(clumps),
        Commas(compressed_clumps),
        Commas(uncompressed_size),
        Commas(stored),
    )
}

/// Bytes of lumps, compressed as they are, in a log.
fn data_of(used: u64, clumps: u64) -> u64 {
    used.saturating_sub(clumps * CLUMP_HEADER_LEN as u64)
}

/// Every arena in the words of `print`, several to a piece.
fn arenas<D: BlockDevice + 'static>(
    store: Rc<Store<D>>,
    print: fn(&ArenaStatus, &mut String) -> fmt::Result,
) -> impl Iterator<Item = String> {
    let mut number = 0;
    from_fn(move || {
        let mut piece = String::new();
        while piece.len() < PIECE_LEN {
            let Some(arena) = store.arena(number) else { break };
            number += 1;
            // Writing to a String cannot fail.
            let _ = print(&arena, &mut piece);
        }
        (!piece.is_empty()).then_some(piece)
    })
}

/// An index's name.
struct Name<'a>(Option<&'a IndexStatus>);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(index) => write!(f, "{}", index.name),
            None => f.write_str(NO_INDEX),
        }
    }
}

/// Block size, buckets and divisor.
fn figures(index: Option<&IndexStatus>) -> (u32, u32, u64) {
    index.map_or((0, 0, 0), |index| (index.block_size, index.buckets, index.divisor))
}

fn sections(index: Option<&IndexStatus>) -> &[SectionStatus] {
    index.map(|index| index.sections.as_slice()).unwrap_or_default()
}

fn index_head(index: Option<&IndexStatus>) -> String {
    let (block_size, buckets, divisor) = figures(index);
    let mut text = format!(
        "index={} version=1 blocksize={block_size} tabsize={TABLE_SIZE}\n\tbuckets={buckets} div={divisor}\n",
        Name(index)
    );
    for section in sections(index) {
        let SectionStatus { name, start, stop, bucket_max } = section;
        let _ = writeln!(text, "\tsect={name} for buckets [{start},{stop}) buckmax={bucket_max}");
    }
    text
}

/// Where an arena's log begins on its partition. Venti adds a block too much at the end of the arena, too.
fn place(arena: &ArenaStatus) -> (u64, u64) {
    let base = arena.start + u64::from(arena.block_size);
    (base, base + arena.size + 2 * u64::from(arena.block_size))
}

fn index_arena(arena: &ArenaStatus, text: &mut String) -> fmt::Result {
    if arena.current.clumps == 0 {
        return Ok(());
    }
    let ((base, end), address) = (place(arena), arena.address);
    let (name, part) = (arena.name, Word(&arena.partition));
    writeln!(text, "arena={name} at index [{address},{})", address + arena.size)?;
    writeln!(text, "\tarena='{name}' on {part} at [{base},{end})")?;
    let (created, modified) = (arena.created_at.0, arena.written_at.0);
    write!(text, "\tversion={} created={created} modified={modified}", arena.version.number())?;
    text.write_str(if arena.current.sealed { " mem=sealed" } else { "" })?;
    text.write_str(if arena.indexed.sealed { " disk=sealed\n" } else { "\n" })?;
    if let Some(seal) = arena.seal {
        writeln!(text, "\tscore={seal}")?;
    }
    index_counters("written", &arena.current, text)?;
    index_counters("indexed", &arena.indexed, text)
}

fn index_counters(what: &str, counters: &Counters, text: &mut String) -> fmt::Result {
    let Counters { clumps, compressed_clumps, used, uncompressed_size, .. } = *counters;
    writeln!(
        text,
        "\t{what}: clumps={clumps} compressed clumps={compressed_clumps} data={} compressed data={} storage={}",
        Commas(uncompressed_size),
        Commas(data_of(used, clumps.into())),
        Commas(used + u64::from(clumps) * RECORD_LEN as u64),
    )
}

fn xml_head(index: Option<&IndexStatus>) -> String {
    let (block_size, buckets, divisor) = figures(index);
    let mut text = format!(
        "<index name=\"{}\" version=\"1\" blocksize=\"{block_size}\" tabsize=\"{TABLE_SIZE}\" \
         buckets=\"{buckets}\" buckdiv=\"{divisor}\">\n\t<sects>\n",
        Escaped(&format!("{}", Name(index)))
    );
    for section in sections(index) {
        let name = format!("{}", section.name);
        let (name, start, stop) = (Escaped(&name), section.start, section.stop);
        let _ = writeln!(text, "\t\t<sect name=\"{name}\" start=\"{start}\" stop=\"{stop}\"/>");
    }
    text += "\t</sects>\n\t<amaps>\n";
    text
}

fn xml_map(arena: &ArenaStatus, text: &mut String) -> fmt::Result {
    let name = format!("{}", arena.name);
    let (start, stop) = (arena.address, arena.address + arena.size);
    writeln!(text, "\t\t<amap name=\"{}\" start=\"{start}\" stop=\"{stop}\"/>", Escaped(&name))
}

fn xml_arena(arena: &ArenaStatus, text: &mut String) -> fmt::Result {
    let (name, block_size) = (format!("{}", arena.name), u64::from(arena.block_size));
    let (base, _) = place(arena);
    write!(
        text,
        "\t\t<arena name=\"{}\" version=\"{}\" partition=\"{}\" blocksize=\"{block_size}\" start=\"{base}\" \
         stop=\"{}\" created=\"{}\" modified=\"{}\"",
        Escaped(&name),
        arena.version.number(),
        Escaped(&arena.partition),
        base + 2 * block_size,
        arena.created_at.0,
        arena.written_at.0,
    )?;
    if arena.current.sealed {
        text.write_str(" sealed=\"yes\"")?;
    }
    if let Some(seal) = arena.seal {
        write!(text, " score=\"{seal}\"")?;
    }
    let Counters { clumps, compressed_clumps, used, uncompressed_size, .. } = arena.current;
    writeln!(
        text,
        " clumps=\"{clumps}\" compressedclumps=\"{compressed_clumps}\" data=\"{uncompressed_size}\" \
         compresseddata=\"{}\" storage=\"{}\"/>",
        data_of(used, clumps.into()),
        used + u64::from(clumps) * RECORD_LEN as u64,
    )
}
