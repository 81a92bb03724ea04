//! Password hashing: slow on purpose, so on threads of its own, behind a bounded queue.
//!
//! New hashes are argon2id with the parameters that OWASP recommends (19 MiB, 2 passes, 1 lane:
//! about 15 ms). Hashes of bcrypt, which imported accounts bring, are compared too, and replaced at
//! the next sign-in.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use base::ShardId;
use base::limits::{PASSWORDS_MAX, TASK_DEADLINE};
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

/// The way in, for every core. Sign-ins go first: new accounts and links do not hold them up.
#[derive(Clone, Debug)]
pub(crate) struct Passwords {
    verify: Sender<Job>,
    hash: Sender<Job>,
    refused: Arc<Refused>,
}

/// Jobs that nobody did: no room for them, or no time left.
#[derive(Debug, Default)]
struct Refused {
    verify: AtomicU64,
    hash: AtomicU64,
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
    let (verify, verifies) = bounded(PASSWORDS_MAX);
    let (hash, hashes) = bounded(PASSWORDS_MAX);
    let refused = Arc::new(Refused::default());
    for number in 0..threads {
        let (verifies, hashes, sink) = (verifies.clone(), hashes.clone(), sink.clone());
        let refused = refused.clone();
        let serve = move || {
            step_back();
            while let Some(Job { shard, call, work, since }) = next(&verifies, &hashes) {
                // Nobody waits for it any more: whoever does has their turn.
                let is_late = since.elapsed() >= TASK_DEADLINE;
                if is_late {
                    refused.count(&work);
                }
                sink(shard, call, if is_late { PasswordOutcome::Busy } else { outcome(work) });
            }
        };
        std::thread::Builder::new().name(format!("password-{number}")).spawn(serve)?;
    }
    Ok(Passwords { verify, hash, refused })
}

/// The next job; none when the process is over.
fn next(verifies: &Receiver<Job>, hashes: &Receiver<Job>) -> Option<Job> {
    crossbeam_channel::select_biased! {
        recv(verifies) -> job => job.ok(),
        recv(hashes) -> job => job.ok(),
    }
}

impl Passwords {
    /// Has the work done; `false` when too much of its kind waits.
    pub(crate) fn submit(&self, shard: ShardId, call: u64, work: PasswordWork) -> bool {
        let queue = match work {
            PasswordWork::Verify { .. } => &self.verify,
            PasswordWork::Hash(_) => &self.hash,
        };
        match queue.try_send(Job { shard, call, work, since: Instant::now() }) {
            Ok(()) => true,
            Err(refused) => {
                self.refused.count(&refused.into_inner().work);
                false
            }
        }
    }

    /// How it stands with each kind of work, by its name.
    pub(crate) fn figures(&self) -> [(&'static str, Figures); 2] {
        let figures = |queue: &Sender<Job>, refused: &AtomicU64| Figures {
            waiting: queue.len(),
            refused: refused.load(Ordering::Relaxed),
        };
        [
            ("verify", figures(&self.verify, &self.refused.verify)),
            ("hash", figures(&self.hash, &self.refused.hash)),
        ]
    }
}

impl Refused {
    fn count(&self, work: &PasswordWork) {
        let counter = match work {
            PasswordWork::Verify { .. } => &self.verify,
            PasswordWork::Hash(_) => &self.hash,
        };
        counter.fetch_add(1, Ordering::Relaxed);
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
    fn a_full_queue_takes_nothing_more_and_sign_ins_go_first() {
        let (verify, verifies) = bounded(PASSWORDS_MAX);
        let (hash, hashes) = bounded(PASSWORDS_MAX);
        let passwords = Passwords { verify, hash, refused: Arc::default() };
        let password = || Password::parse("password1").expect("long enough");
        let submit = |call| passwords.submit(ShardId(0), call, PasswordWork::Hash(password()));
        assert!((0..PASSWORDS_MAX as u64).all(submit));
        assert!(!submit(0));
        let work = PasswordWork::Verify { password: password(), hash: String::new() };
        assert!(passwords.submit(ShardId(0), 1000, work), "it has a queue of its own");
        let figures = |waiting, refused| Figures { waiting, refused };
        let expected = [("verify", figures(1, 0)), ("hash", figures(PASSWORDS_MAX, 1))];
        assert_eq!(passwords.figures(), expected);
        let taken = [0; 3].map(|_| next(&verifies, &hashes).map(|job| job.call));
        assert_eq!(taken, [Some(1000), Some(0), Some(1)]);
    }

    #[test]
    fn what_is_no_hash_is_nobodys() {
        for hash in ["", "password1", "$argon2id$", "$2b$04$short"] {
            assert_eq!(verify("password1", hash), PasswordOutcome::Wrong, "{hash}");
        }
    }
}
