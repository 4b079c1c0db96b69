//! Ten thousand connections from a hundred hosts, on a small machine: honest clients are served all the while.

use super::memory::{self, Memory};
use super::{Bench, network};
use crate::neighbour::{MACHINE, Stranger};
use crate::random::Random;
use crate::wire;
use anyhow::{Result, ensure};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress,
    IpProtocol, Ipv4Packet, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};
use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Connections that are opened.
const CONNECTIONS: u32 = 10_000;
/// Connections that come while an honest client comes, too.
const WAVE: u32 = 1000;
/// Hosts that open them.
const HOSTS: u32 = 100;
/// Connections that may wait for the machine's answer. More would be lost on the way, and harm nobody.
const UNANSWERED_MAX: u32 = 64;
/// After so long no answer will come any more.
const PATIENCE: Duration = Duration::from_millis(500);
const HARDWARE: EthernetAddress = EthernetAddress([0x02, b'f', b'l', b'o', b'o', b'd']);

/// Half-open, silent, noisy and hasty connections, as fast as the machine answers.
pub fn ten_thousand_connections(bench: &Bench) -> Result<()> {
    let (node, neighbour) = network::node_on_a_cable(bench, "64M")?;
    let machine = node.start()?;
    let hardware = neighbour.find_machine(super::BOOT_LIMIT)?;
    let mut random = Random::new(bench.seed);
    // While a flood lasts, a newcomer may lose its place before it has said hello, and comes again.
    let connect = || network::first_client(&neighbour, network::VENTI);
    let mut honest = network::first_client(&neighbour, network::VENTI)?;
    let block = random.bytes(8192);
    let score = honest.write(&block)?;
    honest.sync()?;
    let before = memory::next(&machine, || neighbour.turn())?;
    let flood = Rc::new(RefCell::new(Flood::new(hardware, bench.seed)));
    neighbour.share_with(flood.clone());
    let (mut sessions, mut slowest) = (0, Duration::ZERO);
    while flood.borrow().opened < CONNECTIONS {
        flood.borrow_mut().allowed += WAVE;
        let began = Instant::now();
        let mut newcomer = connect()?;
        let size = 1 + random.below(20_000);
        let fresh = random.bytes(size);
        let written = newcomer.write(&fresh)?;
        newcomer.sync()?;
        ensure!(newcomer.read(&written)? == fresh, "a client that came during the flood is served wrongly");
        ensure!(
            honest.read(&score)? == block,
            "a client that was there before the flood is no longer served"
        );
        sessions += 1;
        slowest = slowest.max(began.elapsed());
        while flood.borrow().opened < flood.borrow().allowed {
            neighbour.turn();
        }
    }
    flood.borrow_mut().over = true;
    let Flood { opened, established, refused, .. } = *flood.borrow();
    println!("  {opened} opened, {established} established, {refused} reset by the node");
    println!("  {sessions} honest sessions meanwhile, the slowest in {:.2} s", slowest.as_secs_f64());
    ensure!(established > CONNECTIONS / 4, "the flood hardly reached the node");
    let after = memory::settles(&machine, before, || neighbour.turn())?;
    println!("  memory: {}", shown(before, after));
    ensure!(connect()?.read(&score)? == block, "after the flood a client is not served");
    drop(honest);
    node.stop(machine)
}

pub fn shown(before: Memory, after: Memory) -> String {
    let (heap, kept) = (before.heap, after.heap);
    format!("heap {heap} bytes before, {kept} after; socket buffers {} and {}", before.buffers, after.buffers)
}

/// All hosts of the flood.
struct Flood {
    machine: EthernetAddress,
    random: Random,
    announced: bool,
    /// Connections that may be opened so far.
    allowed: u32,
    opened: u32,
    answered: u32,
    established: u32,
    refused: u32,
    heard: Instant,
    /// The flooders' programs have ended: whatever still comes for them is answered by RST, as hosts do.
    over: bool,
}

/// What becomes of a connection once the machine has answered.
#[derive(Clone, Copy)]
enum Manner {
    HalfOpen,
    Silent,
    Noisy,
    Hasty,
}

impl Flood {
    fn new(machine: EthernetAddress, seed: u64) -> Flood {
        Flood {
            machine,
            random: Random::new(seed),
            announced: false,
            allowed: 0,
            opened: 0,
            answered: 0,
            established: 0,
            refused: 0,
            heard: Instant::now(),
            over: false,
        }
    }

    fn frame(&self, packet: &[u8]) -> Vec<u8> {
        wire::ethernet(HARDWARE, self.machine, EthernetProtocol::Ipv4, packet)
    }

    fn segment(
        &self,
        from: (Ipv4Addr, u16),
        control: TcpControl,
        numbers: (TcpSeqNumber, Option<TcpSeqNumber>),
    ) -> Vec<u8> {
        self.data(from, control, numbers, &[])
    }

    fn data(
        &self,
        (address, port): (Ipv4Addr, u16),
        control: TcpControl,
        (seq_number, ack_number): (TcpSeqNumber, Option<TcpSeqNumber>),
        payload: &[u8],
    ) -> Vec<u8> {
        let segment = TcpRepr {
            src_port: port,
            dst_port: network::VENTI.port(),
            control,
            seq_number,
            ack_number,
            window_len: 8192,
            window_scale: None,
            max_seg_size: Some(1400),
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload,
        };
        self.frame(&wire::tcp(address, MACHINE, &segment))
    }

    fn hear_tcp(&mut self, source: Ipv4Addr, target: Ipv4Addr, payload: &[u8]) -> Vec<Vec<u8>> {
        let Ok(packet) = TcpPacket::new_checked(payload) else { return Vec::new() };
        let (from, to) = (IpAddress::Ipv4(source), IpAddress::Ipv4(target));
        let Ok(segment) = TcpRepr::parse(&packet, &from, &to, &ChecksumCapabilities::default()) else {
            return Vec::new();
        };
        let here = (target, segment.dst_port);
        let next = segment.ack_number.unwrap_or_default();
        match segment.control {
            TcpControl::Rst => {
                self.note_answer();
                self.refused += 1;
                Vec::new()
            }
            _ if self.over => vec![self.segment(here, TcpControl::Rst, (next, None))],
            TcpControl::Syn => {
                self.note_answer();
                self.confirm(here, next, segment.seq_number + 1)
            }
            _ => Vec::new(),
        }
    }

    fn note_answer(&mut self) {
        self.answered += 1;
        self.heard = Instant::now();
    }

    fn confirm(&mut self, here: (Ipv4Addr, u16), own: TcpSeqNumber, other: TcpSeqNumber) -> Vec<Vec<u8>> {
        let manner =
            [Manner::HalfOpen, Manner::Silent, Manner::Noisy, Manner::Hasty][usize::from(here.1 % 4)];
        if matches!(manner, Manner::HalfOpen) {
            return Vec::new();
        }
        self.established += 1;
        let mut frames = vec![self.segment(here, TcpControl::None, (own, Some(other)))];
        match manner {
            Manner::HalfOpen | Manner::Silent => {}
            Manner::Noisy => {
                let size = 1 + self.random.below(1000);
                let noise = self.random.bytes(size);
                frames.push(self.data(here, TcpControl::Psh, (own, Some(other)), &noise));
            }
            Manner::Hasty => frames.push(self.segment(here, TcpControl::Rst, (own, Some(other)))),
        }
        frames
    }
}

impl Stranger for Flood {
    fn hear(&mut self, frame: &[u8]) -> Vec<Vec<u8>> {
        let Ok(frame) = EthernetFrame::new_checked(frame) else { return Vec::new() };
        if frame.ethertype() == EthernetProtocol::Arp {
            let asked = ArpPacket::new_checked(frame.payload()).and_then(|packet| ArpRepr::parse(&packet));
            return match asked {
                Ok(ArpRepr::EthernetIpv4 {
                    operation: ArpOperation::Request,
                    source_hardware_addr,
                    source_protocol_addr,
                    target_protocol_addr,
                    ..
                }) if (0..HOSTS).any(|number| host(number) == target_protocol_addr) => {
                    vec![wire::arp(
                        HARDWARE,
                        target_protocol_addr,
                        source_protocol_addr,
                        Some(source_hardware_addr),
                    )]
                }
                _ => Vec::new(),
            };
        }
        if frame.dst_addr() != HARDWARE || frame.ethertype() != EthernetProtocol::Ipv4 {
            return Vec::new();
        }
        match Ipv4Packet::new_checked(frame.payload()) {
            Ok(packet) if packet.next_header() == IpProtocol::Tcp => {
                self.hear_tcp(packet.src_addr(), packet.dst_addr(), packet.payload())
            }
            _ => Vec::new(),
        }
    }

    fn more(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        if !self.announced {
            self.announced = true;
            frames.extend((0..HOSTS).map(|number| wire::arp(HARDWARE, host(number), MACHINE, None)));
        }
        if self.over || self.opened == self.allowed {
            return frames;
        }
        if self.heard.elapsed() > PATIENCE {
            self.answered = self.opened;
        }
        let room = UNANSWERED_MAX.saturating_sub(self.opened.saturating_sub(self.answered));
        for number in (self.opened..self.allowed).take(room as usize) {
            let port = u16::try_from(1024 + number).unwrap_or(u16::MAX);
            let first = TcpSeqNumber(self.random.next() as i32);
            frames.push(self.segment((host(number % HOSTS), port), TcpControl::Syn, (first, None)));
            self.opened = number + 1;
        }
        frames
    }
}

fn host(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(192, 0, 2, 100)) + number)
}
