//! Which of several sensors tells something.

use lettre::transport::smtp::extension::ClientId;

/// The name of this machine, as far as it is letters, digits, dots and dashes; never empty.
pub fn sensor() -> String {
    // lettre asks the system, on every system it knows; so there is one way to ask.
    let name = match ClientId::default() {
        ClientId::Domain(name) => name,
        _ => String::new(),
    };
    plain(&name, 63, "sensor")
}

/// What of a text can stand in a name: letters, digits, dots and dashes; `otherwise` if nothing can.
pub fn plain(text: &str, longest: usize, otherwise: &str) -> String {
    let sound = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let name: String = text.chars().filter(sound).take(longest).collect();
    let name = name.trim_matches(['-', '.']).to_owned();
    // Two dots in a row are in no name (RFC 5322, dot-atom).
    if name.is_empty() || name.contains("..") {
        otherwise.to_owned()
    } else {
        name
    }
}
