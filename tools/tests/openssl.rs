//! Our TLS with a shared secret against OpenSSL's, both ends, all suites.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use net::auth::Secret;
use net::auth::key::SessionSecret;
use net::tls_psk::{Alert, Channel, Client, Received, Server, Step, TlsError};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use tools::host::rng::HostRng;

/// OpenSSL's names of the suites. With all of them on offer, the first is chosen.
const SUITES: [&str; 4] = [
    "PSK-CHACHA20-POLY1305",
    "PSK-AES128-CBC-SHA256",
    "PSK-AES256-CBC-SHA384:PSK-AES128-CBC-SHA256:PSK-CHACHA20-POLY1305",
    OLD_SUITE,
];
/// The one that goes with the short secret of p9sk1.
const OLD_SUITE: &str = "PSK-AES128-CBC-SHA";

fn secret(suites: &str, last: u8) -> SessionSecret {
    fn counting<const N: usize>(last: u8) -> Secret<N> {
        Secret::filled(|bytes: &mut [u8; N]| {
            bytes.iter_mut().zip(0..=255).for_each(|(byte, number)| *byte = number);
            bytes[N - 1] = last;
        })
    }
    match suites {
        OLD_SUITE => SessionSecret::P9sk1(counting(last)),
        _ => SessionSecret::Dp9ik(counting(last)),
    }
}

/// OpenSSL as a process, with the secret that ends with 255.
struct OpenSsl(Child);

impl OpenSsl {
    fn start(program: &str, suites: &str, arguments: &[&str]) -> OpenSsl {
        let digits: String = secret(suites, 255).expose().iter().map(|byte| format!("{byte:02x}")).collect();
        let mut command = Command::new("openssl");
        command.arg(program).args([
            "-tls1_2",
            "-psk_identity",
            "p9secret",
            "-psk",
            &digits,
            "-cipher",
            suites,
        ]);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        OpenSsl(command.spawn().expect("openssl is installed"))
    }

    fn client(port: u16, suites: &str) -> OpenSsl {
        OpenSsl::start("s_client", suites, &["-quiet", "-connect", &format!("127.0.0.1:{port}")])
    }

    /// A server that sends every line back to front, for one connection; and that connection.
    fn server(suites: &str) -> (OpenSsl, TcpStream) {
        let mut server = OpenSsl::start(
            "s_server",
            suites,
            &["-nocert", "-rev", "-naccept", "1", "-accept", "127.0.0.1:0"],
        );
        let lines = BufReader::new(server.0.stdout.as_mut().unwrap()).lines();
        let port = lines.map(Result::unwrap).find_map(|line| {
            let address = line.strip_prefix("ACCEPT ")?.to_owned();
            Some(address.rsplit_once(':')?.1.parse::<u16>().unwrap())
        });
        (server, TcpStream::connect(("127.0.0.1", port.unwrap())).unwrap())
    }

    /// What it complained of.
    fn ended(mut self) -> String {
        drop(self.0.stdin.take());
        let mut said = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        self.0.wait().unwrap();
        said
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        // It may have ended already.
        self.0.kill().unwrap_or_default();
        self.0.wait().unwrap();
    }
}

/// One end of ours over a socket.
struct Ours {
    stream: TcpStream,
    channel: Channel<HostRng>,
}

impl Ours {
    /// Reads `piece` bytes at a time.
    fn shake_hands(
        mut stream: TcpStream,
        piece: usize,
        mut step: impl FnMut(&mut &[u8]) -> Result<Step<HostRng>, TlsError>,
    ) -> Result<Ours, TlsError> {
        let (mut buffer, mut filled, mut taken) = (vec![0; piece], 0, 0);
        loop {
            let mut input = &buffer[taken..filled];
            let before = input.len();
            let next = step(&mut input)?;
            taken += before - input.len();
            match next {
                Step::Send(bytes) => stream.write_all(&bytes).unwrap(),
                Step::Receive => {
                    (filled, taken) = (stream.read(&mut buffer).unwrap(), 0);
                    if filled == 0 {
                        return Err(TlsError::Truncated);
                    }
                }
                Step::Done(mut channel) => {
                    assert_eq!(channel.receiver.receive(&buffer[taken..filled]), filled - taken);
                    return Ok(Ours { stream, channel: *channel });
                }
            }
        }
    }

    fn serve(stream: TcpStream, secret: SessionSecret, piece: usize) -> Result<Ours, TlsError> {
        let (mut server, mut other) = (Server::new(secret, HostRng), stream.try_clone().unwrap());
        Ours::shake_hands(stream, piece, |input| {
            let next = server.step(input);
            if let Err(error) = &next {
                other.write_all(&server.last_words(error).unwrap()).unwrap();
            }
            next
        })
    }

    fn call(stream: TcpStream, secret: SessionSecret, piece: usize) -> Result<Ours, TlsError> {
        let mut client = Client::new(secret, HostRng);
        Ours::shake_hands(stream, piece, |input| client.step(input))
    }

    fn send(&mut self, mut content: &[u8]) {
        while !content.is_empty() {
            let count = self.channel.sender.push(content).unwrap();
            content = &content[count..];
            self.flush();
        }
    }

    fn flush(&mut self) {
        let unsent = self.channel.sender.unsent();
        self.stream.write_all(unsent).unwrap();
        let count = unsent.len();
        self.channel.sender.sent(count);
    }

    fn close(mut self) {
        self.channel.sender.end(Alert::CloseNotify);
        self.flush();
    }

    /// What comes next; nothing, when the peer is done.
    fn receive(&mut self) -> Vec<u8> {
        loop {
            match self.channel.receiver.advance().unwrap() {
                Received::Content => {
                    let content = self.channel.receiver.content().to_vec();
                    self.channel.receiver.taken(content.len());
                    return content;
                }
                Received::End => return Vec::new(),
                Received::Nothing => {
                    let count = self.stream.read(self.channel.receiver.room()).unwrap();
                    assert!(count > 0, "OpenSSL closed without saying so");
                    self.channel.receiver.filled(count);
                }
            }
        }
    }
}

/// Lines of many lengths.
fn lines() -> Vec<String> {
    [0, 1, 15, 16, 17, 1000, 10_000, 16_000]
        .map(|len| "abcdefghijk".chars().cycle().take(len).collect())
        .to_vec()
}

#[test]
fn an_openssl_client_talks_to_our_server() {
    for suites in SUITES {
        for piece in [1, 4096] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut client = OpenSsl::client(listener.local_addr().unwrap().port(), suites);
            let mut ours = Ours::serve(listener.accept().unwrap().0, secret(suites, 255), piece).unwrap();
            let text = lines().join("\n");
            client.0.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
            let mut heard = Vec::new();
            while heard.len() < text.len() {
                heard.extend(ours.receive());
            }
            assert_eq!(String::from_utf8(heard).unwrap(), text);
            ours.send(text.as_bytes());
            ours.close();
            let mut said = String::new();
            client.0.stdout.as_mut().unwrap().read_to_string(&mut said).unwrap();
            assert_eq!(said, text, "{suites}");
        }
    }
}

#[test]
fn our_client_talks_to_an_openssl_server() {
    for suites in SUITES {
        for piece in [1, 4096] {
            let (server, stream) = OpenSsl::server(suites);
            let mut ours = Ours::call(stream, secret(suites, 255), piece).unwrap();
            for line in lines() {
                ours.send(format!("{line}\n").as_bytes());
                let mut heard = Vec::new();
                while heard.last() != Some(&b'\n') {
                    heard.extend(ours.receive());
                }
                let wanted: String = line.chars().rev().chain(['\n']).collect();
                assert_eq!(String::from_utf8(heard).unwrap(), wanted, "{suites}");
            }
            ours.send(b"CLOSE\n");
            assert!(ours.receive().is_empty());
            ours.close();
            server.ended();
        }
    }
}

#[test]
fn ends_with_different_secrets_part() {
    for suites in SUITES {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = OpenSsl::client(listener.local_addr().unwrap().port(), suites);
        let refused = Ours::serve(listener.accept().unwrap().0, secret(suites, 1), 4096).err();
        assert_eq!(refused, Some(TlsError::BadRecord));
        let said = client.ended();
        assert!(said.contains("alert bad record mac"), "{said}");
        let (_server, stream) = OpenSsl::server(suites);
        let refused = Ours::call(stream, secret(suites, 1), 4096).err();
        assert!(matches!(refused, Some(TlsError::Fatal(20 | 51))), "{refused:?}");
    }
}
