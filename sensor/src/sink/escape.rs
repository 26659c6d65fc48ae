//! Text from outside made safe for the place it goes to.

use std::borrow::Cow;

/// For HTML text and quoted attributes.
pub fn html(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) && !text.chars().any(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other if is_unprintable(other) => safe.push('\u{fffd}'),
            other => safe.push(other),
        }
    }
    Cow::Owned(safe)
}

/// For a terminal: no control character can move the cursor or colour what follows.
pub fn terminal(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let safe = |character| {
        if is_unprintable(character) {
            '\u{fffd}'
        } else {
            character
        }
    };
    Cow::Owned(text.chars().map(safe).collect())
}

/// For a CSV field that a spreadsheet may open: a text that would be read as a formula gets a quote in front
/// (OWASP, CSV injection). Numbers keep their sign.
pub fn formula(text: &str) -> Cow<'_, str> {
    let dangerous = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if dangerous && text.parse::<f64>().is_err() {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Control characters, and the ones that turn the direction of writing.
fn is_unprintable(character: char) -> bool {
    (character.is_control() && character != '\n')
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_becomes_text() {
        assert_eq!(
            html("<script>alert('x')</script>\u{1b}[2J"),
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;\u{fffd}[2J"
        );
        assert_eq!(
            terminal("a\u{1b}]0;b\u{7}\u{202e}c"),
            "a\u{fffd}]0;b\u{fffd}\u{fffd}c"
        );
        assert_eq!(formula("=cmd|' /C calc'!A0"), "'=cmd|' /C calc'!A0");
        assert_eq!(formula("-12.5"), "-12.5");
        assert_eq!(formula("1:abc="), "1:abc=");
    }
}
