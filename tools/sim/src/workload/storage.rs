//! What players keep in storage objects.

use base::json::Json;

use super::{Call, Workload};
use crate::check::Acknowledged;
use crate::check::object::{invariant_objects_were_written, invariant_page_is_in_order, value};
use crate::cluster::client::{Login, bearer};
use crate::cluster::store::Store;

const COLLECTION: &str = "saves";
const KEYS: [&str; 4] = ["a", "ab", "b", "c"];

/// What it was, as far as its answer is judged by it.
#[derive(Debug)]
enum Kept {
    /// Keys and their numbers, of one batch.
    Written(Vec<(&'static str, u64)>),
    Deleted,
    Listed,
}

/// A request about objects.
#[derive(Debug)]
pub(super) struct Keep {
    /// Whether its token was logged out for certain.
    is_dead: bool,
    pub(super) login: Login,
    kept: Kept,
}

impl Keep {
    /// Judges an answer that grants what was asked for.
    pub(super) fn judge(&self, store: &Store, body: &str) {
        let Keep { is_dead, login, kept } = self;
        Acknowledged::invariant_dead(*is_dead);
        match kept {
            Kept::Written(written) => {
                invariant_objects_were_written(store, COLLECTION, login, written);
            }
            Kept::Deleted => {}
            Kept::Listed => {
                let page = Json::parse(body.as_bytes()).expect("answers are JSON");
                invariant_page_is_in_order(store, &page, COLLECTION, login);
            }
        }
    }

    /// Whether it may be refused for what the objects are: a version, or nothing to delete.
    pub(super) fn may_conflict(&self) -> bool {
        match self.kept {
            Kept::Written(_) | Kept::Deleted => true,
            Kept::Listed => false,
        }
    }
}

impl Workload {
    /// Somebody writes, deletes or lists objects.
    pub(super) fn keep(&mut self, login: Login, is_dead: bool) {
        let at = self.rng.below(4) as usize;
        let (method, target, body, kept) = match self.rng.below(6) {
            0 => {
                let (limit, owner) = (1 + self.rng.below(5), self.any_login());
                let owner = owner.filter(|_| self.rng.below(2) == 0);
                let owner = owner.map_or(String::new(), |login| format!("/{}", login.user_id));
                let target = format!("/{COLLECTION}{owner}?limit={limit}");
                ("GET", target, String::new(), Kept::Listed)
            }
            1 => {
                let named = format!(r#"{{"collection":"{COLLECTION}","key":"{}"}}"#, KEYS[at]);
                let body = format!(r#"{{"object_ids":[{named}]}}"#);
                ("PUT", "/delete".to_owned(), body, Kept::Deleted)
            }
            _ => {
                let keys = [KEYS[at], KEYS[(at + 1) % KEYS.len()]];
                let written = keys.map(|key| (key, self.next_number()));
                let objects = written.map(|(key, number)| self.object(key, number));
                let body = format!(r#"{{"objects":[{}]}}"#, objects.join(","));
                ("PUT", String::new(), body, Kept::Written(written.to_vec()))
            }
        };
        let request = bearer(method, &format!("/v2/storage{target}"), &login.token, &body);
        self.call(request, Call::Keep(Keep { is_dead, login, kept }));
    }

    fn next_number(&mut self) -> u64 {
        self.tags += 1;
        self.tags
    }

    /// Seldom one that has to be new.
    fn object(&mut self, key: &str, number: u64) -> String {
        let version = if self.rng.below(8) == 0 { "*" } else { "" };
        let (read, value) = (self.rng.below(3), value(number).replace('"', "\\\""));
        format!(
            r#"{{"collection":"{COLLECTION}","key":"{key}","value":"{value}",
                "version":"{version}","permission_read":{read}}}"#
        )
    }
}
