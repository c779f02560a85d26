//! What `make demo` shows, for whoever tells of it too: the first page has the same cases.

pub mod cases;
