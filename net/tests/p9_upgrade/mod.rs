//! Another kernel for the machine beneath a tree: who may send one, and what is refused.

use crate::p9_support::{ALL, Node};
use crate::refused;
use crate::venti_support::run;
use net::p9::client::ClientError;
use net::signature::{PublicKey, hex, sign};
use net::tls13::Identity;
use net::tree::Rights;
use storage::slots::{Image, Slot};

#[derive(Clone)]
struct Repeated(u8);

impl net::rng::Rng for Repeated {
    fn fill(&self, target: &mut [u8]) {
        target.fill(self.0);
    }
}

fn command(kernel: &[u8]) -> String {
    format!("upgrade b sha256={}", hex(&Image::of(kernel).unwrap().sha256))
}

fn reason(result: Result<(), ClientError>) -> String {
    match result {
        Err(ClientError::Refused(reason)) => reason,
        other => panic!("it was not refused: {other:?}"),
    }
}

#[test]
fn a_whole_kernel_is_started_next_and_anything_else_is_refused() {
    run(async {
        let node = Node::new().await;
        let mut client = node.client(ALL).await;
        node.fat.replace("granary.a", b"kernel 1", node.now()).await.unwrap();
        client.create("9fat", "granary.b", b"kernel 2").await.unwrap();
        let ask = command(b"kernel 2");
        assert!(reason(client.command("ctl", &ask).await).contains("does not serve"));
        node.upgrades().slots.served(node.now()).await.unwrap();
        // Cut off, and no kernel at all.
        client.write("9fat/granary.b", b"kernel").await.unwrap();
        assert!(reason(client.command("ctl", &ask).await).contains("send it again"));
        client.write("9fat/granary.b", b"a letter").await.unwrap();
        assert!(reason(client.command("ctl", &command(b"a letter")).await).contains("it is a letter"));
        let of_a = ask.replace("upgrade b", "upgrade a");
        assert!(reason(client.command("ctl", &of_a).await).contains("slot a holds the kernel that runs"));
        let slots = async || node.upgrades().slots.record().await.unwrap().unwrap();
        assert_eq!((slots().await.next, slots().await.good), (Slot::A, Some(Slot::A)));
        client.write("9fat/granary.b", b"kernel 2").await.unwrap();
        client.command("ctl", &ask).await.unwrap();
        assert_eq!(slots().await.next, Slot::B);
        let status = String::from_utf8(client.read("status", 9999).await.unwrap()).unwrap();
        assert!(
            status.contains("kernel-runs a\nkernel-next b\nkernel-served a\nkernel-upgrade b\n"),
            "{status}"
        );
        client.command("ctl", "rollback").await.unwrap();
        assert_eq!(slots().await.next, Slot::A);
        assert_eq!(node.restarts.get(), 0);
        client.command("ctl", "restart").await.unwrap();
        assert_eq!(node.restarts.get(), 1);
    });
}

#[test]
fn the_kernel_that_runs_and_the_record_are_not_written_and_nobody_else_gives_these_commands() {
    run(async {
        let node = Node::new().await;
        node.fat.replace("granary.a", b"kernel 1", node.now()).await.unwrap();
        node.upgrades().slots.served(node.now()).await.unwrap();
        let mut client = node.client(ALL).await;
        assert!(reason(client.write("9fat/granary.a", b"x").await).contains("holds the kernel that runs"));
        assert!(client.remove("9fat/GRANARY.A").await.is_err());
        assert_eq!(client.create("9fat", "granary.slots", b"x").await, Err(refused("permission denied")));
        let mut client = node.client(Rights { admin: false, ..ALL }).await;
        for ask in [&command(b"kernel 2"), "rollback", "restart"] {
            assert_eq!(client.command("ctl", ask).await, Err(refused("permission denied")), "{ask}");
        }
        assert_eq!(node.restarts.get(), 0);
    });
}

#[test]
fn where_a_key_is_set_only_what_it_has_signed_is_started_and_the_key_stays() {
    run(async {
        let node = Node::new().await;
        let identity = Identity::generate(&Repeated(7), "signer").unwrap();
        let other = Identity::generate(&Repeated(8), "other").unwrap();
        node.upgrades().slots.served(node.now()).await.unwrap();
        let mut client = node.client(ALL).await;
        client.create("9fat", "granary.b", b"kernel 2").await.unwrap();
        let signed = |by: &Identity, what: &[u8]| {
            format!("{} signature={}", command(b"kernel 2"), hex(&sign(by, what)))
        };
        *node.upgrade_key.borrow_mut() = Some("x".repeat(70));
        let ask = signed(&identity, b"kernel 2");
        assert!(
            reason(client.command("ctl", &ask).await)
                .contains("upgradekey= of granary.ini: it is no public key")
        );
        let key = PublicKey::of(&identity).to_string();
        *node.upgrade_key.borrow_mut() = Some(key.clone());
        assert!(reason(client.command("ctl", &command(b"kernel 2")).await).contains("it is not signed"));
        for ask in [signed(&other, b"kernel 2"), signed(&identity, b"kernel 3")] {
            assert!(reason(client.command("ctl", &ask).await).contains("its signature is not by"));
        }
        client.command("ctl", &ask).await.unwrap();
        // Set once, it is not changed from here.
        client.command("ctl", &format!("set upgradekey={key}")).await.unwrap();
        client.command("ctl", "set log=warn").await.unwrap();
        for ask in [format!("set upgradekey={}", PublicKey::of(&other)), "unset upgradekey".into()] {
            assert!(reason(client.command("ctl", &ask).await).contains("on the disk itself"), "{ask}");
        }
        assert!(client.write("9fat/granary.ini", b"log=info\n").await.is_err());
        assert!(client.remove("9fat/granary.ini").await.is_err());
    });
}
