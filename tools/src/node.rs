//! A node's tree as its tools see it: a connection, and the names in it.

use crate::dial::Dial;
use crate::host::stream::{self, Reader, Writer};
use anyhow::{Context, anyhow};
use net::p9::PORT;
use net::p9::client::{Client, ClientError};
use storage::names::ndb::{self, Item};
use tokio::net::TcpStream;

/// Bytes of a text file of the node that a tool reads.
pub const TEXT_MAX: usize = 32 << 20;

/// Which node.
#[derive(Debug, clap::Args)]
pub struct NodeArgs {
    /// The node, as tcp!HOST!PORT; port 564 unless given.
    #[arg(long, env = "granary", value_name = "ADDRESS")]
    host: Dial,
}

/// A connection to a node's tree.
pub type Node = Client<Reader, Writer>;

impl NodeArgs {
    /// Connects, and attaches to the whole tree.
    ///
    /// # Errors
    /// If nobody listens there, or does not speak 9P2000, or lets us in.
    pub async fn connect(&self) -> anyhow::Result<Node> {
        let dial = &self.host;
        let opened = TcpStream::connect((dial.host.as_str(), dial.port_or(PORT))).await;
        let stream = opened.with_context(|| format!("connecting to {dial}"))?;
        let (reader, writer) = stream::split(stream).with_context(|| format!("connecting to {dial}"))?;
        Client::attach(reader, writer, "granary", "").await.with_context(|| format!("{dial}"))
    }
}

/// Everything that the node says of one name: a record for each root.
///
/// # Errors
/// If there is no such name.
pub async fn records(node: &mut Node, name: &str) -> anyhow::Result<Vec<Item>> {
    let text = node.read(&format!("names/{name}"), TEXT_MAX).await;
    let text = text.map_err(|error| anyhow!("{name}: {error}"))?;
    Ok(ndb::parse(&text).into_iter().filter(Item::is_record).collect())
}

/// Has the node's machine start again.
///
/// # Errors
/// If it refuses. That the connection ends is what was asked for.
pub async fn restart(node: &mut Node) -> anyhow::Result<()> {
    match node.command("ctl", "restart").await {
        Err(ClientError::Connection) => Ok(()),
        answer => Ok(answer?),
    }
}

/// A record as JSON: its attributes, numbers as numbers.
pub fn json(item: &Item) -> serde_json::Value {
    let pairs = item.tuples.iter().map(|tuple| {
        let value = match tuple.value.parse::<u64>() {
            Ok(number) if !matches!(tuple.attribute.as_str(), "scorename" | "user") => number.into(),
            _ => serde_json::Value::String(tuple.value.clone()),
        };
        (tuple.attribute.clone(), value)
    });
    serde_json::Value::Object(pairs.collect())
}

/// A record for people.
pub fn line(item: &Item) -> String {
    let value = |attribute| item.value(attribute).unwrap_or("");
    let mut line = format!(
        "{:<24} {:<9} {:<12} {}",
        value("scorename"),
        value("state"),
        value("user"),
        value("rootscore")
    );
    if let Some(first) = item.value("first") {
        line += &format!("\n    {} faults, the first: {first}", value("faults"));
    }
    line
}
