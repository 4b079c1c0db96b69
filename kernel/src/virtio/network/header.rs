//! What the card and we tell each other in front of each frame.
//!
//! Knows the header (VIRTIO 1.2, section 5.1.6) and what is agreed with the card about it. Must not know queues.

use core::num::NonZeroU16;
use net::tcp::offload;

/// Bytes of header before a frame.
pub(super) const LEN: usize = 12;

/// The largest frame of several segments, in bytes with Ethernet's header: IPv4 counts up to 65535.
pub(super) const MERGED_MAX: usize = 14 + 65535;

const FEATURE_CSUM: u64 = 1 << 0;
const FEATURE_GUEST_CSUM: u64 = 1 << 1;
const FEATURE_GUEST_TSO4: u64 = 1 << 7;
const FEATURE_GUEST_TSO6: u64 = 1 << 8;
const FEATURE_HOST_TSO4: u64 = 1 << 11;
const FEATURE_MERGE_BUFFERS: u64 = 1 << 15;

const FLAG_NEEDS_CHECKSUM: u8 = 1;
const FLAG_CHECKED: u8 = 2;
const SEGMENTS_TCP4: u8 = 1;

/// What the card does for us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offload {
    /// It writes checksums.
    pub(super) sums_out: bool,
    /// It tells which checksums it knows to be good.
    pub(super) sums_in: bool,
    /// It cuts TCP over IPv4 into segments.
    pub(super) segments_out: bool,
    /// It puts a frame into as many buffers as that takes.
    pub(super) merges: bool,
}

impl Offload {
    /// The features of those that are `offered` which make sense together. Frames of several segments are asked for
    /// only where they need not fit into one buffer each: else each buffer had to be as large as the largest.
    pub(super) fn choose(offered: u64) -> u64 {
        let mut chosen = offered & (FEATURE_CSUM | FEATURE_GUEST_CSUM | FEATURE_MERGE_BUFFERS);
        if chosen & FEATURE_CSUM != 0 {
            chosen |= offered & FEATURE_HOST_TSO4;
        }
        if chosen & FEATURE_GUEST_CSUM != 0 && chosen & FEATURE_MERGE_BUFFERS != 0 {
            chosen |= offered & (FEATURE_GUEST_TSO4 | FEATURE_GUEST_TSO6);
        }
        chosen
    }

    pub(super) fn agreed(features: u64) -> Offload {
        let has = |feature: u64| features & feature != 0;
        Offload {
            sums_out: has(FEATURE_CSUM),
            sums_in: has(FEATURE_GUEST_CSUM),
            segments_out: has(FEATURE_HOST_TSO4),
            merges: has(FEATURE_MERGE_BUFFERS),
        }
    }

    /// Writes the header of `frame`, which is to be cut into segments with so many bytes each if it says so.
    pub(super) fn describe(self, header: &mut [u8], frame: &mut [u8], segment: Option<NonZeroU16>) {
        header.fill(0);
        let Some(partial) = self.sums_out.then(|| offload::leave_to_card(frame)).flatten() else { return };
        header[0] = FLAG_NEEDS_CHECKSUM;
        if let Some(len) = segment {
            header[1] = SEGMENTS_TCP4;
            header[2..4].copy_from_slice(&partial.headers.to_le_bytes());
            header[4..6].copy_from_slice(&len.get().to_le_bytes());
        }
        header[6..8].copy_from_slice(&partial.start.to_le_bytes());
        header[8..10].copy_from_slice(&partial.offset.to_le_bytes());
    }

    /// Whether `frame` is fit for smoltcp, which is told that sums of TCP need no check if the card knows some to be
    /// good.
    pub(super) fn is_sound(self, header: [u8; LEN], frame: &mut [u8]) -> bool {
        if !self.sums_in {
            return true;
        }
        if header[0] & FLAG_NEEDS_CHECKSUM != 0 {
            return offload::complete(frame, word(&header, 6), word(&header, 8));
        }
        header[0] & FLAG_CHECKED != 0 || offload::is_sound(frame)
    }

    /// In how many buffers the frame is, as the first one says.
    pub(super) fn buffers(self, header: [u8; LEN]) -> u16 {
        if self.merges { word(&header, 10) } else { 1 }
    }
}

fn word(header: &[u8; LEN], at: usize) -> u16 {
    u16::from_le_bytes([header[at], header[at + 1]])
}
