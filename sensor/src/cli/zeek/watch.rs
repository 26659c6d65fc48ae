//! `zeek watch`: each log of a folder, once, when Zeek is done with it.
//!
//! Zeek renames a log when it rotates, and an archiver may then compress it, so two things can be half there: a file that is
//! still being copied or compressed, and a file under two names. A file is taken when two looks found it of the same length and
//! time of change, it decompresses to its end, and its content is not in the store yet.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::SystemTime,
};

use model::Model;

use super::{
    super::{
        setup::{Flags, make_folder},
        signals::told_to_stop,
    },
    Fault, Setup,
    args::ZeekWatch,
    code, damage, load, read,
    score::most_anomalous,
};
use crate::{
    score::{count, several},
    sink::{
        self,
        store::{FileEntry, Limits, Store},
    },
    zeek::{Judge, LogError, Stream, conn_logs, content, explain, is_in_use},
};

/// Logs read again at the start, so that what the network did lately is known.
const WARM_FILES: u32 = 2;
/// Looks after which a file that does not decompress to its end is taken for what is readable of it.
const PATIENCE: u32 = 12;

/// What a look at a file found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    length: u64,
    changed: Option<SystemTime>,
}

/// A file that is not taken yet.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    look: Look,
    alike: u32,
}

struct Watch<'a> {
    setup: &'a Setup,
    args: &'a ZeekWatch,
    model: Model,
    model_digest: String,
    store: Store,
    stream: Stream,
    judge: Judge,
    waiting: BTreeMap<PathBuf, Waiting>,
    /// Files that are done, as they were then.
    done: BTreeMap<PathBuf, Look>,
}

pub(super) fn run(args: &ZeekWatch) -> Result<u8, Fault> {
    let setup = Setup::new(&args.common, &Flags::default())?;
    let model = load(&setup, args.model.path.as_ref())?;
    if !args.folder.is_dir() {
        return Err(Fault::new(
            code::NO_INPUT,
            format!("{}: not a folder", args.folder.display()),
        ));
    }
    let path = args.store.clone().unwrap_or_else(|| setup.store_path());
    if let Some(folder) = path.parent().filter(|path| !path.as_os_str().is_empty()) {
        make_folder(folder)?;
    }
    let limits = Limits {
        flows: args.max_rows,
        age_ns: u64::try_from(args.max_age.as_nanos()).unwrap_or(u64::MAX),
        ..setup.store_limits()
    };
    let mut watch = Watch {
        setup: &setup,
        args,
        model_digest: model.digest(),
        model,
        store: Store::open(&path, limits)?,
        stream: Stream::new(),
        judge: Judge::new(setup.config.score.hold_rate),
        waiting: BTreeMap::new(),
        done: BTreeMap::new(),
    };
    let stop = told_to_stop(None)?;
    watch.warm()?;
    if !args.once {
        setup.note(&format!(
            "watching {}, keeping in {}; end with Ctrl-C (nothing is lost by it)",
            args.folder.display(),
            path.display()
        ));
    }
    loop {
        watch.look()?;
        if args.once || stop.wait(args.interval) {
            return Ok(0);
        }
    }
}

impl Watch<'_> {
    /// Reads the last files again, so that what is called an anomaly goes on about where it was too. Nothing is stored of them again.
    fn warm(&mut self) -> Result<(), Fault> {
        for path in self.store.recent_paths(WARM_FILES)? {
            let path = Path::new(&path);
            if path.is_file() {
                let (judge, model) = (&mut self.judge, &self.model);
                read(path, &mut self.stream, &mut |batch| {
                    judge.judge(model, batch);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    /// One look at the folder.
    fn look(&mut self) -> Result<(), Fault> {
        let logs = match conn_logs(std::slice::from_ref(&self.args.folder)) {
            Ok(logs) => logs,
            Err(LogError::NoLogs { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        self.waiting.retain(|path, _| logs.contains(path));
        self.done.retain(|path, _| logs.contains(path));
        for path in logs {
            let name = path.file_name().and_then(|name| name.to_str());
            if name.is_none_or(is_in_use) {
                continue;
            }
            // Gone between listing and looking: rotated or compressed. The next look finds what became of it.
            let Ok(metadata) = path.metadata() else {
                continue;
            };
            let look = Look {
                length: metadata.len(),
                changed: metadata.modified().ok(),
            };
            if self.done.get(&path) == Some(&look) {
                continue;
            }
            let alike = match self.waiting.get(&path) {
                Some(before) if before.look == look => before.alike + 1,
                _ => 0,
            };
            self.waiting.insert(path.clone(), Waiting { look, alike });
            if (alike > 0 || self.args.once) && self.take(&path, look, alike)? {
                self.waiting.remove(&path);
                self.done.insert(path, look);
            }
        }
        Ok(())
    }

    /// Takes a file in, unless its content is known. `false`: it is not whole yet.
    fn take(&mut self, path: &Path, look: Look, alike: u32) -> Result<bool, Fault> {
        let content = match content(path) {
            Ok(content) => content,
            // Gone: see above.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(Fault::file(path, &error, code::NO_INPUT)),
        };
        if !content.whole && alike < PATIENCE {
            return Ok(false);
        }
        if self.store.has(&content.digest)? {
            return Ok(true);
        }
        let mut scored = Vec::new();
        let (mut last_ns, mut anomalous) = (0, 0_u64);
        let (model, judge) = (&self.model, &mut self.judge);
        let taken = read(path, &mut self.stream, &mut |batch| {
            let verdicts = judge.judge(model, batch);
            for (featured, verdict) in batch.drain(..).zip(verdicts) {
                last_ns = last_ns.max(featured.conn.end());
                anomalous += u64::from(verdict.anomalous);
                scored.push((featured, verdict));
            }
            Ok(())
        });
        let (losses, records) = match taken {
            Ok(taken) => taken,
            // One file that is no log of connections does not end the watch.
            Err(fault) => {
                self.setup.note(&format!("warning: {fault}"));
                return Ok(true);
            }
        };
        damage(self.setup, path, &losses);
        let keep = (records as f64 * self.args.keep).ceil() as usize;
        most_anomalous(&mut scored, keep);
        let flows: Vec<_> = scored
            .iter()
            .map(|(featured, verdict)| {
                let reasons = explain(&self.model, featured);
                sink::zeek::entry(&featured.conn, verdict, &reasons)
            })
            .collect();
        let file = FileEntry {
            path: path.display().to_string(),
            digest: content.digest,
            size_bytes: look.length,
            offset_bytes: content.length_bytes,
            records,
            lost: losses.lines(),
            last_ns,
            model: self.model_digest.clone(),
        };
        self.store.add(&file, &flows)?;
        self.setup.note(&format!(
            "{}: {}, {} anomalous, {} kept",
            path.display(),
            several(records as f64, "connection"),
            count(anomalous as f64),
            count(flows.len() as f64)
        ));
        Ok(true)
    }
}
