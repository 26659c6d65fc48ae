//! The sinks that tell people and fleets, from their sections.

use std::{fs, time::Duration};

use crate::{
    cli::{
        fault::{Fault, code},
        setup::Setup,
    },
    config::{Config, Target},
    sink::{
        mail::{Author, Letters, Mailer, Server},
        message::Wants,
        notify::{Roots, RootsError, sensor},
        outlet::OutletSpec,
        redis_stream::{Entries, Stream},
        webhook::{self, Bodies, Post},
    },
};

/// Alerts that go in one mail, at most.
const MAILED: usize = 500;
/// Entries that go to Redis together.
const ADDED: usize = 500;
/// How long the first alert of many waits for the others, so that they are one mail.
const GATHER: Duration = Duration::from_millis(500);

/// Those of a section that are configured.
pub(super) fn configured(setup: &Setup, section: &str) -> Result<Vec<OutletSpec>, Fault> {
    Ok(match section {
        "webhook" => webhooks(&setup.config)?,
        "mail" => mail(&setup.config)?.into_iter().collect(),
        _ => redis(&setup.config)?.into_iter().collect(),
    })
}

fn webhooks(config: &Config) -> Result<Vec<OutletSpec>, Fault> {
    let settings = &config.webhook;
    let mut targets = settings.targets.clone();
    if let Some(path) = &settings.targets_file {
        let text =
            fs::read_to_string(path).map_err(|error| Fault::file(path, &error, code::CONFIG))?;
        let wrong = |line: usize, what: String| {
            Fault::new(code::CONFIG, format!("{}:{line}: {what}", path.display()))
        };
        let of_file = Target::parse_lines(&text).map_err(|(line, what)| wrong(line, what))?;
        if let Some(exposed) = of_file
            .iter()
            .find(|target| target.is_exposed() && !settings.plain)
        {
            return Err(Fault::new(
                code::CONFIG,
                format!("{}: {}", path.display(), exposed.exposed()),
            ));
        }
        targets.extend(of_file);
    }
    let roots = roots(Roots::read(settings.ca_file.as_deref()))?;
    let mut specs: Vec<OutletSpec> = Vec::new();
    for target in targets {
        let folder = webhook::folder(&target);
        if specs.iter().any(|spec| spec.folder == folder) {
            return Err(Fault::new(
                code::CONFIG,
                format!("webhook.targets: one address of {target} stands there twice"),
            ));
        }
        specs.push(OutletSpec {
            name: "webhook",
            folder,
            target: target.to_string(),
            wants: Wants::ALERTS,
            encode: Box::new(Bodies::new(&target, settings.min_severity, settings.ends)),
            deliver: Box::new(Post::new(&target, &roots, settings.timeout)),
            batch: 1,
            gather: Duration::ZERO,
        });
    }
    Ok(specs)
}

fn mail(config: &Config) -> Result<Option<OutletSpec>, Fault> {
    let settings = &config.mail;
    let roots = roots(Roots::read(settings.ca_file.as_deref()))?;
    let (Some(endpoint), Some(from), Some(server)) = (
        &settings.server,
        &settings.from,
        Server::new(settings, roots),
    ) else {
        return Ok(None);
    };
    let author = Author {
        from: from.clone(),
        to: settings.to.clone(),
        sensor: sensor(),
    };
    Ok(Some(OutletSpec {
        name: "mail",
        folder: "mail".to_owned(),
        target: endpoint.to_string(),
        wants: Wants::ALERTS,
        encode: Box::new(Letters::new(settings)),
        deliver: Box::new(Mailer::new(server, author, settings.interval)),
        batch: MAILED,
        gather: GATHER,
    }))
}

fn redis(config: &Config) -> Result<Option<OutletSpec>, Fault> {
    let settings = &config.redis;
    let stream = Stream::new(settings)
        .map_err(|error| Fault::new(code::CONFIG, format!("redis: {error}")))?;
    let (Some(stream), Some(server)) = (stream, &settings.server) else {
        return Ok(None);
    };
    Ok(Some(OutletSpec {
        name: "redis",
        folder: "redis".to_owned(),
        target: server.to_string(),
        wants: Wants {
            alerts: true,
            untold: false,
            flows: settings.flows,
        },
        encode: Box::new(Entries::new(settings, &sensor())),
        deliver: Box::new(stream),
        batch: ADDED,
        gather: Duration::ZERO,
    }))
}

fn roots(read: Result<Roots, RootsError>) -> Result<Roots, Fault> {
    read.map_err(|error| Fault::new(code::CONFIG, error.to_string()))
}
