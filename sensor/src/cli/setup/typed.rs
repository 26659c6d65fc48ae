//! Commands as they are to be typed.

use super::Setup;

/// Where commands look unless they are told otherwise.
const USUAL_FOLDER: &str = "anomaly-out";

impl Setup {
    /// Whether commands look into this output folder without being told to.
    pub(in crate::cli) fn is_usual_folder(&self) -> bool {
        self.folder().as_os_str() == USUAL_FOLDER
    }

    /// What has another command look where this one writes, to be put behind it; nothing where it looks there anyway.
    pub(in crate::cli) fn looking_here(&self) -> String {
        let folder = (!self.is_usual_folder()).then(|| ("output.folder", self.folder()));
        let store = self.config.store.path.as_deref();
        let all = folder
            .into_iter()
            .chain(store.map(|path| ("store.path", path)));
        all.map(|(key, path)| format!(" --set {key}={}", word(&path.display().to_string())))
            .collect()
    }
}

/// A word of a command, quoted where a shell would take it for something else.
pub(in crate::cli) fn word(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:+@,=".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Setup, word};
    use crate::config::Layers;

    #[test]
    fn words_of_commands_are_quoted_where_they_must_be() {
        assert_eq!(word("monday/out-1"), "monday/out-1");
        assert_eq!(word("my captures"), "'my captures'");
        assert_eq!(word("it's"), "'it'\\''s'");
    }

    #[test]
    fn a_command_is_told_where_to_look_if_it_would_not_look_there() {
        for (key, value, said) in [
            ("output.folder", "anomaly-out", ""),
            ("output.folder", "my out", " --set output.folder='my out'"),
            ("store.path", "a.sqlite", " --set store.path=a.sqlite"),
        ] {
            let mut layers = Layers::default();
            layers.flag(key, value, "--set").expect("a value");
            let setup = Setup::of(layers, true).expect("a configuration");
            assert_eq!(setup.looking_here(), said, "{key}");
        }
    }
}
