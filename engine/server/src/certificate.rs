//! The certificate of TLS and its key: read at the start, read again when they change.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use net::tls::{Acceptor, Chain, Identity, PrivateKey};

use crate::config::Config;
use crate::whole_file;

/// How often the files are looked at. A change is tried when it was seen twice: in between, one of
/// two files may be new and the other old.
const WATCH_PERIOD: Duration = Duration::from_secs(2);
const SIZE_MAX: u64 = 1 << 20;

/// TLS, where it is configured.
#[derive(Debug)]
pub(crate) struct Certificate {
    /// What the cores accept connections with.
    pub acceptor: Arc<Acceptor>,
    /// Has the files read at once. A request that waits already is enough.
    pub reload: Sender<()>,
}

impl Certificate {
    /// Why the files cannot be served, if there are any: sentences that begin with keys.
    pub(crate) fn check(config: &Config) -> Vec<String> {
        let files = Files::named(config);
        let is_named = |file: &Path| !file.as_os_str().is_empty();
        let chain = is_named(&files.certificate).then(|| files.chain(&files.read_certificate()?));
        let key = is_named(&files.private_key).then(|| files.key(&files.read_private_key()?));
        let errors = match (chain, key) {
            (Some(Ok(chain)), Some(Ok(key))) => [files.pair(chain, key).err(), None],
            (chain, key) => [chain.and_then(Result::err), key.and_then(Result::err)],
        };
        errors.into_iter().flatten().map(|error| format!("{error:#}")).collect()
    }

    /// Reads both files, and starts the thread that watches them.
    pub(crate) fn start(config: &Config) -> Result<Option<Certificate>> {
        let Some(files) = Files::of(config) else { return Ok(None) };
        let pair = files.read()?;
        let acceptor = Arc::new(Acceptor::new(files.identity(&pair)?));
        let (reload, reloads) = crossbeam_channel::bounded(1);
        let watch = Watch::new(Ok(pair));
        let watched = acceptor.clone();
        let run = move || watch_files(&files, watch, &watched, &reloads);
        std::thread::Builder::new().name("certificate".into()).spawn(run)?;
        Ok(Some(Certificate { acceptor, reload }))
    }
}

/// Ends when nobody can ask any more.
fn watch_files(files: &Files, mut watch: Watch, acceptor: &Acceptor, reloads: &Receiver<()>) {
    loop {
        let is_asked = match reloads.recv_timeout(WATCH_PERIOD) {
            Ok(()) => true,
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let seen = files.read().map_err(|error| format!("{error:#}"));
        if !watch.see(seen.clone()) && !is_asked {
            continue;
        }
        watch.tried = seen.clone();
        let identity =
            seen.and_then(|pair| files.identity(&pair).map_err(|error| format!("{error:#}")));
        match identity {
            Ok(identity) => {
                acceptor.replace(identity);
                let certificate = files.certificate.display();
                tracing::info!(%certificate, "certificate reloaded");
            }
            Err(error) => tracing::error!(error, "certificate not reloaded: the old one stays"),
        }
    }
}

/// PEM files.
#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    private_key: PathBuf,
}

/// What they hold.
#[derive(Clone, PartialEq, Eq)]
struct Pair {
    certificate: Vec<u8>,
    private_key: Vec<u8>,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pair(..)") // a secret
    }
}

impl Files {
    fn named(config: &Config) -> Files {
        Files {
            certificate: config.socket.ssl_certificate.clone(),
            private_key: config.socket.ssl_private_key.clone(),
        }
    }

    fn of(config: &Config) -> Option<Files> {
        config.has_tls().then(|| Files::named(config))
    }

    fn read(&self) -> Result<Pair> {
        let certificate = self.read_certificate()?;
        Ok(Pair { certificate, private_key: self.read_private_key()? })
    }

    fn read_certificate(&self) -> Result<Vec<u8>> {
        read(&self.certificate).context("socket.ssl_certificate")
    }

    fn read_private_key(&self) -> Result<Vec<u8>> {
        read(&self.private_key).context("socket.ssl_private_key")
    }

    fn identity(&self, pair: &Pair) -> Result<Identity> {
        self.pair(self.chain(&pair.certificate)?, self.key(&pair.private_key)?)
    }

    fn chain(&self, pem: &[u8]) -> Result<Chain> {
        let place = || format!("socket.ssl_certificate: in {}", self.certificate.display());
        Chain::parse(pem).with_context(place)
    }

    fn key(&self, pem: &[u8]) -> Result<PrivateKey> {
        let place = || format!("socket.ssl_private_key: in {}", self.private_key.display());
        PrivateKey::parse(pem).with_context(place)
    }

    fn pair(&self, chain: Chain, key: PrivateKey) -> Result<Identity> {
        let (certificate, private_key) = (self.certificate.display(), self.private_key.display());
        Identity::new(chain, key).with_context(|| {
            format!(
                "socket.ssl_certificate, socket.ssl_private_key: in {certificate} and {private_key}"
            )
        })
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    let bytes = whole_file::read(file, SIZE_MAX);
    bytes.map_err(|error| anyhow!("{} {error}", file.display()))
}

/// What was seen in the files, or why nothing was.
type Seen = Result<Pair, String>;

/// Tells when a change is to be tried.
#[derive(Debug)]
struct Watch {
    seen: Seen,
    /// Good or bad, it is not tried again.
    tried: Seen,
}

impl Watch {
    fn new(tried: Seen) -> Watch {
        Watch { seen: tried.clone(), tried }
    }

    /// Whether this is new, and the same as the last time.
    fn see(&mut self, seen: Seen) -> bool {
        let is_settled = self.seen == seen;
        self.seen = seen;
        is_settled && self.seen != self.tried
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_tried_once_and_when_it_is_whole() {
        let pair = |certificate: &str, private_key: &str| {
            Ok(Pair { certificate: certificate.into(), private_key: private_key.into() })
        };
        let mut watch = Watch::new(pair("old", "old"));
        assert!(!watch.see(pair("old", "old")));
        assert!(!watch.see(pair("new", "old")), "the key is on its way");
        assert!(!watch.see(pair("new", "new")));
        assert!(watch.see(pair("new", "new")));
        watch.tried = pair("new", "new");
        assert!(!watch.see(pair("new", "new")));
        assert!(!watch.see(Err("gone".into())));
        assert!(watch.see(Err("gone".into())));
        watch.tried = Err("gone".into());
        assert!(!watch.see(Err("gone".into())));
        assert!(!watch.see(pair("new", "new")));
        assert!(watch.see(pair("new", "new")));
    }
}
