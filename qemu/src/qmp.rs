//! QEMU's machine protocol, as far as a power button, a look at the screen and a hand that pulls disks and cables need it.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Sends one command to the QEMU that listens at `socket`, and waits until it is accepted.
pub fn execute(socket: &Path, command: &str, arguments: &Value) -> Result<()> {
    let mut stream = UnixStream::connect(socket).context("cannot reach QEMU's control socket")?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut greeting = String::new();
    lines.read_line(&mut greeting)?;
    for (command, arguments) in [("qmp_capabilities", &json!({})), (command, arguments)] {
        writeln!(stream, "{}", json!({ "execute": command, "arguments": arguments }))?;
        wait_for_return(&mut lines, command)?;
    }
    Ok(())
}

fn wait_for_return(lines: &mut impl BufRead, command: &str) -> Result<()> {
    // Events may stand between a command and its answer.
    for _ in 0..100 {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            break;
        }
        let answer: Value =
            serde_json::from_str(&line).context("QEMU's control socket does not speak JSON")?;
        if answer.get("return").is_some() {
            return Ok(());
        }
        if let Some(error) = answer.get("error") {
            bail!("QEMU refused {command}: {error}");
        }
    }
    bail!("QEMU did not answer {command}")
}
