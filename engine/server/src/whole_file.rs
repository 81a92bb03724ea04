//! Files that are read whole: regular ones, which are no larger than they may be.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// What a file holds. The error completes a sentence that begins with the file.
pub(crate) fn read(path: &Path, size_max: u64) -> io::Result<Vec<u8>> {
    let explain = |error| io::Error::other(format!("cannot be read: {error}"));
    // Whoever opens a FIFO waits for its other end, unless told not to.
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(explain)?;
    if !file.metadata().map_err(explain)?.is_file() {
        return Err(io::Error::other("is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(size_max + 1).read_to_end(&mut bytes).map_err(explain)?;
    if bytes.len() as u64 > size_max {
        return Err(io::Error::other(format!("is larger than {size_max} bytes")));
    }
    Ok(bytes)
}

/// The same of a text, without the byte order mark that some editors begin it with.
pub(crate) fn read_text(path: &Path, size_max: u64) -> io::Result<String> {
    let mut bytes = read(path, size_max)?;
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        bytes.drain(..3);
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("is no UTF-8"))
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn nothing_but_a_regular_file_is_read_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let [fifo, file] = ["fifo", "file"].map(|name| folder.path().join(name));
        let name = CString::new(fifo.as_os_str().as_bytes()).unwrap();
        // SAFETY: a plain system call; the name ends with a zero.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        for path in [&fifo, folder.path(), Path::new("/dev/zero")] {
            assert_eq!(read(path, 9).unwrap_err().to_string(), "is no regular file");
        }
        std::fs::write(&file, b"\xEF\xBB\xBFtext").unwrap();
        assert_eq!(read(&file, 7).unwrap(), b"\xEF\xBB\xBFtext");
        assert_eq!(read_text(&file, 7).unwrap(), "text");
        assert_eq!(read(&file, 6).unwrap_err().to_string(), "is larger than 6 bytes");
        std::fs::write(&file, b"\xff").unwrap();
        assert_eq!(read_text(&file, 6).unwrap_err().to_string(), "is no UTF-8");
        std::fs::remove_file(&file).unwrap();
        let error = read(&file, 6).unwrap_err().to_string();
        assert!(error.starts_with("cannot be read: No such file"), "{error}");
    }
}
