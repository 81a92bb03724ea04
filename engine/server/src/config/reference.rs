//! The documents of the keys, which are written from their table:
//! `UPDATE_EXPECT=1 cargo test -p ringmaster reference`.

use expect_test::expect_file;

use super::listing::by_section;
use super::setting::Kind;
use super::source::Sources;
use super::{KEYS, Key};

#[test]
fn the_reference_lists_all_keys() {
    expect_file!["../../../../docs/configuration.md"].assert_eq(&reference());
}

#[test]
fn the_sample_lists_all_keys_and_loads() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ringmaster.toml");
    expect_file![path].assert_eq(&sample());
    let load = |text: &str| {
        let folder = tempfile::tempdir().expect("the system gives a folder");
        let file = folder.path().join("ringmaster.toml");
        std::fs::write(&file, text).expect("the folder takes a file");
        Sources { files: vec![file], environment: Vec::new(), flags: Vec::new() }.load()
    };
    load(&sample()).expect("it sets nothing");
    load(&sample().replace("\n#", "\n")).expect("it sets everything to its default");
    load(QUEUES).expect("what is shown is right");
}

fn sample() -> String {
    let head = "\
        ## All keys with their defaults: docs/configuration.md explains them.\n\
        ## ringmaster --config ringmaster.toml\n\n";
    let keys = by_section(|key| {
        let (_, name) = key.section();
        format!("## {}\n#{name} = {}\n", key.doc, key.default)
    });
    let queues: String = QUEUES.lines().map(|line| format!("## {line}\n")).collect();
    format!("{head}{keys}\n{TABLES_HEAD}{queues}")
}

/// Behind everything else in a file: what follows a table's head belongs to it.
const TABLES_HEAD: &str = "\
## A list of tables stands behind everything else, and is no line above then:\n##\n";

fn reference() -> String {
    let mut text = PROSE.replace("{QUEUES}", QUEUES);
    let mut last = None;
    for key in KEYS {
        let (section, _) = key.section();
        if last != Some(section) {
            let title =
                if section.is_empty() { "Top level".into() } else { format!("`[{section}]`") };
            text.push_str(&format!(
                "\n### {title}\n\n| key | default | value | changes by | meaning |\n\
                 |---|---|---|---|---|\n"
            ));
            last = Some(section);
        }
        text.push_str(&row(key));
    }
    text
}

fn row(key: &Key) -> String {
    let changes = if key.is_live { "SIGHUP" } else { "restart" };
    let kind = match key.kind {
        Kind::Word(_) | Kind::Rate | Kind::Issuer => format!("{}", key.kind),
        Kind::List(item) => format!("a list of: {item}"),
        kind => kind.to_string(),
    };
    let secret = if key.is_secret { " **Secret.**" } else { "" };
    let Key { name, default, doc, .. } = key;
    format!("| `{name}` | `{default}` | {kind} | {changes} | {doc}{secret} |\n")
}

/// A declared queue.
const QUEUES: &str = r#"[[queues]]
id = "ranked"
teams = [{ name = "red", max = 5 }, { name = "blue", max = 5 }]
party_sizes = [1, 2, 5]
rating = { window = { from = 100, to = 500, over_sec = 40 } }

[[leaderboards]]
id = "weekly"
sort_order = "desc"
operator = "best"
reset_schedule = "0 0 * * 1"

[[tournaments]]
id = "sunday"
title = "The race on Sunday"
duration = 7200
reset_schedule = "CRON_TZ=Europe/Berlin 0 18 * * 0"
max_size = 1000
"#;

const PROSE: &str = "\
# Configuration

The server runs without any. This page and [ringmaster.toml](ringmaster.toml), a file with every key and its default, are
written from the table of keys in `engine/server/src/config/keys.rs`.

## Where values come from

In rising precedence:

1. the defaults,
2. files in TOML: `--config FILE`, which may be repeated, later files override; without one, the file that
   `RINGMASTER_CONFIG` names,
3. the environment: `RINGMASTER_` and the key in capitals, with underscores for its dots:
   `RINGMASTER_SESSION_TOKEN_EXPIRY_SEC=7200`,
4. flags: `--session.token_expiry_sec 7200`; `--data-dir` and `--admin-listen` are those of `data_dir` and `admin_listen`.
   What is true or false takes an equals sign: `--production`, `--production=false`.

In the environment and in flags a text has no quotes, a list is separated by commas or written as TOML, and everything
else is TOML: `RINGMASTER_RATE_LIMIT_USER_READ='{ per_sec = 10, burst = 50 }'`.

A secret can also come from a file of its own: `RINGMASTER_SESSION_ENCRYPTION_KEY_FILE=/run/secrets/key` names it. One
line break at its end is not part of the secret. Setting a variable together with its `_FILE` is an error. Flags are seen
by whoever lists processes: no place for secrets. No log, error or listing shows the value of a secret.

All files that are named are regular ones, no pipes or devices: nothing waits for them. A configuration file has at most
1 MiB, a secret's 64 KiB; a byte order mark at the beginning of either is passed over. A key stands once in a file, and
may stand in another again.

`ringmaster token` finds the data folder in the same way, whatever is wrong with other keys.

## Looking at it

`ringmaster config check` says whether the server would start with the same flags and environment, and all that is
wrong otherwise, a line each: file, line and key, what is wrong and what would be right. After 20 lines it says how many
more there are. A start says the same.

```
ringmaster: ringmaster.toml:12: session.token_expiri_sec: unknown key; did you mean session.token_expiry_sec?
ringmaster: ringmaster.toml:14: shards: \"two\" is text, and has to be a whole number, 0 to 256
```

`ringmaster config show` prints what is in force, and where each value that is no default comes from. Its output can be
loaded again; secrets are comments in it. Addresses of others may hold keys of theirs: what stands behind their `?` or
`#` is left out, and the rest is a comment. The values of `socket.response_headers` are shown, as every client gets them.
Operators see the same at `/v2/console/config`. Letters that a terminal would obey are written as escapes.

Whatever is wrong, an unknown key or variable too, is refused with exit status 2, and nothing is started. Variables that
Kubernetes sets for services called `ringmaster` or `ringmaster-…` (`RINGMASTER_SERVICE_HOST=10.0.0.1`,
`RINGMASTER_PORT_7350_TCP=tcp://10.0.0.1:7350`) are passed over, if name and value have exactly that form.

## Lists of tables

What is declared by id is a list of tables, each entry under a head of its own. A list of a later source replaces that of
an earlier one as a whole.

```toml
{QUEUES}```

Queues are those of the matchmaker; what an entry may hold stands in [matchmaking.md](matchmaking.md). At most 64 may be,
no two of one id. What is wrong is told with the line and the place in the list, `queues[0].teams[1].max`, counted from
0. Operators can override queues while the server runs ([operators](operations/operators.md#queues)).

Leaderboards and tournaments, at most 1,000 of each, are created when they are not there. `id` has to be there; the other
fields are those [of operators](operations/operators.md#leaderboards-and-tournaments), but for `sort_order`,
`reset_schedule`, and `start_time` and `end_time`, which are times (`\"2027-01-31T18:00:00Z\"`, or seconds since 1970); a
tournament starts when it is created unless it says otherwise. Of one that is there, `metadata`, `authoritative`,
`enable_ranks`, and of a tournament `title`, `description`, `end_time`, `max_size` and `max_num_score` follow the file. One
that is taken out of the file stays until an operator deletes it.

## Changing it while it runs

SIGHUP has all sources read again; one that comes meanwhile has them read once more. If anything is wrong with them, or
with a key file, it is logged and everything stays as it was.
Otherwise the keys marked SIGHUP change at once, and the log names those that did, and those that wait for a restart.
Settings of connections are for new ones. Tokens of a key that is neither in force nor an earlier one are refused from
then on; changed rate limits begin with full buckets.

## TLS

The certificate file holds the server's own certificate first, then its chain; an ECDSA key makes the cheapest
handshakes. Files that change are noticed within five seconds, or at once by SIGHUP; a pair that cannot be served is
logged as an error, and the earlier one stays. An idle WebSocket over TLS costs about 7 KB.

## Keys

Limits that are not configuration stand in `engine/base/src/limits.rs`; the classes of the rate limits are explained in
[compatibility.md](compatibility.md#rate-limits), the modes of the matchmaker in [matchmaking.md](matchmaking.md).
";
