use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
    thread,
    time::Instant,
};

use super::*;
use crate::{
    pipeline::Subscriptions,
    sink::message::{EndedFlow, Message},
};

/// A sensor without packets, and the file that it is configured by.
struct Scene {
    folder: tempfile::TempDir,
    config: PathBuf,
    reload: Reload,
    watch: Receiver<Adjustment>,
    post: Post,
    metrics: Metrics,
    mutes: MuteBoard,
    access: Access,
}

impl Scene {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("config.toml");
        fs::write(&config, text).expect("written");
        let out = folder.path().join("out");
        fs::create_dir_all(&out).expect("a folder");
        let common = Common {
            config: Some(config.clone()),
            settings: vec![format!("output.folder={}", out.display())],
            quiet: true,
        };
        let setup = Setup::new(&common, &Flags::default()).expect("a configuration");
        let metrics = Metrics::new();
        let mut subscriptions = Subscriptions::default();
        let specs = outlets::configured(&setup).expect("sinks");
        let outlets = outlets::start(&setup, specs, true, &metrics, &mut subscriptions);
        let post = subscriptions.close(&metrics);
        let wanted = &setup.config.dashboard;
        let address = wanted.listen.expect("by default");
        let access = Access::new(address, wanted.token_file.as_deref(), &[]).expect("access");
        let (adjust, watch) = channel();
        let mutes = MuteBoard::default();
        let parts = Parts {
            to_stdout: false,
            metrics: metrics.clone(),
            watch: adjust,
            post: post.clone(),
            outlets: outlets.expect("started"),
            rules: Err(mutes.clone()),
            access: Some(access.clone()),
            resources: None,
            intel: beside::intel(&setup, &metrics).expect("a thread"),
        };
        Self {
            reload: Reload::new(&common, Flags::default(), setup, parts),
            folder,
            config,
            watch,
            post,
            metrics,
            mutes,
            access,
        }
    }

    fn configure(&self, text: &str) {
        fs::write(&self.config, text).expect("written");
    }

    fn flow(&self, id: u64) {
        let flows = Arc::new(vec![EndedFlow::empty(id)]);
        self.post.offer(&Message::Flows(flows));
    }

    /// Waits until a sink has written so many lines; only a hang takes so long.
    fn until_written(&self, name: &str, count: usize) {
        let begun = Instant::now();
        while lines(self.folder.path(), name) < count {
            assert!(begun.elapsed() < Duration::from_secs(60), "{name}");
            thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// Ends the sinks, so that what they got is written.
    fn end(self) -> tempfile::TempDir {
        drop(self.post);
        self.reload.into_outlets().stop(Duration::from_secs(60));
        self.folder
    }
}

fn lines(folder: &Path, name: &str) -> usize {
    let text = fs::read_to_string(folder.join("out").join(name));
    text.map_or(0, |text| text.lines().count())
}

#[test]
fn what_can_be_is_taken_and_what_wants_a_restart_is_named() {
    let mut scene = Scene::new(
        "[score]\nalert_budget = \"20/day\"\n[eve]\nfile = \"a.json\"\nevents = [\"flow\"]\n[flow]\ncapacity = 1000\n\
         [resources]\nenabled = false\n[intel]\naccept_reserved = true\n",
    );
    scene.flow(1);
    // What waits when a sink is ended may be left to its next start, in another file.
    scene.until_written("a.json", 1);
    let list = scene.folder.path().join("listed.txt");
    fs::write(&list, "203.0.113.7\n").expect("written");
    scene.configure(&format!(
        "[score]\nalert_budget = \"5/hour\"\n[eve]\nfile = \"b.json\"\nevents = [\"flow\"]\n[flow]\ncapacity = 2000\n\
         [intel]\naccept_reserved = true\nlists = [{:?}]\n[alerts]\nmaintenance = [\"daily 03:00-03:15\"]\n[resources]\nenabled = false\n",
        list.display()
    ));
    let keeper = scene.reload.parts.intel.keeper();
    let outcome = scene.reload.take().expect("taken");
    assert_eq!(
        outcome,
        Outcome {
            taken: vec![
                "score.alert_budget",
                "alerts.maintenance",
                "intel.lists",
                "eve.file"
            ],
            waiting: vec!["flow.capacity"],
            trouble: Vec::new(),
        }
    );
    let adjusted = scene.watch.try_recv().expect("an adjustment");
    assert_eq!(adjusted.alerts.shared.expect("a rate").alerts, 5);
    assert_eq!(keeper.current().entries(), 1);
    assert_eq!(scene.mutes.get().mutes.len(), 1);
    // Until a restart the key is what it was, and named each time; set back, it is not.
    assert_eq!(scene.reload.setup.config.flow.capacity, 1000);
    let again = scene.reload.take().expect("taken");
    assert_eq!(
        (again.taken.len(), again.waiting),
        (0, vec!["flow.capacity"])
    );
    scene.flow(2);
    scene.flow(3);
    let folder = scene.end();
    let written = ["a.json", "b.json"].map(|name| lines(folder.path(), name));
    assert_eq!(written, [1, 2], "each flow once, where it was to go then");
}

#[test]
fn what_is_wrong_changes_nothing_and_says_where() {
    let good = "[alerts]\nper_host = \"5/hour\"\n[eve]\nfile = \"a.json\"\nevents = [\"flow\"]\n";
    let mut scene = Scene::new(good);
    let state = |scene: &Scene| {
        let metrics = &scene.metrics;
        [
            metrics.value(Id::ConfigLastReloadSuccessful, &[]),
            metrics.value(Id::ConfigReloadsTotal, &["taken"]),
            metrics.value(Id::ConfigReloadsTotal, &["refused"]),
        ]
    };
    assert_eq!(state(&scene), [1.0, 0.0, 0.0]);
    let short = scene.folder.path().join("token");
    fs::write(&short, "short\n").expect("written");
    for (text, why) in [
        (
            "[alerts]\n\nper_hots = \"1/hour\"\n",
            "config.toml:3: unknown key `alerts.per_hots`",
        ),
        (
            "[alerts]\nper_host = \"many\"\n",
            "config.toml:2: alerts.per_host: `many` is no rate",
        ),
        ("[alerts\n", "config.toml:1: not TOML"),
        (
            &format!(
                "[eve]\nfile = \"b.json\"\n[dashboard]\ntoken_file = {:?}\n",
                short.display()
            ),
            "dashboard.token_file",
        ),
        (
            "[mail]\nserver = \"127.0.0.1\"\nfrom = \"a@example.org\"\nto = [\"b@example.org\"]\nca_file = \"/none\"\n",
            "/none",
        ),
    ] {
        scene.configure(text);
        let fault = scene.reload.take().expect_err(text).to_string();
        assert!(fault.contains(why), "{fault}");
    }
    scene.reload.read();
    assert_eq!(state(&scene), [0.0, 0.0, 1.0]);
    assert!(scene.watch.try_recv().is_err(), "nothing was adjusted");
    assert!(!scene.access.wants_token());
    assert_eq!(
        scene
            .reload
            .setup
            .config
            .alerts
            .per_host
            .expect("a rate")
            .alerts,
        5
    );
    scene.flow(1);
    scene.configure(good);
    scene.reload.read();
    assert_eq!(state(&scene), [1.0, 1.0, 1.0]);
    let folder = scene.end();
    assert_eq!(lines(folder.path(), "a.json"), 1, "the sink went on");
}

#[test]
fn a_file_that_says_something_else_is_taken_under_its_old_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    fs::write(&token, "0123456789abcdef0123\n").expect("written");
    let text = format!("[dashboard]\ntoken_file = {:?}\n", token.display());
    let mut scene = Scene::new(&text);
    assert_eq!(scene.reload.take().expect("taken"), Outcome::default());
    fs::write(&token, "another-token-of-some-length\n").expect("written");
    let outcome = scene.reload.take().expect("taken");
    assert_eq!(outcome.taken, ["dashboard"]);

    // Also a file that is named within an address of a webhook, in a file of those.
    let targets = folder.path().join("targets");
    let secret = folder.path().join("secret");
    let line = format!("json=http://127.0.0.1:1/ secret_file={}", secret.display());
    fs::write(&targets, line).expect("written");
    let mut layers = Layers::default();
    let path = targets.display().to_string();
    layers
        .flag("webhook.targets_file", &path, "--set")
        .expect("a key");
    let before = Prints::of(&layers);
    assert!(before.differing(&Prints::of(&layers)).is_empty());
    fs::write(&secret, "new").expect("written");
    assert_eq!(before.differing(&Prints::of(&layers)), ["webhook"]);
}
