//! Registers and their bits, as far as the driver uses them. Offsets in the first window.

pub(super) const CONTROL: usize = 0x0000;
pub(super) const STATUS: usize = 0x0008;
/// Access to the PHY: a value of 16 bits, its register, its address, what to do, and whether that is done or failed.
pub(super) const PHY: usize = 0x0020;
pub(super) const PHY_WRITE: u32 = 1 << 26;
pub(super) const PHY_FIRST: u32 = 1 << 21;
pub(super) const PHY_DONE: u32 = 1 << 28;
pub(super) const PHY_ERROR: u32 = 1 << 30;
/// For its register 0 (IEEE 802.3, 22.2.4.1): powered, find out speed and duplex, begin anew.
pub(super) const PHY_NEGOTIATE: u32 = 1 << 12 | 1 << 9;
/// Reading (older cards) or writing ones (newer) acknowledges.
pub(super) const CAUSES: usize = 0x00c0;
pub(super) const INTERRUPTS_ON: usize = 0x00d0;
pub(super) const INTERRUPTS_OFF: usize = 0x00d8;
/// Causes that sending a message acknowledges (82574).
pub(super) const AUTO_CLEAR: usize = 0x00dc;
/// Which cause sends which message (82574).
pub(super) const VECTORS: usize = 0x00e4;
pub(super) const RX_CONTROL: usize = 0x0100;
pub(super) const TX_CONTROL: usize = 0x0400;
pub(super) const TX_GAP: usize = 0x0410;
pub(super) const RX_DELAY: usize = 0x2820;
pub(super) const RX_DELAY_MAX: usize = 0x282c;
pub(super) const TX_DELAY: usize = 0x3820;
pub(super) const TX_DELAY_MAX: usize = 0x382c;
pub(super) const RX_CHECKSUM: usize = 0x5000;
/// Among others, the choice of descriptors of the old kind, which every card here knows: 0.
pub(super) const RX_FILTER: usize = 0x5008;
pub(super) const MULTICAST: usize = 0x5200;
pub(super) const MULTICAST_WORDS: usize = 128;
pub(super) const ADDRESS_LOW: usize = 0x5400;
pub(super) const ADDRESS_HIGH: usize = 0x5404;
/// Spreading frames over queues: 0 is one queue.
pub(super) const RX_QUEUES: usize = 0x5818;

/// The two rings, and their registers from there on.
pub(super) const RX: usize = 0x2800;
pub(super) const TX: usize = 0x3800;
pub(super) const RING_LOW: usize = 0x00;
pub(super) const RING_HIGH: usize = 0x04;
pub(super) const RING_LEN: usize = 0x08;
pub(super) const RING_HEAD: usize = 0x10;
pub(super) const RING_TAIL: usize = 0x18;
pub(super) const RING_CONTROL: usize = 0x28;

pub(super) const CONTROL_RESET: u32 = 1 << 26;
/// Link on.
pub(super) const CONTROL_LINK: u32 = 1 << 6;
/// Speed found out; newer cards do so always.
pub(super) const CONTROL_SPEED: u32 = 1 << 5;
/// No link reset, no signal inverted, speed and duplex not forced, no VLAN tags taken out, no reset of the PHY.
pub(super) const CONTROL_CLEAR: u32 = 1 << 3 | 1 << 7 | 1 << 11 | 1 << 12 | 1 << 30 | 1 << 31;
pub(super) const STATUS_LINK_UP: u32 = 1 << 1;
pub(super) const ADDRESS_VALID: u32 = 1 << 31;

/// Receive: frames for us, for all, and every multicast (who is asked for is sorted out above); buffers of 2048 bytes, no
/// checksum behind the frame, nothing longer than a plain frame.
pub(super) const RX_CONTROL_ON: u32 = 1 << 1 | 1 << 4 | 1 << 15 | 1 << 26;
/// Send: short frames filled up, collisions as the manual recommends.
pub(super) const TX_CONTROL_ON: u32 = 1 << 1 | 1 << 3 | 0x0f << 4 | 0x40 << 12;
/// The gaps between frames on copper that the manual recommends.
pub(super) const TX_GAP_COPPER: u32 = 0x0060_2008;
/// The 82574 wants its thresholds counted in descriptors.
pub(super) const COUNT_DESCRIPTORS: u32 = 1 << 22;

/// Of a ring of a newer card: how its buffers are, 2 KiB each, by advanced descriptors with one buffer.
pub(super) const RX_BUFFERS: usize = 0x0c;
pub(super) const RX_BUFFERS_ADVANCED: u32 = 2 | 1 << 25;
pub(super) const QUEUE_ENABLED: u32 = 1 << 25;
/// On; descriptors are fetched by eights, and written back one by one.
pub(super) const QUEUE_ON: u32 = QUEUE_ENABLED | 8 | 8 << 8;

/// Messages of newer cards: mode, mask, causes, what is cleared and masked by sending one, and their pace.
pub(super) const MESSAGE_MODE: usize = 0x1514;
pub(super) const MESSAGES_ON: usize = 0x1524;
pub(super) const MESSAGES_OFF: usize = 0x1528;
pub(super) const MESSAGE_AUTO_CLEAR: usize = 0x152c;
pub(super) const MESSAGE_AUTO_MASK: usize = 0x1530;
pub(super) const MESSAGE_CAUSES: usize = 0x1580;
pub(super) const MESSAGE_PACE: usize = 0x1680;
/// Which message the first queues send, and the rest.
pub(super) const MESSAGE_OF_QUEUES: usize = 0x1700;
pub(super) const MESSAGE_OF_OTHERS: usize = 0x1740;
pub(super) const MESSAGES: u16 = 3;
pub(super) const MESSAGE_RECEIVED: u32 = 1 << 0;
pub(super) const MESSAGE_SENT: u32 = 1 << 1;
pub(super) const MESSAGE_OTHER: u32 = 1 << 2;
pub(super) const MESSAGES_ALL: u32 = MESSAGE_RECEIVED | MESSAGE_SENT | MESSAGE_OTHER;
/// Several messages, their own registers in use, no cause lost while they are masked.
pub(super) const MESSAGE_MODE_OWN: u32 = 1 << 0 | 1 << 4 | 1 << 31;
/// Valid: receiving sends the first, sending the second, and anything else the third.
pub(super) const MESSAGES_OF_FIRST_QUEUES: u32 = 0x80 | 0x81 << 8;
pub(super) const MESSAGE_OF_OTHERS_THIRD: u32 = 0x82 << 8;

pub(super) const CAUSE_LINK: u32 = 1 << 2;
const CAUSE_SENT: u32 = 1 << 0;
/// A frame came, buffers are few, none was left.
const CAUSE_RECEIVED: u32 = 1 << 7 | 1 << 4 | 1 << 6;
/// As messages call them: the first receive queue, the first send queue, anything else.
const CAUSE_RECEIVE_QUEUE: u32 = 1 << 20;
const CAUSE_SEND_QUEUE: u32 = 1 << 22;
pub(super) const CAUSE_OTHER: u32 = 1 << 24;
pub(super) const CAUSES_OF_RECEIVING: u32 = CAUSE_RECEIVED | CAUSE_RECEIVE_QUEUE;
pub(super) const CAUSES_OF_SENDING: u32 = CAUSE_SENT | CAUSE_SEND_QUEUE;
pub(super) const CAUSES_OF_QUEUES: u32 = CAUSE_RECEIVE_QUEUE | CAUSE_SEND_QUEUE;
/// Receive queue, send queue and the rest: entry 0, valid.
pub(super) const VECTORS_ALL_TO_FIRST: u32 = 1 << 3 | 1 << 11 | 1 << 19;
