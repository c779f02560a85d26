//! svidgate on a real Envoy, with real TLS clients and upstreams: what was answered, why, and what got through.

mod refusals;
