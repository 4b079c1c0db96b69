//! Messages: the manual's bytes, odd ones, and round trips.

use super::*;
use proptest::prelude::*;
use std::string::ToString;
use std::vec;

fn read_request(bytes: &[u8]) -> (u16, Result<Request, Malformed>) {
    assert_eq!(bytes[..4], (bytes.len() as u32).to_le_bytes());
    Request::parse(Bytes::copy_from_slice(&bytes[4..])).unwrap()
}

#[test]
fn messages_stand_on_the_wire_as_the_manual_says() {
    let version = Request::Version { msize: 8192, version: "9P2000".to_string() };
    assert_eq!(version.to_bytes(0xffff), b"\x13\0\0\0\x64\xff\xff\0\x20\0\0\x06\x009P2000");
    let walk = Request::Walk { fid: 1, newfid: 2, names: vec!["a".to_string(), "..".to_string()] };
    assert_eq!(walk.to_bytes(3), b"\x18\0\0\0\x6e\x03\0\x01\0\0\0\x02\0\0\0\x02\0\x01\0a\x02\0..");
    assert_eq!(Reply::Error("no".to_string()).to_bytes(7), b"\x0b\0\0\0\x6b\x07\0\x02\0no");
    let qid = Qid { kind: 0x80, version: 1, path: 2 };
    assert_eq!(Reply::Attach(qid).to_bytes(1), b"\x14\0\0\0\x69\x01\0\x80\x01\0\0\0\x02\0\0\0\0\0\0\0");
}

#[test]
fn odd_messages_are_refused() {
    let error = |bytes: &[u8]| Request::parse(Bytes::copy_from_slice(bytes)).unwrap().1.unwrap_err();
    assert_eq!(error(b"\x78\0\0\x01\0\0"), Malformed::CutOff);
    assert_eq!(error(b"\x78\0\0\x01\0\0\0\0"), Malformed::TooLong);
    assert_eq!(error(b"\x6a\0\0"), Malformed::Type(106));
    assert_eq!(error(b"\x79\0\0"), Malformed::Type(121));
    assert_eq!(error(b"\x6e\0\0\0\0\0\0\0\0\0\0\x11\0"), Malformed::Count(17));
    assert_eq!(error(b"\x64\0\0\0\0\0\0\x01\0\xff"), Malformed::Text);
    assert_eq!(error(b"\x64\0\0\0\0\0\0\x01\0\0"), Malformed::Text);
    assert_eq!(error(b"\x76\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff"), Malformed::CutOff);
    assert_eq!(Request::parse(Bytes::from_static(b"\x64\0")), Err(Malformed::CutOff));
}

#[test]
fn a_wstat_that_touches_nothing_asks_for_a_sync() {
    let nothing = Request::Wstat { fid: 1, change: StatChange::default() };
    let (_, read) = read_request(&nothing.to_bytes(1));
    let Ok(Request::Wstat { change, .. }) = read else { panic!() };
    assert!(change.is_sync());
    let named = StatChange { name: Some("new".to_string()), length: Some(0), ..StatChange::default() };
    let (_, read) = read_request(&Request::Wstat { fid: 1, change: named.clone() }.to_bytes(1));
    assert_eq!(read, Ok(Request::Wstat { fid: 1, change: named }));
}

#[test]
fn what_linux_says_beside_a_new_name_is_not_in_its_way() {
    let asked = StatChange { name: Some("new".to_string()), ..StatChange::default() };
    let said = Stat { muid: "iris".to_string(), atime: 7, ..asked.to_stat() };
    assert_eq!(StatChange::of(&said), asked);
    assert!(StatChange::of(&Stat { uid: "iris".to_string(), ..said }).other);
}

fn text() -> impl Strategy<Value = String> {
    "[a-zé/.]{0,12}"
}

fn requests() -> impl Strategy<Value = Request> {
    let n = any::<u32>;
    let change = (proptest::option::of("[a-z]{1,8}"), proptest::option::of(0..9_u32), any::<bool>());
    prop_oneof![
        (n(), text()).prop_map(|(msize, version)| Request::Version { msize, version }),
        (n(), text(), text()).prop_map(|(afid, uname, aname)| Request::Auth { afid, uname, aname }),
        (n(), n(), text(), text()).prop_map(|(fid, afid, uname, aname)| Request::Attach {
            fid,
            afid,
            uname,
            aname
        }),
        any::<u16>().prop_map(|oldtag| Request::Flush { oldtag }),
        (n(), n(), proptest::collection::vec(text(), 0..17)).prop_map(|(fid, newfid, names)| Request::Walk {
            fid,
            newfid,
            names
        }),
        (n(), any::<u8>()).prop_map(|(fid, mode)| Request::Open { fid, mode }),
        (n(), text(), n(), any::<u8>()).prop_map(|(fid, name, perm, mode)| Request::Create {
            fid,
            name,
            perm,
            mode
        }),
        (n(), any::<u64>(), n()).prop_map(|(fid, offset, count)| Request::Read { fid, offset, count }),
        (n(), any::<u64>(), proptest::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(fid, offset, data)| Request::Write { fid, offset, data: data.into() }),
        n().prop_map(|fid| Request::Clunk { fid }),
        n().prop_map(|fid| Request::Remove { fid }),
        n().prop_map(|fid| Request::Stat { fid }),
        (n(), change).prop_map(|(fid, (name, mode, other))| Request::Wstat {
            fid,
            change: StatChange { name, mode, length: other.then_some(7), ..StatChange::default() },
        }),
    ]
}

proptest! {
    #[test]
    fn a_request_is_read_as_it_was_written(request in requests(), tag in any::<u16>()) {
        prop_assert_eq!(read_request(&request.to_bytes(tag)), (tag, Ok(request)));
    }

    #[test]
    fn a_reply_is_read_as_it_was_written(
        paths in proptest::collection::vec(any::<u64>(), 0..16), name in text(), data in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let qid = Qid { kind: 0, version: 3, path: paths.first().copied().unwrap_or(0) };
        let stat = Stat { qid, mode: 0o644, length: 9, name: name.clone(), uid: name.clone(), ..Stat::default() };
        let qids = paths.iter().map(|path| Qid { path: *path, ..qid }).collect();
        for reply in [
            Reply::Version { msize: 9, version: name.clone() }, Reply::Attach(qid), Reply::Error(name.clone()), Reply::Flush,
            Reply::Walk(qids), Reply::Open { qid, iounit: 1 }, Reply::Create { qid, iounit: 2 }, Reply::Read(data.into()),
            Reply::Write(7), Reply::Clunk, Reply::Remove, Reply::Stat(stat), Reply::Wstat,
        ] {
            let bytes = reply.to_bytes(5);
            prop_assert_eq!(Reply::parse(Bytes::copy_from_slice(&bytes[4..])), Ok((5, reply)));
        }
    }

    #[test]
    fn any_bytes_are_a_message_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..80), kind in 99..129_u8) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = kind;
        }
        let _ = Request::parse(bytes.clone().into());
        let _ = Reply::parse(bytes.clone().into());
        let _ = Stat::parse_all(&bytes);
    }
}
