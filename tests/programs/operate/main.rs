//! `make operate-check`: the shipped alerts as promtool reads them, and then on real data. An Envoy with svidgate
//! serves good and bad peers, a Prometheus scrapes it with the shipped rules, and every query of the dashboard must
//! bring something. Beside it are Envoys that started with a bad document, and the alerts that are for them must be
//! there for them and for no other.

mod bad_starts;
mod prometheus;
mod traffic;

use std::{
    process::{Command, ExitCode},
    time::Duration,
};

use support::repository;

use bad_starts::BadStarts;
use prometheus::Prometheus;
use traffic::Traffic;

/// How long Prometheus looks at real data before it is asked.
const WATCHED: Duration = Duration::from_secs(40);
/// What stands for Grafana's interval: several scrapes, all of them while there was traffic.
const SPAN: &str = "30s";

#[tokio::main]
async fn main() -> ExitCode {
    let promtool = |arguments: &[&str]| {
        let status = Command::new("promtool")
            .args(arguments)
            .current_dir(repository().join("envoy/operate"))
            .status();
        match status {
            Ok(status) => status.success(),
            Err(error) => {
                eprintln!("cannot run promtool: {error}; install Prometheus (Debian: apt-get install prometheus)");
                false
            }
        }
    };
    eprintln!("== promtool");
    if !promtool(&["check", "rules", "prometheus-rules.yaml"])
        || !promtool(&["test", "rules", "prometheus-rules.test.yaml"])
    {
        return ExitCode::FAILURE;
    }
    eprintln!("== an Envoy with traffic, and a Prometheus that scrapes it for {WATCHED:?}");
    let traffic = Traffic::start().await;
    let bad_starts = BadStarts::start(traffic.world()).await;
    let targets = [&[traffic.envoy.admin_addr()][..], &bad_starts.targets()].concat();
    let prometheus = Prometheus::start(&targets).await;
    traffic.run(WATCHED).await;
    let silent = ask(&prometheus).await;
    let wrong = bad_starts.wrong_alerts(&prometheus).await;
    for trouble in silent
        .iter()
        .map(|query| format!("without a result: {query}"))
        .chain(wrong.clone())
    {
        eprintln!("{trouble}");
    }
    if silent.is_empty() && wrong.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Asks everything; gives the queries of the dashboard that bring nothing.
async fn ask(prometheus: &Prometheus) -> Vec<String> {
    let mut silent = Vec::new();
    for query in operate::dashboard_queries(SPAN) {
        let result = prometheus.query(&query.text).await;
        println!("{:<42} {:>3} series", query.name, result.len());
        for series in &result {
            println!("    {series}");
        }
        if result.is_empty() {
            silent.push(query.name);
        }
    }
    for query in operate::rule_queries() {
        // An alert with nothing to tell has no result; one that cannot be asked would end this.
        let result = prometheus.query(&query.text).await;
        println!("{:<42} {:>3} series", query.name, result.len());
    }
    let unhealthy = prometheus.unhealthy_rules().await;
    if !unhealthy.is_empty() {
        silent.push(format!("rules that Prometheus cannot evaluate: {unhealthy:?}"));
    }
    silent
}
