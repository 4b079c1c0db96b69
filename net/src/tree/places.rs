//! What there is in the tree, and who each place is.

use super::roots::InArchive;
use crate::p9::{Qid, qid_kind};
use alloc::rc::Rc;
use alloc::string::String;

/// A place in the tree.
#[derive(Clone)]
pub(super) enum Place {
    Root,
    /// The path in 9fat, without the first `/`; empty for its top. `alone`: the client asked for this tree only.
    Fat {
        path: String,
        is_directory: bool,
        alone: bool,
    },
    Names,
    Name(String),
    Peers,
    Peer(String),
    Roots,
    /// A file below `roots/NAME`.
    Archive(String, Rc<InArchive>),
    File(Made),
}

/// Files whose content is made when they are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    Status,
    Arenas,
    Ctl,
    Log,
}

/// Directories and files of the top, in the order in which they are listed.
pub(super) const TOP: [&str; 8] = ["9fat", "arenas", "ctl", "log", "names", "peers", "roots", "status"];

impl Made {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Made::Status => "status",
            Made::Arenas => "arenas",
            Made::Ctl => "ctl",
            Made::Log => "log",
        }
    }
}

impl Place {
    /// One of [`TOP`].
    pub(super) fn top(name: &str) -> Option<Place> {
        Some(match name {
            "9fat" => Place::Fat { path: String::new(), is_directory: true, alone: false },
            "names" => Place::Names,
            "peers" => Place::Peers,
            "roots" => Place::Roots,
            "status" => Place::File(Made::Status),
            "arenas" => Place::File(Made::Arenas),
            "ctl" => Place::File(Made::Ctl),
            "log" => Place::File(Made::Log),
            _ => return None,
        })
    }

    /// Who it is: a number made of its kind and name.
    pub(super) fn qid(&self) -> Qid {
        let directory = |path| Qid { kind: qid_kind::DIRECTORY, version: 0, path };
        let file = |path| Qid { kind: qid_kind::FILE, version: 0, path };
        match self {
            Place::Root => directory(1),
            Place::Names => directory(2),
            Place::Roots => directory(3),
            Place::File(Made::Status) => file(4),
            Place::File(Made::Arenas) => file(5),
            Place::File(Made::Ctl) => file(6),
            Place::File(Made::Log) => file(10),
            Place::Peers => directory(11),
            Place::Peer(name) => file(number(12, name)),
            // FAT does not tell capitals from small letters.
            Place::Fat { path, is_directory, .. } => {
                let path = number(7, &path.to_lowercase());
                if *is_directory { directory(path) } else { file(path) }
            }
            Place::Name(name) => file(number(8, name)),
            Place::Archive(_, at) => at.qid(),
        }
    }
}

/// Who the top of a name's archive is.
pub(super) fn root_qid(name: &str) -> Qid {
    Qid { kind: qid_kind::DIRECTORY, version: 0, path: number(9, name) }
}

/// FNV-1a over a kind and a name (Fowler, Noll and Vo).
fn number(kind: u8, name: &str) -> u64 {
    let bytes = core::iter::once(kind).chain(name.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
