//! User data: what a person wrote for a machine that is to be made.
//!
//! Either the text of `granary.ini`, or cloud-config (a text whose first line is `#cloud-config`), of which `write_files`
//! counts, and of that the entries whose path is `granary.ini`, `/granary.ini` or those in `9fat/` (cloud-init, "Write
//! Files"). The last such entry is taken, as the last one written would stay. Everything else in it is for other systems.
//!
//! Must not know where the text came from, nor where it goes.

use super::USER_DATA_LEN_MAX;
use super::yaml::{self, Node, YamlError};
use crate::settings::{FILE, SettingError, Settings};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use base64ct::{Base64, Encoding};

/// First words of user data that is for other programs (cloud-init, "User data formats").
const OTHERS: [&str; 9] = [
    "#!",
    "#include",
    "#cloud-boothook",
    "#cloud-config-archive",
    "#cloud-config-jsonp",
    "#part-handler",
    "## template:",
    "Content-Type:",
    "MIME-Version:",
];

/// Why user data was not taken. Nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserDataError {
    /// More than [`USER_DATA_LEN_MAX`] bytes.
    #[error("{0} bytes, more than {USER_DATA_LEN_MAX}")]
    TooLong(usize),
    /// Compressed, or no text at all.
    #[error("not UTF-8: give it as text, not compressed")]
    NotText,
    /// Of a kind that other programs understand.
    #[error("it begins with {0:?}: the text of granary.ini is taken, or cloud-config")]
    Other(&'static str),
    /// Cloud-config that is no YAML.
    #[error("cloud-config {0}")]
    Yaml(#[from] YamlError),
    /// Cloud-config of another form.
    #[error("write_files: {0}")]
    Form(&'static str),
    /// Lines that granary.ini must not have.
    #[error("{}", lines(.0))]
    Settings(Vec<SettingError>),
}

fn lines(errors: &[SettingError]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

/// The text of `granary.ini` in user data, checked; `None` where it has none.
///
/// # Errors
/// See [`UserDataError`].
pub fn settings_text(user_data: &[u8]) -> Result<Option<String>, UserDataError> {
    if user_data.len() > USER_DATA_LEN_MAX {
        return Err(UserDataError::TooLong(user_data.len()));
    }
    let text = core::str::from_utf8(user_data).map_err(|_| UserDataError::NotText)?;
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return Ok(None);
    }
    let first = text.lines().next().unwrap_or_default();
    if let Some(other) = OTHERS.into_iter().find(|other| first.starts_with(other)) {
        return Err(UserDataError::Other(other));
    }
    let found = match first.trim_end() {
        "#cloud-config" => cloud_config(text)?,
        _ => Some(text.to_string()),
    };
    match found.as_ref().map(|text| Settings::parse(FILE, text.as_bytes())) {
        Some(Err(errors)) => Err(UserDataError::Settings(errors)),
        _ => Ok(found),
    }
}

fn cloud_config(text: &str) -> Result<Option<String>, UserDataError> {
    let Some(tree) = yaml::parse(text)? else { return Ok(None) };
    let files = match tree.get("write_files") {
        None => return Ok(None),
        Some(Node::List(files)) => files,
        Some(_) => return Err(UserDataError::Form("it must be a list")),
    };
    let path_of = |file: &&Node| file.get("path").and_then(Node::text).is_some_and(is_ours);
    files.iter().rfind(path_of).map(content).transpose()
}

/// Whether a path means the file of settings.
fn is_ours(path: &str) -> bool {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.strip_prefix("9fat/").unwrap_or(path) == FILE
}

fn content(file: &Node) -> Result<String, UserDataError> {
    if file.get("append").and_then(Node::text).is_some_and(|text| text.eq_ignore_ascii_case("true")) {
        return Err(UserDataError::Form("granary.ini is replaced whole: leave out append"));
    }
    let bytes = match file.get("content") {
        Some(Node::Text(text)) => text.as_bytes().to_vec(),
        Some(Node::Binary(text)) => base64(text.as_bytes())?,
        _ => return Err(UserDataError::Form("granary.ini has no content that is a text")),
    };
    let bytes = match file.get("encoding").and_then(Node::text).unwrap_or("text/plain") {
        "text/plain" => bytes,
        "b64" | "base64" => base64(&bytes)?,
        _ => return Err(UserDataError::Form("the encoding of granary.ini is text/plain or base64")),
    };
    String::from_utf8(bytes).map_err(|_| UserDataError::NotText)
}

/// Base64 in lines, as people and programs write it.
fn base64(text: &[u8]) -> Result<Vec<u8>, UserDataError> {
    let digits: String =
        text.iter().filter(|byte| !byte.is_ascii_whitespace()).map(|b| char::from(*b)).collect();
    Base64::decode_vec(&digits).map_err(|_| UserDataError::Form("the content of granary.ini is no base64"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    fn taken(text: &str) -> Result<Option<String>, UserDataError> {
        settings_text(text.as_bytes())
    }

    #[test]
    fn a_text_of_settings_is_taken_as_it_is() {
        let text = "# mine\nsysname=barn\nventi=10.0.0.0/8\n";
        assert_eq!(taken(text), Ok(Some(text.into())));
        assert_eq!(taken(" \n"), Ok(None));
        assert_eq!(taken(""), Ok(None));
    }

    #[test]
    fn cloud_config_writes_the_file_in_every_way_that_is_usual() {
        let plain = "content: |\n      sysname=barn\n      http=10.0.0.0/8\n";
        let encoded = "encoding: b64\n    content: c3lzbmFtZT1iYXJuCmh0dHA9MTAuMC4wLjAvOAo=\n";
        let binary = "content: !!binary |\n      c3lzbmFtZT1iYXJuCmh0\n      dHA9MTAuMC4wLjAvOAo=\n";
        for (path, entry) in
            [("granary.ini", plain), ("/9fat/granary.ini", encoded), ("9fat/granary.ini", binary)]
        {
            let text = format!(
                "#cloud-config\nhostname: x\nwrite_files:\n  - path: /etc/motd\n    content: hi\n  - path: {path}\n    {entry}"
            );
            assert_eq!(taken(&text), Ok(Some("sysname=barn\nhttp=10.0.0.0/8\n".into())), "{text}");
        }
        assert_eq!(taken("#cloud-config\nusers: [default]\n"), Ok(None));
        assert_eq!(taken("#cloud-config\nwrite_files: [{path: /etc/granary.ini, content: x}]\n"), Ok(None));
        let twice = "#cloud-config\nwrite_files: [{path: granary.ini, content: status=5}, {path: granary.ini, content: status=6}]";
        assert_eq!(taken(twice), Ok(Some("status=6".into())));
    }

    #[test]
    fn what_is_wrong_is_refused_whole_and_said() {
        let file = |rest: &str| format!("#cloud-config\nwrite_files:\n- path: granary.ini\n  {rest}\n");
        for (text, told) in [
            ("sysname=barn\nsysnome=x\nventi=nowhere\n".into(), "granary.ini:2: there is no setting"),
            ("#!/bin/sh\necho\n".into(), "begins with \"#!\""),
            ("Content-Type: multipart/mixed\n".into(), "cloud-config"),
            ("#cloud-config\na: [\n".into(), "cloud-config line"),
            ("#cloud-config\nwrite_files: 7\n".into(), "must be a list"),
            (file("append: true"), "append"),
            (file("content: [x]"), "a text"),
            (file("content: x\n  encoding: gz+b64"), "text/plain or base64"),
            (file("content: '!'\n  encoding: b64"), "no base64"),
            (file("content: nonsense"), "granary.ini:1"),
        ] {
            let error = taken(&text).unwrap_err().to_string();
            assert!(error.contains(told), "{text:?}: {error}");
        }
        assert_eq!(settings_text(&[0x1f, 0x8b, 8]), Err(UserDataError::NotText));
        let long = USER_DATA_LEN_MAX + 1;
        assert_eq!(taken(&"#".repeat(long)), Err(UserDataError::TooLong(long)));
    }
}
