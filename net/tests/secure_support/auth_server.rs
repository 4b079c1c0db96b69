//! An authentication server with a few accounts, for tests: the other side of `dp9ik`'s key agreement.

use net::auth::dp9ik::draw_secret;
use net::auth::key::aes_key;
use net::auth::pak::{Exchange, PublicValue, Side};
use net::auth::sealed::Kind;
use net::auth::ticket::Ticket;
use net::auth::ticket_request::{REQUEST_LEN, TicketRequest};
use net::auth::{Account, Secret, UserName};
use net::rng::Rng;
use std::collections::HashMap;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const OK: u8 = 4;

/// The account `user` with its password.
pub fn account(user: &str, password: &str) -> Account {
    Account::new(UserName::new(user).unwrap(), &aes_key(password.as_bytes()))
}

/// Knows accounts, and vouches for them.
pub struct AuthServer<R> {
    accounts: HashMap<String, Account>,
    rng: R,
}

impl<R: Rng> AuthServer<R> {
    pub fn new(accounts: &[(&str, &str)], rng: R) -> AuthServer<R> {
        let accounts = accounts.iter().map(|(user, password)| (user.to_string(), account(user, password)));
        AuthServer { accounts: accounts.collect(), rng }
    }

    /// One request for tickets. `None`: the client closed before it was done.
    pub async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
        let request = read_request(&mut stream).await?;
        let (for_server, server_key) = self.agree(&request.server, read_value(&mut stream).await?);
        let (for_client, client_key) = self.agree(&request.client, read_value(&mut stream).await?);
        stream.write_all(&[&[OK][..], &for_server, &for_client].concat()).await.ok()?;
        let request = read_request(&mut stream).await?;
        let ticket = Ticket {
            challenge: request.challenge,
            client_user: request.user.clone(),
            server_user: request.user,
            key: draw_secret(&self.rng),
        };
        let client_ticket = ticket.seal(Kind::ClientTicket, 0, &client_key);
        let server_ticket = ticket.seal(Kind::ServerTicket, 1, &server_key);
        stream.write_all(&[&[OK][..], &client_ticket, &server_ticket].concat()).await.ok()
    }

    /// Unknown accounts are not told: their key is none that anybody knows.
    fn agree(&self, user: &UserName, theirs: PublicValue) -> (PublicValue, Secret<32>) {
        let unknown = || account(user.as_str(), &self.rng.next_u64().to_string());
        let account = self.accounts.get(user.as_str()).cloned().unwrap_or_else(unknown);
        let exchange = Exchange::new(Side::AuthServer, account.points(), draw_secret(&self.rng));
        (*exchange.public_value(), exchange.finish(&theirs).unwrap())
    }
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<TicketRequest> {
    let mut request = [0; REQUEST_LEN];
    stream.read_exact(&mut request).await.ok()?;
    Some(TicketRequest::parse(&request).unwrap())
}

async fn read_value(stream: &mut (impl AsyncRead + Unpin)) -> Option<PublicValue> {
    let mut value = [0; 56];
    stream.read_exact(&mut value).await.ok()?;
    Some(value)
}
