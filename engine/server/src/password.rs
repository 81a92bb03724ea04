//! Password hashing: slow on purpose, so on threads of its own, behind a bounded queue.
//!
//! New hashes are argon2id with the parameters that OWASP recommends (19 MiB, 2 passes, 1 lane:
//! about 15 ms). Hashes of bcrypt, which imported accounts bring, are compared too, and replaced at
//! the next sign-in.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use api::ops::Door;
use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use base::ShardId;
use base::limits::{OPERATOR_PASSWORDS_MAX, PASSWORDS_MAX, TASK_DEADLINE};
use crossbeam_channel::{Receiver, Sender, bounded};
use shard::{PasswordOutcome, PasswordWork};

/// How far behind the shards the threads stand for a processor: they fill what is left.
const NICE: libc::c_int = 10;

struct Job {
    shard: ShardId,
    call: u64,
    work: PasswordWork,
    since: Instant,
}

/// The way in, for every core. Operators go first, whom no crowd of players keeps out; then
/// sign-ins, which new accounts and links do not hold up.
#[derive(Clone, Debug)]
pub(crate) struct Passwords(Arc<[Lane<Sender<Job>>; LANES.len()]>);

/// Kinds of work, in the order in which they are done, and how many of each may wait.
const LANES: [(&str, usize); 3] =
    [("operator", OPERATOR_PASSWORDS_MAX), ("verify", PASSWORDS_MAX), ("hash", PASSWORDS_MAX)];

/// One kind of work.
#[derive(Clone, Debug)]
struct Lane<End> {
    jobs: End,
    /// Jobs that nobody did: no room for them, or no time left.
    refused: Arc<AtomicU64>,
}

/// How it stands with one kind of work.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    pub waiting: usize,
    /// Since the start.
    pub refused: u64,
}

/// Takes what came of a job, on any thread.
pub(crate) type Sink = Arc<dyn Fn(ShardId, u64, PasswordOutcome) + Send + Sync>;

/// Starts so many threads.
pub(crate) fn start(threads: usize, sink: &Sink) -> io::Result<Passwords> {
    let (passwords, lanes) = lanes();
    for number in 0..threads {
        let (lanes, sink) = (lanes.clone(), sink.clone());
        let serve = move || {
            step_back();
            while let Some((lane, Job { shard, call, work, since })) = next(&lanes) {
                // Nobody waits for it any more: whoever does has their turn.
                let is_late = since.elapsed() >= TASK_DEADLINE;
                if is_late {
                    lane.refused.fetch_add(1, Ordering::Relaxed);
                }
                sink(shard, call, if is_late { PasswordOutcome::Busy } else { outcome(work) });
            }
        };
        std::thread::Builder::new().name(format!("password-{number}")).spawn(serve)?;
    }
    Ok(passwords)
}

fn lanes() -> (Passwords, [Lane<Receiver<Job>>; LANES.len()]) {
    let both = LANES.map(|(_, most)| {
        let (sender, receiver) = bounded(most);
        let refused = Arc::new(AtomicU64::new(0));
        (Lane { jobs: sender, refused: refused.clone() }, Lane { jobs: receiver, refused })
    });
    let receivers = both.each_ref().map(|(_, receiver)| receiver.clone());
    (Passwords(Arc::new(both.map(|(sender, _)| sender))), receivers)
}

/// The next job, with its kind; none when the process is over.
fn next(lanes: &[Lane<Receiver<Job>>; LANES.len()]) -> Option<(&Lane<Receiver<Job>>, Job)> {
    let [operators, verifies, hashes] = lanes;
    crossbeam_channel::select_biased! {
        recv(operators.jobs) -> job => Some((operators, job.ok()?)),
        recv(verifies.jobs) -> job => Some((verifies, job.ok()?)),
        recv(hashes.jobs) -> job => Some((hashes, job.ok()?)),
    }
}

impl Passwords {
    /// Has the work done; `false` when too much of its kind waits.
    pub(crate) fn submit(&self, shard: ShardId, call: u64, door: Door, work: PasswordWork) -> bool {
        let [operators, verifies, hashes] = &*self.0;
        let lane = match (door, &work) {
            (Door::Operators, _) => operators,
            (Door::Clients, PasswordWork::Verify { .. }) => verifies,
            (Door::Clients, PasswordWork::Hash(_)) => hashes,
        };
        let is_taken = lane.jobs.try_send(Job { shard, call, work, since: Instant::now() }).is_ok();
        if !is_taken {
            lane.refused.fetch_add(1, Ordering::Relaxed);
        }
        is_taken
    }

    /// How it stands with each kind of work, by its name.
    pub(crate) fn figures(&self) -> [(&'static str, Figures); LANES.len()] {
        let figures = self.0.each_ref().map(|lane| Figures {
            waiting: lane.jobs.len(),
            refused: lane.refused.load(Ordering::Relaxed),
        });
        let mut names = LANES.iter().map(|(name, _)| *name);
        figures.map(|figures| (names.next().unwrap_or_default(), figures))
    }
}

/// Lets the shards go first. On Linux a thread has a priority of its own.
fn step_back() {
    // SAFETY: `setpriority` reads its three arguments; 0 means the calling thread.
    let is_refused = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) } != 0;
    if is_refused {
        tracing::warn!("passwords are hashed at the shards' priority");
    }
}

fn outcome(work: PasswordWork) -> PasswordOutcome {
    match work {
        PasswordWork::Hash(password) => PasswordOutcome::Hashed(hash(password.as_str())),
        PasswordWork::Verify { password, hash } if is_bcrypt(&hash) => {
            match bcrypt::verify(password.as_str(), &hash) {
                Ok(true) => {
                    let rehashed = Some(self::hash(password.as_str()));
                    PasswordOutcome::Right { rehashed }
                }
                Ok(false) => PasswordOutcome::Wrong,
                Err(_) => unreadable(),
            }
        }
        PasswordWork::Verify { password, hash } => match PasswordHash::new(&hash) {
            Ok(hash) => match argon2().verify_password(password.as_str().as_bytes(), &hash) {
                Ok(()) => PasswordOutcome::Right { rehashed: None },
                Err(_) => PasswordOutcome::Wrong,
            },
            Err(_) => unreadable(),
        },
    }
}

fn unreadable() -> PasswordOutcome {
    tracing::error!("a stored password hash does not decode");
    PasswordOutcome::Wrong
}

fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

fn hash(password: &str) -> String {
    let salt = SaltString::encode_b64(uuid::Uuid::new_v4().as_bytes())
        .expect("16 bytes are within the lengths of a salt");
    let hash = argon2().hash_password(password.as_bytes(), &salt);
    hash.expect("the parameters are argon2's own, and no password is near its limit").to_string()
}

fn is_bcrypt(hash: &str) -> bool {
    ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|prefix| hash.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use domain::identity::password::Password;

    use super::*;

    fn verify(password: &str, hash: &str) -> PasswordOutcome {
        let password = Password::parse(password).expect("long enough");
        outcome(PasswordWork::Verify { password, hash: hash.to_owned() })
    }

    #[test]
    fn a_hash_is_of_its_password_and_no_two_are_the_same() {
        let first = hash("password1");
        assert!(first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{first}");
        assert_ne!(first, hash("password1"));
        assert_eq!(verify("password1", &first), PasswordOutcome::Right { rehashed: None });
        assert_eq!(verify("password2", &first), PasswordOutcome::Wrong);
    }

    #[test]
    fn a_hash_of_bcrypt_is_replaced() {
        let old = bcrypt::hash("password1", 4).expect("a hash");
        let PasswordOutcome::Right { rehashed: Some(new) } = verify("password1", &old) else {
            panic!("the password is right")
        };
        assert_eq!(verify("password1", &new), PasswordOutcome::Right { rehashed: None });
        assert_eq!(verify("password2", &old), PasswordOutcome::Wrong);
    }

    #[test]
    fn a_full_queue_takes_nothing_more_and_each_kind_has_its_turn() {
        let (passwords, lanes) = lanes();
        let password = || Password::parse("password1").expect("long enough");
        let hash =
            |door, call| passwords.submit(ShardId(0), call, door, PasswordWork::Hash(password()));
        assert!((0..PASSWORDS_MAX as u64).all(|call| hash(Door::Clients, call)));
        assert!(!hash(Door::Clients, 0));
        let work = PasswordWork::Verify { password: password(), hash: String::new() };
        assert!(passwords.submit(ShardId(0), 1000, Door::Clients, work));
        assert!(hash(Door::Operators, 2000), "each has a queue of its own");
        let figures = |waiting, refused| Figures { waiting, refused };
        let expected = [
            ("operator", figures(1, 0)),
            ("verify", figures(1, 0)),
            ("hash", figures(PASSWORDS_MAX, 1)),
        ];
        assert_eq!(passwords.figures(), expected);
        let taken = [0; 4].map(|_| next(&lanes).map(|(_, job)| job.call));
        assert_eq!(taken, [Some(2000), Some(1000), Some(0), Some(1)]);
    }

    #[test]
    fn what_is_no_hash_is_nobodys() {
        for hash in ["", "password1", "$argon2id$", "$2b$04$short"] {
            assert_eq!(verify("password1", hash), PasswordOutcome::Wrong, "{hash}");
        }
    }
}
