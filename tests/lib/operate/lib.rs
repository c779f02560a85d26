//! What is shipped for operators, read as they would use it.

pub mod scrape;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fs;

use promql_parser::parser::{self, Expr};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde_json::Value;

use support::repository;

/// The text of a file in `envoy/operate/`.
///
/// # Panics
/// When it is not there.
pub fn text(name: &str) -> String {
    let path = repository().join("envoy/operate").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A file in `envoy/operate/`, YAML or JSON.
///
/// # Panics
/// When it cannot be read.
pub fn read(name: &str) -> Value {
    serde_saphyr::from_str(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Puts the shipped tags into a bootstrap.
pub fn with_tags(bootstrap: &mut Value) {
    bootstrap["stats_config"] = read("stats-tags.yaml")["stats_config"].clone();
}

/// A query, and where it stands.
#[derive(Clone, Debug)]
pub struct Query {
    /// The panel, the alert or the recorded series.
    pub name: String,
    /// In PromQL, with Grafana's variables filled in.
    pub text: String,
    /// Whether its result is a series that later queries may ask for.
    pub is_recorded: bool,
}

/// All queries of the dashboard, over this span where Grafana would choose one.
///
/// # Panics
/// When the dashboard is not as Grafana would have it.
pub fn dashboard_queries(span: &str) -> Vec<Query> {
    let dashboard = read("grafana-dashboard.json");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| {
        let title = panel["title"].as_str().expect("a panel has a title");
        let targets = panel["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
        targets.iter().map(move |target| (title, target))
    });
    targets
        .map(|(title, target)| Query {
            name: title.to_owned(),
            text: target["expr"]
                .as_str()
                .expect("a target has a query")
                .replace("$__rate_interval", span)
                .replace("$instance", ".*"),
            is_recorded: false,
        })
        .collect()
}

/// All queries of the rules.
///
/// # Panics
/// When the rules are not as Prometheus would have them.
pub fn rule_queries() -> Vec<Query> {
    let rules = read("prometheus-rules.yaml");
    let groups = rules["groups"].as_array().expect("groups");
    let rules = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().expect("rules"));
    rules
        .map(|rule| Query {
            name: rule["alert"]
                .as_str()
                .or(rule["record"].as_str())
                .expect("a name")
                .to_owned(),
            text: rule["expr"].as_str().expect("a query").to_owned(),
            is_recorded: rule["record"].is_string(),
        })
        .collect()
}

/// What a query asks for.
#[derive(Debug, Default)]
pub struct Asked {
    /// Names of metrics.
    pub metrics: BTreeSet<String>,
    /// Names of labels, in conditions and groupings.
    pub labels: BTreeSet<String>,
}

impl Asked {
    /// Reads a query.
    ///
    /// # Panics
    /// When it is not PromQL.
    pub fn by(query: &Query) -> Self {
        let parsed = parser::parse(&query.text).unwrap_or_else(|error| panic!("{}: {error}", query.name));
        let mut asked = Self::default();
        let Ok(_) = walk_expr(&mut asked, &parsed);
        asked
    }
}

impl ExprVisitor for Asked {
    type Error = Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Infallible> {
        let selector = match expr {
            Expr::VectorSelector(selector) => Some(selector),
            Expr::MatrixSelector(matrix) => Some(&matrix.vs),
            Expr::Aggregate(aggregate) => {
                let grouping = aggregate.modifier.iter().flat_map(|modifier| &modifier.labels().labels);
                self.labels.extend(grouping.cloned());
                None
            }
            _ => None,
        };
        if let Some(selector) = selector {
            self.metrics.extend(selector.name.clone());
            let conditions = selector.matchers.matchers.iter();
            self.labels.extend(conditions.map(|matcher| matcher.name.clone()));
        }
        Ok(true)
    }
}
