//! One document with everything that a terminal, a CI system or a browser would obey, through every format.

use serde_json::Value;

use crate::stage::{Ended, Stage};

/// What a pull request may put into names, in one word.
const EVIL: &str = "\u{1b}[2J\u{202e}\u{9b}x\n::error file=a::b\r\n%0A`|<script>alert(1)</script>@team #1 [x](https://evil.example) ![y](z) www.evil.example &lt; ~~a~~ $a$ ]]> \\";
const FILE: &str = "a,b=c::d%0A`|<b>@x [y](z).yaml";

fn stage() -> Stage {
    let name = serde_json::to_string(EVIL).unwrap();
    let document = format!(
        "{{\"trust_domain\": \"prod.example\", \"chain\": \"proxy\", \"version\": {name}, \"mode\": {name}, {name}: 1,\n \
         \"revoked\": [{{\"reason\": {name}, \"id\": {name}}}],\n \"rules\": [{{\"name\": {name}, \"effect\": {name}, \
         \"from\": [{name}], \"to\": [{{\"paths\": [{name}], \"hosts\": [{name}]}}], \"expires\": {name}}}]}}"
    );
    Stage::new(&[(FILE, &document)])
}

fn rendered(format: &str) -> String {
    let ended = stage().run(&["check", FILE, "--format", format]);
    assert_eq!((ended.code, ended.err.as_str()), (1, ""), "{format}");
    assert!(
        ended.out.contains("SG0015") && ended.out.contains("SG0018"),
        "{format}: {}",
        ended.out
    );
    ended.out
}

/// What `diff` says of two policies that compile, from a file of that name to one of that name, with expected changes in a
/// file of that name.
fn compared(format: &str) -> [Ended; 2] {
    let rule = |name: &str, path: &str| {
        let strings = [name, path, EVIL].map(|text| serde_json::to_string(text).unwrap());
        let [name, path, evil] = strings;
        format!(
            "{{\"name\": {name}, \"effect\": \"allow\", \"from\": [\"spiffe://prod.example/a\"], \"to\": [{{\"paths\": \
             [{path}], \"routes\": [{evil}], \"methods\": [\"GET\"]}}]}}"
        )
    };
    let document = |rules: &[String], mode: &str| {
        let rules = rules.join(",");
        format!(
            "{{\"trust_domain\": \"prod.example\", \"chain\": \"proxy\", \"mode\": \"{mode}\", \"listener\": \"http\", \
             \"rules\": [{rules}]}}"
        )
    };
    let old = document(&[rule("::error::https://old.example", "/o/<b>|`@x")], "enforce");
    let new = document(&[rule("www.evil.example::warning::x", "/n/<b>|`@x")], "dry_run");
    let expected = "gains: [ { from: [ \"spiffe://prod.example/none\" ] } ]";
    let new_name = FILE.replace(".yaml", ".json");
    let old_name = format!("old {new_name}");
    let stage = Stage::new(&[(&old_name, &old), (&new_name, &new), (FILE, expected)]);
    let diff = |new: &str| stage.run(&["diff", &old_name, new, "--expect", FILE, "--format", format]);
    [diff(&new_name), diff(&old_name)]
}

/// No format passes on what changes how other text looks.
#[test]
fn nothing_hidden_gets_into_any_format() {
    for format in ["text", "json", "junit", "sarif", "github", "markdown"] {
        let [diff, none] = compared(format);
        assert_eq!((diff.code, diff.err.as_str()), (1, ""), "{format}: {}", diff.out);
        for out in [rendered(format), diff.out, none.out] {
            let hidden: Vec<char> = out
                .chars()
                .filter(|c| {
                    (c.is_control() && *c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{200b}'..='\u{200f}')
                })
                .collect();
            assert!(hidden.is_empty(), "{format}: {hidden:?}");
        }
    }
}

#[test]
fn comparison_has_no_commands_markup_or_links_of_the_documents() {
    let printed = |format: &str| compared(format).map(|ended| ended.out);
    let github = printed("github").concat();
    let commands: Vec<&str> = github.lines().filter(|line| line.contains("::")).collect();
    assert_eq!(commands.len(), 4, "{github}");
    for line in commands {
        let (properties, message) = line.strip_prefix("::error ").unwrap().split_once("::").unwrap();
        assert!(
            properties.starts_with("file=a%2Cb=c%3A%3Ad%250A`|<b>@x [y](z)."),
            "{line}"
        );
        assert!(!message.contains("%0A") && !message.contains('\u{1b}'), "{line}");
    }
    let markdown = printed("markdown").concat();
    for needle in ["<script", "<b>", "@team", "@x", "](", "https://", "www.", "#1", "`"] {
        assert!(!markdown.replace("\\`", "").contains(needle), "{needle}: {markdown}");
    }
    let junit = printed("junit").concat();
    assert!(!junit.contains("<script") && !junit.contains("<b>"), "{junit}");
    let sarif = printed("sarif").map(|text| serde_json::from_str::<Value>(&text).unwrap());
    let results = sarif
        .iter()
        .flat_map(|log| log["runs"][0]["results"].as_array().unwrap());
    let results: Vec<&Value> = results.collect();
    let mut ids: Vec<&str> = results
        .iter()
        .map(|result| result["ruleId"].as_str().unwrap())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, ["SG0801", "SG0802", "SG0803", "SG0804"]);
    for result in results {
        let message = result["message"]["text"].as_str().unwrap();
        let links = message.replace("\\\\", "").replace("\\[", "").replace("\\]", "");
        assert!(!links.contains(['[', ']']), "{message}");
        let uri = &result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
        assert!(uri.as_str().unwrap().starts_with("a%2Cb%3Dc%3A%3Ad%250A"), "{uri}");
    }
}

#[test]
fn workflow_commands_are_those_of_findings_alone() {
    let out = rendered("github");
    let findings = stage().findings(&[FILE]).len();
    let commands = out.lines().filter(|line| line.contains("::")).count();
    assert!(findings > 5);
    assert_eq!(commands, findings, "{out}");
    for line in out.lines().filter(|line| line.starts_with("::")) {
        assert!(
            line.starts_with("::error file=a%2Cb=c%3A%3Ad%250A`|<b>@x [y](z).yaml,line="),
            "{line}"
        );
        let (properties, message) = line[2..].split_once("::").unwrap();
        assert!(!properties.contains('\u{1b}') && !message.contains("%0A"), "{line}");
    }
}

#[test]
fn markdown_has_no_markup_of_the_document() {
    let out = rendered("markdown");
    for needle in ["<script", "<b>", "@team", "@x", "](", "https://", "www.", "#1", "`"] {
        let bare = out.replace("\\`", "");
        assert!(!bare.contains(needle), "{needle}: {out}");
    }
    // A row is one line with four cells.
    for line in out.lines().filter(|line| line.starts_with('|')) {
        let bars = line.replace("\\|", "").matches('|').count();
        assert_eq!(bars, 5, "{line}");
    }
}

#[test]
fn xml_and_json_are_read_back_as_what_was_said() {
    let junit = rendered("junit");
    assert!(!junit.contains("<script") && !junit.contains("]]>"), "{junit}");
    let sarif: Value = serde_json::from_str(&rendered("sarif")).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), stage().findings(&[FILE]).len());
    for result in results {
        let message = result["message"]["text"].as_str().unwrap();
        let links = message.replace("\\\\", "").replace("\\[", "").replace("\\]", "");
        assert!(!links.contains(['[', ']']), "{message}");
        let uri = &result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
        assert_eq!(uri, "a%2Cb%3Dc%3A%3Ad%250A%60%7C%3Cb%3E%40x%20%5By%5D%28z%29.yaml");
    }
    let json: Value = serde_json::from_str(&rendered("json")).unwrap();
    assert_eq!(json["schema"], "svidgate/check/v1");
    assert_eq!(json["findings"][0]["place"]["file"], FILE);
}
