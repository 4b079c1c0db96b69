//! The network cards that a machine may have. Knows QEMU's names for them.

use crate::machine::QEMU;
use std::process::{Command, Stdio};

/// The network card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Nic {
    /// virtio-net.
    Virtio,
    /// Intel 82574.
    E1000e,
    /// Intel 82540EM.
    E1000,
    /// Intel 82576; QEMU has it since 8.0.
    Igb,
}

impl Nic {
    /// What QEMU calls it, on a machine with PCI or without.
    pub fn device(self, has_pci: bool) -> &'static str {
        match self {
            Nic::Virtio if has_pci => "virtio-net-pci",
            Nic::Virtio => "virtio-net-device",
            Nic::E1000e => "e1000e",
            Nic::E1000 => "e1000",
            Nic::Igb => "igb",
        }
    }

    /// Whether the installed QEMU has it.
    pub fn is_known(self) -> bool {
        let known = |device: &str| {
            let help = Command::new(QEMU).args(["-device", "help"]).stdin(Stdio::null()).output();
            help.is_ok_and(|help| {
                String::from_utf8_lossy(&help.stdout).contains(&format!("name \"{device}\""))
            })
        };
        self != Nic::Igb || known("igb")
    }
}
