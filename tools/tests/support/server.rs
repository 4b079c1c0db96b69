//! A server as a process, for the tests that talk to one.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A server, and how to reach it. Killed when dropped.
pub struct Server {
    /// The process.
    pub child: Child,
    /// Its address as a dial string.
    pub dial: String,
    /// Where it is shown, as a browser takes it.
    pub http: String,
}

impl Server {
    /// Serves a disk on a free port of the loopback.
    pub fn start(disk: &Path) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_granary"));
        let any = "tcp!127.0.0.1!0";
        command.args(["serve", "--listen", any, "--http", any, "--json", "--disk"]);
        let mut child = command.arg(disk).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        let dial = said["address"].as_str().unwrap().to_owned();
        let http = said["http"].as_str().unwrap().to_owned();
        let server = Server { child, dial, http };
        println!("{} is shown at {}", server.dial, server.http);
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().unwrap_or_default();
        self.child.wait().unwrap();
    }
}
