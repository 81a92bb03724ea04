//! Keys that a data folder keeps for itself: made at the first start, readable by their owner
//! alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Writes the file, whole or not at all.
pub(crate) fn write(file: &Path, text: &str) -> io::Result<()> {
    let partial = file.with_extension("new");
    if partial.exists() {
        fs::remove_file(&partial)?; // of a start that was cut short
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut written = options.open(&partial)?;
    written.write_all(text.as_bytes())?;
    written.sync_all()?;
    fs::rename(&partial, file)?;
    File::open(file.parent().unwrap_or(Path::new(".")))?.sync_all()
}
