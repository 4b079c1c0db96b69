//! What there is to ask for, and where its figures come from.
//!
//! Knows the store, venti's connections and this service's own. Must not know streams, or how pages look.

use super::history::{History, STEP, Sample};
use super::listing;
use super::metrics;
use super::page;
use super::response::{Body, ContentType, Response, Status};
use super::serve::Pages;
use super::view::{
    HttpView, MachineStatus, NamesView, PeerView, Stage, StoreView, VentiView, View, occupied,
};
use crate::clock::Clock;
use crate::replicate::Peers;
use crate::secure::Logins;
use crate::venti::connections::{Connections, Operation};
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, OnceCell, RefCell};
use storage::device::BlockDevice;
use storage::names::NameKeeper;
use storage::store::Store;

/// The version that pages name: all crates have the same.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A path, and what stands there.
struct Resource {
    path: &'static str,
    what: &'static str,
    asks: Asks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    Page,
    Health,
    Readiness,
    Metrics,
    Index,
    XmlIndex,
    Storage,
}

/// Everything there is.
const RESOURCES: [Resource; 7] = [
    Resource { path: "/", what: "the status page", asks: Asks::Page },
    Resource { path: "/healthz", what: "whether the node lives", asks: Asks::Health },
    Resource { path: "/readyz", what: "whether it serves blocks", asks: Asks::Readiness },
    Resource { path: "/metrics", what: "figures for Prometheus", asks: Asks::Metrics },
    Resource { path: "/index", what: "index and arenas, as venti shows them", asks: Asks::Index },
    Resource { path: "/xindex", what: "the same in XML", asks: Asks::XmlIndex },
    Resource { path: "/storage", what: "sums over all arenas, as venti shows them", asks: Asks::Storage },
];

/// Looks at the names as they are.
type LookAtNames = Box<dyn Fn() -> NamesView>;

/// A node, as it is shown.
pub struct Site<D: BlockDevice + 'static, C> {
    name: String,
    clock: C,
    stage: Cell<Stage>,
    store: OnceCell<Rc<Store<D>>>,
    venti: OnceCell<Rc<Connections>>,
    names: OnceCell<LookAtNames>,
    peers: OnceCell<Rc<Peers>>,
    logins: OnceCell<Rc<Logins>>,
    http: Rc<Connections>,
    answers: [Cell<u64>; Status::ALL.len()],
    machine: Box<dyn Fn() -> MachineStatus>,
    history: RefCell<History>,
}

impl<D: BlockDevice + 'static, C: Clock> Site<D, C> {
    /// A node of this name that is still starting. `http` counts this service's connections; `machine` is asked each
    /// time that a page is made.
    pub fn new(
        name: String,
        clock: C,
        http: Rc<Connections>,
        machine: impl Fn() -> MachineStatus + 'static,
    ) -> Rc<Site<D, C>> {
        Rc::new(Site {
            name,
            clock,
            stage: Cell::new(Stage::Starting),
            store: OnceCell::new(),
            venti: OnceCell::new(),
            names: OnceCell::new(),
            peers: OnceCell::new(),
            logins: OnceCell::new(),
            http,
            answers: Default::default(),
            machine: Box::new(machine),
            history: RefCell::default(),
        })
    }

    /// How far the node is.
    pub fn set_stage(&self, stage: Stage) {
        self.stage.set(stage);
    }

    /// The store is open. Only the first one counts.
    pub fn show_store(&self, store: Rc<Store<D>>) {
        self.store.get_or_init(|| store);
        self.note();
    }

    /// Venti's port is open. Only the first one counts.
    pub fn show_venti(&self, connections: Rc<Connections>) {
        self.venti.get_or_init(|| connections);
    }

    /// Names are kept. Only the first keeper counts.
    pub fn show_names<F: BlockDevice + 'static>(&self, keeper: Rc<NameKeeper<D, F>>) {
        self.names.get_or_init(|| Box::new(move || NamesView::of(&keeper)));
    }

    /// Somebody replicates to peers. Only the first ones count.
    pub fn show_peers(&self, peers: Rc<Peers>) {
        self.peers.get_or_init(|| peers);
    }

    /// Somebody may prove who he is. Only the first counts count.
    pub fn show_logins(&self, logins: Rc<Logins>) {
        self.logins.get_or_init(|| logins);
    }

    /// This service's connections.
    pub fn connections(&self) -> &Rc<Connections> {
        &self.http
    }

    /// Keeps the history, for as long as it is polled.
    pub async fn watch(&self) {
        loop {
            self.clock.sleep_until(self.clock.now().plus(STEP)).await;
            self.note();
        }
    }

    fn note(&self) {
        // Before, there is nothing to compare later figures with.
        if self.store.get().is_some() {
            self.history.borrow_mut().note(self.sample());
        }
    }

    fn sample(&self) -> Sample {
        let used = self.store.get().map_or(0, |store| occupied(&store.totals()));
        let at = self.clock.now();
        let Some(venti) = self.venti.get() else { return Sample { at, used, ..Sample::default() } };
        let counters = venti.counters();
        Sample {
            at,
            used,
            reads: counters.reads,
            writes: counters.writes,
            bytes_in: counters.bytes_in,
            bytes_out: counters.bytes_out,
            read_micros: venti.latencies(Operation::Read).micros,
            write_micros: venti.latencies(Operation::Write).micros,
        }
    }

    /// Makes a page of everything there is to tell.
    fn show(&self, page: fn(&View) -> String) -> String {
        let store = self.store.get().map(|store| StoreView {
            status: store.status(),
            totals: store.totals(),
            index: store.index_status(),
        });
        let venti = self.venti.get().map(|venti| VentiView {
            open: venti.open(),
            counters: venti.counters(),
            latencies: Operation::ALL.map(|operation| venti.latencies(operation)),
        });
        let answers = Status::ALL.iter().zip(&self.answers).map(|(status, count)| (*status, count.get()));
        let answers = answers.filter(|(_, count)| *count > 0).collect();
        let http = HttpView { open: self.http.open(), counters: self.http.counters(), answers };
        let history = self.history.borrow();
        page(&View {
            name: &self.name,
            version: VERSION,
            stage: self.stage.get(),
            uptime: self.clock.now().since(Default::default()),
            now: self.clock.wall(),
            store,
            venti,
            names: self.names.get().map(|look| look()),
            peers: self.peers.get().map_or_else(Vec::new, |peers| {
                let now = self.clock.now();
                peers.all().iter().map(|peer| PeerView::of(peer, now)).collect()
            }),
            logins: self.logins.get().map_or_else(Vec::new, |logins| logins.counts()),
            http,
            machine: (self.machine)(),
            history: &history,
        })
    }

    fn with_store(&self, page: impl FnOnce(&Rc<Store<D>>) -> Response) -> Response {
        self.store.get().map_or_else(|| self.unavailable(), page)
    }

    fn unavailable(&self) -> Response {
        Response::text(Status::Unavailable, format!("{}\n", self.stage.get().name()))
    }
}

impl<D: BlockDevice + 'static, C: Clock> Pages for Site<D, C> {
    fn answer(&self, path: &str) -> Response {
        let Some(resource) = RESOURCES.iter().find(|resource| resource.path == path) else {
            return not_found();
        };
        let ok = |content_type, text| Response { status: Status::Ok, content_type, body: Body::Whole(text) };
        match resource.asks {
            Asks::Page => ok(ContentType::Html, self.show(page::page)),
            Asks::Health => Response::text(Status::Ok, "alive\n"),
            Asks::Readiness if self.stage.get() == Stage::Serving => Response::text(Status::Ok, "ready\n"),
            Asks::Readiness => self.unavailable(),
            Asks::Metrics => ok(ContentType::Metrics, self.show(metrics::page)),
            Asks::Index => self.with_store(|store| listing::index(store.clone())),
            Asks::XmlIndex => self.with_store(|store| listing::xml(store.clone())),
            Asks::Storage => self.with_store(|store| {
                let text = listing::storage(store.index_status().as_ref(), &store.totals());
                Response::text(Status::Ok, text)
            }),
        }
    }

    fn answered(&self, status: Status) {
        if let Some(count) =
            Status::ALL.iter().position(|known| *known == status).and_then(|at| self.answers.get(at))
        {
            count.set(count.get() + 1);
        }
    }
}

/// What was asked for is not repeated: it is somebody else's text.
fn not_found() -> Response {
    let mut text = String::from("There is no such page. There are:\n\n");
    for Resource { path, what, .. } in &RESOURCES {
        text += &format!("{path:<12}{what}\n");
    }
    Response::text(Status::NotFound, text)
}
