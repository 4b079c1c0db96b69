//! Questions to name servers: which addresses has a host?
//!
//! Knows smoltcp's resolver, which asks over UDP and follows aliases in an answer. Must not know why somebody asks. What
//! a name server says proves nothing: whoever is called must prove himself.

use super::addresses::NAME_SERVERS_MAX;
use super::stack::{Shared, Stack};
use crate::clock::{Clock, within};
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::future::poll_fn;
use core::net::{IpAddr, SocketAddr};
use core::task::Poll;
use core::time::Duration;
use futures_util::future::join;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::dns::{GetQueryResultError, QueryHandle, Socket};
use smoltcp::wire::DnsQueryType;

/// Time for each server: enough for the question to be sent three times (after 1 s, and 2 s more).
const PATIENCE: Duration = Duration::from_secs(4);
/// Questions at once, over all tasks.
const LOOKUPS_MAX: usize = 4;

/// Why no address of a host is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// Neither settings nor DHCP name a server.
    #[error("no name server is known: name one in granary.ini (dns=ADDRESS), or write the host's IP address")]
    NoServer,
    /// No host can be called so.
    #[error("`{host}` cannot be the name of a host")]
    BadName {
        /// The name.
        host: String,
    },
    /// Several are asked already.
    #[error("too many names are being looked up already; it is tried again later")]
    TooMany,
    /// No server gave an address.
    #[error("no address of {host} from the name servers {servers}: check the name, and dns= in granary.ini")]
    NotFound {
        /// The name.
        host: String,
        /// Who was asked.
        servers: String,
    },
}

/// The kinds of addresses that are of use.
#[derive(Clone, Copy, Default)]
pub(super) struct Wanted {
    ipv4: bool,
    ipv6: bool,
}

impl Wanted {
    /// Those of either.
    pub(super) fn or(self, other: Wanted) -> Wanted {
        Wanted { ipv4: self.ipv4 || other.ipv4, ipv6: self.ipv6 || other.ipv6 }
    }
}

impl Stack {
    /// The addresses of a host, by its full name: IPv4 before IPv6, at most four of each. Asks one server after the other,
    /// each by the card that leads there, until one knows any. Each has four seconds. `wanted`: addresses of use.
    ///
    /// # Errors
    /// A name that is none, nobody to ask, or no answer that helps.
    pub(super) async fn look_up(
        clock: &impl Clock,
        host: &str,
        mut servers: Vec<(&Stack, IpAddr)>,
        wanted: Wanted,
    ) -> Result<Vec<IpAddr>, LookupError> {
        servers.truncate(NAME_SERVERS_MAX);
        if servers.is_empty() {
            return Err(LookupError::NoServer);
        }
        for (stack, server) in &servers {
            let both = join(
                stack.ask(clock, *server, host, wanted.ipv4.then_some(DnsQueryType::A)),
                stack.ask(clock, *server, host, wanted.ipv6.then_some(DnsQueryType::Aaaa)),
            );
            let (mut found, more) = match both.await {
                (Ok(found), Ok(more)) => (found, more),
                (Err(error), _) | (_, Err(error)) => return Err(error),
            };
            found.extend(more);
            if !found.is_empty() {
                return Ok(found);
            }
        }
        let servers: Vec<String> = servers.iter().map(|(_, server)| server.to_string()).collect();
        Err(LookupError::NotFound { host: host.to_string(), servers: servers.join(", ") })
    }

    /// The servers that DHCP named.
    pub(super) fn name_servers(&self) -> Vec<IpAddr> {
        self.shared.state.borrow().addresses.name_servers().into_iter().map(IpAddr::V4).collect()
    }

    /// Which addresses could be called by this card.
    pub(super) fn can_call(&self) -> Wanted {
        let state = self.shared.state.borrow();
        let ipv4 = state.iface.ipv4_addr().is_some();
        Wanted { ipv4, ipv6: state.addresses.ipv6_gateway().is_some() }
    }

    /// One question; an empty answer, or none in time, is nothing.
    async fn ask(
        &self,
        clock: &impl Clock,
        server: IpAddr,
        host: &str,
        kind: Option<DnsQueryType>,
    ) -> Result<Vec<IpAddr>, LookupError> {
        let kind = kind.filter(|_| self.can_send_to(SocketAddr::new(server, 0)));
        let Some(kind) = kind else { return Ok(Vec::new()) };
        let question = Question::new(&self.shared, server, host, kind)?;
        let deadline = clock.now().plus(PATIENCE);
        Ok(within(clock, deadline, question.answer()).await.unwrap_or_default())
    }
}

/// A question on its way; its socket is closed when it is dropped.
struct Question {
    shared: Rc<Shared>,
    socket: SocketHandle,
    query: QueryHandle,
}

impl Question {
    fn new(
        shared: &Rc<Shared>,
        server: IpAddr,
        host: &str,
        kind: DnsQueryType,
    ) -> Result<Question, LookupError> {
        let mut state = shared.state.borrow_mut();
        let state = &mut *state;
        let sockets = &mut state.sockets.set;
        let asked = sockets.iter().filter(|(_, socket)| matches!(socket, smoltcp::socket::Socket::Dns(_)));
        if asked.count() >= LOOKUPS_MAX {
            return Err(LookupError::TooMany);
        }
        let mut socket = Socket::new(&[server.into()], Vec::new());
        let query = socket.start_query(state.iface.context(), host, kind);
        let query = query.map_err(|_| LookupError::BadName { host: host.to_string() })?;
        let socket = sockets.add(socket);
        state.kick();
        Ok(Question { shared: shared.clone(), socket, query })
    }

    /// Waits as long as smoltcp asks.
    async fn answer(&self) -> Vec<IpAddr> {
        poll_fn(|cx| {
            let mut state = self.shared.state.borrow_mut();
            let socket = state.sockets.set.get_mut::<Socket<'static>>(self.socket);
            match socket.get_query_result(self.query) {
                Ok(addresses) => Poll::Ready(addresses.into_iter().map(IpAddr::from).collect()),
                Err(GetQueryResultError::Failed) => Poll::Ready(Vec::new()),
                Err(GetQueryResultError::Pending) => {
                    socket.register_query_waker(self.query, cx.waker());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.shared.state.borrow_mut().sockets.set.remove(self.socket);
    }
}
