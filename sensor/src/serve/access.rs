//! Tokens, sessions, and names: who may look, and under which name we are known.

use std::{
    fmt,
    hint::black_box,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};

/// Name of the session's cookie.
const COOKIE: &str = "anomaly-detect-session";
/// How long a login lasts.
const SESSION: Duration = Duration::from_secs(12 * 3600);
/// Wrong tokens within [`PENALTY`] from which on nobody may try.
const TRIES: usize = 10;
const PENALTY: Duration = Duration::from_secs(60);
/// A token shorter than this is a password that somebody guesses.
const TOKEN_LEAST: usize = 16;

/// Why access cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Beyond loopback, and no token.
    #[error(
        "dashboard.listen={0} is reachable from other machines: put a token into a file and name it with dashboard.token_file (openssl rand -hex 32 > FILE)"
    )]
    NoToken(SocketAddr),
    /// The file cannot be read.
    #[error("dashboard.token_file: {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The token is too short, or no text that a header can hold.
    #[error(
        "dashboard.token_file: {}: a token is at least {TOKEN_LEAST} visible ASCII characters on one line (openssl rand -hex 32 > FILE)",
        .0.display()
    )]
    Weak(PathBuf),
    /// The system gave no random numbers.
    #[error("the system gives no random numbers")]
    NoEntropy,
}

/// A secret, kept as a digest.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Token {
    /// The first line of a file.
    ///
    /// # Errors
    /// The file cannot be read, or what it holds is no token.
    pub fn read(path: &Path) -> Result<Self, AccessError> {
        let text = std::fs::read_to_string(path).map_err(|source| AccessError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let token = text.trim_end_matches(['\n', '\r']);
        let visible = token.bytes().all(|byte| byte.is_ascii_graphic());
        if token.len() < TOKEN_LEAST || !visible {
            return Err(AccessError::Weak(path.to_owned()));
        }
        Ok(Self(digest(token.as_bytes())))
    }

    fn is(&self, offered: &str) -> bool {
        same(&self.0, &digest(offered.as_bytes()))
    }
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Compares in a time that does not depend on where they differ.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let differ = a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b));
    black_box(differ) == 0
}

/// What of access can be set anew while it is served.
#[derive(Clone, Debug)]
struct Rules {
    token: Option<Token>,
    /// Signs sessions; another in every run, and for every token.
    key: [u8; 32],
    /// Names that `Host` may have.
    names: Vec<String>,
}

/// Who may look. A clone is the same access.
#[derive(Clone, Debug)]
pub struct Access {
    rules: Arc<RwLock<Arc<Rules>>>,
    /// Whether only this machine reaches it.
    is_loopback: bool,
    failures: Arc<Mutex<Vec<Instant>>>,
}

impl Access {
    /// Access at an address. `names` are those under which others reach it; addresses and `localhost` always do.
    ///
    /// # Errors
    /// No token beyond loopback; one that cannot be used.
    pub fn new(
        address: SocketAddr,
        token_file: Option<&Path>,
        names: &[String],
    ) -> Result<Self, AccessError> {
        let is_loopback = address.ip().to_canonical().is_loopback();
        let token = token_file.map(Token::read).transpose()?;
        if token.is_none() && !is_loopback {
            return Err(AccessError::NoToken(address));
        }
        let mut key = [0; 32];
        rustls::crypto::ring::default_provider()
            .secure_random
            .fill(&mut key)
            .map_err(|_| AccessError::NoEntropy)?;
        let rules = Rules {
            token,
            key,
            names: names.iter().map(|name| name.to_ascii_lowercase()).collect(),
        };
        Ok(Self {
            rules: Arc::new(RwLock::new(Arc::new(rules))),
            is_loopback,
            failures: Arc::default(),
        })
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes over token and names. With another token, every session ends.
    pub fn adopt(&self, other: &Self) {
        let (before, mut rules) = (self.rules(), Rules::clone(&other.rules()));
        let is_same = match (&before.token, &rules.token) {
            (Some(before), Some(now)) => same(&before.0, &now.0),
            (None, None) => true,
            _ => false,
        };
        if is_same {
            rules.key = before.key;
        }
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    /// Whether a token is asked for.
    pub fn wants_token(&self) -> bool {
        self.rules().token.is_some()
    }

    /// The cookie for whoever knows the token, or how long to wait.
    pub(super) fn log_in(&self, offered: &str) -> Result<String, LoginError> {
        let rules = self.rules();
        let Some(token) = &rules.token else {
            return Err(LoginError::Wrong);
        };
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.retain(|at| at.elapsed() < PENALTY);
        if failures.len() >= TRIES {
            return Err(LoginError::TooMany);
        }
        if !token.is(offered) {
            failures.push(Instant::now());
            return Err(LoginError::Wrong);
        }
        let until = crate::time::now() / 1_000_000_000 + SESSION.as_secs();
        Ok(format!(
            "{COOKIE}={until}.{}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict",
            rules.sign(until),
            SESSION.as_secs()
        ))
    }

    /// The cookie that ends a session.
    pub(super) fn log_out() -> String {
        format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict")
    }

    /// Whether these headers show the token, or a session.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        self.rules().admit(headers)
    }

    /// Whether this is a name for us that nobody else can have pointed here.
    pub(super) fn knows(&self, host: &str) -> bool {
        let name = host_name(host).to_ascii_lowercase();
        if let Ok(address) = name.parse::<IpAddr>() {
            return !self.is_loopback || address.to_canonical().is_loopback();
        }
        name == "localhost" || self.rules().names.contains(&name)
    }
}

impl Rules {
    fn sign(&self, until_s: u64) -> String {
        let inner = digest(&[&self.key[..], &until_s.to_be_bytes()].concat());
        let outer = digest(&[&self.key[..], &inner].concat());
        outer.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn has_session(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(header::COOKIE).into_iter();
        let cookies = cookies.filter_map(|value| value.to_str().ok());
        let mut ours = cookies
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='));
        let now = crate::time::now() / 1_000_000_000;
        ours.any(|value| {
            let Some((until, signature)) = value.split_once('.') else {
                return false;
            };
            let Ok(until) = until.parse::<u64>() else {
                return false;
            };
            let expected = digest(self.sign(until).as_bytes());
            same(&expected, &digest(signature.as_bytes())) && until > now
        })
    }

    fn admit(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        let bearer = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        bearer.is_some_and(|offered| token.is(offered)) || self.has_session(headers)
    }
}

/// Without the port, and without the brackets of an IPv6 address.
fn host_name(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

/// Why a login failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoginError {
    Wrong,
    TooMany,
}

#[cfg(test)]
mod tests;
