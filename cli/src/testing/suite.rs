//! Which files of tests are there, and which policy is each about?

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use svidgate_policy::{Timestamp, analysis::Subject};

use crate::{
    input::{
        self,
        compiled::in_words,
        policy::{NotRead, Read, read as read_policy},
        typed::typed,
    },
    source::{Place, Position, Source},
    testing::{
        file::TestFile,
        plan::{Plan, Trouble},
        reach::Reach,
    },
    via::peer,
};

/// What the name of a file of tests ends in.
pub const ENDS: [&str; 3] = [".test.yaml", ".test.yml", ".test.json"];
/// How deep folders are looked into. Our decision.
const MAX_DEPTH: usize = 32;

/// A policy, and all tests of it.
pub struct Suite {
    /// The file of the policy, as the tests name it, from here.
    pub path: PathBuf,
    /// The policy.
    pub read: Read,
    /// The tests, file by file.
    pub plans: Vec<(Arc<Source>, Plan)>,
}

/// A file of tests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tests {
    path: PathBuf,
    /// The folder that was given, in which it was found.
    given: Option<PathBuf>,
}

/// The files of tests in folders, and those that are named.
///
/// # Errors
/// In words, where there is nothing of that name.
pub fn files(paths: &[PathBuf]) -> Result<Vec<Tests>, String> {
    let mut all: Vec<Tests> = Vec::new();
    for given in paths {
        let kind = fs::metadata(given).map_err(|error| format!("{}: {error}", given.display()))?;
        if kind.is_dir() {
            let mut found = Vec::new();
            look_into(given, 0, &mut found)?;
            let given = Some(given.clone());
            all.extend(found.into_iter().map(|path| Tests {
                path,
                given: given.clone(),
            }));
        } else {
            all.push(Tests {
                path: given.clone(),
                given: None,
            });
        }
    }
    // Of one that is named and found, the folder counts.
    all.sort_by(|one, two| (&one.path, &two.given).cmp(&(&two.path, &one.given)));
    all.dedup_by(|one, two| one.path == two.path);
    Ok(all)
}

fn look_into(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), String> {
    let error = |error: std::io::Error| format!("{}: {error}", folder.display());
    if depth > MAX_DEPTH {
        return Err(format!("{}: is more than {MAX_DEPTH} folders deep", folder.display()));
    }
    for entry in fs::read_dir(folder).map_err(error)? {
        let entry = entry.map_err(error)?;
        // A link is not followed: it may lead round in a circle.
        let kind = entry.file_type().map_err(error)?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if kind.is_dir() && !hidden {
            look_into(&entry.path(), depth.saturating_add(1), found)?;
        } else if kind.is_file() && is_test(&entry.path()) {
            let path = entry.path();
            // In the folder that somebody stands in, a file is called by its name.
            found.push(path.strip_prefix(".").map_or(path.clone(), Path::to_owned));
        }
    }
    Ok(())
}

fn is_test(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    name.is_some_and(|name| ENDS.iter().any(|end| name.ends_with(end)))
}

/// Why tests cannot be run.
pub enum Wrong {
    /// Something in a file of tests, with its place in words.
    Tests(String),
    /// The policy that it is about.
    Policy(NotRead),
}

/// Reads files of tests, and the policies that they are about.
///
/// # Errors
/// All that is wrong.
pub fn read(files: &[Tests], now: Timestamp) -> Result<Vec<Suite>, Vec<Wrong>> {
    let (mut suites, mut wrong): (Vec<Suite>, Vec<Wrong>) = (Vec::new(), Vec::new());
    for tests in files {
        match plan(tests, now) {
            Ok((source, policy, plan)) => add(&mut suites, &policy, source, plan, &mut wrong),
            Err(troubles) => {
                let told = |(at, what)| Wrong::Tests(format!("{}{at}: {what}", tests.path.display()));
                wrong.extend(troubles.into_iter().map(told));
            }
        }
    }
    if wrong.is_empty() { Ok(suites) } else { Err(wrong) }
}

fn add(suites: &mut Vec<Suite>, policy: &Path, source: Arc<Source>, plan: Plan, wrong: &mut Vec<Wrong>) {
    let known = suites.iter().position(|suite| suite.path == policy);
    let place = match (known, known.is_none().then(|| read_policy(policy))) {
        (Some(place), _) => place,
        (None, Some(Ok(read))) => {
            suites.push(Suite {
                path: policy.to_owned(),
                read,
                plans: Vec::new(),
            });
            suites.len().saturating_sub(1)
        }
        (None, Some(Err(why))) => return wrong.push(Wrong::Policy(why)),
        (None, None) => return,
    };
    let Some(suite) = suites.get_mut(place) else { return };
    for ((line, column), region) in plan.regions() {
        if let Err(mistakes) = Subject::read(region.to_string().as_bytes(), &suite.read.policy) {
            let name = source.name();
            wrong.push(Wrong::Tests(format!("{name}:{line}:{column}: {}", in_words(&mistakes))));
        }
    }
    for ((line, column), via) in plan.ways() {
        if let Err(what) = peer(via, &suite.read.policy) {
            let name = source.name();
            wrong.push(Wrong::Tests(format!("{name}:{line}:{column}: `via`: {what}")));
        }
    }
    suite.plans.push((source, plan));
}

type Planned = (Arc<Source>, PathBuf, Plan);

fn plan(Tests { path, given }: &Tests, now: Timestamp) -> Result<Planned, Vec<(String, String)>> {
    let whole = |what: String| vec![(String::new(), what)];
    let reach = Reach::of(path, given.as_deref()).map_err(whole)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let bytes = bounded(path).map_err(whole)?;
    let text = String::from_utf8(bytes).map_err(|_| whole("is not UTF-8".to_owned()))?;
    let file: TestFile = typed(&text).map_err(|(at, what)| {
        let at = at.map(|(line, column)| format!(":{line}:{column}"));
        vec![(at.unwrap_or_default(), what)]
    })?;
    let source = Source::new(path.display().to_string(), text);
    let (named, policy) = (&file.policy.referenced, &file.policy.value);
    let (manifest, _) = input::files::split(&folder.join(policy));
    let manifest = manifest.strip_prefix(folder).unwrap_or(&manifest).to_string_lossy();
    reach.check(&manifest).map_err(|what| {
        let at = format!(":{}:{}", named.line(), named.column());
        vec![(at, format!("`{policy}`: {what}"))]
    })?;
    let read = |name: &str| reach.check(name).and_then(|()| bounded(&folder.join(name)));
    let plan = Plan::of(&file, now, &read).map_err(|troubles| {
        let told = |Trouble {
                        at: (line, column),
                        what,
                    }| (format!(":{line}:{column}"), what);
        troubles.into_iter().map(told).collect::<Vec<_>>()
    })?;
    Ok((source, folder.join(&file.policy.value), plan))
}

/// A file, within the bound of all inputs. Not what is no file: a pull request may name a device that never ends.
fn bounded(path: &Path) -> Result<Vec<u8>, String> {
    if !fs::metadata(path).map_err(|error| error.to_string())?.is_file() {
        return Err("is no file".to_owned());
    }
    input::files::read(path).map_err(|trouble| trouble.what)
}

/// A place in a file of tests, to the end of its line.
pub fn place(source: &Arc<Source>, (line, column): (u64, u64)) -> Place {
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let position = Position {
        line: number(line),
        column: number(column),
    };
    let start = source.offset(position);
    let end = source.line(position.line.max(1)).end;
    Place::new(source, start..end.max(start))
}
