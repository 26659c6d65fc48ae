//! An event out of JSON, whichever shipper wrote it.
//!
//! Winlogbeat nests (`winlog.event_data.TargetUserName`), nxlog and the collections made with it are flat, EVTX as JSON keeps
//! the XML's shape (`Event.System.EventID`), and the Sentinel tables carry `EventData` as XML in a string. The last part of
//! each path says what it is in all of them, so that is what is looked at.

use sensor_ebpf::flow::TimeNs;
use serde_json::Value;

use super::{Event, Field, stamp};

/// Objects within objects that are looked into.
const DEPTH_MAX: usize = 6;

/// What was met on the way through an object.
#[derive(Default)]
struct Found<'a> {
    id: Option<u32>,
    computer: Option<&'a str>,
    channel: Option<&'a str>,
    provider: Option<&'a str>,
    /// The best time so far, by rank: `@timestamp` is UTC by definition, a shipper's own local time comes last.
    time: Option<(u8, TimeNs)>,
    fields: Vec<(Field, &'a Value)>,
    xml: Option<&'a str>,
}

/// The event in an object; `None` if it has no id.
pub(super) fn event(value: &Value) -> Option<Event> {
    let mut found = Found::default();
    walk(value, 0, &mut found);
    let security = match (found.channel, found.provider) {
        (Some(channel), _) => channel.eq_ignore_ascii_case("Security"),
        (None, Some(provider)) => provider == "Microsoft-Windows-Security-Auditing",
        (None, None) => true,
    };
    let time = found.time.map(|(_, time)| time);
    let mut event = Event::new(
        time,
        found.id?,
        found.computer.unwrap_or_default(),
        security,
    );
    for (field, value) in found.fields {
        match value {
            Value::String(text) => event.put(field, text),
            Value::Number(number) => event.put(field, &number.to_string()),
            _ => {}
        }
    }
    if let Some(xml) = found.xml {
        data_elements(xml, &mut event);
    }
    Some(event)
}

fn walk<'a>(value: &'a Value, depth: usize, found: &mut Found<'a>) {
    let Value::Object(object) = value else { return };
    for (name, value) in object {
        match (name.as_str(), value) {
            ("EventID" | "event_id" | "EventId" | "Id", value) => found.id = found.id.or(id(value)),
            ("Computer" | "computer_name" | "Hostname" | "MachineName", Value::String(text)) => {
                found.computer = Some(text);
            }
            ("Channel" | "channel" | "LogName" | "log_name", Value::String(text)) => {
                found.channel = Some(text);
            }
            (
                "SourceName" | "ProviderName" | "provider_name" | "EventSourceName",
                Value::String(text),
            ) => {
                found.provider = Some(text);
            }
            ("@timestamp" | "SystemTime", Value::String(text)) => note_time(found, 0, text),
            ("TimeCreated" | "TimeGenerated", Value::String(text)) => note_time(found, 1, text),
            ("EventTime", Value::String(text)) => note_time(found, 2, text),
            ("EventData", Value::String(text)) => found.xml = Some(text),
            // What the shipper says of itself goes by names of the event's own fields.
            (
                "agent" | "host" | "ecs" | "log" | "process" | "user" | "source",
                Value::Object(_),
            ) => {}
            (_, Value::Object(_)) if depth < DEPTH_MAX => walk(value, depth + 1, found),
            (name, value) => {
                if let Some(field) = Field::named(name) {
                    found.fields.push((field, value));
                }
            }
        }
    }
}

fn note_time(found: &mut Found<'_>, rank: u8, text: &str) {
    if found.time.is_none_or(|(best, _)| rank < best)
        && let Some(time) = stamp::parse(text)
    {
        found.time = Some((rank, time));
    }
}

/// 4624, "4624" or `{"#text": 4624}`.
fn id(value: &Value) -> Option<u32> {
    match value {
        Value::Number(number) => number.as_u64().and_then(|id| u32::try_from(id).ok()),
        Value::String(text) => text.trim().parse().ok(),
        Value::Object(object) => object.get("#text").and_then(id),
        _ => None,
    }
}

/// Takes the `<Data Name="...">text</Data>` elements out of a piece of XML.
fn data_elements(xml: &str, event: &mut Event) {
    let mut rest = xml;
    while let Some(begin) = rest.find("<Data Name=\"") {
        rest = &rest[begin + "<Data Name=\"".len()..];
        let Some((name, after)) = rest.split_once("\">") else {
            return;
        };
        let Some((text, after)) = after.split_once("</Data>") else {
            return;
        };
        if let Some(field) = Field::named(name) {
            event.put(field, &unescape(text));
        }
        rest = after;
    }
}

/// The five entities that XML knows by itself.
fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Event> {
        event(&serde_json::from_str(text).expect("JSON"))
    }

    #[test]
    fn one_logon_as_four_shippers_write_it() {
        let shapes = [
            r#"{"@timestamp":"2020-09-20T16:16:09Z","winlog":{"event_id":4624,"channel":"Security","computer_name":"PC1.corp",
                "event_data":{"TargetUserName":"anna","IpAddress":"10.0.0.7","LogonType":"3"}},"event":{"code":"4624"}}"#,
            r#"{"EventID":4624,"Channel":"Security","Hostname":"pc1","EventTime":"2020-09-20 12:16:09","@timestamp":"2020-09-20T16:16:09Z",
                "TargetUserName":"anna","IpAddress":"10.0.0.7","LogonType":3}"#,
            r##"{"Event":{"System":{"EventID":{"#text":4624},"Computer":"PC1","Channel":"Security",
                "TimeCreated":{"#attributes":{"SystemTime":"2020-09-20T16:16:09Z"}}},
                "EventData":{"TargetUserName":"anna","IpAddress":"10.0.0.7","LogonType":3}}}"##,
            r#"{"TimeGenerated":"2020-09-20T16:16:09Z","Computer":"PC1","Channel":"Security","EventID":"4624",
                "EventData":"<EventData>\r\n<Data Name=\"TargetUserName\">anna</Data><Data Name=\"IpAddress\">10.0.0.7</Data><Data Name=\"LogonType\">3</Data></EventData>"}"#,
        ];
        let events: Vec<Event> = shapes.iter().map(|text| read(text).expect(text)).collect();
        for event in &events {
            assert_eq!(event.time, Some(1_600_618_569_000_000_000));
            assert_eq!(
                (event.id, &*event.computer, event.security),
                (4624, "pc1", true)
            );
            assert_eq!(event.get(Field::TargetUser), Some("anna"));
            assert_eq!(event.number(Field::LogonType), Some(3));
            assert_eq!(event.origin().as_deref(), Some("10.0.0.7"));
        }
    }

    #[test]
    fn without_an_id_it_is_no_event() {
        assert_eq!(read(r#"{"Computer":"pc"}"#), None);
        assert_eq!(read("[]"), None);
    }

    #[test]
    fn depth_is_bounded() {
        let deep = format!(
            "{}{}{}",
            r#"{"a":"#.repeat(60),
            r#"{"EventID":1}"#,
            "}".repeat(60)
        );
        assert_eq!(read(&deep), None);
    }
}
