//! How far something long has got, on standard error: a line that is drawn again on a terminal,
//! else a line every few seconds.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use store::{Phase, Progress};

const LINE_EVERY: Duration = Duration::from_secs(5);
const DRAWN_EVERY: Duration = Duration::from_millis(100);
const WIDTH: u64 = 24;

#[derive(Debug)]
pub(crate) struct Bar {
    is_terminal: bool,
    /// When the phase began.
    begun: Instant,
    phase: Option<Phase>,
    shown: Option<Instant>,
}

impl Bar {
    pub(crate) fn new() -> Bar {
        let is_terminal = std::io::stderr().is_terminal();
        Bar { is_terminal, begun: Instant::now(), phase: None, shown: None }
    }

    pub(crate) fn show(&mut self, progress: Progress) {
        let now = Instant::now();
        if self.phase != Some(progress.phase) {
            self.phase = Some(progress.phase);
            self.begun = now;
            // A phase that is short is not told to a file.
            self.shown = (!self.is_terminal).then_some(now);
        }
        let period = if self.is_terminal { DRAWN_EVERY } else { LINE_EVERY };
        if self.shown.is_some_and(|at| now.duration_since(at) < period) {
            return;
        }
        self.shown = Some(now);
        let text = line(progress, now.duration_since(self.begun), self.is_terminal);
        let (start, end) = if self.is_terminal { ("\r", "\x1b[K") } else { ("", "\n") };
        let _ = write!(std::io::stderr(), "{start}{text}{end}"); // nobody may be looking
    }

    /// Makes room for other lines.
    pub(crate) fn clear(&mut self) {
        if self.is_terminal && self.shown.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn line(progress: Progress, elapsed: Duration, has_bar: bool) -> String {
    let Progress { phase, done, total, bytes } = progress;
    let name = match phase {
        Phase::Copy => "copying",
        Phase::Verify => "verifying",
        Phase::Restore => "restoring",
        Phase::Replay => "replaying",
    };
    let part = |of: u64| match total {
        0 => of,
        _ => u64::try_from(u128::from(done) * u128::from(of) / u128::from(total)).unwrap_or(of),
    };
    let bar = if has_bar {
        let full = usize::try_from(part(WIDTH)).unwrap_or_default();
        format!("[{:.<width$}] ", "#".repeat(full), width = WIDTH as usize)
    } else {
        String::new()
    };
    let size = mebibytes(bytes);
    let speed = size / elapsed.as_secs_f64().max(0.001);
    format!("{name:<9} {bar}{:>3} %  {size:.0} MiB, {speed:.0} MiB/s", part(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_part_size_and_speed() {
        let progress = Progress { phase: Phase::Copy, done: 1, total: 4, bytes: 3 << 20 };
        let elapsed = Duration::from_secs(2);
        assert_eq!(line(progress, elapsed, false), "copying    25 %  3 MiB, 2 MiB/s");
        assert_eq!(
            line(progress, elapsed, true),
            "copying   [######..................]  25 %  3 MiB, 2 MiB/s"
        );
        let empty = Progress { phase: Phase::Verify, done: 0, total: 0, bytes: 0 };
        assert_eq!(line(empty, elapsed, false), "verifying 100 %  0 MiB, 0 MiB/s");
    }
}
