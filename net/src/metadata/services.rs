//! Clouds with a metadata service: how firmware names them, and where their settings are.
//!
//! Names are those that cloud-init's `ds-identify` looks for; paths are from the clouds' own manuals. A cloud belongs here if
//! firmware names it, and a plain GET gives user data.

use core::net::Ipv4Addr;
use storage::cloud::smbios::System;

/// A metadata service.
#[derive(Debug, PartialEq, Eq)]
pub struct Service {
    /// The cloud.
    pub name: &'static str,
    /// Where it answers, on port 80.
    pub address: Ipv4Addr,
    /// The path of what the cloud calls this machine.
    pub instance: &'static str,
    /// The path of what its user wrote for it.
    pub user_data: &'static str,
    /// A header that every request must have.
    pub header: Option<(&'static str, &'static str)>,
    /// How a token is had, if there may be need of one.
    pub token: Option<Token>,
}

/// A token: a PUT gives one, every GET shows it (Amazon EC2 User Guide, "Use the Instance Metadata Service", IMDSv2).
#[derive(Debug, PartialEq, Eq)]
pub struct Token {
    /// The path that gives one.
    pub path: &'static str,
    /// The header that says for how many seconds.
    pub lifetime: &'static str,
    /// The header that shows it.
    pub header: &'static str,
}

/// Where most of them answer.
const USUAL: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

const EC2_LIKE: Service = Service {
    name: "",
    address: USUAL,
    instance: "/latest/meta-data/instance-id",
    user_data: "/latest/user-data",
    header: None,
    token: None,
};

static AMAZON: Service = Service {
    name: "Amazon EC2",
    token: Some(Token {
        path: "/latest/api/token",
        lifetime: "X-aws-ec2-metadata-token-ttl-seconds",
        header: "X-aws-ec2-metadata-token",
    }),
    ..EC2_LIKE
};

static ALIBABA: Service = Service {
    name: "Alibaba Cloud",
    address: Ipv4Addr::new(100, 100, 100, 200),
    token: Some(Token {
        path: "/latest/api/token",
        lifetime: "X-aliyun-ecs-metadata-token-ttl-seconds",
        header: "X-aliyun-ecs-metadata-token",
    }),
    ..EC2_LIKE
};

static GOOGLE: Service = Service {
    name: "Google Compute Engine",
    instance: "/computeMetadata/v1/instance/id",
    user_data: "/computeMetadata/v1/instance/attributes/user-data",
    header: Some(("Metadata-Flavor", "Google")),
    ..EC2_LIKE
};

static DIGITAL_OCEAN: Service = Service {
    name: "DigitalOcean",
    instance: "/metadata/v1/id",
    user_data: "/metadata/v1/user-data",
    ..EC2_LIKE
};

static HETZNER: Service = Service {
    name: "Hetzner",
    instance: "/hetzner/v1/metadata/instance-id",
    user_data: "/hetzner/v1/userdata",
    ..EC2_LIKE
};

static VULTR: Service = Service { name: "Vultr", instance: "/v1/instanceid", ..EC2_LIKE };

static EXOSCALE: Service = Service { name: "Exoscale", ..EC2_LIKE };

static OPENSTACK: Service = Service { name: "OpenStack", ..EC2_LIKE };

/// Makers of machines, as firmware names them.
static MANUFACTURERS: [(&str, &Service); 4] =
    [("Amazon EC2", &AMAZON), ("DigitalOcean", &DIGITAL_OCEAN), ("Hetzner", &HETZNER), ("Vultr", &VULTR)];

/// Machines, as firmware names them.
static PRODUCTS: [(&str, &Service); 6] = [
    ("Google Compute Engine", &GOOGLE),
    ("OpenStack Nova", &OPENSTACK),
    ("OpenStack Compute", &OPENSTACK),
    ("Alibaba Cloud ECS", &ALIBABA),
    ("Exoscale", &EXOSCALE),
    ("Exoscale Compute Platform", &EXOSCALE),
];

/// The service of the cloud that a machine is in.
pub fn service(system: &System) -> Option<&'static Service> {
    let by = |table: &'static [(&str, &Service)], name: &str| {
        table.iter().find(|(known, _)| *known == name).map(|(_, service)| *service)
    };
    by(&MANUFACTURERS, &system.manufacturer)
        .or_else(|| by(&PRODUCTS, &system.product))
        .or_else(|| is_older_ec2(system).then_some(&AMAZON))
}

/// Amazon's machines on Xen: UUID and serial number both begin with `ec2`, in either order of the UUID's bytes (EC2 User
/// Guide, "Detect whether a host is an EC2 instance").
fn is_older_ec2(system: &System) -> bool {
    let [a, b, c, d, ..] = system.uuid;
    let begins = |first: u8, second: u8| first == 0xec && second >> 4 == 2;
    let serial = system.serial.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("ec2"));
    system.manufacturer == "Xen" && serial && (begins(a, b) || begins(d, c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(manufacturer: &str, product: &str, serial: &str) -> Option<&'static str> {
        let uuid = core::array::from_fn(|at| [0xec, 0x2d, 0, 0].get(at).copied().unwrap_or(0));
        let [manufacturer, product, serial] = [manufacturer, product, serial].map(Into::into);
        service(&System { manufacturer, product, serial, uuid }).map(|service| service.name)
    }

    #[test]
    fn firmware_names_the_cloud_or_nobody_is_asked() {
        assert_eq!(named("Amazon EC2", "m5.large", ""), Some("Amazon EC2"));
        assert_eq!(named("Xen", "HVM domU", "EC2d0000-1"), Some("Amazon EC2"));
        assert_eq!(named("Google", "Google Compute Engine", ""), Some("Google Compute Engine"));
        assert_eq!(named("OpenStack Foundation", "OpenStack Nova", ""), Some("OpenStack"));
        for (manufacturer, product, serial) in [
            ("QEMU", "Standard PC (Q35 + ICH9, 2009)", ""),
            ("Xen", "HVM domU", "4711"),
            ("QEMU", "HVM domU", "ec2d"),
            ("", "", ""),
            ("Amazon EC2x", "Hetzner", "Amazon EC2"),
        ] {
            assert_eq!(named(manufacturer, product, serial), None, "{manufacturer} {product} {serial}");
        }
    }

    #[test]
    fn every_path_and_header_is_what_a_request_may_hold() {
        let all = MANUFACTURERS.iter().chain(&PRODUCTS).map(|(_, service)| *service);
        for service in all {
            let token = service.token.as_ref().map_or("/", |token| token.path);
            for path in [service.instance, service.user_data, token] {
                assert!(path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()), "{path}");
            }
            assert!(!service.name.is_empty());
        }
    }
}
