//! Whether the kernel allows io_uring, asked before the runtime does, which panics.

use std::io;

/// Below this the runtime refuses to start.
const MEMLOCK_MIN: u64 = 512 * 1024;
/// `struct io_uring_params` of the kernel: 120 bytes, all of them zero for a ring without options.
type Params = [u64; 15];

/// Why io_uring cannot be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(
        "this kernel has no io_uring: Linux 5.8 or newer is needed, built with CONFIG_IO_URING"
    )]
    Missing,
    #[error(
        "io_uring is not permitted: allow the io_uring_* system calls in the container's seccomp \
         profile (docker: --security-opt seccomp=unconfined or a profile of your own), and set the \
         sysctl kernel.io_uring_disabled to 0"
    )]
    Forbidden,
    #[error(
        "the limit of locked memory is {limit} bytes, {MEMLOCK_MIN} are needed: raise it \
         (ulimit -l 512, systemd: LimitMEMLOCK=8M, docker: --ulimit memlock=8388608)"
    )]
    LockedMemory { limit: u64 },
    #[error("io_uring cannot be set up")]
    Other(#[source] io::Error),
}

/// Sets up a small ring once and gives it back.
pub fn io_uring() -> Result<(), Refused> {
    let limit = locked_memory_limit().map_err(Refused::Other)?;
    if limit < MEMLOCK_MIN {
        return Err(Refused::LockedMemory { limit });
    }
    let mut params: Params = [0; 15];
    // SAFETY: the kernel reads and writes one `io_uring_params` of 120 bytes, which `params` is,
    // and keeps no pointer to it after the call.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 2, params.as_mut_ptr()) };
    if ring < 0 {
        return Err(refusal(io::Error::last_os_error(), limit));
    }
    if let Ok(descriptor) = i32::try_from(ring) {
        // SAFETY: the descriptor was made by the call above and nobody else knows it.
        unsafe { libc::close(descriptor) };
    }
    Ok(())
}

fn refusal(error: io::Error, limit: u64) -> Refused {
    match error.raw_os_error() {
        Some(libc::ENOSYS) => Refused::Missing,
        Some(libc::EPERM | libc::EACCES) => Refused::Forbidden,
        Some(libc::ENOMEM) => Refused::LockedMemory { limit },
        _ => Refused::Other(error),
    }
}

fn locked_memory_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one `rlimit`, which `limit` is.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_says_what_to_do() {
        let check = |errno, part: &str| {
            let text = refusal(io::Error::from_raw_os_error(errno), 8192).to_string();
            assert!(text.contains(part), "{text}");
        };
        check(libc::ENOSYS, "Linux 5.8 or newer");
        check(libc::EPERM, "kernel.io_uring_disabled");
        check(libc::ENOMEM, "limit of locked memory is 8192 bytes");
        check(libc::EMFILE, "cannot be set up");
    }

    #[test]
    fn the_answer_is_the_same_twice() {
        assert_eq!(io_uring().is_ok(), io_uring().is_ok());
    }
}
