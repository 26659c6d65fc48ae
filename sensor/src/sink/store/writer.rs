//! The one writer of a live sensor: takes what is told from its inbox and brings it to the disk in short transactions, in a thread
//! of its own. The watch never waits for it.
//!
//! An alert is on the disk a tenth of a second after it was told, flows after a second; what a crash takes is at most that. Where the
//! disk is full or gone, alerts and sums wait in memory, bounded, and the writer tries again; what finds no room is counted.
//! Four times a second it looks whether another process (a command, the dashboard) changed anything, and puts what is suppressed
//! or dealt with on the board that the watch reads.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use rusqlite::{Connection, TransactionBehavior, params};
use sensor_ebpf::flow::TimeNs;

use super::{
    Facts, FlowEntry, Limits, Profiles, RuleBook, Rules, Share, StoreError, Suppression,
    damage::{is_damage, is_for_want_of_room, put_aside},
    flows, incidents, retention, schema,
    share::Room,
    suppressions,
    value::integer,
    waiting::Waiting,
};
use crate::{
    metrics::{Id, Metrics},
    score::{Mute, MuteBoard, Mutes},
    sink::{
        alert::Alert,
        message::{EndedFlow, Judgement, Message},
        rollup::{self, Rollup},
    },
    time::{self, Weekly},
};

/// What an inbox gave.
#[derive(Debug)]
pub enum Taking {
    /// Something to take in.
    Message(Message),
    /// Nothing came in this time.
    Nothing,
    /// Nothing can come any more.
    Over,
}

/// Between two writes of sums and profiles.
const SUMS_WAIT: Duration = Duration::from_secs(3);
/// Between two looks for what others changed.
const LOOK_WAIT: Duration = Duration::from_millis(250);
/// Between two rounds of forgetting.
const TIDY_WAIT: Duration = Duration::from_secs(60);
/// Between two tries where the disk fails: from the first to the longest.
const RETRY_WAIT: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];
/// Traffic time after which an incident that does not move is over, whoever should have said so.
const OVER_NS: u64 = 35 * 60 * 1_000_000_000;

/// The writer of a live sensor.
pub struct Writer {
    path: PathBuf,
    connection: Option<Connection>,
    limits: Limits,
    share: Share,
    room: Room,
    windows: Vec<Weekly>,
    board: MuteBoard,
    facts: Facts,
    rules: RuleBook,
    metrics: Metrics,
    /// Where it says what a person should know.
    say: Box<dyn FnMut(&str) + Send>,
    waiting: Waiting,
    profiles: Profiles,
    rollup: Rollup,
    newest: TimeNs,
    /// Row of this watch.
    watch: Option<i64>,
    /// `PRAGMA data_version` when the mutes were read last.
    version: Option<i64>,
    failing: Option<Duration>,
    sums_due: Instant,
    look_due: Instant,
    tidy_due: Instant,
    retry_due: Option<Instant>,
}

impl Writer {
    /// Opens the store, or makes it; one that is damaged is put aside. What an earlier watch left going on is over.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(
        path: &Path,
        limits: Limits,
        metrics: &Metrics,
        say: impl FnMut(&str) + Send + 'static,
    ) -> Result<Self, StoreError> {
        let now = Instant::now();
        let mut writer = Self {
            path: path.to_owned(),
            connection: None,
            limits,
            share: Share::default(),
            room: Room::new(Share::default().per_second),
            windows: Vec::new(),
            board: MuteBoard::default(),
            facts: Facts::default(),
            rules: RuleBook::default(),
            metrics: metrics.clone(),
            say: Box::new(say),
            waiting: Waiting::default(),
            profiles: Profiles::new(),
            rollup: Rollup::new(),
            newest: 0,
            watch: None,
            version: None,
            failing: None,
            sums_due: now + SUMS_WAIT,
            look_due: now,
            tidy_due: now + TIDY_WAIT,
            retry_due: None,
        };
        writer.connect()?;
        writer.look();
        Ok(writer)
    }

    /// Which flows it keeps.
    #[must_use]
    pub fn keeping(mut self, share: Share) -> Self {
        self.share = share;
        self.room = Room::new(share.per_second);
        self
    }

    /// Maintenance windows: incidents inside of them are kept, and nobody is told.
    #[must_use]
    pub fn with_windows(mut self, windows: Vec<Weekly>) -> Self {
        self.windows = windows;
        self.version = None;
        self.look();
        self
    }

    /// Where what is muted stands, for the watch to read.
    pub fn board(&self) -> MuteBoard {
        self.board.clone()
    }

    /// Where facts are taken.
    pub fn facts(&self) -> Facts {
        self.facts.clone()
    }

    /// Where other rules are left for it.
    pub fn rules(&self) -> RuleBook {
        self.rules.clone()
    }

    fn adopt(&mut self, rules: Rules) {
        let Rules {
            limits,
            share,
            windows,
        } = rules;
        if share.per_second != self.share.per_second {
            self.room = Room::new(share.per_second);
        }
        (self.limits, self.share, self.windows) = (limits, share, windows);
        // Windows are among what is muted: read that again, and forget at once what is too much now.
        self.version = None;
        self.tidy_due = Instant::now();
    }

    fn connect(&mut self) -> Result<(), StoreError> {
        let connection = match schema::open(&self.path) {
            Err(StoreError::Sqlite { source, .. }) if is_damage(&source) => {
                let aside = put_aside(&self.path);
                (self.say)(&format!(
                    "warning: {}: {source}; it is kept as {} and a new store begins",
                    self.path.display(),
                    aside.display()
                ));
                schema::open(&self.path)?
            }
            other => other?,
        };
        let failed = StoreError::at(&self.path);
        let now = integer(time::now());
        connection
            .execute(
                "INSERT INTO watches (began_ns, last_ns) VALUES (?1, ?1)",
                [now],
            )
            .map_err(failed)?;
        let is_first = self.watch.is_none();
        self.watch = Some(connection.last_insert_rowid());
        if is_first {
            incidents::end_those_before(&connection, u64::MAX).map_err(failed)?;
        }
        self.connection = Some(connection);
        self.version = None;
        self.metrics.set(Id::StoreUp, &[], 1.0);
        Ok(())
    }

    /// Takes in and writes until nothing can come any more; what is left then is written, too. `receive` waits for so long at most.
    pub fn run(mut self, receive: &mut dyn FnMut(Duration) -> Taking) {
        loop {
            match receive(self.wait()) {
                Taking::Message(message) => self.take(&message),
                Taking::Nothing => {}
                Taking::Over => break,
            }
            self.turn(Instant::now());
        }
        self.finish();
    }

    fn wait(&self) -> Duration {
        let work = self.retry_due.or_else(|| self.waiting.due());
        let next = work.map_or(self.look_due, |work| work.min(self.look_due));
        next.saturating_duration_since(Instant::now())
            .min(LOOK_WAIT)
    }

    /// Does what is due.
    fn turn(&mut self, now: Instant) {
        if let Some(retry) = self.retry_due {
            if now < retry {
                return;
            }
            self.retry_due = None;
            self.waiting.hurry(now);
        }
        if now >= self.look_due {
            self.look_due = now + LOOK_WAIT;
            if let Some(rules) = self.rules.take() {
                self.adopt(rules);
            }
            self.look();
        }
        let sums = now >= self.sums_due;
        if sums || self.waiting.is_due(now) {
            self.write(sums, false);
        }
        if self.failing.is_none() && now >= self.tidy_due {
            self.tidy_due = now + TIDY_WAIT;
            let tidied = self.tidy();
            self.heed(tidied);
        }
    }

    /// Takes a message in.
    pub fn take(&mut self, message: &Message) {
        match message {
            Message::Alert(alert) => self.take_alert(alert),
            Message::Flows(flows) => self.take_flows(flows),
        }
    }

    fn take_alert(&mut self, alert: &Arc<Alert>) {
        self.newest = self.newest.max(alert.last_ns);
        if self.waiting.push_alert(Arc::clone(alert)) {
            self.metrics
                .add(Id::StoreRowsTotal, &["incidents", "lost"], 1.0);
        }
    }

    fn take_flows(&mut self, ended: &[EndedFlow]) {
        let mut kept: Vec<&EndedFlow> = Vec::new();
        for flow in ended {
            let verdict = flow.verdict.as_ref();
            let judged = verdict.map(Judgement::from);
            self.rollup.absorb(&flow.record, &flow.row, judged.as_ref());
            let telling = verdict.map(|verdict| (verdict.p_value, verdict.anomalous));
            self.profiles.absorb(&flow.record, telling);
            self.newest = self.newest.max(flow.record.last());
            // What somebody holds to be bad is worth a look, however ordinary it is.
            if verdict.is_some_and(|verdict| {
                !flow.intel.is_empty()
                    || self
                        .share
                        .keeps(verdict.score, verdict.p_value, verdict.anomalous)
            }) {
                kept.push(flow);
            }
        }
        let now = ended.iter().map(|flow| flow.record.due).max().unwrap_or(0);
        let room = self.room.take(now, kept.len());
        if room < kept.len() {
            let p_value =
                |flow: &EndedFlow| flow.verdict.as_ref().map_or(1.0, |verdict| verdict.p_value);
            kept.sort_by(|a, b| p_value(a).total_cmp(&p_value(b)));
            let left_out = kept.len() - room;
            kept.truncate(room);
            self.metrics
                .add(Id::StoreRowsTotal, &["flows", "left_out"], left_out as f64);
        }
        let entries = kept.into_iter().filter_map(|flow| {
            let verdict = flow.verdict.as_ref()?;
            Some(FlowEntry {
                intel: flow.intel.clone(),
                ..FlowEntry::judged(&flow.record, verdict)
            })
        });
        let lost = self.waiting.push_flows(entries);
        if lost > 0 {
            self.metrics
                .add(Id::StoreRowsTotal, &["flows", "lost"], lost as f64);
        }
    }

    /// Writes what waits.
    fn write(&mut self, sums: bool, is_last: bool) {
        if !self.path.exists() && self.connection.is_some() {
            // Somebody removed the file: what SQLite still holds open nobody can read.
            self.connection = None;
        }
        let began = Instant::now();
        let done = self.commit(is_last);
        let done = match done {
            Ok(()) if sums || is_last => self.commit_sums(),
            other => other,
        };
        if done.is_ok() {
            self.metrics
                .observe(Id::StoreCommitSeconds, began.elapsed().as_secs_f64());
            self.waiting.settled();
            if sums {
                self.sums_due = began + SUMS_WAIT;
            }
        }
        self.heed(done);
    }

    /// Says that the disk fails, or that it works again, and when to try.
    fn heed(&mut self, done: Result<(), StoreError>) {
        match done {
            Ok(()) => {
                if self.failing.take().is_some() {
                    self.metrics.set(Id::StoreUp, &[], 1.0);
                    (self.say)(&format!("{}: can be written again", self.path.display()));
                }
            }
            Err(error) => {
                let wait = match self.failing {
                    None => {
                        self.metrics.set(Id::StoreUp, &[], 0.0);
                        (self.say)(&format!(
                            "warning: {error}; incidents wait in memory until it works again"
                        ));
                        RETRY_WAIT[0]
                    }
                    Some(wait) => (wait * 2).min(RETRY_WAIT[1]),
                };
                self.failing = Some(wait);
                self.retry_due = Some(Instant::now() + wait);
                if matches!(&error, StoreError::Sqlite { source, .. } if !is_for_want_of_room(source))
                {
                    self.connection = None;
                }
            }
        }
    }

    /// One transaction: what became of incidents, and flows.
    fn commit(&mut self, is_last: bool) -> Result<(), StoreError> {
        if self.connection.is_none() {
            self.connect()?;
        }
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        let now = time::now();
        let mutes = self.board.get();
        let facts = self.facts.take();
        let apply = |connection: &mut Connection| -> rusqlite::Result<()> {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for alert in &self.waiting.alerts {
                incidents::hear(&transaction, alert, &mutes, false, now)?;
            }
            flows::insert(&transaction, None, &self.waiting.flows)?;
            for (name, value) in &facts {
                rollup::fact(&transaction, name, value)?;
            }
            transaction
                .prepare_cached("UPDATE watches SET last_ns = ?2, ended = ?3 WHERE id = ?1")?
                .execute(params![self.watch, integer(now), is_last])?;
            transaction.commit()
        };
        if let Err(source) = apply(connection) {
            self.facts.give_back(facts);
            return Err(StoreError::at(&self.path)(source));
        }
        for (table, rows) in self.waiting.rows() {
            self.metrics
                .add(Id::StoreRowsTotal, &[table, "written"], rows as f64);
        }
        self.waiting.written();
        Ok(())
    }

    /// One transaction: sums and profiles.
    fn commit_sums(&mut self) -> Result<(), StoreError> {
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        let (profiles, rollup) = (&mut self.profiles, &mut self.rollup);
        let mut apply = || -> rusqlite::Result<()> {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            profiles.flush(&transaction)?;
            rollup.flush(&transaction)?;
            transaction.commit()
        };
        apply().map_err(StoreError::at(&self.path))?;
        self.profiles.written();
        Ok(())
    }

    /// Reads what is muted, if another process changed anything.
    fn look(&mut self) {
        let Some(connection) = &self.connection else {
            return;
        };
        let version = connection.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0));
        let Ok(version) = version else {
            return;
        };
        if self.version == Some(version) {
            return;
        }
        let read = || -> rusqlite::Result<(Mutes, usize)> {
            let standing = suppressions::standing(connection)?;
            let now = time::now();
            let in_force = standing.iter().filter(|one| one.is_in_force(now)).count();
            let mutes = standing.iter().map(Suppression::mute);
            let windows = self.windows.iter().map(|window| Mute {
                weekly: Some(*window),
                ..Mute::default()
            });
            let mutes = Mutes {
                mutes: mutes.chain(windows).collect(),
                handled: incidents::handled(connection)?.into_iter().collect(),
            };
            Ok((mutes, in_force))
        };
        if let Ok((mutes, in_force)) = read() {
            self.version = Some(version);
            self.metrics
                .set(Id::StoreSuppressions, &[], in_force as f64);
            self.board.set(mutes);
        }
    }

    /// Forgets what is beyond the limits.
    fn tidy(&mut self) -> Result<(), StoreError> {
        /// Rounds of shrinking at once: four rounds take a fifth of the flows.
        const ROUNDS: usize = 4;
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        let (limits, newest) = (self.limits, self.newest);
        let apply = |connection: &mut Connection| -> rusqlite::Result<u64> {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            retention::expire_flows(&transaction, &limits)?;
            if newest > 0 {
                retention::expire_rest(&transaction, &limits, newest)?;
                incidents::end_those_before(&transaction, newest.saturating_sub(OVER_NS))?;
            }
            for _ in 0..ROUNDS {
                retention::shrink(&transaction, &limits)?;
            }
            transaction.commit()?;
            retention::give_back(connection)?;
            retention::used_bytes(connection)
        };
        let bytes = apply(connection).map_err(StoreError::at(&self.path))?;
        self.metrics.set(Id::StoreBytes, &[], bytes as f64);
        Ok(())
    }

    /// Writes what is left. Where the disk fails, what waits is lost, and counted.
    fn finish(mut self) {
        self.write(true, true);
        if self.failing.is_some() {
            for (table, rows) in self.waiting.rows() {
                self.metrics
                    .add(Id::StoreRowsTotal, &[table, "lost"], rows as f64);
            }
            (self.say)(&format!(
                "warning: {}: {} tellings of incidents could not be kept",
                self.path.display(),
                self.waiting.alerts.len()
            ));
            return;
        }
        let tidied = self.tidy();
        self.heed(tidied);
    }
}
