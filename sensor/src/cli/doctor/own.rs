//! What the sensor itself needs: its port, its folder, its model.

use std::{fs, net::TcpListener, path::Path};

use super::{super::setup::Setup, Check};
use crate::{
    config::{Capture, CaptureMode, FragmentsBy},
    score::store,
};

pub(super) fn checks(setup: &Setup) -> Vec<Check> {
    let mut checks = vec![
        libpcap(),
        metrics(setup),
        folder(setup.folder()),
        model(setup),
    ];
    checks.extend(fragments(&setup.config.capture));
    checks
}

/// Where later fragments are wanted in the flow of their first: whether that can be.
fn fragments(capture: &Capture) -> Option<Check> {
    if capture.fragments == FragmentsBy::Pair {
        return None;
    }
    let in_kernel: Vec<&str> = (capture.interfaces.iter())
        .filter(|name| !capture.taps.contains(name))
        .map(String::as_str)
        .collect();
    let by_kernel = match capture.mode {
        CaptureMode::Libpcap => false,
        CaptureMode::Xdp => true,
        CaptureMode::Auto | CaptureMode::AfXdp => !in_kernel.is_empty(),
    };
    Some(if by_kernel {
        Check::limited(
            "later fragments",
            format!(
                "counted by address pair where the kernel counts: {}",
                in_kernel.join(", ")
            ),
            "capture with --capture libpcap, or a mirror port with AF_XDP; or capture.fragments = \"pair\"",
        )
    } else {
        Check::good("later fragments", "counted in the flow of their first")
    })
}

fn libpcap() -> Check {
    if cfg!(any(feature = "libpcap", not(target_os = "linux"))) {
        Check::good("libpcap", "built in")
    } else {
        Check::limited(
            "libpcap",
            "not built in; XDP and files work without",
            "cargo build --features libpcap",
        )
    }
}

fn metrics(setup: &Setup) -> Check {
    match setup.config.metrics.listen {
        None => Check::good("metrics", "switched off"),
        Some(address) => match TcpListener::bind(address) {
            Ok(_) => Check::good("metrics", format!("{address} is free")),
            Err(error) => Check::bad(
                "metrics",
                format!("{address}: {error}"),
                "end what serves there, or choose another: --set metrics.listen=127.0.0.1:9478",
            ),
        },
    }
}

fn folder(folder: &Path) -> Check {
    let writable = |path: &Path| {
        fs::metadata(path).is_ok_and(|found| found.is_dir() && !found.permissions().readonly())
    };
    let name = folder.display();
    if writable(folder) {
        Check::good("output folder", format!("{name} is there"))
    } else if folder.exists() {
        Check::bad(
            "output folder",
            format!("{name} is not a writable folder"),
            "choose another: --set output.folder=FOLDER",
        )
    } else {
        Check::good("output folder", format!("{name} will be made"))
    }
}

fn model(setup: &Setup) -> Check {
    match setup.store().current_path() {
        Ok(path) => match store::load(&path) {
            Ok(_) => Check::good("model", format!("{} is in use", path.display())),
            Err(error) => Check::bad(
                "model",
                error.to_string(),
                "train another, or go back to one of `model list` with `model use`",
            ),
        },
        Err(error) => Check::limited(
            "model",
            error.to_string(),
            "none needed to begin: `live` learns one first",
        ),
    }
}
