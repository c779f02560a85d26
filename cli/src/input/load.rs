//! From arguments to documents, and what is wrong before any document is.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use svidgate_policy::Format;

use crate::{
    codes::{deployment::NOT_ONE_DOCUMENT, reading},
    finding::Finding,
    input::{
        carrier::{Body, Carried, Found, carried, described},
        document::{Carrier, Document, canonical, to_json},
        files::{Trouble, Wanted, read, shown, wanted},
        json,
        tree::{Node, Tree, Value},
        within::Within,
        yaml,
    },
    source::{Place, Position, Source},
};

/// What was read.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The files.
    pub sources: Vec<Arc<Source>>,
    /// What is in those that can be read, whether it carries a document or not.
    pub trees: Vec<(Arc<Source>, Vec<Arc<Tree>>)>,
    /// The documents in them, in the order of the arguments.
    pub documents: Vec<Document>,
    /// What is wrong beside what a compiler says.
    pub findings: Vec<Finding>,
    /// What could not be read at all.
    pub troubles: Vec<Trouble>,
    /// Files of folders that have nothing to do with us.
    pub passed_over: usize,
}

/// Reads everything that arguments name. Files of folders that carry no document are passed over; where no file does, that
/// is trouble.
pub fn load(arguments: &[PathBuf], recursive: bool) -> Loaded {
    let mut loaded = Loaded::default();
    match wanted(arguments, recursive) {
        Ok(files) => {
            for file in &files {
                loaded.file(file);
            }
        }
        Err(troubles) => loaded.troubles = troubles,
    }
    let nothing = loaded.documents.is_empty() && loaded.findings.is_empty() && loaded.troubles.is_empty();
    if nothing && let Some(path) = arguments.first() {
        loaded.troubles.push(Trouble {
            path: path.clone(),
            what: format!("none of {} files carries a policy document", loaded.passed_over),
        });
    }
    loaded
}

impl Loaded {
    fn file(&mut self, file: &Wanted) {
        match read(&file.path) {
            Ok(bytes) => {
                let source = match String::from_utf8(bytes) {
                    Ok(text) => Source::new(shown(&file.path), text),
                    Err(error) => return self.no_text(file, &error),
                };
                self.source(&source, file);
            }
            Err(trouble) => self.troubles.push(trouble),
        }
    }

    fn no_text(&mut self, file: &Wanted, error: &std::string::FromUtf8Error) {
        let at = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
        let source = Source::new(shown(&file.path), text);
        let byte = error.as_bytes().get(at).copied().unwrap_or_default();
        let sentence = format!("is not UTF-8: byte 0x{byte:02x} at offset {at}");
        let place = Place::new(&source, at..at.saturating_add('\u{fffd}'.len_utf8()));
        self.findings.push(Finding::new(&reading::SYNTAX, place, sentence));
        self.sources.push(source);
    }

    /// Takes in a file that has been read.
    pub fn source(&mut self, source: &Arc<Source>, file: &Wanted) {
        self.sources.push(Arc::clone(source));
        let trees = match trees(source) {
            Ok(trees) => trees,
            Err(finding) => return self.findings.push(finding),
        };
        self.trees.push((Arc::clone(source), trees.clone()));
        let reader = Reader {
            source,
            is_alone: trees.len() == 1,
        };
        let (mut here, before) = (Here::default(), self.findings.len());
        let mut seen = Vec::new();
        for tree in &trees {
            let Some(root) = tree.root() else { continue };
            let carried = carried(root);
            seen.push((root, carried.others));
            for found in &carried.found {
                if file.name.is_none() || file.name == found.name {
                    reader.take(tree, found, &mut here);
                }
            }
            here.offer(&carried);
        }
        here.note_pairs();
        // Both filters of a listener may have the same by an alias, and it is said once.
        for finding in here.findings {
            let same = |other: &Finding| other.place == finding.place && other.sentence == finding.sentence;
            if !self.findings.iter().skip(before).any(same) {
                self.findings.push(finding);
            }
        }
        let nothing = here.documents.is_empty() && self.findings.len() == before;
        match (&file.name, nothing) {
            (_, false) => {}
            (Some(name), true) => self.findings.push(no_such_name(source, name, &here.names)),
            (None, true) if file.named => self.findings.push(no_document(source, &seen)),
            (None, true) => self.passed_over = self.passed_over.saturating_add(1),
        }
        self.documents.append(&mut here.documents);
    }
}

/// The trees of a file; `None` where it cannot be read.
pub fn parsed(source: &Arc<Source>) -> Option<Vec<Arc<Tree>>> {
    trees(source).ok()
}

/// Reads a file by what is in it: JSON where it begins like that and is, else YAML.
fn trees(source: &Arc<Source>) -> Result<Vec<Arc<Tree>>, Finding> {
    let text = source.text();
    let is_named_json = source.name().to_lowercase().ends_with(".json");
    let begins = text.trim_start().starts_with(['{', '[']);
    let as_json = begins.then(|| json::read(text));
    if let Some(Ok(tree)) = as_json {
        return Ok(vec![Arc::new(tree)]);
    }
    match (yaml::read(text), as_json) {
        (Ok(trees), _) if !is_named_json => Ok(trees.into_iter().map(Arc::new).collect()),
        (_, Some(Err(error))) if is_named_json || begins_with_quote(text) => {
            let (line, column) = (error.line(), error.column());
            let offset = source.offset(Position { line, column });
            let said = error.to_string();
            let what = said
                .strip_suffix(&format!(" at line {line} column {column}"))
                .unwrap_or(&said);
            Err(syntax(source, offset, &format!("cannot be read as JSON: {what}")))
        }
        (Err(error), _) => {
            let what = format!("cannot be read as YAML: {}", error.what);
            Err(syntax(source, error.offset, &what))
        }
        (Ok(_), _) => Err(syntax(source, 0, "is called `.json` and is no JSON")),
    }
}

/// Whether what stands within the first brackets begins as only JSON usually does.
fn begins_with_quote(text: &str) -> bool {
    text.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '{' | '['))
        .starts_with('"')
}

fn syntax(source: &Arc<Source>, offset: usize, sentence: &str) -> Finding {
    let end = source.slice(offset..source.text().len()).chars().next();
    let end = offset.saturating_add(end.filter(|c| *c != '\n').map_or(0, char::len_utf8));
    let finding = Finding::new(&reading::SYNTAX, Place::new(source, offset..end), sentence);
    // What is to be filled in stands on that line, unless quotes hid it until here.
    let line = source.slice(source.line(source.position(offset).line));
    match placeholder(line).or_else(|| placeholder(source.text())) {
        Some(name) => finding.right(format!(
            "is this a template? What is written `{name}` has to be filled in before the file can be read"
        )),
        None => finding,
    }
}

/// The first `${NAME}` of a text.
fn placeholder(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some((_, behind)) = rest.split_once("${") {
        let (name, after) = behind.split_once('}')?;
        let is_name = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        if !name.is_empty() && name.len() <= 64 && name.bytes().all(is_name) {
            let start = text.len().saturating_sub(behind.len()).saturating_sub(2);
            return text.get(start..text.len().saturating_sub(after.len()));
        }
        rest = behind;
    }
    None
}

const EXPECTED: &str = "a policy document (an object with `trust_domain` and `rules`), or what carries one: an Envoy \
                        configuration or dump with a wasm filter whose `root_id` is `svidgate.connection` or \
                        `svidgate.request`, a WasmPlugin, TrafficExtension, EnvoyExtensionPolicy, EnvoyPatchPolicy or \
                        EnvoyFilter";

fn no_document(source: &Arc<Source>, seen: &[(Node<'_>, usize)]) -> Finding {
    let mut kinds: Vec<String> = seen.iter().take(3).map(|(root, _)| described(*root)).collect();
    kinds.dedup();
    let what = if kinds.is_empty() {
        "nothing".to_owned()
    } else {
        kinds.join(", ")
    };
    let others: usize = seen.iter().map(|(_, others)| others).sum();
    let others = match others {
        0 => String::new(),
        others => format!("; its {others} wasm filters have another `root_id` and no document"),
    };
    let start = seen.first().map(|(root, _)| root.range().start).unwrap_or_default();
    let place = Place::new(source, start..source.text().len().max(start));
    let sentence = format!("carries no policy document: it is {what}{others}");
    Finding::new(&reading::NO_DOCUMENT, place, sentence).right(format!("expected {EXPECTED}"))
}

fn no_such_name(source: &Arc<Source>, name: &str, names: &[String]) -> Finding {
    let known: Vec<_> = names.iter().take(10).map(|name| format!("`{name}`")).collect();
    let known = if known.is_empty() {
        "it carries none".to_owned()
    } else {
        known.join(", ")
    };
    let place = Place::new(source, 0..0);
    let sentence = format!("carries no document of the name `{name}`");
    Finding::new(&reading::NO_DOCUMENT, place, sentence).right(format!("names in it: {known}"))
}

/// What one file has.
#[derive(Default)]
struct Here {
    documents: Vec<Document>,
    findings: Vec<Finding>,
    names: Vec<String>,
    /// Documents by what they mean.
    known: HashMap<String, usize>,
    /// Plugins by their names, with the document of each.
    plugins: HashMap<String, usize>,
}

impl Here {
    fn offer(&mut self, carried: &Carried<'_>) {
        let names = carried.found.iter().filter_map(|found| found.name.clone());
        self.names.extend(names);
    }

    /// Takes in a document, once for all that carry the same.
    fn add(&mut self, carrier: &Carrier, document: Document, meaning: String) {
        let index = self.known.get(&meaning).copied().unwrap_or(self.documents.len());
        self.note_plugin(carrier, index);
        match self.documents.get_mut(index) {
            Some(known) => known.carriers.push(carrier.clone()),
            None => {
                self.known.insert(meaning, index);
                self.documents.push(document);
            }
        }
    }

    /// The newest document of a plugin judges all under its name, so two at once are one too many.
    fn note_plugin(&mut self, carrier: &Carrier, index: usize) {
        let Some(plugin) = &carrier.plugin else { return };
        let Some(first) = self.plugins.get(plugin) else {
            self.plugins.insert(plugin.clone(), index);
            return;
        };
        if *first == index {
            return;
        }
        let sentence = format!("another document than the first one under the plugin's name `{plugin}`");
        let mut finding = Finding::new(&reading::ONE_NAME, carrier.place.clone(), sentence)
            .right("give each plugin a `name` of its own, or both the same document");
        let of_plugin = |carrier: &&Carrier| carrier.plugin.as_ref() == Some(plugin);
        let first = self.documents.get(*first);
        if let Some(first) = first.and_then(|first| first.carriers.iter().find(of_plugin)) {
            finding = finding.also(first.place.clone(), "the first one");
        }
        self.findings.push(finding);
    }
}

impl Here {
    /// Both filters of a listener, by names that differ in their ends alone, ought to have one document.
    fn note_pairs(&mut self) {
        let mut stems: HashMap<String, (usize, Place)> = HashMap::new();
        for (index, document) in self.documents.iter().enumerate() {
            for carrier in &document.carriers {
                let Some(stem) = stem(carrier) else { continue };
                match stems.get(&stem) {
                    Some((first, place)) if *first != index => {
                        let name = carrier.name.as_deref().unwrap_or_default();
                        let sentence = format!("`{name}` has another document than the other filter of its listener");
                        let finding = Finding::new(&NOT_ONE_DOCUMENT, carrier.place.clone(), sentence)
                            .right(
                                "the same document in both: a request must please the one and its connection the other",
                            )
                            .also(place.clone(), "the document of the other filter");
                        self.findings.push(finding);
                    }
                    Some(_) => {}
                    None => {
                        stems.insert(stem, (index, carrier.place.clone()));
                    }
                }
            }
        }
    }
}

/// What the names of both filters of a listener begin with: `web` of `web.connection` and `web.request`.
fn stem(carrier: &Carrier) -> Option<String> {
    let name = carrier.name.as_deref()?;
    let kind = carrier.root_id.as_deref()?.strip_prefix("svidgate.")?;
    let stem = name.strip_suffix(kind)?;
    Some(stem.strip_suffix(['.', '-', '_', '/']).unwrap_or(stem).to_owned())
}

/// Reads what was found in one file.
struct Reader<'s> {
    source: &'s Arc<Source>,
    /// Whether the file has one document of YAML alone, so that its text can be compiled as it is.
    is_alone: bool,
}

impl Reader<'_> {
    fn take(&self, tree: &Arc<Tree>, found: &Found<'_>, here: &mut Here) {
        let (node, read) = match &found.body {
            Body::Plain(node) if self.is_alone => (*node, self.plain(tree, *node)),
            Body::Plain(node) | Body::Struct(node) => (*node, self.in_place(tree, *node)),
            Body::Text(node) => (*node, self.text(*node)),
            Body::None(node, what) => {
                let place = Place::new(self.source, node.range());
                return here
                    .findings
                    .push(Finding::new(&reading::NOT_CARRIED, place, what.clone()));
            }
        };
        let carrier = Carrier {
            kind: found.kind,
            name: found.name.clone(),
            root_id: found.root_id.clone(),
            plugin: found.plugin.clone(),
            place: Place::new(self.source, node.range()),
        };
        let (text, format, tree, root) = match read {
            Ok(read) => read,
            Err(finding) => return here.findings.push(*finding),
        };
        // Of one alone nobody asks whether another means the same.
        let meaning = if self.is_alone && matches!(found.body, Body::Plain(_)) {
            None
        } else {
            tree.node(root)
        };
        match meaning.map_or(Ok(String::new()), canonical) {
            Ok(meaning) => {
                let document = Document::new(self.source, carrier.clone(), text, format, (tree, root));
                here.add(&carrier, document, meaning);
            }
            Err(_) => here.findings.push(*self.too_long(node)),
        }
    }

    /// The whole file.
    fn plain(&self, tree: &Arc<Tree>, node: Node<'_>) -> Read {
        let text = self.source.text();
        let is_json = text.trim_start().starts_with('{') && json::read(text).is_ok();
        let format = if is_json { Format::Json } else { Format::Yaml };
        Ok((text.to_owned(), format, Arc::clone(tree), node.id()))
    }

    /// A part of the file, as the JSON that a proxy makes of it.
    fn in_place(&self, tree: &Arc<Tree>, node: Node<'_>) -> Read {
        let text = to_json(node).map_err(|_| self.too_long(node))?;
        Ok((text, Format::Json, Arc::clone(tree), node.id()))
    }

    fn too_long(&self, node: Node<'_>) -> Box<Finding> {
        let place = Place::new(self.source, node.range());
        let sentence = "has more bytes than a document may have, once its aliases are followed";
        Box::new(Finding::new(&reading::TOO_LONG, place, sentence))
    }

    /// JSON in a string of the file.
    fn text(&self, node: Node<'_>) -> Read {
        let Value::Text(text, written) = node.value() else {
            return Err(Box::new(Finding::new(&reading::NOT_CARRIED, None, "expected a string")));
        };
        let within = Within::new(self.source.text(), node.range(), text, *written);
        let failed = |range, sentence: String| {
            let place = Place::new(self.source, range);
            let finding = Finding::new(&reading::SYNTAX, place, sentence);
            Box::new(match placeholder(text) {
                Some(name) => finding.right(format!("`{name}` has to be filled in before the document can be read")),
                None => finding,
            })
        };
        let mut tree = json::read(text).map_err(|error| {
            let inner = Source::new("", text.to_string());
            let (line, column) = (error.line(), error.column());
            let offset = inner.offset(Position { line, column });
            let said = error.to_string();
            let what = said
                .strip_suffix(&format!(" at line {line} column {column}"))
                .unwrap_or(&said);
            failed(
                within.range(offset..offset),
                format!("the string cannot be read as JSON: {what}"),
            )
        })?;
        tree.map_ranges(|range| within.range(range));
        let root = tree.root().map(Node::id).unwrap_or_default();
        Ok((text.to_string(), Format::Json, Arc::new(tree), root))
    }
}

type Read = Result<(String, Format, Arc<Tree>, usize), Box<Finding>>;
