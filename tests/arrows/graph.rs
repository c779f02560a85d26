//! Which file of a crate speaks of which other, read from its source.
//!
//! What counts: `use` paths, globs, paths within code and within the arguments of macros, however they begin (`crate`,
//! `super`, `self`, a module's own name). A name that another file hands on (`pub use`) counts as the file that defines
//! it. What stands in `#[cfg(test)]` counts for nothing: a test may look anywhere.

use std::collections::{BTreeMap, BTreeSet};

use syn::{
    Attribute, Item, ItemMod, Meta, UseTree,
    visit::{self, Visit},
};

/// The place of a module in its crate; empty for the root.
type Module = Vec<String>;

/// Source by name, from the crate's folder: `lib.rs`, `trust/chain.rs`.
pub(crate) type Sources = BTreeMap<String, String>;

/// From each file to the files that it speaks of.
pub(crate) type Graph = BTreeMap<String, BTreeSet<String>>;

/// A `use` of a file: the name that it brings in, or none of a glob, and the path as it is written.
struct Import {
    within: Module,
    name: Option<String>,
    path: Vec<String>,
}

#[derive(Default)]
struct Crate {
    /// The file of each module.
    files: BTreeMap<Module, String>,
    imports: Vec<Import>,
    /// Where each path is written, and the path.
    paths: Vec<(Module, Vec<String>)>,
}

/// # Panics
/// Where a source cannot be parsed, or a module has no file.
pub(crate) fn graph(sources: &Sources) -> Graph {
    let mut found = Crate::default();
    found.read(sources, &Module::new(), "lib.rs");
    let mut graph: Graph = sources.keys().map(|file| (file.clone(), BTreeSet::new())).collect();
    let written = found.imports.iter().map(|import| (&import.within, &import.path));
    let written = written.chain(found.paths.iter().map(|(within, path)| (within, path)));
    for (within, path) in written {
        let from = found.file_of(within);
        for to in found.resolve(within, path, &mut BTreeSet::new()) {
            if to != from {
                graph.get_mut(&from).expect("a file of the crate").insert(to);
            }
        }
    }
    graph
}

impl Crate {
    fn read(&mut self, sources: &Sources, module: &Module, file: &str) {
        let source = sources.get(file).unwrap_or_else(|| panic!("no source {file}"));
        let parsed = syn::parse_file(source).unwrap_or_else(|error| panic!("{file}: {error}"));
        self.files.insert(module.clone(), file.to_owned());
        let mut below = Vec::new();
        let mut reader = Reader {
            found: self,
            module: module.clone(),
            below: &mut below,
        };
        reader.visit_file(&parsed);
        for child in below {
            let path = child.join("/");
            let file = [format!("{path}.rs"), format!("{path}/mod.rs")]
                .into_iter()
                .find(|file| sources.contains_key(file));
            self.read(sources, &child, &file.unwrap_or_else(|| panic!("no file for {path}")));
        }
    }

    /// The file in which a module stands, also where it is written within another.
    fn file_of(&self, module: &[String]) -> String {
        let own = (0..=module.len())
            .rev()
            .find_map(|length| self.files.get(&module[..length]));
        own.expect("a root").clone()
    }

    /// The files that define what a path leads to: none where it leads out of the crate, several for a glob that hands
    /// on.
    fn resolve(
        &self,
        within: &Module,
        path: &[String],
        seen: &mut BTreeSet<(Module, Vec<String>)>,
    ) -> BTreeSet<String> {
        if !seen.insert((within.clone(), path.to_vec())) {
            return BTreeSet::new();
        }
        let Some((first, rest)) = path.split_first() else {
            return BTreeSet::new();
        };
        match first.as_str() {
            "crate" => self.walk(Module::new(), rest, seen),
            "self" => self.walk(within.clone(), rest, seen),
            "super" => {
                let parent = within
                    .split_last()
                    .map(|(_, parent)| parent.to_vec())
                    .unwrap_or_default();
                // A further `super` goes on from there.
                if rest.first().is_some_and(|next| next == "super") {
                    self.resolve(&parent, rest, seen)
                } else {
                    self.walk(parent, rest, seen)
                }
            }
            name if self.is_module(&child(within, name)) => self.walk(child(within, name), rest, seen),
            name => {
                let import = self
                    .imports_of(within)
                    .find(|import| import.name.as_deref() == Some(name));
                match import {
                    Some(import) if import.path.first().is_none_or(|first| first != name) => {
                        let path = [import.path.as_slice(), rest].concat();
                        self.resolve(within, &path, seen)
                    }
                    Some(_) | None => BTreeSet::new(),
                }
            }
        }
    }

    fn walk(&self, module: Module, path: &[String], seen: &mut BTreeSet<(Module, Vec<String>)>) -> BTreeSet<String> {
        let Some((name, rest)) = path.split_first() else {
            return BTreeSet::from([self.file_of(&module)]);
        };
        let below = child(&module, name);
        if self.is_module(&below) {
            return self.walk(below, rest, seen);
        }
        if let Some(import) = self
            .imports_of(&module)
            .find(|import| import.name.as_deref() == Some(name))
        {
            return self.resolve(&module, &[import.path.as_slice(), rest].concat(), seen);
        }
        for glob in self.imports_of(&module).filter(|import| import.name.is_none()) {
            let target: BTreeSet<String> = self.resolve(&module, &[glob.path.as_slice(), path].concat(), seen);
            if !target.is_empty() && !target.contains(&self.file_of(&module)) {
                return target;
            }
        }
        BTreeSet::from([self.file_of(&module)])
    }

    fn is_module(&self, module: &[String]) -> bool {
        self.files.contains_key(module)
    }

    fn imports_of<'c>(&'c self, module: &'c Module) -> impl Iterator<Item = &'c Import> {
        self.imports.iter().filter(move |import| import.within == *module)
    }
}

fn child(module: &[String], name: &str) -> Module {
    [module, &[name.to_owned()]].concat()
}

/// Goes through one file.
struct Reader<'c> {
    found: &'c mut Crate,
    module: Module,
    /// Modules that have files of their own.
    below: &'c mut Vec<Module>,
}

impl Reader<'_> {
    fn import(&mut self, tree: &UseTree, before: &[String]) {
        let (name, path) = match tree {
            UseTree::Path(path) => return self.import(&path.tree, &child(before, &path.ident.to_string())),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, before);
                }
                return;
            }
            UseTree::Glob(_) => (None, before.to_vec()),
            UseTree::Name(name) if name.ident == "self" => (before.last().cloned(), before.to_vec()),
            UseTree::Name(name) => (Some(name.ident.to_string()), child(before, &name.ident.to_string())),
            UseTree::Rename(rename) if rename.ident == "self" => (Some(rename.rename.to_string()), before.to_vec()),
            UseTree::Rename(rename) => (
                Some(rename.rename.to_string()),
                child(before, &rename.ident.to_string()),
            ),
        };
        let within = self.module.clone();
        self.found.imports.push(Import { within, name, path });
    }

    fn speaks_of(&mut self, path: Vec<String>) {
        self.found.paths.push((self.module.clone(), path));
    }
}

impl Visit<'_> for Reader<'_> {
    fn visit_item(&mut self, item: &Item) {
        if !attributes(item).iter().any(is_for_tests) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &ItemMod) {
        let module = child(&self.module, &item.ident.to_string());
        match &item.content {
            None => self.below.push(module),
            Some((_, items)) => {
                let outer = std::mem::replace(&mut self.module, module);
                for item in items {
                    self.visit_item(item);
                }
                self.module = outer;
            }
        }
    }

    /// `pub(crate)` speaks of nothing.
    fn visit_visibility(&mut self, _: &syn::Visibility) {}

    fn visit_item_use(&mut self, item: &syn::ItemUse) {
        self.import(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &syn::Path) {
        self.speaks_of(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &syn::Macro) {
        for path in paths_within(&call.tokens.to_string()) {
            self.speaks_of(path);
        }
        visit::visit_macro(self, call);
    }
}

/// Paths in the arguments of a macro, which are no code before it is expanded.
fn paths_within(tokens: &str) -> Vec<Vec<String>> {
    let is_name = |token: &str| token.starts_with(|char: char| char.is_alphabetic() || char == '_');
    let words: Vec<&str> = tokens.split_whitespace().collect();
    let mut paths = Vec::new();
    let mut place = 0;
    while place < words.len() {
        let mut path = Vec::new();
        while let Some(name) = words.get(place).filter(|word| is_name(word)) {
            path.push(
                name.trim_end_matches(|char: char| !char.is_alphanumeric() && char != '_')
                    .to_owned(),
            );
            place += 1;
            if words.get(place) == Some(&"::") {
                place += 1;
            } else {
                break;
            }
        }
        if path.len() > 1 {
            paths.push(path);
        } else if words.get(place).is_some_and(|word| !is_name(word)) || place >= words.len() {
            place += 1;
        }
    }
    paths
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn is_for_tests(attribute: &Attribute) -> bool {
    let Meta::List(list) = &attribute.meta else {
        return false;
    };
    list.path.is_ident("cfg") && list.tokens.to_string() == "test"
}

/// The sets of files that lead back to themselves.
pub(crate) fn circles(graph: &Graph) -> Vec<BTreeSet<String>> {
    let reaches: BTreeMap<&String, BTreeSet<&String>> = graph.keys().map(|file| (file, reached(graph, file))).collect();
    let mut circles: Vec<BTreeSet<String>> = Vec::new();
    for (file, reached) in &reaches {
        if reached.contains(*file) && !circles.iter().any(|circle| circle.contains(*file)) {
            let back = reached.iter().filter(|other| reaches[**other].contains(*file));
            circles.push(back.map(|file| (*file).clone()).collect());
        }
    }
    circles
}

/// What a file leads to, in any number of steps.
fn reached<'g>(graph: &'g Graph, file: &String) -> BTreeSet<&'g String> {
    let mut reached = BTreeSet::new();
    let mut left: Vec<&String> = graph[file].iter().collect();
    while let Some(next) = left.pop() {
        if reached.insert(next) {
            left.extend(&graph[next]);
        }
    }
    reached
}
