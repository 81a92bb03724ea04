//! What all connections of one core share: their limits, and what every response carries.

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api::cors;
use api::http::Response;
use api::ops::Door;
use base::limits::{HTTP_HEAD_MAX, HTTP_HEADERS_MAX};
use net::http::Coding;
use net::{http, ws};

use crate::config::Config;

/// What the configuration says about one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub http: http::Limits,
    pub ws: ws::Limits,
    pub read_timeout: Duration,
    pub write_timeout: Duration,
    pub idle_timeout: Duration,
    pub write_wait: Duration,
    pub close_ack_wait: Duration,
    /// Messages, and bytes, that a WebSocket's peer may have still to take.
    pub outgoing_count: usize,
    pub outgoing_size: usize,
}

/// Lives on one core. Every response goes through it.
#[derive(Debug)]
pub(crate) struct Edge {
    pub door: Door,
    pub(super) limits: Limits,
    /// Frames that a WebSocket gets back in a second, if they are counted.
    pub frame_rate: Option<u32>,
    /// Our own proxies in front of clients.
    pub proxy_count: usize,
    /// Fields of every response that does not set them itself.
    presets: Vec<(String, String)>,
    date: RefCell<Date>,
}

/// What a response needs to know of its request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub keep_alive: bool,
    pub version_minor: u8,
    pub is_head: bool,
    pub coding: Option<Coding>,
    pub allow_origin: bool,
}

impl Shape {
    /// The answer to what is no request: it ends the connection.
    pub(super) const REFUSAL: Shape = Shape {
        keep_alive: false,
        version_minor: 1,
        is_head: false,
        coding: None,
        allow_origin: false,
    };
}

impl Edge {
    pub(crate) fn new(config: &Config, door: Door) -> Edge {
        let socket = &config.socket;
        let frames = socket.max_frames_per_sec;
        let limits = Limits {
            http: http::Limits {
                head: HTTP_HEAD_MAX,
                headers: HTTP_HEADERS_MAX,
                body: socket.max_request_size_bytes,
            },
            ws: ws::Limits {
                message: socket.max_message_size_bytes,
                frames: if frames == 0 { u32::MAX } else { frames },
            },
            read_timeout: Duration::from_millis(socket.read_timeout_ms),
            write_timeout: Duration::from_millis(socket.write_timeout_ms),
            idle_timeout: Duration::from_millis(socket.idle_timeout_ms),
            write_wait: Duration::from_millis(socket.write_wait_ms),
            close_ack_wait: Duration::from_millis(socket.close_ack_wait_ms),
            outgoing_count: socket.outgoing_queue_size,
            outgoing_size: socket.outgoing_buffer_size_bytes,
        };
        Edge {
            door,
            limits,
            frame_rate: (frames > 0).then_some(frames),
            // Operators come by themselves or by a proxy that speaks for all of them: what a
            // lock-out goes by is nothing that they can write.
            proxy_count: if door == Door::Operators { 0 } else { socket.proxy_count },
            presets: socket.response_headers.iter().map(|header| header.0.clone()).collect(),
            date: RefCell::new(Date::default()),
        }
    }

    /// Appends the response. An empty body stays empty in every coding.
    pub(super) fn encode(&self, out: &mut Vec<u8>, response: &Response, shape: Shape) {
        let compressed = match shape.coding {
            Some(coding) if !response.body.is_empty() => {
                Some((coding, coding.compress(response.body.as_bytes())))
            }
            _ => None,
        };
        let date = &mut *self.date.borrow_mut();
        let mut headers: Vec<(&str, &str)> = Vec::with_capacity(8 + self.presets.len());
        headers.extend(response.headers.iter().map(|(name, value)| (*name, value.as_str())));
        if let Some((coding, _)) = &compressed {
            headers.push(("Content-Encoding", coding.name()));
        }
        if shape.allow_origin {
            headers.push(cors::ALLOW_ORIGIN);
        }
        headers.push(("Date", date.at(SystemTime::now())));
        for (name, value) in &self.presets {
            if !headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
                headers.push((name, value));
            }
        }
        let response = http::Response {
            status: response.status,
            headers: &headers,
            body: compressed.as_ref().map_or(response.body.as_bytes(), |(_, body)| body),
            keep_alive: shape.keep_alive,
            version_minor: shape.version_minor,
            head_only: shape.is_head,
        };
        http::encode(out, &response);
    }
}

/// The text of the `Date` field (RFC 9110, 5.6.7), written anew once a second.
#[derive(Debug, Default)]
struct Date {
    second: u64,
    text: String,
}

impl Date {
    fn at(&mut self, time: SystemTime) -> &str {
        let second = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if self.second != second || self.text.is_empty() {
            self.second = second;
            self.text = imf_fixdate(second);
        }
        &self.text
    }
}

/// Days are counted from the first of March of the year 0, so that leap days come last: a cycle of
/// 400 years has 146,097 days, and five months from March on have 153.
fn imf_fixdate(second: u64) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"];
    const DAYS_TO_1970: u64 = 719_468;
    let (unix_day, time) = (second / 86_400, second % 86_400);
    let (cycle, day) = ((unix_day + DAYS_TO_1970) / 146_097, (unix_day + DAYS_TO_1970) % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = 400 * cycle + year + u64::from(month >= 10);
    let index = |number: u64| usize::try_from(number).unwrap_or_default();
    format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        WEEKDAYS[index(unix_day % 7)],
        MONTHS[index(month)],
        time / 3600,
        time / 60 % 60,
        time % 60,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Header;

    #[test]
    fn dates_are_written_as_http_wants_them() {
        let check = |second, expected: &str| assert_eq!(imf_fixdate(second), expected);
        check(0, "Thu, 01 Jan 1970 00:00:00 GMT");
        check(784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT");
        check(951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT");
        check(951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT");
        check(1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT");
        check(1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT");
        check(4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT");
    }

    #[test]
    fn what_the_server_sets_itself_is_not_preset() {
        let mut config = Config::default();
        for (name, value) in [("X-Extra", "one"), ("cache-control", "public"), ("Date", "never")] {
            config.socket.response_headers.push(Header((name.into(), value.into())));
        }
        let edge = Edge::new(&config, Door::Clients);
        let mut out = Vec::new();
        edge.encode(&mut out, &Response::text(404, "no"), Shape::REFUSAL);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("\r\nX-Extra: one\r\n") && text.contains("cache-control: public"));
        assert!(!text.contains("never"), "{text}");

        let error = api::Error::new(base::Code::NotFound, "no");
        let mut out = Vec::new();
        edge.encode(&mut out, &Response::error(&error), Shape::REFUSAL);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("Cache-Control: no-store") && !text.contains("public"), "{text}");
    }
}
