//! Patterns of STIX 2.1 (section 9) that one value alone fulfils.
//!
//! A pattern is taken apart only where any one of its comparisons is enough: comparisons joined by OR, within observations
//! joined by OR. Of a pattern that wants several things at once no part is bad by itself, and using the parts would
//! make false matches.

use super::{Indicator, Loss};

/// The indicators of a pattern.
///
/// # Errors
/// Why it is of no use.
pub(super) fn read(pattern: &str) -> Result<Vec<Indicator>, Loss> {
    let tokens = tokens(pattern).ok_or(Loss::Unreadable)?;
    let mut words = Words {
        tokens: &tokens,
        at: 0,
    };
    let mut found = Vec::new();
    loop {
        words.want("[")?;
        words.observation(&mut found)?;
        words.want("]")?;
        match words.next() {
            None => break,
            Some(Token::Word("OR")) => {}
            // AND, FOLLOWEDBY, and qualifiers: how often, when.
            Some(_) => return Err(Loss::Pattern),
        }
    }
    if found.is_empty() {
        Err(Loss::OtherKind)
    } else {
        Ok(found)
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token<'a> {
    /// A name, an operator or a bracket.
    Word(&'a str),
    /// A text in quotes, without them.
    Text(String),
}

/// The words of a pattern; `None` for a quote that does not end.
fn tokens(pattern: &str) -> Option<Vec<Token<'_>>> {
    let mut tokens = Vec::new();
    let mut rest = pattern.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' => {
                let mut text = String::new();
                let mut letters = rest[1..].char_indices();
                loop {
                    match letters.next()? {
                        (_, '\\') => text.push(letters.next()?.1),
                        (at, '\'') => {
                            tokens.push(Token::Text(text));
                            break at + 2;
                        }
                        (_, letter) => text.push(letter),
                    }
                }
            }
            '[' | ']' | '(' | ')' | ',' => {
                tokens.push(Token::Word(&rest[..1]));
                1
            }
            '=' | '!' | '<' | '>' => {
                let length = rest
                    .find(|letter| !matches!(letter, '=' | '!' | '<' | '>'))
                    .unwrap_or(rest.len());
                tokens.push(Token::Word(&rest[..length]));
                length
            }
            _ => {
                let ends = |letter: char| letter.is_whitespace() || "'[](),=!<>".contains(letter);
                let length = rest.find(ends).unwrap_or(rest.len());
                tokens.push(Token::Word(&rest[..length]));
                length
            }
        };
        rest = rest[length..].trim_start();
    }
    Some(tokens)
}

struct Words<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a Token<'a>> {
        let token = self.tokens.get(self.at);
        self.at += 1;
        token
    }

    fn is_next(&self, word: &str) -> bool {
        matches!(self.tokens.get(self.at), Some(Token::Word(next)) if *next == word)
    }

    fn want(&mut self, word: &str) -> Result<(), Loss> {
        match self.next() {
            Some(Token::Word(next)) if *next == word => Ok(()),
            _ => Err(Loss::Unreadable),
        }
    }

    /// Comparisons joined by OR; brackets around all that change nothing.
    fn observation(&mut self, found: &mut Vec<Indicator>) -> Result<(), Loss> {
        let mut depth = 0_usize;
        loop {
            while self.is_next("(") {
                self.at += 1;
                depth += 1;
            }
            let (path, values) = self.comparison()?;
            let typed =
                path == "network-traffic:dst_ref.type" || path == "network-traffic:src_ref.type";
            // `dst_ref.type = 'ipv4-addr' AND dst_ref.value = '...'` says one thing in two comparisons.
            if typed && self.is_next("AND") {
                self.at += 1;
                continue;
            }
            for value in values {
                found.extend(
                    Indicator::of_kind(kind(path), value).or_else(|loss| match loss {
                        // Another comparison of the same pattern may be enough.
                        Loss::OtherKind => Ok(Vec::new()),
                        loss => Err(loss),
                    })?,
                );
            }
            while self.is_next(")") && depth > 0 {
                self.at += 1;
                depth -= 1;
            }
            if self.is_next("]") && depth == 0 {
                return Ok(());
            }
            match self.next() {
                Some(Token::Word("OR")) => {}
                Some(_) => return Err(Loss::Pattern),
                None => return Err(Loss::Unreadable),
            }
        }
    }

    /// `path = 'value'`, `path ISSUBSET 'prefix'`, `path IN ('value', 'value')`.
    fn comparison(&mut self) -> Result<(&'a str, Vec<&'a str>), Loss> {
        let Some(Token::Word(path)) = self.next() else {
            return Err(Loss::Unreadable);
        };
        match self.next() {
            Some(Token::Word("=" | "ISSUBSET")) => match self.next() {
                Some(Token::Text(value)) => Ok((path, vec![value])),
                // A number, a time: of no use, but no fault.
                Some(Token::Word(_)) => Ok((path, Vec::new())),
                None => Err(Loss::Unreadable),
            },
            Some(Token::Word("IN")) => {
                self.want("(")?;
                let mut values = Vec::new();
                loop {
                    match self.next() {
                        Some(Token::Text(value)) => values.push(value.as_str()),
                        Some(Token::Word(",")) => {}
                        Some(Token::Word(")")) => return Ok((path, values)),
                        _ => return Err(Loss::Unreadable),
                    }
                }
            }
            // NOT, LIKE, MATCHES, ISSUPERSET, !=, and so on.
            Some(_) => Err(Loss::Pattern),
            None => Err(Loss::Unreadable),
        }
    }
}

/// Which kind of value an object path names.
fn kind(path: &str) -> &str {
    match path {
        "ipv4-addr:value"
        | "ipv6-addr:value"
        | "network-traffic:dst_ref.value"
        | "network-traffic:src_ref.value" => "ip",
        "domain-name:value"
        | "network-traffic:extensions.'http-request-ext'.request_header.Host" => "domain",
        path if path.ends_with("ja3") || path.ends_with("ja3_hash") => "ja3",
        path if path.ends_with("ja4") => "ja4",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(pattern: &str) -> Result<String, Loss> {
        let one = |indicator: &Indicator| match indicator {
            Indicator::Prefixes(parts) => parts
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" "),
            Indicator::Domain(name) | Indicator::Ja3(name) | Indicator::Ja4(name) => name.clone(),
        };
        read(pattern).map(|found| found.iter().map(one).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn what_one_value_fulfils_is_taken() {
        for (pattern, values) in [
            ("[ipv4-addr:value = '192.0.2.1']", "192.0.2.1"),
            (
                "[ipv4-addr:value='192.0.2.1' OR domain-name:value = 'Evil.example'] OR [ipv6-addr:value = '2001:db8::1']",
                "192.0.2.1 evil.example 2001:db8::1",
            ),
            (
                "[ipv4-addr:value ISSUBSET '198.51.100.0/24']",
                "198.51.100.0/24",
            ),
            (
                "[ipv4-addr:value IN ('192.0.2.1', '192.0.2.2')]",
                "192.0.2.1 192.0.2.2",
            ),
            (
                "[network-traffic:dst_ref.type = 'ipv4-addr' AND network-traffic:dst_ref.value = '192.0.2.1']",
                "192.0.2.1",
            ),
            (
                "[(ipv4-addr:value = '192.0.2.1' OR file:hashes.MD5 = 'aa')]",
                "192.0.2.1",
            ),
        ] {
            assert_eq!(shown(pattern).as_deref(), Ok(values), "{pattern}");
        }
    }

    #[test]
    fn what_wants_several_things_at_once_is_not() {
        for (pattern, loss) in [
            (
                "[ipv4-addr:value = '192.0.2.1' AND network-traffic:dst_port = 443]",
                Loss::Pattern,
            ),
            (
                "[ipv4-addr:value = '192.0.2.1'] FOLLOWEDBY [domain-name:value = 'a.example']",
                Loss::Pattern,
            ),
            (
                "[ipv4-addr:value = '192.0.2.1'] REPEATS 5 TIMES",
                Loss::Pattern,
            ),
            ("[ipv4-addr:value != '192.0.2.1']", Loss::Pattern),
            ("[domain-name:value LIKE '%.example']", Loss::Pattern),
            ("[NOT ipv4-addr:value = '192.0.2.1']", Loss::Pattern),
            ("[file:hashes.MD5 = 'aa']", Loss::OtherKind),
            ("[ipv4-addr:value = '192.0.2.1", Loss::Unreadable),
            ("[ipv4-addr:value = 'nonsense here']", Loss::Unreadable),
            ("[]", Loss::Unreadable),
            ("", Loss::Unreadable),
        ] {
            assert_eq!(shown(pattern), Err(loss), "{pattern}");
        }
    }
}
