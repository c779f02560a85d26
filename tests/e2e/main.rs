//! svidgate on a real Envoy, with real TLS clients and upstreams: what was answered, why, and what got through.

mod algorithms;
mod configuration;
mod dry_run;
mod forwarded_certificate;
mod holds;
mod identity_header;
mod paths;
mod records;
mod refusals;
mod requests;
mod resumption;
mod second_lock;
mod source_address;
mod stage;
mod streams;
mod survival;
mod tcp;
