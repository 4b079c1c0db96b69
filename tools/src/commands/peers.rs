//! `granary peers`: how far a node's peers are.

use crate::host;
use crate::node::{Node, NodeArgs, TEXT_MAX};
use crate::outcome::OutputArgs;
use anyhow::{Context, anyhow};
use std::process::ExitCode;

/// Arguments of `granary peers`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  granary peers --host storage\n  granary peers --host storage east --json\n\n\
    A peer is added by `granary ctl peer NAME VENTI [NAMES]`, and taken away by `granary ctl unpeer NAME`."
)]
pub struct Args {
    #[command(flatten)]
    node: NodeArgs,

    /// The peer; all of them, a line each, unless given.
    name: Option<String>,

    #[command(flatten)]
    output: OutputArgs,
}

/// Runs `granary peers`.
///
/// # Errors
/// If the node does not answer, or there is no such peer.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    host::run(async {
        let mut node = args.node.connect().await?;
        if let Some(name) = &args.name {
            let text = read(&mut node, name).await?;
            args.output.print(&json(name, &text), text.trim_end())?;
            return Ok(ExitCode::SUCCESS);
        }
        let listed = node.list("peers").await.context("the list of peers")?;
        let (mut objects, mut lines) = (Vec::new(), Vec::new());
        for stat in listed {
            let text = read(&mut node, &stat.name).await?;
            lines.push(line(&stat.name, &text));
            objects.push(json(&stat.name, &text));
        }
        args.output.print(&serde_json::Value::Array(objects), lines.join("\n"))?;
        Ok(ExitCode::SUCCESS)
    })
}

async fn read(node: &mut Node, name: &str) -> anyhow::Result<String> {
    let text = node.read(&format!("peers/{name}"), TEXT_MAX).await;
    let text = text.map_err(|error| anyhow!("peer {name}: {error}"))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn value<'a>(text: &'a str, key: &str) -> &'a str {
    let pair = text.lines().filter_map(|line| line.split_once(' ')).find(|(found, _)| *found == key);
    pair.map_or("", |(_, value)| value)
}

/// For people: who, what it does, what it lacks, what went wrong.
fn line(name: &str, text: &str) -> String {
    let value = |key| value(text, key);
    let mut line = format!(
        "{name:<16} {:<5} {:<24} lacks {} bytes, for {} s; sent {} blocks",
        value("way"),
        value("state"),
        value("lag-bytes"),
        value("lag-seconds"),
        value("sent-blocks"),
    );
    if !value("last-error").is_empty() {
        line += &format!("\n    {}", value("last-error"));
    }
    line
}

/// Figures as numbers; cursors by arena; how many holes there are is a figure.
fn json(name: &str, text: &str) -> serde_json::Value {
    let mut object = serde_json::Map::new();
    let mut cursors = serde_json::Map::new();
    object.insert("name".into(), name.into());
    for (key, value) in text.lines().filter_map(|line| line.split_once(' ')) {
        match (key, value.split_once(' ')) {
            ("cursor", Some((arena, offset))) => drop(cursors.insert(arena.into(), offset.into())),
            ("hole", _) => {}
            _ => {
                let number = value.parse::<u64>().map(serde_json::Value::from);
                object.insert(key.into(), number.unwrap_or_else(|_| value.into()));
            }
        }
    }
    object.insert("cursors".into(), cursors.into());
    object.into()
}

#[cfg(test)]
mod tests {
    use super::{json, line};

    const TEXT: &str = "state trying again in 3 s\nventi tcp!10.0.0.2!17034\nlag-bytes 512\nlag-seconds 7\n\
        sent-blocks 9\nholes 1\ncursor arenas0 0x52\nhole arenas0 0x20\nlast-error venti: no space left\n";

    #[test]
    fn a_peer_is_a_line_and_what_went_wrong() {
        let shown = line("east", TEXT);
        assert!(shown.contains("trying again in 3 s"), "{shown}");
        assert!(
            shown.ends_with("lacks 512 bytes, for 7 s; sent 9 blocks\n    venti: no space left"),
            "{shown}"
        );
    }

    #[test]
    fn figures_are_numbers_and_cursors_go_by_arena() {
        let object = json("east", TEXT);
        assert_eq!((&object["lag-bytes"], &object["holes"]), (&512.into(), &1.into()));
        assert_eq!((&object["cursors"]["arenas0"], &object["name"]), (&"0x52".into(), &"east".into()));
    }
}
