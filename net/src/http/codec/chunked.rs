//! Bodies in chunks (RFC 9112, 7.1).

use bytes::Bytes;

use super::{Error, Limits, is_token};

/// A line with a chunk's size, its extensions and its end: sizes need few digits, and nobody sends
/// extensions but to hide something in them.
const SIZE_LINE_MAX: usize = 256;
/// What the extensions of one body may take together.
const EXTENSIONS_MAX: usize = 1024;
/// Digits of a size, leading zeros included: as many as a 64-bit number has.
const DIGITS_MAX: usize = 16;

/// Fields that say how a message is framed, routed, authenticated or read. A reader that merged
/// them from a trailer would see another request than one that does not (RFC 9110, 6.5.1).
const NO_TRAILERS: [&str; 12] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// One body as it comes in. It keeps the data of chunks and nothing of what is around them, so it
/// owns at most the limit; a declared size is no memory yet.
#[derive(Debug)]
pub(super) struct Chunked {
    limits: Limits,
    body: Vec<u8>,
    part: Part,
    /// Bytes of an incomplete line that were searched for its end.
    scanned: usize,
    /// Bytes of extensions so far.
    extensions: usize,
    /// Bytes and number of the trailers so far.
    trailers: usize,
    trailer_count: usize,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Size,
    /// So many bytes of a chunk.
    Data(usize),
    /// The end of a chunk's line.
    DataEnd,
    Trailers,
    Complete,
}

impl Chunked {
    pub(super) fn new(limits: Limits) -> Chunked {
        Chunked {
            limits,
            body: Vec::new(),
            part: Part::Size,
            scanned: 0,
            extensions: 0,
            trailers: 0,
            trailer_count: 0,
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.part == Part::Complete
    }

    /// The body, which is complete.
    pub(super) fn take(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.body))
    }

    /// Takes in what it can, and gives how many bytes that were. The rest is an incomplete line,
    /// and has to stand in front of what comes next; after the body's end it is the next request.
    pub(super) fn decode(&mut self, input: &[u8]) -> Result<usize, Error> {
        let mut taken = 0;
        loop {
            let unread = &input[taken..];
            let step = match self.part {
                Part::Size => self.take_size(unread)?,
                Part::Data(size) => self.take_data(unread, size),
                Part::DataEnd => self.take_data_end(unread)?,
                Part::Trailers => self.take_trailer(unread)?,
                Part::Complete => None,
            };
            match step {
                Some(count) => taken += count,
                None => return Ok(taken),
            }
        }
    }

    fn take_size(&mut self, unread: &[u8]) -> Result<Option<usize>, Error> {
        let Some(line) = self.find_line(unread, SIZE_LINE_MAX).map_err(|()| Error::Chunk)? else {
            return Ok(None);
        };
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (digits, extensions) = line.split_at(digits);
        if digits.len() > DIGITS_MAX {
            return Err(self.too_large(u64::MAX));
        }
        self.extensions += extensions.len();
        if !are_extensions(extensions) || self.extensions > EXTENSIONS_MAX {
            return Err(Error::Chunk);
        }
        let size =
            std::str::from_utf8(digits).ok().and_then(|text| u64::from_str_radix(text, 16).ok());
        let size = size.ok_or(Error::Chunk)?;
        self.part = match usize::try_from(size) {
            Ok(0) => Part::Trailers,
            Ok(size) if size <= self.limits.body - self.body.len() => Part::Data(size),
            _ => return Err(self.too_large(size)),
        };
        Ok(Some(line.len() + 2))
    }

    fn take_data(&mut self, unread: &[u8], size: usize) -> Option<usize> {
        let data = &unread[..unread.len().min(size)];
        if data.is_empty() {
            return None;
        }
        let length = self.body.len() + data.len();
        if length > self.body.capacity() {
            // Doubled, as a vector grows by itself, and never past the limit.
            let capacity = length.max(self.body.capacity() * 2).min(self.limits.body);
            self.body.reserve_exact(capacity - self.body.len());
        }
        self.body.extend_from_slice(data);
        self.part = if data.len() == size { Part::DataEnd } else { Part::Data(size - data.len()) };
        Some(data.len())
    }

    fn take_data_end(&mut self, unread: &[u8]) -> Result<Option<usize>, Error> {
        match unread {
            [] | [b'\r'] => Ok(None),
            [b'\r', b'\n', ..] => {
                self.part = Part::Size;
                Ok(Some(2))
            }
            _ => Err(Error::Chunk),
        }
    }

    /// Takes one trailer field, or the empty line that ends the body.
    fn take_trailer(&mut self, unread: &[u8]) -> Result<Option<usize>, Error> {
        let left = self.limits.head - self.trailers;
        let Some(line) = self.find_line(unread, left).map_err(|()| Error::Trailer)? else {
            return Ok(None);
        };
        self.trailers += line.len() + 2;
        self.trailer_count += 1;
        if line.is_empty() {
            self.part = Part::Complete;
        } else if self.trailer_count > self.limits.headers || !is_trailer(line) {
            return Err(Error::Trailer);
        }
        Ok(Some(line.len() + 2))
    }

    /// The next line without its end, once it is there. An error if it has none within `most`
    /// bytes, or another end than CR LF.
    fn find_line<'a>(&mut self, unread: &'a [u8], most: usize) -> Result<Option<&'a [u8]>, ()> {
        let visible = &unread[..unread.len().min(most)];
        let Some(found) = visible[self.scanned..].iter().position(|byte| *byte == b'\n') else {
            self.scanned = visible.len();
            return if unread.len() < most { Ok(None) } else { Err(()) };
        };
        let line = &visible[..self.scanned + found];
        self.scanned = 0;
        line.strip_suffix(b"\r").map(Some).ok_or(())
    }

    fn too_large(&self, size: u64) -> Error {
        let length = size.saturating_add(self.body.len() as u64);
        Error::BodyTooLarge { length, limit: self.limits.body }
    }
}

/// `*( ";" name [ "=" ( token / quoted-string ) ] )`, with blanks where they are to be borne.
fn are_extensions(mut text: &[u8]) -> bool {
    while !text.is_empty() {
        let Some(rest) = trim_blanks(text).strip_prefix(b";") else {
            return false;
        };
        let Some(rest) = strip_token(trim_blanks(rest)) else {
            return false;
        };
        text = match trim_blanks(rest).strip_prefix(b"=") {
            None => rest,
            Some(value) => {
                let value = trim_blanks(value);
                let Some(rest) = strip_token(value).or_else(|| strip_quoted(value)) else {
                    return false;
                };
                rest
            }
        };
    }
    true
}

fn trim_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &text[blanks..]
}

/// What follows a token of at least one character.
fn strip_token(text: &[u8]) -> Option<&[u8]> {
    let length = text.iter().take_while(|byte| is_token(**byte)).count();
    (length > 0).then(|| &text[length..])
}

/// What follows a text in quotation marks.
fn strip_quoted(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        rest = match rest {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', escaped, rest @ ..] if is_text(*escaped) => rest,
            [byte, rest @ ..] if is_text(*byte) && *byte != b'\\' => rest,
            _ => return None,
        };
    }
}

fn is_trailer(line: &[u8]) -> bool {
    let Some(rest) = strip_token(line) else {
        return false;
    };
    let name = &line[..line.len() - rest.len()];
    let Some(value) = rest.strip_prefix(b":") else {
        return false;
    };
    let is_other = |other: &&str| !name.eq_ignore_ascii_case(other.as_bytes());
    value.iter().all(|byte| is_text(*byte)) && NO_TRAILERS.iter().all(is_other)
}

/// What a field's value or a quoted text may contain.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}
