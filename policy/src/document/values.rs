//! How durations, times, texts and names are written in a document.

use jiff::{SignedDuration, Timestamp};

use crate::{
    document::reader::{Mistake, Object, Place, Reader},
    json::Json,
    name::id::TrustDomain,
};

/// Most relationships. Our decision.
pub(crate) const MAX_RELATIONSHIPS: usize = 10_000;
/// Most patterns in a scope or an exception. Our decision: each of them is compared with each id, one by one.
pub(crate) const MAX_COMPARED_PATTERNS: usize = 256;
/// Most comparisons of segments when rules are looked through for those that never match, and as many when hops are held
/// against each other. Our decision: 10,000 `from` beside 256 exceptions of a few segments stay under it; in the VM it
/// is some tenths of a second.
pub(crate) const COMPARISON_STEPS: u32 = 20_000_000;
/// Longest duration, in seconds: a hundred years, so that no sum of a time and a duration overflows.
const MAX_DURATION_SECONDS: i64 = 36_500 * 24 * 60 * 60;
/// Longest free text (version, owner, rule name), in bytes.
pub(crate) const MAX_TEXT_BYTES: usize = 128;

pub(crate) fn read_max_staleness(
    reader: &mut Reader,
    object: Object<'_>,
    at: &Place<'_>,
    otherwise: SignedDuration,
) -> SignedDuration {
    let read = object
        .optional("max_staleness")
        .and_then(|json| read_duration(reader, json, &at.member("max_staleness")));
    read.unwrap_or(otherwise)
}

pub(crate) fn read_text(reader: &mut Reader, object: Object<'_>, name: &str, place: &Place<'_>) -> Option<String> {
    let json = object.optional(name)?;
    reader.parsed(json, &place.member(name), |text| {
        if text.len() > MAX_TEXT_BYTES {
            return Err(Mistake::TooLarge {
                bytes: text.len(),
                bound: MAX_TEXT_BYTES,
            });
        }
        if text.chars().any(char::is_control) {
            return Err(Mistake::Expected("text without control characters"));
        }
        Ok(text.to_owned())
    })
}

/// Names stand in logs, metrics and access logs as they are, so they need no escaping anywhere.
pub(crate) fn read_name(reader: &mut Reader, json: &Json, place: &Place<'_>) -> Option<Box<str>> {
    reader.parsed(json, place, |text| {
        let valid = text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'/'));
        if valid && !text.is_empty() && text.len() <= MAX_TEXT_BYTES {
            Ok(text.into())
        } else {
            Err(Mistake::Expected("a name of 1 to 128 characters a-z A-Z 0-9 - _ . : /"))
        }
    })
}

pub(crate) fn read_duration(reader: &mut Reader, json: &Json, place: &Place<'_>) -> Option<SignedDuration> {
    reader.parsed(json, place, |text| {
        parse_duration(text).ok_or(Mistake::Expected(
            "a whole number with unit s, m, h or d, like `90s` or `24h`, at most `36500d`",
        ))
    })
}

fn parse_duration(text: &str) -> Option<SignedDuration> {
    let split = text.len().checked_sub(1)?;
    let (number, unit) = text.split_at_checked(split)?;
    let seconds_each = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let number: i64 = number.parse().ok().filter(|number| digits && *number > 0)?;
    let seconds = number.checked_mul(seconds_each)?;
    (seconds <= MAX_DURATION_SECONDS).then(|| SignedDuration::from_secs(seconds))
}

pub(crate) fn read_time(reader: &mut Reader, json: &Json, place: &Place<'_>) -> Option<Timestamp> {
    reader.parsed(json, place, |text| {
        text.parse()
            .map_err(|_| Mistake::Expected("a time like `2027-01-31T00:00:00Z`"))
    })
}

pub(crate) fn read_trust_domain(reader: &mut Reader, json: &Json, place: &Place<'_>) -> Option<TrustDomain> {
    reader.parsed(json, place, |text| TrustDomain::parse(text).map_err(Mistake::Id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn durations_have_one_unit() {
        for (text, seconds) in [
            ("90s", Some(90)),
            ("5m", Some(300)),
            ("24h", Some(86_400)),
            ("7d", Some(604_800)),
            ("36500d", Some(3_153_600_000)),
        ] {
            assert_eq!(
                parse_duration(text).map(|duration| duration.as_secs()),
                seconds,
                "{text}"
            );
        }
        for text in [
            "",
            "s",
            "0s",
            "-1s",
            "+1s",
            "1",
            "1.5h",
            "1w",
            "1h30m",
            " 1s",
            "99999999999999999999s",
            "9223372036854775807d",
            "36501d",
            "1µ",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
