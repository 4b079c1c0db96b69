//! Finding, adding and merging bindings.

use super::*;
use proptest::prelude::*;
use std::format;
use std::string::ToString;

fn binding(name: &str, root: &str, user: &str) -> Binding {
    Binding::new(name, Score::of(root.as_bytes()), user).unwrap()
}

fn file(bindings: &[Binding]) -> Names {
    let mut names = Names::default();
    bindings.iter().for_each(|binding| names.append(&binding.record()));
    names
}

#[test]
fn names_are_found_by_name_user_and_root() {
    let (a, b) = (binding("a.1", "x", "iris"), binding("b.1", "x", "tansy"));
    let names = file(&[a.clone(), b.clone()]);
    assert_eq!(names.get("a.1").collect::<Vec<_>>(), [&a]);
    assert_eq!(names.get("c.1").count(), 0);
    assert_eq!(names.of_user("tansy").collect::<Vec<_>>(), [&b]);
    assert_eq!(names.of_root(Score::of(b"x")).count(), 2);
    assert_eq!(names.names().collect::<Vec<_>>(), ["a.1", "b.1"]);
    assert!(names.has("a.1", Score::of(b"x")) && !names.has("a.1", Score::of(b"y")));
}

#[test]
fn an_appended_record_stands_as_savesnap_would_have_written_it() {
    let names = file(&[binding("a.1", "x", "iris"), binding("b.1", "y", "iris")]);
    let text = String::from_utf8(names.text()).unwrap();
    let (x, y) = (Score::of(b"x"), Score::of(b"y"));
    assert_eq!(
        text,
        format!("scorename=a.1 rootscore=vac:{x} user=iris\n\nscorename=b.1 rootscore=vac:{y} user=iris\n\n")
    );
}

#[test]
fn a_line_that_was_cut_off_is_kept_and_never_completed() {
    let half = "scorename=a.1 rootscore=vac:3d42832fba92f985fa74dd7038fb6a39e5aa9574 user=tan";
    let mut names = Names::parse(half.as_bytes());
    assert!(names.is_empty());
    assert_eq!(names.text(), half.as_bytes());
    names.append(&binding("b.1", "y", "iris").record());
    let text = names.text();
    assert!(text.starts_with(format!("# cut off: {half}\nscorename=b.1 ").as_bytes()));
    assert_eq!(Names::parse(&text).names().collect::<Vec<_>>(), ["b.1"]);
}

#[test]
fn one_name_with_two_roots_is_a_conflict_that_keeps_both() {
    let mut names = file(&[binding("a.1", "x", "iris"), binding("b.1", "x", "iris")]);
    names.merge(&file(&[binding("a.1", "y", "iris"), binding("b.1", "x", "iris")]));
    assert_eq!(names.conflicts().collect::<Vec<_>>(), ["a.1"]);
    let roots: Vec<Score> = names.get("a.1").map(|binding| binding.root).collect();
    assert_eq!(roots, [Score::of(b"x"), Score::of(b"y")]);
}

#[test]
fn unknown_attributes_comments_and_records_are_merged_too() {
    let mut ours = file(&[binding("a.1", "x", "iris")]);
    let record = format!("scorename=b.1 rootscore=vac:{} user=iris\n\tnote=\"two words\"\n", Score::of(b"y"));
    let theirs = Names::parse(format!("# a comment\n{record}odd=thing\n").as_bytes());
    ours.merge(&theirs);
    let text = String::from_utf8(ours.text()).unwrap();
    assert!(text.contains("# a comment\n") && text.contains(&record) && text.contains("odd=thing\n"));
    let before = ours.text();
    ours.merge(&theirs);
    assert_eq!(ours.text(), before, "merging again changes nothing");
}

#[test]
fn a_line_that_continued_nothing_does_not_continue_what_it_is_put_behind() {
    let mut ours = Names::parse(b"scorename=a.1 user=iris\n");
    let theirs = Names::parse(format!("\trootscore=vac:{}\n", Score::of(b"x")).as_bytes());
    ours.merge(&theirs);
    assert_eq!((ours.len(), Names::parse(&ours.text()).len()), (0, 0));
    let before = ours.text();
    ours.merge(&theirs);
    assert_eq!(ours.text(), before);
}

#[test]
fn records_that_bind_nothing_are_told_and_kept() {
    let text = "scorename=a.1 rootscore=vac:12 user=iris\n";
    let names = Names::parse(text.as_bytes());
    assert_eq!((names.len(), names.bad().len()), (0, 1));
    assert_eq!(names.bad()[0].to_string(), "a.1: a score is 40 hexadecimal digits, perhaps after `vac:`");
    assert_eq!(names.text(), text.as_bytes());
}

#[test]
fn a_binding_is_taken_out_and_nothing_else() {
    let mut names = file(&[binding("a.1", "x", "iris"), binding("a.1", "y", "iris")]);
    let taken = names.take("a.1", Score::of(b"x"));
    assert_eq!(taken, binding("a.1", "x", "iris").record());
    assert_eq!(names.get("a.1").map(|binding| binding.root).collect::<Vec<_>>(), [Score::of(b"y")]);
    assert!(names.take("a.1", Score::of(b"x")).is_empty());
}

fn some_bindings() -> impl Strategy<Value = Vec<Binding>> {
    let one = (0..6_u8, 0..4_u8, 0..3_u8)
        .prop_map(|(name, root, user)| binding(&format!("n.{name}"), &root.to_string(), &user.to_string()));
    proptest::collection::vec(one, 0..12)
}

fn content(names: &Names) -> BTreeSet<Binding> {
    names.iter().cloned().collect()
}

proptest! {
    #[test]
    fn merging_is_a_union_whoever_begins(ours in some_bindings(), theirs in some_bindings()) {
        let (ours, theirs) = (file(&ours), file(&theirs));
        let (mut one, mut other) = (ours.clone(), theirs.clone());
        one.merge(&theirs);
        other.merge(&ours);
        let union: BTreeSet<Binding> = content(&ours).union(&content(&theirs)).cloned().collect();
        prop_assert_eq!(content(&one), union.clone());
        prop_assert_eq!(content(&other), union);
        prop_assert!(one.news(&other).is_empty() && other.news(&one).is_empty());
        prop_assert_eq!(content(&Names::parse(&one.text())), content(&one));
    }

    #[test]
    fn any_text_is_read_kept_and_appended_to(
        text in proptest::collection::vec(
            prop_oneof![Just(b'\n'), Just(b' '), Just(b'#'), Just(b'='), Just(b'"'), any::<u8>()], 0..200)
    ) {
        let mut names = Names::parse(&text);
        prop_assert_eq!(names.text(), text);
        let before = content(&names);
        names.append(&binding("new.1", "x", "iris").record());
        let after = Names::parse(&names.text());
        prop_assert!(after.has("new.1", Score::of(b"x")));
        prop_assert!(before.is_subset(&content(&after)));
    }
}
