//! Prometheus and Alertmanager, as they watch the sensor.

use std::path::Path;

use crate::{
    netns::Pair,
    program,
    receivers::{Program, await_port, free_port, get},
    until, write,
};

/// Prometheus and Alertmanager with the rules that are delivered with the product, looking every second. They have looked once when
/// this returns: what rises before that is no increase.
pub(crate) fn prometheus(
    pair: &Pair,
    folder: &Path,
    metrics: u16,
    webhook: u16,
) -> Option<[Program; 2]> {
    let (prometheus, alertmanager) = (
        program::find("prometheus")?,
        program::find("prometheus-alertmanager")?,
    );
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus/rules");
    let [own, manager] = [free_port(), free_port()];
    let config = write(
        folder,
        "prometheus.yml",
        &format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: ['{}/*.yml']\n\
             alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{manager}']}}]}}]}}\n\
             scrape_configs: [{{job_name: anomaly-detect, static_configs: [{{targets: ['127.0.0.1:{metrics}']}}]}}]\n",
            deploy.canonicalize().expect("rules").display()
        ),
    );
    let routes = write(
        folder,
        "alertmanager.yml",
        &format!(
            "route: {{receiver: hook, group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}\n\
             receivers: [{{name: hook, webhook_configs: [{{url: 'http://127.0.0.1:{webhook}/'}}]}}]\n"
        ),
    );
    let listen = |port: u16| format!("--web.listen-address=127.0.0.1:{port}");
    let storage = |name: &str| folder.join(name).display().to_string();
    let manager_program = Program::start(
        &pair.b,
        &[
            &alertmanager.display().to_string(),
            &format!("--config.file={}", routes.display()),
            &format!("--storage.path={}", storage("alertmanager")),
            "--cluster.listen-address=",
            &listen(manager),
        ],
    );
    await_port(&pair.b, manager);
    let program = Program::start(
        &pair.b,
        &[
            &prometheus.display().to_string(),
            &format!("--config.file={}", config.display()),
            &format!("--storage.tsdb.path={}", storage("prometheus")),
            &listen(own),
        ],
    );
    await_port(&pair.b, own);
    const TOLD: &str = "anomaly_detect_alerts_told_total";
    until("Prometheus has looked", || {
        let answer = get(&pair.b, own, &format!("/api/v1/query?query={TOLD}"));
        answer.is_some_and(|answer| answer.contains(&format!("\"{TOLD}\"")))
    });
    Some([manager_program, program])
}
