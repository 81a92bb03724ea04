//! Spans on their way to a collector of traces.

pub(crate) mod export;
mod otlp;
pub(crate) mod target;

use std::borrow::Cow;

use base::UnixTime;

use crate::limits::{ATTRIBUTES_MAX, SPAN_TEXT_BYTES_MAX};

/// Something that took place between two times, as a part of a trace. More than
/// [`ATTRIBUTES_MAX`] attributes, and what is longer than [`SPAN_TEXT_BYTES_MAX`] bytes of a text,
/// are cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Not all zero, which no collector takes; neither is the span's.
    pub trace_id: [u8; 16],
    pub span_id: [u8; 8],
    pub parent: Option<[u8; 8]>,
    pub name: Cow<'static, str>,
    pub kind: SpanKind,
    pub begun: UnixTime,
    /// Taken to be the begin if it is earlier, as a clock that was set back gives it.
    pub ended: UnixTime,
    pub attributes: Vec<(&'static str, Value)>,
    /// What went wrong, if something did.
    pub error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// Answers somebody else's request.
    Server,
    /// Stays within the process.
    Internal,
}

/// What an attribute of a span says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Number(i64),
    Flag(bool),
}

/// What became of all spans so far. Those that are in none of the figures are on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceFigures {
    /// A collector took them.
    pub exported: u64,
    /// There was no room for them, or no sidecar any more.
    pub dropped: u64,
    /// No collector took them, however often it was asked.
    pub failed: u64,
}

impl Span {
    /// Brings it within its limits, so that a number of spans bounds their memory.
    fn cut(&mut self) {
        if self.name.len() > SPAN_TEXT_BYTES_MAX {
            cut(self.name.to_mut());
        }
        if self.attributes.len() > ATTRIBUTES_MAX {
            self.attributes.truncate(ATTRIBUTES_MAX);
            self.attributes.shrink_to_fit();
        }
        for (_, value) in &mut self.attributes {
            if let Value::Text(text) = value {
                cut(text);
            }
        }
        if let Some(error) = &mut self.error {
            cut(error);
        }
    }
}

fn cut(text: &mut String) {
    if text.len() > SPAN_TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(SPAN_TEXT_BYTES_MAX));
        text.shrink_to_fit();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The span of the specification's example, `examples/trace.json`.
    pub(crate) fn example() -> Span {
        Span {
            trace_id: 0x5b8e_fff7_9803_8103_d269_b633_813f_c60c_u128.to_be_bytes(),
            span_id: 0xeee1_9b7e_c3c1_b174_u64.to_be_bytes(),
            parent: Some(0xeee1_9b7e_c3c1_b173_u64.to_be_bytes()),
            name: "I'm a server span".into(),
            kind: SpanKind::Server,
            begun: UnixTime(1_544_712_660_000_000_000),
            ended: UnixTime(1_544_712_661_000_000_000),
            attributes: vec![("my.span.attr", Value::Text("some value".into()))],
            error: None,
        }
    }

    #[test]
    fn a_span_is_cut_to_its_limits() {
        let mut span = example();
        span.cut();
        assert_eq!(span, example());
        let long = "ü".repeat(1000) + "a";
        span.name = long.clone().into();
        span.error = Some(format!("a{long}"));
        span.attributes = vec![("key", Value::Text(long)); ATTRIBUTES_MAX + 1];
        span.cut();
        assert_eq!(*span.name, "ü".repeat(SPAN_TEXT_BYTES_MAX / 2));
        assert_eq!(span.error, Some("a".to_owned() + &"ü".repeat(SPAN_TEXT_BYTES_MAX / 2 - 1)));
        assert_eq!(span.attributes.len(), ATTRIBUTES_MAX);
        assert_eq!(span.attributes[0].1, Value::Text("ü".repeat(SPAN_TEXT_BYTES_MAX / 2)));
    }
}
