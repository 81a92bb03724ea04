//! Labels of matches and parties as documents.

use std::collections::BTreeMap;

use base::json::Json;

use crate::query::{Document, Value};

/// A JSON value flattened: nested names joined by `.`, all elements of an array under its name,
/// booleans as `T` and `F`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Label {
    fields: BTreeMap<String, Vec<Leaf>>,
}

#[derive(Clone, Debug, PartialEq)]
enum Leaf {
    Number(f64),
    Text(String),
    Date(i64),
}

impl Label {
    /// The names of all fields begin with `name`.
    pub fn new(name: &str, json: &Json) -> Label {
        let mut label = Label::default();
        label.add(name, json);
        label
    }

    fn add(&mut self, name: &str, json: &Json) {
        let leaf = match json {
            Json::Null => return,
            Json::Bool(true) => Leaf::Text("T".to_owned()),
            Json::Bool(false) => Leaf::Text("F".to_owned()),
            #[expect(clippy::cast_precision_loss, reason = "numbers of documents are doubles")]
            Json::Integer(number) => Leaf::Number(*number as f64),
            Json::Float(number) => Leaf::Number(*number),
            Json::Text(text) => match Value::of_text(text) {
                Value::Date(nanos) => Leaf::Date(nanos),
                Value::Text(_) | Value::Number(_) => Leaf::Text(text.clone()),
            },
            Json::List(items) => return items.iter().for_each(|item| self.add(name, item)),
            Json::Object(members) => {
                let last_ones: BTreeMap<&str, &Json> =
                    members.iter().map(|(name, value)| (name.as_str(), value)).collect();
                for (member, value) in last_ones {
                    self.add(&format!("{name}.{member}"), value);
                }
                return;
            }
        };
        self.fields.entry(name.to_owned()).or_default().push(leaf);
    }
}

impl Document for Label {
    fn any(&self, field: &str, accepts: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        self.fields.get(field).into_iter().flatten().any(|leaf| {
            accepts(match leaf {
                Leaf::Number(number) => Value::Number(*number),
                Leaf::Text(text) => Value::Text(text),
                Leaf::Date(nanos) => Value::Date(*nanos),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;

    #[test]
    fn labels_are_flattened() {
        let json = br#"{"mode":"ranked","open":true,"full":false,"none":null,"n":15,"x":-2.5,
            "maps":["dust",["nuke",3]],"host":{"region":"eu","tags":[{"k":"v"}]},
            "at":"2020-01-02","n":16,"a.b":"c","":"e"}"#;
        let label = Label::new("label", &Json::parse(json).expect("JSON"));
        let check = |text: &str, expected: bool| {
            let query = Query::parse(text).expect("a query");
            assert_eq!(query.score(&label).is_some(), expected, "{text}");
        };
        check("label.mode:ranked", true);
        check("mode:ranked", false);
        check("label.open:T", true);
        check("label.open:true", false);
        check("label.full:F", true);
        check("label.none:*", false);
        check("label.n:16", true);
        check("label.n:15", false);
        check("label.x:<-2", true);
        check("label.maps:dust +label.maps:nuke +label.maps:3", true);
        check("+label.maps:>2 +label.maps:<4", true);
        check("label.maps:train", false);
        check("label.host.region:eu", true);
        check("label.host.tags.k:v", true);
        check("label.at:2020\\-01\\-02", false);
        check("label.at:>\"2020-01-01T00:00:00Z\"", true);
        check("label.a.b:c", true);
        check("label.:e", true);
        check("label:*", false);
    }

    #[test]
    fn a_label_that_is_no_object_has_one_field() {
        let query = Query::parse("label:a").expect("a query");
        let label = Label::new("label", &Json::List(vec![Json::Null, Json::Text("a".into())]));
        assert_eq!(query.score(&label), Some(1.0));
        assert_eq!(query.score(&Label::default()), None);
    }
}
