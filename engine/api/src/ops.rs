//! The operation table. A row is all that any transport, hook, metric or document knows of an
//! operation: delete it, and the operation is gone everywhere.

mod board;
mod lookup;
mod queue_server;
mod row;

use domain::operator::Role;

use crate::console::{Console, Report};
use crate::convert::{
    account, console, identity, matchmaking, party, play, queue, status, storage,
};
use crate::error::Error;
use crate::request::Request;

pub use lookup::Operations;
pub use row::{Auth, Door, Http, Operation, Rate, Realtime};

use row::{http, realtime};

/// Every operation.
pub static OPERATIONS: &[Operation] = &joined::<{ count() }>();

/// What [`OPERATIONS`] is made of.
const TABLES: [&[Operation]; 3] = [GENERAL, board::OPERATIONS, queue_server::OPERATIONS];

const fn count() -> usize {
    let (mut count, mut table) = (0, 0);
    while table < TABLES.len() {
        count += TABLES[table].len();
        table += 1;
    }
    count
}

const fn joined<const COUNT: usize>() -> [Operation; COUNT] {
    let mut all = [GENERAL[0]; COUNT];
    let (mut at, mut table) = (0, 0);
    while table < TABLES.len() {
        let mut row = 0;
        while row < TABLES[table].len() {
            all[at] = TABLES[table][row];
            (at, row) = (at + 1, row + 1);
        }
        table += 1;
    }
    all
}

/// Those that have no table of their own.
const GENERAL: &[Operation] = &[
    Operation {
        name: "root",
        doc: "Answers that a server is here.",
        auth: Auth::Open,
        rate: Rate::Free,
        http: http("GET", "/", |_| Ok(Request::Root)),
        realtime: None,
    },
    Operation {
        name: "healthcheck",
        doc: "Answers that the server is able to answer.",
        auth: Auth::Open,
        rate: Rate::Free,
        http: http("GET", "/healthcheck", |_| Ok(Request::Healthcheck)),
        realtime: None,
    },
    Operation {
        name: "server_keys_get",
        doc: "The public keys of tokens for dedicated servers, as a JSON Web Key Set.",
        auth: Auth::Open,
        rate: Rate::Free,
        http: http("GET", "/.well-known/jwks.json", |_| Ok(Request::ServerKeysGet)),
        realtime: None,
    },
    Operation {
        name: "socket_open",
        doc: "Opens a realtime session over WebSocket.",
        auth: Auth::Handshake,
        rate: Rate::Sign,
        http: http("GET", "/ws", identity::socket_open),
        realtime: None,
    },
    Operation {
        name: "authenticate_device",
        doc: "Signs in by a device id; creates the account when there is none.",
        auth: Auth::ServerKey,
        rate: Rate::Sign,
        http: http("POST", "/v2/account/authenticate/device", |call| {
            account::authenticate(call, account::device)
        }),
        realtime: None,
    },
    Operation {
        name: "authenticate_custom",
        doc: "Signs in by a custom id, or an ID token of a configured issuer; creates the account when there is none.",
        auth: Auth::ServerKey,
        rate: Rate::Sign,
        http: http("POST", "/v2/account/authenticate/custom", |call| {
            account::authenticate(call, account::custom)
        }),
        realtime: None,
    },
    Operation {
        name: "authenticate_email",
        doc: "Signs in by an e-mail address or a username, and a password; creates the account when there is none.",
        auth: Auth::ServerKey,
        rate: Rate::Password,
        http: http("POST", "/v2/account/authenticate/email", |call| {
            account::authenticate(call, account::email)
        }),
        realtime: None,
    },
    Operation {
        name: "authenticate_apple",
        doc: "Signs in by an identity token of Apple; creates the account when there is none.",
        auth: Auth::ServerKey,
        rate: Rate::Sign,
        http: http("POST", "/v2/account/authenticate/apple", |call| {
            account::authenticate(call, account::apple)
        }),
        realtime: None,
    },
    Operation {
        name: "authenticate_facebook",
        doc: "Signs in by a token of Facebook; creates the account when there is none.",
        auth: Auth::ServerKey,
        rate: Rate::Sign,
        http: http("POST", "/v2/account/authenticate/facebook", |call| {
            account::authenticate(call, account::facebook)
        }),
        realtime: None,
    },
    Operation {
        name: "authenticate_facebook_instant_game",
        doc: "Signs in by the signed player information of a Facebook Instant Game; creates the account when there is none.",
        auth: Auth::ServerKey,
        rate: Rate::Sign,
        http: http("POST", "/v2/account/authenticate/facebookinstantgame", |call| {
            account::authenticate(call, account::facebook_instant_game)
        }),
        realtime: None,
    },
    Operation {
        name: "authenticate_game_center",
        doc: "Signs in by a signature of Game Center; creates the account when there is none.",
        auth: Auth::ServerKey,
        rate: Rate::Sign,
        http: http("POST", "/v2/account/authenticate/gamecenter", |call| {
            account::authenticate(call, account::game_center)
        }),
        realtime: None,
    },
    Operation {
        name: "authenticate_google",
        doc: "Signs in by an ID token of Google; creates the account when there is none.",
        auth: Auth::ServerKey,
        rate: Rate::Sign,
        http: http("POST", "/v2/account/authenticate/google", |call| {
            account::authenticate(call, account::google)
        }),
        realtime: None,
    },
    Operation {
        name: "authenticate_steam",
        doc: "Signs in by a session ticket of Steam; creates the account when there is none.",
        auth: Auth::ServerKey,
        rate: Rate::Sign,
        http: http("POST", "/v2/account/authenticate/steam", |call| {
            account::authenticate(call, account::steam)
        }),
        realtime: None,
    },
    Operation {
        name: "session_refresh",
        doc: "Gives a new pair of tokens for a refresh token.",
        auth: Auth::ServerKey,
        rate: Rate::Sign,
        http: http("POST", "/v2/account/session/refresh", identity::session_refresh),
        realtime: None,
    },
    Operation {
        name: "session_logout",
        doc: "Ends the given tokens, or every token of the user.",
        auth: Auth::Session,
        rate: Rate::Sign,
        http: http("POST", "/v2/session/logout", identity::session_logout),
        realtime: None,
    },
    Operation {
        name: "server_token_get",
        doc: "A token by which a dedicated server can tell who its player is.",
        auth: Auth::Session,
        rate: Rate::Sign,
        http: http("GET", "/v2/session/server_token", account::server_token_get),
        realtime: None,
    },
    Operation {
        name: "account_get",
        doc: "The caller's own account.",
        auth: Auth::Session,
        rate: Rate::Read,
        http: http("GET", "/v2/account", |_| Ok(Request::AccountGet)),
        realtime: None,
    },
    Operation {
        name: "account_update",
        doc: "Changes the caller's own account.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: http("PUT", "/v2/account", account::account_update),
        realtime: None,
    },
    Operation {
        name: "account_delete",
        doc: "Deletes the caller's own account.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: http("DELETE", "/v2/account", |_| Ok(Request::AccountDelete)),
        realtime: None,
    },
    Operation {
        name: "link_device",
        doc: "Lets a device id sign in to the account.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: http("POST", "/v2/account/link/device", |call| account::link(call, account::device)),
        realtime: None,
    },
    Operation {
        name: "link_custom",
        doc: "Lets a custom id, or an ID token of a configured issuer sign in to the account.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: http("POST", "/v2/account/link/custom", |call| account::link(call, account::custom)),
        realtime: None,
    },
    Operation {
        name: "link_email",
        doc: "Lets an e-mail address and a password sign in to the account.",
        auth: Auth::Session,
        rate: Rate::Password,
        http: http("POST", "/v2/account/link/email", |call| account::link(call, account::email)),
        realtime: None,
    },
    Operation {
        name: "link_apple",
        doc: "Lets an identity token of Apple sign in to the account.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: http("POST", "/v2/account/link/apple", |call| account::link(call, account::apple)),
        realtime: None,
    },
    Operation {
        name: "link_facebook",
        doc: "Lets a token of Facebook sign in to the account.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: http("POST", "/v2/account/link/facebook", |call| {
            account::link(call, account::facebook)
        }),
        realtime: None,
    },
    Operation {
        name: "link_facebook_instant_game",
        doc: "Lets the signed player information of a Facebook Instant Game sign in to the account.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: http("POST", "/v2/account/link/facebookinstantgame", |call| {
            account::link(call, account::facebook_instant_game)
        }),
        realtime: None,
    },
    Operation {
        name: "link_game_center",
        doc: "Lets a signature of Game Center sign in to the account.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: http("POST", "/v2/account/link/gamecenter", |call| {
            account::link(call, account::game_center)
        }),
        realtime: None,
    },
    Operation {
        name: "link_google",
        doc: "Lets an ID token of Google sign in to the account.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: http("POST", "/v2/account/link/google", |call| account::link(call, account::google)),
        realtime: None,
    },
    Operation {
        name: "link_steam",
        doc: "Lets a session ticket of Steam sign in to the account.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: http("POST", "/v2/account/link/steam", |call| {
            account::link(call, account::steam_in_account)
        }),
        realtime: None,
    },
    Operation {
        name: "unlink_device",
        doc: "Lets a device id sign in to the account no more.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: http("POST", "/v2/account/unlink/device", |call| {
            account::unlink(call, account::device)
        }),
        realtime: None,
    },
    Operation {
        name: "unlink_custom",
        doc: "Lets a custom id, or an ID token of a configured issuer sign in to the account no more.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: http("POST", "/v2/account/unlink/custom", |call| {
            account::unlink(call, account::custom)
        }),
        realtime: None,
    },
    Operation {
        name: "unlink_email",
        doc: "Lets the e-mail address sign in to the account no more.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: http("POST", "/v2/account/unlink/email", |call| {
            account::unlink(call, account::email)
        }),
        realtime: None,
    },
    Operation {
        name: "unlink_apple",
        doc: "Lets an identity token of Apple sign in to the account no more.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: http("POST", "/v2/account/unlink/apple", |call| {
            account::unlink(call, account::apple)
        }),
        realtime: None,
    },
    Operation {
        name: "unlink_facebook",
        doc: "Lets a token of Facebook sign in to the account no more.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: http("POST", "/v2/account/unlink/facebook", |call| {
            account::unlink(call, account::facebook)
        }),
        realtime: None,
    },
    Operation {
        name: "unlink_facebook_instant_game",
        doc: "Lets the signed player information of a Facebook Instant Game sign in to the account no more.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: http("POST", "/v2/account/unlink/facebookinstantgame", |call| {
            account::unlink(call, account::facebook_instant_game)
        }),
        realtime: None,
    },
    Operation {
        name: "unlink_game_center",
        doc: "Lets a signature of Game Center sign in to the account no more.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: http("POST", "/v2/account/unlink/gamecenter", |call| {
            account::unlink(call, account::game_center)
        }),
        realtime: None,
    },
    Operation {
        name: "unlink_google",
        doc: "Lets an ID token of Google sign in to the account no more.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: http("POST", "/v2/account/unlink/google", |call| {
            account::unlink(call, account::google)
        }),
        realtime: None,
    },
    Operation {
        name: "unlink_steam",
        doc: "Lets a session ticket of Steam sign in to the account no more.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: http("POST", "/v2/account/unlink/steam", |call| {
            account::unlink(call, account::steam)
        }),
        realtime: None,
    },
    Operation {
        name: "users_get",
        doc: "The public part of accounts, by id and by username.",
        auth: Auth::Session,
        rate: Rate::Read,
        http: http("GET", "/v2/user", identity::users_get),
        realtime: None,
    },
    Operation {
        name: "account_export",
        doc: "Everything that is kept of an account, as one document.",
        auth: Auth::Runtime,
        rate: Rate::Free,
        http: None,
        realtime: None,
    },
    Operation {
        name: "users_ban",
        doc: "Bans accounts, ends their tokens and closes their sockets.",
        auth: Auth::Runtime,
        rate: Rate::Free,
        http: None,
        realtime: None,
    },
    Operation {
        name: "users_unban",
        doc: "Lifts bans.",
        auth: Auth::Runtime,
        rate: Rate::Free,
        http: None,
        realtime: None,
    },
    Operation {
        name: "ping",
        doc: "Answered by a pong.",
        auth: Auth::Session,
        rate: Rate::Free,
        http: None,
        realtime: realtime("ping", |message| message.finish().map(|()| Request::Ping)),
    },
    Operation {
        name: "pong",
        doc: "The client's answer to a ping of the server; not answered.",
        auth: Auth::Session,
        rate: Rate::Free,
        http: None,
        realtime: realtime("pong", |message| message.finish().map(|()| Request::Pong)),
    },
    Operation {
        name: "status_follow",
        doc: "Follows users' statuses, and answers those that are present.",
        auth: Auth::Session,
        rate: Rate::Read,
        http: None,
        realtime: realtime("status_follow", status::status_follow),
    },
    Operation {
        name: "status_unfollow",
        doc: "Follows users no longer.",
        auth: Auth::Session,
        rate: Rate::Read,
        http: None,
        realtime: realtime("status_unfollow", status::status_unfollow),
    },
    Operation {
        name: "status_update",
        doc: "Goes online with a text, changes it, or goes offline.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: None,
        realtime: realtime("status_update", status::status_update),
    },
    Operation {
        name: "matchmaker_add",
        doc: "Waits for a match.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: None,
        realtime: realtime("matchmaker_add", matchmaking::matchmaker_add),
    },
    Operation {
        name: "storage_read",
        doc: "Storage objects by their names, as far as the caller may read them.",
        auth: Auth::Session,
        rate: Rate::Read,
        http: http("POST", "/v2/storage", storage::storage_read),
        realtime: None,
    },
    Operation {
        name: "storage_write",
        doc: "Writes storage objects of the caller, all or none.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: http("PUT", "/v2/storage", storage::storage_write),
        realtime: None,
    },
    Operation {
        name: "storage_delete",
        doc: "Deletes storage objects of the caller, all or none.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: http("PUT", "/v2/storage/delete", storage::storage_delete),
        realtime: None,
    },
    Operation {
        name: "storage_list",
        doc: "Storage objects of a collection, of one owner or of all, as far as the caller may read them.",
        auth: Auth::Session,
        rate: Rate::Read,
        http: http("GET", "/v2/storage/{collection}", storage::storage_list),
        realtime: None,
    },
    Operation {
        name: "storage_list_of_user",
        doc: "Storage objects of a collection and one owner, as far as the caller may read them.",
        auth: Auth::Session,
        rate: Rate::Read,
        http: http("GET", "/v2/storage/{collection}/{user_id}", storage::storage_list),
        realtime: None,
    },
    Operation {
        name: "matchmaker_stats_get",
        doc: "How many tickets wait, since when, and how long those matched last have waited.",
        auth: Auth::Session,
        rate: Rate::Read,
        http: http("GET", "/v2/matchmaker/stats", matchmaking::stats_get),
        realtime: None,
    },
    Operation {
        name: "matchmaker_remove",
        doc: "Waits no longer.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: None,
        realtime: realtime("matchmaker_remove", matchmaking::matchmaker_remove),
    },
    Operation {
        name: "rpc",
        doc: "Calls a function of the server.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: None,
        realtime: realtime("rpc", queue::rpc),
    },
    Operation {
        name: "match_create",
        doc: "Creates a relayed match and joins it; a named one may be there already.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: None,
        realtime: realtime("match_create", play::match_create),
    },
    Operation {
        name: "match_join",
        doc: "Joins a match by its id or by a matchmaker token.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: None,
        realtime: realtime("match_join", play::match_join),
    },
    Operation {
        name: "match_leave",
        doc: "Leaves a match.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: None,
        realtime: realtime("match_leave", play::match_leave),
    },
    Operation {
        name: "match_data_send",
        doc: "Sends data to the other members of a match; not answered.",
        auth: Auth::Session,
        rate: Rate::Stream,
        http: None,
        realtime: realtime("match_data_send", play::match_data_send),
    },
    Operation {
        name: "party_create",
        doc: "Creates a party and leads it.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: None,
        realtime: realtime("party_create", party::party_create),
    },
    Operation {
        name: "party_join",
        doc: "Joins an open party, or asks the leader of a closed one.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: None,
        realtime: realtime("party_join", party::party_join),
    },
    Operation {
        name: "party_leave",
        doc: "Leaves a party.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: None,
        realtime: realtime("party_leave", party::party_leave),
    },
    Operation {
        name: "party_promote",
        doc: "Makes another member the leader of a party.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: None,
        realtime: realtime("party_promote", party::party_promote),
    },
    Operation {
        name: "party_accept",
        doc: "Lets somebody into a party who has asked for it.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: None,
        realtime: realtime("party_accept", party::party_accept),
    },
    Operation {
        name: "party_remove",
        doc: "Puts a member out of a party, or refuses a request.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: None,
        realtime: realtime("party_remove", party::party_remove),
    },
    Operation {
        name: "party_close",
        doc: "Ends a party.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: None,
        realtime: realtime("party_close", party::party_close),
    },
    Operation {
        name: "party_join_request_list",
        doc: "Lists who asks to be let into a party.",
        auth: Auth::Session,
        rate: Rate::Read,
        http: None,
        realtime: realtime("party_join_request_list", party::party_join_request_list),
    },
    Operation {
        name: "party_update",
        doc: "Changes whether a party is open, hidden, and its label.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: None,
        realtime: realtime("party_update", party::party_update),
    },
    Operation {
        name: "party_matchmaker_add",
        doc: "Waits for a match with the whole party.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: None,
        realtime: realtime("party_matchmaker_add", party::party_matchmaker_add),
    },
    Operation {
        name: "party_matchmaker_remove",
        doc: "Waits no longer.",
        auth: Auth::Session,
        rate: Rate::Write,
        http: None,
        realtime: realtime("party_matchmaker_remove", party::party_matchmaker_remove),
    },
    Operation {
        name: "party_data_send",
        doc: "Sends data to the other members of a party.",
        auth: Auth::Session,
        rate: Rate::Stream,
        http: None,
        realtime: realtime("party_data_send", party::party_data_send),
    },
    Operation {
        name: "party_list",
        doc: "Lists parties, by a query over their labels.",
        auth: Auth::Session,
        rate: Rate::Read,
        http: http("GET", "/v2/party", party::party_list),
        realtime: None,
    },
    Operation {
        name: "console_healthcheck",
        doc: "Answers that the process runs.",
        auth: Auth::Operators,
        rate: Rate::Free,
        http: http("GET", "/healthcheck", |_| Ok(Request::Console(Console::Healthcheck))),
        realtime: None,
    },
    Operation {
        name: "console_readycheck",
        doc: "Answers whether clients should be sent here; code 14 when not.",
        auth: Auth::Operators,
        rate: Rate::Free,
        http: http("GET", "/readycheck", |_| report(Report::Ready)),
        realtime: None,
    },
    Operation {
        name: "metrics_get",
        doc: "The metrics of the process, in Prometheus' text format.",
        auth: Auth::Operators,
        rate: Rate::Free,
        http: http("GET", "/metrics", |_| report(Report::Metrics)),
        realtime: None,
    },
    Operation {
        name: "console_authenticate",
        doc: "Signs an operator in by name and password.",
        auth: Auth::Operators,
        rate: Rate::Password,
        http: http("POST", "/v2/console/authenticate", console::login),
        realtime: None,
    },
    Operation {
        name: "console_password_change",
        doc: "Gives an operator who shows the password a new one, and ends all earlier tokens.",
        auth: Auth::Operators,
        rate: Rate::Password,
        http: http("POST", "/v2/console/authenticate/password", console::password_change),
        realtime: None,
    },
    Operation {
        name: "console_logout",
        doc: "Ends all tokens of the caller.",
        auth: Auth::Operator(Role::Viewer),
        rate: Rate::Sign,
        http: http("POST", "/v2/console/authenticate/logout", |_| {
            Ok(Request::Console(Console::Logout))
        }),
        realtime: None,
    },
    Operation {
        name: "console_users_list",
        doc: "The operators and their roles.",
        auth: Auth::Operator(Role::Admin),
        rate: Rate::Read,
        http: http("GET", "/v2/console/user", |_| Ok(Request::Console(Console::OperatorsList))),
        realtime: None,
    },
    Operation {
        name: "console_user_create",
        doc: "Makes an operator; the first one by the token that the first start prints.",
        auth: Auth::Operator(Role::Admin),
        rate: Rate::Password,
        http: http("POST", "/v2/console/user", console::operator_create),
        realtime: None,
    },
    Operation {
        name: "console_user_update",
        doc: "Changes an operator's role or password, disables or enables it, and ends its tokens.",
        auth: Auth::Operator(Role::Admin),
        rate: Rate::Password,
        http: http("PUT", "/v2/console/user/{username}", console::operator_update),
        realtime: None,
    },
    Operation {
        name: "console_user_delete",
        doc: "Ends an operator.",
        auth: Auth::Operator(Role::Admin),
        rate: Rate::Write,
        http: http("DELETE", "/v2/console/user/{username}", console::operator_delete),
        realtime: None,
    },
    Operation {
        name: "console_audit_list",
        doc: "The audit trail, newest first.",
        auth: Auth::Operator(Role::Viewer),
        rate: Rate::Read,
        http: http("GET", "/v2/console/audit/log", console::audit_list),
        realtime: None,
    },
    Operation {
        name: "console_config_get",
        doc: "The configuration that runs, without secrets.",
        auth: Auth::Operator(Role::Viewer),
        rate: Rate::Read,
        http: http("GET", "/v2/console/config", |_| report(Report::Config)),
        realtime: None,
    },
    Operation {
        name: "console_status_get",
        doc: "What the process is doing, in a few figures.",
        auth: Auth::Operator(Role::Viewer),
        rate: Rate::Read,
        http: http("GET", "/v2/console/status", |_| report(Report::Status)),
        realtime: None,
    },
    Operation {
        name: "console_account_get",
        doc: "An account as operators see it.",
        auth: Auth::Operator(Role::Viewer),
        rate: Rate::Read,
        http: http("GET", "/v2/console/account/{id}", |call| {
            console::account(call, |id| Console::AccountGet { id })
        }),
        realtime: None,
    },
    Operation {
        name: "console_account_export",
        doc: "Everything that is kept of an account, as one document.",
        auth: Auth::Operator(Role::Operator),
        rate: Rate::Read,
        http: http("GET", "/v2/console/account/{id}/export", |call| {
            console::account(call, |id| Console::AccountExport { id })
        }),
        realtime: None,
    },
    Operation {
        name: "console_account_ban",
        doc: "Bans an account, ends its tokens and closes its sockets.",
        auth: Auth::Operator(Role::Operator),
        rate: Rate::Write,
        http: http("POST", "/v2/console/account/{id}/ban", |call| {
            console::account(call, |id| Console::AccountBan { id })
        }),
        realtime: None,
    },
    Operation {
        name: "console_account_unban",
        doc: "Lifts a ban.",
        auth: Auth::Operator(Role::Operator),
        rate: Rate::Write,
        http: http("POST", "/v2/console/account/{id}/unban", |call| {
            console::account(call, |id| Console::AccountUnban { id })
        }),
        realtime: None,
    },
    Operation {
        name: "console_account_delete",
        doc: "Deletes an account.",
        auth: Auth::Operator(Role::Admin),
        rate: Rate::Write,
        http: http("DELETE", "/v2/console/account/{id}", |call| {
            console::account(call, |id| Console::AccountDelete { id })
        }),
        realtime: None,
    },
    Operation {
        name: "console_tickets_list",
        doc: "Waiting matchmaker tickets.",
        auth: Auth::Operator(Role::Viewer),
        rate: Rate::Read,
        http: http("GET", "/v2/console/matchmaker/ticket", console::tickets_list),
        realtime: None,
    },
    Operation {
        name: "console_ticket_explain",
        doc: "Why a matchmaker ticket waits: what excludes how many others, and which is nearest.",
        auth: Auth::Operator(Role::Viewer),
        rate: Rate::Read,
        http: http("GET", "/v2/console/matchmaker/ticket/{id}", |call| {
            console::account(call, |id| Console::TicketExplain { id })
        }),
        realtime: None,
    },
    Operation {
        name: "console_ticket_remove",
        doc: "Takes a matchmaker ticket back.",
        auth: Auth::Operator(Role::Operator),
        rate: Rate::Write,
        http: http("DELETE", "/v2/console/matchmaker/ticket/{id}", |call| {
            console::account(call, |id| Console::TicketRemove { id })
        }),
        realtime: None,
    },
    Operation {
        name: "console_matchmaker_pause",
        doc: "Has the matchmaker take tickets and form no match, until it is resumed or restarted.",
        auth: Auth::Operator(Role::Operator),
        rate: Rate::Write,
        http: http("POST", "/v2/console/matchmaker/pause", |_| {
            Ok(Request::Console(Console::MatchmakerPause { is_paused: true }))
        }),
        realtime: None,
    },
    Operation {
        name: "console_matchmaker_resume",
        doc: "Has the matchmaker form matches again.",
        auth: Auth::Operator(Role::Operator),
        rate: Rate::Write,
        http: http("POST", "/v2/console/matchmaker/resume", |_| {
            Ok(Request::Console(Console::MatchmakerPause { is_paused: false }))
        }),
        realtime: None,
    },
    Operation {
        name: "console_queues_list",
        doc: "The declared matchmaking queues.",
        auth: Auth::Operator(Role::Viewer),
        rate: Rate::Read,
        http: http("GET", "/v2/console/queue", |_| Ok(Request::Console(Console::QueuesList))),
        realtime: None,
    },
    Operation {
        name: "console_queue_get",
        doc: "A declared matchmaking queue.",
        auth: Auth::Operator(Role::Viewer),
        rate: Rate::Read,
        http: http("GET", "/v2/console/queue/{id}", |call| {
            console::account(call, |id| Console::QueueGet { id })
        }),
        realtime: None,
    },
    Operation {
        name: "console_queue_write",
        doc: "Defines a matchmaking queue; overrides the configuration's of the same id.",
        auth: Auth::Operator(Role::Operator),
        rate: Rate::Write,
        http: http("PUT", "/v2/console/queue/{id}", console::queue_write),
        realtime: None,
    },
    Operation {
        name: "console_queue_delete",
        doc: "Deletes an operator's definition of a matchmaking queue; the configuration's is back.",
        auth: Auth::Operator(Role::Operator),
        rate: Rate::Write,
        http: http("DELETE", "/v2/console/queue/{id}", console::queue_delete),
        realtime: None,
    },
    Operation {
        name: "console_backup_start",
        doc: "Begins a backup into a folder of store.backup_dir.",
        auth: Auth::Operator(Role::Admin),
        rate: Rate::Write,
        http: http("POST", "/v2/console/backup", console::backup_start),
        realtime: None,
    },
    Operation {
        name: "console_backup_get",
        doc: "How far the backup under way is, or what became of the last one.",
        auth: Auth::Operator(Role::Viewer),
        rate: Rate::Read,
        http: http("GET", "/v2/console/backup", |_| report(Report::Backup)),
        realtime: None,
    },
];

fn report(report: Report) -> Result<Request, Error> {
    Ok(Request::Console(Console::Report(report)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use base::Code;

    use super::*;
    use crate::{http, realtime};

    fn calls(operations: &Operations, row: &Operation) -> (bool, bool) {
        let by_http = row.http.as_ref().is_some_and(|route| {
            let request = http::Request {
                method: route.method.into(),
                target: route.path.into(),
                door: row.door(),
                ..http::Request::default()
            };
            let code = operations.router.find(&request).err().map(|error| error.code);
            !matches!(code, Some(Code::NotFound | Code::Unimplemented))
        });
        let by_realtime = row.realtime.as_ref().is_some_and(|binding| {
            let text = format!("{{\"{}\":{{}}}}", binding.field);
            realtime::decode(text.as_bytes(), operations).is_ok()
        });
        (by_http, by_realtime)
    }

    #[test]
    fn deleting_a_row_makes_all_of_it_vanish() {
        let all = Operations::all();
        for row in OPERATIONS {
            let (by_http, by_realtime) = calls(&all, row);
            assert_eq!((by_http, by_realtime), (row.http.is_some(), row.realtime.is_some()));
            let is_called = by_http || by_realtime;
            assert_ne!(is_called, row.auth == Auth::Runtime, "{} can be called somehow", row.name);

            let without = Operations::of(OPERATIONS.iter().filter(|other| other.name != row.name));
            assert_eq!(calls(&without, row), (false, false), "{}", row.name);
            assert!(without.by_name(row.name).is_none());
            assert!(!without.hook_names().any(|hook| hook == row.before_hook()));
            assert!(!without.hook_names().any(|hook| hook == row.after_hook()));
            assert_eq!(without.rows().count(), OPERATIONS.len() - 1);
        }
    }

    #[test]
    fn a_row_knows_its_place() {
        for (index, row) in OPERATIONS.iter().enumerate() {
            assert_eq!(row.index(), index);
        }
        for (index, class) in Rate::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, index);
        }
    }

    #[test]
    fn names_and_bindings_are_unique() {
        let names: BTreeSet<_> = OPERATIONS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), OPERATIONS.len());
        for door in [Door::Clients, Door::Operators] {
            let of_door = OPERATIONS.iter().filter(|row| row.door() == door);
            let routes: Vec<_> = of_door.filter_map(|row| row.http.as_ref()).collect();
            let unique: BTreeSet<_> =
                routes.iter().map(|route| (route.method, route.path)).collect();
            assert_eq!(unique.len(), routes.len());
        }
        let fields: Vec<_> = OPERATIONS.iter().filter_map(|row| row.realtime.as_ref()).collect();
        let unique: BTreeSet<_> = fields.iter().map(|binding| binding.field).collect();
        assert_eq!(unique.len(), fields.len());
        assert!(fields.iter().all(|binding| realtime::FIELDS.contains(&binding.field)));
    }
}
