//! What is posted: a message for Slack, Discord or Microsoft Teams, or the alert itself.
//!
//! Nothing of an alert is ever read as markup: what comes from packets and logs stands where the receiver takes text as
//! it is (Slack's `plain_text`, Teams' `TextRun`), and is escaped where there is no such place.

use serde_json::{Value, json};

use crate::{
    config::Template,
    sink::{
        alert::Alert,
        notify::{Notice, clip},
    },
    time::Stamp,
};

/// The body to post.
pub fn body(template: Template, alert: &Alert) -> Vec<u8> {
    let value = match template {
        Template::Slack => slack(&Notice::from(alert)),
        Template::Discord => discord(&Notice::from(alert), alert),
        Template::Teams => teams(&Notice::from(alert)),
        Template::Json => return serde_json::to_vec(alert).unwrap_or_default(),
    };
    value.to_string().into_bytes()
}

/// Slack Block Kit. Its limits: 150 characters in a header, 3000 in a text, 2000 in a field, ten fields in a section
/// (Slack API reference, blocks).
fn slack(notice: &Notice) -> Value {
    let plain = |text: String| json!({"type": "plain_text", "text": text, "emoji": false});
    let mut blocks = vec![
        json!({"type": "header", "text": plain(clip(&format!("{} {}", mark(notice), title(notice)), 150))}),
        json!({"type": "section", "text": plain(notice.sentence.clone())}),
    ];
    let fields: Vec<_> = notice
        .facts
        .iter()
        .map(|fact| plain(format!("{}\n{}", fact.label, fact.value)))
        .collect();
    for fields in fields.chunks(10) {
        blocks.push(json!({"type": "section", "fields": fields}));
    }
    if !notice.why.is_empty() {
        let why = clip(&format!("Why: {}", notice.why.join("; ")), 2000);
        blocks.push(json!({"type": "context", "elements": [plain(why)]}));
    }
    blocks.push(json!({"type": "context", "elements": [plain(notice.footer.clone())]}));
    json!({
        // For notifications, and for receivers that know Slack's form without its blocks (Mattermost).
        "text": slack_escaped(&format!("{}\n{}", title(notice), notice.sentence)),
        "blocks": blocks,
        "unfurl_links": false,
        "unfurl_media": false,
    })
}

/// For the one place that Slack reads as its markup: `&`, `<` and `>` are what begins a mention or a link (Slack API,
/// formatting text). A mark behind `@` and `://` keeps receivers from making mentions and links of their own accord.
fn slack_escaped(text: &str) -> String {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    unlinked(&text)
}

/// Discord embed. Its limits: 256 characters in a title, 4096 in a description, 25 fields of 256 and 1024, 2048 in a
/// footer, 6000 in all (Discord developer reference, embed limits).
fn discord(notice: &Notice, alert: &Alert) -> Value {
    let mut description = escaped(&notice.sentence);
    for why in &notice.why {
        description += &format!("\n- {}", escaped(why));
    }
    // Escaping lengthens a text; six thousand characters in all are less than the sum of what each part may have.
    let mut left = 5600_usize.saturating_sub(512);
    let description = cut_escaped(&description, 2500);
    left = left.saturating_sub(description.chars().count());
    let mut fields = Vec::new();
    for fact in &notice.facts {
        let value = cut_escaped(&escaped(&fact.value), 600);
        let length = fact.label.len() + value.chars().count();
        if length > left {
            break;
        }
        left -= length;
        fields.push(
            json!({"name": fact.label, "value": value, "inline": fact.value.chars().count() <= 40}),
        );
    }
    json!({
        "allowed_mentions": {"parse": []},
        "embeds": [{
            "title": cut_escaped(&escaped(&title(notice)), 256),
            "description": description,
            "color": notice.colour(),
            "fields": fields,
            "footer": {"text": clip(&notice.footer, 200)},
            "timestamp": format!("{}Z", &Stamp(alert.last_ns).to_string()[..19]),
        }],
    })
}

/// For Discord's Markdown: every character that can begin markup, a mention, an emoji, a timestamp or a link has a
/// backslash in front (CommonMark, section 2.4, which Discord follows for punctuation).
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 16);
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        let begins = match character {
            // Of a link; a time or an address of IPv6 stays as it is.
            ':' => rest.as_str().starts_with('/'),
            '-' | '+' => !safe.chars().next_back().is_some_and(char::is_alphanumeric),
            other => "\\*_~`|<>[]#@".contains(other),
        };
        if begins {
            safe.push('\\');
        }
        safe.push(character);
        if character == '@' {
            safe.push('\u{200b}');
        }
    }
    safe
}

/// Cuts a text without leaving half of an escape.
fn cut_escaped(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    let mut head: String = text.chars().take(longest - 1).collect();
    let backslashes = head.chars().rev().take_while(|c| *c == '\\').count();
    if backslashes % 2 == 1 {
        head.pop();
    }
    head + "…"
}

/// `@` and `://` with an invisible mark behind: neither a mention nor a link, and read the same.
fn unlinked(text: &str) -> String {
    text.replace('@', "@\u{200b}").replace("://", ":\u{200b}//")
}

/// An adaptive card for a workflow of Microsoft Teams ("Post to a channel when a webhook request is received"). What is
/// said stands in text runs, which know no Markdown (Adaptive Cards schema 1.4, TextRun); without `msteams.entities`
/// nothing in a card is a mention.
fn teams(notice: &Notice) -> Value {
    let run = |text: String| json!({"type": "TextRun", "text": text});
    let bold = |text: String| json!({"type": "TextRun", "text": text, "weight": "Bolder"});
    let block = |inlines: Value| json!({"type": "RichTextBlock", "inlines": inlines});
    let colour = match notice.severity {
        _ if notice.stage == crate::score::Stage::Over => "Good",
        crate::score::Severity::Critical | crate::score::Severity::High => "Attention",
        crate::score::Severity::Medium => "Warning",
        _ => "Accent",
    };
    let mut body = vec![
        block(json!([{
            "type": "TextRun", "text": title(notice), "weight": "Bolder", "size": "Large", "color": colour,
        }])),
        block(json!([run(notice.sentence.clone())])),
    ];
    for fact in &notice.facts {
        body.push(json!({
            "type": "RichTextBlock",
            "spacing": "Small",
            "inlines": [bold(format!("{}: ", fact.label)), run(fact.value.clone())],
        }));
    }
    for why in &notice.why {
        body.push(json!({
            "type": "RichTextBlock",
            "spacing": "Small",
            "inlines": [bold("Why: ".to_owned()), run(why.clone())],
        }));
    }
    body.push(json!({
        "type": "RichTextBlock",
        "inlines": [{"type": "TextRun", "text": notice.footer, "isSubtle": true, "size": "Small"}],
    }));
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "msteams": {"width": "Full"},
                "fallbackText": format!("{}\n{}", title(notice), notice.sentence),
                "body": body,
            },
        }],
    })
}

/// `Critical: port scan (vertical): 10.0.0.99`.
fn title(notice: &Notice) -> String {
    format!("{}: {}", notice.head(), notice.title)
}

/// The severity at a glance.
const fn mark(notice: &Notice) -> char {
    use crate::score::{Severity, Stage};
    match (notice.stage, notice.severity) {
        (Stage::Over, _) => '\u{1f7e2}',
        (_, Severity::Critical) => '\u{1f534}',
        (_, Severity::High) => '\u{1f7e0}',
        (_, Severity::Medium) => '\u{1f7e1}',
        _ => '\u{1f535}',
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use proptest::prelude::*;

    use super::*;
    use crate::sink::notify::tests::{alert, hostile};

    /// What is posted, compared with what is kept: receivers are not here to be asked, so a change is looked at.
    #[test]
    fn templates_are_as_kept() {
        for (name, template) in Template::ALL {
            let value: Value = serde_json::from_slice(&body(template, &alert())).unwrap();
            let text = serde_json::to_string_pretty(&value).unwrap() + "\n";
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join(format!("tests/golden/webhook-{name}.json"));
            if std::env::var_os("UPDATE").is_some() {
                fs::write(&path, &text).unwrap();
            }
            assert!(
                fs::read_to_string(&path).unwrap_or_default() == text,
                "{} differs; rewrite it with:\n  UPDATE=1 cargo test -p sensor --lib templates_are_as_kept",
                path.display()
            );
        }
    }

    /// Every string in a value with the key it stands under.
    fn strings(value: &Value, key: &str, found: &mut Vec<(String, String)>) {
        match value {
            Value::String(text) => found.push((key.to_owned(), text.clone())),
            Value::Array(parts) => parts.iter().for_each(|part| strings(part, key, found)),
            Value::Object(parts) => parts
                .iter()
                .for_each(|(key, part)| strings(part, key, found)),
            _ => {}
        }
    }

    /// The keys and kinds of values of an object, without what stands in it, and without how often a part repeats.
    fn shape(value: &Value, path: &str, found: &mut BTreeSet<String>) {
        match value {
            Value::Array(parts) => parts.iter().for_each(|part| shape(part, path, found)),
            Value::Object(parts) => {
                for (key, part) in parts {
                    shape(part, &format!("{path}/{key}"), found);
                }
            }
            other => {
                let kind = match other {
                    Value::String(_) => "text",
                    Value::Number(_) => "number",
                    _ => "other",
                };
                found.insert(format!("{path} {kind}"));
            }
        }
    }

    fn check(text: &str) {
        let alert = hostile(text);
        for (name, template) in Template::ALL {
            let bytes = body(template, &alert);
            let value: Value = serde_json::from_slice(&bytes).unwrap();
            let mut found = Vec::new();
            strings(&value, "", &mut found);
            match template {
                Template::Json => {
                    let back: Alert = serde_json::from_value(value).unwrap();
                    assert_eq!(back, alert);
                    continue;
                }
                Template::Slack => {
                    assert!(!value.to_string().contains("mrkdwn"));
                    let text = value["text"].as_str().unwrap();
                    assert!(!text.contains(['<', '>']), "{text}");
                    for name in ["@everyone", "@here", "@channel", "://"] {
                        assert!(!text.contains(name), "{text}");
                    }
                    for block in value["blocks"].as_array().unwrap() {
                        assert!(
                            block["fields"]
                                .as_array()
                                .is_none_or(|fields| fields.len() <= 10)
                        );
                    }
                    let header = value["blocks"][0]["text"]["text"].as_str().unwrap();
                    assert!(header.chars().count() <= 150);
                }
                Template::Discord => {
                    assert_eq!(value["allowed_mentions"], json!({"parse": []}));
                    assert!(value.get("content").is_none());
                    let embed = &value["embeds"][0];
                    let mut total = 0;
                    let mut whole = vec![];
                    strings(embed, "", &mut whole);
                    for (key, text) in whole {
                        total += text.chars().count();
                        if key == "text" || key == "timestamp" {
                            continue;
                        }
                        for name in ["@everyone", "@here"] {
                            assert!(!text.contains(name), "{text}");
                        }
                        // Behind an even number of backslashes a mark would be read as markup.
                        let mut backslashes = 0;
                        for character in text.chars() {
                            if "*_~`|<>[]".contains(character) {
                                assert!(backslashes % 2 == 1, "{key}: {text}");
                            }
                            backslashes = if character == '\\' {
                                backslashes + 1
                            } else {
                                0
                            };
                        }
                    }
                    assert!(total <= 6000, "{total}");
                }
                Template::Teams => {
                    assert!(bytes.len() < 28 << 10, "{}", bytes.len());
                    let kinds: BTreeSet<_> = found
                        .iter()
                        .filter(|(key, _)| key == "type")
                        .map(|(_, kind)| kind.as_str())
                        .collect();
                    let known = ["AdaptiveCard", "RichTextBlock", "TextRun", "message"];
                    assert!(kinds.iter().all(|kind| known.contains(kind)), "{kinds:?}");
                }
            }
            let mut ours = BTreeSet::new();
            shape(
                &serde_json::from_slice(&body(template, &hostile("x"))).unwrap(),
                "",
                &mut ours,
            );
            let mut theirs = BTreeSet::new();
            shape(&value, "", &mut theirs);
            assert!(theirs.is_subset(&ours), "{name}: {theirs:?}");
            for (_, text) in &found {
                let control = |c: char| c.is_control() && c != '\n';
                assert!(
                    !text.contains(control) && !text.contains('\u{202e}'),
                    "{text:?}"
                );
            }
        }
    }

    #[test]
    fn hostile_texts_stay_texts() {
        for text in [
            "@everyone @here <!channel> <!here> <@U123> <#C1> <https://evil|click>",
            "\"}]}, {\"content\": \"@everyone\"}",
            "[click](https://evil.example) **bold** `code` ||spoiler|| <t:0:R> <:a:1>",
            "\\*not escaped\\\\*",
            "<at>everyone</at> {{DATE(2020-01-01T00:00:00Z)}} ${title}",
            "a\r\nb\u{0}c\u{1b}[2J\u{202e}d\u{2028}e",
            &"*".repeat(5000),
            &"\u{1f534}".repeat(5000),
            "",
        ] {
            check(text);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_text_breaks_a_message(text in r#"([@<>!\\*_~`|\[\](){}"':/&#\r\n\x00-\x1f -]|everyone|here|channel|[a-z]|\PC){0,60}"#) {
            check(&text);
        }
    }
}
