//! Orders of events that were found to be wrong once. They are played first.

/// Each with its name.
pub(crate) const SEEDS: &[(&str, &str)] = &[
    ("seed svid-ends", include_str!("seeds/svid_ends.txt")),
    ("seed revoked", include_str!("seeds/revoked.txt")),
    ("seed forbidden", include_str!("seeds/forbidden.txt")),
    ("seed unused-connection", include_str!("seeds/unused_connection.txt")),
    (
        "seed unused-connection-both",
        include_str!("seeds/unused_connection_both.txt"),
    ),
    ("seed half-hello", include_str!("seeds/half_hello.txt")),
    ("seed reloaded", include_str!("seeds/reloaded.txt")),
];
