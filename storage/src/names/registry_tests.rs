//! How names move on, and that none goes back or gets lost.

use super::*;
use proptest::prelude::*;
use std::format;
use std::string::ToString;
use std::vec;

fn binding(name: &str, root: &str) -> Binding {
    Binding::new(name, Score::of(root.as_bytes()), "iris").unwrap()
}

/// The registry after a restart, if every file was written.
fn restarted(registry: &Registry) -> Registry {
    let text = |file| registry.text(file);
    Registry::load(&text(File::Published), &text(File::Waiting), &text(File::Removed), &text(File::Proofs))
}

fn stages(registry: &Registry, name: &str) -> Vec<Stage> {
    registry.get(name).map(|(_, stage)| stage).collect()
}

#[test]
fn a_name_waits_until_its_tree_is_complete_and_is_published_then() {
    let mut registry = Registry::default();
    let a = binding("a.1", "x");
    assert_eq!(registry.add(&a), Ok(Offered::New));
    assert_eq!(registry.add(&a), Ok(Offered::Known(Stage::Waiting)));
    assert!(registry.published().is_empty());
    let changes = registry.changes();
    assert_eq!(changes.iter().map(|(file, _)| *file).collect::<Vec<_>>(), [File::Waiting]);
    changes.iter().for_each(|(file, _)| registry.saved(*file));
    assert!(registry.publish("a.1", a.root) && !registry.publish("a.1", a.root));
    // At no moment is it in neither file.
    let order: Vec<File> = registry.changes().into_iter().map(|(file, _)| file).collect();
    assert_eq!(order, [File::Published, File::Waiting]);
    assert_eq!(registry.published().get("a.1").collect::<Vec<_>>(), [&a]);
    assert_eq!(registry.add(&a), Ok(Offered::Known(Stage::Published)));
}

#[test]
fn a_bound_name_is_never_rebound_here_and_a_conflict_from_elsewhere_keeps_both() {
    let mut registry = Registry::default();
    let (a, other) = (binding("a.1", "x"), binding("a.1", "y"));
    registry.add(&a).unwrap();
    assert_eq!(registry.add(&other), Err(Refused::Bound("a.1".to_string())));
    let (new, refused) = registry.merge(&other.record());
    assert_eq!((new, refused), (vec!["a.1".to_string()], vec![]));
    registry.publish("a.1", a.root);
    registry.publish("a.1", other.root);
    assert_eq!(registry.published().conflicts().collect::<Vec<_>>(), ["a.1"]);
}

#[test]
fn what_an_administrator_removed_does_not_come_back() {
    let mut registry = Registry::default();
    let a = binding("a.1", "x");
    registry.add(&a).unwrap();
    registry.publish("a.1", a.root);
    registry.remove("a.1", a.root).unwrap();
    assert_eq!(registry.remove("a.1", a.root), Err(Refused::Unknown("a.1".to_string())));
    let mut registry = restarted(&registry);
    assert_eq!(stages(&registry, "a.1"), [Stage::Removed]);
    assert_eq!(registry.add(&a), Err(Refused::Removed("a.1".to_string())));
    assert_eq!(registry.add(&binding("a.1", "y")), Err(Refused::Bound("a.1".to_string())));
    let (new, refused) = registry.merge(&a.record());
    assert_eq!((new.len(), refused.len()), (0, 1));
}

#[test]
fn a_power_cut_between_the_files_leaves_each_name_where_it_was_or_where_it_goes() {
    let mut registry = Registry::default();
    let (a, b) = (binding("a.1", "x"), binding("b.1", "y"));
    registry.add(&a).unwrap();
    registry.add(&b).unwrap();
    registry.publish("b.1", b.root);
    let before: Vec<Vec<u8>> = File::ALL.iter().map(|file| registry.text(*file)).collect();
    File::ALL.iter().for_each(|file| registry.saved(*file));
    registry.publish("a.1", a.root);
    registry.remove("b.1", b.root).unwrap();
    let changes = registry.changes();
    for written in 0..=changes.len() {
        let text = |file: File| {
            let new = changes[..written].iter().find(|(changed, _)| *changed == file);
            let place = File::ALL.iter().position(|known| *known == file).unwrap();
            new.map_or_else(|| before[place].clone(), |(_, text)| text.clone())
        };
        let found = Registry::load(
            &text(File::Published),
            &text(File::Waiting),
            &text(File::Removed),
            &text(File::Proofs),
        );
        let a_stage = found.stage("a.1", a.root);
        assert!(matches!(a_stage, Some(Stage::Waiting | Stage::Published)), "{written}: {a_stage:?}");
        assert_eq!(stages(&found, "a.1").len(), 1, "{written}");
        let b_stage = found.stage("b.1", b.root);
        assert!(matches!(b_stage, Some(Stage::Published | Stage::Removed)), "{written}: {b_stage:?}");
        assert_eq!(stages(&found, "b.1").len(), 1, "{written}");
    }
}

#[test]
fn the_proof_of_a_name_outlives_a_restart() {
    let mut registry = Registry::default();
    let a = binding("a.1", "x");
    registry.add(&a).unwrap();
    let proof = Proof { blocks: 7, bytes: 70, ..Proof::default() };
    registry.note("a.1", a.root, proof.clone());
    assert_eq!(restarted(&registry).proof("a.1", a.root), Some(&proof));
}

#[test]
fn comments_of_other_nodes_are_kept_at_once() {
    let mut registry = Registry::default();
    registry.merge(b"# planted in spring\n");
    assert!(registry.published().text().starts_with(b"# planted in spring\n"));
    assert!(registry.merge(b"# planted in spring\n").0.is_empty());
    assert_eq!(registry.published().text().iter().filter(|byte| **byte == b'#').count(), 1);
}

#[test]
fn waiting_is_bounded() {
    let text: String = (0..WAITING_MAX + 1)
        .map(|number| format!("scorename=n.{number} rootscore=vac:{} user=\n", Score::of(b"x")))
        .collect();
    let mut registry = Registry::default();
    let (new, refused) = registry.merge(text.as_bytes());
    assert_eq!((new.len(), refused), (WAITING_MAX, vec![Refused::TooManyWaiting]));
}

#[derive(Clone, Debug)]
enum Step {
    Add(u8, u8),
    Merge(Vec<(u8, u8)>),
    Publish(u8, u8),
    Remove(u8, u8),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pair = || (0..4_u8, 0..3_u8);
    let one = prop_oneof![
        pair().prop_map(|(name, root)| Step::Add(name, root)),
        proptest::collection::vec(pair(), 0..4).prop_map(Step::Merge),
        pair().prop_map(|(name, root)| Step::Publish(name, root)),
        pair().prop_map(|(name, root)| Step::Remove(name, root)),
        Just(Step::Restart),
    ];
    proptest::collection::vec(one, 0..30)
}

proptest! {
    #[test]
    fn a_name_is_in_one_list_at_most_and_never_goes_back(steps in steps()) {
        let mut registry = Registry::default();
        let make = |(name, root): (u8, u8)| binding(&format!("n.{name}"), &root.to_string());
        let rank = |stage| match stage {
            None => 0,
            Some(Stage::Waiting) => 1,
            Some(Stage::Published) => 2,
            Some(Stage::Removed) => 3,
        };
        let all: Vec<Binding> = (0..4).flat_map(|name| (0..3).map(move |root| make((name, root)))).collect();
        let mut before = vec![0; all.len()];
        for step in steps {
            match step {
                Step::Add(name, root) => drop(registry.add(&make((name, root)))),
                Step::Merge(pairs) => {
                    let text: Vec<u8> = pairs.into_iter().flat_map(|pair| make(pair).record()).collect();
                    registry.merge(&text);
                }
                Step::Publish(name, root) => {
                    let binding = make((name, root));
                    registry.publish(&binding.name, binding.root);
                }
                Step::Remove(name, root) => {
                    let binding = make((name, root));
                    let _ = registry.remove(&binding.name, binding.root);
                }
                Step::Restart => registry = restarted(&registry),
            }
            for (binding, before) in all.iter().zip(&mut before) {
                let lists = [registry.published(), registry.waiting(), registry.removed()];
                let places = lists.iter().filter(|names| names.has(&binding.name, binding.root)).count();
                prop_assert!(places <= 1);
                let now = rank(registry.stage(&binding.name, binding.root));
                prop_assert!(now >= *before, "{binding:?} went back");
                *before = now;
            }
        }
    }
}
