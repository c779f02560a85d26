//! Documents and requests made of an input, over the alphabets of the tests' generator, small so that things match.
//!
//! That generator itself wants dice that never end. Here each byte chooses one thing, so that a fuzzer can change one.

use arbitrary::{Result, Unstructured};
use reference::evaluator::Asked;
use serde_json::{Map, Value, json};

const MAX_RULES: usize = 6;
const MAX_REQUESTS: usize = 6;
const TIMES: &[&str] = &[
    "2026-11-23T12:00:00Z",
    "2026-11-23T11:59:59Z",
    "2026-11-23T12:00:01Z",
    "2026-11-29T23:59:59Z",
    "2027-06-01T00:00:00Z",
];

/// Chooses; of an input that is used up, always the first.
pub(crate) struct Dice<'a, 'b>(pub(crate) &'b mut Unstructured<'a>);

impl Dice<'_, '_> {
    fn one<T: Copy>(&mut self, list: &[T]) -> Result<T> {
        self.0.choose(list).copied()
    }

    /// Whether one in `many` came.
    fn rarely(&mut self, many: u8) -> Result<bool> {
        Ok(self.0.int_in_range(0..=many - 1)? == many - 1)
    }

    fn some<T>(&mut self, many: u8, draw: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        self.rarely(many)?.then(|| draw(self)).transpose()
    }

    fn list<T>(&mut self, most: usize, mut draw: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let length = self.0.int_in_range(1..=most)?;
        (0..length).map(|_| draw(self)).collect()
    }

    pub(crate) fn document(&mut self) -> Result<Value> {
        let (tcp, lenient) = (self.rarely(6)?, self.rarely(3)?);
        let mut rules = self.list(MAX_RULES, |dice| dice.rule(tcp, lenient))?;
        for (place, rule) in rules.iter_mut().enumerate() {
            rule["name"] = json!(format!("r{place}"));
        }
        let mut document = json!({
            "trust_domain": "td",
            "listener": if tcp { "tcp" } else { "http" },
            "paths": if lenient { "lenient" } else { "strict" },
            "overrides": self.one(&["read", "ignore"])?,
            "federation": [{ "trust_domain": "fd", "scope": ["/a/**", "/b/**"] }],
            "rules": rules,
        });
        let (member, value) = if self.rarely(5)? {
            (
                "peer",
                json!({ "filter_state": { "id": "outer.id", "trust_domains": ["fd"] } }),
            )
        } else {
            ("chain", json!("proxy"))
        };
        document[member] = value;
        Ok(document)
    }

    fn rule(&mut self, tcp: bool, lenient: bool) -> Result<Value> {
        // One shape of a rule for all its patterns, so that captures meet; those that do not are left out later.
        let captures = !tcp && self.rarely(3)?;
        let effect = self.one(&["allow", "deny"])?;
        object([
            ("effect", Some(json!(effect))),
            ("from", Some(json!(self.list(2, |dice| dice.id_pattern(captures))?))),
            (
                "except",
                self.some(4, |dice| dice.list(2, |dice| dice.id_pattern(false)))?
                    .map(Value::from),
            ),
            ("to", {
                let to = self.to(tcp, lenient, captures)?;
                if effect == "allow" && !tcp && !lenient && self.rarely(3)? {
                    Some(self.reading_encoded_slashes(to)?)
                } else {
                    to
                }
            }),
            ("when", self.some(3, |dice| dice.when(tcp))?),
            ("dry_run", self.rarely(5)?.then_some(json!(true))),
            ("expires", self.some(4, |dice| dice.one(TIMES))?.map(Value::from)),
        ])
    }

    fn segments(&mut self, alphabet: &[&str], captures: bool) -> Result<String> {
        let mut list = self.list(3, |dice| dice.one(alphabet))?;
        if captures {
            let place = self.0.int_in_range(0..=list.len() - 1)?;
            list[place] = "{x}";
        }
        list.extend(self.rarely(3)?.then_some("**"));
        Ok(list.iter().map(|segment| format!("/{segment}")).collect())
    }

    fn id_pattern(&mut self, captures: bool) -> Result<String> {
        let trust_domain = self.one(&["td", "fd", "*"])?;
        Ok(format!(
            "spiffe://{trust_domain}{}",
            self.segments(&["a", "b", "c", "*"], captures)?
        ))
    }

    fn to(&mut self, tcp: bool, lenient: bool, captures: bool) -> Result<Option<Value>> {
        if !captures && self.rarely(4)? {
            return Ok(None);
        }
        let strict = ["a", "b", "c", "%61", "*"];
        let more = ["a;b", "a%2fb", "%2561", "a", "*"];
        let alphabet = if lenient && self.rarely(2)? { more } else { strict };
        let target = |dice: &mut Self| {
            let few = |dice: &mut Self, http: bool, list: &[&str]| {
                Ok::<_, arbitrary::Error>(
                    dice.some(5, |dice| dice.list(2, |dice| dice.one(list)))?
                        .filter(|_| !http || !tcp)
                        .map(Value::from),
                )
            };
            let paths = (captures || !dice.rarely(3)?) && !tcp;
            object([
                (
                    "paths",
                    Some(json!(dice.list(2, |dice| dice.segments(&alphabet, captures))?)).filter(|_| paths),
                ),
                ("methods", few(dice, true, &["GET", "POST", "CONNECT"])?),
                ("hosts", few(dice, true, &["a.x", "*.x", "**.x", "[::1]", "B.x"])?),
                ("routes", few(dice, true, &["r1", "r2"])?),
                ("sni", few(dice, false, &["a.x", "*.x", "**.x"])?),
                (
                    "ports",
                    dice.some(5, |dice| dice.one(&[80, 443]))?.map(|port| json!([port])),
                ),
            ])
        };
        Ok(Some(json!(self.list(2, target)?)))
    }

    /// Has the first entry of `to` read encoded slashes.
    fn reading_encoded_slashes(&mut self, to: Option<Value>) -> Result<Value> {
        let mut to = to.unwrap_or_else(|| json!([{}]));
        let entry = &mut to[0];
        entry["encoded_slashes"] = json!(true);
        if entry.get("routes").is_none() {
            entry["routes"] = json!([self.one(&["r1", "r2"])?]);
        }
        if let Some(Value::Array(paths)) = entry.get_mut("paths") {
            let more = ["/**", "/a%2Fb", "/*/**", "/a/b", "/b%2Fa/**"];
            paths.extend(self.list(2, |dice| dice.one(&more))?.into_iter().map(Value::from));
        }
        Ok(to)
    }

    fn when(&mut self, tcp: bool) -> Result<Value> {
        let headers = |dice: &mut Self| {
            dice.list(2, |dice| {
                let (test, value) = match dice.0.int_in_range(0..=2)? {
                    0 => ("is", json!(dice.one(&["a", "b", "v1", ""])?)),
                    1 => ("matches", json!(dice.one(&["a|b", "v[0-9]+", "a.*"])?)),
                    _ => ("present", json!(true)),
                };
                Ok(json!({ "name": dice.one(&["h", "K", "x-h", "cookie"])?, test: value }))
            })
        };
        let nets = |dice: &mut Self| {
            let nets = [
                "10.0.0.0/8",
                "10.1.0.0/16",
                "::ffff:10.1.0.0/112",
                "2001:db8::/32",
                "::/0",
                "0.0.0.0/0",
                "10.1.1.1",
            ];
            dice.list(2, |dice| dice.one(&nets))
        };
        let windows = |dice: &mut Self| {
            dice.list(2, |dice| {
                let minutes = ["00:00", "11:59", "12:00", "12:01", "18:00", "23:59", "24:00"];
                object([
                    (
                        "days",
                        dice.some(2, |dice| dice.one(&["mon", "tue", "sun"]))?
                            .map(|day| json!([day])),
                    ),
                    ("from", dice.some(2, |dice| dice.one(&minutes))?.map(Value::from)),
                    ("until", dice.some(2, |dice| dice.one(&minutes))?.map(Value::from)),
                ])
            })
        };
        object([
            ("headers", self.some(3, headers)?.filter(|_| !tcp).map(Value::from)),
            ("not_headers", self.some(3, headers)?.filter(|_| !tcp).map(Value::from)),
            ("source_ips", self.some(4, nets)?.map(Value::from)),
            ("not_source_ips", self.some(4, nets)?.map(Value::from)),
            ("time", self.some(4, windows)?.map(Value::from)),
            ("not_time", self.some(4, windows)?.map(Value::from)),
        ])
    }

    pub(crate) fn requests(&mut self, tcp: bool) -> Result<Vec<Asked>> {
        self.list(MAX_REQUESTS, |dice| dice.asked(tcp))
    }

    fn asked(&mut self, tcp: bool) -> Result<Asked> {
        let trust_domain = self.one(&["td", "fd"])?;
        let id: String = self.list(3, |dice| dice.one(&["/a", "/b", "/c"]))?.concat();
        let path: String = self
            .list(4, |dice| {
                dice.one(&["/a", "/b", "/c", "/%61", "/", "?q", "%2Fb", "%2fa"])
            })?
            .concat();
        let values = ["a", "b", "v1", "v", "", "a, b", "c,v1", "b ,", " a", "b\t", "a; b"];
        let methods = ["GET", "POST", "put", " GET ", "GET, POST", "", "G T", "CONNECT"];
        let urls = ["/a/b", "/b", "http://a.x/a", "HTTPS://b.x?/a", "a", "/a/../b"];
        let header = |dice: &mut Self| {
            let (names, values): (&[&str], &[&str]) = match dice.0.int_in_range(0..=8)? {
                8 => (
                    &["upgrade", ":protocol"],
                    &["websocket", "WebSocket ", "connect-udp", "h2c"],
                ),
                6 => (
                    &["x-http-method-override", "X_HTTP_Method", "x-method-override"],
                    &methods,
                ),
                7 => (&["x-original-url", "x_rewrite_url"], &urls),
                _ => (&["h", "H", "k", "x-h", "X_H", "x.h", "cookie"], &values),
            };
            Ok((dice.one(names)?.to_owned(), dice.one(values)?.to_owned()))
        };
        Ok(Asked {
            id: format!("spiffe://{trust_domain}{id}"),
            through: Vec::new(),
            by_name: false,
            tcp,
            method: self.one(&["GET", "POST", "get", "CONNECT"])?.to_owned(),
            host: self
                .one(&["a.x", "A.X:80", "b.x", "a.b.x", "[::1]:80", "[0::1]", "x", ""])?
                .to_owned(),
            path: (!self.rarely(8)?).then(|| path.into_bytes()),
            headers: self.some(2, |dice| dice.list(3, header))?.unwrap_or_default(),
            route: self.some(2, |dice| dice.one(&["r1", "r2", ""]))?.map(str::to_owned),
            port: self.some(2, |dice| dice.one(&[80, 443, 1]))?,
            sni: self
                .some(2, |dice| dice.one(&["a.x", "A.X.", "y", ""]))?
                .map(str::to_owned),
            source: self
                .some(2, |dice| {
                    dice.one(&["10.1.1.1", "10.2.0.1", "::ffff:10.1.1.1", "2001:db8::1", "::10.1.1.1"])
                })?
                .and_then(|address| address.parse().ok()),
            now: self.one(TIMES)?.parse().expect("it is a time"),
        })
    }
}

/// An object of the members that there are.
fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Result<Value> {
    let there = members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Ok(Value::Object(there.collect::<Map<_, _>>()))
}
