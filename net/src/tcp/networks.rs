//! All network cards of a node as one network: each has a [`Stack`] of its own.
//!
//! Knows which card leads where. Must not know frames, nor what the streams carry.
//!
//! # Which way
//!
//! - **Replies leave by the card that the question came in on**, as a connection belongs to one card's stack.
//! - **Calls of our own** take the card whose networks, routes and gateway fit the address best, by the longest prefix; among
//!   equals (as for link-local IPv6 addresses) one whose cable is in, then the first.
//! - **A connection that comes in by a card that we would not call back by is closed**, if another card's networks or routes
//!   fit its address better (RFC 3704, section 2.2, by feasible paths). So nobody on a public network passes for one of a private
//!   one by an address alone. Link-local addresses are every card's own: a list of networks that names them means the
//!   neighbours on all cards.
//! - Packets are not forwarded from one card to another, and a card answers for its own addresses alone.

use super::error::{ConnectError, ListenError};
use super::listener::Listener;
use super::lookup::{LookupError, Wanted};
use super::stack::Stack;
use super::status::{NetStatus, NetTotals};
use super::stream::TcpStream;
use super::udp::UdpSocket;
use crate::clock::{Clock, Instant};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::net::{IpAddr, SocketAddr};
use core::task::Poll;
use futures_util::future::select_all;

/// One card's network.
pub struct Member {
    /// Its handle.
    pub stack: Stack,
    /// Whether its cable is in.
    pub link: Box<dyn Fn() -> bool>,
}

/// The networks of a node, from any task: cheap to clone.
#[derive(Clone)]
pub struct Networks {
    members: Rc<[Member]>,
}

impl Networks {
    /// Those of these cards; the first is that of the settings without a number.
    pub fn new(members: Vec<Member>) -> Networks {
        Networks { members: members.into() }
    }

    /// The card to call `address` by.
    fn way_to(&self, address: IpAddr) -> Option<&Stack> {
        if let [only] = &*self.members {
            return Some(&only.stack);
        }
        let fit = |member: &Member| Some((member.stack.fit(address)?, (member.link)()));
        let fits = self.members.iter().filter_map(|member| Some((fit(member)?, &member.stack)));
        // The first of the best: `max_by_key` would take the last.
        let best = fits.reduce(|best, other| if other.0 > best.0 { other } else { best });
        best.map(|(_, stack)| stack)
    }

    /// Whether we would call `address` by the card of that number, or as well by it as by another.
    fn leads_back(&self, number: usize, address: IpAddr) -> bool {
        let fits = || self.members.iter().map(|member| member.stack.fit(address));
        self.members.len() == 1
            || fits().nth(number).flatten().is_some_and(|own| fits().max() == Some(Some(own)))
    }

    /// Listens on `port` of every card, until the [`Listeners`] are dropped.
    ///
    /// # Errors
    /// As [`Stack::listen`].
    pub fn listen(&self, port: u16) -> Result<Listeners, ListenError> {
        let listen = |member: &Member| member.stack.listen(port);
        let listeners = self.members.iter().map(listen).collect::<Result<_, _>>()?;
        Ok(Listeners { networks: self.clone(), listeners, next: 0 })
    }

    /// Calls `peer` by the card that leads there.
    ///
    /// # Errors
    /// As [`Stack::connect`].
    pub async fn connect(&self, peer: SocketAddr) -> Result<TcpStream, ConnectError> {
        let stack = self.way_to(peer.ip()).ok_or(ConnectError::NoAddress { peer })?;
        stack.connect(peer).await
    }

    /// A socket for datagrams, at the card that leads to `peer`.
    ///
    /// # Errors
    /// As [`Stack::udp`], and if no card leads there.
    pub fn udp(&self, peer: SocketAddr) -> Result<UdpSocket, ConnectError> {
        self.way_to(peer.ip()).ok_or(ConnectError::NoAddress { peer })?.udp(peer)
    }

    /// Whether there is an address to send to this peer from.
    pub fn can_send_to(&self, peer: SocketAddr) -> bool {
        self.way_to(peer.ip()).is_some_and(|stack| stack.can_send_to(peer))
    }

    /// The addresses of a host, by its full name: IPv4 before IPv6, at most four of each. Asks one of `servers` after
    /// the other until one knows any, each by the card that leads to it; where there are none, those that DHCP named, by the
    /// card that they were named on. Each has four seconds.
    ///
    /// # Errors
    /// A name that is none, nobody to ask, or no answer that helps.
    pub async fn look_up(
        &self,
        clock: &impl Clock,
        host: &str,
        servers: &[IpAddr],
    ) -> Result<Vec<IpAddr>, LookupError> {
        let stacks = || self.members.iter().map(|member| &member.stack);
        let set = servers.iter().filter_map(|server| Some((self.way_to(*server)?, *server)));
        let mut asked: Vec<(&Stack, IpAddr)> = set.collect();
        if servers.is_empty() {
            let named = |stack| Stack::name_servers(stack).into_iter().map(move |server| (stack, server));
            asked = stacks().flat_map(named).collect();
        }
        let wanted = stacks().map(Stack::can_call).fold(Wanted::default(), Wanted::or);
        Stack::look_up(clock, host, asked, wanted).await
    }

    /// How each card's network stands, in order.
    pub fn status(&self, now: Instant) -> Vec<NetStatus> {
        self.members.iter().map(|member| member.stack.status(now)).collect()
    }

    /// The figures of all together.
    pub fn totals(&self, now: Instant) -> NetTotals {
        NetTotals::of(&self.status(now))
    }

    /// Returns when an address of any card comes or goes, as [`Stack::addresses_changed`].
    pub async fn addresses_changed(&self) {
        let changed = |member: &Member| {
            let stack = member.stack.clone();
            Box::pin(async move { stack.addresses_changed().await })
        };
        select_all(self.members.iter().map(changed)).await;
    }
}

/// A port that is listened to on every card.
pub struct Listeners {
    networks: Networks,
    listeners: Vec<Listener>,
    /// Who is asked first, so that a busy card does not starve the others.
    next: usize,
}

impl Listeners {
    /// The next connection, from any card. Those that came by the wrong one are closed. Dropping the future loses none.
    pub async fn accept(&mut self) -> TcpStream {
        loop {
            let (number, stream) = poll_fn(|cx| {
                let count = self.listeners.len();
                for number in (self.next..count).chain(0..self.next.min(count)) {
                    let Some(listener) = self.listeners.get(number) else { continue };
                    if let Poll::Ready(stream) = listener.poll_accept(cx) {
                        self.next = (number + 1) % count;
                        return Poll::Ready((number, stream));
                    }
                }
                Poll::Pending
            })
            .await;
            let peer = stream.peer_address();
            if self.networks.leads_back(number, peer.ip()) {
                return stream;
            }
            log::debug!("{peer} came in by network {}, which does not lead there: closed", number + 1);
        }
    }
}
