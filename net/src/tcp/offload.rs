//! TCP's checksum, where a network card shares the work.
//!
//! Knows where in an Ethernet frame the sum is and what it covers (RFC 9293, section 3.1; RFC 8200, section 8.1).
//! Must not know cards: theirs is the decision which sums are left to them.
//!
//! Only TCP is ever left to a card. smoltcp checks and writes the sums of everything else, which is little.

use smoltcp::wire::{
    ETHERNET_HEADER_LEN, EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket,
    checksum,
};

/// Where TCP's header has its checksum, in bytes from its start.
const CHECKSUM_AT: usize = 16;

/// What a card has to know to write a checksum itself: it sums up everything from `start` on and writes the
/// complement `offset` bytes behind `start`. Both in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialChecksum {
    /// Where TCP's header starts in the frame.
    pub start: u16,
    /// Where the checksum is, from there.
    pub offset: u16,
    /// Where TCP's payload starts in the frame.
    pub headers: u16,
}

/// What a frame carries, as far as checksums go.
enum Content {
    Tcp(Segment),
    /// A part of a packet of TCP: no part alone can be checked, and smoltcp puts none together.
    Fragment,
    Other,
}

/// A TCP segment in a frame.
struct Segment {
    /// Where its header starts.
    start: usize,
    /// Where its payload starts.
    payload: usize,
    /// Where it ends; padding may follow.
    end: usize,
    /// The sum over addresses, protocol and length.
    pseudo_header: u16,
}

/// Whether `frame` has a good checksum if it carries TCP; whatever else it carries is for smoltcp to check.
/// Not for parts of packets, which nobody here can check.
pub fn is_sound(frame: &[u8]) -> bool {
    match content(frame) {
        Content::Tcp(segment) => {
            let sum = checksum::data(&frame[segment.start..segment.end]);
            checksum::combine(&[segment.pseudo_header, sum]) == u16::MAX
        }
        Content::Fragment => false,
        Content::Other => true,
    }
}

/// Finishes a frame that was received on the same machine as it was sent, so that its checksum, `offset` bytes
/// behind `start`, was left open (VIRTIO 1.2, section 5.1.6.4): TCP's is as good as checked, any other is written.
/// Whether `frame` makes sense so.
pub fn complete(frame: &mut [u8], start: u16, offset: u16) -> bool {
    match content(frame) {
        Content::Tcp(_) => return true,
        Content::Fragment => return false,
        Content::Other => {}
    }
    let (start, offset) = (usize::from(start), usize::from(offset));
    let Some(covered) = frame.get_mut(start..).filter(|covered| covered.len() >= offset + 2) else {
        return false;
    };
    let sum = !checksum::data(covered);
    // In UDP zero says that there is no sum; it never is one elsewhere either, as no packet is all zeros.
    let sum = if sum == 0 { u16::MAX } else { sum };
    covered[offset..offset + 2].copy_from_slice(&sum.to_be_bytes());
    true
}

/// Leaves the checksum of `frame` to the card that will send it, if it carries TCP: in its place is then the sum
/// of what is in no header of TCP's, as cards want it (VIRTIO 1.2, section 5.1.6.2).
pub fn leave_to_card(frame: &mut [u8]) -> Option<PartialChecksum> {
    let Content::Tcp(segment) = content(frame) else { return None };
    let at = segment.start + CHECKSUM_AT;
    frame[at..at + 2].copy_from_slice(&segment.pseudo_header.to_be_bytes());
    let field = |value: usize| u16::try_from(value).ok();
    Some(PartialChecksum {
        start: field(segment.start)?,
        offset: field(CHECKSUM_AT)?,
        headers: field(segment.payload)?,
    })
}

fn content(bytes: &[u8]) -> Content {
    let Ok(frame) = EthernetFrame::new_checked(bytes) else { return Content::Other };
    match frame.ethertype() {
        EthernetProtocol::Ipv4 => in_ipv4(frame.payload()),
        EthernetProtocol::Ipv6 => in_ipv6(frame.payload()),
        _ => Content::Other,
    }
}

fn in_ipv4(packet: &[u8]) -> Content {
    let Ok(ip) = Ipv4Packet::new_checked(packet) else { return Content::Other };
    if ip.next_header() != IpProtocol::Tcp {
        return Content::Other;
    }
    if ip.more_frags() || ip.frag_offset() != 0 {
        return Content::Fragment;
    }
    let (start, end) = (usize::from(ip.header_len()), usize::from(ip.total_len()));
    segment(packet, start, end, |len| {
        checksum::pseudo_header_v4(&ip.src_addr(), &ip.dst_addr(), IpProtocol::Tcp, len)
    })
}

fn in_ipv6(packet: &[u8]) -> Content {
    let Ok(ip) = Ipv6Packet::new_checked(packet) else { return Content::Other };
    let (mut next, mut start) = (ip.next_header(), ip.header_len());
    let end = start + usize::from(ip.payload_len());
    // Of the headers in between smoltcp knows this one: its own successor, and its length in eights after the first.
    while next == IpProtocol::HopByHop {
        let Some(&[after, eights]) = packet.get(start..start + 2) else { return Content::Other };
        (next, start) = (IpProtocol::from(after), start + 8 * (usize::from(eights) + 1));
    }
    if next != IpProtocol::Tcp {
        return Content::Other;
    }
    segment(packet, start, end, |len| {
        checksum::pseudo_header_v6(&ip.src_addr(), &ip.dst_addr(), IpProtocol::Tcp, len)
    })
}

/// The segment at `start..end` of a packet, if it is one; else smoltcp will find it broken as well.
fn segment(packet: &[u8], start: usize, end: usize, pseudo_header: impl FnOnce(u32) -> u16) -> Content {
    let Some(Ok(tcp)) = packet.get(start..end).map(TcpPacket::new_checked) else { return Content::Other };
    let Ok(len) = u32::try_from(end - start) else { return Content::Other };
    Content::Tcp(Segment {
        start: ETHERNET_HEADER_LEN + start,
        payload: ETHERNET_HEADER_LEN + start + usize::from(tcp.header_len()),
        end: ETHERNET_HEADER_LEN + end,
        pseudo_header: pseudo_header(len),
    })
}

#[cfg(test)]
mod tests;
