//! Where spans go, read from the settings.

use base::Secret;
use hyper::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderMap,
    HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};

use crate::limits::TRACE_HEADERS_MAX;
use crate::settings::Traces;
use crate::trace::otlp::Frame;
use crate::url::Url;

/// Below the endpoint.
const PATH: &str = "/v1/traces";

/// Headers that this crate or the connection sets.
const OURS: [HeaderName; 11] = [
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    EXPECT,
    HOST,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    USER_AGENT,
];

/// A collector, and what every request to it has.
pub(crate) struct Target {
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) frame: Frame,
}

impl Target {
    /// Where the settings say, or what makes no sense in them, in sentences that show none of their
    /// texts.
    pub(crate) fn read(traces: &Traces) -> Result<Target, Vec<String>> {
        let Traces { endpoint, headers, instance, version } = traces;
        let mut problems = Vec::new();
        let url = Url::parse_any_host(endpoint).filter(|url| !url.has_query());
        let url = url.and_then(|url| url.below(PATH));
        if url.is_none() {
            let what = "traces.endpoint is not an http or https address without parameters";
            problems.push(what.to_owned());
        }
        if headers.len() > TRACE_HEADERS_MAX {
            problems.push(format!("there are at most {TRACE_HEADERS_MAX} traces.headers"));
        }
        let mut read = HeaderMap::new();
        read.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (number, header) in (1..).zip(headers) {
            match read_header(header) {
                Ok((name, value)) => _ = read.append(name, value),
                Err(what) => problems.push(format!("traces.headers: {what} of header {number}")),
            }
        }
        match url {
            Some(url) if problems.is_empty() => {
                Ok(Target { url, headers: read, frame: Frame::new(instance, version) })
            }
            _ => Err(problems),
        }
    }
}

fn read_header(
    (name, value): &(String, Secret),
) -> Result<(HeaderName, HeaderValue), &'static str> {
    let name = name.parse::<HeaderName>().map_err(|_| "no HTTP header has the name")?;
    if OURS.contains(&name) {
        return Err("the sidecar itself sets the name");
    }
    let value = HeaderValue::from_str(&value.0);
    let mut value = value.map_err(|_| "no HTTP header has the value")?;
    value.set_sensitive(true); // Debug does not show it
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traces(endpoint: &str) -> Traces {
        Traces { endpoint: endpoint.into(), ..Traces::default() }
    }

    fn with_headers(headers: &[(&str, &str)]) -> Traces {
        let headers = headers.iter();
        let headers = headers.map(|(name, value)| ((*name).into(), Secret((*value).into())));
        Traces { headers: headers.collect(), ..traces("http://collector:4318") }
    }

    #[test]
    fn spans_go_below_the_endpoint() {
        for (endpoint, expected) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            ("https://example.com/otlp/", "https://example.com/otlp/v1/traces"),
            ("https://example.com/otlp#a", "https://example.com/otlp/v1/traces"),
        ] {
            assert_eq!(Target::read(&traces(endpoint)).unwrap().url.to_key(), expected);
        }
    }

    #[test]
    fn a_wrong_endpoint_is_refused_and_not_shown() {
        for endpoint in [
            "",
            "collector:4318",
            "ftp://collector",
            "http://user:hush@collector:4318",
            "http://collector:4318/?key=hush",
        ] {
            let error = traces(endpoint).check().unwrap_err().join("; ");
            assert!(error.contains("traces.endpoint") && !error.contains("hush"), "{endpoint}");
        }
    }

    #[test]
    fn headers_are_sent_as_they_are_and_wrong_ones_are_refused_and_not_shown() {
        let target = Target::read(&with_headers(&[("X-Key", "a"), ("x-key", "b")])).unwrap();
        assert_eq!(target.headers.get_all("x-key").iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(target.headers[CONTENT_TYPE], "application/json");
        assert!(target.headers["x-key"].is_sensitive());
        for header in
            [("", "hush"), ("a b", "hush"), ("Content-Type", "hush"), ("key", "hush\r\nother: 1")]
        {
            let error = with_headers(&[("good", "good"), header]).check().unwrap_err().join("; ");
            assert!(error.contains("header 2") && !error.contains("hush"), "{error}");
        }
        let both = with_headers(&[("a b", "hush"), ("Content-Type", "hush")]).check();
        assert_eq!(both.unwrap_err().len(), 2);
        let many = with_headers(&[("key", "value"); TRACE_HEADERS_MAX + 1]);
        assert!(many.check().unwrap_err().join("; ").contains("at most"));
    }
}
