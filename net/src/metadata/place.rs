//! From firmware's word on the machine to the place where its settings are.
//!
//! Knows NoCloud's words in a serial number (cloud-init, "NoCloud": `ds=nocloud;s=URL;i=INSTANCE`, also `ds=nocloud-net`), and
//! that they come before a cloud's own service. Must not know how a place is asked.

use super::services::{Service, service};
use super::url::{BadUrl, Url};
use alloc::string::{String, ToString};
use core::fmt;
use storage::cloud::Source;
use storage::cloud::applied::INSTANCE_LEN_MAX;
use storage::cloud::smbios::System;

/// Where a machine's settings are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A folder that the serial number names.
    Seed {
        /// The folder.
        url: Url,
        /// What the machine is called, if the serial number says that too.
        instance: Option<String>,
    },
    /// A cloud's own service.
    Service(&'static Service),
}

/// The serial number names a folder that cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the URL behind s= in the serial number: {0}")]
pub struct BadSeed(#[from] BadUrl);

/// Where the settings of a machine are; `None` where firmware says nothing of it.
///
/// # Errors
/// See [`BadSeed`].
pub fn place(system: &System) -> Result<Option<Place>, BadSeed> {
    match seed(&system.serial)? {
        Some(seed) => Ok(Some(seed)),
        None => Ok(service(system).map(Place::Service)),
    }
}

/// The word of NoCloud among others in a serial number. Without `s=` it means a volume, which is looked for anyway.
fn seed(serial: &str) -> Result<Option<Place>, BadSeed> {
    let words = serial.split_whitespace().find_map(|word| {
        let words = word.strip_prefix("ds=nocloud")?;
        let words = words.strip_prefix("-net").unwrap_or(words);
        words.strip_prefix(';')
    });
    let value = |short: &str, long: &str| {
        let mut pairs =
            words.into_iter().flat_map(|words| words.split(';')).filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == short || *key == long).map(|(_, value)| value)
    };
    let Some(url) = value("s", "seedfrom") else { return Ok(None) };
    // A longer name is none: it would not be noted, and the server be asked at every start.
    let instance = value("i", "instance-id")
        .filter(|instance| (1..=INSTANCE_LEN_MAX).contains(&instance.len()))
        .map(ToString::to_string);
    Ok(Some(Place::Seed { url: url.parse()?, instance }))
}

impl Place {
    /// What settings from here are called.
    pub fn source(&self) -> Source {
        match self {
            Place::Seed { .. } => Source::NoCloudNet,
            Place::Service(_) => Source::Metadata,
        }
    }

    /// Whether a node that noted `mark` ([`storage::cloud::applied`]) has no need to ask: it has had settings from outside, and
    /// the serial number does not say that the machine is another one now.
    pub fn is_settled(&self, mark: &[u8]) -> bool {
        match self {
            Place::Seed { instance: Some(instance), .. } => {
                mark.strip_prefix(b"instance=").is_some_and(|known| known.trim_ascii() == instance.as_bytes())
            }
            _ => true,
        }
    }

    /// Who is asked: a name or an address, and the port.
    pub fn server(&self) -> (String, u16) {
        match self {
            Place::Seed { url, .. } => (url.host.clone(), url.port),
            Place::Service(service) => (service.address.to_string(), 80),
        }
    }

    /// What the header `Host` says.
    pub fn authority(&self) -> String {
        match self {
            Place::Seed { url, .. } => url.authority(),
            Place::Service(service) => service.address.to_string(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Seed { url, .. } => write!(f, "{}, {url}", self.source()),
            Place::Service(service) => write!(f, "{} of {}", self.source(), service.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    fn of(serial: &str) -> Result<Option<Place>, BadSeed> {
        place(&System { serial: serial.into(), manufacturer: "Amazon EC2".into(), ..System::default() })
    }

    fn seeded(url: &str, instance: Option<&str>) -> Place {
        Place::Seed { url: url.parse().unwrap(), instance: instance.map(Into::into) }
    }

    #[test]
    fn a_serial_number_names_a_folder_before_the_cloud_is_asked() {
        for serial in
            ["ds=nocloud;s=http://10.0.0.1:8000/x/", "ds=nocloud-net;h=barn;seedfrom=http://10.0.0.1:8000/x;"]
        {
            assert_eq!(of(serial), Ok(Some(seeded("http://10.0.0.1:8000/x/", None))), "{serial}");
        }
        let named = of("ABC ds=nocloud;i=i-7;s=http://seeds.lan/ x").unwrap().unwrap();
        assert_eq!(named, seeded("http://seeds.lan/", Some("i-7")));
        let long = format!("ds=nocloud;i={};s=http://seeds.lan/", "x".repeat(257));
        assert_eq!(of(&long), Ok(Some(seeded("http://seeds.lan/", None))));
        for serial in
            ["", "ec2", "ds=nocloud", "ds=nocloudx;s=http://h/", "ds=ec2;s=http://h/", "ds=nocloud;i=5"]
        {
            assert!(matches!(of(serial), Ok(Some(Place::Service(_)))), "{serial}");
        }
        assert_eq!(of("ds=nocloud;s=https://h/"), Err(BadSeed(BadUrl::Scheme)));
        assert_eq!(place(&System::default()), Ok(None));
    }

    #[test]
    fn a_node_that_was_configured_asks_again_only_if_the_machine_has_another_name() {
        let (nameless, named) = (seeded("http://h/", None), seeded("http://h/", Some("i-7")));
        for mark in ["sha1=00\n", "instance=i-7\n", ""] {
            assert!(nameless.is_settled(mark.as_bytes()));
            assert_eq!(named.is_settled(mark.as_bytes()), mark.contains("i-7"), "{mark}");
        }
    }
}
