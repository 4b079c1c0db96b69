//! `./qemu/run` as a person uses it: started, read, interrupted; and asked for what it does not have.

use super::{BOOT_LIMIT, Bench};
use crate::run::STOP_LIMIT;
use crate::serial::Serial;
use anyhow::{Result, bail, ensure};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Starts the command in a group of its own, as a shell does, with what it prints.
fn start(bench: &Bench, arguments: &[&str]) -> Result<(Running, Serial)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--root").arg(&bench.programs.root).arg("run").args(arguments).process_group(0);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let output = Serial::capture(child.stdout.take(), child.stderr.take());
    Ok((Running(child), output))
}

/// The command; interrupted when it is dropped, so that it takes its QEMU with it.
struct Running(Child);

impl Running {
    /// What Ctrl-C does: a signal to all that run in front.
    fn interrupt(&self) -> Result<()> {
        let status = Command::new("sh").args(["-c", &format!("kill -INT -{}", self.0.id())]).status()?;
        ensure!(status.success(), "cannot send an interrupt");
        Ok(())
    }

    /// Whether it exits with 0.
    fn ends_well(&mut self, output: &Serial, limit: Duration) -> Result<bool> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status.success());
            }
            ensure!(Instant::now() < deadline, "still running:\n{}", output.text());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.interrupt();
            let _ = self.0.wait();
        }
    }
}

/// Boots, checks itself, says that it is ready; Ctrl-C stops the node cleanly and the command succeeds.
pub fn interrupted(bench: &Bench) -> Result<()> {
    let disk = bench.path("run.img");
    let disk = disk.to_str().unwrap_or_default();
    let (mut run, output) = start(bench, &["--disk", disk, "--size", "1G", "--mem", "128M"])?;
    let deadline = Instant::now() + 2 * BOOT_LIMIT;
    while !output.text().contains("granary: ready\n") {
        if run.0.try_wait()?.is_some() || Instant::now() > deadline {
            bail!("never ready:\n{}", output.text());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    run.interrupt()?;
    ensure!(run.ends_well(&output, STOP_LIMIT)?, "failed:\n{}", output.text());
    let text = output.text();
    for part in
        ["from QEMU's start to the first Rhello", "self-check", "everything is on disk", "clean shutdown"]
    {
        ensure!(text.contains(part), "no {part:?} in:\n{text}");
    }
    Ok(())
}

/// `--nodes`: what is named on the first shows on the second, and is restored from there.
pub fn two_nodes(bench: &Bench) -> Result<()> {
    let disk = bench.path("run.img");
    let disk = disk.to_str().unwrap_or_default();
    let (mut run, output) =
        start(bench, &["--disk", disk, "--size", "1G", "--mem", "128M", "--nodes", "2", "--once"])?;
    ensure!(run.ends_well(&output, 2 * BOOT_LIMIT)?, "failed:\n{}", output.text());
    let text = output.text();
    for part in ["node2 shows check.", "node1 is off", "self-check: restored from node2", "granary: ready"] {
        ensure!(text.contains(part), "no {part:?} in:\n{text}");
    }
    Ok(())
}

/// What the contract names and this version does not have is refused at once, in words, and nothing is made.
pub fn refused(bench: &Bench) -> Result<()> {
    let disk = bench.path("never.img");
    let path = disk.to_str().unwrap_or_default();
    let refusals: [(&[&str], &str); 3] = [
        (&["--nodes", "99"], "at most 16"),
        (&["--set", "sysnome=x"], "there is no setting"),
        (&["--size", "lots"], "expected a number of bytes"),
    ];
    for (arguments, words) in refusals {
        let (mut run, output) = start(bench, &[&["--disk", path], arguments].concat())?;
        ensure!(!run.ends_well(&output, Duration::from_secs(60))?, "{arguments:?} was not refused");
        // The output is read by a thread of its own.
        let deadline = Instant::now() + Duration::from_secs(10);
        while !output.text().contains(words) {
            ensure!(Instant::now() < deadline, "{arguments:?}: no {words:?} in {:?}", output.text());
            std::thread::sleep(Duration::from_millis(20));
        }
        ensure!(!disk.exists(), "{arguments:?} was refused, but a disk was made");
    }
    Ok(())
}
