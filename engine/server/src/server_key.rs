//! The keys of tokens for dedicated servers: PEM files, or one that is made at the first start.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};
use domain::identity::server_token::ServerKeys;

use crate::config::Config;
use crate::{key_file, whole_file};

/// The key of a data folder whose configuration names none.
pub(crate) const FILE: &str = "server-token.pem";
const KEY: &str = "session.server_token_key_files";
const SIZE_MAX: u64 = 64 << 10;
const LABEL: &str = "PRIVATE KEY";
/// An Ed25519 private key in PKCS #8 (RFC 8410), up to its 32 bytes.
const PREFIX: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

pub(crate) fn load(config: &Config) -> Result<ServerKeys> {
    let named = &config.session.server_token_key_files;
    if !named.is_empty() {
        return read_all(&config.name, named).context(KEY);
    }
    let file = config.data_dir.join(FILE);
    if !file.exists() {
        generate(&file).with_context(|| format!("cannot write {}", file.display()))?;
    }
    read_all(&config.name, &[file])
}

/// Why the named files, if there are any, hold no keys: sentences that begin with ours.
pub(crate) fn check(config: &Config) -> Vec<String> {
    let files = config.session.server_token_key_files.iter();
    let errors = files.filter_map(|file| read(file).err());
    errors.map(|error| format!("{KEY}: {error:#}")).collect()
}

fn read_all(issuer: &str, files: &[PathBuf]) -> Result<ServerKeys> {
    let keys = files.iter().map(|file| read(file)).collect::<Result<Vec<_>>>()?;
    let (newest, earlier) = keys.split_first().context("at least one key file")?;
    ServerKeys::new(issuer, newest, earlier).map_err(|_| anyhow!("no Ed25519 key"))
}

/// The key in a file; an error begins with the file.
fn read(file: &Path) -> Result<Vec<u8>> {
    let name = file.display();
    let text = whole_file::read_text(file, SIZE_MAX).map_err(|error| anyhow!("{name} {error}"))?;
    let pem = pem::parse(text).with_context(|| format!("{name} is no PEM file"))?;
    let tag = pem.tag();
    ensure!(tag == LABEL, "{name} is a PEM file with a {tag:?}, not a {LABEL:?}");
    let key = pem.into_contents();
    let is_key = ServerKeys::new("", &key, &[]).is_ok();
    ensure!(is_key, "{name} holds no Ed25519 key");
    Ok(key)
}

/// Makes a key, readable by its owner alone.
fn generate(file: &Path) -> io::Result<()> {
    let mut key = PREFIX.to_vec();
    key.extend_from_slice(&crate::executor::seed());
    key_file::write(file, &pem::encode(&pem::Pem::new(LABEL, key)))
}
