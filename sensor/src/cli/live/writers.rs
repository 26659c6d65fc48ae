//! The sinks that write lines and syslog, from their sections.

use std::{path::Path, time::Duration};

use crate::{
    cli::{
        fault::{Fault, code},
        setup::Setup,
    },
    config::{Config, Grade, Lines, SyslogTransport},
    score::Severity,
    sink::{
        ecs::Ecs,
        eve::{Eve, Events},
        message::Wants,
        outlet::{
            Deliver, Encode, OutletSpec,
            file::{Rotation, ToFile},
            stdout::ToStdout,
        },
        syslog::{Format, Syslog, ToStream, ToUdp, hostname},
        tls::Secured,
    },
};

/// Lines that go together.
const LINES: usize = 1024;
/// Messages of syslog that go together.
const MESSAGES: usize = 4096;
/// How long the first message of many waits for the others, so that they share a connection.
const GATHER: Duration = Duration::from_millis(200);

/// Those of a section that are configured.
pub(super) fn configured(setup: &Setup, section: &str) -> Result<Vec<OutletSpec>, Fault> {
    let config = &setup.config;
    Ok(match section {
        "eve" => lines("eve", &config.eve, setup.folder(), |events| {
            Box::new(Eve(events))
        }),
        "ecs" => lines("ecs", &config.ecs, setup.folder(), |events| {
            Box::new(Ecs(events))
        }),
        _ => syslog(config)?.into_iter().collect(),
    })
}

/// Whether standard output belongs to one of them.
pub(super) const fn take_stdout(config: &Config) -> bool {
    config.eve.stdout || config.ecs.stdout
}

fn lines(
    name: &'static str,
    lines: &Lines,
    folder: &Path,
    encode: impl Fn(Events) -> Box<dyn Encode>,
) -> Vec<OutletSpec> {
    let events = Events {
        alert: lines.alert,
        anomaly: lines.anomaly,
        flow: lines.flow,
    };
    let spec = |place: &str, target: String, deliver: Box<dyn Deliver>| OutletSpec {
        name,
        folder: format!("{name}-{place}"),
        target,
        wants: events.wants(),
        encode: encode(events),
        deliver,
        batch: LINES,
        gather: Duration::ZERO,
    };
    let mut specs = Vec::new();
    if let Some(path) = &lines.file {
        let path = folder.join(path);
        let rotation = Rotation {
            bytes: lines.rotate_bytes,
            files: lines.rotate_files,
        };
        specs.push(spec(
            "file",
            path.display().to_string(),
            Box::new(ToFile::new(path, rotation)),
        ));
    }
    if lines.stdout {
        specs.push(spec(
            "stdout",
            "standard output".to_owned(),
            Box::<ToStdout>::default(),
        ));
    }
    #[cfg(unix)]
    if let Some(path) = &lines.socket {
        use crate::sink::outlet::unix::{ToUnixDatagram, ToUnixStream};
        let path = folder.join(path);
        let target = path.display().to_string();
        let deliver: Box<dyn Deliver> = if lines.is_stream {
            Box::new(ToUnixStream::new(path))
        } else {
            Box::new(ToUnixDatagram::new(path))
        };
        specs.push(spec("socket", target, deliver));
    }
    specs
}

fn syslog(config: &Config) -> Result<Option<OutletSpec>, Fault> {
    let settings = &config.syslog;
    let Some((transport, server)) = &settings.server else {
        return Ok(None);
    };
    let (host, port) = (server.host.clone(), server.port);
    let tls = match transport {
        SyslogTransport::Tls => {
            let own = settings.own.as_ref();
            let own = own.map(|(certificate, key)| (certificate.as_path(), key.as_path()));
            let secured = Secured::new(&host, settings.ca_file.as_deref(), own);
            Some(secured.map_err(|error| Fault::new(code::CONFIG, format!("syslog: {error}")))?)
        }
        _ => None,
    };
    let (scheme, longest_bytes, gather) = match transport {
        SyslogTransport::Udp => ("udp", 2048, Duration::ZERO),
        SyslogTransport::Tcp => ("tcp", 8192, GATHER),
        SyslogTransport::Tls => ("tls", 8192, GATHER),
    };
    let deliver: Box<dyn Deliver> = match transport {
        SyslogTransport::Udp => Box::new(ToUdp::new(host, port)),
        _ => Box::new(ToStream::new(host, port, tls, settings.confirm)),
    };
    let format = Format {
        facility: settings.facility,
        hostname: settings.hostname.clone().unwrap_or_else(hostname),
        longest_bytes,
        least: match settings.min_severity {
            Grade::Low => Severity::Low,
            Grade::Medium => Severity::Medium,
            Grade::High => Severity::High,
            Grade::Critical => Severity::Critical,
        },
    };
    Ok(Some(OutletSpec {
        name: "syslog",
        folder: "syslog".to_owned(),
        target: format!("{scheme}://{server}"),
        wants: Wants::ALERTS,
        encode: Box::new(Syslog(format)),
        deliver,
        batch: MESSAGES,
        gather,
    }))
}
