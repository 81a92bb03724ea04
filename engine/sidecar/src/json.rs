//! Members of JSON values, as the providers' documents have them.

use base::json::Json;

/// The member of an object; of several with one name, the last.
pub(crate) fn member<'a>(value: &'a Json, name: &str) -> Option<&'a Json> {
    let Json::Object(members) = value else {
        return None;
    };
    members.iter().rev().find(|(other, _)| other == name).map(|(_, value)| value)
}

/// A text, or nothing.
pub(crate) fn text<'a>(value: &'a Json, name: &str) -> Option<&'a str> {
    match member(value, name)? {
        Json::Text(text) => Some(text),
        _ => None,
    }
}

/// A text, empty if it is not there.
pub(crate) fn text_or_empty(value: &Json, name: &str) -> String {
    text(value, name).unwrap_or_default().to_owned()
}

/// A whole number, or a fraction cut off to one.
pub(crate) fn number(value: &Json, name: &str) -> Option<i128> {
    match member(value, name)? {
        Json::Integer(number) => Some(*number),
        Json::Float(number) => Some(*number as i128), // saturates
        _ => None,
    }
}

/// Whether a member is `true`, which some providers write as text.
pub(crate) fn is_true(value: &Json, name: &str) -> bool {
    match member(value, name) {
        Some(Json::Bool(flag)) => *flag,
        Some(Json::Text(text)) => text == "true",
        _ => false,
    }
}
