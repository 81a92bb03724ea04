//! What clients do on leaderboards.

use base::ShardId;

use super::{Call, Workload};
use crate::check::board::{
    Told, invariant_rank_equals_sort, invariant_sorted, invariant_written, records,
};
use crate::cluster::client::bearer;

/// Boards that never reset: their names, whether the highest comes first, and their operators.
const BOARDS: [(&str, bool, &str); 3] =
    [("points", true, "incr"), ("races", false, "set"), ("records", true, "best")];

/// What was asked of a board.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    Write,
    Delete,
    List,
}

impl Workload {
    pub(super) fn declare_boards(&mut self) {
        let board = |(id, is_descending, operator): &(&str, bool, &str)| {
            let sort = if *is_descending { "desc" } else { "asc" };
            format!("{{\"id\":\"{id}\",\"sort\":\"{sort}\",\"operator\":\"{operator}\"}}")
        };
        let boards: Vec<_> = BOARDS.iter().map(board).collect();
        let body = format!("{{\"leaderboards\":[{}]}}", boards.join(","));
        self.call_as_operator("POST", "boards", &body);
    }

    pub(super) fn climb(&mut self) {
        if self.rng.below(12) == 0 {
            return self.declare_boards();
        }
        let Some(login) = self.any_login() else { return };
        let board = self.rng.below(3) as usize;
        let (id, token, user) = (BOARDS[board].0, &login.token, &login.user_id);
        let path = format!("/v2/leaderboard/{id}");
        let score = self.rng.below(9);
        let (act, request) = match self.rng.below(8) {
            0..4 => {
                let body = format!("{{\"score\":{score}}}");
                (Act::Write, bearer("POST", &path, token, &body))
            }
            4 => (Act::Delete, bearer("DELETE", &path, token, "")),
            5 => {
                let path = format!("{path}/owner/{user}?limit=5");
                (Act::List, bearer("GET", &path, token, ""))
            }
            _ => (Act::List, bearer("GET", &format!("{path}?limit=100"), token, "")),
        };
        let is_dead = self.acknowledged.is_dead(&login);
        self.call(request, Call::Board { is_dead, login, board, act });
    }

    /// What a board has answered.
    pub(super) fn judge_board(&self, board: usize, act: Act, body: &str) {
        let (id, is_descending, _) = BOARDS[board];
        let told: Vec<Told> = records(body);
        match act {
            Act::Write => invariant_written(&self.cluster.store, id, &told[0]),
            Act::Delete => assert_eq!(told, []),
            Act::List => invariant_sorted(&told, is_descending),
        }
    }

    /// At rest, every board lists what is on disk.
    pub(super) fn probe_boards(&mut self, token: &str) {
        for (id, ..) in BOARDS {
            let path = format!("/v2/leaderboard/{id}?limit=1000");
            let request = bearer("GET", &path, token, "");
            let (status, body) = self.call_until_heard(ShardId(0), &request);
            let listed = match status {
                200 => records(&body),
                404 => Vec::new(),
                other => panic!("{id} cannot be listed: {other}: {body}"),
            };
            invariant_rank_equals_sort(&self.cluster.store, id, &listed);
        }
    }
}
