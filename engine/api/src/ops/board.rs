//! The rows of leaderboards and tournaments.

use domain::operator::Role;

use super::row::{Auth, Operation, Rate, http};
use crate::console::Console;
use crate::convert::{board, board_console, console};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "leaderboard_record_list",
        doc: "Lists records of a leaderboard, and those of given owners.",
        auth: Auth::Session,
        rate: Rate::Read,
        http: http("GET", "/v2/leaderboard/{leaderboard_id}", board::record_list),
        realtime: None,
    },
    Operation {
        name: "leaderboard_record_write",
        doc: "Writes the caller's record of a leaderboard.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: http("POST", "/v2/leaderboard/{leaderboard_id}", board::record_write),
        realtime: None,
    },
    Operation {
        name: "leaderboard_record_delete",
        doc: "Deletes the caller's record of a leaderboard.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: http("DELETE", "/v2/leaderboard/{leaderboard_id}", board::record_delete),
        realtime: None,
    },
    Operation {
        name: "leaderboard_records_around_owner",
        doc: "Lists records of a leaderboard around that of an owner.",
        auth: Auth::Session,
        rate: Rate::Read,
        http: http(
            "GET",
            "/v2/leaderboard/{leaderboard_id}/owner/{owner_id}",
            board::records_around,
        ),
        realtime: None,
    },
    Operation {
        name: "tournament_list",
        doc: "Lists tournaments.",
        auth: Auth::Session,
        rate: Rate::Read,
        http: http("GET", "/v2/tournament", board::tournament_list),
        realtime: None,
    },
    Operation {
        name: "tournament_record_list",
        doc: "Lists records of a tournament, and those of given owners.",
        auth: Auth::Session,
        rate: Rate::Read,
        http: http("GET", "/v2/tournament/{tournament_id}", board::tournament_records),
        realtime: None,
    },
    Operation {
        name: "tournament_record_write",
        doc: "Writes the caller's record of a tournament.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: http("PUT", "/v2/tournament/{tournament_id}", board::tournament_write),
        realtime: None,
    },
    Operation {
        name: "tournament_record_post",
        doc: "Writes the caller's record of a tournament; the same by another method.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: http("POST", "/v2/tournament/{tournament_id}", board::tournament_write),
        realtime: None,
    },
    Operation {
        name: "tournament_record_delete",
        doc: "Deletes the caller's record of a tournament.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: http("DELETE", "/v2/tournament/{tournament_id}", board::tournament_delete),
        realtime: None,
    },
    Operation {
        name: "tournament_join",
        doc: "Takes part in a tournament.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: http("POST", "/v2/tournament/{tournament_id}/join", board::tournament_join),
        realtime: None,
    },
    Operation {
        name: "tournament_records_around_owner",
        doc: "Lists records of a tournament around that of an owner.",
        auth: Auth::Session,
        rate: Rate::Read,
        http: http(
            "GET",
            "/v2/tournament/{tournament_id}/owner/{owner_id}",
            board::tournament_around,
        ),
        realtime: None,
    },
    Operation {
        name: "console_boards_declare",
        doc: "Creates leaderboards and tournaments, but those that are there already.",
        auth: Auth::Operator(Role::Operator),
        rate: Rate::Write,
        http: http("POST", "/v2/console/boards", board_console::declare),
        realtime: None,
    },
    Operation {
        name: "console_leaderboards_list",
        doc: "Lists leaderboards and tournaments.",
        auth: Auth::Operator(Role::Viewer),
        rate: Rate::Read,
        http: http("GET", "/v2/console/leaderboard", board_console::list),
        realtime: None,
    },
    Operation {
        name: "console_leaderboard_get",
        doc: "A leaderboard or tournament, as it is defined.",
        auth: Auth::Operator(Role::Viewer),
        rate: Rate::Read,
        http: http("GET", "/v2/console/leaderboard/{id}", |call| {
            console::account(call, |id| Console::BoardGet { id })
        }),
        realtime: None,
    },
    Operation {
        name: "console_leaderboard_update",
        doc: "Changes what can change of a leaderboard or tournament.",
        auth: Auth::Operator(Role::Operator),
        rate: Rate::Write,
        http: http("PUT", "/v2/console/leaderboard/{id}", board_console::update),
        realtime: None,
    },
    Operation {
        name: "console_leaderboard_delete",
        doc: "Deletes a leaderboard or tournament, with all its records.",
        auth: Auth::Operator(Role::Operator),
        rate: Rate::Write,
        http: http("DELETE", "/v2/console/leaderboard/{id}", |call| {
            console::account(call, |id| Console::BoardDelete { id })
        }),
        realtime: None,
    },
    Operation {
        name: "console_leaderboard_records_list",
        doc: "Lists records of a leaderboard or tournament, and those of given owners.",
        auth: Auth::Operator(Role::Viewer),
        rate: Rate::Read,
        http: http("GET", "/v2/console/leaderboard/{id}/records", board_console::records),
        realtime: None,
    },
    Operation {
        name: "console_leaderboard_standing",
        doc: "An owner's record, with its rank and percentile among all.",
        auth: Auth::Operator(Role::Viewer),
        rate: Rate::Read,
        http: http("GET", "/v2/console/leaderboard/{id}/owner/{owner_id}", board_console::standing),
        realtime: None,
    },
    Operation {
        name: "console_leaderboard_record_write",
        doc: "Writes an owner's record, as a game's own server may.",
        auth: Auth::Operator(Role::Operator),
        rate: Rate::Write,
        http: http(
            "POST",
            "/v2/console/leaderboard/{id}/owner/{owner_id}",
            board_console::record_write,
        ),
        realtime: None,
    },
    Operation {
        name: "console_leaderboard_record_delete",
        doc: "Deletes an owner's record.",
        auth: Auth::Operator(Role::Operator),
        rate: Rate::Write,
        http: http(
            "DELETE",
            "/v2/console/leaderboard/{id}/owner/{owner_id}",
            board_console::record_delete,
        ),
        realtime: None,
    },
];
