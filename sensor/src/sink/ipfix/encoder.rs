//! Flows as parcels of Data Sets. Pure: no clock, no sequence numbers, no socket.

use super::{
    HEADER_BYTES, SET_HEADER_BYTES,
    field::Leg,
    template::{Layouts, Shape},
};
use crate::{config::Ipfix, flow::FlowRecord};

/// First bytes of a parcel. Another layout of records gets another: a spool may hold what an older program wrote.
pub(super) const LAYOUT: [u8; 4] = *b"IPF1";

/// How flows are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// Both directions in one record (RFC 5103), or one record for each.
    pub biflow: bool,
    /// Times in nanoseconds, or in milliseconds.
    pub nanoseconds: bool,
    /// Bytes of a message at most, its header included.
    pub message_bytes: usize,
}

impl From<&Ipfix> for Form {
    fn from(settings: &Ipfix) -> Self {
        Self {
            biflow: settings.biflow,
            nanoseconds: settings.nanoseconds,
            message_bytes: settings.message_bytes,
        }
    }
}

/// Turns flows into parcels.
#[derive(Debug)]
pub struct Encoder {
    form: Form,
    layouts: Layouts,
    /// The parcel being filled.
    parcel: Vec<u8>,
    /// Shape of its last set, and where that begins.
    set: Option<(Shape, usize)>,
}

impl Encoder {
    /// With nothing in it.
    pub fn new(form: Form) -> Self {
        Self {
            form,
            layouts: Layouts::new(),
            parcel: Vec::new(),
            set: None,
        }
    }

    /// Adds a flow; a parcel that is full goes to `parcels`.
    pub fn flow(&mut self, record: &FlowRecord, parcels: &mut Vec<Vec<u8>>) {
        if self.form.biflow && record.resp().packets > 0 {
            // Also where only the responder was seen: which side began is worth the zeros.
            return self.leg(&Leg::whole(record), true, parcels);
        }
        let sides = [record.originator, record.responder()];
        for side in sides {
            if record.counters.halves[side].packets > 0 {
                self.leg(&Leg::of_side(record, side), false, parcels);
            }
        }
    }

    /// Hands out what is there, however little.
    pub fn flush(&mut self, parcels: &mut Vec<Vec<u8>>) {
        self.set = None;
        if !self.parcel.is_empty() {
            parcels.push(std::mem::take(&mut self.parcel));
        }
    }

    fn leg(&mut self, leg: &Leg<'_>, biflow: bool, parcels: &mut Vec<Vec<u8>>) {
        let shape = Shape::of(leg.record, biflow, self.form.nanoseconds);
        let record_bytes = self.layouts.of(shape).record_bytes;
        let same_set = self.set.filter(|(last, _)| *last == shape);
        let more = record_bytes
            + if same_set.is_some() {
                0
            } else {
                SET_HEADER_BYTES
            };
        let most = self.form.message_bytes.saturating_sub(HEADER_BYTES) + LAYOUT.len();
        let full = self.parcel.len() > LAYOUT.len() && self.parcel.len() + more > most;
        if full {
            self.flush(parcels);
        }
        if self.parcel.is_empty() {
            self.parcel.reserve_exact(most.min(1 << 16));
            self.parcel.extend(LAYOUT);
        }
        let begin = match self.set.filter(|(last, _)| *last == shape) {
            Some((_, begin)) => begin,
            None => {
                let begin = self.parcel.len();
                self.parcel.extend(shape.template_id().to_be_bytes());
                self.parcel.extend([0, 0]);
                self.set = Some((shape, begin));
                begin
            }
        };
        for field in &self.layouts.of(shape).fields {
            field.put(leg, &mut self.parcel);
        }
        // Kept right with each record, so that a parcel is whole at any time.
        let length = (self.parcel.len() - begin) as u16;
        self.parcel[begin + 2..begin + 4].copy_from_slice(&length.to_be_bytes());
    }
}
