//! Decisions by the letter of the contract and by nothing else: no tries, no tables, no types of the crate.

use std::{collections::BTreeMap, net::IpAddr};

use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;

/// A request, or a connection, and who makes it when.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The SPIFFE ID of who asks.
    pub id: String,
    /// The SPIFFE IDs of the hops that bring it by `xfcc`, whoever has connected first; where there is none, it comes from
    /// who asks. [`ANONYMOUS`] brings a token.
    pub through: Vec<String>,
    /// Whether they give no more than their word for who asks.
    pub by_name: bool,
    /// Whether it is a connection, and nothing of HTTP is known.
    pub tcp: bool,
    /// The method.
    pub method: String,
    /// `:authority`, or the header `host`.
    pub host: String,
    /// `:path`, as it came.
    pub path: Option<Vec<u8>>,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The name of the route.
    pub route: Option<String>,
    /// The port of the listener.
    pub port: Option<u16>,
    /// The server name of the handshake.
    pub sni: Option<String>,
    /// Where it comes from.
    pub source: Option<IpAddr>,
    /// When it is asked.
    pub now: Timestamp,
}

/// In place of the id of one who has shown no certificate.
pub const ANONYMOUS: &str = "anonymous";

/// What is decided, in the words of logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// `allow` or `deny`.
    pub effect: &'static str,
    /// The reason code.
    pub reason: &'static str,
    /// The rule that decides, if one does.
    pub rule: Option<String>,
    /// The other effect that it would have with the rules in dry run, and the rule.
    pub dry_run: Option<(&'static str, String)>,
}

/// What holds, what does not, and (`None`) what cannot be known.
type Known = Option<bool>;
/// What segments in braces stand for.
pub type Captured = BTreeMap<String, Vec<u8>>;

/// Decides, rule by rule.
pub fn decide(document: &Value, asked: &Asked) -> Answer {
    let hops = match hops(document, asked) {
        Ok(hops) => hops,
        Err(reason) => return Word::deny(reason, None).answer(None),
    };
    let heard = &speaking_of(document, &hops);
    let readings = match readings(document, asked) {
        Ok(readings) => readings,
        Err(reason) => return Word::deny(reason, None).answer(None),
    };
    // Whichever of them the upstream takes, it must be allowed.
    let words: Vec<(Word, Word)> = readings
        .iter()
        .flat_map(|(method, path)| {
            let asked = Asked {
                method: method.clone(),
                ..asked.clone()
            };
            match path {
                Path::None => vec![decide_reading(heard, &asked, None, None)],
                Path::One(path) => vec![decide_reading(heard, &asked, Some(path), None)],
                Path::EncodedSlash(both) => decide_both(heard, &asked, both),
            }
        })
        .collect();
    let is_denied = |word: &Word| word.effect == "deny";
    let (word, with_it) = words.iter().find(|(word, _)| is_denied(word)).unwrap_or(&words[0]);
    let would_be = words
        .iter()
        .map(|(_, would_be)| would_be)
        .find(|would_be| is_denied(would_be));
    let would_be = would_be.unwrap_or(with_it);
    let differs = would_be.effect != word.effect;
    word.answer(differs.then(|| (would_be.effect, would_be.rule.clone().unwrap())))
}

/// The names of the hops that bring a request, where some do, or why nobody may make this one.
fn hops(document: &Value, asked: &Asked) -> Result<Vec<String>, &'static str> {
    let hops = list(document, "hops").unwrap_or_default();
    let means = |hop: &Value, side: &str, id: &str| {
        let patterns = hop.get(side).and_then(Value::as_array);
        patterns
            .into_iter()
            .flatten()
            .any(|pattern| id_matches(pattern.as_str().unwrap(), id).is_some())
    };
    let is_peer = |hop: &Value, id: &str| match hop["peers"].as_str() {
        Some(word) => word == id,
        None => id != ANONYMOUS && means(hop, "peers", id),
    };
    let by = if asked.through == [ANONYMOUS] {
        "jwt_svid"
    } else {
        "xfcc"
    };
    if by == "jwt_svid" && !hops.iter().any(|hop| is_peer(hop, ANONYMOUS)) {
        return Err("connection.no_certificate");
    }
    if asked.through.is_empty() {
        let speaks_for_others = hops.iter().any(|hop| is_peer(hop, &asked.id));
        let is_missing = speaks_for_others && !asked.tcp;
        return if is_missing {
            Err("assertion.missing")
        } else {
            Ok(Vec::new())
        };
    }
    let mut names = Vec::new();
    for (place, through) in asked.through.iter().enumerate() {
        let may = |hop: &&&Value| {
            is_peer(hop, through)
                && hop["assertion"] == by
                && means(hop, "callers", &asked.id)
                && !means(hop, "except", &asked.id)
                && !is_over(hop, asked.now)
        };
        let found: Vec<&&Value> = hops.iter().filter(may).collect();
        let [hop] = &found[..] else {
            return Err("assertion.not_allowed");
        };
        // Of each, how many stand before whoever asks.
        let (said, left) = (
            hop.get("depth").map_or(1, |depth| depth.as_u64().unwrap()),
            asked.through.len() - place,
        );
        match u64::try_from(left).unwrap() {
            left if left > said => return Err("assertion.too_many_hops"),
            left if left < said => return Err("assertion.broken_chain"),
            _ if asked.by_name && hop["evidence"] != "name" => return Err("assertion.missing"),
            _ => names.push(hop["name"].as_str().unwrap().to_owned()),
        }
    }
    Ok(names)
}

/// The document with those rules alone that speak of what comes through these hops, or through nobody: an allow rule
/// where it names them all, a deny rule where it names one.
fn speaking_of(document: &Value, hops: &[String]) -> Value {
    let speaks = |rule: &&Value| match (list(rule, "via"), rule["effect"] == "deny") {
        (Some(via), _) if hops.is_empty() => via.iter().any(|named| *named == "direct"),
        (Some(via), false) => hops.iter().all(|hop| via.contains(&&Value::from(hop.as_str()))),
        (Some(via), true) => hops.iter().any(|hop| via.contains(&&Value::from(hop.as_str()))),
        (None, is_deny) => is_deny || hops.is_empty(),
    };
    let mut document = document.clone();
    let rules: Vec<&Value> = document["rules"].as_array().unwrap().iter().filter(speaks).collect();
    document["rules"] = serde_json::json!(rules);
    document
}

/// What rules say.
#[derive(Clone)]
struct Word {
    effect: &'static str,
    reason: &'static str,
    rule: Option<String>,
}

impl Word {
    fn deny(reason: &'static str, rule: Option<String>) -> Self {
        Self {
            effect: "deny",
            reason,
            rule,
        }
    }

    fn answer(&self, dry_run: Option<(&'static str, String)>) -> Answer {
        Answer {
            effect: self.effect,
            reason: self.reason,
            rule: self.rule.clone(),
            dry_run,
        }
    }
}

/// Whether nothing is known of what the request will carry.
fn is_tunnel(asked: &Asked) -> bool {
    let protocols = asked
        .headers
        .iter()
        .filter(|(name, _)| name == "upgrade" || name == ":protocol");
    let protocols: Vec<String> = protocols.map(|(_, value)| trim(value).to_ascii_lowercase()).collect();
    let is_other = protocols.iter().any(|protocol| protocol != "websocket");
    let is_websocket = !protocols.is_empty() && asked.path.is_some();
    !asked.tcp && (is_other || (asked.method == "CONNECT" && !is_websocket))
}

type Segments = Vec<Vec<u8>>;

#[derive(Clone)]
enum Path {
    None,
    One(Segments),
    /// With encoded slashes as data, and as slashes.
    EncodedSlash([Segments; 2]),
}

/// Every method and path that some upstream may take a request to have; for a connection, none of either.
fn readings(document: &Value, asked: &Asked) -> Result<Vec<(String, Path)>, &'static str> {
    if asked.tcp {
        return Ok(vec![(asked.method.clone(), Path::None)]);
    }
    let read = |path: &[u8]| path_of(path, document["paths"] == "lenient").ok_or("request.ambiguous_path");
    if !is_token(&asked.method) || (!asked.host.is_empty() && host_of(&asked.host).is_none()) {
        return Err("request.malformed");
    }
    let own = match &asked.path {
        None if asked.method == "CONNECT" => Path::None,
        None => return Err("request.malformed"),
        Some(path) if !path.starts_with(b"/") => return Err("request.malformed"),
        Some(path) => match (read(path), both_readings(path)) {
            (Ok(path), _) => Path::One(path),
            (Err(_), Some(both)) if has_encoded_slashes(document, false) => Path::EncodedSlash(both),
            // In force nothing opens any, so whatever else is wrong with it is not looked at.
            (Err(shut), Some(both)) if has_encoded_slashes(document, true) => {
                return all_readings(document, asked, Path::EncodedSlash(both), &read).map_err(|_| shut);
            }
            (Err(shut), _) => return Err(shut),
        },
    };
    all_readings(document, asked, own, &read)
}

fn all_readings(
    document: &Value,
    asked: &Asked,
    own: Path,
    read: &dyn Fn(&[u8]) -> Result<Segments, &'static str>,
) -> Result<Vec<(String, Path)>, &'static str> {
    if is_tunnel(asked) {
        return Ok(vec![(asked.method.clone(), own)]);
    }
    let taken_from = |headers: &'static [&'static str]| {
        let is_one =
            |name: &str| document["overrides"] != "ignore" && headers.iter().any(|header| *header == fold(name));
        let found = asked.headers.iter().filter(move |(name, _)| is_one(name));
        found.map(|(_, value)| value.as_str())
    };
    let methods = taken_from(&["x-http-method-override", "x-http-method", "x-method-override"]);
    let methods = methods.flat_map(|value| value.split(',').map(trim));
    let methods: Vec<&str> = methods.filter(|method| !method.is_empty()).collect();
    let urls = taken_from(&["x-original-url", "x-rewrite-url"]).map(trim);
    let paths = urls.filter(|url| !url.is_empty()).map(|url| match path_of_url(url) {
        Some(path) => read(path.as_bytes()).map(|read| (Path::One(read), Some(path))),
        None => Err("request.ambiguous_path"),
    });
    let mut readings = Vec::new();
    for path in [Ok((own, None))].into_iter().chain(paths) {
        let (path, written) = path?;
        // Who takes the path from a header may keep the query of the other.
        let queries = asked.path.iter().cloned().chain(written.map(String::into_bytes));
        let of_queries = queries.flat_map(|written| methods_in_query(document, &written));
        let methods = methods.iter().map(|method| (*method).to_owned());
        for method in [asked.method.clone()].into_iter().chain(methods).chain(of_queries) {
            if !is_token(&method) {
                return Err("request.malformed");
            }
            readings.push((method, path.clone()));
        }
    }
    Ok(readings)
}

/// What stands under the name `_method`, as PHP reads names; something that is no method where it is escaped.
fn methods_in_query(document: &Value, written: &[u8]) -> Vec<String> {
    let written = String::from_utf8_lossy(written);
    let Some((_, query)) = written.split_once('?').filter(|_| document["overrides"] != "ignore") else {
        return Vec::new();
    };
    let parameters = query
        .split(['&', ';', '?'])
        .filter_map(|parameter| parameter.split_once('='));
    let is_method = |name: &str| {
        let decoded = unescaped(name.replace('+', " ").as_bytes()).unwrap_or_default();
        let decoded = String::from_utf8_lossy(&decoded).into_owned();
        let name = decoded.trim_start().split('\0').next().unwrap().to_owned();
        fold(&name) == "-method"
    };
    let named = parameters.filter(|(name, value)| is_method(name) && !value.is_empty());
    let shown = |value: &str| {
        if value.contains(['%', '+']) {
            String::new()
        } else {
            value.to_owned()
        }
    };
    named.map(|(_, value)| shown(value)).collect()
}

fn path_of_url(url: &str) -> Option<String> {
    if url.starts_with('/') {
        return Some(url.to_owned());
    }
    let (scheme, rest) = url.split_once("://")?;
    let is_web = ["http", "https"].contains(&scheme.to_ascii_lowercase().as_str());
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    match &rest[end..] {
        path if path.starts_with('/') && is_web => Some(path.to_owned()),
        "" if is_web => Some("/".to_owned()),
        query if query.starts_with('?') && is_web => Some("/".to_owned()),
        _ => None,
    }
}

/// Whether any entry of a rule in force, or in a dry run, reads encoded slashes.
fn has_encoded_slashes(document: &Value, dry_run: bool) -> bool {
    let mut rules = document["rules"].as_array().unwrap().iter();
    let has = |rule: &Value| list(rule, "to").is_some_and(|to| to.iter().any(|entry| entry["encoded_slashes"] == true));
    rules.any(|rule| has(rule) && (rule["dry_run"] == true) == dry_run)
}

/// Both must be allowed, and all that could allow one of them must say that it reads encoded slashes.
fn decide_both(document: &Value, asked: &Asked, both: &[Segments; 2]) -> Vec<(Word, Word)> {
    let rules = document["rules"].as_array().unwrap();
    let first = |entries: Entries, dry_runs: &[bool], over_too: bool| {
        let found = rules.iter().find(|rule| {
            rule["effect"] == "allow"
                && dry_runs.contains(&(rule["dry_run"] == true))
                && (over_too || !is_over(rule, asked.now))
                && both.iter().any(|path| matches(rule, asked, Some(path), entries))
        });
        found.map(|rule| rule["name"].as_str().unwrap().to_owned())
    };
    let shut = |dry_runs: &[bool]| {
        let strict = first(Entries::Strict, &dry_runs[..1], false);
        let strict = strict.or_else(|| first(Entries::Strict, dry_runs, false));
        let open = first(Entries::EncodedSlashes, &dry_runs[..1], true);
        match open.or_else(|| first(Entries::EncodedSlashes, dry_runs, false)) {
            Some(_) => strict.map(|rule| Word::deny("request.ambiguous_path", Some(rule))),
            None => Some(Word::deny("request.ambiguous_path", None)),
        }
    };
    let (in_force, with_dry_run) = (shut(&[false]), shut(&[false, true]));
    let words = both.iter().map(|path| {
        let (word, would_be) = decide_reading(document, asked, Some(path), Some(Entries::EncodedSlashes));
        (
            in_force.clone().unwrap_or(word),
            with_dry_run.clone().unwrap_or(would_be),
        )
    });
    words.collect()
}

/// What the rules say, and what they would say with those that are in a dry run. `entries` are those of allow rules.
fn decide_reading(
    document: &Value,
    asked: &Asked,
    segments: Option<&[Vec<u8>]>,
    entries: Option<Entries>,
) -> (Word, Word) {
    let rules: Vec<&Value> = document["rules"].as_array().unwrap().iter().collect();
    let first = |effect: &str, dry_run: bool, over: bool| {
        let entries = entries.filter(|_| effect == "allow").unwrap_or(Entries::All);
        let mut found = rules.iter().filter(|rule| {
            rule["effect"] == effect
                && (rule["dry_run"] == true) == dry_run
                && is_over(rule, asked.now) == over
                && matches(rule, asked, segments, entries)
        });
        found.next().map(|rule| rule["name"].as_str().unwrap().to_owned())
    };
    let expired = first("allow", false, true);
    // A deny that matches wins over any allow; no allow, no access.
    let word = |deny: &Option<String>, allow: &Option<String>| match (deny, allow, &expired) {
        (Some(_), _, _) => Word::deny("rule.denied", deny.clone()),
        (None, Some(_), _) => Word {
            effect: "allow",
            reason: "rule.allowed",
            rule: allow.clone(),
        },
        (None, None, Some(_)) => Word::deny("rule.expired", expired.clone()),
        (None, None, None) => Word::deny("rule.none_matched", None),
    };
    let (deny, allow) = (first("deny", false, false), first("allow", false, false));
    let (would_deny, would_allow) = (first("deny", true, false), first("allow", true, false));
    let would_be = word(&deny.clone().or(would_deny), &allow.clone().or(would_allow));
    (word(&deny, &allow), would_be)
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

/// Which entries of `to` are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Entries {
    All,
    /// Those that read encoded slashes.
    EncodedSlashes,
    /// Those that do not. Of what is inside a tunnel, none does.
    Strict,
}

/// An allow rule is about who asks; a deny rule about whoever is on the way, each by itself.
fn matches(rule: &Value, asked: &Asked, path: Option<&[Vec<u8>]>, entries: Entries) -> bool {
    let through = asked.through.iter().filter(|_| rule["effect"] == "deny");
    let mut ids = [&asked.id].into_iter().chain(through.filter(|id| *id != ANONYMOUS));
    ids.any(|id| matches_as(id, rule, asked, path, entries))
}

fn matches_as(id: &str, rule: &Value, asked: &Asked, path: Option<&[Vec<u8>]>, entries: Entries) -> bool {
    let ids = |name| {
        list(rule, name)
            .unwrap_or_default()
            .into_iter()
            .map(|pattern| pattern.as_str().unwrap())
    };
    if ids("except").any(|pattern| id_matches(pattern, id).is_some()) {
        return false;
    }
    let nothing = serde_json::json!({});
    let mut targets = list(rule, "to").unwrap_or_else(|| vec![&nothing]);
    targets.retain(
        |target| match (entries, target["encoded_slashes"] == true && !is_tunnel(asked)) {
            (Entries::All, _) => true,
            (Entries::EncodedSlashes, reads) => reads,
            (Entries::Strict, reads) => !reads,
        },
    );
    ids("from")
        .filter_map(|pattern| id_matches(pattern, id))
        .any(|captured| {
            targets.iter().any(|target| {
                let path_matches = match list(target, "paths") {
                    None => true,
                    // Whatever path is asked for inside.
                    Some(_) if asked.tcp || is_tunnel(asked) => rule["effect"] == "deny",
                    Some(patterns) => path.is_some_and(|path| {
                        patterns
                            .iter()
                            .any(|pattern| path_matches(pattern.as_str().unwrap(), path, &captured))
                    }),
                };
                let holds = all(demands(target, asked).into_iter().chain(when(&rule["when"], asked)));
                // What cannot be known never helps the caller.
                path_matches && holds.unwrap_or(rule["effect"] == "deny" || entries == Entries::Strict)
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

/// Whether a pattern means this id, and what its braces stand for then.
pub fn id_matches(pattern: &str, id: &str) -> Option<Captured> {
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

/// The segments of a path whose encoded slashes are all that is ambiguous: with them as data, and as slashes.
fn both_readings(path: &[u8]) -> Option<[Segments; 2]> {
    let end = path.iter().position(|byte| *byte == b'?').unwrap_or(path.len());
    let text = std::str::from_utf8(&path[..end]).ok()?;
    let plain = text.replace("%2F", "/").replace("%2f", "/");
    let split = path_of(plain.as_bytes(), false)?;
    let text = text.strip_suffix('/').unwrap_or(text);
    if text.to_ascii_lowercase().ends_with("%2f") {
        return None;
    }
    let kept = text.split('/').skip(1).map(|segment| unescaped(segment.as_bytes()));
    Some([kept.collect::<Option<_>>()?, split])
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
    let (below, pattern) = match pattern.strip_prefix("**.") {
        Some(pattern) => (true, pattern),
        None => (false, pattern),
    };
    let (Some(pattern), Some(host)) = (host_of(&pattern.replace('*', "any-label")), host_of(host)) else {
        return false;
    };
    let (pattern, host): (Vec<&str>, Vec<&str>) = (pattern.split('.').collect(), host.split('.').collect());
    let fits = if below {
        pattern.len() < host.len()
    } else {
        pattern.len() == host.len()
    };
    let mut labels = pattern.iter().rev().zip(host.iter().rev());
    fits && labels.all(|(label, found)| *label == "any-label" || label == found)
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
    let inside_too = |outside: Known| match outside {
        Some(false) if is_tunnel(asked) => None,
        known => known,
    };
    let method_of_a_tunnel = || {
        let named = texts("methods").is_some_and(|methods: Vec<&str>| methods.contains(&"CONNECT"));
        named.then_some(true)
    };
    let sni = asked.sni.as_deref().filter(|sni| !sni.contains(':'));
    let ports = list(target, "ports");
    vec![
        if is_tunnel(asked) {
            method_of_a_tunnel()
        } else {
            one_of(texts("methods"), &|wanted| {
                if asked.tcp { None } else { method(wanted) }
            })
        },
        inside_too(one_of(texts("hosts"), &|wanted| {
            host((!asked.tcp).then_some(&asked.host), wanted)
        })),
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

/// A name as an upstream reads it that makes a variable of it.
fn fold(name: &str) -> String {
    let fold = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    // A byte of a letter that is none of ASCII is as good as any other.
    name.bytes().map(char::from).map(fold).collect()
}

/// A value as an upstream reads it that takes outer white space off.
fn trim(value: &str) -> &str {
    value.trim_matches(|c: char| c.is_whitespace() || c.is_control())
}

/// Met when every value meets it in every reading, not met when none does in any, and otherwise unknown. A line may be
/// a list, lines may become one, and what is said under another name that folds to the same may be said or not.
fn header(wanted: &Value, asked: &Asked) -> Known {
    if asked.tcp || is_tunnel(asked) {
        return None;
    }
    let name = wanted["name"].as_str().unwrap();
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
    let separators: &[char] = if name.eq_ignore_ascii_case("cookie") {
        &[',', ';']
    } else {
        &[',']
    };
    let lines = asked.headers.iter().filter(|(known, _)| fold(known) == fold(name));
    let mut known: Vec<bool> = Vec::new();
    for (spelled, value) in lines.clone() {
        let whole = [meets(value), meets(trim(value))];
        known.extend(whole);
        if whole == [false, false] {
            let entries = value.split(separators).filter(|entry| !trim(entry).is_empty());
            known.extend(entries.flat_map(|entry| [meets(entry), meets(trim(entry))]));
        }
        if !spelled.eq_ignore_ascii_case(name) {
            known.push(false);
        }
    }
    let all: Vec<&str> = lines.clone().map(|(_, value)| value.as_str()).collect();
    let named = lines.filter(|(spelled, _)| spelled.eq_ignore_ascii_case(name));
    let named: Vec<&str> = named.map(|(_, value)| value.as_str()).collect();
    let joined = |lines: &Vec<&str>| {
        let trimmed: Vec<&str> = lines.iter().map(|line| trim(line)).collect();
        let meets_joined = |lines: &[&str]| {
            let mut separators = separators.iter().flat_map(|c| [format!("{c}"), format!("{c} ")]);
            separators.any(|separator| meets(&lines.join(&separator)))
        };
        lines.len() > 1 && (meets_joined(lines) || meets_joined(&trimmed))
    };
    match (known.contains(&true), known.contains(&false)) {
        (true, false) => Some(true),
        (true, true) => None,
        // Lines may be joined on the way.
        (false, _) if joined(&all) || joined(&named) => None,
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
