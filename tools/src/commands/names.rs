//! `granary names`: a node's names, and new ones.

use crate::host;
use crate::node::{self, Node, NodeArgs, json, line, records};
use crate::outcome::{CodedError, OutputArgs};
use anyhow::anyhow;
use std::process::ExitCode;
use std::time::Duration;
use storage::names::Binding;
use storage::names::ndb::Item;
use storage::score::Score;

/// How often a name that waits is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Arguments of `granary names`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  granary names --host tcp!127.0.0.1!564\n  \
    granary names --host storage --add orchard.1209 vac:3d42832fba92f985fa74dd7038fb6a39e5aa9574 tansy\n\n\
    A new name is shown by the node once every block beneath its root is there. --add waits until the node has\n\
    looked, and ends with code 21 if something is missing; the name then waits for it.")]
pub struct Args {
    #[command(flatten)]
    node: NodeArgs,

    /// Only these names.
    #[arg(value_name = "NAME", conflicts_with = "add")]
    names: Vec<String>,

    /// Give an archive a name: the name, its root score, and who made it.
    #[arg(long, num_args = 2..=3, value_names = ["NAME", "SCORE", "USER"])]
    add: Vec<String>,

    #[command(flatten)]
    output: OutputArgs,
}

/// Runs `granary names`.
///
/// # Errors
/// If the node does not answer, or refuses.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    host::run(async {
        let mut node = args.node.connect().await?;
        if let [name, score, rest @ ..] = args.add.as_slice() {
            let user = rest.first().map_or("", String::as_str);
            return add(&mut node, name, score, user, &args.output).await;
        }
        let names = if args.names.is_empty() {
            node.list("names").await?.into_iter().map(|stat| stat.name).collect()
        } else {
            args.names
        };
        let mut items = Vec::new();
        for name in names {
            items.extend(records(&mut node, &name).await?);
        }
        print(&items, &args.output)?;
        Ok(ExitCode::SUCCESS)
    })
}

fn print(items: &[Item], output: &OutputArgs) -> anyhow::Result<()> {
    let all: Vec<serde_json::Value> = items.iter().map(json).collect();
    let lines: Vec<String> = items.iter().map(line).collect();
    if lines.is_empty() && !output.json {
        return Ok(());
    }
    output.print(&all, lines.join("\n"))
}

async fn add(
    node: &mut Node,
    name: &str,
    score: &str,
    user: &str,
    output: &OutputArgs,
) -> anyhow::Result<ExitCode> {
    let root: Score = score.parse().map_err(|error| CodedError::usage(format!("{score}: {error}")))?;
    Binding::new(name, root, user).map_err(|error| CodedError::usage(error.to_string()))?;
    node.command("ctl", &format!("name {name} vac:{root} {user}")).await?;
    let known = wait(node, name, root, |item| {
        item.value("state") == Some("published") || item.value("faults").is_some()
    })
    .await?;
    print(std::slice::from_ref(&known), output)?;
    match known.value("state") {
        Some("published") => Ok(ExitCode::SUCCESS),
        _ => Err(CodedError::incomplete(format!("{name} waits: not every block beneath it is there")).into()),
    }
}

/// Waits until the node says of a name what is waited for.
pub(super) async fn wait(
    node: &mut Node,
    name: &str,
    root: Score,
    is_done: impl Fn(&Item) -> bool,
) -> anyhow::Result<Item> {
    loop {
        let items = node::records(node, name).await?;
        let of_root = |item: &&Item| item.value("rootscore").and_then(|text| text.parse().ok()) == Some(root);
        let item = items.iter().find(of_root).ok_or_else(|| anyhow!("{name} is gone"))?;
        if is_done(item) {
            return Ok(item.clone());
        }
        tokio::time::sleep(LOOK).await;
    }
}
