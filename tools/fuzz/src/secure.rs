//! 9front's authentication, with randomness that is always the same: so a peer's bytes of one run are good in the next.
//!
//! The server is the account `barn`, the client `ada`, or `barn` itself where there is no authentication server.

use crate::Input;
use crate::tls13::{Constant, Pipe, pieces};
use crate::wire::{Chunks, StoppedClock, Written};
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Nonce};
use embedded_io_async::{Read, Write};
use net::auth::dp9ik::{Nonces, draw_secret};
use net::auth::key::{aes_key, des_key};
use net::auth::p9sk1::DesTicket;
use net::auth::pak::{Exchange, Side};
use net::auth::sealed::Kind;
use net::auth::ticket::{Ticket, open_authenticator};
use net::auth::ticket_request::TicketRequest;
use net::auth::{Account, Domain, Secret, UserName};
use net::secure::{AuthServers, Caller, Identity, Means, SecureError, Secured, accept, dial};
use std::sync::LazyLock;
use storage::simulation::block_on;

static BARN: LazyLock<Account> = LazyLock::new(|| account("barn", b"hay and straw"));
static ADA: LazyLock<Account> = LazyLock::new(|| account("ada", b"a password"));

fn account(user: &str, password: &[u8]) -> Account {
    Account::new(UserName::new(user).expect("the name is short"), &aes_key(password))
}

/// The same account, with a key for p9sk1.
fn old(account: &Account) -> Account {
    account.clone().with_p9sk1(des_key(b"old hay"))
}

fn domain() -> Domain {
    Domain::new("lab").expect("the name is short")
}

fn means() -> Means<StoppedClock, Constant> {
    Means::new(StoppedClock, Constant)
}

/// A server whose client says anything. Whoever it lets in is one of the two who have an account.
pub fn secure_server(data: &[u8]) {
    let (size, rest) = pieces(data);
    let (account, offer) = match size % 2 {
        0 => (old(&BARN), &b"p9sk1@lab dp9ik@lab\0"[..]),
        _ => (BARN.clone(), &b"dp9ik@lab\0"[..]),
    };
    let identity = Identity { account, domain: domain() };
    block_on(async {
        let said = Written::default();
        let accepted = accept(Chunks { rest, size }, said.clone(), &identity, |_| true, &means()).await;
        assert!(said.0.borrow().starts_with(offer));
        finish(accepted, &["ada", "barn"]).await;
    });
}

/// A client whose server and authentication server say anything.
pub fn secure_client(data: &[u8]) {
    let mut input = Input(data);
    let (size, kind, len) = (usize::from(input.byte()) + 1, input.byte(), input.short());
    let tickets = Answers { rest: input.take(len.into()), size };
    let account = if kind & 1 == 0 { &*ADA } else { &*BARN };
    let account = if kind & 2 == 0 { account.clone() } else { old(account) };
    let caller = Caller { account, domain: None, server: None };
    block_on(async {
        let server = Chunks { rest: input.0, size };
        // An authentication server may say that the user is somebody else.
        finish(dial(server, Written::default(), &caller, &tickets, &means()).await, &[]).await;
    });
}

async fn finish<R: Read, W: Write>(secured: Result<Secured<R, W, Constant>, SecureError>, users: &[&str]) {
    let mut secured = match secured {
        Ok(secured) => secured,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert!(users.is_empty() || users.contains(&secured.user.as_str()));
    let mut buffer = [0; 500];
    while let Ok(1..) = secured.reader.read(&mut buffer).await {}
    let _ = secured.writer.write_all(b"a grain").await;
    secured.writer.close(&StoppedClock, net::secure::GOODBYE).await;
}

/// An authentication server that says these bytes; none where there are no bytes.
struct Answers<'a> {
    rest: &'a [u8],
    size: usize,
}

impl<'a> AuthServers for Answers<'a> {
    type Reader = Chunks<'a>;
    type Writer = Written;

    async fn open(&self, _: &Domain) -> Result<(Chunks<'a>, Written), String> {
        match self.rest {
            [] => Err("nobody is there".into()),
            rest => Ok((Chunks { rest, size: self.size }, Written::default())),
        }
    }
}

/// What an honest authentication server says to `ada`, who wants to talk to `barn`.
fn vouching() -> Vec<u8> {
    let (mut said, mut keys) = (vec![4], Vec::new());
    for account in [&*BARN, &*ADA] {
        let [holder, server] = [Side::Holder, Side::AuthServer]
            .map(|side| Exchange::new(side, account.points(), draw_secret(&Constant)));
        said.extend_from_slice(server.public_value());
        keys.push(server.finish(holder.public_value()).expect("the value is a point"));
    }
    let user = ADA.user();
    let ticket = Ticket {
        challenge: Nonces::draw(&Constant).challenge,
        client_user: user.clone(),
        server_user: user.clone(),
        key: draw_secret(&Constant),
    };
    said.push(4);
    said.extend_from_slice(&ticket.seal(Kind::ClientTicket, 0, &keys[1]));
    said.extend_from_slice(&ticket.seal(Kind::ServerTicket, 1, &keys[0]));
    said
}

/// What is said to a server, to a client, and to the client by an authentication server, if there is one.
pub fn conversation(is_vouched_for: bool) -> [Vec<u8>; 3] {
    let tickets = if is_vouched_for { vouching() } else { Vec::new() };
    let account = if is_vouched_for { &*ADA } else { &*BARN };
    let caller = Caller { account: account.clone(), domain: None, server: None };
    let identity = Identity { account: BARN.clone(), domain: domain() };
    let (to_server, to_client) = (Pipe::default(), Pipe::default());
    block_on(async {
        let (means, answers) = (means(), Answers { rest: &tickets, size: 100 });
        let (client, server) = futures_util::join!(
            dial(to_client.clone(), to_server.clone(), &caller, &answers, &means),
            accept(to_server.clone(), to_client.clone(), &identity, |_| true, &means),
        );
        for end in [client, server] {
            let mut end = end.expect("they know each other");
            end.writer.write_all(b"a few words").await.expect("a pipe takes everything");
            end.writer.close(&StoppedClock, net::secure::GOODBYE).await;
        }
    });
    [to_server.all(), to_client.all(), tickets]
}

/// The key of everything that is sealed here.
const KEY: u8 = 7;

/// Tickets, authenticators and requests: as they come, and as whoever has the key may seal them.
pub fn tickets(data: &[u8]) {
    let mut input = Input(data);
    let kinds = [
        Kind::ServerTicket,
        Kind::ClientTicket,
        Kind::ServerAuthenticator,
        Kind::ClientAuthenticator,
        Kind::PasswordTicket,
        Kind::PasswordRequest,
    ];
    let kind = kinds[usize::from(input.byte()) % kinds.len()];
    let is_sealed = input.byte() & 1 == 1;
    if let Some(request) = input.0.first_chunk()
        && let Ok(request) = TicketRequest::parse(request)
    {
        assert_eq!(TicketRequest::parse(&request.encode()), Ok(request.clone()));
        old_form(kind, request);
    }
    if let Some(wire) = input.0.first_chunk() {
        let opened = DesTicket::open(kind, &Secret::filled(|key| key.fill(KEY)), wire, &[1; 8]);
        assert!(opened.is_err(), "nobody guesses a key");
    }
    let key = Secret::filled(|key: &mut [u8; 32]| key.fill(KEY));
    if let Some(wire) = wire(input.0, is_sealed) {
        let challenge = if is_sealed { first(&input.0[12..]) } else { [1; 8] };
        if let Ok(ticket) = Ticket::open(kind, &key, &wire, &challenge) {
            assert!(is_sealed, "nobody guesses a key");
            let again = ticket.seal(kind, 9, &key);
            assert_eq!(Ticket::open(kind, &key, &again, &challenge), Ok(ticket));
        }
        assert!(Ticket::open(kind, &key, &wire, &[0xee; 8]).is_err() || challenge == [0xee; 8]);
    }
    if let Some(wire) = wire(input.0, is_sealed) {
        let challenge = if is_sealed { first(&input.0[12..]) } else { [1; 8] };
        let random = open_authenticator(kind, &key, &wire, &challenge);
        assert!(random.is_err() || is_sealed, "nobody guesses a key");
    }
}

/// Any names and any challenge go into a ticket of the old form and come out of it again.
fn old_form(kind: Kind, request: TicketRequest) {
    let key = Secret::filled(|key| key.fill(KEY));
    let (challenge, other) = (request.challenge, Secret::filled(|key| key.fill(!KEY)));
    let (client_user, server_user) = (request.client, request.user);
    let ticket = DesTicket { challenge, client_user, server_user, key: other };
    let wire = ticket.seal(kind, &key);
    assert!(DesTicket::open(kind, &ticket.key, &wire, &challenge).is_err());
    assert_eq!(DesTicket::open(kind, &key, &wire, &challenge), Ok(ticket));
}

fn first(bytes: &[u8]) -> [u8; 8] {
    *bytes.first_chunk().expect("there are enough bytes")
}

/// A signature, a counter and what follows; with a good tag of its own, or with whatever stands there.
fn wire<const LEN: usize>(bytes: &[u8], is_sealed: bool) -> Option<[u8; LEN]> {
    let mut wire: [u8; LEN] = *bytes.first_chunk()?;
    if is_sealed {
        let (front, tag) = wire.split_at_mut(LEN - 16);
        let (nonce, body) = front.split_at_mut(12);
        let cipher = ChaCha20Poly1305::new(&[KEY; 32].into());
        let nonce = Nonce::try_from(&*nonce).expect("a nonce has 12 bytes");
        let made = cipher.encrypt_inout_detached(&nonce, &[], body.into()).expect("it is short");
        tag.copy_from_slice(&made);
    }
    Some(wire)
}
