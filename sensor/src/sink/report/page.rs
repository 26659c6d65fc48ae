//! What every page has: head, style, end, and small drawings.

use std::io::{self, Write};

use sha2::{Digest as _, Sha256};

use crate::sink::escape::html;

const STYLE: &str = include_str!("report.css");

/// The head of a page, up to the first heading. Nothing is loaded, nothing runs: the only style allowed is the page's own, by
/// its digest (Content Security Policy Level 3, section 2.3.1).
pub fn begin(out: &mut dyn Write, title: &str) -> io::Result<()> {
    writeln!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>anomaly-detect: {}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>",
        base64(&Sha256::digest(STYLE.as_bytes())),
        html(title)
    )?;
    writeln!(out, "<p class=\"brand\">anomaly-detect</p>")
}

/// The end of a page; `about` stands before the name of the program.
pub fn end(out: &mut dyn Write, about: &str) -> io::Result<()> {
    writeln!(
        out,
        "<footer>{} · written by anomaly-detect {}</footer>\n</main>\n</body>\n</html>",
        html(about),
        env!("CARGO_PKG_VERSION")
    )
}

/// A bar of this share of its room.
pub(super) fn bar(share: f64, class: &str) -> String {
    let width = if share.is_finite() {
        (share * 100.0).clamp(0.0, 100.0)
    } else {
        0.0
    };
    format!(
        "<svg class=\"bar {class}\" viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect class=\"room\" width=\"100\" height=\"8\"/><rect width=\"{width:.1}\" height=\"8\"/></svg>"
    )
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let at = |place: usize| u32::from(chunk.get(place).copied().unwrap_or(0));
        let word = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let is_used = digit <= chunk.len();
            let letter = ALPHABET[(word >> (18 - 6 * digit)) as usize & 63];
            text.push(if is_used { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_standard() {
        for (text, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(text.as_bytes()), coded);
        }
    }
}
