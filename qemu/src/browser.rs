//! A real browser without a window, looking at a page of a node. Knows Chromium's options; knows nothing of the page.

use anyhow::{Context, Result, bail, ensure};
use std::path::Path;
use std::process::{Command, Stdio};

/// As Debian's package calls it, and as others do.
const PROGRAMS: [&str; 2] = ["chromium", "chromium-browser"];
/// How long it may take, in seconds, however slow the machine.
const LIMIT_SECONDS: &str = "120";
/// What it writes in front of everything that a page complains of: scripts, styles, and whatever its policy forbids.
const COMPLAINT: &str = ":CONSOLE";

/// What it made of a page.
pub struct Seen {
    /// The page's tree, written out as HTML.
    pub tree: String,
    /// What went to its console.
    pub complaints: Vec<String>,
}

/// Has it load `url` and draw it into a picture. It finds no host but this one. `folder` is for its own files.
pub fn look(url: &str, folder: &Path, picture: &Path) -> Result<Seen> {
    for program in PROGRAMS {
        let output = Command::new("timeout")
            .args([LIMIT_SECONDS, program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-dev-shm-usage",
            ])
            .args(["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--enable-logging=stderr"])
            .arg(format!("--user-data-dir={}", folder.join("browser").display()))
            .args(["--window-size=1200,2000", "--dump-dom"])
            .arg(format!("--screenshot={}", picture.display()))
            .arg(url)
            .stdin(Stdio::null())
            .output()
            .context("cannot start timeout")?;
        if output.status.code() == Some(127) {
            continue;
        }
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} failed ({}): {told}", output.status);
        let complaints = told.lines().filter(|line| line.contains(COMPLAINT)).map(str::to_owned).collect();
        return Ok(Seen { tree: String::from_utf8(output.stdout)?, complaints });
    }
    bail!("no browser: install the package chromium")
}
