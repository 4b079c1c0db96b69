//! Frames that no honest host sends.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod tcp_support;

use net::tcp::{Ipv6Settings, NetSettings};
use proptest::prelude::*;
use smoltcp::wire::{EthernetProtocol, TcpControl};
use std::net::Ipv4Addr;
use std::time::Duration;
use tcp_support::frames::{BROADCAST, arp_request, ethernet, ipv4, tcp};
use tcp_support::{Hub, Weather, World, at, fixed, host, limits};

const HOST: [u8; 6] = [2, 0, 0, 0, 0, 1];
const EVIL: [u8; 6] = [2, 0, 0, 0, 0, 66];

/// Runs a node with a listener under these frames; it must still serve afterwards.
fn survives(frames: Vec<Vec<u8>>) {
    let world = World::default();
    let hub = Hub::new(&world, 1, Weather::default());
    let server = host(&hub, 1, NetSettings { ipv6: Ipv6Settings::Auto, ..fixed(1) }, limits());
    let client = host(&hub, 2, fixed(2), limits());
    let card = hub.card(66);
    let clock = world.clone();
    world.run(Duration::from_secs(300), async move {
        let mut listener = server.listen(1).unwrap();
        clock.sleep(Duration::from_millis(1)).await;
        card.send(&arp_request(EVIL, Ipv4Addr::new(10, 0, 0, 66), Ipv4Addr::new(10, 0, 0, 1)));
        for frame in frames {
            card.send(&frame);
            clock.sleep(Duration::from_millis(1)).await;
        }
        clock.sleep(Duration::from_secs(20)).await;
        let _stream = client.connect(at(1, 1)).await.unwrap();
        listener.accept().await;
    });
}

fn address() -> impl Strategy<Value = Ipv4Addr> {
    let own = Just(Ipv4Addr::new(10, 0, 0, 1));
    prop_oneof![4 => own, 2 => Just(Ipv4Addr::new(10, 0, 0, 66)), 1 => any::<u32>().prop_map(Ipv4Addr::from)]
}

fn control() -> impl Strategy<Value = TcpControl> {
    use TcpControl::{Fin, None, Psh, Rst, Syn};
    prop_oneof![Just(None), Just(Psh), Just(Syn), Just(Fin), Just(Rst)]
}

/// Frames that get past the first checks more often than noise does.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let noise = (any::<bool>(), prop::sample::select(vec![0x0800, 0x86dd, 0x0806, 0x1234u16]))
        .prop_flat_map(|(group, kind)| (Just((group, kind)), prop::collection::vec(any::<u8>(), 0..100)))
        .prop_map(|((group, kind), payload)| {
            ethernet(EVIL, if group { BROADCAST } else { HOST }, EthernetProtocol::from(kind), &payload)
        });
    let packet = (address(), address(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..80)).prop_map(
        |(from, to, protocol, payload)| {
            let packet =
                ipv4(from, to, protocol.into(), payload.len(), |target| target.copy_from_slice(&payload));
            ethernet(EVIL, HOST, EthernetProtocol::Ipv4, &packet)
        },
    );
    let segment = (address(), address(), control(), 0..4u32, prop::option::of(any::<u32>())).prop_map(
        |(from, to, control, sequence, ack)| {
            let packet = tcp((from, 7), (to, 1), control, sequence, ack);
            ethernet(EVIL, HOST, EthernetProtocol::Ipv4, &packet)
        },
    );
    prop_oneof![noise, packet, segment.boxed()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_frames_stops_a_node(frames in prop::collection::vec(frame(), 1..24)) {
        survives(frames);
    }

    #[test]
    fn no_single_frame_of_any_bytes_stops_a_node(bytes in prop::collection::vec(any::<u8>(), 14..120)) {
        survives(vec![bytes]);
    }
}
