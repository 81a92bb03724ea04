//! Addresses that the sidecar may ask.

use std::net::IpAddr;

use hyper::Uri;

/// An address over https, or over plain http of this very machine unless its reader says otherwise.
/// It may hold a key or a token: it is never shown.
#[derive(Clone)]
pub(crate) struct Url(Uri);

impl Url {
    pub(crate) fn parse(text: &str) -> Option<Url> {
        Url::parse_any_host(text).filter(|url| url.is_https() || url.is_loopback())
    }

    /// An address over https or over plain http, of whatever host: one that an operator answers for
    /// and that nobody's sign-in rests on.
    pub(crate) fn parse_any_host(text: &str) -> Option<Url> {
        let uri: Uri = text.parse().ok()?;
        let url = Url(uri);
        let authority = url.0.authority()?;
        if authority.as_str().contains('@') || url.host().is_empty() {
            return None;
        }
        (url.is_https() || url.0.scheme_str() == Some("http")).then_some(url)
    }

    /// The address of a path below this one, without parameters; none if it becomes too long for
    /// one.
    pub(crate) fn below(&self, path: &str) -> Option<Url> {
        let path = format!("{}{path}", self.path().trim_end_matches('/'));
        let mut parts = self.0.clone().into_parts();
        parts.path_and_query = Some(path.parse().ok()?);
        Uri::from_parts(parts).ok().map(Url)
    }

    /// This address with parameters added; none if it becomes too long for one.
    pub(crate) fn with_query(&self, parameters: &[(&str, &str)]) -> Option<Url> {
        let mut text = self.0.to_string();
        let mut separator = if self.0.query().is_some() { '&' } else { '?' };
        for (name, value) in parameters {
            text.push(separator);
            text.push_str(name);
            text.push('=');
            push_escaped(&mut text, value);
            separator = '&';
        }
        text.parse().ok().map(Url)
    }

    /// Whether the host is a domain, or below it.
    pub(crate) fn is_within(&self, domain: &str) -> bool {
        let host = self.host().to_ascii_lowercase();
        let Some(before) = host.strip_suffix(&domain.to_ascii_lowercase()) else {
            return false;
        };
        !domain.is_empty() && (before.is_empty() || before.ends_with('.'))
    }

    /// Whether it is of the scheme's own port, or of any port of this machine.
    pub(crate) fn is_usual_port(&self) -> bool {
        self.is_loopback() || self.0.port_u16().is_none_or(|port| port == 443)
    }

    pub(crate) fn host(&self) -> &str {
        self.0.host().unwrap_or_default()
    }

    pub(crate) fn path(&self) -> &str {
        self.0.path()
    }

    pub(crate) fn has_query(&self) -> bool {
        self.0.query().is_some()
    }

    pub(crate) fn to_uri(&self) -> Uri {
        self.0.clone()
    }

    /// A name in a table of documents.
    pub(crate) fn to_key(&self) -> String {
        self.0.to_string()
    }

    fn is_https(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    fn is_loopback(&self) -> bool {
        let host = self.host().trim_start_matches('[').trim_end_matches(']');
        host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

fn push_escaped(text: &mut String, value: &str) {
    const HEX: [u8; 16] = *b"0123456789ABCDEF";
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(byte.into());
        } else {
            text.push('%');
            text.push(HEX[usize::from(byte >> 4)].into());
            text.push(HEX[usize::from(byte & 15)].into());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_https_and_loopback_are_asked() {
        for good in [
            "https://appleid.apple.com/auth/keys",
            "HTTPS://example.com",
            "http://127.0.0.1:80/a?b=c",
            "http://127.9.9.9/",
            "http://[::1]:8080/",
        ] {
            assert!(Url::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "/path",
            "example.com",
            "http://example.com/",
            "http://localhost/",
            "http://10.0.0.1/",
            "http://169.254.169.254/",
            "http://127.0.0.1.example.com/",
            "http://user@127.0.0.1/",
            "https://apple.com@example.com/",
            "https://apple.com:x@example.com/",
            "ftp://example.com/",
            "file:///etc/passwd",
            "https:///path",
        ] {
            assert!(Url::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn any_host_may_be_one_without_tls_if_its_reader_says_so() {
        for good in ["https://example.com", "http://otel-collector:4318", "http://10.0.0.1/"] {
            assert!(Url::parse_any_host(good).is_some(), "{good}");
        }
        for bad in
            ["", "collector:4318", "ftp://example.com/", "http://user:x@example.com/", "http:///a"]
        {
            assert!(Url::parse_any_host(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_host_is_within_its_domain_and_not_within_one_that_looks_like_it() {
        let is_within = |text: &str| Url::parse(text).unwrap().is_within("apple.com");
        assert!(is_within("https://apple.com/"));
        assert!(is_within("https://static.gc.APPLE.com/"));
        assert!(!is_within("https://pineapple.com/"));
        assert!(!is_within("https://apple.com.example.com/"));
        assert!(!is_within("https://apple.com./"));
        assert!(!is_within("https://example.com/apple.com"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String, value: String) {
            if let Some(url) = Url::parse(&text) {
                url.with_query(&[("a", &value)]);
                url.below("/v1/traces");
            }
            let url = Url::parse("https://example.com/").expect("it is an address");
            let url = url.with_query(&[("a", &value), ("b", &text)]).expect("it is not long");
            prop_assert_eq!(url.host(), "example.com");
        }
    }
}
