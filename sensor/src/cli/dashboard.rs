//! `dashboard`: what was stored, in a browser.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use clap::Args;
use crossbeam::channel::RecvTimeoutError;

use super::{
    args::Common,
    fault::{Fault, code},
    setup::{Flags, Setup},
    signals::told_to_stop,
};
use crate::{
    listen::listen,
    metrics::Metrics,
    pipeline::{Inbox, Subscriptions},
    serve::{self, Access, Feed},
    sink::{
        message::{Message, Wants},
        store,
    },
};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
        anomaly-detect run office.pcap.zst && anomaly-detect dashboard\n  \
        anomaly-detect dashboard /var/lib/anomaly-detect --listen 127.0.0.1:8000\n  \
        ssh -L 9478:127.0.0.1:9478 sensor           then open http://localhost:9478 (live serves it too)")]
pub(super) struct Dashboard {
    /// Folder that run, live or zeek wrote, or the store in it [default: anomaly-out]
    #[arg(value_name = "FOLDER")]
    pub(super) folder: Option<PathBuf>,
    /// Address to serve at [default: 127.0.0.1:9478]
    #[arg(short, long, value_name = "ADDRESS")]
    pub(super) listen: Option<String>,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) fn run(args: &Dashboard) -> Result<u8, Fault> {
    let flags = Flags::default()
        .add(
            "output.folder",
            args.folder.as_ref().map(|path| path.display().to_string()),
            "FOLDER",
        )
        .add("dashboard.listen", args.listen.as_ref(), "--listen");
    let setup = Setup::new(&args.common, &flags)?;
    let folder = setup.folder();
    let store = if folder.is_file() {
        folder.to_owned()
    } else {
        store::path_in(folder)
    };
    // What cannot be read is said here, and not by a page that somebody opens later.
    store::Reader::open(&store)?;
    let Some((listener, access)) = open(&setup)? else {
        return Err(Fault::new(
            code::USAGE,
            "dashboard.listen is empty; name an address with --listen 127.0.0.1:9478",
        ));
    };
    let address = listener.local_addr()?;
    let asks = if access.wants_token() {
        " (asks for the token)"
    } else {
        ""
    };
    setup.note(&format!(
        "dashboard of {} at http://{address}/{asks}; Ctrl-C ends it",
        store.display()
    ));
    let router = serve::router(serve::Settings {
        about: about(folder),
        store,
        access,
        feed: None,
    });
    let stop = told_to_stop(None)?;
    let failed = |error| Fault::new(code::FAILED, format!("cannot serve: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let ended = async move {
        let mut look = tokio::time::interval(Duration::from_millis(100));
        while !stop.is_asked() {
            look.tick().await;
        }
    };
    runtime
        .block_on(serve::serve(listener, router, ended))
        .map_err(failed)?;
    Ok(0)
}

fn about(folder: &Path) -> String {
    folder.display().to_string()
}

/// The address and who may look, where a dashboard is wanted.
fn open(setup: &Setup) -> Result<Option<(TcpListener, Access)>, Fault> {
    let wanted = &setup.config.dashboard;
    let Some(address) = wanted.listen else {
        return Ok(None);
    };
    let access = Access::new(address, wanted.token_file.as_deref(), &wanted.hosts)?;
    Ok(Some((listen("dashboard", address)?, access)))
}

/// The dashboard of a live sensor, before it is served.
pub(super) struct Beside {
    listener: TcpListener,
    access: Access,
}

impl Beside {
    /// Takes the address. That it is taken is no reason not to watch.
    pub(super) fn open(setup: &Setup) -> Result<Option<Self>, Fault> {
        let wanted = &setup.config.dashboard;
        let Some(address) = wanted.listen else {
            return Ok(None);
        };
        let access = Access::new(address, wanted.token_file.as_deref(), &wanted.hosts)?;
        match listen("dashboard", address) {
            Ok(listener) => Ok(Some(Self { listener, access })),
            Err(error) => {
                setup.note(&format!("warning: {error}"));
                Ok(None)
            }
        }
    }

    /// Serves from a thread of its own: a scrape of metrics does not wait for somebody's questions. Answers who may look, for
    /// that to be changed.
    pub(super) fn serve(
        self,
        setup: &Setup,
        metrics: &Metrics,
        subscriptions: &mut Subscriptions,
    ) -> Result<Access, Fault> {
        let failed = |error| Fault::new(code::FAILED, format!("cannot begin to serve: {error}"));
        let address = self.listener.local_addr()?;
        setup.note(&format!("dashboard at http://{address}/"));
        let feed = Feed::new(metrics.clone());
        let inbox = subscriptions.subscribe("dashboard", Wants::ALERTS);
        let (listener, interfaces) = (self.listener, setup.config.capture.all_interfaces());
        let interfaces = interfaces.join(", ");
        let router = serve::router(serve::Settings {
            store: setup.store_path(),
            access: self.access.clone(),
            feed: Some(feed.clone()),
            about: format!("live on {interfaces}"),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        // Both end with the program: nothing of theirs has to be finished.
        thread::Builder::new()
            .name("dashboard".to_owned())
            .spawn(move || {
                let never = std::future::pending();
                if let Err(error) = runtime.block_on(serve::serve(listener, router, never)) {
                    log::error!("dashboard: {error}");
                }
            })
            .map_err(failed)?;
        thread::Builder::new()
            .name("dashboard-news".to_owned())
            .spawn(move || pass_on(&inbox, &feed))
            .map_err(failed)?;
        Ok(self.access)
    }
}

/// From the desk to the pages, until nothing can come any more.
fn pass_on(inbox: &Inbox, feed: &Feed) {
    loop {
        match inbox.receive(Duration::from_secs(60)) {
            Ok(Message::Alert(alert)) => feed.tell(&alert),
            Ok(Message::Flows(_)) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
