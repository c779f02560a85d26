//! What the fuzzers begin with: the texts of the vectors of `policy`, and certificates of the test CA.
//!
//! `seeds OUT [VECTORS]` writes a directory for each target of `fuzz/`; PEM, DER and JSON of other projects' vectors
//! are added where there are some. They are made anew each time, so that a vector that is added is a seed too.

mod certificates;
mod texts;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Where the seeds go, each under the number that it is.
struct Seeds(PathBuf);

impl Seeds {
    fn add(&self, target: &str, seed: impl AsRef<[u8]>) {
        let directory = self.0.join(target);
        fs::create_dir_all(&directory).expect("the directory can be made");
        let number = fs::read_dir(&directory).expect("it is there").count();
        fs::write(directory.join(number.to_string()), seed).expect("the seed can be written");
    }
}

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let (out, vectors) = match arguments.as_slice() {
        [out] => (out, None),
        [out, vectors] => (out, Some(vectors)),
        _ => {
            eprintln!("usage: seeds OUT [VECTORS]");
            return ExitCode::FAILURE;
        }
    };
    match fs::remove_dir_all(out) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            eprintln!("{}: {error}", out.display());
            return ExitCode::FAILURE;
        }
        _ => {}
    }
    let seeds = Seeds(out.clone());
    texts::write(&seeds);
    certificates::write(&seeds);
    if let Some(vectors) = vectors {
        outside(vectors, &seeds);
    }
    ExitCode::SUCCESS
}

/// Largest file of other projects that is worth mutating.
const MAX_OUTSIDE_BYTES: u64 = 8 * 1024;

fn outside(directory: &Path, seeds: &Seeds) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            outside(&path, seeds);
            continue;
        }
        let small = path
            .metadata()
            .is_ok_and(|metadata| metadata.len() <= MAX_OUTSIDE_BYTES);
        let Some(content) = small.then(|| fs::read(&path).ok()).flatten() else {
            continue;
        };
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("pem") => {
                if let Ok(chain) = svidgate_policy::certificate::pem::read_pem(&content) {
                    let chain = chain.iter().flat_map(|der| der.iter().copied());
                    seeds.add("leaf", std::iter::once(1).chain(chain).collect::<Vec<u8>>());
                }
                seeds.add("pem", content);
            }
            Some("der") => seeds.add("leaf", [&[1], content.as_slice()].concat()),
            Some("json") => seeds.add("bundle", content),
            _ => {}
        }
    }
}
