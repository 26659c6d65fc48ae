//! What the table's expressions are written in terms of.

use sensor_ebpf::flow::{EPOCH_SHIFT, Half, TICK_SHIFT, seen};

use super::{Transform, calendar};
use crate::{
    context::{ContextView, ConversationView, HostView, ServiceClass, Window, WindowView},
    flow::{ConnState, FlowRecord, has_ports},
};

const TCP: u8 = 6;
const NANOSECONDS: f64 = 1e9;
const TICK_SECONDS: f64 = (1_u64 << TICK_SHIFT) as f64 / NANOSECONDS;
const _: () = assert!(EPOCH_SHIFT > TICK_SHIFT);

/// A flow at the moment when its row is computed.
pub(super) struct Input<'a> {
    pub(super) record: &'a FlowRecord,
    pub(super) orig: Direction<'a>,
    pub(super) resp: Direction<'a>,
    pub(super) both: Direction<'static>,
    pub(super) tcp: bool,
    /// Seconds from first to last packet.
    pub(super) duration: f64,
    pub(super) day: (f32, f32),
    pub(super) week: (f32, f32),
    source: &'a HostView,
    destination: &'a HostView,
    conversation: Option<&'a ConversationView>,
}

/// Statistics of one direction, or of both together.
#[derive(Clone, Copy)]
pub(super) struct Direction<'a> {
    pub(super) half: Option<&'a Half>,
    pub(super) packets: f64,
    pub(super) bytes: f64,
    pub(super) payload: f64,
    pub(super) small: f64,
    length_min: u16,
    length_max: u16,
    length_square_sum: f64,
    /// First to last packet, seconds.
    span: f64,
    gap_min: u32,
    gap_max: u32,
    gap_square_sum: f64,
}

/// `part / whole`, missing where there is no whole.
#[inline(always)]
pub(super) fn ratio(part: f64, whole: f64) -> f32 {
    if whole > 0.0 {
        (part / whole) as f32
    } else {
        f32::NAN
    }
}

/// The time that rates and variations divide by: whole steps, and at least one. The quotient of two times is as
/// uncertain as they are, and ten packets that come at once come neither at a million packets a second nor at two.
#[inline(always)]
fn at_least_a_step(seconds: f64) -> f64 {
    Transform::nearest_step(seconds).max(1.0 / Transform::STEPS)
}

/// 1 for yes, 0 for no.
#[inline(always)]
pub(super) fn flag(yes: bool) -> f32 {
    f32::from(u8::from(yes))
}

/// `value` if it can be known.
#[inline(always)]
pub(super) fn known(is: bool, value: f32) -> f32 {
    if is { value } else { f32::NAN }
}

#[inline(always)]
fn seconds(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / NANOSECONDS
}

impl<'a> Direction<'a> {
    #[inline]
    fn of(half: &'a Half) -> Self {
        Self {
            half: Some(half),
            packets: half.packets as f64,
            bytes: half.ip_bytes as f64,
            payload: half.payload_bytes as f64,
            small: f64::from(half.small_packets),
            length_min: half.length_min,
            length_max: half.length_max,
            length_square_sum: half.length_square_sum as f64,
            span: seconds(half.first, half.last),
            gap_min: half.gap_min,
            gap_max: half.gap_max,
            gap_square_sum: half.gap_square_sum as f64,
        }
    }

    #[inline(always)]
    fn gaps(&self) -> f64 {
        self.packets - 1.0
    }

    #[inline(always)]
    pub(super) fn length_min(&self) -> f32 {
        known(self.packets > 0.0, f32::from(self.length_min))
    }

    #[inline(always)]
    pub(super) fn length_max(&self) -> f32 {
        known(self.packets > 0.0, f32::from(self.length_max))
    }

    #[inline(always)]
    pub(super) fn length_mean(&self) -> f32 {
        ratio(self.bytes, self.packets)
    }

    #[inline(always)]
    pub(super) fn length_deviation(&self) -> f32 {
        let mean = self.bytes / self.packets;
        let variance = self.length_square_sum / self.packets - mean * mean;
        known(self.packets > 0.0, variance.max(0.0).sqrt() as f32)
    }

    #[inline(always)]
    pub(super) fn gap_min(&self) -> f32 {
        known(
            self.packets > 1.0,
            (f64::from(self.gap_min) * TICK_SECONDS) as f32,
        )
    }

    #[inline(always)]
    pub(super) fn gap_max(&self) -> f32 {
        known(
            self.packets > 1.0,
            (f64::from(self.gap_max) * TICK_SECONDS) as f32,
        )
    }

    #[inline(always)]
    pub(super) fn gap_mean(&self) -> f32 {
        ratio(self.span, self.gaps())
    }

    #[inline(always)]
    pub(super) fn gap_deviation(&self) -> f32 {
        let mean = self.span / self.gaps();
        let variance =
            self.gap_square_sum * (TICK_SECONDS * TICK_SECONDS) / self.gaps() - mean * mean;
        known(self.packets > 1.0, variance.max(0.0).sqrt() as f32)
    }

    /// Standard deviation over mean: 0 for a metronome, 1 for a Poisson process, more for bursts.
    #[inline(always)]
    pub(super) fn gap_variation(&self) -> f32 {
        let mean = at_least_a_step(self.gap_mean().into());
        let deviation = Transform::nearest_step(self.gap_deviation().into());
        known(self.packets > 1.0, (deviation / mean) as f32)
    }

    /// Packets that carried the TCP flag.
    #[inline(always)]
    pub(super) fn flags(&self, bit: usize) -> f64 {
        self.half.map_or(0.0, |half| f64::from(half.flags[bit]))
    }

    #[inline(always)]
    pub(super) fn seen(&self, bits: u16) -> bool {
        self.half.is_some_and(|half| half.seen & bits != 0)
    }

    #[inline(always)]
    pub(super) fn with_half(&self, value: impl FnOnce(&Half) -> f32) -> f32 {
        match self.half {
            Some(half) if half.packets > 0 => value(half),
            _ => f32::NAN,
        }
    }
}

impl<'a> Input<'a> {
    #[inline(always)]
    pub(super) fn new(record: &'a FlowRecord, context: &'a ContextView) -> Self {
        let orig = Direction::of(record.orig());
        let resp = Direction::of(record.resp());
        let duration = seconds(record.start(), record.last());
        let both = Direction {
            half: None,
            packets: orig.packets + resp.packets,
            bytes: orig.bytes + resp.bytes,
            payload: orig.payload + resp.payload,
            small: orig.small + resp.small,
            length_min: orig.length_min.min(resp.length_min),
            length_max: orig.length_max.max(resp.length_max),
            length_square_sum: orig.length_square_sum + resp.length_square_sum,
            span: duration,
            gap_min: record.counters.gap_min,
            gap_max: record.counters.gap_max,
            gap_square_sum: record.counters.gap_square_sum as f64,
        };
        Self {
            record,
            orig,
            resp,
            both,
            tcp: record.key.protocol == TCP && record.key.is_whole(),
            duration,
            day: calendar::day(record.start()),
            week: calendar::week(record.start()),
            source: context.source.as_ref().unwrap_or(&HostView::UNKNOWN),
            destination: context.destination.as_ref().unwrap_or(&HostView::UNKNOWN),
            conversation: context.conversation.as_ref(),
        }
    }

    /// So much in the time that the flow took.
    #[inline(always)]
    pub(super) fn per_second(&self, part: f64) -> f32 {
        known(
            self.both.packets > 1.0,
            (part / at_least_a_step(self.duration)) as f32,
        )
    }

    /// Whether the protocol has ports and this packet's were there to be read.
    #[inline(always)]
    pub(super) fn has_ports(&self) -> bool {
        has_ports(self.record.key.protocol.into()) && self.record.key.is_whole()
    }

    /// Whether the responder's port is one of these; missing where ports are.
    #[inline(always)]
    pub(super) fn service<const N: usize>(&self, ports: &[u16; N]) -> f32 {
        let port = self.record.destination_port();
        // By hand: `contains` is a call, and this is asked thirteen times a row.
        let listed = ports
            .iter()
            .fold(false, |found, &listed| found | (listed == port));
        known(self.has_ports(), flag(listed))
    }

    #[inline(always)]
    pub(super) fn class(&self) -> f32 {
        let key = &self.record.key;
        known(
            key.is_whole(),
            f32::from(ServiceClass::of(key.protocol, self.record.destination_port()) as u8),
        )
    }

    /// TCP packets of both directions with the flag; missing for other protocols.
    #[inline(always)]
    pub(super) fn flags(&self, bit: usize) -> f32 {
        known(
            self.tcp,
            (self.orig.flags(bit) + self.resp.flags(bit)) as f32,
        )
    }

    /// Share of the packets with the flag; missing for other protocols.
    #[inline(always)]
    pub(super) fn flag_share(&self, bit: usize) -> f32 {
        known(
            self.tcp,
            ratio(
                self.orig.flags(bit) + self.resp.flags(bit),
                self.both.packets,
            ),
        )
    }

    #[inline(always)]
    pub(super) fn conn_state(&self) -> f32 {
        let state = self.record.conn_state();
        known(state != ConnState::Oth || self.tcp, f32::from(state as u8))
    }

    /// Whether the originator asked (SYN, or any packet without TCP) and nobody answered.
    #[inline(always)]
    pub(super) fn unanswered(&self) -> bool {
        self.resp.packets == 0.0 && (!self.tcp || self.orig.seen(seen::SYN))
    }

    /// From the originator's first packet to the responder's first, seconds.
    #[inline(always)]
    pub(super) fn answer_delay(&self) -> f32 {
        let (orig, resp) = (self.record.orig(), self.record.resp());
        let both = orig.packets > 0 && resp.packets > 0 && resp.first >= orig.first;
        known(both, seconds(orig.first, resp.first) as f32)
    }

    #[inline(always)]
    pub(super) fn source(&self, of: impl FnOnce(&HostView) -> f32) -> f32 {
        of(self.source)
    }

    #[inline(always)]
    pub(super) fn destination(&self, of: impl FnOnce(&HostView) -> f32) -> f32 {
        of(self.destination)
    }

    #[inline(always)]
    pub(super) fn source_window(&self, window: Window, of: impl FnOnce(&WindowView) -> f32) -> f32 {
        self.source(|host| of(host.window(window)))
    }

    #[inline(always)]
    pub(super) fn destination_window(
        &self,
        window: Window,
        of: impl FnOnce(&WindowView) -> f32,
    ) -> f32 {
        self.destination(|host| of(host.window(window)))
    }

    #[inline(always)]
    pub(super) fn conversation(&self, of: impl FnOnce(&ConversationView) -> f32) -> f32 {
        self.conversation.map_or(f32::NAN, of)
    }
}
