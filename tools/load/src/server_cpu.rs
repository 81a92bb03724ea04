//! The processor time of a server on this machine.

use std::time::Duration;

/// Clock ticks a second in /proc, which Linux has fixed at 100 for all programs.
const TICKS: u64 = 100;

/// User and system time of a process so far.
pub(crate) fn of(pid: u32) -> Option<Duration> {
    parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The 14th and 15th field; the second, the program's name in parentheses, may hold spaces.
fn parse(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1_000 / TICKS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 9 8 7 6 150 50 3 4 20 0 1 0 99";
        assert_eq!(parse(stat), Some(Duration::from_secs(2)));
        assert_eq!(parse("7 (a"), None);
        assert!(of(std::process::id()).is_some());
    }
}
