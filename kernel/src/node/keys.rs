//! What the machine proves itself with: the account in its nvram, the key and certificate in its 9fat.
//!
//! Knows where they are. Must not know who asks for a proof.

use super::Part;
use super::live::Live;
use crate::entropy::{self, KernelRng};
use crate::executor::spawn;
use crate::processors;
use crate::time;
use alloc::format;
use alloc::rc::Rc;
use net::replicate::Keys;
use net::secure::{self, read_identity};
use net::tls13::{self, Source, files};
use spin::Once;
use storage::fat::NineFat;
use storage::settings::Settings;

static SOURCE: Once<Source<KernelRng>> = Once::new();

/// Reads them; makes the key of 9fat if it has none. `None`: without randomness nothing can be proved, and the console
/// says so.
pub(super) async fn read(
    nvram: Option<Part>,
    nine_fat: Option<Rc<NineFat<Part>>>,
    live: &Rc<Live>,
) -> Option<Rc<Keys<KernelRng>>> {
    let rng = match entropy::rng() {
        Ok(rng) => rng,
        Err(error) => {
            log::error!("no replication, no TLS, no authentication: {error}");
            return None;
        }
    };
    let source = Some(SOURCE.call_once(|| Source::new(rng)));
    adopt(nvram.as_ref(), nine_fat.as_deref(), live).await;
    let settings = live.get().clone();
    let account = account(nvram.clone(), &settings).await;
    let certificate = match nine_fat.as_deref() {
        Some(fat) => certificate(fat, &rng, &settings.sysname).await,
        None => None,
    };
    spawn(keep_adopting(nvram, nine_fat, live.clone()));
    let auth = settings.auth.as_deref().and_then(|server| {
        server.parse().inspect_err(|error| log::error!("`auth=` is not used: {error}")).ok()
    });
    let arithmetic = processors::pool::arithmetic();
    Some(Rc::new(Keys { account, auth, certificate, source, rng, arithmetic }))
}

/// Moves the account that granary.ini gives into the nvram, at the start and whenever one is given later: that one counts
/// from the next start on.
async fn adopt(nvram: Option<&Part>, nine_fat: Option<&NineFat<Part>>, live: &Live) {
    let Some(fat) = nine_fat.filter(|_| live.get().account.is_some()) else { return };
    match secure::adopt(nvram, fat, time::wall()).await {
        Ok(Some(text)) => live.set(&text),
        Ok(None) => {}
        Err(error) => log::error!("account= of granary.ini: {error}"),
    }
}

/// [`adopt`], for as long as the node runs.
async fn keep_adopting(nvram: Option<Part>, nine_fat: Option<Rc<NineFat<Part>>>, live: Rc<Live>) {
    loop {
        let changed = live.changed();
        adopt(nvram.as_ref(), nine_fat.as_deref(), &live).await;
        changed.await;
    }
}

/// Where users are listed, it is worth a line if there is none.
async fn account(nvram: Option<Part>, settings: &Settings) -> Option<secure::Identity> {
    let complain = |reason: &str| {
        if !settings.users.is_empty() {
            log::error!("`users=` lists users, and none of them can log in: {reason}");
        }
    };
    let Some(nvram) = nvram else {
        complain(&format!("no partition called {}", settings.nvram.as_deref().unwrap_or("nvram")));
        return None;
    };
    let identity = read_identity(&nvram, settings.p9sk1)
        .await
        .inspect_err(|error| complain(&format!("{error}")))
        .ok()?;
    log::info!("this node is {} in the domain {}", identity.account.user(), identity.domain);
    Some(identity)
}

async fn certificate(fat: &NineFat<Part>, rng: &KernelRng, sysname: &str) -> Option<tls13::Identity> {
    let own = files::own(fat, rng, sysname, time::wall()).await;
    let own = own.inspect_err(|error| log::error!("no TLS: {error}")).ok()?;
    log::info!("tls: this node is x509 {} name={sysname}", own.fingerprint());
    Some(own)
}
