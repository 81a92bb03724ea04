//! What the fuzzer calls, and what the replay of its corpus calls.

use base::json::Json;
use base::limits::MATCHMAKER_QUERY_MAX;
use matchmaker::query::{Label, Query};

/// A text that is a query has a canonical one that is the same query, and each document a finite
/// score.
pub fn query(data: &[u8]) {
    let text = String::from_utf8_lossy(&data[..data.len().min(MATCHMAKER_QUERY_MAX)]);
    let Ok(query) = Query::parse(&text) else { return };
    let printed = query.to_string();
    assert_eq!(Query::parse(&printed).as_ref(), Ok(&query), "{printed}");
    let values = [Json::Float(-2.5), Json::Integer(10), Json::Text("ab c".into())];
    let label = Label::new("a", &Json::List(values.into()));
    assert!(query.score(&label).is_none_or(f64::is_finite));
}
