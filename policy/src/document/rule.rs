//! What is one rule, as it is written?

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::{
    document::{
        hops::{ReadHop, read_via},
        reader::{Mistake, Object, Place, Reader},
        settings::Listeners,
        values::{MAX_COMPARED_PATTERNS, read_name, read_time},
    },
    json::Json,
    name::{host::HostPattern, path::PathReading},
    pattern::{id_pattern::IdPattern, path_pattern::PathPattern},
    rules::{
        condition::{Conditions, DAY_MINUTES, TimeWindow, When},
        effect::Effect,
        header::{HeaderCondition, HeaderTest, ID_HEADER, VIA_HEADER, reads_as, trimmed},
        rule::{Rule, Target, is_token},
    },
};

pub(crate) const FIELDS: &[&str] = &[
    "name", "effect", "from", "except", "via", "to", "when", "expires", "dry_run",
];
pub(crate) const TARGET_FIELDS: &[&str] = &["routes", "hosts", "methods", "paths", "ports", "sni", "encoded_slashes"];
pub(crate) const TARGET_DEMANDS: &[&str] = &["routes", "hosts", "methods", "paths", "ports", "sni"];
pub(crate) const WHEN_FIELDS: &[&str] = &[
    "headers",
    "not_headers",
    "source_ips",
    "not_source_ips",
    "time",
    "not_time",
];
pub(crate) const HEADER_FIELDS: &[&str] = &["name", "is", "matches", "present"];
pub(crate) const TIME_FIELDS: &[&str] = &["days", "from", "until", "zone"];
pub(crate) const DAYS: &[&str] = &["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
pub(crate) const ZONES: &[&str] = &["UTC"];
pub(crate) const EFFECTS: &[&str] = &["allow", "deny"];

pub(crate) fn read_rule(
    reader: &mut Reader,
    json: &Json,
    at: &Place<'_>,
    paths: PathReading,
    listener: Listeners,
    hops: &[ReadHop],
) -> Option<Rule> {
    let before = reader.count();
    let object = reader.object(json, at, FIELDS)?;
    let name = object
        .required("name", reader, at)
        .and_then(|json| read_name(reader, json, &at.member("name")));
    let effect = object
        .required("effect", reader, at)
        .and_then(|json| reader.word(json, &at.member("effect"), EFFECTS, &[Effect::Allow, Effect::Deny]));
    let from = object
        .required("from", reader, at)
        .and_then(|json| read_ids(reader, json, &at.member("from")));
    let except = object
        .optional("except")
        .and_then(|json| read_ids(reader, json, &at.member("except")))
        .unwrap_or_default();
    reader.check_length(&at.member("except"), except.len(), MAX_COMPARED_PATTERNS);
    let via = object
        .optional("via")
        .and_then(|json| read_via(reader, json, &at.member("via"), hops));
    let when = object
        .optional("when")
        .and_then(|json| read_when(reader, json, &at.member("when"), listener));
    let to = match object.optional("to") {
        Some(json) => reader.list(json, &at.member("to"), |reader, json, place| {
            read_target(reader, json, place, effect, paths, listener)
        }),
        None => Some(vec![Target::default()]),
    };
    let expires = object
        .optional("expires")
        .and_then(|json| read_time(reader, json, &at.member("expires")));
    let dry_run = object
        .optional("dry_run")
        .and_then(|json| reader.flag(json, &at.member("dry_run")));
    let mut rule = Rule {
        name: name.unwrap_or_default(),
        effect: effect.unwrap_or(Effect::Deny),
        from: from.unwrap_or_default(),
        except,
        via,
        to: to.unwrap_or_default(),
        when: when.unwrap_or_default(),
        expires,
        dry_run: dry_run.unwrap_or_default(),
        whole: reader.count() == before,
    };
    if rule.whole && listener == Listeners::Shared {
        check_opens_one_listener(reader, &rule, object, at);
        rule.whole = reader.count() == before;
    }
    Some(rule)
}

/// Notes an allow that was meant for connections of a TCP listener and would open every request of the others.
fn check_opens_one_listener(reader: &mut Reader, rule: &Rule, object: Object<'_>, at: &Place<'_>) {
    if rule.effect != Effect::Allow {
        return;
    }
    let to = at.member("to");
    for (index, target) in rule.to.iter().enumerate() {
        if target.conditions.ports.is_none() && !rule.needs_request(target) {
            let mistake = Mistake::Expected(
                "`ports`, or something that only a request has (with `listener: shared` it opens every request and \
                 every connection of all listeners)",
            );
            match object.optional("to") {
                Some(_) => reader.note(&to.item(index), mistake),
                None => reader.note(&to, mistake),
            }
        }
    }
}

fn read_ids(reader: &mut Reader, json: &Json, place: &Place<'_>) -> Option<Vec<IdPattern>> {
    reader.list(json, place, |reader, json, place| {
        reader.parsed(json, place, |text| IdPattern::parse(text).map_err(Mistake::Pattern))
    })
}

/// Notes a demand that a connection alone cannot answer.
fn check_decidable(reader: &mut Reader, object: Object<'_>, place: &Place<'_>, names: &[&str], listener: Listeners) {
    if listener.have_requests() {
        return;
    }
    for name in names {
        if object.optional(name).is_some() {
            reader.note(
                &place.member(name),
                Mistake::NeverMatches("a TCP listener has connections, no requests"),
            );
        }
    }
}

/// Notes an object that demands nothing. What a template renders to nothing must not mean everything.
fn check_demands(
    reader: &mut Reader,
    object: Object<'_>,
    place: &Place<'_>,
    fields: &[&str],
    demands: &'static [&'static str],
    otherwise: &'static str,
) {
    // One that is misspelled has been noted.
    let is_known = |name: &str| fields.contains(&name);
    if object.names().all(is_known) && demands.iter().all(|name| object.optional(name).is_none()) {
        reader.note(place, Mistake::NoDemand { demands, otherwise });
    }
}

fn read_target(
    reader: &mut Reader,
    json: &Json,
    at: &Place<'_>,
    effect: Option<Effect>,
    paths: PathReading,
    listener: Listeners,
) -> Option<Target> {
    let object = reader.object(json, at, TARGET_FIELDS)?;
    check_demands(
        reader,
        object,
        at,
        TARGET_FIELDS,
        TARGET_DEMANDS,
        "leave `to` out for everything",
    );
    check_decidable(reader, object, at, &["routes", "hosts", "methods", "paths"], listener);
    let encoded_slashes = object
        .optional("encoded_slashes")
        .and_then(|json| reader.flag(json, &at.member("encoded_slashes")))
        .unwrap_or_default();
    let paths = if encoded_slashes {
        check_encoded_slashes(reader, object, at, effect, paths);
        PathReading::EncodedSlashes
    } else {
        paths
    };
    let list = |reader: &mut Reader, name: &'static str, parse: &dyn Fn(&str) -> Result<Box<str>, Mistake>| {
        let json = object.optional(name)?;
        reader.list(json, &at.member(name), |reader, json, place| {
            reader.parsed(json, place, parse)
        })
    };
    let hosts = |reader: &mut Reader, name: &'static str| {
        let json = object.optional(name)?;
        reader.list(json, &at.member(name), |reader, json, place| {
            reader.parsed(json, place, |text| HostPattern::parse(text).map_err(Mistake::HostName))
        })
    };
    let methods = list(reader, "methods", &parse_method);
    let routes = list(reader, "routes", &parse_route);
    let conditions = Conditions {
        methods,
        routes,
        hosts: hosts(reader, "hosts"),
        sni: hosts(reader, "sni"),
        ports: object
            .optional("ports")
            .and_then(|json| reader.list(json, &at.member("ports"), read_port))
            .map(sorted),
        encoded_slashes,
    };
    let paths = object.optional("paths").and_then(|json| {
        reader.list(json, &at.member("paths"), |reader, json, place| {
            reader.parsed(json, place, |text| {
                PathPattern::parse(text, paths).map_err(Mistake::Pattern)
            })
        })
    });
    Some(Target { paths, conditions })
}

/// Notes an entry that would open paths with an encoded slash and cannot, or where it is not certain what they reach.
fn check_encoded_slashes(
    reader: &mut Reader,
    object: Object<'_>,
    at: &Place<'_>,
    effect: Option<Effect>,
    paths: PathReading,
) {
    let place = at.member("encoded_slashes");
    match paths {
        PathReading::Strict | PathReading::EncodedSlashes => {}
        PathReading::Lenient => reader.note(
            &place,
            Mistake::Expected("`paths: strict` in the document (with `lenient` every encoded slash is data already)"),
        ),
    }
    if effect == Some(Effect::Deny) {
        reader.note(
            &place,
            Mistake::Expected("an allow rule (a deny rule sees both readings of such a path, whatever it says)"),
        );
    } else if object.optional("routes").is_none() {
        // A host, a path and a server name are the client's to choose, and behind a virtual host `*` none of them tells
        // which upstream will read the path.
        reader.note(
            &place,
            Mistake::Expected(
                "`routes` beside it (the route alone says which upstream reads the path; a client chooses the rest)",
            ),
        );
    }
}

fn parse_method(text: &str) -> Result<Box<str>, Mistake> {
    // Methods are case-sensitive; one in lower case is a slip that would never match, as is a star for all of them.
    if is_token(text.as_bytes()) && text != "*" && !text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        Ok(text.into())
    } else {
        Err(Mistake::Expected("an HTTP method in upper case, like `GET`"))
    }
}

fn parse_route(text: &str) -> Result<Box<str>, Mistake> {
    if text.is_empty() {
        Err(Mistake::Expected("the name of a route"))
    } else {
        Ok(text.into())
    }
}

fn sorted(mut ports: Vec<u16>) -> Vec<u16> {
    ports.sort_unstable();
    ports
}

fn read_port(reader: &mut Reader, json: &Json, place: &Place<'_>) -> Option<u16> {
    let port = match json {
        Json::Unsigned(port) => u16::try_from(*port).ok().filter(|port| *port > 0),
        Json::Null | Json::Bool(_) | Json::OtherNumber(_) | Json::String(_) | Json::Array(_) | Json::Object(_) => None,
    };
    if port.is_none() {
        reader.note(place, Mistake::Expected("a port from 1 to 65535"));
    }
    port
}

fn read_when(reader: &mut Reader, json: &Json, at: &Place<'_>, listener: Listeners) -> Option<When> {
    let object = reader.object(json, at, WHEN_FIELDS)?;
    check_demands(
        reader,
        object,
        at,
        WHEN_FIELDS,
        WHEN_FIELDS,
        "leave `when` out where nothing is demanded",
    );
    check_decidable(reader, object, at, &["headers", "not_headers"], listener);
    let nets = |reader: &mut Reader, name: &'static str| {
        let json = object.optional(name)?;
        reader.list(json, &at.member(name), |reader, json, place| {
            reader.parsed(json, place, parse_net)
        })
    };
    let headers = |reader: &mut Reader, name: &'static str| {
        let json = object.optional(name)?;
        reader.list(json, &at.member(name), read_header)
    };
    let windows = |reader: &mut Reader, name: &'static str| {
        let json = object.optional(name)?;
        reader.list(json, &at.member(name), read_window)
    };
    Some(When {
        headers: headers(reader, "headers").unwrap_or_default(),
        not_headers: headers(reader, "not_headers").unwrap_or_default(),
        source_ips: nets(reader, "source_ips"),
        not_source_ips: nets(reader, "not_source_ips"),
        time: windows(reader, "time"),
        not_time: windows(reader, "not_time"),
    })
}

fn parse_net(text: &str) -> Result<IpNet, Mistake> {
    // Not `IpNet::from_str`: it reads `010.0.0.0/8` as 10.0.0.0/8, and others read it as 8.0.0.0/8.
    let address = |text: &str| text.parse::<IpAddr>().ok();
    let net = match text.split_once('/') {
        None => address(text).map(IpNet::from),
        Some((text, length)) => address(text)
            .zip(parse_prefix_length(length))
            .and_then(|(address, length)| IpNet::new(address, length).ok()),
    };
    // `10.1.2.3/8` means either 10.0.0.0/8 or 10.1.2.3; better to ask.
    net.filter(|net| net.trunc() == *net)
        .map(canonical)
        .ok_or(Mistake::Expected(
            "a CIDR block like `10.0.0.0/8`, with no bits behind the mask",
        ))
}

/// Digits alone: no sign, and no zero before them.
fn parse_prefix_length(text: &str) -> Option<u8> {
    let length = text.parse().ok()?;
    (u8::to_string(&length) == text).then_some(length)
}

/// IPv4 blocks as such, also where they are written in IPv6: so are the addresses that they are compared with.
fn canonical(net: IpNet) -> IpNet {
    let mapped = |net: Ipv6Net| {
        let address = net.addr().to_ipv4_mapped()?;
        Ipv4Net::new(address, net.prefix_len().checked_sub(96)?).ok()
    };
    match net {
        IpNet::V4(_) => net,
        IpNet::V6(wide) => mapped(wide).map_or(net, IpNet::V4),
    }
}

fn read_header(reader: &mut Reader, json: &Json, at: &Place<'_>) -> Option<HeaderCondition> {
    let object = reader.object(json, at, HEADER_FIELDS)?;
    let name = object.required("name", reader, at)?;
    let name = reader.parsed(name, &at.member("name"), parse_header_name)?;
    let tests = (
        object.optional("is"),
        object.optional("matches"),
        object.optional("present"),
    );
    let test = match tests {
        (Some(json), None, None) => reader.parsed(json, &at.member("is"), parse_value).map(HeaderTest::Is),
        (None, Some(json), None) => reader.expression(json, &at.member("matches")).map(HeaderTest::Matches),
        (None, None, Some(Json::Bool(true))) => Some(HeaderTest::Present),
        _ => {
            reader.note(
                at,
                Mistake::Expected("exactly one of `is`, `matches` and `present: true`"),
            );
            None
        }
    };
    test.map(|test| HeaderCondition { name, test })
}

fn parse_header_name(text: &str) -> Result<Box<str>, Mistake> {
    let name = text.to_ascii_lowercase();
    match name.as_str() {
        "host" => Err(Mistake::Expected(
            "`hosts` in `to`, which is what the proxy makes of the header `host`",
        )),
        name if [ID_HEADER, VIA_HEADER]
            .iter()
            .any(|ours| reads_as(name.as_bytes(), ours.as_bytes())) =>
        {
            Err(Mistake::Expected("a header of the client (this one is always removed)"))
        }
        name if is_token(name.as_bytes()) => Ok(name.into()),
        _ => Err(Mistake::Expected("a header name")),
    }
}

/// A value that a header can have.
fn parse_value(text: &str) -> Result<Box<str>, Mistake> {
    let is_whole = trimmed(text.as_bytes()).len() == text.len();
    if is_whole && !text.contains(|letter: char| letter.is_control() && letter != '\t') {
        Ok(text.into())
    } else {
        Err(Mistake::NeverMatches(
            "a header's value has no white space at its ends and no control bytes",
        ))
    }
}

fn read_window(reader: &mut Reader, json: &Json, at: &Place<'_>) -> Option<TimeWindow> {
    let object = reader.object(json, at, TIME_FIELDS)?;
    check_demands(
        reader,
        object,
        at,
        TIME_FIELDS,
        &["days", "from", "until"],
        "write `from: \"00:00\"` for all of every day",
    );
    let mut days = [true; 7];
    if let Some(json) = object.optional("days") {
        let numbers = [0, 1, 2, 3, 4, 5, 6];
        let named = reader.list(json, &at.member("days"), |reader, json, place| {
            reader.word(json, place, DAYS, &numbers)
        });
        let named = named.unwrap_or_default();
        days.iter_mut()
            .enumerate()
            .for_each(|(number, day)| *day = named.contains(&number));
    }
    if let Some(json) = object.optional("zone") {
        reader.word(json, &at.member("zone"), ZONES, &[()]);
    }
    let minute = |reader: &mut Reader, name: &'static str, default: u16| match object.optional(name) {
        Some(json) => reader.parsed(json, &at.member(name), parse_minute),
        None => Some(default),
    };
    let from = minute(reader, "from", 0)?;
    let until = minute(reader, "until", DAY_MINUTES)?;
    // `24:00` is the `00:00` of the next day, so between them is nothing, except from one to the other.
    let is_whole_day = from == 0 && until == DAY_MINUTES;
    if from.checked_rem(DAY_MINUTES) == until.checked_rem(DAY_MINUTES) && !is_whole_day {
        reader.note(at, Mistake::NeverMatches("`from` and `until` are the same"));
    }
    Some(TimeWindow { days, from, until })
}

/// `HH:MM`, from `00:00` to `24:00`.
fn parse_minute(text: &str) -> Result<u16, Mistake> {
    let parse = || {
        let (hours, minutes) = text.split_once(':')?;
        if hours.len() != 2 || minutes.len() != 2 || !text.bytes().all(|b| b.is_ascii_digit() || b == b':') {
            return None;
        }
        let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
        let minute = hours.checked_mul(60)?.checked_add(minutes)?;
        (minutes < 60 && minute <= DAY_MINUTES).then_some(minute)
    };
    parse().ok_or(Mistake::Expected("a time of day like `08:30`, at most `24:00`"))
}
