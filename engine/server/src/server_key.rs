//! The keys of tokens for dedicated servers: PEM files, or one that is made at the first start.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use domain::identity::server_token::ServerKeys;

use crate::config::Config;
use crate::key_file;

/// The key of a data folder whose configuration names none.
const FILE: &str = "server-token.pem";
const LABEL: &str = "PRIVATE KEY";
/// An Ed25519 private key in PKCS #8 (RFC 8410), up to its 32 bytes.
const PREFIX: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

pub(crate) fn load(config: &Config) -> Result<ServerKeys> {
    let mut files = config.session.server_token_key_files.clone();
    if files.is_empty() {
        let file = config.data_dir.join(FILE);
        if !file.exists() {
            generate(&file).with_context(|| format!("cannot write {}", file.display()))?;
        }
        files.push(file);
    }
    read_all(config, &files)
}

/// Whether the named files can be read, if there are any.
pub(crate) fn check(config: &Config) -> Result<()> {
    let files = &config.session.server_token_key_files;
    if !files.is_empty() {
        read_all(config, files)?;
    }
    Ok(())
}

fn read_all(config: &Config, files: &[PathBuf]) -> Result<ServerKeys> {
    let mut keys = Vec::new();
    for file in files {
        keys.push(read(file).with_context(|| format!("in {}", file.display()))?);
    }
    let (newest, earlier) = keys.split_first().context("at least one key file")?;
    let keys = ServerKeys::new(&config.name, newest, earlier);
    keys.map_err(|_| anyhow!("a file holds no Ed25519 key"))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    let text = fs::read_to_string(file).context("cannot read the key of server tokens")?;
    let pem = pem::parse(text).context("no PEM file")?;
    anyhow::ensure!(pem.tag() == LABEL, "a PEM file with a {:?}, not a {LABEL:?}", pem.tag());
    Ok(pem.into_contents())
}

/// Makes a key, readable by its owner alone.
fn generate(file: &Path) -> io::Result<()> {
    let mut key = PREFIX.to_vec();
    key.extend_from_slice(&crate::executor::seed());
    key_file::write(file, &pem::encode(&pem::Pem::new(LABEL, key)))
}
