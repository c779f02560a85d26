//! A Prometheus with the shipped rules, gone when it is dropped.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use support::{
    client::{Connection, Outcome},
    repository,
};
use tempfile::TempDir;
use tokio::time::sleep;

/// How long it may take to start.
const START: Duration = Duration::from_secs(30);

pub(crate) struct Prometheus {
    child: Child,
    addr: SocketAddr,
    _home: TempDir,
}

impl Prometheus {
    /// Scrapes these admin interfaces every second.
    pub(crate) async fn start(admins: &[SocketAddr]) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let addr = free_port();
        let configuration = json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": [repository().join("envoy/operate/prometheus-rules.yaml")],
            "scrape_configs": [{
                "job_name": "envoy",
                "metrics_path": "/stats/prometheus",
                "static_configs": [{ "targets": admins.iter().map(ToString::to_string).collect::<Vec<_>>() }],
            }],
        });
        // JSON is YAML.
        let path = home.path().join("prometheus.yaml");
        fs::write(&path, configuration.to_string()).expect("a temporary file");
        let log = File::create(home.path().join("prometheus.log")).expect("a temporary file");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "prometheus"])
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.tsdb.path={}", home.path().join("data").display()))
            .arg(format!("--web.listen-address={addr}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run setpriv: {error}; install util-linux"));
        let mut prometheus = Self {
            child,
            addr,
            _home: home,
        };
        let deadline = Instant::now() + START;
        while prometheus.get("/-/ready").await.is_none() {
            let ended = prometheus.child.try_wait().ok().flatten();
            let log = || fs::read_to_string(prometheus._home.path().join("prometheus.log")).unwrap_or_default();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "Prometheus does not start (Debian: apt-get install prometheus):\n{}",
                log()
            );
            sleep(Duration::from_millis(100)).await;
        }
        prometheus
    }

    /// The series of an instant query, with their values.
    pub(crate) async fn query(&self, query: &str) -> Vec<String> {
        let encoded = utf8_percent_encode(query, NON_ALPHANUMERIC);
        let answer = self.api(&format!("/api/v1/query?query={encoded}")).await;
        let result = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        result
            .iter()
            .map(|series| {
                format!(
                    "{} {}",
                    series["metric"],
                    series["value"][1].as_str().unwrap_or("no value")
                )
            })
            .collect()
    }

    /// The targets for which an alert fires or is about to: its condition holds, and `for` may still run.
    pub(crate) async fn alerting(&self, alert: &str) -> BTreeSet<String> {
        let answer = self.api("/api/v1/alerts").await;
        let alerts = answer["data"]["alerts"].as_array().cloned().unwrap_or_default();
        let labels = alerts.iter().map(|alert| &alert["labels"]);
        let these = labels.filter(|labels| labels["alertname"] == alert);
        these
            .filter_map(|labels| labels["instance"].as_str().map(str::to_owned))
            .collect()
    }

    /// The rules that it could not evaluate.
    pub(crate) async fn unhealthy_rules(&self) -> Vec<String> {
        let answer = self.api("/api/v1/rules").await;
        let groups = answer["data"]["groups"].as_array().cloned().unwrap_or_default();
        let rules: Vec<Value> = groups
            .iter()
            .flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default())
            .collect();
        assert!(!rules.is_empty(), "Prometheus has no rules");
        let unhealthy = rules.iter().filter(|rule| rule["health"] != "ok");
        unhealthy.map(Value::to_string).collect()
    }

    async fn api(&self, path: &str) -> Value {
        let text = self.get(path).await.unwrap_or_else(|| panic!("no answer to {path}"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("`{text}` is not JSON: {error}"))
    }

    async fn get(&self, path: &str) -> Option<String> {
        let mut http = Connection::plain(self.addr).await.ok()?.http1().await.ok()?;
        match http.get(path).await {
            Outcome::Response(response) if response.status == 200 => Some(response.text()),
            Outcome::Response(_) | Outcome::Refused(_) => None,
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where nobody listens.
pub(crate) fn free_port() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port of loopback");
    listener.local_addr().expect("a bound socket has an address")
}
