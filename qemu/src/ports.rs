//! Ports on loopback.

use anyhow::{Context, Result};
use std::net::{Ipv4Addr, TcpListener};

/// `wanted`, or any free port when it is 0. Another process can still take the port before QEMU does; QEMU then says so
/// and ends.
pub fn choose(wanted: u16) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted))
        .with_context(|| format!("port {wanted} is taken"))?;
    Ok(listener.local_addr()?.port())
}
