//! The kernel that this machine runs and the one that it starts next; and starting again.
//!
//! Knows which slot the loader took, and what a kernel of this machine is. Must not know how slots are kept
//! ([`storage::slots`]), nor who may change them ([`net::tree`]).

use super::Part;
use super::live::Live;
use super::p9::Tree;
use crate::acpi::power;
use crate::command_line::CommandLine;
use crate::executor::timers::sleep_until;
use crate::loader::{FILE_LEN_MAX, KernelFile};
use crate::start::Machine;
use crate::time;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use core::cell::Cell;
use core::pin::pin;
use core::time::Duration;
use event_listener::Event;
use futures_util::future::{Either, select};
use net::tree::Upgrades;
use storage::fat::NineFat;
use storage::slots::Keeper;

/// From the command to restart until the node obeys.
const ANSWER_TIME: Duration = Duration::from_millis(300);

/// Why the node stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The power button was pressed.
    Off,
    /// The machine shall start again: an administrator wants it, or it has new settings.
    Restart,
}

/// Rung when the machine is to start again.
#[derive(Clone, Default)]
pub(super) struct Bell {
    rung: Rc<Cell<bool>>,
    event: Rc<Event>,
}

impl Bell {
    fn ring(&self) {
        self.rung.set(true);
        self.event.notify(usize::MAX);
    }

    async fn wait(&self) {
        let ringing = self.event.listen();
        if !self.rung.get() {
            ringing.await;
        }
    }

    /// Returns when the node is to stop.
    pub(super) async fn end(&self) -> End {
        match select(pin!(self.wait()), pin!(power::power_button())).await {
            Either::Left(_) => {
                // Whoever asked for it gets its answer.
                sleep_until(time::now().plus(ANSWER_TIME)).await;
                log::info!("restart: stopping");
                End::Restart
            }
            Either::Right(_) => {
                log::info!("power button: stopping");
                End::Off
            }
        }
    }
}

/// What the tree needs to change this machine's kernel.
pub(super) fn upgrades(
    machine: &Machine,
    nine_fat: Option<&Rc<NineFat<Part>>>,
    live: &Rc<Live>,
    bell: &Bell,
) -> Option<Upgrades<Part>> {
    let running = CommandLine::new(&machine.command_line).value("slot").and_then(|slot| slot.parse().ok());
    let (live, bell) = (live.clone(), bell.clone());
    Some(Upgrades {
        slots: Keeper::new(nine_fat?.clone(), running),
        is_kernel: Box::new(is_kernel),
        key: Box::new(move || live.get().upgrade_key.clone()),
        restart: Box::new(move || bell.ring()),
    })
}

/// Whether a file is a kernel that every loader starts.
fn is_kernel(file: &[u8]) -> Result<(), String> {
    if file.len() > FILE_LEN_MAX {
        return Err("a BIOS loader holds at most 12 MiB".into());
    }
    KernelFile::parse(file).map(drop).map_err(|error| error.to_string())
}

/// The node serves: its kernel is good.
pub(super) async fn serves(tree: &Tree) {
    let Some(upgrades) = tree.upgrades() else { return };
    if let Err(error) = upgrades.slots.served(time::wall()).await {
        log::warn!("{}: {error}: it is not remembered that this kernel serves", storage::slots::FILE);
    }
    if let Some(slot) = upgrades.slots.running() {
        log::info!("kernel slot {slot} serves");
    }
}
