//! Lists as lines: an entry each, or a table with a header.

use super::{
    Indicator, Loss,
    harvest::{Harvest, Place},
};

/// Longest line read, bytes.
const LINE_MAX: usize = 4096;

/// One entry in each line, whatever follows it being its label: plain lists, Spamhaus DROP (`prefix ; id`), hosts files
/// (`0.0.0.0 name`).
pub(super) fn plain(text: &str, harvest: &mut Harvest) {
    for (at, line) in text.lines().enumerate() {
        let place = Place::Line(at as u64 + 1);
        let line = line.trim();
        if line.is_empty() || is_comment(line) {
            continue;
        }
        if line.len() > LINE_MAX {
            harvest.lose(Loss::TooLong, place, line);
            continue;
        }
        // `a - b` is one entry too.
        let spread = line.split_whitespace().nth(1) == Some("-");
        let blanks = if spread { 2 } else { 0 };
        let mut seen = 0;
        let end = line
            .char_indices()
            .find(|(at, letter)| {
                let ends = match letter {
                    ',' | ';' | '#' | '|' => true,
                    letter if letter.is_whitespace() => {
                        seen += usize::from(!line[..*at].ends_with(char::is_whitespace));
                        seen > blanks
                    }
                    _ => false,
                };
                ends && *at > 0
            })
            .map_or(line.len(), |(at, _)| at);
        let rest = line[end..].trim_matches(|letter: char| {
            letter.is_whitespace() || matches!(letter, ',' | ';' | '#' | '|')
        });
        let (entry, label) = match &line[..end] {
            // A hosts file sends names nowhere.
            "0.0.0.0" | "127.0.0.1" | "::" | "::1" if !rest.is_empty() => {
                (rest.split_whitespace().next().unwrap_or_default(), "")
            }
            entry => (entry, rest),
        };
        let read = Indicator::parse(entry).map(|one| vec![one]);
        harvest.take(read, (place, line), (label, ""), None);
    }
}

fn is_comment(line: &str) -> bool {
    line.starts_with(['#', ';']) || line.starts_with("//")
}

/// What a column of a table is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Value,
    Kind,
    Label,
    Confidence,
    Source,
}

/// Column names of those who publish tables, first choice first.
const COLUMNS: [(Column, &[&str]); 5] = [
    (
        Column::Value,
        &[
            "ioc_value",
            "indicator",
            "ioc",
            "value",
            "dst_ip",
            "ip",
            "ip_address",
            "ipaddress",
            "address",
            "cidr",
            "prefix",
            "network",
            "netblock",
            "domain",
            "hostname",
            "fqdn",
            "ja3_md5",
            "ja3",
            "ja4",
        ],
    ),
    (
        Column::Kind,
        &["ioc_type", "indicator_type", "type", "kind"],
    ),
    (
        Column::Label,
        &[
            "label",
            "malware_printable",
            "malware",
            "threat_type",
            "threat",
            "category",
            "family",
            "tags",
            "listingreason",
            "reason",
            "description",
            "comment",
        ],
    ),
    (Column::Confidence, &["confidence", "confidence_level"]),
    (Column::Source, &["source", "reporter", "provider", "feed"]),
];

/// A table: comma, semicolon or tab between columns, named by a header, which may be a comment (as abuse.ch does).
/// Without one the first column that can be read is the entry.
pub(super) fn table(text: &str, harvest: &mut Harvest) {
    let mut header: Option<Header> = None;
    let mut is_first = true;
    for (at, line) in text.lines().enumerate() {
        let place = Place::Line(at as u64 + 1);
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        if line.len() > LINE_MAX {
            harvest.lose(Loss::TooLong, place, line);
            continue;
        }
        if is_comment(line) {
            if is_first {
                header = Header::of(line.trim_start_matches(['#', ';', '/', ' '])).or(header);
            }
            continue;
        }
        if is_first {
            is_first = false;
            if let Some(found) = Header::of(line) {
                header = Some(found);
                continue;
            }
        }
        match &header {
            Some(header) => header.row(line, place, harvest),
            None => loose(line, place, harvest),
        }
    }
}

/// A row of a table without a header.
fn loose(line: &str, place: Place, harvest: &mut Harvest) {
    let cells = cells(line, separator(line));
    let mut why = Loss::Unreadable;
    for cell in &cells {
        match Indicator::parse(cell) {
            Ok(found) => return harvest.take(Ok(vec![found]), (place, line), ("", ""), None),
            Err(Loss::OtherKind) => why = Loss::OtherKind,
            Err(_) => {}
        }
    }
    harvest.lose(why, place, line);
}

struct Header {
    separator: char,
    /// The column's own name says its kind, where there is no column of kinds.
    kind: Option<&'static str>,
    places: [Option<usize>; COLUMNS.len()],
}

impl Header {
    /// A line that names the column of entries.
    fn of(line: &str) -> Option<Self> {
        let separator = separator(line);
        let names: Vec<String> = cells(line, separator)
            .iter()
            .map(|name| name.trim().to_ascii_lowercase().replace(' ', "_"))
            .collect();
        let mut places = [None; COLUMNS.len()];
        for (column, known) in COLUMNS {
            places[column as usize] = known
                .iter()
                .find_map(|wanted| names.iter().position(|name| name == wanted));
        }
        let value = places[Column::Value as usize]?;
        let kind = match names[value].as_str() {
            "ja3" | "ja3_md5" => Some("ja3"),
            "ja4" => Some("ja4"),
            _ => None,
        };
        Some(Self {
            separator,
            kind,
            places,
        })
    }

    fn row(&self, line: &str, place: Place, harvest: &mut Harvest) {
        let cells = cells(line, self.separator);
        let cell = |column: Column| {
            self.places[column as usize]
                .and_then(|at| cells.get(at))
                .map_or("", |cell| cell.trim())
        };
        let kind = self.kind.unwrap_or_else(|| cell(Column::Kind));
        let read = match Indicator::of_kind(kind, cell(Column::Value)) {
            // A word of its own for a kind that can be told by looking.
            Err(Loss::OtherKind) if !kind.contains("hash") && !kind.contains("url") => {
                Indicator::parse(cell(Column::Value)).map(|one| vec![one])
            }
            read => read,
        };
        let confidence = cell(Column::Confidence).parse::<f64>().ok();
        let confidence = confidence
            .filter(|share| (0.0..=100.0).contains(share))
            .map(|share| share.round() as u8);
        harvest.take(
            read,
            (place, line),
            (cell(Column::Label), cell(Column::Source)),
            confidence,
        );
    }
}

/// What stands between the cells: whatever there is most of.
fn separator(line: &str) -> char {
    let number = |wanted: char| line.chars().filter(|letter| *letter == wanted).count();
    [',', ';', '\t', '|']
        .into_iter()
        .max_by_key(|separator| (number(*separator), *separator == ','))
        .unwrap_or(',')
}

/// Cells of a line, quoted or not (RFC 4180, but a row is one line).
fn cells(line: &str, separator: char) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        let cell = cells.last_mut().expect("never empty");
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                cell.push('"');
            }
            '"' if quoted || cell.trim().is_empty() => quoted = !quoted,
            letter if letter == separator && !quoted => cells.push(String::new()),
            letter => cell.push(letter),
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Prefix, Space},
        *,
    };

    fn read(read: fn(&str, &mut Harvest), text: &str) -> (Vec<String>, Harvest) {
        let mut harvest = Harvest::new(1000, &Space::new(Vec::new(), true));
        read(text, &mut harvest);
        let prefix = |entry: &super::super::harvest::Listed<Prefix>| {
            let note = &harvest.notes[entry.note as usize];
            format!("{} {} {}", entry.what, note.label, note.source)
                .trim()
                .to_owned()
        };
        let mut lines: Vec<String> = harvest.prefixes.iter().map(prefix).collect();
        lines.extend(
            harvest
                .names
                .iter()
                .map(|entry| format!("{:?}", entry.what)),
        );
        (lines, harvest)
    }

    #[test]
    fn plain_lists_as_people_publish_them() {
        let (lines, harvest) = read(
            plain,
            "# comment\r\n; another\n192.0.2.1\n198.51.100.0/24 ; SBL1\n203.0.113.5\t10\n\
             203.0.113.8 - 203.0.113.9 # a pair\n0.0.0.0 evil.example\n127.0.0.1 localhost\n\
             not an address\n\u{fffd}\u{fffd}\n",
        );
        assert_eq!(
            lines,
            [
                "192.0.2.1",
                "198.51.100.0/24 SBL1",
                "203.0.113.5 10",
                "203.0.113.8/31 a pair",
                "Domain(\"evil.example\")",
            ]
        );
        assert_eq!(harvest.losses.of(Loss::Unreadable), 1, "{}", harvest.losses);
        // `localhost` and `not` are names of one label.
        assert_eq!(harvest.losses.of(Loss::TooWide), 2, "{}", harvest.losses);
        assert!(
            harvest.quoted[0].starts_with("line 8: "),
            "{:?}",
            harvest.quoted
        );
    }

    #[test]
    fn tables_with_headers_and_without() {
        let (lines, harvest) = read(
            table,
            "################\n# \"first_seen\",\"ioc_value\",\"ioc_type\",\"malware\",\"confidence_level\",\"reporter\"\n\
             \"2026-01-01\",\"192.0.2.1:443\",\"ip:port\",\"Bad, very \"\"bad\"\"\",\"75\",\"someone\"\n\
             \"2026-01-01\",\"aaaa\",\"sha256_hash\",\"x\",\"75\",\"someone\"\n\
             \"2026-01-01\",\"evil.example\",\"domain\",\"x\",\"high\",\"someone\"\n",
        );
        assert_eq!(
            lines,
            [
                "192.0.2.1 Bad, very \"bad\" someone",
                "Domain(\"evil.example\")"
            ]
        );
        assert_eq!(harvest.prefixes[0].confidence, 75);
        assert_eq!(harvest.losses.of(Loss::OtherKind), 1);
        let (lines, _) = read(
            table,
            "ja3_md5;Listingreason\nd41d8cd98f00b204e9800998ecf8427e;Dridex\n",
        );
        assert_eq!(lines, ["Ja3(\"d41d8cd98f00b204e9800998ecf8427e\")"]);
        let (lines, harvest) = read(table, "seen,192.0.2.9,x\nseen,-,x\n");
        assert_eq!(lines, ["192.0.2.9"]);
        assert_eq!(harvest.losses.of(Loss::Unreadable), 1);
    }
}
