//! From YAML to trees, one a document of the stream.

use std::{collections::HashMap, ops::Range};

use granit_parser::{Event, Parser, ScalarStyle, Tag};

use crate::input::tree::{Member, TooDeep, Tree, Value, Written};

/// The text cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syntax {
    /// Where it breaks off, in bytes.
    pub offset: usize,
    /// Why.
    pub what: String,
}

/// Reads all documents of a stream.
///
/// # Errors
/// Where the text is no YAML, has an alias of what it stands in, or is nested too deeply.
pub fn read(text: &str) -> Result<Vec<Tree>, Syntax> {
    let mut builder = Builder::default();
    for next in Parser::new_from_str(text) {
        let (event, span) = next.map_err(|error| Syntax {
            offset: error.marker().byte_offset().unwrap_or_default().min(text.len()),
            what: error.info(),
        })?;
        let range = span.byte_range().unwrap_or_default();
        builder.take(event, range)?;
    }
    Ok(builder.trees)
}

/// What is open.
enum Frame {
    List {
        anchor: usize,
        start: usize,
        items: Vec<usize>,
    },
    Object {
        anchor: usize,
        start: usize,
        members: Vec<Member>,
        /// The name whose value comes next.
        name: Option<(String, Range<usize>)>,
    },
}

#[derive(Default)]
struct Builder {
    trees: Vec<Tree>,
    tree: Tree,
    frames: Vec<Frame>,
    /// What anchors stand for, by their numbers.
    anchors: HashMap<usize, (usize, Option<Box<str>>)>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, range: Range<usize>) -> Result<(), Syntax> {
        match event {
            Event::DocumentStart(..) => {
                self.tree = Tree::default();
                self.anchors.clear();
                Ok(())
            }
            Event::DocumentEnd => {
                self.trees.push(std::mem::take(&mut self.tree));
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.tree.is_intricate |= anchor > 0 || tag.is_some();
                if self.awaits_name() {
                    self.tree.is_intricate |= style == ScalarStyle::Plain && !is_plain_text(&text);
                    return self.set_name(text.into_owned(), range, anchor);
                }
                self.tree.is_intricate |= style == ScalarStyle::Plain && !is_simple(&text);
                let value = scalar(&text, style, tag.as_deref());
                let id = self.add(range, value)?;
                self.anchor(anchor, id, Some(text.as_ref().into()));
                self.place(id);
                Ok(())
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.tree.is_intricate |= anchor > 0 || tag.is_some();
                self.refuse_as_name(&range)?;
                self.frames.push(Frame::List {
                    anchor,
                    start: range.start,
                    items: Vec::new(),
                });
                Ok(())
            }
            Event::MappingStart(_, anchor, tag) => {
                self.tree.is_intricate |= anchor > 0 || tag.is_some();
                self.refuse_as_name(&range)?;
                self.frames.push(Frame::Object {
                    anchor,
                    start: range.start,
                    members: Vec::new(),
                    name: None,
                });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(range),
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                None => Err(Syntax {
                    offset: range.start,
                    what: "an alias of what it stands in".to_owned(),
                }),
                Some((_, Some(text))) if self.awaits_name() => self.set_name(text.into(), range, 0),
                Some(_) if self.awaits_name() => self.refuse_as_name(&range),
                Some((id, _)) => {
                    self.place(id);
                    Ok(())
                }
            },
            // The stream's ends, and what is not asked for.
            Event::StreamStart | Event::StreamEnd | Event::Anchor(..) | Event::UnresolvedAlias(_) | _ => Ok(()),
        }
    }

    fn awaits_name(&self) -> bool {
        matches!(self.frames.last(), Some(Frame::Object { name: None, .. }))
    }

    fn set_name(&mut self, text: String, range: Range<usize>, anchor: usize) -> Result<(), Syntax> {
        if anchor > 0 {
            let id = self.add(range.clone(), Value::Text(text.as_str().into(), Written::Inline))?;
            self.anchor(anchor, id, Some(text.as_str().into()));
        }
        if let Some(Frame::Object { name, .. }) = self.frames.last_mut() {
            *name = Some((text, range));
        }
        Ok(())
    }

    fn refuse_as_name(&self, range: &Range<usize>) -> Result<(), Syntax> {
        if self.awaits_name() {
            return Err(Syntax {
                offset: range.start,
                what: "a list or an object as the name of a member".to_owned(),
            });
        }
        Ok(())
    }

    fn close(&mut self, range: Range<usize>) -> Result<(), Syntax> {
        let (anchor, start, value) = match self.frames.pop() {
            Some(Frame::List { anchor, start, items }) => (anchor, start, Value::List(items)),
            Some(Frame::Object {
                anchor, start, members, ..
            }) => (anchor, start, Value::Object(members)),
            None => return Ok(()),
        };
        let id = self.add(start..range.end.max(start), value)?;
        self.anchor(anchor, id, None);
        self.place(id);
        Ok(())
    }

    fn add(&mut self, range: Range<usize>, value: Value) -> Result<usize, Syntax> {
        let offset = range.start;
        self.tree.add(range, value).map_err(|TooDeep| Syntax {
            offset,
            what: "nested too deeply".to_owned(),
        })
    }

    fn anchor(&mut self, anchor: usize, id: usize, text: Option<Box<str>>) {
        if anchor > 0 {
            self.anchors.insert(anchor, (id, text));
        }
    }

    /// Puts a finished value where it belongs.
    fn place(&mut self, id: usize) {
        match self.frames.last_mut() {
            None => self.tree.set_root(id),
            Some(Frame::List { items, .. }) => items.push(id),
            Some(Frame::Object { members, name, .. }) => {
                if let Some((name, range)) = name.take() {
                    members.push(Member::new(&name, range, id));
                }
            }
        }
    }
}

/// What a scalar means in YAML 1.2 (10.3.2).
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
    if style == ScalarStyle::Plain && !is_text {
        return plain(text);
    }
    let written = match style {
        ScalarStyle::Plain | ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Written::Inline,
        ScalarStyle::Literal => Written::Literal,
        ScalarStyle::Folded => Written::Folded,
    };
    Value::Text(text.into(), written)
}

/// Whether every reader of YAML 1.2 takes what is written without quotes for the same.
fn is_simple(text: &str) -> bool {
    /// So many digits a double holds exactly.
    const DIGITS: usize = 15;
    let is_usual_number = text.bytes().all(|byte| byte.is_ascii_digit())
        && (1..=DIGITS).contains(&text.len())
        && (text == "0" || !text.starts_with('0'));
    matches!(text, "true" | "false") || is_usual_number || is_plain_text(text)
}

/// Whether what is written without quotes is text, and nothing in it makes it look like something else.
fn is_plain_text(text: &str) -> bool {
    let is_word = |word: &str| text.eq_ignore_ascii_case(word);
    let is_typed = ["null", "true", "false"].into_iter().any(is_word);
    // No digit of any number, nor what stands in one.
    let is_of_text = |byte: u8| matches!(byte, b'g'..=b'n' | b'p'..=b'w' | b'y' | b'z' | b'T' | b'Z' | b'/');
    let begins = |is: fn(u8) -> bool| text.bytes().next().is_some_and(is);
    let is_text = begins(|byte| byte.is_ascii_alphabetic() || byte == b'/')
        || (begins(|byte| byte.is_ascii_digit()) && text.bytes().any(is_of_text));
    is_text && !is_typed
}

fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        text if is_number(text) => Value::Number(text.into()),
        text => Value::Text(text.into(), Written::Inline),
    }
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let all = |digits: &str, is: fn(&u8) -> bool| !digits.is_empty() && digits.bytes().all(|byte| is(&byte));
    if let Some(digits) = text.strip_prefix("0x") {
        return all(digits, u8::is_ascii_hexdigit);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return all(digits, |byte| (b'0'..=b'7').contains(byte));
    }
    let special = matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN");
    let begins = unsigned
        .trim_start_matches('.')
        .starts_with(|c: char| c.is_ascii_digit());
    let shaped = unsigned
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    special || (begins && shaped && text.parse::<f64>().is_ok())
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::read;
    use crate::input::document::to_json;

    /// What the compiler's own reader takes it for.
    fn by_compiler(text: &str) -> Option<Json> {
        let options = serde_saphyr::options! { strict_booleans: true };
        serde_saphyr::from_str_with_options(text, options).ok()
    }

    #[test]
    fn what_is_not_intricate_is_the_same_to_the_compiler() {
        let scalars = [
            "a",
            "GET",
            "yes",
            "no",
            "on",
            "off",
            "y",
            "N",
            "Yes",
            "null",
            "Null",
            "~",
            "",
            "true",
            "True",
            "TRUE",
            "false",
            "0",
            "7",
            "007",
            "010",
            "0x1f",
            "0o17",
            "0b11",
            "1_000",
            "999999999999999",
            "18446744073709551615",
            "-1",
            "+1",
            "1.5",
            "1e3",
            "1E3",
            ".5",
            "5.",
            ".inf",
            "-.inf",
            ".nan",
            "nan",
            "inf",
            "infinity",
            "24h",
            "90s",
            "5m",
            "30d",
            "1e5h",
            "22:00",
            "1:30",
            "2026-12-01",
            "2026-12-01T00:00:00Z",
            "10.0.0.0/8",
            "10.1.1.1",
            "::1",
            "/a/**",
            "/",
            "a b",
            "a:b",
            "a#b",
            "=",
            "<<",
            "'x'",
            "'it''s'",
            "\"a\\tb\\u00e4\"",
            "\"\"",
            "''",
            "\"7\"",
            "'true'",
            "a\n  b",
            "|\n  one\n  two\n",
            ">\n  one\n  two\n",
            "!!str 7",
            "!x a",
            "&a b",
            "- 1",
            "[ a, 7, /x ]",
            "{ a: b, c: [ ] }",
            "dead",
            "beef",
            "Infinity",
            "e5",
            "E5",
            "0e",
        ];
        let (mut simple, mut intricate) = (0, 0);
        for scalar in scalars {
            for text in [
                format!("k: {scalar}\n"),
                format!("k:\n  {scalar}\n"),
                format!("k: [ {scalar} ]\n"),
                format!("{scalar}: v\n"),
                format!("# c\n---\nk: {scalar} # c\nl: m\n"),
            ] {
                let Ok(trees) = read(&text) else { continue };
                let [tree] = trees.as_slice() else { continue };
                if tree.is_intricate || !tree.repeated.is_empty() {
                    intricate += 1;
                    continue;
                }
                simple += 1;
                let ours: Json = serde_json::from_str(&to_json(tree.root().unwrap()).unwrap()).unwrap();
                assert_eq!(by_compiler(&text), Some(ours), "{text}");
            }
        }
        assert!(simple > 100 && intricate > 100, "{simple} {intricate}");
    }
}
