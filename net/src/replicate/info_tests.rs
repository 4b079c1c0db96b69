//! What ventiprog writes is read, and the other way round.

use super::*;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(1_700_000_000);

fn written(info: &Info) -> String {
    String::from_utf8(info.text(NOW)).unwrap()
}

#[test]
fn what_ventiprog_writes_is_read() {
    let text = b"venti=tcp!127.1!27035\n\n# Thu Nov 29 21:14:00 EST 2018\narenas0=0x12f3126\narenas1='0'\n\
        # Fri Nov 30 21:14:00 EST 2018\narenas0=(0x12f3200)\nprompt=('% ' '')\narenas10=83 # decimal\n";
    let info = Info::parse(text);
    assert_eq!(info.problems, []);
    assert_eq!(info.venti, Some("tcp!127.1!27035".parse().unwrap()));
    let cursors = [("arenas0", 0x12f_3200), ("arenas1", 0), ("arenas10", 83)];
    assert_eq!(info.cursors, cursors.map(|(name, at)| (name.to_string(), at)).into());
}

#[test]
fn what_we_write_keeps_the_users_lines_and_does_not_grow() {
    let users =
        "# the barn\nventi=tcp!10.0.0.2!17034\nother=(a b)\n# granary names=tcp!10.0.0.2!564\narenas0=1\n";
    let mut info = Info::parse(users.as_bytes());
    info.cursors.insert("arenas0".to_string(), 0x5000);
    let score = Score::of(b"x");
    info.holes.insert(("arenas0".to_string(), 0x52), Some((score, BlockType::DATA)));
    info.holes.insert(("arenas0".to_string(), 0x99), None);
    let first = written(&info);
    assert!(first.starts_with(users), "{first}");
    assert!(first.contains("\n# Tue Nov 14 22:13:20 UTC 2023\narenas0=0x5000\n"), "{first}");
    let again = Info::parse(first.as_bytes());
    assert_eq!(again.problems, []);
    assert_eq!((&again.cursors, &again.holes), (&info.cursors, &info.holes));
    assert!(again.is_same_peer(&info) && again.names.is_some());
    assert_eq!(written(&again), first);
    // Then ventiprog goes on from it, and we from there.
    let theirs = format!("{first}# Wed Nov 15 22:13:20 UTC 2023\narenas0=0x6000\nnew=line\n");
    let third = Info::parse(theirs.as_bytes());
    assert_eq!(third.cursors["arenas0"], 0x6000);
    let ours = written(&third);
    assert!(ours.starts_with(&format!("{users}new=line\n")), "{ours}");
    assert!(ours.contains("arenas0=0x6000\n") && !ours.contains("0x5000"), "{ours}");
}

#[test]
fn what_is_not_understood_is_told_and_kept() {
    for bad in [
        "venti=`{cat x}",
        "venti=il!a!b!c",
        "ventiprog -f x",
        "# granary rate=no",
        "# granary way=x",
        "# granary pin=sha256=00",
        "# granary to=x",
        "arenas0=x",
        "# granary hours=7",
        "# granary hole arenas0",
        "venti='open",
    ] {
        let info = Info::parse(format!("\n{bad}\n").as_bytes());
        assert_eq!(info.problems.iter().map(|problem| problem.line).collect::<Vec<_>>(), [2], "{bad}");
        assert!(written(&info).contains(bad), "{bad}");
    }
}

#[test]
fn hours_go_over_midnight() {
    let at = |hour: u32| Timestamp(86_400 * 1000 + hour * 3600 + 5);
    let hours: Hours = "22-6".parse().unwrap();
    assert_eq!([21, 22, 0, 5, 6].map(|hour| hours.contain(at(hour))), [false, true, true, true, false]);
    let hours: Hours = "8-24".parse().unwrap();
    assert_eq!([7, 8, 23, 0].map(|hour| hours.contain(at(hour))), [false, true, true, false]);
    assert!("5-5".parse::<Hours>().is_err() && "1-25".parse::<Hours>().is_err());
}

#[test]
fn lines_of_other_systems_and_other_alphabets_stay_as_they_are() {
    let users = b"# Caf\xe9\r\nventi=tcp!10.0.0.2!17034\r\n\r\nother=\xff\r\n";
    let mut info = Info::parse(&[&users[..], b"arenas0=0x10\r\n"].concat());
    assert_eq!((info.problems.len(), info.cursors["arenas0"]), (0, 0x10));
    assert_eq!(info.venti, Some("tcp!10.0.0.2!17034".parse().unwrap()));
    info.cursors.insert("arenas0".to_string(), 0x20);
    let ours = info.text(NOW);
    assert!(ours.starts_with(users));
    let again = Info::parse(&ours);
    assert_eq!((again.cursors["arenas0"], again.text(NOW)), (0x20, ours));
}

proptest! {
    #[test]
    fn any_bytes_are_read_and_what_is_written_says_the_same(
        text in "(venti|arenas[0-9]|=|0x1f|\n|# granary |hole |'|\\(|\\)| |tcp!a!1|\\PC){0,30}",
    ) {
        let info = Info::parse(text.as_bytes());
        let again = Info::parse(written(&info).as_bytes());
        prop_assert_eq!(&again.cursors, &info.cursors);
        prop_assert_eq!(&again.holes, &info.holes);
        prop_assert!(again.is_same_peer(&info));
        prop_assert_eq!(written(&again), written(&info));
    }
}
