//! The audit trail after a restart: an entry for each change by an operator, and no gap.

use client::Method;

use crate::crash::api::{Api, By, Stop, text};

/// Operation and target.
pub(super) type Entry = (String, String);

/// What was seen of it.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// The number of the newest entry.
    newest: u64,
}

impl Trail {
    /// The entries since the last look are these, in whichever order.
    pub(super) async fn verify(
        &mut self,
        api: &mut Api,
        mut expected: Vec<Entry>,
    ) -> Result<(), Stop> {
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let target = format!("/v2/console/audit/log?limit=100{cursor}");
            let page = api.ask(By::Operator, Method::Get, &target, "").await?.success()?;
            let entries = page["entries"].as_array().cloned().unwrap_or_default();
            let numbered = entries.iter().map(|entry| {
                let number = text(entry, "id").parse::<u64>().unwrap_or_default();
                (number, (text(entry, "operation"), text(entry, "target")))
            });
            let new: Vec<_> = numbered.filter(|(number, _)| *number > self.newest).collect();
            let is_end = new.len() < entries.len() || page.get("cursor").is_none();
            found.extend(new);
            if is_end {
                break;
            }
            cursor = format!("&cursor={}", text(&page, "cursor"));
        }
        found.reverse();
        for ((number, _), wanted) in found.iter().zip(self.newest + 1..) {
            if *number != wanted {
                return Err(Stop::Wrong(format!(
                    "audit entry {wanted} is missing before {number}"
                )));
            }
        }
        self.newest = found.last().map_or(self.newest, |(number, _)| *number);
        let mut found: Vec<_> = found.into_iter().map(|(_, entry)| entry).collect();
        found.sort();
        expected.sort();
        match found == expected {
            true => Ok(()),
            false => Err(Stop::Wrong(difference(&expected, &found))),
        }
    }
}

fn difference(expected: &[Entry], found: &[Entry]) -> String {
    let count = |of: &[Entry], entry: &Entry| of.iter().filter(|other| *other == entry).count();
    let lacks = |entries: &[Entry], others: &[Entry]| {
        let less = entries.iter().find(|entry| count(others, entry) < count(entries, entry));
        format!("{less:?}")
    };
    let (missing, added) = (lacks(expected, found), lacks(found, expected));
    format!(
        "audit trail: expected {} new entries, found {}; missing {missing}, added {added}",
        expected.len(),
        found.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_an_entry_that_is_missing_or_too_much() {
        let entry = |target: &str| ("ban".to_owned(), target.to_owned());
        let said = difference(&[entry("a"), entry("a")], &[entry("a"), entry("b")]);
        assert!(said.contains(r#"missing Some(("ban", "a")), added Some(("ban", "b"))"#), "{said}");
    }
}
