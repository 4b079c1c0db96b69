//! Lines of the journal as messages of RFC 5424, for a collector that listens for datagrams (RFC 5426).
//!
//! Knows the form of a message. Must not know sockets.

use crate::journal::{Journal, Line};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// The port of collectors.
pub const PORT: u16 = 514;

/// RFC 5424, table 1: system daemons; and what tells who did what.
const DAEMON: u8 = 3;
const AUDIT: u8 = 13;
/// What the text of an audit line begins with, behind its source.
const AUDIT_MARK: &str = "audit: ";

/// Sends every line once: those that were there before it began, too.
#[derive(Debug)]
pub struct Sender {
    host: String,
    position: u64,
}

impl Sender {
    /// For a node of this name.
    pub fn new(host: &str) -> Sender {
        let letters = host.chars().filter(|letter| letter.is_ascii_graphic()).take(255);
        Sender { host: letters.collect(), position: 0 }
    }

    /// Messages for the lines that came since the last call. Lines graver than or as grave as "info": what is below would
    /// tell of its own sending.
    pub fn messages<const N: usize>(&mut self, journal: &Journal<N>) -> Vec<String> {
        let (lost, lines, next) = journal.since(self.position);
        self.position = next;
        let mut messages = Vec::new();
        if lost > 0 {
            let text =
                Line::new(format_args!("{lost} bytes of lines were overwritten before they could be sent"));
            messages.push(self.message(4, DAEMON, "-", "-", text.as_str()));
        }
        let text = String::from_utf8_lossy(&lines);
        messages.extend(text.lines().filter_map(|line| self.of_line(line)));
        messages
    }

    fn of_line(&self, line: &str) -> Option<String> {
        let (at, rest) = line.split_once(' ')?;
        let (level, text) = rest.split_once(' ')?;
        let severity = match level {
            "error" => 3,
            "warn" => 4,
            "info" => 6,
            _ => return None,
        };
        let is_audit = text.split_once(": ").is_some_and(|(_, text)| text.starts_with(AUDIT_MARK));
        match is_audit {
            true => Some(self.message(5, AUDIT, at, "audit", text)),
            false => Some(self.message(severity, DAEMON, at, "-", text)),
        }
    }

    /// `<PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG`.
    fn message(&self, severity: u8, facility: u8, at: &str, id: &str, text: &str) -> String {
        let priority = facility * 8 + severity;
        let host = if self.host.is_empty() { "-" } else { &self.host };
        format!("<{priority}>1 {at} {host} granary - {id} - {text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Stamp;
    use log::Level;

    #[test]
    fn lines_become_messages_once_and_those_for_developers_stay() {
        let mut journal = Journal::<400>::new();
        let push = |journal: &mut Journal<400>, level, text: &str| {
            journal.push(Stamp(1_000_000), level, "kernel::node", &Line::new(format_args!("{text}")));
        };
        push(&mut journal, Level::Info, "up");
        push(&mut journal, Level::Trace, "a frame");
        push(&mut journal, Level::Error, "no disk");
        push(&mut journal, Level::Info, "audit: 10.0.0.1:564: sync");
        push(&mut journal, Level::Info, "it says audit: no");
        let mut sender = Sender::new("barn 1");
        assert_eq!(
            sender.messages(&journal),
            [
                "<30>1 1970-01-01T00:00:01.000Z barn1 granary - - - kernel::node: up",
                "<27>1 1970-01-01T00:00:01.000Z barn1 granary - - - kernel::node: no disk",
                "<109>1 1970-01-01T00:00:01.000Z barn1 granary - audit - kernel::node: audit: 10.0.0.1:564: sync",
                "<30>1 1970-01-01T00:00:01.000Z barn1 granary - - - kernel::node: it says audit: no",
            ]
        );
        assert_eq!(sender.messages(&journal), [""; 0]);
        for number in 0..20 {
            push(&mut journal, Level::Warn, &format!("warning {number}"));
        }
        let messages = sender.messages(&journal);
        assert!(messages[0].contains("bytes of lines were overwritten"), "{}", messages[0]);
        assert!(messages.last().unwrap().ends_with("warning 19"));
    }
}
