//! From JSON to a tree.
//!
//! Whether the text is JSON says `serde_json`, which `policy` reads with too. This goes through what it has found to be
//! good and notes where everything stands, which it does not say.

use std::{borrow::Cow, ops::Range};

use serde::de::IgnoredAny;

use crate::input::tree::{Member, TooDeep, Tree, Value, Written};

/// Reads one whole value.
///
/// # Errors
/// When it is no JSON.
pub fn read(text: &str) -> Result<Tree, serde_json::Error> {
    let _: IgnoredAny = serde_json::from_str(text)?;
    let mut scanner = Scanner {
        text,
        at: 0,
        tree: Tree::default(),
    };
    // `serde_json` refuses what is nested as deeply as that.
    if let Ok(root) = scanner.value() {
        scanner.tree.set_root(root);
    }
    Ok(scanner.tree)
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
    tree: Tree,
}

impl<'t> Scanner<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn skip_while(&mut self, is: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&is) {
            self.step();
        }
    }

    /// Skips white space and what parts entries and names.
    fn skip_between(&mut self) {
        self.skip_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':'));
    }

    fn value(&mut self) -> Result<usize, TooDeep> {
        self.skip_between();
        let start = self.at;
        let value = match self.peek() {
            Some(b'{') => self.object()?,
            Some(b'[') => self.list()?,
            Some(b'"') => Value::Text(self.string().0.into(), Written::Inline),
            Some(_) | None => {
                self.skip_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.'));
                match self.text.get(start..self.at).unwrap_or_default() {
                    "null" => Value::Null,
                    "true" => Value::Bool(true),
                    "false" => Value::Bool(false),
                    number => Value::Number(number.into()),
                }
            }
        };
        self.tree.add(start..self.at, value)
    }

    fn object(&mut self) -> Result<Value, TooDeep> {
        self.step();
        let mut members = Vec::new();
        loop {
            self.skip_between();
            match self.peek() {
                Some(b'"') => {
                    let (name, range) = self.string();
                    let value = self.value()?;
                    members.push(Member::new(&name, range, value));
                }
                Some(_) | None => {
                    self.step();
                    return Ok(Value::Object(members));
                }
            }
        }
    }

    fn list(&mut self) -> Result<Value, TooDeep> {
        self.step();
        let mut items = Vec::new();
        loop {
            self.skip_between();
            match self.peek() {
                Some(b']') | None => {
                    self.step();
                    return Ok(Value::List(items));
                }
                Some(_) => items.push(self.value()?),
            }
        }
    }

    /// A string, and where it stands, quotes included.
    fn string(&mut self) -> (Cow<'t, str>, Range<usize>) {
        let start = self.at;
        self.step();
        let mut escaped = false;
        loop {
            match self.peek() {
                Some(b'\\') => {
                    escaped = true;
                    self.step();
                    self.step();
                }
                Some(b'"') | None => break,
                Some(_) => self.step(),
            }
        }
        self.step();
        let range = start..self.at.min(self.text.len());
        let written = self.text.get(range.clone()).unwrap_or_default();
        let bare = written.trim_matches('"');
        let text = if escaped {
            serde_json::from_str(written).map_or(Cow::Borrowed(bare), Cow::Owned)
        } else {
            Cow::Borrowed(bare)
        };
        (text, range)
    }
}
