//! Settings as people write them, right and wrong.

use super::*;
use core::net::Ipv4Addr;
use proptest::prelude::*;

fn parse(text: &str) -> Settings {
    Settings::parse(FILE, text.as_bytes()).unwrap()
}

fn errors(text: &str) -> Vec<String> {
    Settings::parse(FILE, text.as_bytes()).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn an_empty_file_gives_the_defaults() {
    assert_eq!(parse(""), Settings::default());
    assert_eq!(parse("# nothing\n\n   # here\r\n"), Settings::default());
}

#[test]
fn what_other_systems_wrote_holds_where_the_file_is_silent() {
    let plan9 = Plan9Ini::parse(b"sysname=byre\nauth=10.0.0.1\nnvram=#S/sdE0/nvram\n");
    let venti = VentiConfig { mem: Some(8 << 20), icmem: Some(1), ..VentiConfig::default() };
    let read = |text: &str| {
        let mut settings = Settings::default();
        settings.take_plan9(&plan9);
        assert_eq!(settings.apply_file(FILE, text.as_bytes()), []);
        settings.take_venti(&venti);
        settings
    };
    let silent = read("");
    assert_eq!((&*silent.sysname, silent.auth.as_deref()), ("byre", Some("10.0.0.1")));
    assert_eq!(silent.nvram.as_deref(), Some("#S/sdE0/nvram"));
    assert_eq!((silent.cache, silent.index), (Some(8 << 20), Some(1 << 20)));
    let own = read("sysname=barn\nauth=10.0.0.2\nnvram=keys\ncache=64m\nindex=32m\n");
    assert_eq!(
        (&*own.sysname, own.auth.as_deref(), own.nvram.as_deref()),
        ("barn", Some("10.0.0.2"), Some("keys"))
    );
    assert_eq!((own.cache, own.index), (Some(64 << 20), Some(32 << 20)));
}

/// What the next test's text says of them.
fn four_networks() -> [NetworkSettings; NETWORKS_MAX] {
    [
        NetworkSettings {
            card: Some(Card::Address([0x52, 0x54, 0, 0x12, 0x34, 0x56])),
            ip: Ip4::Static { address: Ipv4Addr::new(10, 0, 2, 15), prefix: 24 },
            gateway: Some(Ipv4Addr::new(10, 0, 2, 2)),
            ip6: Ip6::Static { address: "fd00::7".parse().unwrap(), prefix: 64 },
            gateway6: Some("fe80::1".parse().unwrap()),
            mtu: Some(1450),
            routes: ["10.8.0.0/16 10.0.2.8".parse().unwrap()].to_vec(),
        },
        NetworkSettings {
            card: Some(Card::Pci { bus: 0, device: 3, function: 0 }),
            ip: Ip4::Static { address: Ipv4Addr::new(10, 1, 0, 7), prefix: 16 },
            ip6: Ip6::None,
            mtu: Some(1400),
            routes: ["10.9.0.0/16 10.1.0.8", "10.10.0.0/16 10.1.0.8"]
                .map(|route| route.parse().unwrap())
                .to_vec(),
            ..NetworkSettings::default()
        },
        NetworkSettings::default(),
        NetworkSettings {
            ip: Ip4::None,
            gateway6: Some("fe80::2".parse().unwrap()),
            ..NetworkSettings::default()
        },
    ]
}

#[test]
fn every_key_is_read() {
    let settings = parse(
        "sysname=barn\nip=10.0.2.15/24\ngateway = 10.0.2.2 # the router\r\nip6=fd00::7/64\ngateway6=fe80::1\nmtu=1450\n\
         card=52:54:00:12:34:56\nroute=10.8.0.0/16 10.0.2.8\ncard.2=00:03.0\nip.2=10.1.0.7/16\nip6.2=none\n\
         mtu.2=1400\nroute.2=10.9.0.0/16 10.1.0.8, 10.10.0.0/16 10.1.0.8\nip.4=none\ngateway6.4=fe80::2\n\
         venti=10.0.2.0/24, 127.0.0.1\npanic=halt\nlog=debug\ncompress=no\ngrow=yes\ncache=64m\nindex=32m\ndirty=8m\nconnections=9\n\
         status=5\nscrub=7d\nhttp=fd00::/64\np9=10.0.0.0/8\nnames=10.1.0.0/16\nadmin=10.1.1.1\nusers=ada admin\n\
         syslog=10.0.0.9\naccount=venti  lab.example kept  safe\n\
         p9sk1=yes\ndns=10.0.0.1,fd00::1\nntp=10.0.0.1, [fd00::1]:1123\nauth=tcp!auth.lan\nnvram=disk1/nvram\n\
         upgradekey=MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmT+M1XoaauELt7Qw8xOVHpa8zp2dWTaFgtwA9Ld4w==",
    );
    let expected = Settings {
        sysname: "barn".to_string(),
        networks: four_networks(),
        venti: ["10.0.2.0/24", "127.0.0.1/32"].map(|network| network.parse().unwrap()).to_vec(),
        http: ["fd00::/64".parse().unwrap()].to_vec(),
        p9: ["10.0.0.0/8".parse().unwrap()].to_vec(),
        names: ["10.1.0.0/16".parse().unwrap()].to_vec(),
        admin: ["10.1.1.1".parse().unwrap()].to_vec(),
        users: "ada admin".parse().unwrap(),
        account: Some(GivenAccount {
            user: "venti".to_string(),
            domain: "lab.example".to_string(),
            password: "kept  safe".to_string().into(),
        }),
        p9sk1: true,
        auth: Some("tcp!auth.lan".to_string()),
        nvram: Some("disk1/nvram".to_string()),
        upgrade_key: Some(
            "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmT+M1XoaauELt7Qw8xOVHpa8zp2dWTaFgtwA9Ld4w==".to_string(),
        ),
        panic: OnPanic::Halt,
        log: LevelFilter::Debug,
        compress: false,
        grow: Grow::Arenas,
        cache: Some(64 << 20),
        index: Some(32 << 20),
        dirty: Some(8 << 20),
        connections: 9,
        status: 5,
        scrub: Scrub::Days(7),
        syslog: Some(Server("10.0.0.9:514".parse().unwrap())),
        dns: ["10.0.0.1", "fd00::1"].map(|server| server.parse().unwrap()).to_vec(),
        ntp: ["10.0.0.1:123", "[fd00::1]:1123"].map(|server| Server(server.parse().unwrap())).to_vec(),
    };
    assert_eq!(settings, expected);
}

#[test]
fn the_table_tells_the_true_defaults() {
    for key in KEYS.iter().filter(|key| !key.default.contains(' ')) {
        assert_eq!(parse(&std::format!("{}={}", key.name, key.default)), Settings::default(), "{}", key.name);
    }
}

#[test]
fn what_is_wrong_is_named_with_its_file_and_line() {
    assert_eq!(
        errors(
            "sysname=a\nsysnam=b\nsysname=c\nip\n\nlog=loud\nconnections=0\ncache=1k\nmtu=576\nip.2=here\nip.2=none"
        ),
        [
            "granary.ini:2: there is no setting \"sysnam\"",
            "granary.ini:3: sysname was already set on line 1",
            "granary.ini:4: \"ip\" is not of the form key=value",
            "granary.ini:6: log=loud: expected error, warn, info, debug or trace",
            "granary.ini:7: connections=0: expected a number from 1 to 4096",
            "granary.ini:8: cache=1k: expected at least 1m",
            "granary.ini:9: mtu=576: expected a number of bytes from 1280 to 9216",
            "granary.ini:10: ip.2=here: expected dhcp, none, or an address with its prefix such as 192.168.1.7/24",
            "granary.ini:11: ip.2 was already set on line 10",
        ]
    );
}

#[test]
fn a_password_is_not_told() {
    let long = "u".repeat(28);
    for account in ["venti kept-safe", "venti lab ", &std::format!("{long} lab kept-safe")] {
        let refused = &errors(&std::format!("account={account}"))[0];
        assert!(refused.starts_with("granary.ini:1: account=…: expected a user"), "{refused}");
    }
    let settings = parse("account=venti lab kept-safe");
    assert!(!std::format!("{settings:?}").contains("kept-safe"));
}

#[test]
fn keys_whose_values_differ_are_told() {
    let changed = |before: &str, after: &str| -> Vec<&str> {
        Settings::changed(before.as_bytes(), after.as_bytes()).iter().map(|key| key.name).collect()
    };
    assert_eq!(changed("log=info # now\nip=none", "ip = none\nlog=info\n"), [""; 0]);
    assert_eq!(changed("log=info\nip=none", "log=warn\ncache=4m"), ["ip", "log", "cache"]);
    assert_eq!(changed("ip=none\nip.2=none", "ip=none\nip.2=dhcp"), ["ip.2"]);
    assert!(key("ip.1").is_none() && key("ip.5").is_none() && key("log.2").is_none());
    assert!(key("log").unwrap().at_once && !key("cache").unwrap().at_once);
}

#[test]
fn good_lines_count_beside_bad_ones() {
    let mut settings = Settings::default();
    assert_eq!(settings.apply_file(FILE, b"bad\nlog=warn\nventi=all\n").len(), 2);
    assert_eq!(settings, Settings { log: LevelFilter::Warn, ..Settings::default() });
}

#[test]
fn the_command_line_overrides_and_leaves_the_rest_to_others() {
    let mut settings = parse("log=warn\nip=none");
    let line = "quiet log=trace virtio_mmio.device=512@0xfeb00e00:12 ip=dhcp ip=nowhere";
    let (others, errors) = settings.apply_command_line(line);
    assert_eq!(others, ["quiet", "virtio_mmio.device=512@0xfeb00e00:12"]);
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let expected = "command line:5: ip=nowhere: expected dhcp, none, or an address with its prefix such as 192.168.1.7/24";
    assert_eq!(errors, [expected]);
    assert_eq!(settings, Settings { log: LevelFilter::Trace, ..Settings::default() });
}

#[test]
fn what_is_not_text_is_refused() {
    assert_eq!(Settings::parse(FILE, b"\xff\xfe").unwrap_err()[0].problem, SettingProblem::NotText);
    assert_eq!(
        Settings::parse(FILE, &[b' '; FILE_LEN_MAX + 1]).unwrap_err()[0].problem,
        SettingProblem::NotText
    );
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "([a-z0-9]{0,8}=?[\\PC]{0,12}\n?){0,12}") {
        let _ = Settings::parse(FILE, text.as_bytes());
        let _ = Settings::default().apply_command_line(&text);
    }
}
