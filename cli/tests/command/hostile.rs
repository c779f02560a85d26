//! One document with everything that a terminal, a CI system or a browser would obey, through every format.

use serde_json::Value;

use crate::stage::Stage;

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

/// No format passes on what changes how other text looks.
#[test]
fn nothing_hidden_gets_into_any_format() {
    for format in ["text", "json", "junit", "sarif", "github", "markdown"] {
        let hidden: Vec<char> = rendered(format)
            .chars()
            .filter(|c| {
                (c.is_control() && *c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{200b}'..='\u{200f}')
            })
            .collect();
        assert!(hidden.is_empty(), "{format}: {hidden:?}");
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
