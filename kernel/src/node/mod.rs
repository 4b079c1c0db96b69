//! The node: the order in which a machine becomes a venti server, and how it stops.
//!
//! | module | what |
//! |---|---|
//! | `disks` | how the disks are, asked from time to time |
//! | `first` | what the disks hold; a blank one for a node that has none |
//! | `cloud` | settings from outside, written to granary.ini once |
//! | `metadata` | the same from the network, asked for where firmware says that it is there |
//! | `settings` | granary.ini from 9fat, then the command line |
//! | `live` | the settings as they are now |
//! | `port` | a port that is open while somebody may come |
//! | `memory` | who may use how much of it |
//! | `grow` | what is added to the store by itself |
//! | `network` | the cards, their addresses, and saying what they are |
//! | `clock` | the time, from a time server |
//! | `syslog` | the log, sent to a collector |
//! | `serve` | venti on a port: one task for each connection |
//! | `replicate` | the way to peers |
//! | `keys` | what the node proves itself with |
//! | `tls` | venti by TLS 1.3 |
//! | `p9` | the node to look into and to steer, on a third port |
//! | `secure` | venti and the tree behind 9front's authentication, on two ports more |
//! | `http` | the node to look at, on another port |
//! | `status` | one line a minute |
//! | `upgrade` | the machine's kernels, and starting again |
//!
//! Knows the order: devices → settings → network → recovery → store → tasks. Must not know how any of them works.

mod clock;
mod cloud;
mod disks;
mod first;
mod grow;
mod http;
mod keys;
mod live;
mod memory;
mod metadata;
mod network;
mod p9;
mod port;
mod replicate;
mod secure;
mod serve;
mod settings;
mod status;
mod syslog;
mod tls;
mod upgrade;

use crate::devices::Devices;
use crate::disk::Disk;
use crate::executor::spawn;
use crate::executor::timers::sleep_until;
use crate::memory::heap;
use crate::panic;
use crate::processors;
use crate::start::Machine;
use crate::time::{self, KernelClock};
use crate::watchdog;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::pin::pin;
use futures_util::future::{Either, select};
use grow::Growth;
use http::NodeSite;
use live::Live;
use memory::Shares;
use net::http::Stage;
use net::secure::Logins;
use net::tcp::{Listeners, Networks};
use net::venti::connections::Connections;
use net::venti::{PORT, StoreBlocks};
use port::Port;
use serve::Service;
use storage::disk::survey::{NamedDisk, Survey};
use storage::fat::NineFat;
use storage::names::NameKeeper;
use storage::partition::Partition;
use storage::scrub::Keeper;
use storage::settings::{OnPanic, Scrub, Settings};
use storage::store::{Store, StoreParts, StoreSettings};
use upgrade::Bell;

pub(crate) use upgrade::End;

/// A disk, as the store sees it: a partition of one that others share.
type Part = Partition<Rc<Disk>>;

/// Venti, as this machine serves it.
type VentiService = Service<StoreBlocks<Part, KernelClock>>;

/// How long a clean stop may take before the machine is switched off all the same. What a sync was answered for is safe
/// in any case; what is left undone is done at the next start.
const STOP_TIME_MAX: core::time::Duration = core::time::Duration::from_secs(90);

/// Brings the node up and serves until it is to stop; then does so cleanly, and says what the machine shall do.
pub(crate) async fn run(machine: &Machine, devices: Devices) -> End {
    let bell = Bell::default();
    let Devices { disks: machine_disks, cards } = devices;
    let (named, given) = cloud::find(named(&machine_disks)).await;
    let survey = first::survey_or_make(&named).await;
    tell_findings(&machine_disks, &survey);
    let (settings, base) = settings::read(&survey, given.as_ref(), &machine.command_line).await;
    obey(&settings);
    let shares = memory::share_out(heap::status().total, &settings);
    // Opening a large store takes a while; whoever waits for it can look at the node meanwhile.
    let stack = network::start(cards, &settings, shares.tcp);
    if metadata::are_new(machine, given.as_ref(), stack.as_ref(), &settings, survey.nine_fat.as_ref()).await {
        return End::Restart;
    }
    let live = Live::new(settings.clone(), base, &machine.command_line);
    stack.iter().for_each(|stack| start_helpers(stack, &live));
    let health = disks::Health::watch(&machine_disks);
    let site = stack.as_ref().map(|stack| http::start(stack, &live, &health));
    let (survey, growth) = grow::prepare(named, survey, settings.grow, shares.store).await;
    let nvram = survey.nvram(settings.nvram.as_deref()).cloned();
    let store = open_store(survey.parts, shares.store, &growth).await;
    let nine_fat = open_fat(survey.nine_fat).await;
    let keeper = Rc::new(Keeper::new(nine_fat.clone()));
    let keys = keys::read(nvram, nine_fat.clone(), &live).await;
    let (mut behind, mut shown, logins) = (None, None, Rc::new(Logins::default()));
    site.iter().for_each(|site| site.show_logins(logins.clone()));
    if let Some(store) = &store {
        spawn(scrub(store.clone(), keeper.clone(), settings.scrub));
        let names = Rc::new(NameKeeper::open(store.clone(), nine_fat.clone()).await);
        spawn(walk(names.clone()));
        site.iter().for_each(|site| site.show_names(names.clone()));
        if let Some(stack) = &stack {
            let window = shares.peer_window;
            let peers = replicate::start(stack, &live, store, nine_fat.clone(), &names, &keys, window);
            site.iter().for_each(|site| site.show_peers(peers.clone()));
            let upgrades = upgrade::upgrades(machine, nine_fat.as_ref(), &live, &bell);
            let tree = p9::tree(&live, store, nine_fat.clone(), names, peers, upgrades, &health);
            p9::start(stack, &live, tree.clone());
            behind = secure::open(keys.as_ref(), &live, tree.clone(), logins.clone());
            shown = Some(tree);
        }
    }
    let service = store.as_ref().zip(stack.as_ref());
    let service = service.map(|(store, stack)| serve(store, stack, &live, &shares));
    if service.is_some() {
        serves(shown.as_deref()).await;
    }
    if let (Some(service), Some(stack), Some(fat), Some(keys), Some(tree)) =
        (&service, &stack, nine_fat, keys, shown)
    {
        spawn(tls::run(stack.clone(), fat, service.clone(), keys, tree, logins));
    }
    if let (Some(behind), Some(stack), Some(service)) = (behind, &stack, &service) {
        behind.start(stack, &live, service);
    }
    site.iter().for_each(|site| show(site, store.as_ref(), service.as_deref()));
    tell_if_closed(service.is_some(), &settings);
    spawn(status::print(store.clone(), stack, service, live));
    until_end(&bell, site.as_deref(), store, &keeper).await
}

/// The node has come up: its kernel is a good one, and from now on must not hang.
async fn serves(tree: Option<&p9::Tree>) {
    if let Some(tree) = tree {
        upgrade::serves(tree).await;
    }
    if watchdog::arm(watchdog::PATIENCE_SECONDS, time::now()) {
        log::info!("watchdog: armed, {} s", watchdog::PATIENCE_SECONDS);
    }
}

/// What needs the network alone.
fn start_helpers(stack: &Networks, live: &Rc<Live>) {
    spawn(clock::run(stack.clone(), live.clone()));
    spawn(syslog::run(stack.clone(), live.clone()));
}

/// Waits for the end, then stops.
async fn until_end(
    bell: &Bell,
    site: Option<&NodeSite>,
    store: Option<Rc<Store<Part>>>,
    keeper: &Keeper<Part>,
) -> End {
    let end = bell.end().await;
    site.iter().for_each(|site| site.set_stage(Stage::Stopping));
    if let Some(store) = store {
        close(&store).await;
        keeper.save(&store, time::wall()).await;
    }
    end
}

fn named(disks: &[Rc<Disk>]) -> Vec<NamedDisk<Rc<Disk>>> {
    let name = |(number, disk): (usize, &Rc<Disk>)| NamedDisk {
        name: format!("disk{number}"),
        device: disk.clone(),
    };
    disks.iter().enumerate().map(name).collect()
}

fn tell_findings<D>(disks: &[Rc<Disk>], survey: &Survey<D>) {
    if disks.is_empty() {
        log::error!("no disk found: give the machine one on virtio, NVMe, SATA or virtio-scsi");
    }
    for finding in &survey.findings {
        log::warn!("{finding}");
    }
}

fn obey(settings: &Settings) {
    log::set_max_level(settings.log);
    panic::set_reboot(settings.panic == OnPanic::Reboot);
}

/// Opens the store and says what was found. `None`: there is none, and the console says why.
async fn open_store(
    parts: StoreParts<Part>,
    settings: StoreSettings,
    growth: &Growth,
) -> Option<Rc<Store<Part>>> {
    if parts.arenas.is_empty() {
        log::error!(
            "no arenas on any disk: give the machine a blank one, make one with `granary image create`, or add the disk \
             that has them"
        );
        return None;
    }
    let began = time::now();
    match Store::open(parts, settings, time::wall()).await {
        Ok((store, report)) => {
            let millis = time::now().since(began).as_millis();
            log::info!(
                "store: {} blocks in {} arenas, opened in {millis} ms",
                report.clumps,
                report.arenas_count
            );
            for line in report.lines() {
                log::warn!("store: {line}");
            }
            growth.add_to(&store).await;
            store.use_arithmetic(processors::pool::arithmetic());
            let store = Rc::new(store);
            spawn(background(store.clone()));
            Some(store)
        }
        Err(error) => {
            log::error!("the store cannot be opened, and nothing was written to it: {error}");
            None
        }
    }
}

/// Mounts 9fat, for everybody who uses it.
async fn open_fat(part: Option<Part>) -> Option<Rc<NineFat<Part>>> {
    match NineFat::open(part?, true).await {
        Ok(fat) => {
            if let Some(reason) = fat.read_only() {
                log::error!("9fat is only read: {reason}");
            }
            Some(Rc::new(fat))
        }
        Err(error) => {
            log::error!("9fat: {error}: there are no names, and nothing is kept beside the blocks");
            None
        }
    }
}

/// Walks the trees of names that wait, and of those that are to be proved.
async fn walk(names: Rc<NameKeeper<Part, Part>>) {
    names.run(time::wall, async |pause| sleep_until(time::now().plus(pause)).await).await;
}

async fn background(store: Rc<Store<Part>>) {
    store.background(async |pause| sleep_until(time::now().plus(pause)).await).await;
}

/// Verifies the store, and keeps in 9fat what came of it.
async fn scrub(store: Rc<Store<Part>>, keeper: Rc<Keeper<Part>>, setting: Scrub) {
    keeper.run(&store, setting, time::wall, async |pause| sleep_until(time::now().plus(pause)).await).await;
}

/// Opens a port; if that cannot be, the console says so.
fn listen(stack: &Networks, port: u16) -> Option<Listeners> {
    let listener = stack.listen(port);
    listener.inspect_err(|error| log::error!("cannot listen on port {port}: {error}")).ok()
}

/// Serves venti while anybody may use it.
fn serve(store: &Rc<Store<Part>>, stack: &Networks, live: &Rc<Live>, shares: &Shares) -> Rc<VentiService> {
    let service = Rc::new(Service {
        blocks: StoreBlocks::new(store.clone(), KernelClock),
        limits: shares.limits,
        connections: Connections::new(shares.connections),
        strangers: Cell::new(0),
    });
    spawn(serve_venti(stack.clone(), live.clone(), service.clone()));
    let wanted = live.get().connections;
    if shares.connections < wanted as usize {
        log::info!("{} connections at once are what memory allows, of {}", shares.connections, wanted);
    }
    service
}

async fn serve_venti(stack: Networks, live: Rc<Live>, service: Rc<VentiService>) {
    let port = Port { number: PORT, what: "serving venti", networks: |settings| settings.venti.clone() };
    let refuse = |_| service.strangers.set(service.strangers.get() + 1);
    port.serve(stack, live, |stream| service.take(stream), refuse).await;
}

fn tell_if_closed(serves: bool, settings: &Settings) {
    if !serves {
        log::error!("nothing is served; see above. The power button switches the machine off");
    } else if settings.venti.is_empty() && settings.users.is_empty() {
        log::error!(
            "venti is closed: `venti=NETWORK` in granary.ini opens it, such as venti=192.168.1.0/24, or `users=`"
        );
    }
}

/// What was waited for is there, or will not come.
fn show<B>(site: &NodeSite, store: Option<&Rc<Store<Part>>>, service: Option<&Service<B>>) {
    if let Some(store) = store {
        site.show_store(store.clone());
    }
    if let Some(service) = service {
        site.show_venti(service.connections.clone());
    }
    site.set_stage(if service.is_some() { Stage::Serving } else { Stage::Failed });
}

/// Makes everything durable and complete, so that any venti can take over the disk.
async fn close(store: &Store<Part>) {
    let deadline = time::now().plus(STOP_TIME_MAX);
    match select(pin!(store.close()), pin!(sleep_until(deadline))).await {
        Either::Left((Ok(()), _)) => log::info!("everything is on disk, and the index is complete"),
        Either::Left((Err(error), _)) => log::error!("not everything is on disk: {error}"),
        Either::Right(_) => log::warn!("the index is not complete yet; the next start completes it"),
    }
}
