//! Envoy's foreign function `verify_signature`, which verifies a signature by the proxy's own library.

use prost::Message as _;
use svidgate_gate::identity::algorithms::Question;

/// What it is called with.
pub(crate) fn arguments(question: Question<'_>) -> Vec<u8> {
    Arguments {
        hash: question.hash.to_owned(),
        public_key: question.public_key.to_vec(),
        signature: question.signature.to_vec(),
        message: question.message.to_vec(),
    }
    .encode_to_vec()
}

/// What it answered; `None` where that is no answer.
pub(crate) fn answer(result: &[u8]) -> Option<bool> {
    Answer::decode(result).ok().map(|answer| answer.verified)
}

/// `envoy.source.extensions.common.wasm.VerifySignatureArguments`.
#[derive(Clone, PartialEq, prost::Message)]
struct Arguments {
    #[prost(string, tag = "1")]
    hash: String,
    #[prost(bytes = "vec", tag = "2")]
    public_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    signature: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    message: Vec<u8>,
}

/// `envoy.source.extensions.common.wasm.VerifySignatureResult`.
#[derive(Clone, PartialEq, prost::Message)]
struct Answer {
    #[prost(bool, tag = "1")]
    verified: bool,
    #[prost(string, tag = "2")]
    error: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn question_has_the_numbers_of_the_message() {
        let question = Question {
            hash: "sha256",
            public_key: b"k",
            signature: b"s",
            message: b"m",
        };
        assert_eq!(arguments(question), b"\x0a\x06sha256\x12\x01k\x1a\x01s\x22\x01m");
    }

    #[test]
    fn only_the_word_of_the_proxy_is_yes() {
        assert_eq!(answer(&[0x08, 1]), Some(true));
        assert_eq!(answer(&[]), Some(false), "no member is `false`");
        assert_eq!(answer(b"\x12\x05wrong"), Some(false));
        assert_eq!(answer(&[0xff]), None);
    }
}
