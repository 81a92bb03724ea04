//! What the system says of the process and of its disk.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

/// Processor time of all threads.
#[derive(Debug, Default)]
pub(super) struct Cpu {
    pub(super) user: Duration,
    pub(super) system: Duration,
}

/// The file system of a folder.
#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) free: u64,
    pub(super) size: u64,
}

/// Bytes of the process that are in RAM.
pub(super) fn resident() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// What the machine has, or what the process's control group may have, if that is less.
pub(super) fn memory_limit() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let machine = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = group_limit(&groups, Path::new("/sys/fs/cgroup"));
    Some(limit.map_or(machine, |limit| limit.min(machine)))
}

/// The least that the control groups of these lines, or those around them, may have.
fn group_limit(groups: &str, root: &Path) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, group) = (parts.next()?, parts.next()?);
        let (root, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes") // version 1
            }
            _ => return None,
        };
        let group = Path::new(group.trim_start_matches('/'));
        let limits = group.ancestors().filter_map(|group| {
            let text = fs::read_to_string(root.join(group).join(file)).ok()?;
            text.trim().parse::<u64>().ok() // `max` is no limit
        });
        limits.min()
    });
    limits.min()
}

/// Open descriptors, without the one that counting takes.
pub(super) fn descriptors() -> Option<u64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    u64::try_from(count).ok()?.checked_sub(1)
}

pub(super) fn max_descriptors() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call writes one `rlimit`, which outlives it.
    let is_known = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0;
    is_known.then_some(limit.rlim_cur)
}

pub(super) fn cpu() -> Option<Cpu> {
    // SAFETY: all-zero bytes are a `rusage`; the call writes one, which outlives it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) == 0).then_some(usage)
    }?;
    let time = |time: libc::timeval| {
        let micros = u64::try_from(time.tv_usec).unwrap_or(0);
        Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0)) + Duration::from_micros(micros)
    };
    Some(Cpu { user: time(usage.ru_utime), system: time(usage.ru_stime) })
}

pub(super) fn disk(folder: &Path) -> Option<Disk> {
    let path = CString::new(folder.as_os_str().as_bytes()).ok()?;
    // SAFETY: all-zero bytes are a `statvfs`; the call reads the path, which ends with a zero, and
    // writes one `statvfs`. Both outlive it.
    let found = unsafe {
        let mut found: libc::statvfs = std::mem::zeroed();
        (libc::statvfs(path.as_ptr(), &raw mut found) == 0).then_some(found)
    }?;
    Some(Disk { free: found.f_bavail * found.f_frsize, size: found.f_blocks * found.f_frsize })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_group_around_the_process_limits_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for (file, limit) in [
            ("a/b/memory.max", "max"),
            ("a/memory.max", "3000"),
            ("memory.max", "4000"),
            ("memory/c/memory.limit_in_bytes", "5000"),
            ("memory/memory.limit_in_bytes", "9223372036854771712"),
        ] {
            let file = root.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, format!("{limit}\n")).unwrap();
        }
        for (groups, limit) in [
            ("0::/a/b\n", Some(3000)),
            ("0::/\n", Some(4000)),
            ("5:memory:/c\n1:cpu:/a\n", Some(5000)),
            ("5:cpu,memory:/c/not-mounted-here\n0::/a\n", Some(3000)),
            ("1:cpu:/a\n", None),
            ("", None),
        ] {
            assert_eq!(group_limit(groups, root), limit, "{groups}");
        }
        assert_eq!(group_limit("0::/b\n", &root.join("a/b")), None);
    }
}
