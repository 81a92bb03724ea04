//! One glommio executor per core: its tasks, its tick, its end.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use api::ops::{Door, Operations};
use base::ShardId;
use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement, spawn_local};

use crate::allocator;
use crate::bus::{Mail, Mailbox, mailbox};
use crate::driver::Driver;
use crate::gateway;
use crate::process::Shared;

/// The tick of every shard. It is also what keeps an executor going that would park while tasks can
/// run, which glommio does now and then.
const TICK: Duration = Duration::from_millis(1);
/// The tick of a shard to which nothing has happened for [`IDLE_AFTER`]: a tick costs about 30 µs
/// of glommio's parking, and deadlines of an idle shard are seconds away.
const IDLE_TICK: Duration = Duration::from_millis(10);
const IDLE_AFTER: Duration = Duration::from_millis(100);
/// Mail taken in one go, before the connections get their turn.
const MAIL_BATCH: usize = 256;
/// How long a drain waits for requests under way and for clients to take their last bytes.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Registered memory of an executor's rings. No file is read or written here.
const IO_MEMORY: usize = 64 * 1024;

/// What one core starts with.
#[derive(Debug)]
pub(crate) struct Core {
    pub id: ShardId,
    /// The processor to stay on.
    pub cpu: Option<usize>,
    pub listener: std::net::TcpListener,
    /// The operators' listener, on one core.
    pub admin: Option<std::net::TcpListener>,
    pub shared: Arc<Shared>,
    pub config: Arc<shard::Config>,
    pub operations: Arc<Operations>,
}

pub(crate) type Thread = ExecutorJoinHandle<Result<()>>;

/// Starts a core on its own thread.
pub(crate) fn start(core: Core) -> Result<Thread> {
    let placement = core.cpu.map_or(Placement::Unbound, Placement::Fixed);
    let name = format!("shard-{}", core.id);
    let seed = seed();
    LocalExecutorBuilder::new(placement)
        .name(&name)
        .io_memory(IO_MEMORY)
        .spawn(move || run(core, seed))
        .map_err(|error| anyhow!("cannot start shard: {error}"))
}

pub(crate) fn join(thread: Thread) -> Result<()> {
    thread.join().map_err(|error| anyhow!("a shard ended: {error}"))?
}

async fn run(core: Core, seed: [u8; 32]) -> Result<()> {
    allocator::serve_core(core.id.index());
    let Core { id, listener, admin, shared, config, operations, .. } = core;
    let shard = shard::Shard::new(id, config, operations, seed);
    let driver = Rc::new(RefCell::new(Driver::new(id, shard, shared.clone())));

    let mail = spawn_local(take_mail(driver.clone(), shared.clone(), id));
    let accept = |listener, door| spawn_local(gateway::accept(listener, door, driver.clone()));
    let mut acceptor = Some(accept(listener, Door::Clients));
    let operators = admin.map(|listener| accept(listener, Door::Operators));
    let mut drain_end = None;
    loop {
        let is_idle = driver.borrow().idle_time() > IDLE_AFTER;
        let pause = if is_idle { IDLE_TICK } else { TICK };
        let due = driver.borrow().now().after(pause);
        glommio::timer::sleep(pause).await;
        shared.ticks[id.index()].fetch_add(1, Ordering::Relaxed);
        driver.borrow_mut().tick(due);

        if !driver.borrow().is_draining() {
            continue;
        }
        if let Some(acceptor) = acceptor.take() {
            acceptor.cancel().await; // closes the listener
        }
        let end = *drain_end.get_or_insert_with(|| Instant::now() + DRAIN_MAX);
        let is_quiet = driver.borrow().is_quiet() || Instant::now() > end;
        shared.quiet[id.index()].store(is_quiet, Ordering::SeqCst);
        // Another shard may still want an answer of this one: all of them end together.
        if shared.quiet.iter().all(|quiet| quiet.load(Ordering::SeqCst)) {
            break;
        }
    }
    if let Some(operators) = operators {
        operators.cancel().await;
    }
    mail.cancel().await;
    Ok(())
}

async fn take_mail(driver: Rc<RefCell<Driver>>, shared: Arc<Shared>, id: ShardId) {
    let inbox = mailbox(&shared.bus, id);
    loop {
        let first = std::future::poll_fn(|cx| inbox.poll(cx)).await;
        take_batch(&mut driver.borrow_mut(), inbox, first);
        glommio::yield_if_needed().await;
    }
}

/// Hands over what has come, then carries out all of what follows.
fn take_batch(driver: &mut Driver, inbox: &Mailbox, first: Mail) {
    let mut next = Some(first);
    let mut taken = 0;
    while let Some(mail) = next {
        match mail {
            Mail::Message(message) => driver.take(shard::Input::Message { message }),
            Mail::Store(event) => driver.take(from_store(event)),
            Mail::Input(input) => driver.take(input),
            Mail::Reload(reloaded) => driver.reload(&reloaded),
            Mail::Drain => driver.drain(),
        }
        taken += 1;
        next = if taken < MAIL_BATCH { inbox.take() } else { None };
    }
    driver.flush();
}

fn from_store(event: store::Event) -> shard::Input {
    match event {
        store::Event::Durable { batch, offset, applied } => {
            shard::Input::Durable { batch, offset, applied }
        }
        store::Event::Loaded { table, key, value, applied } => {
            shard::Input::Loaded { table, key, value, applied }
        }
        store::Event::Scanned { range, rows, is_end, applied } => {
            shard::Input::Scanned { range, rows, is_end, applied }
        }
    }
}

/// 32 bytes that nobody can guess.
pub(crate) fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    for half in seed.chunks_exact_mut(16) {
        half.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    }
    seed
}

/// The processors that this process may run on.
pub(crate) fn allowed_cores() -> Vec<usize> {
    // SAFETY: all-zero bytes are an empty set; the kernel writes no more than the size it is told,
    // and CPU_ISSET reads bits of the set that was just filled.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) != 0 {
            return Vec::new();
        }
        let most = usize::try_from(libc::CPU_SETSIZE).unwrap_or(0);
        (0..most).filter(|cpu| libc::CPU_ISSET(*cpu, &set)).collect()
    }
}

/// Lets the process open as many descriptors as the system permits it, and says how many.
pub(crate) fn raise_descriptor_limit() -> usize {
    // SAFETY: both calls read or write one `rlimit`, which outlives them.
    unsafe {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
        usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
    }
}
