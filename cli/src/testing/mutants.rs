//! Would the tests notice? Documents that differ from a good one by one change that somebody could make by mistake.

use serde_json::{Map, Value, json};

/// One change of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Mutant {
    /// The place in the document: `rules[3].to[0].methods`.
    pub place: String,
    /// What was done there.
    pub change: String,
    /// In which list.
    list: &'static str,
    /// The entry, by its place, and what becomes of it; `None` where it is taken out.
    entry: (usize, Option<Value>),
}

impl Mutant {
    /// The document with it.
    pub fn document(self, of: &Value) -> Value {
        let (place, entry) = self.entry;
        let mut document = with_entry(of, self.list, place, entry);
        keep_hops(&mut document);
        document
    }
}

/// Every mutant of a document, rule by rule, and then hop by hop.
pub fn mutants(document: &Value) -> impl Iterator<Item = Mutant> + '_ {
    let lists: [(&str, Changes); 2] = [("rules", changes), ("hops", changes_of_hop)];
    lists.into_iter().flat_map(move |(list, changes)| {
        let entries = document.get(list).and_then(Value::as_array);
        let entries = entries.into_iter().flatten().enumerate();
        entries.flat_map(move |(place, entry)| {
            let changes = changes(entry).into_iter();
            changes.map(move |Change { below, change, entry }| Mutant {
                place: format!("{list}[{place}]{below}"),
                change,
                list,
                entry: (place, entry),
            })
        })
    })
}

/// A hop that no rule names is a mistake, and a mutant with it none that anybody could load: that would hide what is lost
/// with the last rule that names one. So each has a rule beside that names all of them and says nothing.
fn keep_hops(document: &mut Value) {
    let hops = document.get("hops").and_then(Value::as_array).into_iter().flatten();
    let names: Vec<Value> = hops.filter_map(|hop| hop.get("name")).cloned().collect();
    let Some(rules) = document.get_mut("rules").and_then(Value::as_array_mut) else {
        return;
    };
    if names.is_empty() {
        return;
    }
    let is_taken = |rules: &[Value], name: &str| {
        let mut names = rules.iter().filter_map(|rule| rule.get("name")?.as_str());
        names.any(|known| known == name)
    };
    let free = (0_usize..).map(|number| format!("keeps-hops-{number}"));
    let name = free.into_iter().find(|name| !is_taken(rules, name)).unwrap_or_default();
    rules.push(json!({
        "name": name, "effect": "allow", "from": ["spiffe://*/**"], "via": names,
        "expires": "1970-01-01T00:00:00Z", "dry_run": true,
    }));
}

/// All changes of one entry.
type Changes = fn(&Value) -> Vec<Change>;

/// What becomes of an entry; `None` where it is taken out.
struct Change {
    /// The place below the entry.
    below: String,
    change: String,
    entry: Option<Value>,
}

fn with_entry(document: &Value, list: &str, place: usize, entry: Option<Value>) -> Value {
    let mut document = document.clone();
    if let Some(entries) = document.get_mut(list).and_then(Value::as_array_mut) {
        match (entry, entries.get_mut(place)) {
            (Some(entry), Some(there)) => *there = entry,
            (None, Some(_)) => {
                entries.remove(place);
            }
            (_, None) => {}
        }
    }
    document
}

fn changes(rule: &Value) -> Vec<Change> {
    let mut all = vec![Change {
        below: String::new(),
        change: "the rule is taken out".to_owned(),
        entry: None,
    }];
    let Some(members) = rule.as_object() else { return all };
    let mut add = |below: String, change: &str, rule: Map<String, Value>| {
        all.push(Change {
            below,
            change: change.to_owned(),
            entry: Some(Value::Object(rule)),
        });
    };
    let with = |name: &str, value: Value| {
        let mut members = members.clone();
        members.insert(name.to_owned(), value);
        members
    };
    let without = |name: &str| {
        let mut members = members.clone();
        members.remove(name);
        members
    };
    match members.get("effect").and_then(Value::as_str) {
        Some("allow") => add(
            ".effect".to_owned(),
            "allow becomes deny",
            with("effect", "deny".into()),
        ),
        Some("deny") => add(
            ".effect".to_owned(),
            "deny becomes allow",
            with("effect", "allow".into()),
        ),
        Some(_) | None => {}
    }
    for name in ["from", "except"] {
        for (place, list) in shorter(members.get(name)) {
            let rest = if list.is_empty() {
                without(name)
            } else {
                with(name, Value::Array(list))
            };
            // A rule without `from` is no rule.
            if name == "except" || rest.contains_key(name) {
                add(format!(".{name}[{place}]"), "the pattern is taken out", rest);
            }
        }
    }
    for (place, wider) in widened(members.get("from")) {
        add(
            format!(".from[{place}]"),
            "the pattern is widened by a segment",
            with("from", wider),
        );
    }
    let widened_via = |name: &str| {
        let via = members.get("via").and_then(Value::as_array)?;
        let is_there = via.iter().any(|known| known.as_str() == Some(name));
        (!is_there).then(|| via.iter().cloned().chain([name.into()]).collect())
    };
    for (place, list) in shorter(members.get("via")) {
        // Without it, an allow rule speaks of the direct way, and a deny rule of each.
        let (change, rest) = if list.is_empty() {
            ("`via` is taken out", without("via"))
        } else {
            ("the hop is taken out", with("via", Value::Array(list)))
        };
        add(format!(".via[{place}]"), change, rest);
    }
    if let Some(via) = widened_via("direct") {
        add(".via".to_owned(), "`direct` is added", with("via", Value::Array(via)));
    }
    if members.contains_key("expires") {
        add(".expires".to_owned(), "the end is taken out", without("expires"));
    }
    for (below, change, when) in of_when(members.get("when")) {
        let rest = match when {
            Some(when) => with("when", Value::Object(when)),
            None => without("when"),
        };
        add(format!(".when{below}"), change, rest);
    }
    for (below, change, to) in of_to(members.get("to")) {
        let rest = match to {
            Some(to) => with("to", Value::Array(to)),
            None => without("to"),
        };
        add(format!(".to{below}"), change, rest);
    }
    all
}

/// Whom a hop brings, and who it is: some more, and some less. Without it, its rules say what they say of nobody.
fn changes_of_hop(hop: &Value) -> Vec<Change> {
    let Some(members) = hop.as_object() else {
        return Vec::new();
    };
    let with = |name: &str, value: Option<Value>| {
        let mut members = members.clone();
        match value {
            Some(value) => members.insert(name.to_owned(), value),
            None => members.remove(name),
        };
        Some(Value::Object(members))
    };
    let mut all = Vec::new();
    let mut add = |below: String, change: &str, entry| {
        let change = change.to_owned();
        all.push(Change { below, change, entry });
    };
    for name in ["peers", "callers", "except"] {
        for (place, list) in shorter(members.get(name)) {
            // Of the others an empty list is a mistake.
            if name == "except" || !list.is_empty() {
                let list = (!list.is_empty()).then_some(Value::Array(list));
                add(
                    format!(".{name}[{place}]"),
                    "the pattern is taken out",
                    with(name, list),
                );
            }
        }
    }
    for (place, wider) in widened(members.get("callers")) {
        let below = format!(".callers[{place}]");
        add(
            below,
            "the pattern is widened by a segment",
            with("callers", Some(wider)),
        );
    }
    if members.contains_key("expires") {
        add(".expires".to_owned(), "the end is taken out", with("expires", None));
    }
    all
}

/// A list without one of its entries, for each.
fn shorter(list: Option<&Value>) -> Vec<(usize, Vec<Value>)> {
    let Some(list) = list.and_then(Value::as_array) else {
        return Vec::new();
    };
    let without = |place: usize| {
        let entries = list.iter().enumerate();
        entries
            .filter(|(other, _)| *other != place)
            .map(|(_, entry)| entry.clone())
            .collect()
    };
    (0..list.len()).map(|place| (place, without(place))).collect()
}

/// A list in which one pattern ends a segment earlier, in `**`, for each.
fn widened(list: Option<&Value>) -> Vec<(usize, Value)> {
    let Some(list) = list.and_then(Value::as_array) else {
        return Vec::new();
    };
    let wider = |pattern: &Value| {
        let pattern = pattern.as_str()?;
        let (scheme, path) = match pattern.strip_prefix("spiffe://") {
            Some(rest) => ("spiffe://", rest),
            None => ("", pattern),
        };
        let path = path.strip_suffix("/**").unwrap_or(path);
        let (parent, _) = path.rsplit_once('/')?;
        Some(Value::String(format!("{scheme}{parent}/**")))
    };
    let places = list.iter().enumerate();
    let places = places.filter_map(|(place, pattern)| Some((place, wider(pattern)?)));
    places
        .map(|(place, wider)| {
            let mut list = list.clone();
            if let Some(there) = list.get_mut(place) {
                *there = wider;
            }
            (place, Value::Array(list))
        })
        .collect()
}

type Changed<T> = Vec<(String, &'static str, Option<T>)>;

fn of_when(when: Option<&Value>) -> Changed<Map<String, Value>> {
    let mut all = Vec::new();
    let Some(when) = when.and_then(Value::as_object) else {
        return all;
    };
    for (name, value) in when {
        let lists_many = matches!(name.as_str(), "headers" | "not_headers");
        let mut without = when.clone();
        without.remove(name);
        let entries = shorter(Some(value));
        if lists_many && entries.len() > 1 {
            for (place, list) in entries {
                let mut rest = when.clone();
                rest.insert(name.clone(), Value::Array(list));
                all.push((format!(".{name}[{place}]"), "the condition is taken out", Some(rest)));
            }
        } else {
            let rest = (!without.is_empty()).then_some(without);
            all.push((format!(".{name}"), "the condition is taken out", rest));
        }
    }
    all
}

fn of_to(to: Option<&Value>) -> Changed<Vec<Value>> {
    let mut all = Vec::new();
    let Some(entries) = to.and_then(Value::as_array) else {
        return all;
    };
    if entries.len() > 1 {
        for (place, rest) in shorter(to) {
            all.push((format!("[{place}]"), "the entry is taken out", Some(rest)));
        }
    }
    for (place, entry) in entries.iter().enumerate() {
        let Some(members) = entry.as_object() else { continue };
        let replaced = |members: Map<String, Value>| {
            let mut entries = entries.clone();
            if let Some(there) = entries.get_mut(place) {
                *there = Value::Object(members);
            }
            entries
        };
        for (name, value) in members {
            let mut without = members.clone();
            without.remove(name);
            let demands = without.keys().any(|name| name != "encoded_slashes");
            let taken_out = match (demands, entries.len()) {
                (true, _) => Some(Some(replaced(without))),
                // An entry that demands nothing is everything, which is written without `to`.
                (false, 1) => Some(None),
                (false, _) => None,
            };
            if let Some(rest) = taken_out {
                all.push((format!("[{place}].{name}"), "the demand is taken out", rest));
            }
            let shorter = shorter(Some(value));
            if shorter.len() > 1 {
                for (entry, list) in shorter {
                    let mut members = members.clone();
                    members.insert(name.clone(), Value::Array(list));
                    all.push((
                        format!("[{place}].{name}[{entry}]"),
                        "it is taken out of the list",
                        Some(replaced(members)),
                    ));
                }
            }
            if name == "paths" {
                for (entry, wider) in widened(Some(value)) {
                    let mut members = members.clone();
                    members.insert(name.clone(), wider);
                    all.push((
                        format!("[{place}].{name}[{entry}]"),
                        "the path is widened by a segment",
                        Some(replaced(members)),
                    ));
                }
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes_of(rule: Value) -> Vec<(String, Option<Value>)> {
        let document = json!({ "rules": [rule] });
        let changed = |mutant: Mutant| {
            let told = format!("{}: {}", mutant.place, mutant.change);
            let rule = mutant.document(&document)["rules"].get(0).cloned();
            (told, rule)
        };
        mutants(&document).map(changed).collect()
    }

    #[test]
    fn each_part_of_a_rule_is_taken_out_or_widened() {
        let rule = json!({
            "name": "r", "effect": "deny",
            "from": ["spiffe://a/b/c", "spiffe://a/**"],
            "except": ["spiffe://a/x"],
            "to": [ { "methods": ["GET", "HEAD"], "paths": ["/a/b"] } ],
            "when": { "headers": [ { "name": "h", "present": true } ] },
        });
        let all: Vec<String> = changes_of(rule).into_iter().map(|(what, _)| what).collect();
        assert_eq!(
            all,
            [
                "rules[0]: the rule is taken out",
                "rules[0].effect: deny becomes allow",
                "rules[0].from[0]: the pattern is taken out",
                "rules[0].from[1]: the pattern is taken out",
                "rules[0].except[0]: the pattern is taken out",
                "rules[0].from[0]: the pattern is widened by a segment",
                "rules[0].when.headers: the condition is taken out",
                "rules[0].to[0].methods: the demand is taken out",
                "rules[0].to[0].methods[0]: it is taken out of the list",
                "rules[0].to[0].methods[1]: it is taken out of the list",
                "rules[0].to[0].paths: the demand is taken out",
                "rules[0].to[0].paths[0]: the path is widened by a segment",
            ]
        );
    }

    #[test]
    fn hops_bring_others_and_every_mutant_names_them() {
        let document = json!({
            "rules": [{ "name": "keeps-hops-0", "effect": "allow", "from": ["spiffe://a/**"], "via": ["edge"] }],
            "hops": [{ "name": "edge", "peers": ["spiffe://a/e"], "callers": ["spiffe://a/b/c", "spiffe://a/d"],
                       "except": ["spiffe://a/x"], "expires": "2027-01-01T00:00:00Z" }],
        });
        let of_hops = mutants(&document).filter(|mutant| mutant.list == "hops");
        let all: Vec<String> = of_hops
            .map(|mutant| format!("{}: {}", mutant.place, mutant.change))
            .collect();
        assert_eq!(
            all,
            [
                "hops[0].callers[0]: the pattern is taken out",
                "hops[0].callers[1]: the pattern is taken out",
                "hops[0].except[0]: the pattern is taken out",
                "hops[0].callers[0]: the pattern is widened by a segment",
                "hops[0].callers[1]: the pattern is widened by a segment",
                "hops[0].expires: the end is taken out",
            ]
        );
        for mutant in mutants(&document) {
            let document = mutant.document(&document);
            let last = document["rules"].as_array().unwrap().last().unwrap().clone();
            assert_eq!(
                (&last["via"], &last["dry_run"]),
                (&json!(["edge"]), &json!(true)),
                "{document}"
            );
            let names: Vec<&Value> = document["rules"]
                .as_array()
                .unwrap()
                .iter()
                .map(|rule| &rule["name"])
                .collect();
            assert_eq!(
                names.iter().filter(|name| **name == &last["name"]).count(),
                1,
                "{document}"
            );
        }
    }

    #[test]
    fn what_is_left_is_what_was_meant() {
        let rule = json!({ "effect": "allow", "from": ["spiffe://a/b"], "to": [ { "paths": ["/a/**"] } ] });
        let found = |what: &str| {
            let all = changes_of(rule.clone());
            all.into_iter().find(|(changed, _)| changed == what).unwrap().1
        };
        assert_eq!(found("rules[0]: the rule is taken out"), None);
        let without = found("rules[0].to[0].paths: the demand is taken out").unwrap();
        assert_eq!(without, json!({ "effect": "allow", "from": ["spiffe://a/b"] }));
        let wider = found("rules[0].to[0].paths[0]: the path is widened by a segment").unwrap();
        assert_eq!(wider["to"], json!([ { "paths": ["/**"] } ]));
    }
}
