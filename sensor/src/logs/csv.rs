//! Events out of CSV: a table with Windows' own field names, an Event Viewer export, or `Get-WinEvent | Export-Csv`.

use std::io::Read;

use super::{Event, Field, Loss, Losses, message, stamp};

/// What a column means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Id,
    Time,
    Computer,
    Channel,
    Message,
    Field(Field),
    Nothing,
}

fn meaning(header: &str) -> Meaning {
    match header.trim_start_matches('\u{feff}').trim() {
        "EventID" | "Event ID" | "EventId" | "Id" | "event_id" => Meaning::Id,
        "TimeGenerated" | "TimeCreated" | "Date and Time" | "Time Created" | "@timestamp"
        | "EventTime" => Meaning::Time,
        "Computer" | "MachineName" | "Hostname" | "computer_name" => Meaning::Computer,
        "LogName" | "Channel" | "Log Name" => Meaning::Channel,
        "Message" | "Description" => Meaning::Message,
        name => Field::named(name).map_or(Meaning::Nothing, Meaning::Field),
    }
}

/// Reads all rows. An Event Viewer export has its message behind the last named column.
pub(super) fn read(from: impl Read, losses: &mut Losses, each: &mut dyn FnMut(Event)) {
    let mut reader = ::csv::ReaderBuilder::new()
        .flexible(true)
        // `Export-Csv` writes `#TYPE System.Diagnostics...` first where it is not told otherwise.
        .comment(Some(b'#'))
        .from_reader(from);
    let Ok(headers) = reader.byte_headers() else {
        losses.add(Loss::Rest);
        return;
    };
    let mut meanings: Vec<Meaning> = headers
        .iter()
        .map(|header| meaning(&String::from_utf8_lossy(header)))
        .collect();
    if !meanings.contains(&Meaning::Message) {
        meanings.push(Meaning::Message);
    }
    if !meanings.contains(&Meaning::Id) {
        losses.add(Loss::Rest);
        return;
    }
    for record in reader.byte_records() {
        match record {
            Ok(record) => match event(&record, &meanings) {
                Some(event) => each(event),
                None => losses.add(Loss::NoId),
            },
            Err(error) if error.is_io_error() => {
                losses.add(Loss::Rest);
                return;
            }
            Err(_) => losses.add(Loss::Line),
        }
    }
}

fn event(record: &::csv::ByteRecord, meanings: &[Meaning]) -> Option<Event> {
    let text = |wanted: Meaning| {
        meanings
            .iter()
            .position(|meaning| *meaning == wanted)
            .and_then(|at| record.get(at))
            .map(String::from_utf8_lossy)
    };
    let id = text(Meaning::Id)?.trim().parse().ok()?;
    let time = text(Meaning::Time).and_then(|text| stamp::parse(&text));
    let security = text(Meaning::Channel).is_none_or(|name| name.eq_ignore_ascii_case("Security"));
    let computer = text(Meaning::Computer).unwrap_or_default();
    let mut event = Event::new(time, id, &computer, security);
    for (meaning, value) in meanings.iter().zip(record) {
        if let Meaning::Field(field) = meaning {
            event.put(*field, &String::from_utf8_lossy(value));
        }
    }
    if let Some(text) = text(Meaning::Message) {
        message::read(&text, &mut event);
    }
    Some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> (Vec<Event>, Losses) {
        let (mut events, mut losses) = (Vec::new(), Losses::default());
        read(text.as_bytes(), &mut losses, &mut |event| {
            events.push(event);
        });
        (events, losses)
    }

    #[test]
    fn an_event_viewer_export_has_its_message_behind_the_header() {
        let text = "\u{feff}Keywords,Date and Time,Source,Event ID,Task Category\r\n\
             Audit Failure,9/20/2020 4:16:09 PM,Microsoft-Windows-Security-Auditing,4625,Logon,\"An account failed to log on.\r\n\r\n\
             Account For Which Logon Failed:\r\n\tAccount Name:\t\tanna\r\n\r\nNetwork Information:\r\n\tSource Network Address:\t10.0.0.7\"\r\n";
        let (events, losses) = rows(text);
        assert_eq!(losses.total(), 0);
        assert_eq!(events[0].id, 4625);
        assert_eq!(events[0].time, Some(1_600_618_569_000_000_000));
        assert_eq!(events[0].account().as_deref(), Some("anna"));
        assert_eq!(events[0].origin().as_deref(), Some("10.0.0.7"));
    }

    #[test]
    fn powershell_writes_its_type_first() {
        let text = "#TYPE System.Diagnostics.Eventing.Reader.EventLogRecord\r\n\"Message\",\"Id\",\"MachineName\",\"LogName\",\"TimeCreated\"\r\n\
             \"A new process has been created.\r\n\r\nProcess Information:\r\n\tNew Process Name:\tC:\\a.exe\",\"4688\",\"PC1.corp\",\"Security\",\"9/20/2020 4:16:09 PM\"\r\n";
        let (events, _) = rows(text);
        assert_eq!((events[0].id, &*events[0].computer), (4688, "pc1"));
        assert_eq!(events[0].get(Field::Process), Some("C:\\a.exe"));
    }

    #[test]
    fn rows_without_an_id_are_counted() {
        let (events, losses) = rows("EventID,Computer\n4624,pc\nx,pc\n");
        assert_eq!((events.len(), losses.of(Loss::NoId)), (1, 1));
        let (none, losses) = rows("a,b\n1,2\n");
        assert_eq!((none.len(), losses.of(Loss::Rest)), (0, 1));
    }
}
