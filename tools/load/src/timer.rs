//! Waiting to the microsecond, which the runtime's own timer of a millisecond cannot.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Instant;

use tokio::io::unix::AsyncFd;

/// All waits of a run, on one descriptor of the kernel's high-resolution timer.
#[derive(Debug)]
pub(crate) struct Timer {
    file: AsyncFd<File>,
    waits: RefCell<Waits>,
}

#[derive(Debug, Default)]
struct Waits {
    due: BinaryHeap<Reverse<(Instant, u64)>>,
    wakers: BTreeMap<u64, Waker>,
    next: u64,
    armed: Option<Instant>,
}

impl Timer {
    /// Makes a timer and starts the task that serves it, on the local task set of this thread.
    pub(crate) fn start() -> io::Result<Rc<Timer>> {
        // SAFETY: the call takes no pointer; a result that is not negative is an open descriptor
        // that nobody else knows.
        let file = unsafe {
            let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
            let descriptor = libc::timerfd_create(libc::CLOCK_MONOTONIC, flags);
            if descriptor < 0 {
                return Err(io::Error::last_os_error());
            }
            File::from(OwnedFd::from_raw_fd(descriptor))
        };
        // SAFETY: the file owns its descriptor and keeps it open until it is dropped, and nothing
        // reaches it but by shared reference.
        let file = unsafe { AsyncFd::register(file)? };
        let timer = Rc::new(Timer { file, waits: RefCell::default() });
        tokio::task::spawn_local(serve(timer.clone()));
        Ok(timer)
    }

    /// Waits until `due`, which may be past. Can be dropped at any time.
    pub(crate) async fn until(&self, due: Instant) {
        let mut guard = None;
        poll_fn(|cx| {
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            let guard = guard.get_or_insert_with(|| self.enter(due));
            self.waits.borrow_mut().wakers.insert(guard.number, cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn enter(&self, due: Instant) -> Guard<'_> {
        let waits = &mut *self.waits.borrow_mut();
        let number = waits.next;
        waits.next += 1;
        waits.due.push(Reverse((due, number)));
        if waits.armed.is_none_or(|armed| due < armed) {
            waits.armed = Some(due);
            arm(self.file.get_ref(), due);
        }
        Guard { timer: self, number }
    }

    /// Wakes what is due and arms the timer for what is next.
    fn fire(&self) {
        let now = Instant::now();
        let waits = &mut *self.waits.borrow_mut();
        waits.armed = None;
        while let Some(Reverse((due, number))) = waits.due.peek().copied() {
            if !waits.wakers.contains_key(&number) {
                waits.due.pop(); // the wait was given up
                continue;
            }
            if due > now {
                waits.armed = Some(due);
                arm(self.file.get_ref(), due);
                return;
            }
            waits.due.pop();
            if let Some(waker) = waits.wakers.remove(&number) {
                waker.wake();
            }
        }
    }
}

/// Takes a wait that ended, by time or by being dropped, out of the table.
struct Guard<'a> {
    timer: &'a Timer,
    number: u64,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.timer.waits.borrow_mut().wakers.remove(&self.number);
    }
}

async fn serve(timer: Rc<Timer>) {
    loop {
        let Ok(mut ready) = timer.file.readable().await else {
            return; // the runtime ends
        };
        let mut count = [0; 8];
        if ready.try_io(|file| file.get_ref().read(&mut count)).is_ok() {
            timer.fire();
        }
    }
}

fn arm(file: &File, due: Instant) {
    // Zero would disarm.
    let left =
        due.saturating_duration_since(Instant::now()).max(std::time::Duration::from_nanos(1));
    let value = libc::timespec {
        tv_sec: libc::time_t::try_from(left.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(left.subsec_nanos().cast_signed()),
    };
    let setting =
        libc::itimerspec { it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
    // SAFETY: the descriptor is open as long as `file`, and `setting` outlives the call; no old
    // value is asked for.
    let outcome = unsafe {
        libc::timerfd_settime(file.as_raw_fd(), 0, &raw const setting, std::ptr::null_mut())
    };
    assert_eq!(outcome, 0, "an open timer takes every valid time");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn waits_end_in_the_order_of_their_time_and_never_early() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let order = Rc::new(RefCell::new(Vec::new()));
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let timer = Timer::start().unwrap();
            let start = Instant::now();
            let tasks = [900, 300, 600].map(|micros| {
                let (timer, order) = (timer.clone(), order.clone());
                tokio::task::spawn_local(async move {
                    let due = start + Duration::from_micros(micros);
                    timer.until(due).await;
                    assert!(Instant::now() >= due);
                    order.borrow_mut().push(micros);
                })
            });
            for task in tasks {
                task.await.unwrap();
            }
            let dropped = timer.until(start + Duration::from_secs(3_600));
            assert!(tokio::time::timeout(Duration::from_millis(1), dropped).await.is_err());
            assert!(timer.waits.borrow().wakers.is_empty());
            timer.until(Instant::now() + Duration::from_micros(100)).await;
        });
        assert_eq!(*order.borrow(), [300, 600, 900]);
    }
}
