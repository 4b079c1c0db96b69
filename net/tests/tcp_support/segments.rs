//! What cards do that take over TCP's sums and segments.

use net::tcp::offload;
use smoltcp::phy::{Checksum, DeviceCapabilities};
use smoltcp::wire::{Ipv4Packet, TcpPacket};
use std::num::{NonZeroU16, NonZeroUsize};

/// Who makes segments of what is to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Segments {
    /// The stack.
    #[default]
    Stack,
    /// The sender's card, before they are on the wire.
    Card,
    /// Nobody, as between machines on one host: frames arrive as long as they were sent, without sums.
    Nobody,
}

impl Segments {
    /// What a card offers then.
    pub fn offer(self, capabilities: &mut DeviceCapabilities) {
        capabilities.checksum.tcp = match self {
            Segments::Stack => return,
            Segments::Card => Checksum::Rx,
            Segments::Nobody => Checksum::None,
        };
        capabilities.segmentation.tcpv4 = NonZeroUsize::new(14 + 65535);
    }

    /// The frames on the wire for a frame that the stack sent.
    pub fn on_the_wire(self, mut frame: Vec<u8>, segment: Option<NonZeroU16>) -> Vec<Vec<u8>> {
        let partial = if self == Segments::Stack { None } else { offload::leave_to_card(&mut frame) };
        match (partial, segment) {
            (Some(partial), Some(len)) if self == Segments::Card => {
                let headers = usize::from(partial.headers);
                frame[headers..]
                    .chunks(len.get().into())
                    .enumerate()
                    .map(|(number, payload)| {
                        let at = number * usize::from(len.get());
                        let last = headers + at + payload.len() == frame.len();
                        one_segment(&frame[..headers], at, payload, last)
                    })
                    .collect()
            }
            (Some(_), None) if self == Segments::Card => {
                let headers = frame.clone();
                vec![one_segment(&headers, 0, &[], true)]
            }
            _ => vec![frame],
        }
    }
}

/// A segment of a frame with these headers, and with what lies `at` bytes behind them.
fn one_segment(headers: &[u8], at: usize, payload: &[u8], last: bool) -> Vec<u8> {
    let mut frame = [headers, payload].concat();
    let total = u16::try_from(frame.len() - 14).unwrap();
    let mut ip = Ipv4Packet::new_unchecked(&mut frame[14..]);
    ip.set_total_len(total);
    ip.fill_checksum();
    let (from, to) = (ip.src_addr().into(), ip.dst_addr().into());
    let mut tcp = TcpPacket::new_unchecked(ip.payload_mut());
    tcp.set_seq_number(tcp.seq_number() + at);
    tcp.set_fin(tcp.fin() && last);
    tcp.set_psh(tcp.psh() && last);
    tcp.fill_checksum(&from, &to);
    frame
}
