//! What Prometheus reads of an Envoy.

use std::collections::{BTreeMap, BTreeSet};

use prometheus_parse::{Scrape as Parsed, Value};
use support::envoy::Envoy;

/// The metrics of svidgate in one scrape, or those of Envoy itself.
#[derive(Clone, Debug, Default)]
pub struct Scrape(Vec<Series>);

/// One time series.
#[derive(Clone, Debug)]
pub struct Series {
    /// The name of its family.
    pub family: String,
    /// `counter`, `gauge`, `histogram`, or what it should not be.
    pub kind: &'static str,
    /// Its labels. Those of a histogram's buckets are left out.
    pub labels: BTreeMap<String, String>,
    /// Its value; of a histogram, how much has been measured.
    pub value: f64,
}

impl Scrape {
    /// What Prometheus reads of svidgate.
    ///
    /// # Panics
    /// When it cannot be read.
    pub async fn of_svidgate(envoy: &Envoy) -> Self {
        Self::read("svidgate_", &envoy.admin("/stats/prometheus").await)
    }

    /// What Prometheus reads of Envoy itself.
    ///
    /// # Panics
    /// When it cannot be read.
    pub async fn of_envoy(envoy: &Envoy) -> Self {
        Self::read("envoy_", &envoy.admin("/stats/prometheus").await)
    }

    fn read(prefix: &str, text: &str) -> Self {
        // The parser does not know the empty list of labels that Envoy writes.
        let text = text.replace("{} ", " ");
        let lines = text.lines().map(|line| Ok(line.to_owned()));
        let parsed = Parsed::parse(lines).expect("a scrape is lines of text");
        let ours = parsed.samples.into_iter();
        Self(
            ours.filter(|sample| sample.metric.starts_with(prefix))
                .filter(|sample| !sample.metric.ends_with("_sum") && !sample.metric.ends_with("_count"))
                .map(|sample| {
                    let (kind, value) = match sample.value {
                        Value::Counter(value) => ("counter", value),
                        Value::Gauge(value) => ("gauge", value),
                        Value::Untyped(value) => ("untyped", value),
                        Value::Summary(_) => ("summary", 0.0),
                        Value::Histogram(buckets) => (
                            "histogram",
                            buckets.iter().map(|bucket| bucket.count).fold(0.0, f64::max),
                        ),
                    };
                    Series {
                        family: sample.metric,
                        kind,
                        labels: sample
                            .labels
                            .iter()
                            .map(|(name, value)| (name.clone(), value.clone()))
                            .collect(),
                        value,
                    }
                })
                .collect(),
        )
    }

    /// The value of the series with exactly these labels.
    pub fn value(&self, family: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted: BTreeMap<String, String> = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let found = self
            .0
            .iter()
            .find(|series| series.family == family && series.labels == wanted);
        found.map(|series| series.value)
    }

    /// Each family with its type and the names of its labels.
    ///
    /// # Panics
    /// When the series of one family do not agree.
    pub fn families(&self) -> BTreeMap<String, (String, BTreeSet<String>)> {
        let mut families = BTreeMap::new();
        for series in &self.0 {
            let shape = (series.kind.to_owned(), series.labels.keys().cloned().collect());
            let known = families.entry(series.family.clone()).or_insert_with(|| shape.clone());
            assert_eq!(*known, shape, "{series:?}");
        }
        families
    }

    /// All series, without their values.
    pub fn series(&self) -> BTreeSet<String> {
        self.0
            .iter()
            .map(|series| format!("{} {:?}", series.family, series.labels))
            .collect()
    }
}
