//! The table as a page for people.

use std::fmt::Write as _;

use super::{COUNT, Family, MODEL_COUNT, TABLE, Transform};

/// The whole of `docs/features.md`.
pub fn markdown() -> String {
    let mut page = format!(
        "# Features\n\n\
         <!-- Generated from sensor/src/features/table.rs; a test compares. Rewrite with:\n     \
         UPDATE=1 cargo test -p sensor --lib features_doc -->\n\n\
         Each flow record becomes a row of {COUNT} numbers, in this order, raw units. {MODEL_COUNT} of them (column\n\
         *model*) are what the model sees; of one *aside* it knows what is usual, for a behaviour detector, and no tree\n\
         cuts it. A value that cannot be known is missing (an empty CSV field), never 0.\n\n\
         *Axis* is where the model cuts: `linear` the value itself, `log` sign(x) ln(1 + |x|), `time` the same for\n\
         seconds, where no tree tells apart what rounds to the same quarter of a millisecond, `category` the rarity of the value among\n\
         the training rows. *Originator* and *responder* are Zeek's words; bytes are IP bytes.\n\
         Windows slide over traffic time, not over the clock.\n"
    );
    for family in Family::ALL {
        let _ = write!(
            page,
            "\n## {}\n\n| name | unit | axis | model | definition | after |\n|---|---|---|---|---|---|\n",
            family.name()
        );
        for feature in TABLE.iter().filter(|feature| feature.family == family) {
            let axis = match feature.transform {
                Transform::Linear => "linear",
                Transform::SignedLog => "log",
                Transform::Time => "time",
                Transform::Categorical => "category",
            };
            let model = match (feature.model, feature.aside) {
                (false, _) => "",
                (true, false) => "yes",
                (true, true) => "aside",
            };
            let _ = writeln!(
                page,
                "| `{}` | {} | {axis} | {model} | {} | {} |",
                feature.name, feature.unit, feature.about, feature.source
            );
        }
    }
    page
}
