//! The words of a script for what has few values.

use crate::script::{Answers, How, Kind, Name, Protocol};

/// A value that is one word.
pub(crate) trait Words: Copy + PartialEq + 'static {
    /// Every value with its word.
    const ALL: &'static [(Self, &'static str)];

    /// The word of this one.
    fn word(self) -> &'static str {
        let found = Self::ALL.iter().find(|(value, _)| *value == self);
        found.map_or("", |(_, word)| *word)
    }

    /// The value of a word.
    fn of(word: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, known)| *known == word);
        found.map(|(value, _)| *value).ok_or(format!("`{word}` is not known"))
    }
}

impl Words for Name {
    const ALL: &'static [(Self, &'static str)] = &[(Name::Web, "web"), (Name::Web2, "web2"), (Name::Db, "db")];
}

impl Words for Protocol {
    const ALL: &'static [(Self, &'static str)] = &[
        (Protocol::Http1, "http1"),
        (Protocol::Pipelined, "pipelined"),
        (Protocol::Http2, "http2"),
        (Protocol::Tcp, "tcp"),
    ];
}

impl Words for Kind {
    const ALL: &'static [(Self, &'static str)] = &[
        (Kind::Answer, "answer"),
        (Kind::Late, "late"),
        (Kind::Stream, "stream"),
        (Kind::Upload, "upload"),
        (Kind::Grpc, "grpc"),
    ];
}

impl Words for How {
    const ALL: &'static [(Self, &'static str)] = &[
        (How::InPlace, "in-place"),
        (How::Drained, "drained"),
        (How::Refused, "refused"),
    ];
}

impl Words for Answers {
    const ALL: &'static [(Self, &'static str)] = &[
        (Answers::Good, "good"),
        (Answers::Other, "other"),
        (Answers::Never, "never"),
        (Answers::Fails, "fails"),
        (Answers::Half, "half"),
    ];
}
