//! Decisions by the letter of the contract and by nothing else: no tries, no tables, no types of the crate.

use std::{collections::BTreeMap, net::IpAddr};

use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;

/// A request, or a connection, and who makes it when.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) id: String,
    pub(crate) tcp: bool,
    pub(crate) method: String,
    pub(crate) host: String,
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) route: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) sni: Option<String>,
    pub(crate) source: Option<IpAddr>,
    pub(crate) now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) effect: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) rule: Option<String>,
    pub(crate) dry_run: Option<(&'static str, String)>,
}

/// What holds, what does not, and (`None`) what cannot be known.
type Known = Option<bool>;
pub(crate) type Captured = BTreeMap<String, Vec<u8>>;

pub(crate) fn decide(document: &Value, asked: &Asked) -> Answer {
    let refused = |reason| Answer {
        effect: "deny",
        reason,
        rule: None,
        dry_run: None,
    };
    let mut segments = None;
    if !asked.tcp {
        if !is_token(&asked.method) || (!asked.host.is_empty() && host_of(&asked.host).is_none()) {
            return refused("request.malformed");
        }
        match &asked.path {
            None if asked.method == "CONNECT" => {}
            None => return refused("request.malformed"),
            Some(path) if !path.starts_with(b"/") => return refused("request.malformed"),
            Some(path) => match path_of(path, document["paths"] == "lenient") {
                None => return refused("request.ambiguous_path"),
                read => segments = read,
            },
        }
    }
    let rules: Vec<&Value> = document["rules"].as_array().unwrap().iter().collect();
    let first = |effect: &str, dry_run: bool, over: bool| {
        let mut found = rules.iter().filter(|rule| {
            rule["effect"] == effect
                && (rule["dry_run"] == true) == dry_run
                && is_over(rule, asked.now) == over
                && matches(rule, asked, segments.as_deref())
        });
        found.next().map(|rule| rule["name"].as_str().unwrap().to_owned())
    };
    let (deny, allow) = (first("deny", false, false), first("allow", false, false));
    let (would_deny, would_allow) = (first("deny", true, false), first("allow", true, false));
    // A deny that matches wins over any allow; no allow, no access.
    let (effect, reason, rule) = if deny.is_some() {
        ("deny", "rule.denied", deny.clone())
    } else if allow.is_some() {
        ("allow", "rule.allowed", allow.clone())
    } else if let Some(expired) = first("allow", false, true) {
        ("deny", "rule.expired", Some(expired))
    } else {
        ("deny", "rule.none_matched", None)
    };
    // The same with the rules of the dry run, and only if that is another effect.
    let denies = deny.is_some() || would_deny.is_some();
    let allows = !denies && (allow.is_some() || would_allow.is_some());
    let dry_run = match (effect, allows) {
        ("allow", false) => would_deny.map(|rule| ("deny", rule)),
        ("deny", true) => would_allow.map(|rule| ("allow", rule)),
        _ => None,
    };
    Answer {
        effect,
        reason,
        rule,
        dry_run,
    }
}

fn is_over(rule: &Value, now: Timestamp) -> bool {
    rule["expires"]
        .as_str()
        .is_some_and(|expires| now >= expires.parse().unwrap())
}

/// The entries of a list; `None` where it is not there.
fn list<'v>(value: &'v Value, name: &str) -> Option<Vec<&'v Value>> {
    value.get(name).map(|list| list.as_array().unwrap().iter().collect())
}

fn matches(rule: &Value, asked: &Asked, path: Option<&[Vec<u8>]>) -> bool {
    let ids = |name| {
        list(rule, name)
            .unwrap_or_default()
            .into_iter()
            .map(|pattern| pattern.as_str().unwrap())
    };
    if ids("except").any(|pattern| id_matches(pattern, &asked.id).is_some()) {
        return false;
    }
    let nothing = serde_json::json!({});
    let targets = list(rule, "to").unwrap_or_else(|| vec![&nothing]);
    ids("from")
        .filter_map(|pattern| id_matches(pattern, &asked.id))
        .any(|captured| {
            targets.iter().any(|target| {
                let path_matches = match list(target, "paths") {
                    None => true,
                    Some(patterns) => path.is_some_and(|path| {
                        patterns
                            .iter()
                            .any(|pattern| path_matches(pattern.as_str().unwrap(), path, &captured))
                    }),
                };
                let holds = all(demands(target, asked).into_iter().chain(when(&rule["when"], asked)));
                // What cannot be known never helps the caller.
                path_matches && holds.unwrap_or(rule["effect"] == "deny")
            })
        })
}

fn all(known: impl Iterator<Item = Known>) -> Known {
    let known: Vec<Known> = known.collect();
    match known {
        known if known.contains(&Some(false)) => Some(false),
        known if known.contains(&None) => None,
        _ => Some(true),
    }
}

pub(crate) fn id_matches(pattern: &str, id: &str) -> Option<Captured> {
    let split = |text: &str| -> Vec<String> { text["spiffe://".len()..].split('/').map(str::to_owned).collect() };
    let (pattern, id) = (split(pattern), split(id));
    let id: Vec<Vec<u8>> = id.into_iter().map(String::into_bytes).collect();
    let pattern: Vec<&str> = pattern.iter().map(String::as_str).collect();
    let mut captured = Captured::new();
    segments_match(&pattern, &id, &mut captured).then_some(captured)
}

fn path_matches(pattern: &str, path: &[Vec<u8>], captured: &Captured) -> bool {
    let pattern = pattern.strip_suffix('/').unwrap_or(pattern);
    let pattern: Vec<&str> = pattern.split('/').skip(1).collect();
    segments_match(&pattern, path, &mut captured.clone())
}

fn segments_match(pattern: &[&str], segments: &[Vec<u8>], captured: &mut Captured) -> bool {
    let Some((first, pattern)) = pattern.split_first() else {
        return segments.is_empty();
    };
    if *first == "**" {
        return true;
    }
    let Some((segment, segments)) = segments.split_first() else {
        return false;
    };
    let name = first.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
    let matched = match (*first, name) {
        ("*", _) => !segment.is_empty(),
        (_, Some(name)) => {
            let value = captured.entry(name.to_owned()).or_insert_with(|| segment.clone());
            !segment.is_empty() && value == segment
        }
        (literal, None) => unescaped(literal.as_bytes()).unwrap() == *segment,
    };
    matched && segments_match(pattern, segments, captured)
}

fn unescaped(segment: &[u8]) -> Option<Vec<u8>> {
    let Some(percent) = segment.iter().position(|byte| *byte == b'%') else {
        return Some(segment.to_vec());
    };
    let digits = std::str::from_utf8(segment.get(percent + 1..percent + 3)?).ok()?;
    // `from_str_radix` takes a sign.
    let byte = u8::from_str_radix(digits, 16)
        .ok()
        .filter(|_| !digits.starts_with('+'))?;
    Some([&segment[..percent], &[byte], &unescaped(&segment[percent + 3..])?].concat())
}

/// The segments of a path; `None` where it has two readings.
fn path_of(path: &[u8], lenient: bool) -> Option<Vec<Vec<u8>>> {
    let path = &path[1..path.iter().position(|byte| *byte == b'?').unwrap_or(path.len())];
    if path.is_empty() {
        return Some(Vec::new());
    }
    let path = path.strip_suffix(b"/").unwrap_or(path);
    path.split(|byte| *byte == b'/')
        .map(|raw| {
            let segment = unescaped(raw)?;
            let has = |bytes: &[u8], unwanted: &[u8]| bytes.iter().any(|byte| unwanted.contains(byte));
            let controls: Vec<u8> = (0..0x20).chain([0x7f]).collect();
            let dots = segment
                .split(|byte| b"/\\".contains(byte))
                .map(|piece| piece.split(|byte| *byte == b';').next().unwrap())
                .any(|piece| piece == b"." || piece == b"..");
            let refused = dots || has(raw, b" #") || has(raw, &controls) || has(&segment, &controls);
            let ambiguous = segment.is_empty()
                || has(&segment, b"/\\;%?#")
                || !raw.is_ascii()
                || std::str::from_utf8(&segment).is_err();
            (!refused && (lenient || !ambiguous)).then_some(segment)
        })
        .collect()
}

fn is_token(method: &str) -> bool {
    !method.is_empty()
        && method
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

/// A host in one spelling: lower case, no port, no trailing dot.
fn host_of(authority: &str) -> Option<String> {
    let authority = authority.to_ascii_lowercase();
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let address: std::net::Ipv6Addr = address.parse().ok()?;
        let port_is_good = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return port_is_good.then(|| format!("[{address}]"));
    }
    let (name, port) = authority.split_once(':').unwrap_or((&authority, ""));
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label =
        |label: &str| !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    (is_port(port) && name.split('.').all(is_label)).then(|| name.to_owned())
}

fn is_port(port: &str) -> bool {
    port.len() <= 5 && port.chars().all(|c| c.is_ascii_digit())
}

fn host_matches(pattern: &str, host: &str) -> bool {
    let (Some(pattern), Some(host)) = (host_of(&pattern.replace('*', "any-label")), host_of(host)) else {
        return false;
    };
    let (pattern, host): (Vec<&str>, Vec<&str>) = (pattern.split('.').collect(), host.split('.').collect());
    pattern.len() == host.len()
        && pattern
            .iter()
            .zip(&host)
            .all(|(label, found)| *label == "any-label" || label == found)
}

/// What one target demands beside the path.
fn demands(target: &Value, asked: &Asked) -> Vec<Known> {
    let texts = |name| list(target, name).map(|list| list.into_iter().map(|text| text.as_str().unwrap()).collect());
    let one_of = |wanted: Option<Vec<&str>>, is: &dyn Fn(&str) -> Known| -> Known {
        let Some(wanted) = wanted else { return Some(true) };
        let known: Vec<Known> = wanted.into_iter().map(is).collect();
        if known.contains(&Some(true)) {
            Some(true)
        } else if known.contains(&None) {
            None
        } else {
            Some(false)
        }
    };
    let method = |wanted: &str| match asked.method == *wanted {
        // Whether the upstream tells `get` from `GET` is not known.
        false if asked.method.to_uppercase() == wanted => None,
        same => Some(same),
    };
    let host = |found: Option<&str>, wanted: &str| host_of(found?).map(|found| host_matches(wanted, &found));
    let sni = asked.sni.as_deref().filter(|sni| !sni.contains(':'));
    let ports = list(target, "ports");
    vec![
        one_of(texts("methods"), &|wanted| {
            if asked.tcp { None } else { method(wanted) }
        }),
        one_of(texts("hosts"), &|wanted| {
            host((!asked.tcp).then_some(&asked.host), wanted)
        }),
        one_of(texts("sni"), &|wanted| host(sni, wanted)),
        one_of(texts("routes"), &|wanted| {
            asked.route.as_ref().map(|route| route == wanted)
        }),
        match ports {
            None => Some(true),
            Some(ports) => asked.port.map(|port| ports.iter().any(|wanted| *wanted == port)),
        },
    ]
}

/// What the rule as a whole demands.
fn when(when: &Value, asked: &Asked) -> Vec<Known> {
    let not = |known: Known| known.map(|known| !known);
    let address = |name| {
        list(when, name).map(|nets| {
            let contains = |ip| nets.iter().any(|net| net_contains(net.as_str().unwrap(), ip));
            asked.source.map(contains)
        })
    };
    let time = |name| list(when, name).map(|windows| windows.iter().any(|window| window_contains(window, asked.now)));
    let headers = |name| {
        list(when, name)
            .unwrap_or_default()
            .into_iter()
            .map(|wanted| header(wanted, asked))
    };
    let mut known = vec![
        address("source_ips").unwrap_or(Some(true)),
        address("not_source_ips").map_or(Some(true), not),
        Some(time("time").unwrap_or(true)),
        Some(!time("not_time").unwrap_or(false)),
    ];
    known.extend(headers("headers"));
    known.extend(headers("not_headers").map(not));
    known
}

/// Met when every value meets it, not met when none does, and otherwise unknown. A line may be a list, lines may become one.
fn header(wanted: &Value, asked: &Asked) -> Known {
    if asked.tcp {
        return None;
    }
    let name = wanted["name"].as_str().unwrap();
    let found = asked
        .headers
        .iter()
        .filter(|(known, _)| known.eq_ignore_ascii_case(name));
    let meets = |value: &str| match (&wanted["is"], &wanted["matches"]) {
        (Value::String(is), _) => value == is,
        (_, Value::String(expression)) => match expression.as_str() {
            "a|b" => value == "a" || value == "b",
            "v[0-9]+" => value
                .strip_prefix('v')
                .is_some_and(|digits| !digits.is_empty() && digits.chars().all(|digit| digit.is_ascii_digit())),
            "a.*" => value.starts_with('a'),
            other => panic!("{other}"),
        },
        _ => true,
    };
    let lines: Vec<&str> = found.map(|(_, value)| value.as_str()).collect();
    let mut known: Vec<bool> = Vec::new();
    for value in &lines {
        known.push(meets(value));
        if !meets(value) {
            known.extend(
                value
                    .split(',')
                    .map(str::trim)
                    .filter(|value| !value.is_empty())
                    .map(meets),
            );
        }
    }
    match (known.contains(&true), known.contains(&false)) {
        (true, false) => Some(true),
        (true, true) => None,
        // Lines may be joined on the way.
        (false, _) if lines.len() > 1 && (meets(&lines.join(",")) || meets(&lines.join(", "))) => None,
        (false, _) => Some(false),
    }
}

fn net_contains(net: &str, ip: IpAddr) -> bool {
    // Both as IPv6, IPv4 as mapped; what is written as IPv6 and holds mapped addresses only by the way does not count.
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => u128::from(ip.to_ipv6_mapped()),
        IpAddr::V6(ip) => u128::from(ip),
    };
    let (address, length) = net.split_once('/').unwrap_or((net, ""));
    let address: IpAddr = address.parse().unwrap();
    let length: u32 = match (length.parse::<u32>(), address) {
        (Ok(length), IpAddr::V4(_)) => length + 96,
        (Ok(length), IpAddr::V6(_)) => length,
        (Err(_), _) => 128,
    };
    let is_v4 = |bits: u128| bits >> 32 == 0xffff;
    let same_kind = is_v4(bits(address)) && length >= 96 || !is_v4(bits(ip));
    let mask = if length == 0 { 0 } else { u128::MAX << (128 - length) };
    same_kind && bits(address) & mask == bits(ip) & mask
}

fn window_contains(window: &Value, now: Timestamp) -> bool {
    let minutes = |name: &str, default: &str| {
        let text = window[name].as_str().unwrap_or(default);
        let (hours, minutes) = text.split_once(':').unwrap();
        hours.parse::<i64>().unwrap() * 60 + minutes.parse::<i64>().unwrap()
    };
    let (from, until) = (minutes("from", "00:00"), minutes("until", "24:00"));
    let length = match (until - from).rem_euclid(24 * 60) {
        0 => 24 * 60,
        length => length,
    };
    let today = now.to_zoned(TimeZone::UTC).date();
    // The windows that began today or yesterday, or (`24:00`) begin at the end of yesterday.
    [0i64, 1].iter().any(|ago| {
        let day = today.saturating_sub(jiff::Span::new().days(*ago));
        let names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let name = names[usize::try_from(day.weekday().to_monday_zero_offset()).unwrap()];
        let on = list(window, "days").is_none_or(|days| days.iter().any(|day| *day == name));
        let midnight = day.to_zoned(TimeZone::UTC).unwrap().timestamp().as_second();
        let begin = midnight + from * 60;
        on && begin <= now.as_second() && now.as_second() < begin + length * 60
    })
}
