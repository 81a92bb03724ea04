//! What operators do.

use api::http::Request;
use api::ops::Door;
use domain::identity::token::OperatorClaims;
use domain::operator::{Bearer, Role};

use super::{Call, Workload};
use crate::cluster::client::bearer;

impl Workload {
    /// An operator bans, lifts a ban, or ends an account.
    pub(super) fn operate(&mut self) {
        let moving: Vec<_> = self.moving.iter().cloned().collect();
        let Some(user) = self.any(&moving) else { return };
        let (method, what) = match self.rng.below(8) {
            0 => ("DELETE", ""),
            1..=4 => ("POST", "/ban"),
            _ => ("POST", "/unban"),
        };
        self.call_as_operator(method, &format!("account/{user}{what}"), "");
    }

    /// An operator defines a queue, or takes the definition back.
    pub(super) fn define_queue(&mut self) {
        let rules = self.any_rules();
        let path = format!("queue/{}", rules.id);
        self.tickets.lines.change(rules.id);
        if self.rng.below(4) == 0 {
            return self.call_as_operator("DELETE", &path, "");
        }
        let body = rules.to_string();
        self.tickets.lines.declare(rules);
        self.call_as_operator("PUT", &path, &body);
    }

    pub(super) fn call_as_operator(&mut self, method: &str, path: &str, body: &str) {
        let expiry = self.cluster.now.wall.secs() + 60;
        let claims = OperatorClaims { bearer: Bearer::Machine { role: Role::Admin }, expiry };
        let token = self.cluster.config.operator_keys.sign_operator(&claims);
        let request = bearer(method, &format!("/v2/console/{path}"), &token, body);
        self.call(Request { door: Door::Operators, ..request }, Call::Operate);
    }
}
