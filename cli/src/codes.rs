//! Every kind of finding, with its page. The same for all commands.

pub mod comparing;
pub mod deployment;
pub mod federation;
pub mod guard;
pub mod hops;
pub mod known;
pub mod mistake;
pub mod reading;
pub mod rules;
pub mod suppression;
pub mod testing;
pub mod time;

use crate::finding::Code;

/// The tables, by what they are about.
const TABLES: [&[&Code]; 12] = [
    reading::ALL,
    mistake::ALL,
    hops::ALL,
    suppression::ALL,
    rules::ALL,
    time::ALL,
    federation::ALL,
    deployment::ALL,
    known::ALL,
    guard::ALL,
    testing::ALL,
    comparing::ALL,
];

/// All kinds, in the order of their numbers.
pub fn all() -> impl Iterator<Item = &'static Code> {
    TABLES.into_iter().flatten().copied()
}

/// The kind of a number, `SG0104`, in either case.
pub fn by_number(number: &str) -> Option<&'static Code> {
    all().find(|code| code.number.eq_ignore_ascii_case(number))
}

/// The page of a kind, as text of at most 80 columns.
pub fn page(code: &Code) -> String {
    let example: Vec<String> = code
        .example
        .trim_matches('\n')
        .lines()
        .map(|line| format!("    {line}"))
        .collect();
    format!(
        "{}: {}\n\n{}\n\nFor example\n\n{}\n\nTo mend it\n\n{}\n",
        code.number,
        code.title,
        crate::wrap::wrap(code.why, 80),
        example.join("\n"),
        crate::wrap::wrap(code.mend, 80)
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn numbers_are_unique_and_in_order() {
        let numbers: Vec<_> = all().map(|code| code.number).collect();
        let sorted: BTreeSet<_> = numbers.iter().copied().collect();
        assert_eq!(numbers, sorted.into_iter().collect::<Vec<_>>());
        for number in numbers {
            assert!(
                number
                    .strip_prefix("SG")
                    .is_some_and(|digits| digits.len() == 4 && digits.parse::<u16>().is_ok()),
                "{number}"
            );
        }
    }

    #[test]
    fn every_kind_is_in_its_table() {
        let sources = [
            include_str!("codes/reading.rs"),
            include_str!("codes/mistake.rs"),
            include_str!("codes/hops.rs"),
            include_str!("codes/suppression.rs"),
            include_str!("codes/rules.rs"),
            include_str!("codes/time.rs"),
            include_str!("codes/federation.rs"),
            include_str!("codes/deployment.rs"),
            include_str!("codes/known.rs"),
            include_str!("codes/guard.rs"),
            include_str!("codes/testing.rs"),
            include_str!("codes/comparing.rs"),
        ];
        let written: usize = sources.iter().map(|text| text.matches(": Code = Code {").count()).sum();
        assert_eq!(written, all().count());
    }

    #[test]
    fn pages_are_at_most_80_columns_wide() {
        for code in all() {
            for line in page(code).lines() {
                assert!(line.chars().count() <= 80, "{}: {line}", code.number);
            }
            assert!(
                !code.why.is_empty() && !code.example.is_empty() && !code.mend.is_empty(),
                "{}",
                code.number
            );
        }
    }
}
