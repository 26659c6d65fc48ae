//! An IPFIX collector's decoder, written from RFC 7011 alone: it knows nothing of how the exporter does it.

use std::collections::{BTreeMap, HashMap};

/// Enterprise number (0 for IANA's own) and number of an element.
pub(crate) type Id = (u32, u16);
/// Values of a data record.
pub(crate) type Record = BTreeMap<Id, Vec<u8>>;

pub(crate) const REVERSE: u32 = 29_305;

/// What one transport session told.
#[derive(Default)]
pub(crate) struct Collector {
    templates: HashMap<(u32, u16), Vec<(Id, usize)>>,
    expected: HashMap<u32, u32>,
    pub(crate) records: Vec<Record>,
    pub(crate) messages: usize,
    pub(crate) template_messages: usize,
    pub(crate) longest: usize,
    /// Messages whose sequence number is not the sum of the records before.
    pub(crate) gaps: usize,
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        assert!(self.0.len() >= count, "cut off: {count} of {:?}", self.0);
        let (now, later) = self.0.split_at(count);
        self.0 = later;
        now
    }

    fn number(&mut self, bytes: usize) -> u64 {
        number(self.take(bytes))
    }
}

/// An unsigned integer of any length.
pub(crate) fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

impl Collector {
    /// Takes one message, which must be whole.
    pub(crate) fn message(&mut self, message: &[u8]) {
        let mut header = Bytes(message);
        assert_eq!(header.number(2), 10, "version");
        assert_eq!(header.number(2) as usize, message.len(), "length");
        let _export_time = header.number(4);
        let sequence = header.number(4) as u32;
        let domain = header.number(4) as u32;
        let expected = self.expected.entry(domain).or_insert(sequence);
        self.gaps += usize::from(*expected != sequence);
        self.messages += 1;
        self.longest = self.longest.max(message.len());
        let before = self.records.len();
        let mut has_templates = false;
        let mut sets = header;
        while !sets.0.is_empty() {
            let id = sets.number(2) as u16;
            let length = sets.number(2) as usize;
            assert!(length > 4, "a set of {length} bytes");
            let body = Bytes(sets.take(length - 4));
            match id {
                2 => {
                    has_templates = true;
                    self.templates(domain, body);
                }
                256.. => self.data(domain, id, body),
                _ => panic!("set {id}"),
            }
        }
        self.template_messages += usize::from(has_templates);
        let records = (self.records.len() - before) as u32;
        self.expected.insert(domain, sequence.wrapping_add(records));
    }

    fn templates(&mut self, domain: u32, mut body: Bytes<'_>) {
        while !body.0.is_empty() {
            let id = body.number(2) as u16;
            assert!(id >= 256, "template {id}");
            let fields = (0..body.number(2)).map(|_| {
                let element = body.number(2) as u16;
                let length = body.number(2) as usize;
                assert_ne!(length, 65_535, "no variable lengths here");
                let enterprise = match element & 0x8000 {
                    0 => 0,
                    _ => body.number(4) as u32,
                };
                ((enterprise, element & 0x7fff), length)
            });
            let fields: Vec<_> = fields.collect();
            assert!(!fields.is_empty());
            let known = self.templates.insert((domain, id), fields.clone());
            // RFC 7011 §8.1: an id means one thing as long as it is not withdrawn.
            assert!(known.is_none_or(|known| known == fields), "template {id}");
        }
    }

    fn data(&mut self, domain: u32, id: u16, mut body: Bytes<'_>) {
        let template = self.templates.get(&(domain, id));
        let template = template.unwrap_or_else(|| panic!("no template {id} before its records"));
        let length: usize = template.iter().map(|(_, length)| length).sum();
        while body.0.len() >= length {
            let mut record = Record::new();
            for (element, length) in template {
                let twice = record.insert(*element, body.take(*length).to_vec());
                assert!(twice.is_none(), "{element:?} twice");
            }
            self.records.push(record);
        }
        assert!(body.0.iter().all(|byte| *byte == 0), "padding is zeros");
        assert!(body.0.len() < 4, "{} bytes of padding", body.0.len());
    }
}

/// Messages of a byte stream, and what is left of it (RFC 7011 §10.4.1: the header's length delimits them).
pub(crate) fn split(stream: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let (mut messages, mut rest) = (Vec::new(), stream);
    while rest.len() >= 4 {
        let length = number(&rest[2..4]) as usize;
        if length > rest.len() {
            break;
        }
        let (message, later) = rest.split_at(length);
        messages.push(message);
        rest = later;
    }
    (messages, rest)
}
