//! Events out of EVTX, Windows' own binary form.

use std::{
    io::{Read, Seek},
    panic::{AssertUnwindSafe, catch_unwind},
};

use ::evtx::{EvtxParser, ParserSettings};

use super::{Event, Loss, Losses, json, stamp};

/// What an EVTX file begins with.
pub(super) const MAGIC: &[u8] = b"ElfFile\0";

/// Reads all records that can be read.
pub(super) fn read(from: impl Read + Seek, losses: &mut Losses, each: &mut dyn FnMut(Event)) {
    read_after(from, 0, losses, each);
}

/// Reads the records that are later than the one with this id, and answers the id of the last.
pub(super) fn read_after(
    from: impl Read + Seek,
    after: u64,
    losses: &mut Losses,
    each: &mut dyn FnMut(Event),
) -> u64 {
    let mut last = after;
    // The file is whatever somebody handed us: should the reader of it ever panic, that costs the rest of this file.
    let whole = catch_unwind(AssertUnwindSafe(|| {
        records(from, after, &mut last, losses, each);
    }));
    if whole.is_err() {
        losses.add(Loss::Rest);
    }
    last
}

fn records(
    from: impl Read + Seek,
    after: u64,
    last: &mut u64,
    losses: &mut Losses,
    each: &mut dyn FnMut(Event),
) {
    let settings = ParserSettings::new().num_threads(1);
    let Ok(parser) = EvtxParser::from_read_seek(from) else {
        losses.add(Loss::Rest);
        return;
    };
    for record in parser.with_configuration(settings).records_json_value() {
        let Ok(record) = record else {
            losses.add(Loss::Record);
            continue;
        };
        // Ids begin with 1; a file of records that has none is read as a whole.
        if record.event_record_id <= after && after > 0 {
            continue;
        }
        *last = (*last).max(record.event_record_id);
        match json::event(&record.data) {
            Some(mut event) => {
                event.time = event.time.or_else(|| stamp::of(record.timestamp));
                each(event);
            }
            None => losses.add(Loss::NoId),
        }
    }
}
