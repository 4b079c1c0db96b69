//! The calendar's time from a time server: SNTP (RFC 4330, RFC 5905), by the `sntpc` crate.
//!
//! Knows how a reading becomes a time. Must not know what clock it sets.

use crate::tcp::UdpSocket;
use core::net::SocketAddr;
use core::time::Duration;
use sntpc::{NtpContext, NtpTimestampGenerator, NtpUdpSocket, fraction_to_microseconds};

/// The port of time servers.
pub const PORT: u16 = 123;
/// An answer that takes longer is none.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// How long a reading is good for.
pub const INTERVAL: Duration = Duration::from_secs(1800);
/// How long to wait after a failure, at first and at last.
pub const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// Why there is no time.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0:?}")]
pub struct SntpError(sntpc::Error);

/// A clock: microseconds since 1970.
#[derive(Clone, Copy)]
struct Now<F>(F, u64);

impl<F: Fn() -> u64> NtpTimestampGenerator for Now<F> {
    fn init(&mut self) {
        self.1 = (self.0)();
    }

    fn timestamp_sec(&self) -> u64 {
        self.1 / 1_000_000
    }

    fn timestamp_subsec_micros(&self) -> u32 {
        (self.1 % 1_000_000) as u32
    }
}

impl NtpUdpSocket for UdpSocket {
    async fn send_to(&self, data: &[u8], peer: SocketAddr) -> sntpc::Result<usize> {
        let sent = UdpSocket::send_to(self, data, peer).await;
        sent.map(|()| data.len()).map_err(|_| sntpc::Error::Network)
    }

    async fn recv_from(&self, room: &mut [u8]) -> sntpc::Result<(usize, SocketAddr)> {
        Ok(self.receive(room).await)
    }
}

/// Asks `server` once; `now` is the clock that is to be set. Returns what it should say: microseconds since 1970. Who
/// waits for it must set an end ([`PATIENCE`]).
///
/// # Errors
/// If the server cannot be asked, does not know the time itself, or answers something else.
pub async fn ask(
    socket: &impl NtpUdpSocket,
    server: SocketAddr,
    now: impl Fn() -> u64 + Copy,
) -> Result<u64, SntpError> {
    let reading = sntpc::get_time(server, socket, NtpContext::new(Now(now, 0))).await.map_err(SntpError)?;
    let sent = reading.sec() * 1_000_000 + u64::from(fraction_to_microseconds(reading.sec_fraction()));
    Ok(sent + reading.roundtrip() / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::RefCell;
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};
    use std::vec;
    use std::vec::Vec;

    /// Seconds from 1900 to 1970.
    const EPOCH: u64 = 2_208_988_800;

    /// Makes an answer to a request.
    type Answer = fn(&[u8]) -> Vec<u8>;

    /// A server that answers in a way of its own.
    struct Server {
        asked: RefCell<Vec<u8>>,
        answer: Answer,
    }

    impl NtpUdpSocket for Server {
        async fn send_to(&self, data: &[u8], _: SocketAddr) -> sntpc::Result<usize> {
            *self.asked.borrow_mut() = data.to_vec();
            Ok(data.len())
        }

        async fn recv_from(&self, room: &mut [u8]) -> sntpc::Result<(usize, SocketAddr)> {
            let answer = (self.answer)(&self.asked.borrow());
            let len = answer.len().min(room.len());
            room[..len].copy_from_slice(&answer[..len]);
            Ok((len, ADDRESS.parse().unwrap()))
        }
    }

    const ADDRESS: &str = "10.0.0.1:123";

    fn answer(request: &[u8]) -> Vec<u8> {
        let mut answer = vec![0; 48];
        (answer[0], answer[1]) = (0x24, 2);
        answer[24..32].copy_from_slice(&request[40..48]);
        for at in [16, 32, 40] {
            let time = (1_800_000_000 + EPOCH) << 32 | 0x8000_0000;
            answer[at..at + 8].copy_from_slice(&time.to_be_bytes());
        }
        answer
    }

    fn asked(answer: Answer) -> Result<u64, SntpError> {
        let server = Server { asked: RefCell::default(), answer };
        // A clock that has stood at its start.
        let mut asking = pin!(ask(&server, ADDRESS.parse().unwrap(), || 7_000_000));
        match asking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(time) => time,
            Poll::Pending => panic!("this server answers at once"),
        }
    }

    #[test]
    fn a_good_answer_is_the_time_also_for_a_clock_that_knows_nothing() {
        let time = asked(answer).unwrap();
        assert!(time.abs_diff(1_800_000_000_500_000) < 10, "{time}");
    }

    #[test]
    fn answers_to_something_else_unsynchronised_or_short_are_none() {
        let broken: [Answer; 5] = [
            |request| {
                let mut answer = answer(request);
                answer[31] ^= 1;
                answer
            },
            |request| {
                let mut answer = answer(request);
                answer[0] |= 0xc0;
                answer
            },
            |request| {
                let mut answer = answer(request);
                answer[1] = 0;
                answer
            },
            |request| answer(request)[..40].to_vec(),
            |_| Vec::new(),
        ];
        for answer in broken {
            assert!(asked(answer).is_err());
        }
    }
}
