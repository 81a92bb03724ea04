//! The text of spans as a collector reads them.
//!
//! Source: OpenTelemetry Protocol Specification, section "JSON Protobuf Encoding",
//! <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>, and the messages of
//! `opentelemetry/proto/trace/v1/trace.proto`: ids are hexadecimal digits, enumerations numbers,
//! 64-bit numbers texts.

use std::fmt::Write as _;

use base::json::{Object, object};

use crate::trace::{Span, SpanKind, Value};

/// Who says all this.
pub(crate) const SERVICE: &str = "ringmaster";

/// What is the same in every request.
pub(crate) struct Frame {
    /// JSON text.
    resource: String,
    scope: String,
}

impl Frame {
    /// Empty texts are left out.
    pub(crate) fn new(instance: &str, version: &str) -> Frame {
        let attributes = [
            ("service.name", SERVICE),
            ("service.instance.id", instance),
            ("service.version", version),
        ];
        let set = attributes.into_iter().filter(|(_, value)| !value.is_empty());
        let resource = object(|o| {
            o.list("attributes", set, |(key, value), o| {
                o.text("key", key);
                o.object("value", |o| o.text("stringValue", value));
            });
        });
        let scope = object(|o| {
            o.text("name", SERVICE);
            o.text("version", version);
        });
        Frame { resource, scope }
    }

    /// An `ExportTraceServiceRequest`.
    pub(crate) fn encode(&self, spans: &[Span]) -> String {
        object(|o| {
            o.list("resourceSpans", [spans], |spans, o| {
                o.raw("resource", &self.resource);
                o.list("scopeSpans", [spans], |spans, o| {
                    o.raw("scope", &self.scope);
                    o.list("spans", spans, write_span);
                });
            });
        })
    }
}

fn write_span(span: &Span, o: &mut Object<'_>) {
    o.text("traceId", &hex(&span.trace_id));
    o.text("spanId", &hex(&span.span_id));
    if let Some(parent) = &span.parent {
        o.text("parentSpanId", &hex(parent));
    }
    o.text("name", &span.name);
    o.int32("kind", kind(span.kind));
    o.shown("startTimeUnixNano", span.begun.0);
    o.shown("endTimeUnixNano", span.ended.max(span.begun).0);
    o.list("attributes", &span.attributes, |(key, value), o| {
        o.text_wrapper("key", Some(key));
        o.object("value", |o| write_value(value, o));
    });
    if let Some(error) = &span.error {
        o.object("status", |o| {
            o.text("message", error);
            o.int32("code", 2); // STATUS_CODE_ERROR
        });
    }
}

fn kind(kind: SpanKind) -> i32 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
    }
}

/// A member of a choice is there even with its default.
fn write_value(value: &Value, o: &mut Object<'_>) {
    match value {
        Value::Text(text) => o.text_wrapper("stringValue", Some(text)),
        Value::Number(number) => o.shown("intValue", number),
        Value::Flag(true) => o.raw("boolValue", "true"),
        Value::Flag(false) => o.raw("boolValue", "false"),
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes every text");
    }
    text
}

#[cfg(test)]
mod tests {
    use base::UnixTime;
    use base::json::Json;
    use proptest::prelude::*;

    use super::*;
    use crate::trace::tests::example;

    fn frame() -> Frame {
        Frame::new("core", "1.0.0")
    }

    /// What one span becomes.
    fn encode(span: &Span) -> String {
        let text = frame().encode(std::slice::from_ref(span));
        let (_, spans) = text.split_once(r#""spans":["#).unwrap();
        spans.strip_suffix("]}]}]}").unwrap().to_owned()
    }

    /// The specification's example but for its scope's attributes, with digits in lower case and
    /// 64-bit numbers as texts.
    #[test]
    fn the_example_of_the_specification_is_written() {
        let expected = [
            r#"{"resourceSpans":[{"resource":{"attributes":["#,
            r#"{"key":"service.name","value":{"stringValue":"ringmaster"}},"#,
            r#"{"key":"service.instance.id","value":{"stringValue":"core"}},"#,
            r#"{"key":"service.version","value":{"stringValue":"1.0.0"}}]},"#,
            r#""scopeSpans":[{"scope":{"name":"ringmaster","version":"1.0.0"},"spans":["#,
            r#"{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","#,
            r#""parentSpanId":"eee19b7ec3c1b173","name":"I'm a server span","kind":2,"#,
            r#""startTimeUnixNano":"1544712660000000000","#,
            r#""endTimeUnixNano":"1544712661000000000","#,
            r#""attributes":[{"key":"my.span.attr","value":{"stringValue":"some value"}}]}"#,
            "]}]}]}",
        ];
        assert_eq!(frame().encode(&[example()]), expected.concat());
    }

    #[test]
    fn every_value_and_an_error_are_written_even_if_they_are_defaults() {
        let span = Span {
            trace_id: [1; 16],
            span_id: [0xab; 8],
            parent: None,
            name: "match".into(),
            kind: SpanKind::Internal,
            begun: UnixTime(7),
            ended: UnixTime(6),
            attributes: vec![
                ("a", Value::Text(String::new())),
                ("b", Value::Number(0)),
                ("c", Value::Number(i64::MIN)),
                ("d", Value::Flag(false)),
                ("e", Value::Flag(true)),
            ],
            error: Some("no \"room\"\n".into()),
        };
        let expected = [
            r#"{"traceId":"01010101010101010101010101010101","spanId":"abababababababab","#,
            r#""name":"match","kind":1,"startTimeUnixNano":"7","endTimeUnixNano":"7","#,
            r#""attributes":[{"key":"a","value":{"stringValue":""}},"#,
            r#"{"key":"b","value":{"intValue":"0"}},"#,
            r#"{"key":"c","value":{"intValue":"-9223372036854775808"}},"#,
            r#"{"key":"d","value":{"boolValue":false}},"#,
            r#"{"key":"e","value":{"boolValue":true}}],"#,
            r#""status":{"message":"no \"room\"\n","code":2}}"#,
        ];
        assert_eq!(encode(&span), expected.concat());
        let span = Span { attributes: Vec::new(), error: Some(String::new()), ..span };
        assert!(encode(&span).ends_with(r#""endTimeUnixNano":"7","status":{"code":2}}"#));
    }

    #[test]
    fn a_resource_says_only_what_is_known() {
        let text = Frame::new("", "").encode(&[example()]);
        let expected = [
            r#"{"resourceSpans":[{"resource":{"attributes":["#,
            r#"{"key":"service.name","value":{"stringValue":"ringmaster"}}]},"#,
            r#""scopeSpans":[{"scope":{"name":"ringmaster"},"spans":["#,
        ];
        assert!(text.starts_with(&expected.concat()), "{text}");
    }

    proptest! {
        #[test]
        fn any_texts_give_json(name: String, value: String, error: String) {
            let attributes = vec![("key", Value::Text(value))];
            let span = Span { name: name.into(), attributes, error: Some(error), ..example() };
            prop_assert!(Json::parse(frame().encode(&[span]).as_bytes()).is_ok());
        }
    }
}
