//! What is asked of whom, and what comes of it.

use super::*;
use crate::metadata::place::place;
use std::vec;
use storage::cloud::Source;
use storage::cloud::smbios::System;
use storage::simulation::block_on;

/// A server of some files; what it was asked.
struct Server {
    files: Vec<(&'static str, u16, &'static str)>,
    asked: Vec<String>,
}

impl Fetch for Server {
    async fn fetch(&mut self, request: Request) -> Result<Answer, FetchError> {
        let headers: Vec<String> =
            request.headers.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        self.asked.push(format!("{} {}{}", request.method, request.path, headers.concat()));
        let file = self.files.iter().find(|(path, ..)| *path == request.path);
        let (_, status, body) = *file.unwrap_or(&("", 404, "no such thing"));
        if status == 0 { Err(FetchError::Lost) } else { Ok(Answer { status, body: body.into() }) }
    }
}

fn asked(
    system: &System,
    files: &[(&'static str, u16, &'static str)],
) -> (Result<Option<Given>, AskError>, Vec<String>) {
    let mut server = Server { files: files.to_vec(), asked: Vec::new() };
    let place = place(system).unwrap().unwrap();
    let result = block_on(ask(&place, &mut server));
    (result, server.asked)
}

fn serial(serial: &str) -> System {
    System { serial: serial.into(), ..System::default() }
}

fn made_by(manufacturer: &str, product: &str) -> System {
    System { manufacturer: manufacturer.into(), product: product.into(), ..System::default() }
}

fn given(source: Source, instance: Option<&str>, text: &str) -> Result<Option<Given>, AskError> {
    Ok(Some(Given { source, instance: instance.map(Into::into), user_data: text.into() }))
}

#[test]
fn a_seed_has_user_data_and_the_machines_name() {
    let system = serial("ds=nocloud-net;s=http://10.0.0.1:8000/x/");
    let files = [("/x/user-data", 200, "sysname=barn\n"), ("/x/meta-data", 200, "instance-id: i-1\n")];
    let (result, requests) = asked(&system, &files);
    assert_eq!(result, given(Source::NoCloudNet, Some("i-1"), "sysname=barn\n"));
    assert_eq!(requests, ["GET /x/user-data", "GET /x/meta-data"]);
    let named = serial("ds=nocloud;i=i-2;s=http://10.0.0.1:8000/x");
    assert_eq!(asked(&named, &files).0, given(Source::NoCloudNet, Some("i-2"), "sysname=barn\n"));
    assert_eq!(asked(&system, &files[..1]).0, given(Source::NoCloudNet, None, "sysname=barn\n"));
    assert_eq!(asked(&system, &[]), (Ok(None), vec!["GET /x/user-data".into()]));
}

#[test]
fn amazon_is_asked_with_a_token_and_without_one_where_it_has_none() {
    let system = made_by("Amazon EC2", "m5.large");
    let user_data = ("/latest/user-data", 200, "sysname=barn\n");
    let instance = ("/latest/meta-data/instance-id", 200, "i-0abc");
    let expected = given(Source::Metadata, Some("i-0abc"), "sysname=barn\n");
    let put = "PUT /latest/api/token X-aws-ec2-metadata-token-ttl-seconds=60";
    let (result, requests) = asked(&system, &[("/latest/api/token", 200, "AQ=="), user_data, instance]);
    assert_eq!(result, expected);
    let token = "X-aws-ec2-metadata-token=AQ==";
    let gets =
        ["/latest/user-data", "/latest/meta-data/instance-id"].map(|path| format!("GET {path} {token}"));
    assert_eq!(requests, [&[put.into()], &gets[..]].concat());
    for refused in NO_TOKENS {
        let (result, requests) = asked(&system, &[("/latest/api/token", refused, ""), user_data, instance]);
        assert_eq!(result, expected);
        assert_eq!(requests, [put, "GET /latest/user-data", "GET /latest/meta-data/instance-id"]);
    }
    for bad in ["", "a b", "a\r\nX: y"] {
        let result = asked(&system, &[("/latest/api/token", 200, bad), user_data]).0;
        assert_eq!(result, Err(AskError::Token("/latest/api/token")), "{bad:?}");
    }
}

#[test]
fn google_wants_its_header() {
    let system = made_by("Google", "Google Compute Engine");
    let path = "/computeMetadata/v1/instance/attributes/user-data";
    let (result, requests) = asked(&system, &[(path, 200, "status=5\n")]);
    assert_eq!(result, given(Source::Metadata, None, "status=5\n"));
    assert_eq!(requests[0], format!("GET {path} Metadata-Flavor=Google"));
}

#[test]
fn a_service_in_trouble_is_not_one_without_settings() {
    let system = made_by("Hetzner", "vServer");
    let path = "/hetzner/v1/userdata";
    assert_eq!(asked(&system, &[]).0, Ok(None));
    for status in [301, 401, 500, 503] {
        let expected = AskError::Status { path: path.into(), status };
        assert_eq!(asked(&system, &[(path, status, "")]).0, Err(expected));
    }
    let lost = AskError::Fetch { path: path.into(), error: FetchError::Lost };
    assert_eq!(asked(&system, &[(path, 0, "")]).0, Err(lost));
    let late = asked(&system, &[(path, 200, "status=5\n"), ("/hetzner/v1/metadata/instance-id", 503, "")]).0;
    assert!(late.is_err(), "without the machine's name it is asked again");
}
