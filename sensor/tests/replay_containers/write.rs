//! Writers of capture files in every shape that the readers have to understand.

use proptest::prelude::*;

/// A captured frame and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) time: u64,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

impl Order {
    fn u16(self, number: u16) -> [u8; 2] {
        match self {
            Self::Little => number.to_le_bytes(),
            Self::Big => number.to_be_bytes(),
        }
    }

    fn u32(self, number: u32) -> [u8; 4] {
        match self {
            Self::Little => number.to_le_bytes(),
            Self::Big => number.to_be_bytes(),
        }
    }

    fn u64(self, number: u64) -> [u8; 8] {
        match self {
            Self::Little => number.to_le_bytes(),
            Self::Big => number.to_be_bytes(),
        }
    }
}

/// A pcap file; times come back in whole microseconds unless `nanoseconds`.
pub(crate) fn pcap(frames: &[Frame], order: Order, nanoseconds: bool) -> Vec<u8> {
    let (magic, unit) = if nanoseconds {
        (0xa1b2_3c4d, 1)
    } else {
        (0xa1b2_c3d4, 1_000)
    };
    let mut file = order.u32(magic).to_vec();
    file.extend(order.u16(2));
    file.extend(order.u16(4));
    for field in [0, 0, 262_144, 1] {
        file.extend(order.u32(field));
    }
    for frame in frames {
        let length = frame.bytes.len() as u32;
        let fraction = (frame.time % 1_000_000_000 / unit) as u32;
        for field in [
            (frame.time / 1_000_000_000) as u32,
            fraction,
            length,
            length,
        ] {
            file.extend(order.u32(field));
        }
        file.extend(&frame.bytes);
    }
    file
}

/// Which block carries a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Block {
    Enhanced,
    Obsolete,
    /// Has no time: it takes that of the packet before.
    Simple,
}

/// A pcapng interface: `if_tsresol` (absent means microseconds) and `if_tsoffset`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interface {
    pub(crate) resolution: Option<u8>,
    pub(crate) offset_seconds: i64,
}

impl Interface {
    /// Nanoseconds to this interface's units, rounded down.
    fn units(self, time: u64) -> u64 {
        let time = time.saturating_add_signed(-self.offset_seconds * 1_000_000_000);
        match self.resolution.unwrap_or(6) {
            code @ 0..=9 => time / 10u64.pow(9 - u32::from(code)),
            code @ 10..=0x7f => time * 10u64.pow(u32::from(code) - 9),
            code => ((u128::from(time) << (code & 0x7f)) / 1_000_000_000) as u64,
        }
    }

    /// The longest step of its clock, in nanoseconds.
    pub(crate) fn step(self) -> u64 {
        match self.resolution.unwrap_or(6) {
            code @ 0..=9 => 10u64.pow(9 - u32::from(code)),
            10..=0x7f => 1,
            code => (1_000_000_000 >> (code & 0x7f)) + 2,
        }
    }
}

/// One section of a pcapng file.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) order: Order,
    pub(crate) interfaces: Vec<Interface>,
    /// Interface (modulo how many there are), block type, frame, and whether a foreign block comes before it.
    pub(crate) packets: Vec<(usize, Block, Frame, bool)>,
}

impl Section {
    fn block(&self, kind: u32, body: &[u8], file: &mut Vec<u8>) {
        let length = (12 + body.len()).next_multiple_of(4);
        file.extend(self.order.u32(kind));
        file.extend(self.order.u32(length as u32));
        file.extend(body);
        file.resize(file.len() + length - 12 - body.len(), 0);
        file.extend(self.order.u32(length as u32));
    }

    fn option(&self, code: u16, value: &[u8], body: &mut Vec<u8>) {
        body.extend(self.order.u16(code));
        body.extend(self.order.u16(value.len() as u16));
        body.extend(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }

    pub(crate) fn write(&self, file: &mut Vec<u8>) {
        let order = self.order;
        let mut header = order.u32(0x1a2b_3c4d).to_vec();
        header.extend(order.u16(1));
        header.extend(order.u16(0));
        header.extend(order.u64(u64::MAX));
        self.option(4, b"test", &mut header);
        self.option(0, &[], &mut header);
        self.block(0x0a0d_0d0a, &header, file);
        for interface in &self.interfaces {
            let mut body = order.u16(1).to_vec();
            body.extend([0, 0]);
            body.extend(order.u32(0));
            self.option(2, b"eth0", &mut body);
            if let Some(code) = interface.resolution {
                self.option(9, &[code], &mut body);
            }
            if interface.offset_seconds != 0 {
                self.option(14, &order.u64(interface.offset_seconds as u64), &mut body);
            }
            self.option(0, &[], &mut body);
            self.block(1, &body, file);
        }
        for (interface, block, frame, foreign) in &self.packets {
            if *foreign {
                self.block(0x0000_0bad, b"custom bytes", file);
            }
            let interface = interface % self.interfaces.len();
            let units = self.interfaces[interface].units(frame.time);
            let length = frame.bytes.len() as u32;
            let mut body = Vec::new();
            match block {
                Block::Enhanced => body.extend(order.u32(interface as u32)),
                Block::Obsolete => {
                    body.extend(order.u16(interface as u16));
                    body.extend(order.u16(0));
                }
                Block::Simple => body.extend(order.u32(length)),
            }
            if !matches!(block, Block::Simple) {
                for field in [(units >> 32) as u32, units as u32, length, length] {
                    body.extend(order.u32(field));
                }
            }
            body.extend(&frame.bytes);
            let kind = match block {
                Block::Enhanced => 6,
                Block::Obsolete => 2,
                Block::Simple => 3,
            };
            self.block(kind, &body, file);
        }
    }
}

/// Frames, not in order of time.
pub(crate) fn frames() -> impl Strategy<Value = Vec<Frame>> {
    proptest::collection::vec(frame(), 0..40)
}

fn frame() -> impl Strategy<Value = Frame> {
    let bytes = prop_oneof![
        8 => proptest::collection::vec(any::<u8>(), 0..100),
        1 => proptest::collection::vec(any::<u8>(), 1_000..9_000),
    ];
    (
        1_000_000_000_000_000_000..1_000_000_020_000_000_000u64,
        bytes,
    )
        .prop_map(|(time, bytes)| Frame { time, bytes })
}

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![Just(Order::Little), Just(Order::Big)]
}

/// pcap in every shape: the file and whether it keeps nanoseconds.
pub(crate) fn pcap_shapes() -> impl Strategy<Value = (Order, bool)> {
    (order(), any::<bool>())
}

pub(crate) fn sections() -> impl Strategy<Value = Vec<Section>> {
    let interface = (
        prop_oneof![
            Just(None),
            Just(Some(6u8)),
            Just(Some(9)),
            Just(Some(3)),
            Just(Some(10)),
            Just(Some(0x80 | 20)),
            Just(Some(0x80 | 30)),
        ],
        prop_oneof![Just(0i64), Just(3_600), Just(-7_200)],
    )
        .prop_map(|(resolution, offset_seconds)| Interface {
            resolution,
            offset_seconds,
        });
    let block = prop_oneof![
        4 => Just(Block::Enhanced),
        1 => Just(Block::Obsolete),
        1 => Just(Block::Simple),
    ];
    let section = (
        order(),
        proptest::collection::vec(interface, 1..4),
        proptest::collection::vec((0usize..4, block, frame(), any::<bool>()), 0..20),
    )
        .prop_map(|(order, interfaces, packets)| Section {
            order,
            interfaces,
            packets,
        });
    proptest::collection::vec(section, 1..4)
}
