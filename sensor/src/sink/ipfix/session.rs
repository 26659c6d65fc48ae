//! A transport session: sequence numbers, export times, and when templates are due. Pure: time is given.

use std::time::Duration;

use sensor_ebpf::flow::TimeNs;

use super::{
    HEADER_BYTES, SET_HEADER_BYTES, VERSION,
    encoder::LAYOUT,
    template::{Layouts, Shape},
};

/// When templates are sent again. Over TCP they arrive; over UDP a collector may have missed them or been restarted
/// (RFC 7011 §8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refresh {
    /// After this time at most.
    pub interval: Duration,
    /// After so many messages at most.
    pub messages: u32,
}

/// Messages after which templates are sent again for the first time; then twice as many, up to the limit. The first ones are
/// the likeliest to be lost: the collector's address may still be looked up on the way.
const FIRST_REFRESH_MESSAGES: u32 = 8;

/// Why a parcel cannot be sent, now or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damaged {
    /// By another version of this program.
    #[error("records of another layout")]
    Layout,
    /// A set that is cut off, or of no template of ours.
    #[error("a damaged set")]
    Set,
}

/// A message's body and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Body {
    /// Data Sets.
    pub(super) bytes: Vec<u8>,
    /// Data records in it.
    pub(super) records: u32,
    /// Shapes in it.
    shapes: u128,
}

/// What a collector was sent in one transport session.
#[derive(Debug)]
pub struct Session {
    domain: u32,
    refresh: Option<Refresh>,
    layouts: Layouts,
    /// Data records sent, modulo 2^32 (RFC 7011 §3.1).
    sequence: u32,
    /// Shapes sent so far, and those whose template the collector has.
    used: u128,
    announced: u128,
    /// Messages since the templates were sent, and when that was.
    messages: u32,
    announced_at: TimeNs,
    next_refresh: u32,
}

impl Session {
    /// Nothing sent. Without a `refresh`, templates are sent once.
    pub fn new(domain: u32, refresh: Option<Refresh>) -> Self {
        Self {
            domain,
            refresh,
            layouts: Layouts::new(),
            sequence: 0,
            used: 0,
            announced: 0,
            messages: 0,
            announced_at: 0,
            next_refresh: FIRST_REFRESH_MESSAGES,
        }
    }

    /// Begins again with another connection: records count from 0, and the collector knows no template.
    pub fn begin(&mut self) {
        self.sequence = 0;
        self.announce_again();
    }

    /// Sends templates again before anything else: the collector may have been restarted.
    pub fn announce_again(&mut self) {
        self.announced = 0;
        self.next_refresh = FIRST_REFRESH_MESSAGES;
    }

    /// A parcel as bodies of messages that have at most so many bytes with their header.
    pub(super) fn bodies(&self, parcel: &[u8], message_bytes: usize) -> Result<Vec<Body>, Damaged> {
        let sets = parcel.strip_prefix(&LAYOUT).ok_or(Damaged::Layout)?;
        let most = message_bytes.saturating_sub(HEADER_BYTES);
        let mut bodies: Vec<Body> = Vec::new();
        let mut rest = sets;
        while !rest.is_empty() {
            let (id, records, after) = self.set(rest)?;
            rest = after;
            let shape = Shape::of_template(id).ok_or(Damaged::Set)?;
            let size = self.layouts.of(shape).record_bytes;
            let mut records = records;
            while !records.is_empty() {
                let used = bodies.last().map_or(most, |body| body.bytes.len());
                let room = most.saturating_sub(used + SET_HEADER_BYTES) / size;
                let fresh = room == 0;
                if fresh {
                    bodies.push(Body {
                        bytes: Vec::with_capacity(most.min(1 << 16)),
                        records: 0,
                        shapes: 0,
                    });
                }
                let Some(body) = bodies.last_mut() else {
                    break;
                };
                // A record that fits no message goes alone: better too long than never.
                let room = match fresh {
                    true => (most.saturating_sub(SET_HEADER_BYTES) / size).max(1),
                    false => room,
                };
                let taken = room.min(records.len() / size);
                let (now, later) = records.split_at(taken * size);
                records = later;
                body.bytes.extend(id.to_be_bytes());
                let length = (SET_HEADER_BYTES + now.len()) as u16;
                body.bytes.extend(length.to_be_bytes());
                body.bytes.extend_from_slice(now);
                body.records += taken as u32;
                body.shapes |= shape.bit();
            }
        }
        Ok(bodies)
    }

    /// The first set: its id, its records, and what is behind it.
    fn set<'a>(&self, sets: &'a [u8]) -> Result<(u16, &'a [u8], &'a [u8]), Damaged> {
        let [a, b, c, d, ..] = *sets else {
            return Err(Damaged::Set);
        };
        let (id, length) = (
            u16::from_be_bytes([a, b]),
            usize::from(u16::from_be_bytes([c, d])),
        );
        let shape = Shape::of_template(id).ok_or(Damaged::Set)?;
        let records = sets.get(SET_HEADER_BYTES..length).ok_or(Damaged::Set)?;
        let whole = !records.is_empty()
            && records
                .len()
                .is_multiple_of(self.layouts.of(shape).record_bytes);
        match whole {
            true => Ok((id, records, &sets[length..])),
            false => Err(Damaged::Set),
        }
    }

    /// Messages with the templates that have to go before this body.
    pub(super) fn templates(
        &mut self,
        body: &Body,
        message_bytes: usize,
        now: TimeNs,
    ) -> Vec<Vec<u8>> {
        if let Some(refresh) = self.refresh {
            let interval = u64::try_from(refresh.interval.as_nanos()).unwrap_or(u64::MAX);
            let old = now.saturating_sub(self.announced_at) >= interval;
            let far = self.messages >= self.next_refresh.min(refresh.messages.max(1));
            if self.announced != 0 && (old || far) {
                self.announced = 0;
                self.next_refresh = self.next_refresh.saturating_mul(2);
            }
        }
        self.used |= body.shapes;
        if self.announced == 0 {
            self.messages = 0;
            self.announced_at = now;
        }
        let missing = self.used & !self.announced;
        self.announced |= missing;
        let most = message_bytes.saturating_sub(HEADER_BYTES);
        self.layouts
            .templates(missing, most)
            .iter()
            .map(|body| self.message(body, now))
            .collect()
    }

    /// The body with a header for now.
    pub(super) fn message(&self, body: &[u8], now: TimeNs) -> Vec<u8> {
        let mut message = Vec::with_capacity(HEADER_BYTES + body.len());
        message.extend(VERSION.to_be_bytes());
        message.extend(((HEADER_BYTES + body.len()) as u16).to_be_bytes());
        // Seconds modulo 2^32: good until the year 2106.
        message.extend(((now / 1_000_000_000) as u32).to_be_bytes());
        message.extend(self.sequence.to_be_bytes());
        message.extend(self.domain.to_be_bytes());
        message.extend_from_slice(body);
        message
    }

    /// So many records have gone.
    pub(super) fn sent(&mut self, body: &Body) {
        self.sequence = self.sequence.wrapping_add(body.records);
        self.messages = self.messages.saturating_add(1);
    }

    /// Everything that a collector gets for these parcels, one message after the other: for tests and measurements, without
    /// a socket.
    ///
    /// # Errors
    /// A parcel is damaged.
    pub fn messages(
        &mut self,
        parcels: &[Vec<u8>],
        message_bytes: usize,
        now: TimeNs,
    ) -> Result<Vec<Vec<u8>>, Damaged> {
        let mut messages = Vec::new();
        for parcel in parcels {
            for body in self.bodies(parcel, message_bytes)? {
                messages.extend(self.templates(&body, message_bytes, now));
                messages.push(self.message(&body.bytes, now));
                self.sent(&body);
            }
        }
        Ok(messages)
    }
}
