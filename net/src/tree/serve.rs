//! The node's tree as [`Files`]: what a client with certain rights sees and does.

use super::ctl::{self, Command};
use super::fat::is_secret;
use super::places::{Made, Place, root_qid};
use super::rights::Rights;
use super::roots::{Lists, Names};
use super::texts;
use super::upgrade::Upgrades;
use crate::clock::Clock;
use crate::disks::DiskHealth;
use crate::p9::{Error, Files, OpenMode, Qid, Stat, StatChange, mode};
use crate::replicate::{Peers, info};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use core::cell::RefCell;
use storage::device::BlockDevice;
use storage::fat::{FatError, NineFat};
use storage::names::NameKeeper;
use storage::store::Store;

/// Bytes of a file in 9fat that one client may have open: it is read when it is opened.
const FILE_MAX: u64 = 32 << 20;

/// A node, as all its clients share it.
pub struct NodeTree<D: BlockDevice + 'static, F, C> {
    pub(super) name: String,
    pub(super) store: Rc<Store<D>>,
    pub(super) nine_fat: Option<Rc<NineFat<F>>>,
    pub(super) names: Rc<NameKeeper<D, F>>,
    pub(super) clock: C,
    pub(super) lists: Lists,
    pub(super) around: Surroundings,
    /// Settings that were changed and wait for the next start.
    pub(super) waiting_settings: RefCell<BTreeSet<&'static str>>,
    /// Where the kernel can be changed.
    pub(super) upgrades: Option<Upgrades<F>>,
    /// How the machine's disks are.
    pub(super) disks: LookAtDisks,
}

/// What obeys a text of settings.
pub type Obey = Box<dyn Fn(&[u8])>;

/// Looks at how disks are.
pub type LookAtDisks = Box<dyn Fn() -> Vec<DiskHealth>>;

/// What there is around a tree: the machine's, or the process's.
pub struct Surroundings {
    /// The last lines of the log.
    pub log: Box<dyn Fn() -> Vec<u8>>,
    /// Obeys new settings, the text of `granary.ini`, as far as [`storage::settings::Key::at_once`] promises. `None` where
    /// nothing does.
    pub obey: Option<Obey>,
    /// The peers that this node replicates to.
    pub peers: Rc<Peers>,
}

impl<D: BlockDevice + 'static, F: BlockDevice, C: Clock> NodeTree<D, F, C> {
    /// The tree of a node of this name. Lists of archives' directories are kept for up to `files_max` files.
    pub fn new(
        name: String,
        store: Rc<Store<D>>,
        nine_fat: Option<Rc<NineFat<F>>>,
        names: Rc<NameKeeper<D, F>>,
        clock: C,
        files_max: usize,
        around: Surroundings,
    ) -> NodeTree<D, F, C> {
        let (lists, waiting_settings) = (Lists::new(files_max), RefCell::default());
        let (upgrades, disks): (_, LookAtDisks) = (None, Box::new(Vec::new));
        NodeTree { name, store, nine_fat, names, clock, lists, around, waiting_settings, upgrades, disks }
    }

    /// The same, on a machine whose kernel can be changed.
    pub fn with_upgrades(self, upgrades: Upgrades<F>) -> NodeTree<D, F, C> {
        NodeTree { upgrades: Some(upgrades), ..self }
    }

    /// The same, on a machine whose disks tell how they are.
    pub fn with_disks(self, disks: LookAtDisks) -> NodeTree<D, F, C> {
        NodeTree { disks, ..self }
    }

    /// Where the kernel can be changed.
    pub fn upgrades(&self) -> Option<&Upgrades<F>> {
        self.upgrades.as_ref()
    }

    /// The names that the node keeps.
    pub fn names(&self) -> &NameKeeper<D, F> {
        &self.names
    }

    /// The peers that the node replicates to.
    pub fn peers(&self) -> &Peers {
        &self.around.peers
    }

    pub(super) fn fat(&self) -> Result<&Rc<NineFat<F>>, Error> {
        self.nine_fat.as_ref().ok_or_else(|| Error::new("this node has no 9fat"))
    }
}

/// A node, as one client may see it.
pub struct NodeFiles<D: BlockDevice + 'static, F, C> {
    /// The node.
    pub tree: Rc<NodeTree<D, F, C>>,
    /// What the client may do, now: it is asked for each request, so that what is taken from a client is gone at once.
    pub rights: Box<dyn Fn() -> Rights>,
    /// The client, for the log.
    pub client: String,
}

/// An open file.
pub(super) enum Open {
    /// A text as it was when the file was opened.
    Text(Bytes),
    /// A directory's entries as they were.
    Entries(Vec<Stat>),
    /// A directory of an archive.
    List(Rc<Names>),
    /// A file of an archive.
    Archive,
    /// A file of 9fat.
    Fat { content: Vec<u8>, is_changed: bool },
    /// Commands.
    Ctl { line: Vec<u8> },
}

/// An open file of the tree.
pub struct NodeOpen(pub(super) Open);

/// A place in the tree.
#[derive(Clone)]
pub struct NodePlace(pub(super) Place);

pub(super) fn fat_error(error: FatError) -> Error {
    match error {
        FatError::NotFound(_) => Error::NotFound,
        error => Error::new(error),
    }
}

pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_string() } else { [path, "/", name].concat() }
}

impl<D: BlockDevice + 'static, F: BlockDevice, C: Clock> NodeFiles<D, F, C> {
    pub(super) fn rights(&self) -> Rights {
        (self.rights)()
    }

    /// Refuses who may do nothing at all (any more).
    fn check_welcome(&self) -> Result<(), Error> {
        if self.rights().any() { Ok(()) } else { Err(Error::Permission) }
    }

    async fn command(&self, line: &[u8]) -> Result<(), Error> {
        let command = Command::parse(line)?;
        let allowed = match &command {
            Command::Name(_) | Command::Prove(_) => self.rights().may_name(),
            Command::Remove(..)
            | Command::Set(..)
            | Command::Sync
            | Command::Peer(..)
            | Command::Unpeer(_)
            | Command::Upgrade(_)
            | Command::Rollback
            | Command::Restart => self.rights().admin,
        };
        if !allowed {
            return Err(Error::Permission);
        }
        log::info!("audit: {}: {}", self.client, command.told());
        let (names, now) = (&self.tree.names, self.tree.clock.wall());
        match command {
            Command::Name(binding) => names.add(&binding, now).await.map(|_| ()).map_err(Error::new),
            Command::Remove(name, root) => names.remove(&name, root, now).await.map_err(Error::new),
            Command::Prove(name) => names.prove(&name).map_err(Error::new),
            Command::Set(key, value) => self.set(key, value.as_deref()).await,
            Command::Peer(name, info) => self.set_peer(&name, &info).await,
            Command::Unpeer(name) => self.remove_from_fat(&[&name, info::SUFFIX].concat()).await,
            Command::Sync => self.tree.store.sync().await.map_err(Error::new),
            Command::Upgrade(new) => self.upgrade(&new).await,
            Command::Rollback => self.roll_back().await,
            Command::Restart => self.restart(),
        }
    }

    fn walk_up(place: &Place) -> Place {
        match place {
            Place::Fat { path, alone, .. } if !path.is_empty() => {
                let above = path.rsplit_once('/').map_or("", |(above, _)| above);
                Place::Fat { path: above.to_string(), is_directory: true, alone: *alone }
            }
            Place::Fat { alone: true, .. } => place.clone(),
            Place::Name(_) => Place::Names,
            Place::Peer(_) => Place::Peers,
            Place::Archive(name, at) => match &at.above {
                Some(above) => Place::Archive(name.clone(), above.clone()),
                None => Place::Roots,
            },
            _ => Place::Root,
        }
    }
}

impl<D: BlockDevice + 'static, F: BlockDevice, C: Clock> Files for NodeFiles<D, F, C> {
    type Node = NodePlace;
    type Open = NodeOpen;

    async fn attach(&self, _uname: &str, aname: &str) -> Result<NodePlace, Error> {
        self.check_welcome()?;
        match aname {
            "" | "/" => Ok(NodePlace(Place::Root)),
            "9fat" => {
                self.tree.fat()?;
                Ok(NodePlace(Place::Fat { path: String::new(), is_directory: true, alone: true }))
            }
            _ => Err(Error::new("no such tree: attach to the empty name, or to 9fat")),
        }
    }

    async fn walk(&self, NodePlace(from): &NodePlace, name: &str) -> Result<NodePlace, Error> {
        self.check_welcome()?;
        if name == ".." {
            return Ok(NodePlace(Self::walk_up(from)));
        }
        if name == "." {
            return Ok(NodePlace(from.clone()));
        }
        let place = match from {
            Place::Root => Place::top(name).ok_or(Error::NotFound)?,
            Place::Fat { path: at, alone, .. } => {
                let entry = self.tree.fat()?.entry(&join(at, name)).await.map_err(fat_error)?;
                // By its own name, since FAT may know it by a short one, too.
                let path = join(at, &entry.name);
                Place::Fat { path, is_directory: entry.is_directory, alone: *alone }
            }
            Place::Names if self.tree.names.registry().get(name).next().is_some() => {
                Place::Name(name.to_string())
            }
            Place::Peers if self.tree.around.peers.get(name).is_some() => Place::Peer(name.to_string()),
            Place::Roots => {
                let root = self.tree.names.registry().published().get(name).next().map(|found| found.root);
                let top = self
                    .tree
                    .lists
                    .open(&*self.tree.store, root.ok_or(Error::NotFound)?, root_qid(name))
                    .await?;
                Place::Archive(name.to_string(), top)
            }
            Place::Archive(archive, at) => {
                let below = self.tree.lists.walk(&*self.tree.store, at, name).await?;
                Place::Archive(archive.clone(), below)
            }
            _ => return Err(Error::NotFound),
        };
        Ok(NodePlace(place))
    }

    fn qid(&self, NodePlace(place): &NodePlace) -> Qid {
        place.qid()
    }

    async fn stat(&self, NodePlace(place): &NodePlace) -> Result<Stat, Error> {
        self.check_welcome()?;
        let now = self.tree.clock.wall().0;
        Ok(match place {
            Place::Root => self.stat_of(place, "/", 0o555, 0, now),
            Place::Names => self.stat_of(place, "names", 0o555, 0, now),
            Place::Peers => self.stat_of(place, "peers", 0o555, 0, now),
            Place::Peer(name) => self.stat_of(place, name, 0o444, 0, now),
            Place::Roots => self.stat_of(place, "roots", 0o555, 0, now),
            Place::File(made) => {
                let permissions = if *made == Made::Ctl { 0o644 } else { 0o444 };
                self.stat_of(place, made.name(), permissions, 0, now)
            }
            Place::Fat { .. } => self.fat_stat(place).await?,
            Place::Name(name) => self.stat_of(place, name, 0o444, 0, now),
            Place::Archive(name, at) => at.stat(at.above.is_none().then_some(name.as_str())),
        })
    }

    async fn open(&self, NodePlace(place): &NodePlace, mode: OpenMode) -> Result<NodeOpen, Error> {
        self.check_welcome()?;
        let may_change = match place {
            Place::File(Made::Ctl) => self.rights().may_name(),
            Place::Fat { path, .. } => self.may_write(path),
            _ => false,
        };
        let changes = mode.write || mode.truncate || mode.remove_at_end;
        if changes && !may_change || mode.remove_at_end && !matches!(place, Place::Fat { .. }) {
            return Err(Error::Permission);
        }
        let open = match place {
            Place::File(Made::Ctl) if mode.write => Open::Ctl { line: Vec::new() },
            Place::File(made) => Open::Text(self.text(*made).await.into()),
            Place::Name(name) => Open::Text(texts::name(&self.tree.names.registry(), name).into()),
            Place::Peer(name) => {
                let text = self.tree.around.peers.show(name, self.tree.clock.now());
                Open::Text(text.ok_or(Error::NotFound)?.into())
            }
            Place::Archive(_, at) if at.qid().is_directory() => {
                Open::List(self.tree.lists.names(&*self.tree.store, at).await?)
            }
            Place::Archive(..) => Open::Archive,
            Place::Fat { path, .. } if is_secret(path) => return Err(Error::Permission),
            Place::Fat { path, is_directory: false, .. } => {
                let fat = self.tree.fat()?;
                if let Some(reason) = fat.read_only().filter(|_| changes) {
                    return Err(Error::new(alloc::format!("9fat is only read: {reason}")));
                }
                let content = if mode.truncate {
                    Vec::new()
                } else {
                    fat.read(path, FILE_MAX).await.map_err(fat_error)?
                };
                Open::Fat { content, is_changed: mode.truncate }
            }
            directory => Open::Entries(self.entries(directory).await?),
        };
        Ok(NodeOpen(open))
    }

    async fn create(
        &self,
        NodePlace(parent): &NodePlace,
        name: &str,
        perm: u32,
        _mode: OpenMode,
    ) -> Result<(NodePlace, NodeOpen), Error> {
        self.create_in_fat(parent, name, perm & mode::DIRECTORY != 0).await
    }

    async fn read(
        &self,
        NodePlace(place): &NodePlace,
        NodeOpen(open): &mut NodeOpen,
        offset: u64,
        count: usize,
    ) -> Result<Bytes, Error> {
        self.check_welcome()?;
        let cut = |content: &[u8]| {
            let rest = usize::try_from(offset).ok().and_then(|offset| content.get(offset..));
            let rest = rest.unwrap_or_default();
            Bytes::copy_from_slice(&rest[..rest.len().min(count)])
        };
        match (&*open, place) {
            (Open::Archive, Place::Archive(_, at)) => at.read(&*self.tree.store, offset, count).await,
            (Open::Text(text), _) => Ok(cut(text)),
            (Open::Fat { content, .. }, _) => Ok(cut(content)),
            (Open::Ctl { .. }, _) => Ok(cut(ctl::HELP.as_bytes())),
            _ => Err(Error::NotOpen),
        }
    }

    async fn entry(
        &self,
        NodePlace(place): &NodePlace,
        NodeOpen(open): &mut NodeOpen,
        position: u64,
    ) -> Result<Option<Stat>, Error> {
        self.check_welcome()?;
        match (&*open, place) {
            (Open::Entries(stats), _) => {
                Ok(usize::try_from(position).ok().and_then(|at| stats.get(at)).cloned())
            }
            (Open::List(names), Place::Archive(_, at)) => Ok(self.tree.lists.entry(at, names, position)),
            _ => Err(Error::NotOpen),
        }
    }

    async fn write(
        &self,
        _place: &NodePlace,
        NodeOpen(open): &mut NodeOpen,
        offset: u64,
        data: Bytes,
    ) -> Result<(), Error> {
        match open {
            Open::Fat { content, is_changed } => {
                let at = usize::try_from(offset).ok().filter(|at| *at <= content.len());
                let at = at.ok_or(Error::WriteOffset)?;
                let end = at + data.len();
                if end as u64 > FILE_MAX {
                    return Err(Error::new(alloc::format!("a file here has at most {FILE_MAX} bytes")));
                }
                content.resize(content.len().max(end), 0);
                content[at..end].copy_from_slice(&data);
                *is_changed = true;
                Ok(())
            }
            Open::Ctl { line } => {
                line.extend_from_slice(&data);
                if line.len() > ctl::LINE_MAX {
                    line.clear();
                    return Err(Error::new("a command has at most 1024 bytes"));
                }
                // Commands end with a newline, or with the write that brought them.
                let commands = core::mem::take(line);
                for command in commands.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                    self.command(command).await?;
                }
                Ok(())
            }
            _ => Err(Error::NotOpen),
        }
    }

    async fn sync(&self, NodePlace(place): &NodePlace, NodeOpen(open): &mut NodeOpen) -> Result<(), Error> {
        if let (Place::Fat { path, .. }, Open::Fat { content, is_changed }) = (place, open)
            && *is_changed
        {
            let kept = match self.may_write(path) {
                true => self.keep(path, content).await,
                false => Err(Error::Permission),
            };
            if let Err(error) = kept {
                // Not every program looks at what becomes of its last message.
                log::warn!("audit: {}: 9fat/{path} was not written: {error}", self.client);
                return Err(error);
            }
            *is_changed = false;
        }
        Ok(())
    }

    async fn remove(&self, NodePlace(place): &NodePlace) -> Result<(), Error> {
        match place {
            Place::Fat { path, .. } => self.remove_from_fat(path).await,
            _ => Err(Error::Permission),
        }
    }

    fn follow(
        &self,
        NodePlace(place): &mut NodePlace,
        NodePlace(from): &NodePlace,
        NodePlace(to): &NodePlace,
    ) {
        if let (Place::Fat { path, .. }, Place::Fat { path: from, .. }, Place::Fat { path: to, .. }) =
            (place, from, to)
            && let Some(below) = path.strip_prefix(from.as_str())
            && (below.is_empty() || below.starts_with('/'))
        {
            *path = [to, below].concat();
        }
    }

    async fn wstat(
        &self,
        NodePlace(place): &mut NodePlace,
        open: Option<&mut NodeOpen>,
        change: &StatChange,
    ) -> Result<(), Error> {
        // Times and permissions are what FAT makes of them; saying so would only stop programs that copy.
        let harmless =
            StatChange { mode: None, mtime: None, gid: None, length: None, name: None, ..change.clone() };
        if !harmless.is_sync() || (change.name.is_some() && change.length.is_some()) {
            return Err(Error::Wstat);
        }
        // A shell empties a file before it writes to it.
        let empties = change.length == Some(0) && change.name.is_none();
        if empties && matches!(place, Place::File(Made::Ctl)) && self.rights().may_name() {
            return Ok(());
        }
        let Place::Fat { path, .. } = place else { return Err(Error::Wstat) };
        if !self.may_write(path) {
            return Err(Error::Permission);
        }
        if let Some(name) = &change.name {
            return self.rename_in_fat(place, name).await;
        }
        match (change.length, place, open) {
            (None, ..) => Ok(()),
            (_, Place::Fat { is_directory: true, .. }, _) => Err(Error::IsDirectory),
            (Some(0), _, Some(NodeOpen(Open::Fat { content, is_changed }))) => {
                content.clear();
                *is_changed = true;
                Ok(())
            }
            (Some(0), Place::Fat { path, .. }, None) => self.keep(path, b"").await,
            _ => Err(Error::Wstat),
        }
    }
}
