//! The same with p9sk1: what was recorded of it, and who speaks it.

use super::client::Event as ClientEvent;
use super::server::Event as ServerEvent;
use super::tests::{PIECES, Recorded, call, run, serve};
use super::{Client, ClientError, Nonces, Server, ServerError, TicketError};
use crate::auth::account::Account;
use crate::auth::fixtures::{array, fixture, list, text};
use crate::auth::key::{aes_key, des_key};
use crate::auth::name::{Domain, UserName};
use crate::auth::p9any::{NoAgreement, Version};
use crate::auth::sealed::Unopened;
use crate::auth::secret::Secret;
use crate::auth::ticket::Worthless;
use std::vec::Vec;

/// An account that speaks both.
fn account(user: &str, password: &str) -> Account {
    let account = Account::new(UserName::new(user).unwrap(), &aes_key(password.as_bytes()));
    account.with_p9sk1(des_key(password.as_bytes()))
}

fn recorded() -> Recorded {
    let all = fixture("p9sk1-008c");
    let users = &all["values"]["users"];
    let of = |user: &str, password: &str| account(text(&users[user]), text(&users[password]));
    Recorded {
        version: Version::V1,
        server: of("server_authid", "server_password"),
        client: of("client", "client_password"),
        domain: Domain::new(text(&users["authdom"])).unwrap(),
        all,
    }
}

fn scalar() -> Secret<56> {
    Secret::filled(|scalar| scalar.fill(1))
}

fn server(recorded: &Recorded) -> Server<'_> {
    let challenge = array(&recorded.all["values"]["ticket"]["CHs"]);
    let nonces = Nonces { challenge, random: [0; 32] };
    Server::new(&recorded.server, &recorded.domain, recorded.version, nonces, scalar()).unwrap()
}

fn client(recorded: &Recorded) -> Client<'_> {
    let challenge = array(&recorded.all["values"]["ticket"]["CHc"]);
    Client::new(&recorded.client, None, Nonces { challenge, random: [0; 32] })
}

/// What the client heard, with an offer of p9sk1 alone: where there is dp9ik, ours takes that.
fn heard_by_client(recorded: &Recorded) -> Vec<u8> {
    let steps = list(&recorded.all["auth_steps"]);
    let offer = text(&steps[0]["text"]);
    assert_eq!((&steps[0]["dir"], offer), (&"S->C".into(), "p9sk1@lab.example dp9ik@lab.example"));
    [b"p9sk1@lab.example\0", &recorded.sent("S->C")[offer.len() + 1..]].concat()
}

#[test]
fn the_server_says_what_9fronts_said() {
    let recorded = recorded();
    for piece in PIECES {
        let heard = [&recorded.sent("C->S")[..], b"TLS"].concat();
        let (mut server, mut input, mut sent) = (server(&recorded), &heard[..], Vec::new());
        let event = run(|bytes| server.step(bytes), &mut input, piece, &mut sent).unwrap();
        let user = UserName::new(text(&recorded.all["values"]["users"]["client"])).unwrap();
        assert_eq!(event, ServerEvent::MayConnect(user.clone()));
        server.admit();
        let event = run(|bytes| server.step(bytes), &mut input, piece, &mut sent).unwrap();
        let ServerEvent::Established(established) = event else { panic!("{event:?}") };
        assert_eq!((established.user, sent), (user, recorded.sent("S->C")));
        let secret: [u8; 8] = array(&recorded.all["values"]["session_secret"]);
        assert_eq!((established.secret.expose(), input), (&secret[..], &b"TLS"[..]));
    }
}

#[test]
fn the_client_says_what_9fronts_said() {
    let recorded = recorded();
    for piece in PIECES {
        let heard = [&heard_by_client(&recorded)[..], b"TLS"].concat();
        let (mut client, mut input, mut sent) = (client(&recorded), &heard[..], Vec::new());
        let event = run(|bytes| client.step(bytes), &mut input, piece, &mut sent).unwrap();
        assert_eq!(event, ClientEvent::FetchTickets(recorded.domain.clone()));

        let mut tickets = client.ticket_client(scalar()).unwrap();
        let (answers, mut asked) = (recorded.sent("A->C"), Vec::new());
        let got = run(|bytes| tickets.step(bytes), &mut &answers[..], piece, &mut asked).unwrap();
        assert_eq!(asked, recorded.sent("C->A"));
        client.use_tickets(got).unwrap();

        let event = run(|bytes| client.step(bytes), &mut input, piece, &mut sent).unwrap();
        let ClientEvent::Established(established) = event else { panic!("{event:?}") };
        let secret: [u8; 8] = array(&recorded.all["values"]["session_secret"]);
        assert_eq!((sent, established.secret.expose()), (recorded.sent("C->S"), &secret[..]));
        assert_eq!(input, b"TLS");
    }
}

#[test]
fn an_account_without_a_key_for_it_refuses_it_at_either_end() {
    let mut recorded = recorded();
    let without = |account: &Account| Account::new(account.user().clone(), &aes_key(b"any"));
    (recorded.client, recorded.server) = (without(&recorded.client), without(&recorded.server));
    let (mut client, mut server) = (client(&recorded), server(&recorded));
    let refused =
        run(|bytes| client.step(bytes), &mut &heard_by_client(&recorded)[..], 5000, &mut Vec::new());
    assert!(matches!(refused, Err(ClientError::Negotiation(NoAgreement::NotOffered { .. }))), "{refused:?}");
    let refused = run(|bytes| server.step(bytes), &mut &recorded.sent("C->S")[..], 5000, &mut Vec::new());
    assert!(matches!(refused, Err(ServerError::Negotiation(NoAgreement::NotChosen(_)))), "{refused:?}");
}

#[test]
fn the_server_lets_nothing_pass_that_was_altered() {
    let recorded = recorded();
    let heard = recorded.sent("C->S");
    let ticket = heard.len() - 85;
    // The challenges and the key lie under all that follows; names and what lies behind them show in the authenticator.
    for at in (0..17).chain(ticket..heard.len() - 4) {
        let mut altered = heard.clone();
        altered[at] ^= 1;
        altered.resize(altered.len() + 200, 0);
        let (mut server, mut input) = (server(&recorded), &altered[..]);
        let refused = run(|bytes| server.step(bytes), &mut input, 5000, &mut Vec::new());
        assert!(refused.is_err(), "byte {at}: {refused:?}");
    }
}

#[test]
fn old_messages_and_wrong_passwords_are_refused() {
    let mut recorded = recorded();
    let nonces = Nonces { challenge: [1; 8], random: [0; 32] };
    let mut later = Server::new(&recorded.server, &recorded.domain, Version::V1, nonces, scalar()).unwrap();
    let refused = run(|bytes| later.step(bytes), &mut &recorded.sent("C->S")[..], 5000, &mut Vec::new());
    let wrong = Worthless::Unopened(Unopened::WrongKey);
    assert_eq!(refused, Err(ServerError::Ticket(wrong)));

    recorded.client = account("ada", "guess");
    let mut client = client(&recorded);
    run(|bytes| client.step(bytes), &mut &heard_by_client(&recorded)[..], 5000, &mut Vec::new()).unwrap();
    let mut tickets = client.ticket_client(scalar()).unwrap();
    let answers = recorded.sent("A->C");
    let refused = run(|bytes| tickets.step(bytes), &mut &answers[..], 5000, &mut Vec::new());
    assert_eq!(refused, Err(TicketError::Ticket(wrong)));
}

/// Both ends, without an authentication server, after an offer of p9sk1 alone.
fn alone(user: &str, password: &str) -> Result<Vec<u8>, std::string::String> {
    let (ours, theirs) = (account("venti", "secret"), account(user, password));
    let domain = Domain::new("lab").unwrap();
    let nonces = |fill| Nonces { challenge: [fill; 8], random: [fill; 32] };
    let mut server = Server::new(&ours, &domain, Version::V1, nonces(1), scalar()).unwrap();
    let mut client = Client::new(&theirs, None, nonces(2));
    let (mut to_server, mut to_client) = (Vec::new(), b"p9sk1@lab\0".to_vec());
    serve(&mut server, b"", &mut Vec::new())?;
    loop {
        let heard = core::mem::take(&mut to_client);
        let at_client = call(&mut client, &heard, &mut to_server)?;
        let heard = core::mem::take(&mut to_server);
        let at_server = serve(&mut server, &heard, &mut to_client)?;
        if let Some(established) = at_client {
            return Ok(established.secret.expose().to_vec());
        }
        if let Some(established) = at_server {
            let heard = core::mem::take(&mut to_client);
            let at_client = call(&mut client, &heard, &mut to_server)?.unwrap();
            assert_eq!(at_client, established);
            return Ok(established.secret.expose().to_vec());
        }
    }
}

#[test]
fn a_client_of_the_servers_own_account_needs_no_authentication_server() {
    assert_eq!(alone("venti", "secret").unwrap().len(), 8);
    assert!(alone("ada", "secret").unwrap_err().contains("can only connect to itself"));
    assert!(alone("venti", "guess").unwrap_err().contains("another key"));
}
