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
    // The file is whatever somebody handed us: should the reader of it ever panic, that costs the rest of this file.
    let whole = catch_unwind(AssertUnwindSafe(|| records(from, losses, each)));
    if whole.is_err() {
        losses.add(Loss::Rest);
    }
}

fn records(from: impl Read + Seek, losses: &mut Losses, each: &mut dyn FnMut(Event)) {
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
        match json::event(&record.data) {
            Some(mut event) => {
                event.time = event.time.or_else(|| stamp::of(record.timestamp));
                each(event);
            }
            None => losses.add(Loss::NoId),
        }
    }
}
