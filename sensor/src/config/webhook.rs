//! Section `webhook`: who is told over HTTP.

use std::{fmt, path::PathBuf, time::Duration};

use super::{ConfigError, Grade, Layers, endpoint::is_this_machine};

/// Form of what is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template {
    /// Slack, by blocks.
    Slack,
    /// Discord, by embeds.
    Discord,
    /// Microsoft Teams, by an adaptive card to a workflow.
    Teams,
    /// The alert itself.
    Json,
}

impl Template {
    /// All of them by name.
    pub const ALL: [(&'static str, Self); 4] = [
        ("slack", Self::Slack),
        ("discord", Self::Discord),
        ("teams", Self::Teams),
        ("json", Self::Json),
    ];

    /// Name for people and files.
    pub const fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

/// Where to post, and what. The address may be a secret: what is printed of it is the host.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Form.
    pub template: Template,
    /// Address, with `http://` or `https://`.
    pub url: String,
    /// Name or address of the receiver, without brackets.
    pub host: String,
    /// File with a bearer token.
    pub token_file: Option<PathBuf>,
    /// File with the secret that signs what is posted.
    pub secret_file: Option<PathBuf>,
    /// Least severity, where it is not that of the section.
    pub min_severity: Option<Grade>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Target").field(&self.to_string()).finish()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.template.name(), self.host)
    }
}

impl Target {
    /// Reads `slack=https://... [token_file=FILE] [secret_file=FILE] [min_severity=SEVERITY]`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it, without the address.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut words = text.split_ascii_whitespace();
        let (name, url) = words
            .next()
            .and_then(|word| word.split_once('='))
            .ok_or("write for example slack=https://hooks.slack.com/services/...")?;
        let Some((_, template)) = Template::ALL.iter().find(|(known, _)| *known == name) else {
            return Err(format!(
                "`{}` is no template; there are slack, discord, teams and json",
                name.chars().take(20).collect::<String>()
            ));
        };
        let mut target = Self {
            template: *template,
            host: host(url).ok_or_else(|| {
                format!("the address behind {name}= is none; write for example {name}=https://example.org/hook, without user and password")
            })?,
            url: url.to_owned(),
            token_file: None,
            secret_file: None,
            min_severity: None,
        };
        for word in words {
            match word.split_once('=') {
                Some(("token_file", file)) if !file.is_empty() => {
                    target.token_file = Some(file.into());
                }
                Some(("secret_file", file)) if !file.is_empty() => {
                    target.secret_file = Some(file.into());
                }
                Some(("min_severity", grade)) => {
                    target.min_severity = Some(Grade::parse(grade).ok_or_else(|| {
                        format!("min_severity={grade} is none of low, medium, high, critical")
                    })?);
                }
                _ => {
                    return Err(format!(
                        "what stands behind the address of {name} is none of token_file=FILE, secret_file=FILE, min_severity=SEVERITY"
                    ));
                }
            }
        }
        Ok(target)
    }

    /// Reads a file of them, one a line; `#` begins a comment.
    ///
    /// # Errors
    /// The first line that is none, with its number, and what is wrong with it.
    pub fn parse_lines(text: &str) -> Result<Vec<Self>, (usize, String)> {
        let lines = text.lines().map(str::trim).enumerate();
        lines
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            .map(|(at, line)| Self::parse(line).map_err(|what| (at + 1, what)))
            .collect()
    }

    /// Whether the receiver runs on this machine.
    pub fn is_this_machine(&self) -> bool {
        is_this_machine(&self.host)
    }

    /// Whether what is posted can be read on its way through a network.
    pub fn is_exposed(&self) -> bool {
        self.url.starts_with("http://") && !self.is_this_machine()
    }

    /// Why a target without encryption is refused.
    pub fn exposed(&self) -> String {
        format!(
            "{self}: without encryption (http://) everyone on the way can read what is posted; use https://, or set webhook.plain"
        )
    }
}

/// The host of an address (RFC 3986, section 3.2); nothing where it is none, or carries a password.
fn host(url: &str) -> Option<String> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))?;
    // What a request line can carry, and no more: nothing here ends the line.
    if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    if authority.contains('@') {
        return None;
    }
    super::Endpoint::parse(authority, 443)
        .ok()
        .map(|endpoint| endpoint.host)
}

/// Section `webhook`.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// Where to post.
    pub targets: Vec<Target>,
    /// A file with more of them.
    pub targets_file: Option<PathBuf>,
    /// Least severity.
    pub min_severity: Grade,
    /// Whether people are told the end of an incident.
    pub ends: bool,
    /// Certificates to trust beside those of the system.
    pub ca_file: Option<PathBuf>,
    /// Longest time for one post.
    pub timeout: Duration,
    /// Whether other machines may be told without encryption.
    pub plain: bool,
}

impl Webhook {
    pub(super) fn from_layers(layers: &Layers) -> Result<Self, ConfigError> {
        let plain = layers.flag_of("webhook.plain")?;
        let mut targets = Vec::new();
        for text in layers.list("webhook.targets")? {
            match Target::parse(&text) {
                Ok(target) if target.is_exposed() && !plain => {
                    return layers.refused("webhook.targets", target.exposed());
                }
                Ok(target) => targets.push(target),
                Err(what) => return layers.refused("webhook.targets", what),
            }
        }
        Ok(Self {
            targets,
            targets_file: layers.file("webhook.targets_file")?,
            min_severity: Grade::of(layers, "webhook.min_severity")?,
            ends: layers.flag_of("webhook.ends")?,
            ca_file: layers.file("webhook.ca_file")?,
            timeout: layers.wait("webhook.timeout")?,
            plain,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_read_and_hide_their_address() {
        let text = "slack=https://hooks.example.org:8443/services/T0/SECRET?x=1 min_severity=high";
        let target = Target::parse(text).unwrap();
        assert_eq!(target.to_string(), "slack hooks.example.org");
        assert_eq!(target.min_severity, Some(Grade::High));
        assert!(!format!("{target:?}").contains("SECRET"));
        let target = Target::parse("json=http://[::1]:9/ token_file=/a secret_file=/b").unwrap();
        assert!(!target.is_exposed());
        assert_eq!(target.host, "::1");
        assert!(Target::parse("json=http://10.0.0.1/").unwrap().is_exposed());
        for wrong in [
            "",
            "slack",
            "SECRET=https://SECRET/",
            "slack=ftp://a/SECRET",
            "slack=https://u:SECRET@a/",
            "slack=https:///SECRET",
            "slack=https://a/SECRET\u{e9}",
            "slack=https://a/SECRET token=SECRET",
        ] {
            let error = Target::parse(wrong).unwrap_err();
            assert!(
                !error.contains("//SECRET") && !error.contains("token=SECRET"),
                "{error}"
            );
            assert!(!error.contains("/SECRET"), "{error}");
        }
    }

    #[test]
    fn files_of_targets_name_the_line() {
        let text = "# mine\n\n json=https://a/\nnone\n";
        assert_eq!(Target::parse_lines(text).unwrap_err().0, 4);
        let text = text.replace("none", "# none");
        assert_eq!(Target::parse_lines(&text).unwrap().len(), 1);
    }
}
