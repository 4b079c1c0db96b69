//! A switch on this machine, to which cables of machines lead, and the router on it through which loopback's ports lead to
//! them. Knows Ethernet's addresses; knows nothing above.

use crate::machine::{Forward, QEMU};
use crate::wire::{Wire, WirePorts};
use anyhow::{Context, Result, bail};
use std::collections::HashMap;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a cable is looked at that nobody speaks on.
const LOOK: Duration = Duration::from_millis(50);

/// How long QEMU may take to find out that it cannot do what it is asked.
const START: Duration = Duration::from_millis(300);

/// A host's address on the switch.
type Address = [u8; 6];

/// Joins cables for as long as this process lives. Each hears what is meant for it and for all, and nothing else: QEMU's own
/// network answers to whatever it hears.
pub fn join(wires: Vec<Wire>) {
    let (wires, places) = (Arc::new(wires), Arc::new(Mutex::new(HashMap::new())));
    for own in 0..wires.len() {
        let (wires, places) = (wires.clone(), places.clone());
        std::thread::spawn(move || {
            loop {
                wires[own].wait(LOOK);
                while let Some(frame) = wires[own].receive() {
                    pass(&wires, &places, own, &frame);
                }
            }
        });
    }
}

fn pass(wires: &[Wire], places: &Mutex<HashMap<Address, usize>>, own: usize, frame: &[u8]) {
    let Some((to, rest)) = frame.split_first_chunk() else { return };
    let Some(from) = rest.first_chunk() else { return };
    // A thread that panicked left nothing half done in it.
    let mut places = places.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    places.insert(*from, own);
    let place = places.get(to).copied();
    drop(places);
    let is_for_many = to[0] & 1 == 1;
    for (number, wire) in wires.iter().enumerate() {
        // Whom nobody has heard of is not there.
        if number != own && (is_for_many || place == Some(number)) {
            wire.send(frame);
        }
    }
}

/// QEMU's own network with no machine in it. Dropping it ends it.
pub struct Router(Child);

impl Router {
    /// What starts it: `forwards` are ports of loopback, and the host on the switch that each leads to.
    pub fn arguments(cable: WirePorts, forwards: &[(String, Forward)]) -> Vec<String> {
        let forward = |(to, Forward { host, guest }): &(String, Forward)| {
            format!(",hostfwd=tcp:127.0.0.1:{host}-{to}:{guest}")
        };
        let network = "user,id=own".to_owned() + &forwards.iter().map(forward).collect::<String>();
        let WirePorts { here, there } = cable;
        let cable = format!("socket,id=cable,udp=127.0.0.1:{here},localaddr=127.0.0.1:{there}");
        let words = ["-machine", "none", "-display", "none", "-monitor", "none", "-nodefaults"];
        let mut arguments: Vec<String> = words.map(str::to_owned).to_vec();
        for netdev in
            [&network, &cable, "hubport,id=a,hubid=0,netdev=own", "hubport,id=b,hubid=0,netdev=cable"]
        {
            arguments.extend(["-netdev".to_owned(), netdev.to_owned()]);
        }
        arguments
    }

    /// Starts it.
    pub fn start(arguments: &[String]) -> Result<Router> {
        let mut command = Command::new(QEMU);
        // It warns that there is no machine.
        command.args(arguments).stdin(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().with_context(|| format!("cannot start {QEMU}"))?;
        std::thread::sleep(START);
        if child.try_wait()?.is_some() {
            let mut why = String::new();
            child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut why)).transpose()?;
            bail!("{QEMU} as a router has ended: {}", why.trim());
        }
        Ok(Router(child))
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
