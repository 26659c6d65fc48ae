//! The features of events as a page for people.

use std::fmt::Write as _;

use super::{COLUMNS, Kind};

/// The whole of `docs/log-features.md`.
pub fn markdown() -> String {
    let mut page = format!(
        "# Features of log events\n\n\
         <!-- Generated from sensor/src/logs; a test compares. Rewrite with:\n     \
         UPDATE=1 cargo test -p sensor --lib log_features_doc -->\n\n\
         Each event of a host log becomes a row of {} numbers in `logs.csv`, behind what the log itself says of it. A value that\n\
         cannot be known is missing (an empty field), never 0. Windows reach back from the event, in the time of the log. The\n\
         features that flows get from logs are in [features.md](features.md).\n\n\
         | name | definition |\n|---|---|\n",
        COLUMNS.len()
    );
    for column in COLUMNS {
        let _ = writeln!(page, "| `{}` | {} |", column.name, column.about);
    }
    page.push_str("\n## Findings\n\n| kind | ATT&CK techniques |\n|---|---|\n");
    for kind in Kind::ALL {
        let techniques = kind.techniques().iter();
        let named: Vec<_> = techniques
            .map(|found| format!("{} {}", found.id, found.name))
            .collect();
        let _ = writeln!(page, "| {kind} | {} |", named.join("<br>"));
    }
    page
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn log_features_doc_is_generated_from_the_columns() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/log-features.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, markdown()).expect("docs can be written");
        }
        let page = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            page == markdown(),
            "docs/log-features.md is not what the columns say; rewrite it with:\n  UPDATE=1 cargo test -p sensor --lib log_features_doc"
        );
    }
}
