//! Which tokens are for us, as it is written?

use jiff::SignedDuration;

use crate::{
    document::{
        hops::ReadHop,
        reader::{Mistake, Object, Place, Reader},
        values::{MAX_TEXT_BYTES, read_duration},
    },
    json::Json,
    rules::hop::Assertion,
    trust::jwt_svid::Expected,
};

pub(crate) const JWT_SVID_FIELDS: &[&str] = &["audiences", "max_lifetime", "max_stream", "leeway", "forward"];

/// Most audiences of ours. Our decision: a listener has a name or two.
const MAX_AUDIENCES: usize = 16;
/// Longest audience in bytes. Our decision: a SPIFFE ID of any sensible length, or a URL.
const MAX_AUDIENCE_BYTES: usize = 4 * MAX_TEXT_BYTES;
/// How long a token may be good where the document does not say. Our decision: twice what SPIRE gives them by default.
const MAX_LIFETIME: SignedDuration = SignedDuration::from_mins(10);
/// How far clocks may be apart where the document does not say, and at most (JWT-SVID 3.3: at most some minutes).
const LEEWAY: SignedDuration = SignedDuration::from_secs(30);
const MAX_LEEWAY: SignedDuration = SignedDuration::from_mins(5);

/// For how long a stream may go on after its token has ended, where the document does not say. Our decision: tokens live for
/// minutes, and a stream that watches something would be cut with each.
const MAX_STREAM: SignedDuration = SignedDuration::from_hours(1);

/// What a document says of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// What each must have.
    pub expected: Expected,
    /// For how long a stream that began under a token may go on after its end.
    pub max_stream: SignedDuration,
    /// Whether the upstream gets the token that was looked at.
    pub forward: bool,
}

pub(crate) fn read_tokens(reader: &mut Reader, object: Object<'_>) -> Option<Tokens> {
    let json = object.optional("jwt_svid")?;
    let place = Place::Root;
    let place = place.member("jwt_svid");
    let object = reader.object(json, &place, JWT_SVID_FIELDS)?;
    let audiences = object.required("audiences", reader, &place);
    let audiences = audiences.and_then(|json| read_audiences(reader, json, &place.member("audiences")));
    let duration = |reader: &mut Reader, name: &str| {
        let json = object.optional(name)?;
        read_duration(reader, json, &place.member(name))
    };
    let leeway = duration(reader, "leeway").unwrap_or(LEEWAY);
    if leeway > MAX_LEEWAY {
        reader.note(&place.member("leeway"), Mistake::Expected("at most `5m`"));
    }
    let expected = Expected {
        audiences: audiences.unwrap_or_default(),
        max_lifetime: duration(reader, "max_lifetime").unwrap_or(MAX_LIFETIME),
        leeway,
    };
    let forward = object.optional("forward");
    let forward = forward.and_then(|json| reader.flag(json, &place.member("forward")));
    Some(Tokens {
        expected,
        max_stream: duration(reader, "max_stream").unwrap_or(MAX_STREAM),
        forward: forward.unwrap_or_default(),
    })
}

fn read_audiences(reader: &mut Reader, json: &Json, place: &Place<'_>) -> Option<Vec<Box<str>>> {
    let count = json.as_array().map(<[_]>::len);
    reader.check_length(place, count.unwrap_or_default(), MAX_AUDIENCES);
    if count == Some(0) {
        let mistake = "who we are, as tokens name it (a token that need not be for us is for anybody)";
        reader.note(place, Mistake::Expected(mistake));
    }
    reader.list_or_none(json, place, |reader, json, place| {
        reader.parsed(json, place, |text| {
            if (1..=MAX_AUDIENCE_BYTES).contains(&text.len()) {
                Ok(text.into())
            } else {
                Err(Mistake::Expected("an audience of 1 to 512 bytes, as tokens have it"))
            }
        })
    })
}

/// Notes a hop that brings tokens where nothing is said of them, and the other way.
pub(crate) fn check_tokens(reader: &mut Reader, has_tokens: bool, hops: &[ReadHop]) {
    let place = Place::Root;
    let by_token = |read: &&ReadHop| read.whole && read.hop.assertion == Assertion::JwtSvid;
    match hops.iter().find(by_token) {
        Some(read) if !has_tokens => {
            let mistake = "`jwt_svid` in the document, which says for whom tokens must be (`audiences`)";
            let hops = place.member("hops");
            reader.note(&hops.item(read.place).member("assertion"), Mistake::Expected(mistake));
        }
        // Of a hop that could not be read it is not known what it brings.
        None if has_tokens && hops.iter().all(|read| read.whole) => {
            let mistake = "a hop with `assertion: jwt_svid` (a token is taken from nobody else)";
            reader.note(&place.member("jwt_svid"), Mistake::Expected(mistake));
        }
        Some(_) | None => {}
    }
}
