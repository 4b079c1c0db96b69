//! Settings from where clouds and hypervisors put them: found, understood, and noted as applied.
//!
//! | module | knows | must not know |
//! |---|---|---|
//! | [`fw_cfg`] | QEMU's directory of items, and reading one | ports |
//! | [`smbios`] | what firmware calls the machine | how memory is mapped |
//! | [`iso9660`] | files on a CD image, by their long names | what they are for |
//! | [`volume`] | `cidata` and `config-2` volumes, and their files | what user data says |
//! | [`yaml`] | the part of YAML that is a tree of texts | what the texts mean |
//! | [`user_data`] | user data: `granary.ini`, or cloud-config that writes it | where it came from |
//! | [`applied`] | the file in 9fat that says what was applied last | FAT |
//!
//! Everything here was written by somebody outside: it is bounded in size, depth and count, and what is not understood is
//! refused whole. Only `granary.ini` is ever written from it: keys, names and kernels never.

pub mod applied;
pub mod fw_cfg;
pub mod iso9660;
pub mod smbios;
pub mod user_data;
pub mod volume;
pub mod yaml;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// User data longer than this is refused; Amazon gives 16 KiB, OpenStack 64 KiB.
pub const USER_DATA_LEN_MAX: usize = 128 << 10;

/// Where settings were found, in the order in which they are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An item of QEMU's fw_cfg device.
    FwCfg,
    /// A volume for cloud-init's NoCloud.
    NoCloud,
    /// A volume for OpenStack's ConfigDrive.
    ConfigDrive,
    /// A server that the machine's serial number names, for cloud-init's NoCloud.
    NoCloudNet,
    /// A cloud's metadata service.
    Metadata,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::FwCfg => write!(f, "fw_cfg {}", fw_cfg::ITEM),
            Source::NoCloud => f.write_str("volume cidata"),
            Source::ConfigDrive => f.write_str("volume config-2"),
            Source::NoCloudNet => f.write_str("SMBIOS nocloud-net"),
            Source::Metadata => f.write_str("the metadata service"),
        }
    }
}

/// What a source gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Where it was found.
    pub source: Source,
    /// What the cloud calls this machine, if it says.
    pub instance: Option<String>,
    /// What its user wrote for it.
    pub user_data: Vec<u8>,
}
