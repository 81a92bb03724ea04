//! Traced requests and matches as spans, for the collector.
//!
//! A request is a trace of its own, or a part of the trace of the match that it is about: a match's
//! trace has the match's id, so that all cores know it.

use std::borrow::Cow;

use base::{Code, Instant, MatchId, Now, ShardId, UnixTime};
use shard::{Done, Trace};
use sidecar::{Span, SpanKind, Value};

use crate::metrics::code_name;

/// Makes the spans of one core.
#[derive(Debug)]
pub(crate) struct Spans {
    core: ShardId,
    /// State of the generator of ids, SplitMix64 (Steele et al., 2014).
    draws: u64,
}

impl Spans {
    /// `seed` has to differ from that of every other core and process.
    pub(crate) fn new(core: ShardId, seed: [u8; 32]) -> Spans {
        let (first, _) = seed.split_first_chunk().expect("32 bytes begin with eight");
        Spans { core, draws: u64::from_le_bytes(*first) }
    }

    /// The span of a request whose reply leaves at `now`, and of everything it waited for.
    pub(crate) fn of_request(&mut self, done: &Done, trace: &Trace, now: Now) -> Vec<Span> {
        let (trace_id, parent) = match trace.of_match {
            Some(id) => (*id.as_bytes(), Some(match_span(id))),
            None => (self.trace_id(), None),
        };
        let span_id = self.id();
        let name = done.operation.map_or("unknown", |row| row.name);
        let code = code_name(done.outcome);
        let mut attributes = vec![
            ("request.id", Value::Text(request_id(self.core, done.number))),
            ("core", Value::Number(self.core.index() as i64)),
            ("code", Value::Text(code.clone())),
        ];
        attributes.extend(trace.of_match.map(|id| ("match.id", Value::Text(id.to_string()))));
        let mut spans = vec![Span {
            trace_id,
            span_id,
            parent,
            name: Cow::Borrowed(name),
            kind: SpanKind::Server,
            begun: wall(now, done.begun),
            ended: now.wall,
            attributes,
            error: done.outcome.is_err_and(is_ours).then_some(code),
        }];
        let waits = trace.waits.iter().map(|wait| (wait.name, wait.begun, wait.ended));
        let disk = (now.monotonic > trace.ready).then_some(("reply", trace.ready, now.monotonic));
        for (name, begun, ended) in waits.chain(disk) {
            spans.push(Span {
                trace_id,
                span_id: self.id(),
                parent: Some(span_id),
                name: Cow::Borrowed(name),
                kind: SpanKind::Internal,
                begun: wall(now, begun),
                ended: wall(now, ended),
                attributes: Vec::new(),
                error: None,
            });
        }
        spans
    }

    /// The span of a match that is over, which those of its requests belong to.
    pub(crate) fn of_match(&self, id: MatchId, begun: Instant, joins: u32, now: Now) -> Span {
        Span {
            trace_id: *id.as_bytes(),
            span_id: match_span(id),
            parent: None,
            name: Cow::Borrowed("match"),
            kind: SpanKind::Internal,
            begun: wall(now, begun),
            ended: now.wall,
            attributes: vec![
                ("match.id", Value::Text(id.to_string())),
                ("core", Value::Number(self.core.index() as i64)),
                ("joins", Value::Number(joins.into())),
            ],
            error: None,
        }
    }

    fn trace_id(&mut self) -> [u8; 16] {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.id());
        id[8..].copy_from_slice(&self.id());
        id
    }

    /// Never all zero, which means none.
    fn id(&mut self) -> [u8; 8] {
        self.draws = self.draws.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.draws;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        mixed.max(1).to_le_bytes()
    }
}

/// How logs and traces name a request: its core, and its number there.
pub(crate) fn request_id(core: ShardId, number: u64) -> String {
    format!("{core}-{number}")
}

/// A match id has no zero half: its version and variant stand in both.
fn match_span(id: MatchId) -> [u8; 8] {
    let mut span = [0; 8];
    span.copy_from_slice(&id.as_bytes()[8..]);
    span
}

/// Whether it is the server's fault, as OpenTelemetry's conventions for gRPC see it.
fn is_ours(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

fn wall(now: Now, at: Instant) -> UnixTime {
    let ago = u64::try_from(now.monotonic.since(at).as_nanos()).unwrap_or(u64::MAX);
    UnixTime(now.wall.0.saturating_sub(ago))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shard::Wait;

    use super::*;

    fn now(nanos: u64) -> Now {
        let monotonic = Instant::default().after(Duration::from_nanos(nanos));
        Now { monotonic, wall: UnixTime(1_000_000 + nanos) }
    }

    fn request(of_match: Option<MatchId>) -> Vec<Span> {
        let at = |nanos| now(nanos).monotonic;
        let waits = vec![Wait { name: "check password", begun: at(20), ended: at(30) }];
        let trace = Trace { of_match, waits, ready: at(40) };
        let operation = api::ops::OPERATIONS.first();
        let outcome = Err(Code::Internal);
        let done = Done { number: 7, operation, outcome, begun: at(10), trace: None };
        Spans::new(ShardId(3), [9; 32]).of_request(&done, &trace, now(50))
    }

    #[test]
    fn a_request_is_a_span_and_each_of_its_waits_is_one_below_it() {
        let spans = request(None);
        let told: Vec<_> =
            spans.iter().map(|span| (&*span.name, span.begun.0, span.ended.0)).collect();
        let expected = [
            ("root", 1_000_010, 1_000_050),
            ("check password", 1_000_020, 1_000_030),
            ("reply", 1_000_040, 1_000_050),
        ];
        assert_eq!(told, expected);
        let [request, waits @ ..] = &*spans else { panic!("three spans") };
        assert_eq!(request.parent, None);
        assert_eq!(request.error.as_deref(), Some("Internal"));
        assert!(request.attributes.contains(&("request.id", Value::Text("3-7".into()))));
        for wait in waits {
            assert_eq!((wait.parent, wait.trace_id), (Some(request.span_id), request.trace_id));
            assert_ne!(wait.span_id, request.span_id);
        }
    }

    #[test]
    fn what_is_about_a_match_belongs_to_its_trace() {
        let id = MatchId::named("arena");
        let spans = Spans::new(ShardId(3), [9; 32]);
        let whole = spans.of_match(id, now(5).monotonic, 2, now(60));
        let request = &request(Some(id))[0];
        assert_eq!(request.trace_id, whole.trace_id);
        assert_eq!(request.parent, Some(whole.span_id));
        assert!(whole.attributes.contains(&("joins", Value::Number(2))));
    }
}
