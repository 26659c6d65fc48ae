//! `health`: asks the sensor that runs here how it is.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use super::{
    args::Health,
    fault::{Fault, code},
    setup::{Flags, Setup},
};

/// Longest time for each step.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longest answer that is read.
const ANSWER_BYTES: u64 = 4096;

/// Prints what it answers; ends well if it is ready.
pub(super) fn run(args: &Health) -> Result<u8, Fault> {
    let setup = Setup::of_sensor(&args.common, &Flags::default())?;
    let Some(address) = setup.config.metrics.listen else {
        return Err(Fault::new(
            code::CONFIG,
            "metrics.listen is empty: a sensor that serves nothing cannot be asked",
        ));
    };
    let address = reachable(address);
    let (status, line) = ask(address).map_err(|error| {
        Fault::new(
            code::FAILED,
            format!(
                "{address}: {error}; does a sensor run here? (systemctl status anomaly-detect)"
            ),
        )
    })?;
    if !args.common.quiet {
        writeln!(io::stdout(), "{line}")?;
    }
    Ok(if status == 200 { 0 } else { code::FAILED })
}

/// Where to ask one that listens on all addresses.
fn reachable(address: SocketAddr) -> SocketAddr {
    let here: IpAddr = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(here, address.port())
}

/// Status and first line of what `/readyz` answers.
fn ask(address: SocketAddr) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut text = Vec::new();
    stream.take(ANSWER_BYTES).read_to_end(&mut text)?;
    read(&String::from_utf8_lossy(&text))
        .ok_or_else(|| io::Error::other("what answers there is no sensor"))
}

/// Of an HTTP/1.1 response (RFC 9112, section 4).
fn read(text: &str) -> Option<(u16, String)> {
    let status = text.strip_prefix("HTTP/1.1 ")?.split(' ').next()?;
    let (_, body) = text.split_once("\r\n\r\n")?;
    let line = body.lines().next().unwrap_or_default();
    Some((
        status.parse().ok()?,
        crate::sink::escape::terminal(line).into_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_others_refused() {
        let answer =
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n\r\nending\nmore";
        assert_eq!(read(answer), Some((503, "ending".to_owned())));
        assert_eq!(read("SSH-2.0-OpenSSH\r\n"), None);
        assert_eq!(read("HTTP/1.1 200 OK\r\n"), None);
    }

    #[test]
    fn all_addresses_are_asked_at_this_machine() {
        let asked = |text: &str| reachable(text.parse().expect("an address")).to_string();
        assert_eq!(asked("0.0.0.0:1"), "127.0.0.1:1");
        assert_eq!(asked("[::]:1"), "[::1]:1");
        assert_eq!(asked("10.0.0.1:1"), "10.0.0.1:1");
    }
}
