//! Settings from the network of a cloud: asked for where firmware says that they are there, and nowhere else; obeyed by
//! starting again once.

use super::{BOOT_LIMIT, Bench, Node};
use crate::http;
use crate::machine::{Firmware, Forward, Network};
use crate::ports;
use crate::seed_server::{File, SeedServer};
use anyhow::{Context, Result, ensure};
use std::path::Path;

const TOKEN: &str = "x-aws-ec2-metadata-token: dgtu==";

/// A machine whose serial number names a folder on a server, started directly and by UEFI; its first text is wrong.
pub fn nocloud_net(bench: &Bench) -> Result<()> {
    let server = SeedServer::start()?;
    let disk = bench.image("300M", &["http=0.0.0.0/0,::/0"])?;
    let (mut node, port) = node(bench, &disk)?;
    let serial = format!("type=1,serial=ds=nocloud-net;s=http://10.0.2.2:{}/x/", server.port);
    node.spec.more = vec!["-smbios".into(), serial];
    server.set(&[file("GET /x/user-data", "sysname=wrong\nsysnome=wrong\n")]);
    let mut machine = node.boot()?;
    let told = "settings from SMBIOS nocloud-net are refused: granary.ini:2: there is no setting";
    machine.wait_for_console(told, BOOT_LIMIT)?;
    node.stop(machine)?;
    asked(&server, &["GET /x/user-data", "GET /x/meta-data"])?;
    server.set(&[
        file("GET /x/user-data", &settings("seeded")),
        file("GET /x/meta-data", "instance-id: i-seed\n"),
    ]);
    node.spec.firmware = Firmware::Uefi;
    starts_again(&node, port, "settings from SMBIOS nocloud-net: granary.ini is written", "seeded")?;
    asked(&server, &["GET /x/user-data", "GET /x/meta-data"])?;
    is_marked(bench, &disk, "instance=i-seed\n")
}

/// A machine that asks nobody, as firmware says nothing; then the same as one of Amazon's, whose service wants a token.
pub fn metadata_service(bench: &Bench) -> Result<()> {
    let server = SeedServer::start()?;
    let with_token = |request, body: &str| File { header: Some(TOKEN), ..file(request, body) };
    server.set(&[
        File {
            header: Some("x-aws-ec2-metadata-token-ttl-seconds: 60"),
            ..file("PUT /latest/api/token", "dgtu==")
        },
        with_token("GET /latest/user-data", &settings("elastic")),
        with_token("GET /latest/meta-data/instance-id", "i-0123456789abcdef0"),
    ]);
    let disk = bench.image("300M", &["http=0.0.0.0/0,::/0"])?;
    let (mut node, port) = node(bench, &disk)?;
    node.spec.network = Network::Cloud { metadata: server.port };
    let machine = node.boot()?;
    node.stop(machine)?;
    asked(&server, &[])?;
    node.spec.more = vec!["-smbios".into(), "type=1,manufacturer=Amazon EC2,product=m5.large".into()];
    starts_again(&node, port, "settings from the metadata service: granary.ini is written", "elastic")?;
    asked(&server, &["PUT /latest/api/token", "GET /latest/user-data", "GET /latest/meta-data/instance-id"])?;
    is_marked(bench, &disk, "instance=i-0123456789abcdef0\n")
}

fn node<'a>(bench: &'a Bench, disk: &Path) -> Result<(Node<'a>, u16)> {
    let mut node = bench.node(disk)?;
    let port = ports::choose(0)?;
    node.spec.forwards.push(Forward { host: port, guest: 8000 });
    node.spec.starts_again = true;
    Ok((node, port))
}

fn file(request: &'static str, body: &str) -> File {
    File { request, header: None, body: body.into() }
}

fn settings(sysname: &str) -> String {
    format!("sysname={sysname}\nventi=0.0.0.0/0,::/0\nhttp=0.0.0.0/0,::/0\n")
}

/// Boots the machine, which says `told`, starts again once, and then calls itself `sysname`.
fn starts_again(node: &Node<'_>, port: u16, told: &str, sysname: &str) -> Result<()> {
    let machine = node.boot()?;
    let console = machine.console();
    ensure!(console.contains(told), "it does not say {told:?}:\n{console}");
    let starts = console.matches("starting again with them").count();
    ensure!(starts == 1, "it starts again {starts} times:\n{console}");
    let page = http::get(port, "/")?.body;
    ensure!(page.contains(&format!("<h1>{sysname}</h1>")), "the node is not called {sysname}:\n{page}");
    node.stop(machine)
}

fn asked(server: &SeedServer, expected: &[&str]) -> Result<()> {
    let asked = server.asked();
    ensure!(asked == expected, "the node asked {asked:?}, not {expected:?}");
    Ok(())
}

fn is_marked(bench: &Bench, disk: &Path, expected: &str) -> Result<()> {
    let disk = disk.to_str().context("not UTF-8")?;
    let mark = bench.programs.granary(&["fat", "get", disk, "cloud.id"], bench.folder.path())?;
    ensure!(mark == expected, "cloud.id has {mark:?}");
    Ok(())
}
