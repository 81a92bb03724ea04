//! The rows of storage objects and wallets.

use domain::operator::Role;

use super::row::{Auth, Operation, Rate, http};
use crate::convert::{belongings, storage};

pub(super) const OPERATIONS: &[Operation] = &[
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
        name: "console_multi_update",
        doc: "Changes storage objects and wallets of any owners, all or none.",
        auth: Auth::Operator(Role::Operator),
        rate: Rate::Write,
        http: http("POST", "/v2/console/multi_update", belongings::multi_update),
        realtime: None,
    },
    Operation {
        name: "console_wallet_ledger_list",
        doc: "What changed the wallet of an account, newest first.",
        auth: Auth::Operator(Role::Viewer),
        rate: Rate::Read,
        http: http("GET", "/v2/console/account/{id}/wallet", belongings::ledger),
        realtime: None,
    },
    Operation {
        name: "console_wallet_ledger_delete",
        doc: "Deletes an entry of a wallet's ledger; the wallet stays.",
        auth: Auth::Operator(Role::Operator),
        rate: Rate::Write,
        http: http(
            "DELETE",
            "/v2/console/account/{id}/wallet/{wallet_id}",
            belongings::ledger_delete,
        ),
        realtime: None,
    },
    Operation {
        name: "console_storage_list",
        doc: "Storage objects of a collection, an owner, or both, whoever may read them.",
        auth: Auth::Operator(Role::Viewer),
        rate: Rate::Read,
        http: http("GET", "/v2/console/storage", belongings::object_list),
        realtime: None,
    },
    Operation {
        name: "console_storage_get",
        doc: "A storage object, whoever may read it.",
        auth: Auth::Operator(Role::Viewer),
        rate: Rate::Read,
        http: http(
            "GET",
            "/v2/console/storage/{collection}/{key}/{user_id}",
            belongings::object_get,
        ),
        realtime: None,
    },
    Operation {
        name: "console_storage_write",
        doc: "Writes a storage object, whoever may write it.",
        auth: Auth::Operator(Role::Operator),
        rate: Rate::Write,
        http: http(
            "PUT",
            "/v2/console/storage/{collection}/{key}/{user_id}",
            belongings::object_write,
        ),
        realtime: None,
    },
    Operation {
        name: "console_storage_delete",
        doc: "Deletes a storage object, whoever may write it.",
        auth: Auth::Operator(Role::Operator),
        rate: Rate::Write,
        http: http(
            "DELETE",
            "/v2/console/storage/{collection}/{key}/{user_id}",
            belongings::object_delete,
        ),
        realtime: None,
    },
    Operation {
        name: "console_storage_delete_version",
        doc: "Deletes a storage object that has this version.",
        auth: Auth::Operator(Role::Operator),
        rate: Rate::Write,
        http: http(
            "DELETE",
            "/v2/console/storage/{collection}/{key}/{user_id}/{version}",
            belongings::object_delete,
        ),
        realtime: None,
    },
];
