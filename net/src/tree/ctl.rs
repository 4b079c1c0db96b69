//! The commands of `ctl`: a line each. Bytes → what to do; does nothing itself.

use super::upgrade::NewKernel;
use crate::dial::Dial;
use crate::p9::Error;
use crate::replicate::info::Info;
use alloc::string::String;
use alloc::vec::Vec;
use storage::names::Binding;
use storage::score::Score;
use storage::settings;

/// What `ctl` says when it is read.
pub(super) const HELP: &str = "\
name NAME vac:SCORE [USER]   give an archive a name; it is shown once every block beneath it is here
remove NAME vac:SCORE        take a name away, for good
prove NAME                   read and hash everything beneath a name again; names/NAME tells the result
set KEY=VALUE                change a line of granary.ini; obeyed at once, or status says that it waits
unset KEY                    take a line of granary.ini away
peer NAME VENTI [NAMES] [KEY=VALUE...]
                             replicate to the venti at this address, and exchange names with the 9P server at that one;
                             keys: way (clear, auth, tls), pin, server, auth, rate, hours
unpeer NAME                  do so no longer
sync                         make everything durable
upgrade SLOT sha256=SUM [signature=HEX]
                             start the kernel in 9fat/granary.SLOT (a or b) next time, if its file has this SHA-256
rollback                     start the other kernel next time
restart                      stop cleanly, and start again
";

/// Bytes in a command.
pub(super) const LINE_MAX: usize = 1024;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Name(Binding),
    Remove(String, Score),
    Prove(String),
    /// A setting: its value, or `None` to take its line away.
    Set(&'static str, Option<String>),
    /// The name of a peer, and the lines that its file begins with.
    Peer(String, String),
    Unpeer(String),
    Sync,
    Upgrade(NewKernel),
    Rollback,
    Restart,
}

impl Command {
    /// Reads a line.
    pub(super) fn parse(line: &[u8]) -> Result<Command, Error> {
        let line = core::str::from_utf8(line).map_err(|_| Error::new("a command is text"))?;
        let mut words = line.split_ascii_whitespace();
        let command = words.next().unwrap_or_default();
        let mut word = |what: &str| {
            let missing =
                || Error::new(alloc::format!("{command}: {what} is missing; read ctl for its form"));
            words.next().ok_or_else(missing)
        };
        let parsed = match command {
            "name" => {
                let (name, root) = (word("the name")?, score(word("the score")?)?);
                let user = word("the user").unwrap_or_default();
                Command::Name(Binding::new(name, root, user).map_err(Error::new)?)
            }
            "remove" => Command::Remove(word("the name")?.into(), score(word("the score")?)?),
            "prove" => Command::Prove(word("the name")?.into()),
            "set" => {
                let text = line.split_once("set").map_or("", |(_, text)| text).trim();
                let (name, value) =
                    text.split_once('=').ok_or(Error::new("set: the form is set KEY=VALUE"))?;
                return Ok(Command::Set(setting(name.trim())?, Some(value.trim().into())));
            }
            "unset" => Command::Set(setting(word("the key")?)?, None),
            "peer" => {
                let (name, venti) = (peer_name(word("the name")?)?, dial(word("the address of its venti")?)?);
                return Ok(Command::Peer(name, peer_file(&venti, words)?));
            }
            "unpeer" => Command::Unpeer(peer_name(word("the name")?)?),
            "sync" => Command::Sync,
            "upgrade" => {
                let slot = word("the slot")?.parse().map_err(Error::new)?;
                let sha256 = word("sha256=")?.strip_prefix("sha256=").and_then(digits);
                let sha256 = sha256.and_then(|sum| sum.try_into().ok());
                let sha256 = sha256.ok_or(Error::new("upgrade: sha256= has 64 hexadecimal digits"))?;
                let signature =
                    match word("signature=") {
                        Ok(word) => Some(word.strip_prefix("signature=").and_then(digits).ok_or(
                            Error::new("upgrade: signature= is an even number of hexadecimal digits"),
                        )?),
                        Err(_) => None,
                    };
                Command::Upgrade(NewKernel { slot, sha256, signature })
            }
            "rollback" => Command::Rollback,
            "restart" => Command::Restart,
            _ => return Err(Error::new("unknown command; read ctl for those there are")),
        };
        match words.next() {
            None => Ok(parsed),
            Some(_) => Err(Error::new("too many words; read ctl for the commands' forms")),
        }
    }

    /// What may be written to the log of it: root scores are secrets.
    pub(super) fn told(&self) -> String {
        match self {
            Command::Name(binding) => alloc::format!("name {} (user {:?})", binding.name, binding.user),
            Command::Remove(name, _) => alloc::format!("remove {name}"),
            Command::Prove(name) => alloc::format!("prove {name}"),
            Command::Set(key, Some(_)) => alloc::format!("set {key}"),
            Command::Set(key, None) => alloc::format!("unset {key}"),
            Command::Peer(name, _) => alloc::format!("peer {name}"),
            Command::Unpeer(name) => alloc::format!("unpeer {name}"),
            Command::Sync => String::from("sync"),
            Command::Upgrade(new) => alloc::format!("upgrade {}", new.slot),
            Command::Rollback => String::from("rollback"),
            Command::Restart => String::from("restart"),
        }
    }
}

fn digits(text: &str) -> Option<Vec<u8>> {
    let mut bytes = alloc::vec![0; text.len() / 2];
    base16ct::mixed::decode(text, &mut bytes).ok()?;
    Some(bytes)
}

fn setting(name: &str) -> Result<&'static str, Error> {
    settings::key(name)
        .map(|key| key.name)
        .ok_or_else(|| Error::new(alloc::format!("there is no setting {name:?}")))
}

/// The lines with which a peer's file begins.
fn peer_file<'a>(venti: &Dial, words: impl Iterator<Item = &'a str>) -> Result<String, Error> {
    let mut text = alloc::format!("venti={venti}\n");
    for (at, word) in words.enumerate() {
        match word.contains('=') {
            true => text += &alloc::format!("# granary {word}\n"),
            false if at == 0 => text += &alloc::format!("# granary names={}\n", dial(word)?),
            false => return Err(Error::new("too many words; read ctl for the commands' forms")),
        }
    }
    match Info::parse(text.as_bytes()).problems.first() {
        None => Ok(text),
        Some(problem) => Err(Error::new(&problem.what)),
    }
}

/// A peer's name becomes that of a file.
fn peer_name(text: &str) -> Result<String, Error> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    match text.bytes().all(is_plain) && text.len() <= 32 {
        true => Ok(text.into()),
        false => Err(Error::new("the name of a peer is up to 32 small letters, digits, - and _")),
    }
}

fn dial(text: &str) -> Result<Dial, Error> {
    text.parse().map_err(Error::new)
}

fn score(text: &str) -> Result<Score, Error> {
    text.parse().map_err(Error::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use storage::slots::Slot;

    const SCORE: &str = "vac:bd99126ad6d3f1be5754bde2b2932d4d819183cc";

    #[test]
    fn commands_are_read_as_the_help_says() {
        let parse = |line: &str| Command::parse(line.as_bytes());
        let root: Score = SCORE.parse().unwrap();
        let name = |user| Command::Name(Binding::new("a.1", root, user).unwrap());
        assert_eq!(parse(&alloc::format!("name a.1 {SCORE} iris\n")), Ok(name("iris")));
        assert_eq!(parse(&alloc::format!("name a.1 {SCORE}")), Ok(name("")));
        assert_eq!(parse(&alloc::format!("remove a.1 {SCORE}")), Ok(Command::Remove("a.1".into(), root)));
        assert_eq!(parse("prove a.1"), Ok(Command::Prove("a.1".into())));
        assert_eq!(parse("sync"), Ok(Command::Sync));
        let info = "venti=tcp!10.0.0.2!17034\n# granary names=tcp!10.0.0.2!564\n";
        assert_eq!(
            parse("peer east tcp!10.0.0.2!venti tcp!10.0.0.2!9fs"),
            Ok(Command::Peer("east".into(), info.into()))
        );
        assert_eq!(parse("unpeer east"), Ok(Command::Unpeer("east".into())));
        let set = |line| match parse(line) {
            Ok(Command::Set(key, value)) => (key, value),
            other => panic!("{other:?}"),
        };
        assert_eq!(set("set venti = 10.0.0.0/8, ::1\n"), ("venti", Some("10.0.0.0/8, ::1".into())));
        assert_eq!(set("unset venti"), ("venti", None));
        for bad in [
            "",
            "name",
            "name a.1",
            "name a.1 12",
            "name a/b vac:12",
            "prove",
            "sync now",
            "halt",
            "set",
            "set x=1",
            "unset",
            "set log",
            "peer east",
            "peer a/b h",
            "peer East h",
            "peer east h h h",
            "upgrade",
            "upgrade b",
            "rollback a",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        let words = ["name", "remove", "prove", "set", "unset", "peer", "unpeer", "sync"];
        for word in words.into_iter().chain(["upgrade", "rollback", "restart"]) {
            assert!(HELP.lines().any(|line| line.starts_with(word)));
        }
    }

    #[test]
    fn kernels_are_named_by_their_slot_and_checksum() {
        let parse = |line: &str| Command::parse(line.as_bytes());
        let sum = "00ff".repeat(16);
        let upgrade = |signature| {
            let sha256 = [0, 0xff].repeat(16).try_into().unwrap();
            Ok(Command::Upgrade(NewKernel { slot: Slot::B, sha256, signature }))
        };
        assert_eq!(parse(&alloc::format!("upgrade b sha256={sum}")), upgrade(None));
        assert_eq!(
            parse(&alloc::format!("upgrade b sha256={sum} signature=30Fe")),
            upgrade(Some([0x30, 0xfe].into()))
        );
        assert_eq!((parse("rollback"), parse("restart")), (Ok(Command::Rollback), Ok(Command::Restart)));
        for (slot, sum, rest) in
            [("c", &*sum, ""), ("b", &sum[1..], ""), ("b", &sum[2..], ""), ("b", &sum, "x")]
        {
            assert!(parse(&alloc::format!("upgrade {slot} sha256={sum} {rest}")).is_err());
        }
    }

    #[test]
    fn the_log_hears_no_score() {
        let command = Command::parse(alloc::format!("name a.1 {SCORE} iris").as_bytes()).unwrap();
        assert_eq!(command.told(), "name a.1 (user \"iris\")");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_command_or_not(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Command::parse(&line);
        }
    }
}
