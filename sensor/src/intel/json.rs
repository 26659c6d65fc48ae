//! Lists as JSON: STIX 2.1 bundles and MISP events.
//!
//! A document is walked once, one object held at a time, so that a large list costs its entries and not its text. The parser
//! refuses nesting beyond 128 levels.

use std::{collections::HashMap, fmt};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::{
    Indicator, Loss,
    harvest::{Harvest, Place},
    pattern,
};
use crate::time::Stamp;

/// Names of identities held of one bundle.
const IDENTITIES_MAX: usize = 10_000;

/// Reads a document.
///
/// # Errors
/// What is wrong with the JSON, or that it is neither form.
pub(super) fn read(text: &str, now_ns: u64, harvest: &mut Harvest) -> Result<&'static str, String> {
    let mut reader = Reader {
        harvest,
        now_ns,
        objects: 0,
        identities: HashMap::new(),
        form: None,
    };
    let mut parser = serde_json::Deserializer::from_str(text);
    Top(&mut reader)
        .deserialize(&mut parser)
        .and_then(|()| parser.end())
        .map_err(|error| format!("not JSON as it should be: {error}"))?;
    let (form, identities) = (reader.form, std::mem::take(&mut reader.identities));
    harvest.rename_sources(&identities);
    form.ok_or_else(|| "JSON, but neither a STIX bundle nor a MISP event".to_owned())
}

struct Reader<'a> {
    harvest: &'a mut Harvest,
    now_ns: u64,
    objects: u64,
    identities: HashMap<String, String>,
    form: Option<&'static str>,
}

impl Reader<'_> {
    fn place(&mut self) -> Place {
        self.objects += 1;
        Place::Object(self.objects)
    }

    /// An object of a STIX bundle.
    fn stix(&mut self, object: &Value) {
        let place = self.place();
        let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
        match text("type") {
            "identity" if self.identities.len() < IDENTITIES_MAX => {
                self.identities
                    .insert(text("id").to_owned(), text("name").to_owned());
                return;
            }
            "indicator" => {}
            // What was observed is not for that bad: only indicators say so.
            _ => return,
        }
        let pattern = text("pattern");
        let is_over = Stamp::parse(text("valid_until")).is_some_and(|until| until.0 <= self.now_ns);
        let is_stix = matches!(text("pattern_type"), "stix" | "");
        let label = match text("name") {
            "" => strings(object.get("indicator_types"))
                .or_else(|| strings(object.get("labels")))
                .unwrap_or_default(),
            name => name.to_owned(),
        };
        let confidence = object
            .get("confidence")
            .and_then(Value::as_u64)
            .and_then(|share| u8::try_from(share).ok());
        let read = if object.get("revoked") == Some(&Value::Bool(true)) {
            Err(Loss::Revoked)
        } else if is_over {
            Err(Loss::Expired)
        } else if !is_stix {
            Err(Loss::OtherKind)
        } else {
            pattern::read(pattern)
        };
        let place = (place, pattern);
        self.harvest
            .take(read, place, (&label, text("created_by_ref")), confidence);
    }

    /// An attribute of a MISP event.
    fn misp(&mut self, attribute: &Value) {
        let place = self.place();
        let text = |name: &str| {
            attribute
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let value = text("value");
        let is_meant = !matches!(attribute.get("to_ids"), Some(Value::Bool(false)) | None);
        let is_deleted = attribute.get("deleted") == Some(&Value::Bool(true));
        let read = if is_deleted {
            Err(Loss::Revoked)
        } else {
            // A hash stays one of another kind, whether for detection or not.
            match Indicator::of_kind(text("type"), value) {
                Ok(_) if !is_meant => Err(Loss::NotForDetection),
                read => read,
            }
        };
        self.harvest
            .take(read, (place, value), (text("comment"), ""), None);
    }
}

fn strings(list: Option<&Value>) -> Option<String> {
    let words: Vec<&str> = list?.as_array()?.iter().filter_map(Value::as_str).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// The document: a bundle, an event, an answer with events, or a list of any of these.
struct Top<'a, 'b>(&'a mut Reader<'b>);

impl<'de> DeserializeSeed<'de> for Top<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Top<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a STIX bundle or a MISP event")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Top(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "objects" => {
                    self.0.form = Some("STIX");
                    map.next_value_seed(Each(self.0, |reader, object| reader.stix(object)))?;
                }
                "Event" => {
                    self.0.form = Some("MISP");
                    map.next_value_seed(Event(self.0))?;
                }
                "response" => map.next_value_seed(Top(self.0))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// A list, an element at a time.
struct Each<'a, 'b>(&'a mut Reader<'b>, fn(&mut Reader<'_>, &Value));

impl<'de> DeserializeSeed<'de> for Each<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Each<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(element) = list.next_element::<Value>()? {
            (self.1)(self.0, &element);
        }
        Ok(())
    }
}

/// A MISP event, or an object of one: attributes, and objects with attributes.
struct Event<'a, 'b>(&'a mut Reader<'b>);

impl<'de> DeserializeSeed<'de> for Event<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Event<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a MISP event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mark = self.0.harvest.mark();
        let (mut info, mut author) = (String::new(), String::new());
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "Attribute" => {
                    map.next_value_seed(Each(self.0, |reader, attribute| reader.misp(attribute)))?;
                }
                "Object" => map.next_value_seed(Objects(self.0))?,
                "info" => {
                    info = map
                        .next_value::<Value>()?
                        .as_str()
                        .unwrap_or_default()
                        .to_owned();
                }
                "Orgc" => {
                    let organisation = map.next_value::<Value>()?;
                    let name = organisation.get("name").and_then(Value::as_str);
                    author = name.unwrap_or_default().to_owned();
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        self.0.harvest.credit(mark, &info, &author);
        Ok(())
    }
}

/// The objects of a MISP event.
struct Objects<'a, 'b>(&'a mut Reader<'b>);

impl<'de> DeserializeSeed<'de> for Objects<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Objects<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of MISP objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Event(self.0))?.is_some() {}
        Ok(())
    }
}
