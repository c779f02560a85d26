//! A file of suppressions, for JSON and for what a program writes:
//!
//! ```yaml
//! allow:
//!   - { code: SG0301, file: policy.json, place: "federation[0]", because: agreed with legal, LEG-7 }
//! ```

use std::sync::Arc;

use crate::{
    codes::suppression as codes,
    finding::Finding,
    input::{
        json,
        tree::{Node, Tree},
        yaml,
    },
    source::{Place, Source},
    suppression::borne::{Reach, Suppression, suppressible},
};

const FIELDS: [&str; 4] = ["code", "file", "place", "because"];

/// Reads one; what is wrong in it is added to the findings.
pub fn read_list(source: &Arc<Source>, findings: &mut Vec<Finding>) -> Vec<Suppression> {
    let mut note = |range, what: String| {
        let finding = Finding::new(&codes::UNREADABLE, Place::new(source, range), what);
        findings.push(
            finding.right("`allow`: a list of `{ code, file, place, because }`, of which `file` may be left out"),
        );
    };
    let tree = match tree(source.text()) {
        Ok(tree) => tree,
        Err((offset, what)) => {
            note(offset..offset, what);
            return Vec::new();
        }
    };
    let Some(list) = tree
        .root()
        .and_then(|root| root.get("allow"))
        .filter(|list| list.is_list())
    else {
        note(0..0, "expected the list `allow`".to_owned());
        return Vec::new();
    };
    let mut suppressions = Vec::new();
    for entry in list.items() {
        match suppression(source, entry) {
            Ok(suppression) => suppressions.push(suppression),
            Err(what) => note(entry.range(), what),
        }
    }
    suppressions
}

fn tree(text: &str) -> Result<Tree, (usize, String)> {
    if let Ok(tree) = json::read(text) {
        return Ok(tree);
    }
    let trees = yaml::read(text).map_err(|error| (error.offset, format!("cannot be read: {}", error.what)))?;
    trees.into_iter().next().ok_or((0, "is empty".to_owned()))
}

fn suppression(source: &Arc<Source>, entry: Node<'_>) -> Result<Suppression, String> {
    if let Some((member, _)) = entry.members().find(|(member, _)| !FIELDS.contains(&&*member.name)) {
        return Err(format!("`{}` is no member of a suppression", member.name));
    }
    let text = |name: &str| {
        entry
            .get(name)
            .and_then(Node::as_str)
            .filter(|text| !text.trim().is_empty())
    };
    let because = text("because").ok_or("a suppression needs a reason: `because`")?;
    let place = text("place").ok_or("a suppression needs a place of the document, like `federation[0]`: `place`")?;
    Ok(Suppression {
        place: Place::new(source, entry.range()),
        number: suppressible(text("code").ok_or("a suppression needs a `code`")?)?,
        reach: Reach::Listed {
            file: text("file").map(str::to_owned),
            place: place.to_owned(),
        },
        because: because.to_owned(),
    })
}
