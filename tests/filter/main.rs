//! The filter against a double of the proxy: what it asks of the proxy, how often, and what it does with odd answers.

mod double;
mod memory;
mod odd_proxies;
mod warm_path;
