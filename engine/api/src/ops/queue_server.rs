//! The rows of a game's own servers, which use declared queues.

use domain::operator::Role;

use super::row::{Auth, Operation, Rate, http};
use crate::convert::{rating, server};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "console_queue_ticket_add",
        doc: "Adds a ticket to a queue for players without a socket; a lease that is to be renewed.",
        auth: Auth::Operator(Role::Operator),
        rate: Rate::Write,
        http: http("POST", "/v2/console/queue/{id}/ticket", server::ticket_add),
        realtime: None,
    },
    Operation {
        name: "console_queue_ticket_get",
        doc: "What a server's ticket does, or how it ended; renews its lease.",
        auth: Auth::Operator(Role::Operator),
        rate: Rate::Read,
        http: http("GET", "/v2/console/queue_ticket/{id}", server::ticket_get),
        realtime: None,
    },
    Operation {
        name: "console_queue_ticket_ready",
        doc: "Accepts or declines the match that a server's ticket is asked about.",
        auth: Auth::Operator(Role::Operator),
        rate: Rate::Write,
        http: http("POST", "/v2/console/queue_ticket/{id}/ready", server::ticket_ready),
        realtime: None,
    },
    Operation {
        name: "console_queue_ticket_remove",
        doc: "Takes a server's ticket back.",
        auth: Auth::Operator(Role::Operator),
        rate: Rate::Write,
        http: http("DELETE", "/v2/console/queue_ticket/{id}", server::ticket_remove),
        realtime: None,
    },
    Operation {
        name: "console_queue_wait",
        doc: "How long players of a rating have waited in a queue lately.",
        auth: Auth::Operator(Role::Viewer),
        rate: Rate::Read,
        http: http("GET", "/v2/console/queue/{id}/wait", server::wait),
        realtime: None,
    },
    Operation {
        name: "console_match_result_write",
        doc: "Takes in how a match of a queue ended, once: ratings, statistics and histories.",
        auth: Auth::Operator(Role::Operator),
        rate: Rate::Write,
        http: http("POST", "/v2/console/queue/{id}/result", rating::result_write),
        realtime: None,
    },
    Operation {
        name: "console_rating_get",
        doc: "Rating and statistics of a player in a queue.",
        auth: Auth::Operator(Role::Viewer),
        rate: Rate::Read,
        http: http("GET", "/v2/console/queue/{id}/rating/{user}", rating::rating_get),
        realtime: None,
    },
    Operation {
        name: "console_rating_history",
        doc: "Matches of a player in a queue, newest first.",
        auth: Auth::Operator(Role::Viewer),
        rate: Rate::Read,
        http: http("GET", "/v2/console/queue/{id}/history/{user}", rating::history),
        realtime: None,
    },
    Operation {
        name: "console_backfill_add",
        doc: "A running match looks for players of a queue; a lease that is to be renewed.",
        auth: Auth::Operator(Role::Operator),
        rate: Rate::Write,
        http: http("POST", "/v2/console/queue/{id}/backfill", server::backfill_add),
        realtime: None,
    },
    Operation {
        name: "console_backfill_get",
        doc: "What a running match lacks, and who is offered to it; renews its lease.",
        auth: Auth::Operator(Role::Operator),
        rate: Rate::Read,
        http: http("GET", "/v2/console/backfill/{id}", server::backfill_get),
        realtime: None,
    },
    Operation {
        name: "console_backfill_acknowledge",
        doc: "A running match takes players that are offered to it.",
        auth: Auth::Operator(Role::Operator),
        rate: Rate::Write,
        http: http("POST", "/v2/console/backfill/{id}/acknowledge", server::backfill_acknowledge),
        realtime: None,
    },
    Operation {
        name: "console_backfill_remove",
        doc: "A running match looks for players no more.",
        auth: Auth::Operator(Role::Operator),
        rate: Rate::Write,
        http: http("DELETE", "/v2/console/backfill/{id}", server::backfill_remove),
        realtime: None,
    },
];
