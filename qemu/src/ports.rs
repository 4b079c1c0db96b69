//! Ports on loopback.

use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

/// Ports that were chosen for machines which have perhaps not taken them yet.
static CHOSEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// `wanted`, or any free port when it is 0, never the same twice. Another process can still take the port before QEMU
/// does; QEMU then says so and ends.
pub fn choose(wanted: u16) -> Result<u16> {
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted))
            .with_context(|| format!("port {wanted} is taken"))?;
        let port = listener.local_addr()?.port();
        let is_new = CHOSEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port);
        if is_new || wanted != 0 {
            return Ok(port);
        }
    }
}
