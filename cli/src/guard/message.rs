//! What stands in a message of protobuf that is written as JSON or YAML?
//!
//! A member may have its own name or that in lower camel case, as protobuf's JSON has it; Envoy takes both. What has another
//! type than it should is [`Unread`] and never taken for what is not there: a `disabled` that cannot be read must not pass for
//! one that is not set.

use std::fmt;

use serde_json::Value;

/// A value at its place, or nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'v> {
    value: Option<&'v Value>,
    name: &'static str,
}

/// Something that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unread {
    /// The member.
    pub(crate) name: &'static str,
    /// What it would have to be.
    pub(crate) expected: &'static str,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not {}", self.name, self.expected)
    }
}

/// What an `Any` holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Typed<'v> {
    /// The name of its type, without what stands before the last slash.
    pub(crate) kind: &'v str,
    /// The message.
    pub(crate) message: Node<'v>,
}

/// Both forms of a message whose type is not known to whoever wrote it.
const TYPED_STRUCTS: [&str; 2] = ["xds.type.v3.TypedStruct", "udpa.type.v1.TypedStruct"];

impl<'v> Node<'v> {
    /// A value that stands nowhere else.
    pub(crate) fn of(value: &'v Value) -> Self {
        Self::at(Some(value), "configuration")
    }

    fn at(value: Option<&'v Value>, name: &'static str) -> Self {
        let value = value.filter(|value| !value.is_null());
        Self { value, name }
    }

    fn unread(self, expected: &'static str) -> Unread {
        Unread {
            name: self.name,
            expected,
        }
    }

    /// Whether there is anything; `null` is nothing.
    pub(crate) fn is_there(self) -> bool {
        self.value.is_some()
    }

    /// The value as it is.
    pub(crate) fn value(self) -> Option<&'v Value> {
        self.value
    }

    /// A member of a message, under either of its names.
    pub(crate) fn member(self, name: &'static str) -> Result<Node<'v>, Unread> {
        let Some(value) = self.value else {
            return Ok(Self::at(None, name));
        };
        let Value::Object(members) = value else {
            return Err(self.unread("a message"));
        };
        let camel = lower_camel_case(name);
        let other = if camel == name { None } else { members.get(&camel) };
        match (members.get(name), other) {
            (Some(_), Some(_)) => Err(Unread {
                name,
                expected: "there once (it stands under both of its names)",
            }),
            (Some(value), None) | (None, Some(value)) => Ok(Self::at(Some(value), name)),
            (None, None) => Ok(Self::at(None, name)),
        }
    }

    /// A member of a member, and so on.
    pub(crate) fn path(self, names: &[&'static str]) -> Result<Node<'v>, Unread> {
        names.iter().try_fold(self, |node, name| node.member(name))
    }

    /// A text; empty where there is none, as protobuf has it.
    pub(crate) fn text(self) -> Result<&'v str, Unread> {
        match self.value {
            None => Ok(""),
            Some(Value::String(text)) => Ok(text),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                Err(self.unread("a text"))
            }
        }
    }

    /// Yes or no; `None` where nothing is said.
    pub(crate) fn yes(self) -> Result<Option<bool>, Unread> {
        match self.value {
            None => Ok(None),
            Some(Value::Bool(yes)) => Ok(Some(*yes)),
            Some(Value::Null | Value::String(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                Err(self.unread("`true` or `false`"))
            }
        }
    }

    /// Whether it is said to be so.
    pub(crate) fn is_true(self) -> Result<bool, Unread> {
        Ok(self.yes()?.unwrap_or(false))
    }

    /// The value of an enum by name, which may be written as its number. The first name is what goes without saying.
    pub(crate) fn choice(self, names: &[&'static str]) -> Result<&'static str, Unread> {
        let found = match self.value {
            None => names.first(),
            Some(Value::String(text)) => names.iter().find(|name| *name == text),
            Some(Value::Number(number)) => number
                .as_u64()
                .and_then(|number| usize::try_from(number).ok())
                .and_then(|number| names.get(number)),
            Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => None,
        };
        found.copied().ok_or_else(|| self.unread("a value that is known here"))
    }

    /// A whole number, which protobuf's JSON may write as a text.
    pub(crate) fn number(self) -> Result<Option<u64>, Unread> {
        let found = match self.value {
            None => return Ok(None),
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) => text.parse().ok(),
            Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => None,
        };
        found.map(Some).ok_or_else(|| self.unread("a whole number"))
    }

    /// The items of a list.
    pub(crate) fn items(self) -> Result<Vec<Node<'v>>, Unread> {
        match self.value {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => Ok(items.iter().map(|item| Self::at(Some(item), self.name)).collect()),
            Some(Value::Null | Value::Bool(_) | Value::String(_) | Value::Number(_) | Value::Object(_)) => {
                Err(self.unread("a list"))
            }
        }
    }

    /// The entries of a map.
    pub(crate) fn entries(self) -> Result<Vec<(&'v str, Node<'v>)>, Unread> {
        match self.value {
            None => Ok(Vec::new()),
            Some(Value::Object(members)) => Ok(members
                .iter()
                .map(|(key, value)| (key.as_str(), Self::at(Some(value), self.name)))
                .collect()),
            Some(Value::Null | Value::Bool(_) | Value::String(_) | Value::Number(_) | Value::Array(_)) => {
                Err(self.unread("a map"))
            }
        }
    }

    /// What an `Any` holds; `None` where there is none.
    pub(crate) fn typed(self) -> Result<Option<Typed<'v>>, Unread> {
        let Some(value) = self.value else {
            return Ok(None);
        };
        let url = value
            .get("@type")
            .and_then(Value::as_str)
            .ok_or_else(|| self.unread("typed (it has no `@type`)"))?;
        let kind = without_host(url);
        if TYPED_STRUCTS.contains(&kind) {
            let inner = self.member("type_url")?.text()?;
            return Ok(Some(Typed {
                kind: without_host(inner),
                message: self.member("value")?,
            }));
        }
        Ok(Some(Typed { kind, message: self }))
    }

    /// The members that are none of these, `@type` aside.
    pub(crate) fn others(self, known: &[&str]) -> Vec<&'v str> {
        let Some(Value::Object(members)) = self.value else {
            return Vec::new();
        };
        let is_known = |name: &str| {
            name == "@type"
                || known
                    .iter()
                    .any(|known| name == *known || name == lower_camel_case(known))
        };
        members
            .iter()
            .filter(|(name, value)| !value.is_null() && !is_known(name))
            .map(|(name, _)| name.as_str())
            .collect()
    }
}

fn without_host(url: &str) -> &str {
    url.rsplit_once('/').map_or(url, |(_, kind)| kind)
}

fn lower_camel_case(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut upper = false;
    for letter in name.chars() {
        if letter == '_' {
            upper = true;
        } else if upper {
            camel.push(letter.to_ascii_uppercase());
            upper = false;
        } else {
            camel.push(letter);
        }
    }
    camel
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn member_is_found_under_both_of_its_names_and_refused_under_both_at_once() {
        for written in [json!({ "fail_open": true }), json!({ "failOpen": true })] {
            assert_eq!(Node::of(&written).member("fail_open").unwrap().yes(), Ok(Some(true)));
        }
        let twice = json!({ "fail_open": false, "failOpen": true });
        assert!(Node::of(&twice).member("fail_open").is_err());
    }

    #[test]
    fn what_has_another_type_is_not_taken_for_what_is_not_there() {
        let written = json!({ "disabled": "true", "filters": {}, "name": 1, "policy": "FAIL_SIDEWAYS" });
        let node = Node::of(&written);
        assert!(node.member("disabled").unwrap().yes().is_err());
        assert!(node.member("filters").unwrap().items().is_err());
        assert!(node.member("name").unwrap().text().is_err());
        assert!(node.member("policy").unwrap().choice(&["FAIL_CLOSED"]).is_err());
        assert!(Node::of(&json!([])).member("x").is_err());
        assert_eq!(node.member("missing").unwrap().yes(), Ok(None));
    }

    #[test]
    fn message_of_a_type_that_its_writer_did_not_know_is_read_as_that_type() {
        let written = json!({ "@type": "type.googleapis.com/udpa.type.v1.TypedStruct",
            "type_url": "type.googleapis.com/a.B", "value": { "x": true } });
        let typed = Node::of(&written).typed().unwrap().unwrap();
        assert_eq!(typed.kind, "a.B");
        assert_eq!(typed.message.member("x").unwrap().yes(), Ok(Some(true)));
    }

    #[test]
    fn enum_is_read_by_name_and_by_number() {
        let names = ["UNSPECIFIED", "FAIL_RELOAD", "FAIL_CLOSED", "FAIL_OPEN"];
        for written in [json!({ "policy": "FAIL_OPEN" }), json!({ "policy": 3 })] {
            assert_eq!(
                Node::of(&written).member("policy").unwrap().choice(&names),
                Ok("FAIL_OPEN")
            );
        }
    }

    #[test]
    fn members_that_nobody_knows_are_told() {
        let written = json!({ "@type": "x", "httpFilters": [], "http_filters2": [], "nothing": null });
        assert_eq!(Node::of(&written).others(&["http_filters"]), ["http_filters2"]);
    }
}
