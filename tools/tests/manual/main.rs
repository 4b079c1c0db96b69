//! Holds the manual in `tools/man` to the code: every command, option, default and setting is in it, as it is, and nothing
//! else.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod page;

use clap::{Arg, Command};
use page::{Item, Page, items, marked};
use std::collections::BTreeSet;
use storage::settings::{FILE, KEYS, Settings};
use tools::outcome::{DAMAGE, FAILED, INCOMPLETE, USAGE};

/// The page that tells of all commands.
const OVERVIEW: &str = "granary.1";

fn assert_none(what: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{what}:\n{}", offenders.join("\n"));
}

fn page_of(command: &Command) -> String {
    format!("granary-{}.1", command.get_name())
}

/// What `--help` says of a command in a line.
fn about(command: &Command) -> String {
    command.get_about().unwrap().to_string()
}

/// The page's one line: as in the help, in a sentence that goes on.
fn with_small_letter(text: &str) -> String {
    let (first, rest) = text.split_at(1);
    first.to_lowercase() + rest
}

#[test]
fn every_command_has_its_page_and_every_page_its_command() {
    let mut expected: BTreeSet<String> = tools::command_line().get_subcommands().map(page_of).collect();
    expected.extend([OVERVIEW.to_owned(), format!("{FILE}.5")]);
    let files: BTreeSet<String> = page::all().into_keys().collect();
    assert_eq!(files, expected, "left: files in tools/man; right: what there is to tell of");
}

#[test]
fn every_command_is_told_in_one_line_as_in_the_help() {
    let (pages, commands) = (page::all(), tools::command_line());
    let overview = items(pages[OVERVIEW].section("DESCRIPTION", true));
    let mut offenders = Vec::new();
    for command in commands.get_subcommands() {
        let file = page_of(command);
        let line = with_small_letter(&about(command));
        if pages.get(&file).is_none_or(|page| page.lines_of("Nd") != [line.as_str()]) {
            offenders.push(format!("{file}: `.Nd {line}` is missing"));
        }
        let (name, line) = (format!("Xr granary-{} 1", command.get_name()), format!("{}.", about(command)));
        if !overview.iter().any(|item| item.head == name && item.body == [line.as_str()]) {
            offenders.push(format!("{OVERVIEW}: `.It {name}` with the line `{line}` is missing"));
        }
    }
    assert_none("commands that are not told of as in their help", &offenders);
}

#[test]
fn every_option_is_told_of_and_no_other() {
    let pages = page::all();
    let mut offenders = Vec::new();
    for command in tools::command_line().get_subcommands() {
        let Some(page) = pages.get(&page_of(command)) else {
            offenders.push(format!("{} is missing", page_of(command)));
            continue;
        };
        let name = format!("granary {}", command.get_name());
        compare(page, &name, command, page.section("DESCRIPTION", true), &mut offenders);
        for inner in command.get_subcommands() {
            let name = format!("{name} {}", inner.get_name());
            if page.subsection(&name).is_empty() {
                offenders.push(format!("{}: `.Ss {name}` is missing", page.file));
            }
            compare(page, &name, inner, page.subsection(&name), &mut offenders);
        }
    }
    // What every command understands, `--version` and `--help` with it.
    let mut all = tools::command_line();
    all.build();
    let overview = &pages[OVERVIEW];
    compare_options(overview, &all, overview.section("DESCRIPTION", true), &mut offenders);
    assert_none("options and arguments of which the manual says something else", &offenders);
}

/// A command with what its page says of it.
fn compare(page: &Page, name: &str, command: &Command, lines: &[String], offenders: &mut Vec<String>) {
    compare_options(page, command, lines, offenders);
    let synopsis = page.synopsis(name);
    let in_synopsis = |mark| synopsis.iter().flat_map(|line| marked(line, mark)).collect::<BTreeSet<&str>>();
    let (options, words) = (in_synopsis("Fl"), in_synopsis("Ar"));
    for arg in command.get_arguments() {
        let missing = if arg.is_positional() {
            value_names(arg).into_iter().find(|value| !words.contains(value.as_str()))
        } else {
            let long = arg.get_long().is_some_and(|long| options.contains(format!("-{long}").as_str()));
            let is_letter_of = |short, word: &&str| !word.starts_with('-') && word.contains(short);
            let short =
                arg.get_short().is_some_and(|short| options.iter().any(|word| is_letter_of(short, word)));
            (!long && !short).then(|| flags(arg).into_iter().collect::<Vec<_>>().join(", "))
        };
        if let Some(missing) = missing {
            offenders.push(format!("{}: {missing} is not in the synopsis of `{name}`", page.file));
        }
    }
}

fn compare_options(page: &Page, command: &Command, lines: &[String], offenders: &mut Vec<String>) {
    let items = items(lines);
    let of_item = |item: &Item| marked(&item.head, "Fl").into_iter().map(String::from).collect();
    let told: Vec<(BTreeSet<String>, &Item)> = items.iter().map(|item| (of_item(item), item)).collect();
    let options: Vec<&Arg> = command.get_arguments().filter(|arg| !arg.is_positional()).collect();
    for (names, item) in told.iter().filter(|(names, _)| !names.is_empty()) {
        if !options.iter().any(|arg| flags(arg) == *names) {
            let problem = format!("`{}` has no option `.It {}`", command.get_name(), item.head);
            offenders.push(format!("{}: {problem}", page.file));
        }
    }
    for arg in options {
        let names = flags(arg);
        match told.iter().find(|(told, _)| *told == names) {
            None => offenders.push(format!(
                "{}: `{}` has an option that is not told of: Fl {}",
                page.file,
                command.get_name(),
                names.iter().cloned().collect::<Vec<_>>().join(" , Fl ")
            )),
            Some((_, item)) => {
                let missing = unsaid(arg, item);
                offenders.extend(
                    missing.map(|word| format!("{}: `.It {}` does not say {word}", page.file, item.head)),
                );
            }
        }
    }
}

/// What an item should say of an option and does not: names of values, defaults, words to choose from, environment.
fn unsaid(arg: &Arg, item: &Item) -> Option<String> {
    if !arg.get_action().takes_values() {
        return None;
    }
    let in_head = marked(&item.head, "Ar");
    let values = value_names(arg).into_iter().find(|value| !in_head.contains(value.as_str()));
    let text = |word: &std::ffi::OsStr| word.to_str().unwrap().to_owned();
    let defaults = arg.get_default_values().iter().map(|value| ("Ql", text(value)));
    let choices = arg.get_possible_values().into_iter().map(|value| ("Ql", value.get_name().to_owned()));
    let environment = arg.get_env().map(|name| ("Ev", text(name)));
    let mut words = defaults.chain(choices).chain(environment);
    let mut unsaid = || words.find(|(mark, word)| !item.marks(mark, word));
    values.or_else(|| unsaid().map(|(mark, word)| format!("`.{mark} {word}`")))
}

/// An option's names as `Fl` takes them.
fn flags(arg: &Arg) -> BTreeSet<String> {
    let long = arg.get_long().map(|long| format!("-{long}"));
    arg.get_short().map(String::from).into_iter().chain(long).collect()
}

fn value_names(arg: &Arg) -> Vec<String> {
    let names = arg.get_value_names().unwrap_or_default();
    names.iter().map(|name| name.replace('…', "...")).collect()
}

#[test]
fn environment_and_exit_codes_are_told_of_in_the_overview() {
    let overview = &page::all()[OVERVIEW];
    let mut variables = BTreeSet::new();
    let mut pending = vec![tools::command_line()];
    while let Some(command) = pending.pop() {
        variables.extend(
            command.get_arguments().filter_map(Arg::get_env).map(|name| format!("Ev {}", name.display())),
        );
        pending.extend(command.get_subcommands().cloned());
    }
    let heads = |section| items(overview.section(section, true)).into_iter().map(|item| item.head);
    assert_eq!(heads("ENVIRONMENT").collect::<BTreeSet<_>>(), variables);
    let codes = [0, FAILED, USAGE, DAMAGE, INCOMPLETE].map(|code| code.to_string());
    assert_eq!(heads("EXIT STATUS").collect::<Vec<_>>(), codes);
}

/// The words of a shell's line; what stands between `'` is one.
fn words(line: &str) -> Vec<&str> {
    let pieces = line.split('\'').enumerate();
    pieces
        .flat_map(|(number, piece)| match number % 2 {
            0 => piece.split_whitespace().collect(),
            _ => vec![piece],
        })
        .collect()
}

#[test]
fn every_example_is_understood() {
    let mut offenders = Vec::new();
    for page in page::all().into_values().filter(|page| page.file.ends_with(".1")) {
        let mut count = 0;
        for line in page.examples() {
            for piece in line.split(" | ").filter(|piece| piece.starts_with("granary ")) {
                let words = words(piece).into_iter().take_while(|word| !matches!(*word, ">" | "&"));
                count += 1;
                if let Err(error) = tools::command_line().try_get_matches_from(words) {
                    offenders.push(format!("{}: {line}\n{error}", page.file));
                }
            }
        }
        if count == 0 {
            offenders.push(format!("{}: no example", page.file));
        }
    }
    assert_none("examples that the command refuses", &offenders);
}

#[test]
fn pages_have_their_sections_and_lead_to_pages_that_exist() {
    let pages = page::all();
    let mut offenders = Vec::new();
    for page in pages.values() {
        let command = page.file.ends_with(".1");
        let sections = page.lines_of("Sh");
        let mut needed = vec!["NAME", "DESCRIPTION", "EXAMPLES", "SEE ALSO"];
        needed.extend(command.then_some(["SYNOPSIS", "EXIT STATUS"]).into_iter().flatten());
        needed.retain(|section| !sections.contains(section));
        offenders.extend(needed.iter().map(|section| format!("{}: no section {section}", page.file)));
        let title = page.lines_of("Dt").join(" ").to_lowercase().replace(' ', ".");
        if title != page.file {
            offenders.push(format!("{}: its title is {title}", page.file));
        }
        for reference in page.lines_of("Xr") {
            let mut words = reference.split_whitespace();
            let file = format!("{}.{}", words.next().unwrap(), words.next().unwrap());
            if file.starts_with("granary") && !pages.contains_key(&file) {
                offenders.push(format!("{}: there is no page {file}", page.file));
            }
        }
    }
    assert_none("pages that are not whole", &offenders);
}

#[test]
fn every_setting_is_told_of_as_it_is_and_no_other() {
    let page = &page::all()[&format!("{FILE}.5")];
    let keys: Vec<Item> = items(page.section("DESCRIPTION", true))
        .into_iter()
        .filter(|item| item.head.starts_with("Ic "))
        .collect();
    let names: BTreeSet<&str> = keys.iter().map(|item| &item.head[3..]).collect();
    let known: BTreeSet<&str> = KEYS.iter().map(|key| key.name).collect();
    assert_eq!(names, known, "left: keys in {}; right: those that there are", page.file);
    for item in &keys {
        let key = storage::settings::key(&item.head[3..]).unwrap();
        let rows = items(&item.body);
        let row = |name: &str| {
            let row = rows.iter().find(|row| row.head == name);
            row.unwrap_or_else(|| panic!("{}: no row `.It {name}`", key.name)).body.join(" ")
        };
        assert_eq!(row("Values:"), key.values.replace('…', "..."), "values of {}", key.name);
        assert_eq!(row("Default:"), key.default, "default of {}", key.name);
        let applies = if key.at_once { "at once" } else { "at the next start" };
        assert_eq!(row("Applies:"), applies, "when {} applies", key.name);
        let example = row("Example:");
        assert!(example.starts_with(&format!("{}=", key.name)), "{}: {example}", key.name);
        let settings =
            Settings::parse(FILE, example.as_bytes()).unwrap_or_else(|errors| panic!("{errors:?}"));
        assert_ne!(settings, Settings::default(), "{example} is no example: it changes nothing");
    }
    let example = page.examples().join("\n");
    let settings = Settings::parse(FILE, example.as_bytes()).unwrap_or_else(|errors| panic!("{errors:?}"));
    assert_ne!(settings, Settings::default());
}

#[test]
fn mandoc_has_nothing_to_say() {
    let files: Vec<_> = page::all().into_keys().map(|file| page::folder().join(file)).collect();
    let mandoc = std::process::Command::new("mandoc").args(["-Tlint", "-Wwarning"]).args(files).output();
    let output = mandoc.expect("mandoc is missing: install the Debian package mandoc");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}
