//! How the disks are: they are asked seldom, never while they are in trouble, and what turns bad is told once.
//!
//! Knows when to ask. Must not know how a disk is asked, nor what the figures mean.

use crate::disk::Disk;
use crate::executor::spawn;
use crate::executor::timers::sleep_until;
use crate::time;
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::time::Duration;
use net::disks::{DiskHealth, plain_name};

/// Not at once: a node that starts has other things to ask its disks.
const FIRST: Duration = Duration::from_secs(5);
const EVERY: Duration = Duration::from_secs(600);

/// What the disks said last.
#[derive(Default)]
pub(super) struct Health(RefCell<Vec<DiskHealth>>);

impl Health {
    /// Asks these disks for good.
    pub(super) fn watch(disks: &[Rc<Disk>]) -> Rc<Health> {
        let health = Rc::new(Health::default());
        let mut named: Vec<(DiskHealth, Rc<Disk>)> = Vec::new();
        for disk in disks {
            let identity = disk.identity();
            let name =
                if identity.serial.is_empty() { identity.to_string() } else { identity.serial.clone() };
            let name = plain_name(&name);
            // The namespaces of one controller have its health.
            if named.iter().all(|(other, _)| other.name != name) {
                named.push((DiskHealth { name, ..DiskHealth::default() }, disk.clone()));
            }
        }
        spawn(ask(health.clone(), named));
        health
    }

    /// Those that tell, by their order among the disks.
    pub(super) fn all(&self) -> Vec<DiskHealth> {
        self.0.borrow().clone()
    }

    /// Keeps what a disk says, and tells of it when that is new.
    fn note(&self, health: DiskHealth) {
        let mut all = self.0.borrow_mut();
        let (name, known) = (&health.name, all.iter_mut().find(|known| known.name == health.name));
        match &known {
            None if health.is_bad() => log::warn!("disk {name}: {health}"),
            None => log::info!("disk {name}: {health}"),
            Some(known) if health.is_bad() && !known.is_bad() => {
                log::warn!("disk {name} turns bad: {health}")
            }
            Some(_) => {}
        }
        match known {
            Some(known) => *known = health,
            None => all.push(health),
        }
    }
}

async fn ask(health: Rc<Health>, mut disks: Vec<(DiskHealth, Rc<Disk>)>) {
    let mut pause = FIRST;
    while !disks.is_empty() {
        sleep_until(time::now().plus(pause)).await;
        pause = EVERY;
        let mut telling = Vec::new();
        for (named, disk) in disks {
            if disk.is_well() {
                // One that does not tell is not asked again.
                let Some(said) = disk.health().await else { continue };
                health.note(DiskHealth { name: named.name.clone(), ..said });
            }
            telling.push((named, disk));
        }
        disks = telling;
    }
}
