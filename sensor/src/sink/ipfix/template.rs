//! Templates: which information elements a record has, in which order (RFC 7011 §3.4.1).
//!
//! A record has what its flow has, and no more: no ports where there are none, no TCP flags of UDP, no VLAN where there was no
//! tag. So there is a template for each such shape, and its id says which.

use super::{
    TEMPLATE_SET,
    field::{Field, What},
};
use crate::flow::FlowRecord;

/// Private enterprise number of reverse information elements (RFC 5103 §6.1).
pub const REVERSE_PEN: u32 = 29_305;
/// First id that a template may have (RFC 7011 §3.4.1).
const FIRST_TEMPLATE: u16 = 256;

/// An information element as a template names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// IANA's number.
    pub id: u16,
    /// Bytes of the value.
    pub bytes: u16,
    /// Whether it is about what the responder sent.
    pub reverse: bool,
}

/// What a record has beside what all have. One template each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape(u8);

const PORTS: u8 = 1;
const TCP: u8 = 2;
const ICMP: u8 = 3;
const TRANSPORT: u8 = 3;
const V6: u8 = 1 << 2;
const BIFLOW: u8 = 1 << 3;
const VLAN: u8 = 1 << 4;
const NANOSECONDS: u8 = 1 << 5;
const ARP: u8 = 1 << 6;

impl Shape {
    /// How many there are.
    pub const COUNT: usize = 128;

    /// Of a flow's record.
    pub(super) fn of(record: &FlowRecord, biflow: bool, nanoseconds: bool) -> Self {
        let key = &record.key;
        let transport = match (key.is_whole(), key.protocol) {
            (true, 6) => TCP,
            (true, 17 | 33 | 132 | 136) => PORTS,
            (true, 1 | 58) => ICMP,
            _ => 0,
        };
        let flag = |is: bool, bit: u8| if is { bit } else { 0 };
        Self(
            transport
                | flag(record.source().is_ipv6(), V6)
                | flag(biflow, BIFLOW)
                | flag(record.counters.vlan != 0, VLAN)
                | flag(nanoseconds, NANOSECONDS)
                | flag(key.is_arp(), ARP),
        )
    }

    /// Of the template with this id, if it is one of ours.
    pub fn of_template(id: u16) -> Option<Self> {
        let bits = id.checked_sub(FIRST_TEMPLATE)?;
        (usize::from(bits) < Self::COUNT).then_some(Self(bits as u8))
    }

    /// Id of its template.
    pub const fn template_id(self) -> u16 {
        FIRST_TEMPLATE + self.0 as u16
    }

    /// Its bit in a set of shapes.
    pub(super) const fn bit(self) -> u128 {
        1 << self.0
    }

    /// The shapes in a set of shapes.
    pub(super) fn all(set: u128) -> impl Iterator<Item = Self> {
        (0..Self::COUNT as u8)
            .map(Self)
            .filter(move |shape| set & shape.bit() != 0)
    }

    const fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    /// Fields of a record, in order.
    ///
    /// Reverse elements come first: nfdump takes those that it does not know for the forward ones of the same number, and of
    /// two the later wins.
    pub(super) fn fields(self) -> Vec<Field> {
        let transport = self.0 & TRANSPORT;
        let counts = [
            What::Bytes,
            What::Packets,
            What::PayloadBytes,
            What::LengthMin,
            What::LengthMax,
        ];
        let hops: &[What] = match self.has(ARP) {
            true => &[],
            false => &[What::TtlMin, What::TtlMax],
        };
        let side = |reverse: bool| {
            let flags = (transport == TCP).then_some(What::TcpFlags);
            counts
                .into_iter()
                .chain(hops.iter().copied())
                .chain(flags)
                .map(move |what| Field { what, reverse })
        };
        let mut fields = Vec::with_capacity(32);
        if self.has(BIFLOW) {
            fields.extend(side(true));
        }
        let mut whole = vec![What::FlowId];
        whole.extend(match self.has(NANOSECONDS) {
            true => [What::StartNanoseconds, What::EndNanoseconds],
            false => [What::StartMilliseconds, What::EndMilliseconds],
        });
        whole.extend(match self.has(V6) {
            true => [What::Source6, What::Destination6],
            false => [What::Source4, What::Destination4],
        });
        match (transport, self.has(V6)) {
            (PORTS | TCP, _) => whole.extend([What::SourcePort, What::DestinationPort]),
            (ICMP, false) => whole.push(What::Icmp4),
            (ICMP, true) => whole.push(What::Icmp6),
            _ => {}
        }
        whole.extend([
            match self.has(ARP) {
                true => What::EtherType,
                false => What::Protocol,
            },
            What::EndReason,
            What::Direction,
            What::Interface,
        ]);
        if self.has(VLAN) {
            whole.extend([What::Vlan, What::CustomerVlan]);
        }
        let forward = |what| Field {
            what,
            reverse: false,
        };
        fields.extend(whole.into_iter().map(forward));
        fields.extend(side(false));
        fields
    }

    /// Elements of a record, in order.
    pub fn elements(self) -> Vec<Element> {
        self.fields().into_iter().map(Field::element).collect()
    }
}

/// What is known of a shape's records.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) fields: Vec<Field>,
    /// Bytes of each record.
    pub(super) record_bytes: usize,
    /// The template record.
    pub(super) template: Vec<u8>,
}

/// Layouts of all shapes, by [`Shape::template_id`].
#[derive(Clone, Debug)]
pub(super) struct Layouts(Vec<Layout>);

impl Layouts {
    pub(super) fn new() -> Self {
        Self(
            (0..Shape::COUNT as u8)
                .map(|bits| layout(Shape(bits)))
                .collect(),
        )
    }

    pub(super) fn of(&self, shape: Shape) -> &Layout {
        &self.0[usize::from(shape.0)]
    }

    /// Template Sets of these shapes, as bodies of messages that are at most this long.
    pub(super) fn templates(&self, shapes: u128, most_bytes: usize) -> Vec<Vec<u8>> {
        let mut bodies: Vec<Vec<u8>> = Vec::new();
        for shape in Shape::all(shapes) {
            let template = &self.of(shape).template;
            let fits = bodies
                .last()
                .is_some_and(|body| body.len() + template.len() <= most_bytes);
            if !fits {
                let mut body = TEMPLATE_SET.to_be_bytes().to_vec();
                body.extend([0, 0]);
                bodies.push(body);
            }
            if let Some(body) = bodies.last_mut() {
                body.extend_from_slice(template);
            }
        }
        for body in &mut bodies {
            let length = (body.len() as u16).to_be_bytes();
            body[2..4].copy_from_slice(&length);
        }
        bodies
    }
}

fn layout(shape: Shape) -> Layout {
    let fields = shape.fields();
    let elements = shape.elements();
    let mut template = shape.template_id().to_be_bytes().to_vec();
    template.extend((elements.len() as u16).to_be_bytes());
    for element in &elements {
        // The first bit says that an enterprise number follows (RFC 7011 §3.2).
        let id = element.id | if element.reverse { 0x8000 } else { 0 };
        template.extend(id.to_be_bytes());
        template.extend(element.bytes.to_be_bytes());
        if element.reverse {
            template.extend(REVERSE_PEN.to_be_bytes());
        }
    }
    Layout {
        record_bytes: elements
            .iter()
            .map(|element| usize::from(element.bytes))
            .sum(),
        fields,
        template,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_has_a_template_of_its_own_and_no_element_twice() {
        let layouts = Layouts::new();
        for shape in Shape::all(u128::MAX) {
            assert_eq!(Shape::of_template(shape.template_id()), Some(shape));
            let elements = shape.elements();
            for (at, element) in elements.iter().enumerate() {
                assert!(!elements[..at].contains(element), "{shape:?} {element:?}");
            }
            assert!(layouts.of(shape).record_bytes < 256, "fits any message");
        }
        assert_eq!(Shape::of_template(255), None);
        assert_eq!(Shape::of_template(256 + 128), None);
    }

    #[test]
    fn templates_keep_to_the_size_of_a_message() {
        let layouts = Layouts::new();
        for most in [256, 496, 1384, 60_000] {
            let bodies = layouts.templates(u128::MAX, most);
            assert!(bodies.iter().all(|body| body.len() <= most));
            let bytes: usize = bodies.iter().map(|body| body.len() - 4).sum();
            let wanted: usize = Shape::all(u128::MAX)
                .map(|shape| layouts.of(shape).template.len())
                .sum();
            assert_eq!(bytes, wanted);
        }
    }
}
