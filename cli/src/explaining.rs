//! An explanation, as people, programs and pull requests read it.

use std::fmt::Write as _;

use serde_json::{Value, json};
use svidgate_policy::{
    Effect,
    analysis::explain::{AboutEntry, AboutHop, AboutRule, Answer, Demand, Explanation, Holds},
};

use crate::{as_json::as_json, input::document::Document, report::escape_markdown, visible::visible};

/// Most rules that are shown unless all are asked for.
const MAX_SHOWN: usize = 20;
/// Most near misses that are shown.
const MAX_NEAREST: usize = 5;
/// Longest value of a demand that is shown, in characters.
const MAX_VALUE: usize = 50;
/// How wide running text is, in characters.
const WIDTH: usize = 78;
/// Longest line of a near miss, in characters; a longer one is shown as several.
const MAX_LINE: usize = 76;

/// All that is said about one request.
pub struct Explained<'a> {
    /// The document, for its lines and words.
    pub document: &'a Document,
    /// Who asks.
    pub id: String,
    /// Who brings it; `None` where who asks connects.
    pub via: Option<String>,
    /// What is asked.
    pub asked: String,
    /// What is answered.
    pub explanation: &'a Explanation,
    /// What to do about the answer.
    pub advice: &'a str,
    /// Whether every rule is shown, and not those alone that speak of the id.
    pub all: bool,
}

/// How near a rule is to making the answer another one.
struct Near<'e> {
    rule: &'e AboutRule,
    missing: Vec<(usize, Demand, Holds)>,
}

impl Explained<'_> {
    /// For a terminal, at most 80 columns where words allow it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let answer = &self.explanation.answer;
        let _ = writeln!(text, "{}", told(answer));
        let _ = writeln!(text, "{} asks {}", visible(&self.id), visible(&self.asked));
        if let Some(via) = &self.via {
            let _ = writeln!(text, "through {}", visible(via));
        }
        if let Some(detail) = &answer.detail {
            let _ = writeln!(text, "{}", crate::wrap::wrap(&detail.to_string(), WIDTH));
        }
        if let Some((effect, rule)) = &answer.dry_run {
            let _ = writeln!(text, "with the rules in a dry run: {} {rule}", effect.as_str());
        }
        if !self.explanation.hops.is_empty() {
            let _ = writeln!(text, "\nhops that it comes through, or may not");
        }
        for hop in &self.explanation.hops {
            self.hop(hop, &mut text);
        }
        let (shown, more) = self.shown();
        if !shown.is_empty() {
            let _ = writeln!(text, "\n{}", self.heading());
        }
        for rule in shown {
            self.rule(rule, &mut text);
        }
        if more > 0 {
            let _ = writeln!(text, "  and {more} more that do not apply; --all shows them");
        }
        if self.explanation.rules.is_empty() {
            let _ = writeln!(text, "\nrefused before any rule is asked");
        } else if !self.explanation.rules.iter().any(AboutRule::speaks_of_the_id) {
            let _ = writeln!(text, "\nno rule speaks of this id");
        }
        let nearest = self.nearest();
        if !nearest.is_empty() {
            let _ = writeln!(text, "\nnearest");
        }
        for near in nearest {
            let line = self.near(&near);
            if line.chars().count() <= MAX_LINE {
                let _ = writeln!(text, "  {line}");
            } else {
                let _ = writeln!(text, "  {} would allow it but for", near.rule.name);
                for missing in self.missing(&near) {
                    let _ = writeln!(text, "    {missing}");
                }
            }
        }
        if !answer.is_allowed() {
            let _ = writeln!(text, "\nwhat to do\n{}", indented(&crate::wrap::wrap(self.advice, 76)));
        }
        text
    }

    /// For programs: one object, to which members are only ever added.
    pub fn json(&self) -> String {
        let answer = &self.explanation.answer;
        let rules: Vec<Value> = self.relevant().map(|rule| self.rule_json(rule)).collect();
        let nearest: Vec<Value> = self.nearest().iter().map(|near| self.near_json(near)).collect();
        let whole = json!({
            "schema": "svidgate/explain/v1",
            "id": self.id,
            "via": self.via,
            "request": self.asked,
            "effect": answer.effect.as_str(),
            "reason": answer.reason.code(),
            "rule": answer.rule,
            "detail": answer.detail.map(|detail| detail.to_string()),
            "would_be": answer.dry_run.as_ref().map(|(effect, rule)| json!({ "effect": effect.as_str(), "rule": rule })),
            "hops": self.explanation.hops.iter().map(|hop| self.hop_json(hop)).collect::<Vec<_>>(),
            "rules": rules,
            "nearest": nearest,
            "advice": self.advice,
        });
        as_json(&whole)
    }

    /// For a comment.
    pub fn markdown(&self) -> String {
        let answer = &self.explanation.answer;
        let mut text = String::new();
        let _ = writeln!(text, "**{}**", escape_markdown(&told(answer)));
        let _ = writeln!(
            text,
            "\n{} asks {}{}\n",
            escape_markdown(&self.id),
            escape_markdown(&self.asked),
            escape_markdown(
                &self
                    .via
                    .as_ref()
                    .map(|via| format!(" through {via}"))
                    .unwrap_or_default()
            )
        );
        for hop in &self.explanation.hops {
            let _ = writeln!(text, "- hop {}: {}", escape_markdown(&hop.name), brings(hop));
        }
        if !self.explanation.hops.is_empty() {
            text.push('\n');
        }
        let _ = writeln!(text, "| rule | demand | holds |\n|---|---|---|");
        let (shown, more) = self.shown();
        for rule in shown {
            for (at, demand, holds) in rows(rule) {
                let demand = self.demand(rule, at, demand);
                let _ = writeln!(
                    text,
                    "| {} ({}{}) | {} | {} |",
                    escape_markdown(&rule.name),
                    rule.effect.as_str(),
                    whose(rule),
                    escape_markdown(&demand),
                    word(holds)
                );
            }
        }
        if more > 0 {
            let _ = writeln!(text, "\nand {more} more that do not apply");
        }
        for near in self.nearest() {
            let _ = writeln!(text, "\n- {}", escape_markdown(&self.near(&near)));
        }
        text
    }

    fn heading(&self) -> &'static str {
        match (self.all, &self.via) {
            (true, _) => "rules",
            (false, None) => "rules that speak of this id",
            (false, Some(_)) => "rules that speak of this id, and denials that speak of the hop",
        }
    }

    /// The demands of an entry of `hops`, and whether they hold.
    fn of_hop(&self, hop: &AboutHop) -> Vec<(String, Option<String>, Holds)> {
        let yes = |yes: bool| if yes { Holds::Yes } else { Holds::No };
        let demands = [
            ("callers", Some(yes(!hop.callers.is_empty()))),
            ("except", Some(yes(hop.excepted.is_none()))),
            ("expires", hop.is_over.map(|is_over| yes(!is_over))),
        ];
        let written = demands.into_iter().filter_map(|(member, holds)| {
            let path = format!("hops[{}].{member}", hop.place);
            let value = self.value_at(&path);
            // Without exceptions there is none that could take anybody out.
            let holds = holds.filter(|_| member != "except" || value.is_some())?;
            Some((path, value, holds))
        });
        written.collect()
    }

    fn hop(&self, hop: &AboutHop, text: &mut String) {
        let place = self.document.place(&format!("hops[{}]", hop.place));
        let at = format!("{}:{}", visible(place.source.name()), place.start().line);
        let _ = writeln!(text, "  {}: {} ({at})", hop.name, brings(hop));
        for (path, value, holds) in self.of_hop(hop) {
            let member = path.rsplit('.').next().unwrap_or_default();
            let _ = writeln!(text, "    {:<8} {member}: {}", word(holds), value.unwrap_or_default());
        }
    }

    fn hop_json(&self, hop: &AboutHop) -> Value {
        let place = self.document.place(&format!("hops[{}]", hop.place));
        let demands = self.of_hop(hop).into_iter();
        let demands = demands.map(|(path, says, holds)| json!({ "place": path, "holds": word(holds), "says": says }));
        json!({
            "hop": hop.name,
            "place": format!("hops[{}]", hop.place),
            "file": place.source.name(),
            "line": place.start().line,
            "brings": hop.is_taken() && hop.is_over != Some(true),
            "demands": demands.collect::<Vec<_>>(),
        })
    }

    fn relevant(&self) -> impl Iterator<Item = &AboutRule> {
        let rules = self.explanation.rules.iter();
        rules.filter(|rule| self.all || rule.speaks_of_the_id())
    }

    /// The rules to show, those that apply first, and how many more there are.
    fn shown(&self) -> (Vec<&AboutRule>, usize) {
        let mut rules: Vec<_> = self.relevant().collect();
        if self.all {
            return (rules, 0);
        }
        rules.sort_by_key(|rule| (rule.nearest().map(|(_, missing)| missing), rule.place));
        let more = rules.len().saturating_sub(MAX_SHOWN);
        rules.truncate(MAX_SHOWN);
        (rules, more)
    }

    /// The allow rules that miss least, where it is denied and no rule denies it; a rule that denies it, where one does.
    fn nearest(&self) -> Vec<Near<'_>> {
        let explanation = &self.explanation;
        let is_denied_by_rule = explanation.answer.reason == svidgate_policy::Reason::RuleDenied;
        if explanation.answer.is_allowed() || is_denied_by_rule {
            return Vec::new();
        }
        let rules = explanation.rules.iter();
        let allows = rules.filter(|rule| rule.effect == Effect::Allow && !rule.dry_run);
        let mut near: Vec<Near<'_>> = allows
            .filter_map(|rule| {
                let (at, _) = rule.nearest()?;
                let entry = rule.entries.get(at)?;
                let missing = rule.missing(entry).map(|(demand, holds)| (at, demand, holds)).collect();
                Some(Near { rule, missing })
            })
            .filter(|near| !near.missing.is_empty())
            .collect();
        near.sort_by_key(|near| (near.missing.len(), !near.rule.speaks_of_the_id(), near.rule.place));
        let least = near.first().map_or(0, |near| near.missing.len());
        // What misses far more than another is no near miss.
        near.retain(|near| near.missing.len() <= least.saturating_add(1));
        near.truncate(MAX_NEAREST);
        near
    }

    fn near(&self, near: &Near<'_>) -> String {
        format!(
            "{} would allow it but for {}",
            near.rule.name,
            self.missing(near).join(", ")
        )
    }

    fn missing(&self, near: &Near<'_>) -> Vec<String> {
        let missing = near.missing.iter();
        missing
            .map(|(at, demand, holds)| {
                let unknown = if *holds == Holds::Unknown { " (not known)" } else { "" };
                format!("{}{unknown}", self.demand(near.rule, *at, *demand))
            })
            .collect()
    }

    fn near_json(&self, near: &Near<'_>) -> Value {
        let missing: Vec<Value> = near
            .missing
            .iter()
            .map(|(at, demand, holds)| self.demand_json(near.rule, *at, *demand, *holds))
            .collect();
        json!({ "rule": near.rule.name, "missing": missing })
    }

    fn rule(&self, rule: &AboutRule, text: &mut String) {
        let place = self.document.place(&format!("rules[{}]", rule.place));
        let applies = if rule.applies() { "applies" } else { "does not apply" };
        let dry_run = if rule.dry_run { ", dry run" } else { "" };
        let at = format!("{}:{}", visible(place.source.name()), place.start().line);
        let _ = writeln!(
            text,
            "  {}, {}{}{dry_run}: {applies} ({at})",
            rule.name,
            rule.effect.as_str(),
            whose(rule)
        );
        for (at, demand, holds) in rows(rule) {
            let _ = writeln!(text, "    {:<8} {}", word(holds), self.demand(rule, at, demand));
        }
    }

    fn rule_json(&self, rule: &AboutRule) -> Value {
        let place = self.document.place(&format!("rules[{}]", rule.place));
        let demands: Vec<Value> = rows(rule)
            .into_iter()
            .map(|(at, demand, holds)| self.demand_json(rule, at, demand, holds))
            .collect();
        json!({
            "rule": rule.name,
            "place": format!("rules[{}]", rule.place),
            "file": place.source.name(),
            "line": place.start().line,
            "effect": rule.effect.as_str(),
            "dry_run": rule.dry_run,
            "of": if rule.is_about_hop { "hop" } else { "caller" },
            "applies": rule.applies(),
            "demands": demands,
        })
    }

    fn demand_json(&self, rule: &AboutRule, at: usize, demand: Demand, holds: Holds) -> Value {
        json!({ "place": path(rule, at, demand), "holds": word(holds), "says": self.value(rule, at, demand) })
    }

    /// `methods: [ GET, HEAD ]`
    fn demand(&self, rule: &AboutRule, at: usize, demand: Demand) -> String {
        let member = demand.member();
        let several = rule.entries.len() > 1 && demand.is_of_entry();
        let member = if several { format!("to[{at}].{member}") } else { member };
        match self.value(rule, at, demand) {
            Some(value) => format!("{member}: {value}"),
            None => member,
        }
    }

    /// What the document says there, in one line.
    fn value(&self, rule: &AboutRule, at: usize, demand: Demand) -> Option<String> {
        let value = self.value_at(&path(rule, at, demand));
        // An allow rule that names no way speaks of the direct one.
        let direct = || (demand == Demand::Via).then(|| "[ direct ], as it is not written".to_owned());
        value.or_else(direct)
    }

    fn value_at(&self, path: &str) -> Option<String> {
        let node = self.document.value_at(path)?;
        let words: Vec<&str> = self.document.source.slice(node).split_whitespace().collect();
        let value = visible(&words.join(" "));
        if value.chars().count() > MAX_VALUE {
            let cut: String = value.chars().take(MAX_VALUE.saturating_sub(3)).collect();
            return Some(format!("{cut}..."));
        }
        Some(value)
    }
}

/// The demands to show of a rule: its own, and those of the entry of `to` that is nearest.
fn rows(rule: &AboutRule) -> Vec<(usize, Demand, Holds)> {
    let at = rule.nearest().map_or(0, |(at, _)| at);
    let own = rule.demands.iter();
    let entry = rule
        .entries
        .get(at)
        .into_iter()
        .flat_map(|entry: &AboutEntry| &entry.demands);
    own.chain(entry).map(|(demand, holds)| (at, *demand, *holds)).collect()
}

fn path(rule: &AboutRule, at: usize, demand: Demand) -> String {
    let (rule, member) = (rule.place, demand.member());
    if demand.is_of_entry() {
        format!("rules[{rule}].to[{at}].{member}")
    } else {
        format!("rules[{rule}].{member}")
    }
}

/// What a hop has to do with a caller.
fn brings(hop: &AboutHop) -> &'static str {
    match (hop.is_taken(), hop.is_over) {
        (true, Some(true)) => "has brought this caller, and is over",
        (true, Some(false) | None) => "brings this caller",
        (false, _) => "may not bring this caller",
    }
}

/// Of whom a rule is asked, where it is not the caller.
fn whose(rule: &AboutRule) -> &'static str {
    if rule.is_about_hop { ", of the hop" } else { "" }
}

fn word(holds: Holds) -> &'static str {
    match holds {
        Holds::Yes => "yes",
        Holds::No => "no",
        Holds::Unknown => "unknown",
    }
}

/// `deny rule.denied nobody-near-admin`
pub fn told(answer: &Answer) -> String {
    let rule = answer.rule.as_ref().map(|rule| format!(" {rule}")).unwrap_or_default();
    format!("{} {}{rule}", answer.effect.as_str(), answer.reason.code())
}

fn indented(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("  {line}")).collect();
    lines.join("\n")
}
