//! Requests to providers and collectors, each with its answer read up to a limit.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, AGE, CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::{Method, Request};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Semaphore;

use crate::limits::{
    ANSWER_BYTES_MAX, CONNECT_MAX, HEAD_BYTES_MAX, IDLE_CONNECTION_MAX, IDLE_CONNECTIONS_MAX,
    LANE_REQUESTS_MAX,
};
use crate::url::Url;

/// What came back, whatever its status. A redirection is an answer like any other.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    /// How long the answer stays fresh, if it says so.
    pub(crate) max_age: Option<Duration>,
    /// When to ask again, if it says so in seconds.
    pub(crate) retry_after: Option<Duration>,
}

/// Why nothing came back. Says nothing about the address, which may hold a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No connection, or none that lasted until the head of the answer.
    Unreachable,
    /// The body broke off, or is larger than its limit.
    Body,
}

/// One lane of a pool of connections: what waits in it does not hinder other lanes.
pub(crate) struct Fetcher {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    lane: Semaphore,
}

impl Fetcher {
    /// Trusts the public roots: a bare machine has none of its own.
    pub(crate) fn new() -> Fetcher {
        Fetcher::trusting(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect())
    }

    fn trusting(roots: RootCertStore) -> Fetcher {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring knows the cipher suites of TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false); // TLS is put around it
        tcp.set_connect_timeout(Some(CONNECT_MAX));
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http() // `Url` says which of them
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_CONNECTION_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .build(connector);
        Fetcher { client, lane: Semaphore::new(LANE_REQUESTS_MAX) }
    }

    /// Another lane over the same connections.
    pub(crate) fn beside(&self) -> Fetcher {
        Fetcher { client: self.client.clone(), lane: Semaphore::new(LANE_REQUESTS_MAX) }
    }

    /// Waits without end: the caller has a deadline.
    pub(crate) async fn fetch(&self, url: &Url) -> Result<Answer, Fault> {
        let mut request = Request::new(Full::default());
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("*/*"));
        self.ask(url, request).await
    }

    /// Waits without end: the caller has a deadline.
    pub(crate) async fn post(
        &self,
        url: &Url,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Answer, Fault> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        headers.clone_into(request.headers_mut());
        self.ask(url, request).await
    }

    async fn ask(&self, url: &Url, mut request: Request<Full<Bytes>>) -> Result<Answer, Fault> {
        *request.uri_mut() = url.to_uri();
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("ringmaster"));
        let _place = self.lane.acquire().await.expect("no lane is ever closed");
        let answer = self.exchange(request).await;
        match &answer {
            Ok(answer) => tracing::debug!(host = url.host(), answer.status, "asked"),
            Err(fault) => tracing::debug!(host = url.host(), ?fault, "no answer"),
        }
        answer
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, Fault> {
        let answer = self.client.request(request).await.map_err(|_| Fault::Unreachable)?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|_| Fault::Body)?;
        Ok(Answer {
            status: head.status.as_u16(),
            body: body.to_bytes(),
            max_age: max_age(&head.headers),
            retry_after: retry_after(&head.headers),
        })
    }
}

/// What is left of the `max-age` of an answer that may have been in a cache for a while.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let mut directives = text(CACHE_CONTROL)?.split(',').map(str::trim);
    let max_age = directives.find_map(|directive| {
        let (name, value) = directive.split_once('=')?;
        if name.eq_ignore_ascii_case("max-age") { value.parse::<u64>().ok() } else { None }
    })?;
    let age = text(AGE).and_then(|age| age.trim().parse::<u64>().ok()).unwrap_or(0);
    Some(Duration::from_secs(max_age.saturating_sub(age)))
}

/// The other form, a date, is not read.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let secs = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(secs))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
    use rustls::{ServerConfig, ServerConnection, StreamOwned};

    use super::*;
    use crate::tests::sign::{SERVER_CERTIFICATE, SERVER_KEY};

    /// The address of a server that speaks TLS and answers every connection once.
    fn tls_server() -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from(SERVER_CERTIFICATE)],
                PrivatePkcs8KeyDer::from(SERVER_KEY).into(),
            )
            .unwrap();
        let config = Arc::new(config);
        let answer = |stream: TcpStream, config: &Arc<ServerConfig>| -> std::io::Result<()> {
            let connection = ServerConnection::new(Arc::clone(config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            let mut request = [0; 4096];
            let _ = stream.read(&mut request)?;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        };
        thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = answer(stream.unwrap(), &config);
            }
        });
        Url::parse(&url).unwrap()
    }

    #[test]
    fn only_a_server_with_a_trusted_certificate_is_asked() {
        let url = tls_server();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from(SERVER_CERTIFICATE)).unwrap();
            let answer = Fetcher::trusting(roots).fetch(&url).await.unwrap();
            assert_eq!((answer.status, &*answer.body), (200, b"hi".as_slice()));
            assert_eq!(Fetcher::new().fetch(&url).await.unwrap_err(), Fault::Unreachable);
        });
    }

    #[test]
    fn an_answer_says_how_long_it_stays_fresh() {
        let check =
            |control: Option<&'static str>, age: Option<&'static str>, secs: Option<u64>| {
                let mut headers = HeaderMap::new();
                control.map(|value| headers.insert(CACHE_CONTROL, value.parse().unwrap()));
                age.map(|value| headers.insert(AGE, value.parse().unwrap()));
                assert_eq!(max_age(&headers), secs.map(Duration::from_secs));
            };
        check(None, None, None);
        check(Some("no-store"), None, None);
        check(Some("public, max-age=100, must-revalidate"), None, Some(100));
        check(Some("Max-Age=100"), Some("30"), Some(70));
        check(Some("max-age=100"), Some("300"), Some(0));
        check(Some("max-age=soon"), None, None);
        check(Some("max-age=99999999999999999999999999"), None, None);
    }

    #[test]
    fn an_answer_says_when_to_ask_again() {
        let check = |value: &'static str, secs: Option<u64>| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
            assert_eq!(retry_after(&headers), secs.map(Duration::from_secs), "{value}");
        };
        assert_eq!(retry_after(&HeaderMap::new()), None);
        check("0", Some(0));
        check("120", Some(120));
        check("-1", None);
        check("Fri, 31 Dec 1999 23:59:59 GMT", None);
        check("99999999999999999999999999", None);
    }
}
