//! WebSocket messages out of bytes, and into bytes (RFC 6455), server side.
//!
//! Frames are cut here and decoded by tungstenite, whose socket exists only while a frame or a
//! fragmented message is decoded: kept for the life of a connection it would hold its read buffer,
//! as large as the largest message so far. An idle [`Codec`] is 120 bytes and nothing on the heap.

mod utf8;

use std::io::{self, Cursor, Read, Write};

use bytes::Bytes;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame, FrameHeader};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, Utf8Bytes, WebSocket};

use self::utf8::Utf8;

const TEXT: OpCode = OpCode::Data(Data::Text);
const CONTINUE: OpCode = OpCode::Data(Data::Continue);
/// Payload of a control frame (RFC 6455, 5.5).
const CONTROL_MAX: usize = 125;
/// What a close frame's two-byte code leaves for the reason.
const REASON_MAX: usize = CONTROL_MAX - 2;

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one message, all its fragments together.
    pub message: usize,
    /// Frames that may come at once, of any kind: a codec begins with so many allowed, and gets
    /// back what [`Codec::allow`] gives it as time passes.
    pub frames: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Text(Utf8Bytes),
    Binary(Bytes),
    /// Already answered in the output.
    Ping,
    Pong,
    /// The peer's close frame. The echo, if the peer was first, is in the output; with that written
    /// the connection is over. A code that may not be sent is answered and told as 1002.
    Closed {
        code: Option<u16>,
    },
    /// The peer broke the protocol. The output ends with a close frame, unless one was sent before;
    /// with that written the connection is over.
    Failed(Failure),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("message is over the limit")]
    TooLarge,
    #[error("text is not UTF-8")]
    Encoding,
    #[error("protocol error")]
    Protocol,
    #[error("too many frames")]
    TooMany,
}

impl Failure {
    /// The close code that the peer is told.
    pub fn code(self) -> u16 {
        match self {
            Failure::TooLarge => 1009,
            Failure::Encoding => 1007,
            Failure::Protocol => 1002,
            Failure::TooMany => 1008,
        }
    }

    /// The reason beside it: none where the code says all.
    fn reason(self) -> &'static str {
        match self {
            Failure::TooLarge | Failure::Encoding | Failure::Protocol => "",
            Failure::TooMany => "too many frames",
        }
    }
}

/// One WebSocket after its handshake.
///
/// Lives with the connection on the core that accepted it. Invariants: between messages it owns no
/// input buffer, with the output taken no output buffer; after a close frame of ours nothing else
/// is sent and the peer's messages are dropped until its close frame; nothing is read after that.
#[derive(Debug)]
pub struct Codec {
    limits: Limits,
    input: Vec<u8>,
    /// Where the undecoded bytes begin in `input`.
    start: usize,
    /// Exists only with an incomplete message.
    fragments: Option<Box<Fragments>>,
    /// How far the text of an incomplete frame was looked at.
    partial: Partial,
    output: Vec<u8>,
    /// Frames that may still come.
    allowance: u32,
    state: State,
}

/// The beginning of a message that has not come whole.
#[derive(Debug)]
struct Fragments {
    /// Holds them.
    socket: WebSocket<Pipe>,
    size: usize,
    /// Where a text stands after them.
    text: Option<Utf8>,
}

#[derive(Debug, Default)]
struct Partial {
    scanned: usize,
    text: Utf8,
}

/// One frame's bytes, and what its header says.
#[derive(Debug)]
struct Cut {
    header: FrameHeader,
    bytes: Vec<u8>,
    /// Where the payload begins.
    payload: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Our close frame is sent, the peer's has not come.
    Closing,
    Closed,
}

impl Codec {
    /// `rest` is what came after the request that opened the WebSocket.
    pub fn new(limits: Limits, rest: Vec<u8>) -> Codec {
        Codec {
            limits,
            input: rest,
            start: 0,
            fragments: None,
            partial: Partial::default(),
            output: Vec::new(),
            allowance: limits.frames,
            state: State::Open,
        }
    }

    /// Whether so many frames have come that it is time to look at the clock and [`allow`] more.
    ///
    /// [`allow`]: Codec::allow
    pub fn wants_allowance(&self) -> bool {
        self.allowance < self.limits.frames / 2
    }

    /// Lets so many more frames in, though never more at once than the limit.
    pub fn allow(&mut self, frames: u32) {
        self.allowance = self.allowance.saturating_add(frames).min(self.limits.frames);
    }

    /// Takes in bytes of the connection. Poll until nothing comes before feeding more: what is
    /// buffered is at most one message, one frame and what was fed last.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.state == State::Closed {
            return;
        }
        if self.start > 0 {
            self.input.drain(..self.start);
            self.start = 0;
        }
        self.input.extend_from_slice(bytes);
    }

    /// The next event, or nothing until more bytes come. Pings are answered here, so a caller whose
    /// output is backed up stops polling.
    pub fn poll(&mut self) -> Option<Event> {
        while self.state != State::Closed {
            let event = match self.take_frame() {
                Ok(Some(_)) if self.allowance == 0 => Some(self.fail(Failure::TooMany)),
                Ok(Some(frame)) => {
                    self.allowance -= 1;
                    self.decode(frame)
                }
                Ok(None) => return None,
                Err(failure) => Some(self.fail(failure)),
            };
            if self.state == State::Closed {
                self.input = Vec::new();
                self.start = 0;
                self.fragments = None;
            }
            if event.is_some() {
                return event;
            }
        }
        None
    }

    /// Sends a text message; after a close frame of either side, nothing.
    pub fn send_text(&mut self, text: &str) {
        self.send(OpCode::Data(Data::Text), text.as_bytes());
    }

    /// Sends a binary message; after a close frame of either side, nothing.
    pub fn send_binary(&mut self, bytes: &[u8]) {
        self.send(OpCode::Data(Data::Binary), bytes);
    }

    /// Sends a ping without payload; after a close frame of either side, nothing.
    pub fn ping(&mut self) {
        self.send(OpCode::Control(Control::Ping), &[]);
    }

    /// Begins to close. The reason is cut to what a close frame can carry.
    pub fn close(&mut self, code: u16, reason: &str) {
        if self.state == State::Open {
            self.push_close(Some(code), reason);
            self.state = State::Closing;
        }
    }

    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// How many bytes there are to write.
    pub fn output_size(&self) -> usize {
        self.output.len()
    }

    /// The bytes to write, in order.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Whether nothing more is read: the peer's close frame or a failure has come.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// The next frame once it is complete.
    fn take_frame(&mut self) -> Result<Option<Cut>, Failure> {
        let unread = &self.input[self.start..];
        let mut cursor = Cursor::new(unread);
        let Some((header, size)) =
            FrameHeader::parse(&mut cursor).map_err(|_| Failure::Protocol)?
        else {
            return Ok(None);
        };
        let payload = usize::try_from(cursor.position()).map_err(|_| Failure::Protocol)?;
        let size = usize::try_from(size).map_err(|_| Failure::TooLarge)?;
        let before = match &self.fragments {
            Some(fragments) if header.opcode == CONTINUE => fragments.size,
            _ => 0,
        };
        if size > self.frame_max() || (before > 0 && before + size > self.limits.message) {
            return Err(Failure::TooLarge);
        }
        let length = payload + size;
        if unread.len() < length {
            self.check_partial(&header, payload, before + size)?;
            return Ok(None);
        }
        self.partial = Partial::default();
        if unread.len() == length && self.start == 0 {
            return Ok(Some(Cut { header, bytes: std::mem::take(&mut self.input), payload }));
        }
        let bytes = unread[..length].to_vec();
        self.start += length;
        if self.start == self.input.len() {
            self.input = Vec::new();
            self.start = 0;
        }
        Ok(Some(Cut { header, bytes, payload }))
    }

    /// Refuses a text as soon as it cannot become one, however long its frame is. `size` is that of
    /// the message up to the frame's end.
    fn check_partial(
        &mut self,
        header: &FrameHeader,
        payload: usize,
        size: usize,
    ) -> Result<(), Failure> {
        let text = match &self.fragments {
            None if header.opcode == TEXT => Some(Utf8::default()),
            Some(fragments) if header.opcode == CONTINUE => fragments.text,
            _ => None,
        };
        // What breaks another rule is refused for that, when the frame is whole.
        let is_sound = !(header.rsv1 || header.rsv2 || header.rsv3) && size <= self.limits.message;
        let (Some(text), Some(mask), true) = (text, header.mask, is_sound) else {
            return Ok(());
        };
        if self.partial.scanned == 0 {
            self.partial.text = text;
        }
        let payload = &self.input[self.start + payload..];
        self.partial.text.read(payload, mask, self.partial.scanned).ok_or(Failure::Encoding)?;
        self.partial.scanned = payload.len();
        Ok(())
    }

    /// The largest payload of a frame that can be part of anything allowed.
    fn frame_max(&self) -> usize {
        self.limits.message.max(CONTROL_MAX)
    }

    /// Lets tungstenite decode one whole frame.
    fn decode(&mut self, frame: Cut) -> Option<Event> {
        let Cut { header, bytes, payload } = frame;
        let is_fragmented = self.fragments.is_some();
        let mut fragments = match self.fragments.take() {
            Some(mut fragments) => {
                fragments.add(&header, &bytes[payload..]);
                *fragments.socket.get_mut() = Pipe(Cursor::new(bytes));
                fragments
            }
            None => {
                let config = WebSocketConfig::default()
                    .read_buffer_size(0)
                    .write_buffer_size(0)
                    .max_message_size(Some(self.limits.message))
                    .max_frame_size(Some(self.frame_max()));
                let pipe = Pipe::default();
                let mut text = (header.opcode == TEXT).then(Utf8::default);
                if let (Some(text), false) = (&mut text, header.is_final) {
                    text.read(&bytes[payload..], header.mask.unwrap_or_default(), 0);
                }
                let size = bytes.len() - payload;
                let socket =
                    WebSocket::from_partially_read(pipe, bytes, Role::Server, Some(config));
                Box::new(Fragments { socket, size, text })
            }
        };
        let message = match fragments.socket.read() {
            Ok(message) => message,
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.fragments = Some(fragments); // a fragment, not the last
                return None;
            }
            Err(error) => return Some(self.fail(failure(&error))),
        };
        if is_fragmented && matches!(message, Message::Ping(_) | Message::Pong(_)) {
            self.fragments = Some(fragments); // a control frame between fragments
        }
        self.event(message)
    }

    fn event(&mut self, message: Message) -> Option<Event> {
        if let Message::Close(frame) = message {
            let code = frame.map(|frame| u16::from(frame.code));
            if self.state == State::Open {
                self.push_close(code, "");
            }
            self.state = State::Closed;
            return Some(Event::Closed { code });
        }
        if self.state != State::Open {
            return None;
        }
        match message {
            Message::Text(text) => Some(Event::Text(text)),
            Message::Binary(bytes) => Some(Event::Binary(bytes)),
            Message::Ping(payload) => {
                self.send(OpCode::Control(Control::Pong), &payload);
                Some(Event::Ping)
            }
            Message::Pong(_) => Some(Event::Pong),
            Message::Close(_) | Message::Frame(_) => None, // handled above; never read
        }
    }

    fn fail(&mut self, failure: Failure) -> Event {
        if self.state == State::Open {
            self.push_close(Some(failure.code()), failure.reason());
        }
        self.state = State::Closed;
        Event::Failed(failure)
    }

    fn send(&mut self, opcode: OpCode, payload: &[u8]) {
        if self.state != State::Open {
            return;
        }
        let header = FrameHeader { opcode, ..FrameHeader::default() };
        let length = payload.len() as u64;
        self.output.reserve(header.len(length) + payload.len());
        header.format(length, &mut self.output).expect("writing to a Vec does not fail");
        self.output.extend_from_slice(payload);
    }

    fn push_close(&mut self, code: Option<u16>, reason: &str) {
        let reason = &reason[..reason.floor_char_boundary(REASON_MAX)];
        let frame = Frame::close(
            code.map(|code| CloseFrame { code: CloseCode::from(code), reason: reason.into() }),
        );
        frame.format(&mut self.output).expect("writing to a Vec does not fail");
    }
}

impl Fragments {
    /// Counts one more frame, if it is one of the message's.
    fn add(&mut self, header: &FrameHeader, payload: &[u8]) {
        if header.opcode != CONTINUE {
            return;
        }
        self.size += payload.len();
        if let Some(text) = &mut self.text {
            text.read(payload, header.mask.unwrap_or_default(), 0);
        }
    }
}

fn failure(error: &tungstenite::Error) -> Failure {
    match error {
        tungstenite::Error::Capacity(_) => Failure::TooLarge,
        tungstenite::Error::Utf8(_) => Failure::Encoding,
        _ => Failure::Protocol,
    }
}

/// What tungstenite reads from: one frame, then "would block". What it writes (its own answers to
/// pings and closes) is dropped, since [`Codec`] answers them.
#[derive(Debug, Default)]
struct Pipe(Cursor<Vec<u8>>);

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
