//! Spans on their way to a collector on this machine.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use base::Secret;
use base::json::Json;
use domain::identity::provider::Refusal;

use super::server::{Asked, Reply, Server};
use super::{GRAPH, STEAM_OK, TICKET, begin, graph, id, settings, steam};
use crate::limits::{BATCH_SPANS_MAX, RETRIES_MAX};
use crate::trace::tests::example;
use crate::{SPANS_MAX, Settings, Sidecar, Span, TraceFigures, Traces};

const TRACES: &str = "/v1/traces";
const CANARY: &str = "Bearer canary-0451";

/// Settings that know every provider and the collector, all of them at one server.
fn with_traces(server: &Server) -> Settings {
    let traces = Traces {
        endpoint: server.url(""),
        headers: vec![("Authorization".into(), Secret(CANARY.into()))],
        instance: "core-1".into(),
        version: "0.1.0".into(),
    };
    Settings { traces: Some(traces), ..settings(server) }
}

fn start(server: &Server) -> Sidecar {
    Sidecar::start(with_traces(server)).unwrap()
}

fn spans(count: usize) -> Vec<Span> {
    vec![example(); count]
}

/// How many spans a request has.
fn count(asked: &Asked) -> usize {
    Json::parse(asked.body.as_bytes()).unwrap();
    asked.body.matches("\"spanId\"").count()
}

fn figures(exported: usize, dropped: usize, failed: usize) -> TraceFigures {
    let [exported, dropped, failed] = [exported, dropped, failed].map(|figure| figure as u64);
    TraceFigures { exported, dropped, failed }
}

#[test]
fn spans_arrive_as_the_specification_says() {
    let server = Server::start();
    server.set(TRACES, Reply::ok("{}"));
    let sidecar = start(&server);
    let handle = sidecar.handle();
    handle.export(spans(1));
    drop(sidecar); // what waits is sent
    let requests = server.requests(TRACES);
    let [request] = &*requests else { panic!("{requests:?}") };
    let expected = [
        r#"{"resourceSpans":[{"resource":{"attributes":["#,
        r#"{"key":"service.name","value":{"stringValue":"ringmaster"}},"#,
        r#"{"key":"service.instance.id","value":{"stringValue":"core-1"}},"#,
        r#"{"key":"service.version","value":{"stringValue":"0.1.0"}}]},"#,
        r#""scopeSpans":[{"scope":{"name":"ringmaster","version":"0.1.0"},"spans":["#,
        r#"{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","#,
        r#""parentSpanId":"eee19b7ec3c1b173","name":"I'm a server span","kind":2,"#,
        r#""startTimeUnixNano":"1544712660000000000","#,
        r#""endTimeUnixNano":"1544712661000000000","#,
        r#""attributes":[{"key":"my.span.attr","value":{"stringValue":"some value"}}]}"#,
        "]}]}]}",
    ];
    assert_eq!(request.body, expected.concat());
    assert_eq!(request.method, "POST");
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("authorization"), Some(CANARY));
    assert_eq!(handle.trace_figures(), figures(1, 0, 0));
    handle.export(spans(2));
    assert_eq!(handle.trace_figures(), figures(1, 2, 0));
}

#[test]
fn a_full_batch_leaves_before_the_sidecar_stops_and_one_follows_the_other() {
    let server = Server::start();
    server.set(TRACES, Reply::ok("{}"));
    let sidecar = start(&server);
    let handle = sidecar.handle();
    handle.export(spans(1520));
    server.wait();
    server.wait();
    drop(sidecar);
    let counts: Vec<_> = server.requests(TRACES).iter().map(count).collect();
    assert_eq!(counts, [512, 512, 496]);
    assert_eq!(handle.trace_figures(), figures(1520, 0, 0));
}

#[test]
fn a_young_batch_leaves_too() {
    let server = Server::start();
    server.set(TRACES, Reply::ok("{}"));
    let sidecar = start(&server);
    sidecar.handle().export(spans(1));
    server.wait();
    assert_eq!(server.requests(TRACES).iter().map(count).sum::<usize>(), 1);
}

#[test]
fn a_busy_collector_is_asked_again() {
    let server = Server::start();
    server.set_all(TRACES, [Reply::busy(0), Reply::busy(0), Reply::ok("")]);
    let sidecar = start(&server);
    let handle = sidecar.handle();
    handle.export(spans(BATCH_SPANS_MAX));
    for _ in 0..3 {
        server.wait();
    }
    drop(sidecar);
    let requests = server.requests(TRACES);
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| request.body == requests[0].body));
    assert_eq!(handle.trace_figures(), figures(BATCH_SPANS_MAX, 0, 0));
}

#[test]
fn a_collector_that_stays_busy_is_not_asked_forever() {
    let server = Server::start();
    let busy = (0..=RETRIES_MAX).map(|_| Reply::busy(0));
    server.set_all(TRACES, busy.chain([Reply::ok("")]));
    let sidecar = start(&server);
    let handle = sidecar.handle();
    handle.export(spans(BATCH_SPANS_MAX + 1));
    for _ in 0..=RETRIES_MAX + 1 {
        server.wait();
    }
    drop(sidecar);
    let counts: Vec<_> = server.requests(TRACES).iter().map(count).collect();
    assert_eq!(counts, [512, 512, 512, 512, 512, 1]);
    assert_eq!(handle.trace_figures(), figures(1, 0, BATCH_SPANS_MAX));
}

#[test]
fn what_a_collector_refuses_is_not_sent_again() {
    let server = Server::start();
    let partial = r#"{"partialSuccess":{"rejectedSpans":"12","errorMessage":"m"}}"#;
    let elsewhere = Reply::redirect(&server.url("/elsewhere"));
    server.set_all(TRACES, [Reply::status(400, "{}"), elsewhere, Reply::Flood, Reply::ok(partial)]);
    let sidecar = start(&server);
    let handle = sidecar.handle();
    handle.export(spans(4 * BATCH_SPANS_MAX));
    for _ in 0..4 {
        server.wait();
    }
    drop(sidecar);
    assert_eq!((server.requests(TRACES).len(), server.asked("/elsewhere").len()), (4, 0));
    assert_eq!(handle.trace_figures(), figures(500, 0, 3 * BATCH_SPANS_MAX + 12));
}

#[test]
fn a_collector_that_hangs_hinders_no_proof_and_not_the_end() {
    let server = Server::start();
    server.set(TRACES, Reply::Silence);
    server.set(TICKET, Reply::ok(STEAM_OK));
    let sidecar = start(&server);
    let handle = sidecar.handle();
    handle.export(spans(BATCH_SPANS_MAX));
    server.wait();
    for _ in 0..20 {
        handle.export(spans(1000));
    }
    let dropped = BATCH_SPANS_MAX + 20_000 - SPANS_MAX;
    assert_eq!(handle.trace_figures(), figures(0, dropped, 0));
    for _ in 0..100 {
        assert_eq!(id(&sidecar, steam()), Ok("76561197960287930".into()));
    }
    server.set(GRAPH, Reply::Silence);
    let hanging = begin(&handle, graph());
    drop(sidecar);
    assert_eq!(hanging.recv(), Ok(Err(Refusal::Unavailable)));
    assert_eq!(server.requests(TRACES).len(), 1);
    assert_eq!(handle.trace_figures(), figures(0, dropped, SPANS_MAX));
}

#[test]
fn a_collector_that_asks_for_patience_does_not_hold_the_end_up() {
    let server = Server::start();
    server.set(TRACES, Reply::busy(30));
    let sidecar = start(&server);
    let handle = sidecar.handle();
    handle.export(spans(BATCH_SPANS_MAX));
    server.wait();
    drop(sidecar);
    // Once more at most, for the end.
    assert!(server.requests(TRACES).len() <= 2);
    assert_eq!(handle.trace_figures(), figures(0, 0, BATCH_SPANS_MAX));
}

#[test]
fn without_a_collector_spans_go_nowhere() {
    let server = Server::start();
    let sidecar = Sidecar::start(settings(&server)).unwrap();
    sidecar.handle().export(spans(1));
    assert_eq!(sidecar.handle().trace_figures(), TraceFigures::default());
}

#[test]
fn a_wrong_collector_does_not_start() {
    let server = Server::start();
    let check = |change: &dyn Fn(&mut Traces)| {
        let mut settings = with_traces(&server);
        settings.traces.as_mut().map(change).unwrap();
        Sidecar::start(settings).unwrap_err().to_string()
    };
    assert!(check(&|traces| traces.endpoint.clear()).contains("traces.endpoint"));
    assert!(check(&|traces| traces.headers[0].0.clear()).contains("header 1"));
    assert!(with_traces(&server).traces.unwrap().check().is_ok());
}

/// Everything that this process logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_log_and_no_debug_shows_a_header_or_an_address() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .init();
    let server = Server::start();
    server.set_all("/hush/v1/traces", [Reply::status(401, CANARY), Reply::Flood, Reply::ok("")]);
    let mut settings = with_traces(&server);
    settings.traces.as_mut().unwrap().endpoint = server.url("/hush");
    let shown = format!("{settings:?}");
    let sidecar = Sidecar::start(settings).unwrap();
    sidecar.handle().export(spans(3 * BATCH_SPANS_MAX));
    for _ in 0..3 {
        server.wait();
    }
    let shown = format!("{shown} {sidecar:?} {:?}", sidecar.handle());
    drop(sidecar);
    let text = log.text();
    assert!(
        text.contains("spans are lost: the collector of traces does not take them, or too slowly"),
        "{text}"
    );
    assert!(text.contains("status=401"), "{text}");
    for text in [shown, text] {
        assert!(!text.contains("canary") && !text.contains("hush"), "{text}");
    }
}
