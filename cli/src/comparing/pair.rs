//! Which documents are compared?

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    rc::Rc,
};

use svidgate_policy::{Format, analysis::Policy};

use crate::{
    codes::reading::NO_DOCUMENT,
    finding::{Finding, Level},
    input::{
        document::{Document, to_json},
        files::{self, Wanted, wanted},
        git::Commit,
        load::Loaded,
        policy::{NotRead, Read, read},
    },
    source::Source,
};

/// Two policies, and what messages call them.
pub struct Pair {
    /// As it is or was.
    pub old: Rc<Side>,
    /// As it is or will be.
    pub new: Rc<Side>,
}

/// One of two policies.
pub struct Side {
    /// What messages call it: a file, with the commit before it where it is of one.
    pub name: String,
    /// As it is written; `None` where there is none, and what would allow nothing stands for it.
    pub document: Option<Document>,
    /// As it runs.
    pub policy: Policy,
}

/// What was found at a commit and here.
pub struct Found {
    /// What is to be compared.
    pub pairs: Vec<Pair>,
    /// How many files were looked at that carry no policy.
    pub passed_over: usize,
}

/// The policies of two files.
///
/// # Errors
/// Where one of them cannot be read, carries none or several, or one with mistakes.
pub fn of_files(old: &Path, new: &Path) -> Result<Pair, NotRead> {
    let side = |path: &Path| {
        let Read { document, policy } = read(path)?;
        Ok(Rc::new(Side {
            name: files::shown(path),
            document: Some(document),
            policy,
        }))
    };
    Ok(Pair {
        old: side(old)?,
        new: side(new)?,
    })
}

/// The policies of files at a commit, and those that are there now; of no files, of all that changed since.
///
/// # Errors
/// Where something cannot be read, or has mistakes.
pub fn since(written: &str, named: &[PathBuf]) -> Result<Found, NotRead> {
    let mut found = Found {
        pairs: Vec::new(),
        passed_over: 0,
    };
    if named.is_empty() {
        let here = Path::new("");
        let told = |what: String| NotRead::trouble(Path::new("--git"), what);
        let commit = Commit::find(written, here).map_err(told)?;
        let changed = commit.changed().map_err(told)?;
        if changed.len() > files::MAX_FILES {
            let most = files::MAX_FILES;
            return Err(told(format!("more than {most} files changed; name those that count")));
        }
        for path in changed {
            let wanted = Wanted {
                path,
                name: None,
                named: false,
            };
            found.take(&commit, &wanted)?;
        }
    } else {
        for wanted in wanted(named, false).map_err(NotRead::Troubles)? {
            let (commit, _) =
                Commit::of_file(written, &wanted.path).map_err(|what| NotRead::trouble(&wanted.path, what))?;
            let before = found.pairs.len();
            found.take(&commit, &wanted)?;
            if found.pairs.len() == before {
                let what = format!("carries no policy, here and at {written}");
                return Err(NotRead::trouble(&wanted.path, what));
            }
        }
    }
    Ok(found)
}

impl Found {
    fn take(&mut self, commit: &Commit, wanted: &Wanted) -> Result<(), NotRead> {
        let told = |what: &str| NotRead::trouble(&wanted.path, what);
        let written = &commit.written;
        let (of_file, name) = Commit::of_file(written, &wanted.path).map_err(|what| told(&what))?;
        let old = of_file
            .file(&name)
            .map_err(|what| told(&format!("at {written}: {what}")))?;
        let new = match fs::symlink_metadata(&wanted.path) {
            // What was named may be a link, as it may be for every command.
            Ok(kind) if kind.is_file() || wanted.named => {
                Some(files::read(&wanted.path).map_err(|trouble| NotRead::Troubles(vec![trouble]))?)
            }
            Ok(_) => return Err(told("is no plain file any more; name it, if what it leads to counts")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(told(&error.to_string())),
        };
        if old.is_none() && new.is_none() {
            return Err(told(&format!("is not there, and was not at {written}")));
        }
        // Whether there is any is asked of both together.
        let wanted = Wanted {
            named: false,
            ..wanted.clone()
        };
        let shown = files::shown(&wanted.path);
        let documents = |name: &str, bytes: Option<Vec<u8>>| match bytes {
            Some(bytes) => documents(name, bytes, &wanted),
            None => Ok(Vec::new()),
        };
        // The spelling of git. It ends as the file does, by which its language is told.
        let old = documents(&format!("{written}:{shown}"), old)?;
        let new = documents(&shown, new)?;
        if old.is_empty() && new.is_empty() {
            self.passed_over = self.passed_over.saturating_add(1);
            return Ok(());
        }
        let names = [format!("{written}:{shown}"), shown];
        self.pairs.extend(paired(&names, old, new).map_err(|why| match why {
            Unpaired::NotRead(why) => why,
            Unpaired::Name(what) => told(&what),
        })?);
        Ok(())
    }
}

enum Unpaired {
    NotRead(NotRead),
    Name(String),
}

/// Puts documents together that are carried under the same name; one alone and one alone whatever their names.
fn paired(names: &[String; 2], old: Vec<Document>, new: Vec<Document>) -> Result<Vec<Pair>, Unpaired> {
    let [of_old, of_new] = names;
    if old.len() <= 1 && new.len() <= 1 {
        let made = |name: &String, document: Option<Document>| document.map(|document| side(name.clone(), document));
        let old = made(of_old, old.into_iter().next())
            .transpose()
            .map_err(Unpaired::NotRead)?;
        let new = made(of_new, new.into_iter().next())
            .transpose()
            .map_err(Unpaired::NotRead)?;
        return pair(names, old.map(Rc::new), new.map(Rc::new)).map(|pair| vec![pair]);
    }
    let (old, old_names) = named(of_old, old)?;
    let (new, new_names) = named(of_new, new)?;
    let mut places: Vec<(Option<usize>, Option<usize>)> = Vec::new();
    for name in new_names.keys().chain(old_names.keys()) {
        let both = (old_names.get(name).copied(), new_names.get(name).copied());
        if !places.contains(&both) {
            places.push(both);
        }
    }
    let at = |sides: &[Rc<Side>], place: Option<usize>| place.and_then(|place| sides.get(place)).cloned();
    let pairs = places.into_iter();
    pairs
        .map(|(one, two)| pair(names, at(&old, one), at(&new, two)))
        .collect()
}

type Named = (Vec<Rc<Side>>, BTreeMap<String, usize>);

fn named(file: &str, documents: Vec<Document>) -> Result<Named, Unpaired> {
    let (mut sides, mut names) = (Vec::new(), BTreeMap::new());
    for (place, document) in documents.into_iter().enumerate() {
        let own: Vec<String> = document
            .carriers
            .iter()
            .filter_map(|carrier| carrier.name.clone())
            .collect();
        let Some(first) = own.first() else {
            return Err(Unpaired::Name(format!(
                "{file} carries several policies, and one without a name, so that nobody can tell which it was"
            )));
        };
        let shown = format!("{file}#{first}");
        for name in own {
            if names.insert(name.clone(), place).is_some_and(|other| other != place) {
                return Err(Unpaired::Name(format!(
                    "{file} carries two policies of the name `{name}`"
                )));
            }
        }
        sides.push(Rc::new(side(shown, document).map_err(Unpaired::NotRead)?));
    }
    Ok((sides, names))
}

/// With what allows nothing in place of what is not there: a gate without a document lets nobody pass.
fn pair([of_old, of_new]: &[String; 2], old: Option<Rc<Side>>, new: Option<Rc<Side>>) -> Result<Pair, Unpaired> {
    let instead = |name: &String, side: &Side| {
        let closed = closed(name, side).map(Rc::new);
        closed.ok_or_else(|| Unpaired::Name(format!("{} cannot be compared with nothing", side.name)))
    };
    let (old, new) = match (old, new) {
        (Some(old), Some(new)) => (old, new),
        (Some(old), None) => (Rc::clone(&old), instead(of_new, &old)?),
        (None, Some(new)) => (instead(of_old, &new)?, new),
        (None, None) => return Err(Unpaired::Name(format!("{of_new} carries no policy"))),
    };
    Ok(Pair { old, new })
}

/// The same without its rules.
fn closed(name: &str, side: &Side) -> Option<Side> {
    let json = to_json(side.document.as_ref()?.root()?).ok()?;
    let mut json: serde_json::Value = serde_json::from_str(&json).ok()?;
    *json.get_mut("rules")? = serde_json::json!([]);
    // Hops that no rule names are a mistake, and so is what is expected of tokens that none brings.
    for name in ["hops", "jwt_svid"] {
        json.as_object_mut()?.remove(name);
    }
    let policy = Policy::read(json.to_string().as_bytes(), Format::Json).ok()?;
    Some(Side {
        name: name.to_owned(),
        document: None,
        policy,
    })
}

fn documents(name: &str, bytes: Vec<u8>, wanted: &Wanted) -> Result<Vec<Document>, NotRead> {
    let text = String::from_utf8(bytes).map_err(|_| NotRead::trouble(Path::new(name), "is not UTF-8"))?;
    let mut loaded = Loaded::default();
    loaded.source(&Source::new(name, text), wanted);
    let hinders = |finding: &Finding| {
        // Of a name that one side alone has, the other has nothing.
        let is_absent = finding.code == &NO_DOCUMENT && wanted.name.is_some() && !wanted.named;
        finding.level == Level::Error && !is_absent
    };
    let mistakes: Vec<Finding> = loaded.findings.into_iter().filter(hinders).collect();
    match (loaded.troubles.is_empty(), mistakes.is_empty()) {
        (false, _) => Err(NotRead::Troubles(loaded.troubles)),
        (true, false) => Err(NotRead::Mistakes(mistakes)),
        (true, true) => Ok(loaded.documents),
    }
}

fn side(name: String, document: Document) -> Result<Side, NotRead> {
    let Read { document, policy } = Read::of(document)?;
    Ok(Side {
        name,
        document: Some(document),
        policy,
    })
}
