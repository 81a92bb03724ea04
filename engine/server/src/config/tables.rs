//! Lists of tables, such as `[[queues]]`: what is declared by id. What an entry may hold is known
//! elsewhere, and in JSON.

use std::collections::BTreeMap;

use base::json::Json;
use toml::de::DeValue;

use super::{Kind, Setting, Value, Wrong, quote};

/// How the entries of a list are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tables {
    /// So many entries at most.
    pub most: usize,
    pub read: Read,
}

/// Gives the id of an entry and its text, JSON with every default; or all that is wrong with it,
/// each as `place: what`, as in `teams[1].max: has to be …`.
type Read = fn(&Json) -> Result<(String, String), Vec<String>>;

/// Entries of a list: JSON objects as [`Tables::read`] gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Declared(pub Vec<String>);

/// More of a problem is not repeated: there may be names of any length in it.
const PROBLEM_MAX: usize = 400;

impl Setting for Declared {
    fn set(&mut self, value: &Value<'_>, kind: &Kind) -> Result<(), Vec<Wrong>> {
        let (DeValue::Array(entries), Kind::Tables(tables)) = (value.get_ref(), kind) else {
            return Err(Wrong::of_type(value).into());
        };
        let (mut declared, mut wrong) = (Vec::new(), Vec::new());
        let mut indexes: BTreeMap<String, usize> = BTreeMap::new();
        for (index, entry) in entries.iter().enumerate() {
            let mut refuse = |problem: &str| {
                let dot = if problem.starts_with([':', '[']) { "" } else { "." };
                let end = problem.floor_char_boundary(PROBLEM_MAX);
                let rest = if end < problem.len() { "…" } else { "" };
                let what = format!("[{index}]{dot}{}{rest}", &problem[..end]);
                wrong.push(Wrong::within(locate(entry, problem), what));
            };
            if index == tables.most {
                refuse(&format!(": is one too many: at most {} may be", tables.most));
            }
            match json(entry, "").and_then(|json| (tables.read)(&json)) {
                Err(problems) => problems.iter().for_each(|problem| refuse(problem)),
                Ok((id, text)) => {
                    declared.push(text);
                    if let Some(earlier) = indexes.insert(id, index) {
                        refuse(&format!("id: [{earlier}] has it too: only one may"));
                    }
                }
            }
        }
        if !wrong.is_empty() {
            wrong.sort_by_key(|wrong| wrong.at);
            return Err(wrong);
        }
        *self = Declared(declared);
        Ok(())
    }

    fn toml(&self) -> String {
        let Declared(entries) = self;
        if entries.is_empty() {
            return "[]".into();
        }
        let mut text = String::from("[\n");
        for entry in entries {
            let json = Json::parse(entry.as_bytes()).expect("it was written as JSON");
            text.push_str("    ");
            write(&mut text, &json);
            text.push_str(",\n");
        }
        text.push(']');
        text
    }
}

/// The value as JSON; or what in it has no form there, each with its place.
fn json(value: &Value<'_>, place: &str) -> Result<Json, Vec<String>> {
    let refuse = |what: &str| Err(vec![format!("{place}: {what}")]);
    let mut wrong = Vec::new();
    let mut part = |value: &Value<'_>, place: &str| {
        json(value, place).map_err(|problems| wrong.extend(problems)).unwrap_or(Json::Null)
    };
    let whole = match value.get_ref() {
        DeValue::String(text) => Json::Text(text.to_string()),
        DeValue::Boolean(flag) => Json::Bool(*flag),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Json::Integer(number),
            Err(_) => return refuse("is out of range"),
        },
        DeValue::Float(number) => match number.as_str().parse::<f64>() {
            Ok(number) if number.is_finite() => Json::Float(number),
            _ => return refuse("has to be finite"),
        },
        DeValue::Datetime(_) => return refuse("is a date or a time, and nothing here takes one"),
        DeValue::Array(items) => {
            let items = items.iter().enumerate();
            Json::List(
                items.map(|(index, item)| part(item, &format!("{place}[{index}]"))).collect(),
            )
        }
        DeValue::Table(members) => {
            let dot = if place.is_empty() { "" } else { "." };
            let member = |(name, value): (&toml::Spanned<_>, &Value<'_>)| {
                let name: &std::borrow::Cow<'_, str> = name.get_ref();
                (name.to_string(), part(value, &format!("{place}{dot}{name}")))
            };
            Json::Object(members.iter().map(member).collect())
        }
    };
    if wrong.is_empty() { Ok(whole) } else { Err(wrong) }
}

/// Where in an entry stands what the problem begins with, as far as it names a place.
fn locate(entry: &Value<'_>, problem: &str) -> usize {
    let (mut value, mut at, mut rest) = (entry, entry.span().start, problem);
    loop {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        let found = match value.get_ref() {
            DeValue::Array(items) => {
                let index = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
                index.and_then(|(index, rest)| {
                    let item = items.get(index.parse::<usize>().ok()?)?;
                    Some((item, item.span().start, rest))
                })
            }
            DeValue::Table(members) => {
                let named = members.iter().filter_map(|(name, value)| {
                    let rest = rest.strip_prefix(&**name.get_ref())?;
                    rest.starts_with(['.', '[', ':']).then_some((value, name.span().start, rest))
                });
                named.min_by_key(|(_, _, rest)| rest.len())
            }
            _ => None,
        };
        let Some(found) = found else { return at };
        (value, at, rest) = found;
    }
}

/// Appends a value as TOML, which has no null: no declaration writes one. Names are plain words.
fn write(text: &mut String, json: &Json) {
    match json {
        Json::Null => text.push_str("\"\""),
        Json::Bool(flag) => text.push_str(&flag.to_string()),
        Json::Integer(number) => text.push_str(&number.to_string()),
        Json::Float(number) => text.push_str(&format!("{number:?}")),
        Json::Text(word) => text.push_str(&quote(word)),
        Json::List(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                write(text, item);
            }
            text.push(']');
        }
        Json::Object(members) => {
            text.push_str("{ ");
            for (index, (name, value)) in members.iter().enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                text.push_str(&format!("{name} = "));
                write(text, value);
            }
            text.push_str(" }");
        }
    }
}
