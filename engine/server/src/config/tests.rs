//! Values from all sources, and what is said of those that are wrong.

use std::path::{Path, PathBuf};

use super::*;

/// Loads a file with this text, these variables, and these flags. The file is called `f` in what
/// is said of it.
fn load(
    text: &str,
    environment: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Loaded, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f");
    std::fs::write(&file, text).unwrap();
    let loaded = sources(&[&file], environment, flags).load();
    let file = file.display().to_string();
    loaded.map_err(|problems| {
        problems.iter().map(|problem| problem.replace(&file, "f")).collect::<Vec<_>>()
    })
}

fn sources(files: &[&Path], environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Sources {
    let flag = |(name, value): &(&str, &str)| {
        let key = KEYS.iter().find(|key| key.name == *name).expect("a key");
        (key, (*value).to_owned())
    };
    Sources {
        files: files.iter().map(|path| path.to_path_buf()).collect(),
        environment: environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.into()))
            .collect(),
        flags: flags.iter().map(flag).collect(),
    }
}

fn check(text: &str, problems: &[&str]) {
    let found = load(text, &[], &[]).err().unwrap_or_default();
    assert_eq!(found, problems, "{text}");
}

fn check_variable(name: &str, value: &str, problem: &str) {
    let found = load("", &[(name, value)], &[]).err().unwrap_or_default();
    assert_eq!(found, [problem], "{name}={value}");
}

fn check_flag(name: &str, value: &str, problem: &str) {
    let found = load("", &[], &[(name, value)]).err().unwrap_or_default();
    assert_eq!(found, [problem], "--{name} {value}");
}

#[test]
fn sections_and_dotted_names_are_read() {
    let text = r#"
        name = "nakama1"
        shards = 4
        logger.level = "warn"
        [session]
        token_expiry_sec = 7200
        server_token_key_files = ["a.pem", "b.pem"]
        [socket]
        outgoing_queue_size = 0x10
        response_headers = ["X-Extra=one", "X-Empty=", "X-Two=a=b "]
        [rate_limit.user]
        read = { burst = 20, per_sec = 10 }
        sign = {}
        [[social.oidc]]
        name = "ours"
        issuer = "https://id.example.com"
        audience = "game"
        jwks_url = "https://id.example.com/keys"
        [matchmaker]
        mode = "compatible"
        [traces]
        sample_ratio = 0.25
        [placement]
        sessions = "spread"
        queue = 3
    "#;
    let Loaded { config, origins } = load(text, &[], &[]).unwrap();
    assert_eq!(config.name, "nakama1");
    assert_eq!(config.logger.level, Level::Warn);
    assert_eq!(config.session.token_expiry_sec, 7200);
    assert_eq!(config.session.server_token_key_files, [Path::new("a.pem"), Path::new("b.pem")]);
    assert_eq!(config.socket.outgoing_queue_size, 16);
    let headers: Vec<_> = config.socket.response_headers.iter().map(Setting::toml).collect();
    assert_eq!(headers, ["\"X-Extra=one\"", "\"X-Empty=\"", "\"X-Two=a=b\""]);
    assert_eq!(config.rate_limit.user.read.map(|limit| limit.burst), Some(20));
    assert!(config.rate_limit.user.sign.is_none() && config.rate_limit.user.write.is_some());
    assert_eq!(config.social.oidc[0].audience, "game");
    assert_eq!(config.matchmaker.mode, Mode::Compatible);
    assert_eq!(config.traces.sample_ratio, 0.25);
    assert_eq!(config.placement.queue, Some(3));
    assert_eq!(config.default_keys().len(), 3);
    let origin = KEYS.iter().zip(&origins).find(|(key, _)| key.name == "shards").unwrap().1;
    assert!(origin.to_string().ends_with("f:3"), "{origin}");
}

#[test]
fn a_value_that_is_wrong_is_told_with_its_place_and_what_would_be_right() {
    let whole = "and has to be a whole number";
    check("\nshards = \"two\"", &[&format!("f:2: shards: \"two\" is text, {whole}, 0 to 256")]);
    check("shards = 257", &[&format!("f:1: shards: 257 is out of range, {whole}, 0 to 256")]);
    check("shards = -1", &[&format!("f:1: shards: -1 is out of range, {whole}, 0 to 256")]);
    check(
        "shards = 1.5",
        &[&format!("f:1: shards: 1.5 is a number with a point, {whole}, 0 to 256")],
    );
    check("shards = [1]", &[&format!("f:1: shards: the value is a list, {whole}, 0 to 256")]);
    check(
        "[socket]\nmax_frames_per_sec = 4294967296",
        &[&format!(
            "f:2: socket.max_frames_per_sec: 4294967296 is out of range, {whole}, 0 to 4294967295"
        )],
    );
    check(
        "[socket]\nread_timeout_ms = 0",
        &["f:2: socket.read_timeout_ms: 0 is out of range, and has to be a whole number of \
           milliseconds, 1 to 86400000"],
    );
    check("production = 1", &["f:1: production: 1 is a whole number, and has to be true or false"]);
    check("name = \"\"", &["f:1: name: \"\" is too short, and has to be text of 1 to 16 bytes"]);
    check(
        "name = \"12345678901234567\"",
        &["f:1: name: \"12345678901234567\" is too long, and has to be text of 1 to 16 bytes"],
    );
    check(
        "listen = 7350",
        &[
            "f:1: listen: 7350 is a whole number, and has to be address:port, such as 127.0.0.1:7350",
        ],
    );
    check(
        "admin_listen = \"nowhere\"",
        &["f:1: admin_listen: \"nowhere\" is no address, and has to be address:port, such as \
           127.0.0.1:7350, or empty"],
    );
    check(
        "[matchmaker]\nmode = \"fast\"",
        &["f:2: matchmaker.mode: \"fast\" is none of the words, and has to be \"immediate\" or \
           \"compatible\""],
    );
    check(
        "logger.level = \"trace\"",
        &["f:1: logger.level: \"trace\" is none of the words, and has to be \"debug\", \"info\", \
           \"warn\" or \"error\""],
    );
    check(
        "traces.sample_ratio = 1.5",
        &["f:1: traces.sample_ratio: 1.5 is out of range, and has to be a number, 0 to 1"],
    );
    check(
        "traces.sample_ratio = nan",
        &["f:1: traces.sample_ratio: nan is out of range, and has to be a number, 0 to 1"],
    );
    let list = "and has to be a list, of which each is Name=value";
    for (header, what) in [
        ("X", "lacks the equals sign"),
        ("A: b=c", "has no name of a field that may be set"),
        ("=c", "has no name of a field that may be set"),
        ("Content-Length=1", "has no name of a field that may be set"),
        ("X=a\\u000D\\u000AY: b", "has control characters"),
    ] {
        check(
            &format!("socket.response_headers = [\n\"A=b\",\n\"{header}\"]"),
            &[&format!("f:3: socket.response_headers: \"{header}\" {what}, {list}")],
        );
    }
    check("traces.headers = \"a\"", &[&format!("f:1: traces.headers: the value is text, {list}")]);
    check(
        "traces.endpoint = \"ftp://a\"",
        &["f:1: traces.endpoint: the value is no URL, and has to be a URL of http or https \
           without a password, or empty"],
    );
    check(
        "placement.queue = \"two\"",
        &["f:1: placement.queue: \"two\" is text, and has to be the \
           number of a shard, from 0, or \"any\""],
    );
    let rate =
        "and has to be { per_sec = N, burst = N } with 1 to 1000000 each, or {} for no limit";
    for (value, what) in [
        ("5", "5 is a whole number"),
        ("{ per_sec = 1 }", "the value lacks burst"),
        ("{ burst = 1 }", "the value lacks per_sec"),
        ("{ per_sec = 0, burst = 1 }", "0 is out of range"),
        (
            "{ per_sec = 1, burst = 1, per_day = 1 }",
            "the value has something else than per_sec and burst",
        ),
        (
            "{ per_sec = 1, burst = 4000 }",
            "the value has a burst that takes more than an hour to come back",
        ),
    ] {
        check(
            &format!("rate_limit.user.read = {value}"),
            &[&format!("f:1: rate_limit.user.read: {what}, {rate}")],
        );
    }
    let issuer = "and has to be a list, of which each is { name, issuer, audience, jwks_url }, \
                  none of them empty";
    check(
        "[[social.oidc]]\nname = \"a\"",
        &[&format!("f:1: social.oidc: the value lacks one of them, {issuer}")],
    );
    check(
        "[[social.oidc]]\nnaem = \"a\"",
        &[&format!("f:1: social.oidc: the value has the unknown key \"naem\", {issuer}")],
    );
}

#[test]
fn an_unknown_name_is_told_with_what_was_meant() {
    check(
        "[session]\ntoken_expiri_sec = 1",
        &["f:2: session.token_expiri_sec: unknown key; did you mean session.token_expiry_sec?"],
    );
    check("[sesion]\na = 1", &["f:1: sesion: unknown section; did you mean session?"]);
    check(
        "token_expiry_sec = 1",
        &["f:1: token_expiry_sec: unknown key; did you mean session.token_expiry_sec?"],
    );
    check("[socket]\nport = 1", &["f:2: socket.port: unknown key"]);
    check("socket = 1", &["f:1: socket is a section, and has to be a table: [socket]"]);
    check_variable(
        "RINGMASTER_SHARD",
        "1",
        "environment RINGMASTER_SHARD: unknown variable; did you mean RINGMASTER_SHARDS?",
    );
    check_variable("RINGMASTER_X", "1", "environment RINGMASTER_X: unknown variable");
    check_variable("RINGMASTER_PORT", "1", "environment RINGMASTER_PORT: unknown variable");
    let long = "é".repeat(200_000);
    check(
        &format!("\"{long}\" = 1\n[socket]\n\"{long}\".a = 1"),
        &[
            &format!("f:1: {}…: unknown key", "é".repeat(50)),
            &format!("f:3: socket.{}…: unknown section", "é".repeat(43)),
        ],
    );
    check_variable(
        &format!("RINGMASTER_{long}"),
        "",
        &format!("environment RINGMASTER_{}…: unknown variable", "é".repeat(39)),
    );
}

#[test]
fn only_what_kubernetes_sets_is_passed_over() {
    let links = [
        ("SERVICE_HOST", "10.0.0.1"),
        ("SERVICE_HOST", "fd00::1"),
        ("SERVICE_PORT", "7350"),
        ("SERVICE_PORT_ADMIN_HTTP", "7351"),
        ("PORT", "tcp://10.0.0.1:7350"),
        ("PORT", "udp://[fd00::1]:7350"),
        ("PORT_7350_TCP", "tcp://10.0.0.1:7350"),
        ("PORT_7350_TCP_PROTO", "tcp"),
        ("PORT_7350_TCP_PORT", "7350"),
        ("PORT_7350_UDP_ADDR", "10.0.0.1"),
    ];
    for name in ["RINGMASTER", "RINGMASTER_EU_1"] {
        for (link, value) in links {
            let variable = format!("{name}_{link}");
            assert_eq!(load("", &[(&variable, value)], &[]).err(), None, "{variable}={value}");
        }
    }
    for (name, value) in [
        ("SERVICE_HOST", "ringmaster.local"),
        ("SERVICE_PORT", "http"),
        ("SOCKET_SERVICE_PORTS", "1"),
        ("LISTEN_PORT", "7350"),
        ("PORT_7350_TCP", "udp://10.0.0.1:7350"),
        ("PORT_7350_TCP_PORT", "7351"),
        ("PORT_X_TCP_PROTO", "tcp"),
        ("PORT_7350_TCP_NAME", "a"),
    ] {
        let problem = format!("environment RINGMASTER_{name}: unknown variable");
        check_variable(&format!("RINGMASTER_{name}"), value, &problem);
    }
    check_variable(
        "RINGMASTER_SOCKET_SERVICE_KEY",
        "a",
        "environment RINGMASTER_SOCKET_SERVICE_KEY: unknown variable; did you mean \
         RINGMASTER_SOCKET_SERVER_KEY?",
    );
}

#[test]
fn everything_that_is_wrong_is_told_once() {
    let text = "name = \nname = \"b\"\nshards = 2 3\nport = 1\nplacement.queue = 2\n[sock\n\
                [socket]\nping_period_ms = 6\npong_wait_ms = 5\n\
                response_headers = [\"A\", \"B\", \"A\",\n\"C\"]\n";
    let list = "lacks the equals sign, and has to be a list, of which each is Name=value";
    let quoted = "string values must be quoted, expected literal string";
    check(
        text,
        &[
            &format!("f:1: no TOML: {quoted}"),
            "f:2: no TOML: duplicate key",
            &format!("f:3: no TOML: {quoted}"),
            "f:4: port: unknown key",
            "f:6: no TOML: unclosed table, expected `]`",
            &format!("f:10: socket.response_headers: \"A\" {list}"),
            &format!("f:10: socket.response_headers: \"B\" {list}"),
            &format!("f:11: socket.response_headers: \"C\" {list}"),
            "f:8: socket.ping_period_ms: 6 has to be less than socket.pong_wait_ms, 5",
        ],
    );
    // What cannot be read may be right, and what is hidden by it, too.
    check(
        "placement.queue = 9\nshards = \"two\"",
        &["f:2: shards: \"two\" is text, and has to be a whole number, 0 to 256"],
    );
    check("placement.queue = 256\n[x", &["f:2: no TOML: unclosed table, expected `]`"]);
    check(
        "placement.queue = 256\nname = ",
        &[
            &format!("f:2: no TOML: {quoted}"),
            &format!(
                "f:1: placement.queue: 256 has to be below the number of shards, {}",
                Config::default().shard_count()
            ),
        ],
    );
    // One mistake spoils a list, and is told once.
    let problems = load("name = [1,\nb = 2\n[socket]\nx=1", &[], &[]).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    let oidc = "[[social.oidc]]\nname = \n[[social.oidc]]\nissuer = \n";
    let problems = load(oidc, &[], &[]).unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");

    let missing = Path::new("/nowhere/a.toml");
    let flags = [("shards", "2"), ("placement.queue", "2"), ("placement.matches", "x")];
    let problems = sources(&[missing], &[], &flags).load().unwrap_err();
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[2].starts_with("--placement.queue: 2 has to be below"), "{problems:?}");
}

#[test]
fn a_large_file_is_refused_at_once_and_in_short() {
    let text: String = (0..30_000).map(|number| format!("token_expiri_{number} = 1\n")).collect();
    let problems = load(&text, &[], &[]).unwrap_err();
    assert_eq!((problems.len(), &*problems[20]), (21, "and 29980 more"));
    let text: String = (0..30_000).map(|number| format!("key {number}\n")).collect();
    let problems = load(&text, &[], &[]).unwrap_err();
    assert_eq!((problems.len(), &*problems[20]), (21, "and 29980 more"));
    for (name, mark) in [("shards", ""), ("name", "\""), ("data_dir", "\""), ("listen", "\"")] {
        let text = format!("{name} = {mark}{}{mark}", "1".repeat(900_000));
        let problems = load(&text, &[], &[]).unwrap_err();
        assert!(problems.len() == 1 && problems[0].len() < 200, "{name}");
    }
}

#[test]
fn a_key_stands_once_in_a_file() {
    check(
        "\"session.token_expiry_sec\" = 5\n[session]\ntoken_expiry_sec = 6",
        &["f:3: session.token_expiry_sec: line 1 has it too: only one may be"],
    );
    check(
        "\"rate_limit.user\".read = {}\n[rate_limit.user]\nread = {}",
        &["f:3: rate_limit.user.read: line 1 has it too: only one may be"],
    );
}

#[test]
fn what_a_terminal_would_obey_is_told_and_shown_in_escapes() {
    check(
        "\"a\\u001b[31m\\n\" = 1\nlogger.level = \"\\u001b\\u202e\"",
        &[
            "f:1: a\\u{1b}[31m\\n: unknown key",
            "f:2: logger.level: \"\\u001B\\u202E\" is none of the words, and has to be \"debug\", \
             \"info\", \"warn\" or \"error\"",
        ],
    );
    check_variable("RINGMASTER_\n", "", "environment RINGMASTER_\\n: unknown variable");
    let missing = sources(&[Path::new("/nowhere/a\nb")], &[], &[]).load().unwrap_err();
    assert!(missing[0].starts_with("/nowhere/a\\nb: cannot be read"), "{missing:?}");

    let folder = tempfile::tempdir().unwrap();
    let [file, again] = ["a\nname = 5", "again"].map(|name| folder.path().join(name));
    std::fs::write(&file, "name = \"\\u001b\\U000e0001é\"\n").unwrap();
    let shown = show(&sources(&[&file], &[], &[]).load().unwrap());
    assert!(shown.starts_with("name = \"\\u001B\\U000E0001é\" # "), "{shown}");
    std::fs::write(&again, &shown).unwrap();
    assert_eq!(sources(&[&again], &[], &[]).load().unwrap().config.name, "\u{1b}\u{e0001}é");
}

const TEAMS: &str = "teams = [{ name = \"a\", max = 1 }, { name = \"b\", max = 1 }]";

#[test]
fn lists_of_tables_are_read_and_shown() {
    let text = format!(
        "[[queues]]\nid = \"duel\"\n{TEAMS}\n[session]\ntoken_expiry_sec = 7200\n\
         [[queues]]\nid = \"old arena\"\nmode = \"2v2 # \\u0007\"\nregions = [\"eu\"]\n\
         quality = 0.5\nrating = {{ window = {{ from = 100, to = 500, over_sec = 0x28 }} }}\n\
         [[queues.teams]]\nname = \"a\"\nmax = 2\n[[queues.teams]]\nname = \"b\"\nmax = 2\n"
    );
    let loaded = load(&text, &[], &[]).unwrap();
    let queues = &loaded.config.queues.0;
    assert!(queues[0].starts_with("{\"id\":\"duel\",\"teams\":["), "{queues:?}");
    assert!(queues[1].contains("[\"eu\"]") && queues[1].contains("[37.5,475]"), "{queues:?}");
    let shown = show(&loaded);
    assert!(shown.contains("f:1\n"), "{shown}");
    let again = load(&shown, &[], &[]).unwrap().config;
    assert_eq!(again.queues, loaded.config.queues);

    let entry = format!("[{{ id = \"duel\", {TEAMS} }}]");
    for overriding in [
        load(&text, &[("RINGMASTER_QUEUES", &entry)], &[]),
        load(&text, &[], &[("queues", &entry)]),
    ] {
        assert_eq!(overriding.unwrap().config.queues.0, queues[..1]);
    }
    assert!(load(&text, &[], &[("queues", "[]")]).unwrap().config.queues.0.is_empty());
}

#[test]
fn what_is_wrong_in_a_list_of_tables_is_told_with_its_line() {
    check(
        &format!(
            "[[queues]]\nid = \"duel\"\n{TEAMS}\nqualty = 1\nregions = [\"eu\",\n7]\n\
             [[queues]]\nid = \"arena\"\nready_sec = 1000\n{TEAMS}\n\
             [[queues]]\nmode = 2026-01-01\nlatency = inf\n\
             [[queues]]\nid = \"duel\"\n[[queues.teams]]\nname = \"a\"\n[[queues.teams]]\n\
             name = \"b\"\nmax = 1.5\n\
             [[queues]]\nid = \"arena\"\n{TEAMS}\n[[queues]]\n"
        ),
        &[
            "f:4: queues[0].qualty: is not known; known are id, mode, teams, party_sizes, \
             attributes, rating, roles, regions, latency, quality, autofill_after_sec, \
             smaller_after_sec, ready_sec, lease_sec",
            "f:6: queues[0].regions[1]: has to be a text",
            "f:9: queues[1].ready_sec: 1 to 300",
            "f:12: queues[2].mode: is a date or a time, and nothing here takes one",
            "f:13: queues[2].latency: has to be finite",
            "f:20: queues[3].teams[1].max: has to be a whole number, 0 or more",
            "f:24: queues[5].teams: is missing",
        ],
    );
    let twice = format!("[[queues]]\nid = \"a\"\n{TEAMS}\n");
    check(&twice.repeat(2), &["f:5: queues[1].id: [0] has it too: only one may"]);
    let many: String = (0..66).map(|id| twice.replace("\"a\"\n", &format!("\"{id}\"\n"))).collect();
    check(&many, &["f:193: queues[64]: is one too many: at most 64 may be"]);
    let list = "and has to be a list of tables";
    check("[queues]\nid = 1", &[&format!("f:1: queues: the value is a table, {list}")]);
    check(
        "queues = [1]",
        &["f:1: queues[0]: has to be an object", "f:1: queues[0].teams: is missing"],
    );
    check_variable(
        "RINGMASTER_QUEUES",
        "duel",
        &format!("environment RINGMASTER_QUEUES: \"duel\" is text, {list}"),
    );
    check_flag("queues", "[{ id = \"duel\" }]", "--queues[0].teams: is missing");
    let long = format!("[[queues]]\nid = \"a\"\n{TEAMS}\n\"{}\" = 1\n", "é".repeat(100_000));
    let problems = load(&long, &[], &[]).unwrap_err();
    assert!(problems.len() == 1 && problems[0].len() < 500, "{problems:?}");
    // A fault of the file hides the rest of the list.
    let problems = load("[[queues]]\nid = \n[[queues]]\nteams = 1\n", &[], &[]).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
}

#[test]
fn what_is_wrong_with_a_declared_board_is_told_with_its_line() {
    check(
        "[[leaderboards]]\nid = \"a\"\nsort_order = \"up\"\n\
         [[leaderboards]]\nid = \"b\"\nreset_schedule = \"soon\"\n\
         [[tournaments]]\nid = \"c\"\nduration = 60\nstart = 5\n",
        &[
            "f:3: leaderboards[0].sort_order: has to be \"asc\" or \"desc\"",
            "f:6: leaderboards[1].reset_schedule: is no CRON expression",
            "f:10: tournaments[0].start: is not known",
        ],
    );
    check(
        "[[leaderboards]]\nid = \"a\"\n[[tournaments]]\nid = \"a\"\nduration = 60\n",
        &["f:3: tournaments: a is a leaderboard, too: an id is that of one only"],
    );
}

#[test]
fn a_variable_that_names_no_file_is_named() {
    let problems = sources(&[Path::new("")], &[("RINGMASTER_CONFIG", "")], &[]).load();
    let problem = "environment RINGMASTER_CONFIG: the value is empty, and has to be a path";
    assert_eq!(problems.unwrap_err(), [problem]);
}

#[test]
fn the_data_folder_is_found_whatever_else_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f");
    std::fs::write(&file, "data_dir = \"there\"\nport = 1\nproduction = true\n").unwrap();
    let environment = [("RINGMASTER_DATA_DIR", "elsewhere")];
    let folder_of = |sources: Sources| sources.data_dir();
    assert_eq!(folder_of(sources(&[], &[], &[])).unwrap(), Path::new("data"));
    assert_eq!(folder_of(sources(&[&file], &[], &[])).unwrap(), Path::new("there"));
    let found = folder_of(sources(&[&file], &environment, &[])).unwrap();
    assert_eq!(found, Path::new("elsewhere"));
    let missing = Path::new("/nowhere/a.toml");
    assert!(folder_of(sources(&[missing], &[], &[])).is_err(), "it may name another");
    assert!(folder_of(sources(&[missing], &environment, &[])).is_ok());
}

#[test]
fn everything_that_is_wrong_is_told_in_order() {
    let text = "shards = \"two\"\nport = 1\n[socket]\nread_timeout_ms = 0\n";
    let problems = load(text, &[("RINGMASTER_X", "1")], &[("shards", "x")]).unwrap_err();
    let begins = [
        "f:1: shards",
        "f:2: port",
        "f:4: socket.read",
        "environment RINGMASTER_X",
        "--shards: \"x\"",
    ];
    assert_eq!(problems.len(), begins.len(), "{problems:?}");
    for (problem, begin) in problems.iter().zip(begins) {
        assert!(problem.starts_with(begin), "{problem}");
    }
    check("a = \n", &["f:1: no TOML: string values must be quoted, expected literal string"]);
}

#[test]
fn keys_that_contradict_each_other_are_told() {
    check(
        "[socket]\nping_period_ms = 25000",
        &["f:2: socket.ping_period_ms: 25000 has to be less than socket.pong_wait_ms, 25000"],
    );
    for (listen, admin) in [
        ("127.0.0.1:7350", "127.0.0.1:7350"),
        ("0.0.0.0:7350", "127.0.0.1:7350"),
        ("127.0.0.1:7350", "0.0.0.0:7350"),
        ("[::]:7350", "127.0.0.1:7350"),
        ("[::]:7350", "0.0.0.0:7350"),
        ("[::1]:7350", "[::]:7350"),
    ] {
        check(
            &format!("listen = \"{listen}\"\nadmin_listen = \"{admin}\""),
            &[&format!("f:1: listen: {listen} has to differ from admin_listen, {admin}")],
        );
    }
    for (listen, admin) in [
        ("127.0.0.1:7350", "127.0.0.2:7350"),
        ("0.0.0.0:7350", "[::1]:7350"),
        ("0.0.0.0:7350", "127.0.0.1:7351"),
        ("127.0.0.1:0", "127.0.0.1:0"),
    ] {
        check(&format!("listen = \"{listen}\"\nadmin_listen = \"{admin}\""), &[]);
    }
    check("data_dir = \"\"", &["f:1: data_dir: \"\" is empty, and has to be a path"]);
    check(
        "[socket]\npong_wait_ms = 15000",
        &["socket.ping_period_ms: 15000 has to be less than socket.pong_wait_ms, 15000"],
    );
    check(
        "[session]\nsingle_party = true",
        &["f:2: session.single_party: goes together with session.single_socket, which is false"],
    );
    check("[session]\nsingle_party = true\nsingle_socket = true", &[]);
    for (key, other) in [("certificate", "private_key"), ("private_key", "certificate")] {
        check(
            &format!("socket.ssl_{key} = \"a\""),
            &[&format!(
                "f:1: socket.ssl_{key}: goes together with socket.ssl_{other}, which is empty"
            )],
        );
    }
    check(
        "shards = 2\nplacement.queue = 2",
        &["f:2: placement.queue: 2 has to be below the number of shards, 2"],
    );
    let differ = "a key of session tokens is one of refresh tokens too, and has to differ: \
                  session.encryption_key, session.earlier_encryption_keys, \
                  session.refresh_encryption_key, session.earlier_refresh_encryption_keys";
    for (key, value) in [
        ("encryption_key", "\"defaultrefreshencryptionkey\""),
        ("earlier_encryption_keys", "[\"a\", \"defaultrefreshencryptionkey\"]"),
    ] {
        let problem = format!("f:1: session.{key}: {differ}");
        check(&format!("session.{key} = {value}"), &[&problem]);
    }
    let rotated = "production = true
        [socket]
        server_key = \"ours\"
        [session]
        encryption_key = \"ours\"
        refresh_encryption_key = \"ours too\"
        earlier_encryption_keys = [\"defaultencryptionkey\"]";
    check(
        rotated,
        &["f:1: production: a default key is refused in production: set \
           session.earlier_encryption_keys"],
    );
}

#[test]
fn later_sources_override_earlier_ones() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    std::fs::write(&first, "name = \"first\"\nshards = 1\npassword.threads = 1\n").unwrap();
    std::fs::write(&second, "name = \"second\"\nshards = 2\n").unwrap();
    let environment =
        [("RINGMASTER_NAME", "variable"), ("RINGMASTER_MATCHMAKER_MODE", "compatible")];
    let flags = [("name", "flag")];
    let loaded = sources(&[&first, &second], &environment, &flags).load().unwrap();
    let Config { name, shards, password, matchmaker, .. } = &loaded.config;
    assert_eq!((name.as_str(), *shards, password.threads), ("flag", 2, 1));
    assert_eq!(matchmaker.mode, Mode::Compatible);
    let shown = show(&loaded);
    for line in [
        "name = \"flag\" # --name\n".to_owned(),
        format!("shards = 2 # {}:2\n", second.display()),
        format!("threads = 1 # {}:3\n", first.display()),
        "mode = \"compatible\" # environment RINGMASTER_MATCHMAKER_MODE\n".to_owned(),
        "proxy_count = 1\n".to_owned(),
    ] {
        assert!(shown.contains(&line), "{line} is missing in {shown}");
    }
    let file = folder.path().join("shown");
    std::fs::write(&file, &shown).unwrap();
    let again = sources(&[&file], &[], &[]).load().unwrap();
    for key in KEYS {
        assert_eq!(key.toml(&again.config), key.toml(&loaded.config), "{}", key.name);
    }
}

#[test]
fn texts_lists_and_tables_stand_in_variables_and_flags() {
    let environment = [
        ("RINGMASTER_DATA_DIR", "/var/lib/it's \"here\""),
        ("RINGMASTER_SESSION_SERVER_TOKEN_KEY_FILES", "a.pem, b.pem"),
        ("RINGMASTER_SESSION_EARLIER_ENCRYPTION_KEYS", "[\"one, two\", 'three']"),
        ("RINGMASTER_RATE_LIMIT_USER_READ", "{ per_sec = 1, burst = 2 }"),
        ("RINGMASTER_ADMIN_LISTEN", ""),
        ("RINGMASTER_PRODUCTION", "false"),
    ];
    let config = load("", &environment, &[("rate_limit.user.sign", "{}")]).unwrap().config;
    assert_eq!(config.data_dir, PathBuf::from("/var/lib/it's \"here\""));
    assert_eq!(config.session.server_token_key_files, [Path::new("a.pem"), Path::new("b.pem")]);
    let keys = ["one, two", "three"].map(Secret::from);
    assert_eq!(config.session.earlier_encryption_keys, keys);
    assert_eq!(config.rate_limit.user.read.map(|limit| limit.per_sec), Some(1));
    assert!(config.rate_limit.user.sign.is_none());
    assert!(config.admin_listen.is_none());
    let expected = "and has to be a whole number, 0 to 256";
    check_variable(
        "RINGMASTER_SHARDS",
        "two",
        &format!("environment RINGMASTER_SHARDS: \"two\" is text, {expected}"),
    );
    check_flag("shards", "two", &format!("--shards: \"two\" is text, {expected}"));
    check_flag("shards", "", &format!("--shards: \"\" is text, {expected}"));
    check_flag("shards", "300", &format!("--shards: 300 is out of range, {expected}"));
}

#[test]
fn a_secret_may_stand_in_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let path = file.to_str().unwrap();
    std::fs::write(&file, "from a file\n\n").unwrap();
    let variable = "RINGMASTER_SESSION_ENCRYPTION_KEY_FILE";
    let loaded = load("[session]\nencryption_key = \"a\"", &[(variable, path)], &[]).unwrap();
    assert_eq!(loaded.config.session.encryption_key, "from a file\n".into());

    let both = [("RINGMASTER_SESSION_ENCRYPTION_KEY", "a"), (variable, path)];
    let conflict = "environment RINGMASTER_SESSION_ENCRYPTION_KEY_FILE: \
                    RINGMASTER_SESSION_ENCRYPTION_KEY is set too: only one may be";
    assert_eq!(load("", &both, &[]).unwrap_err(), [conflict]);

    let missing = format!(
        "environment {variable}: the file cannot be read: No such file or directory (os error 2)"
    );
    check_variable(variable, "/nowhere/key", &missing);
    std::fs::write(&file, "x".repeat(70_000)).unwrap();
    let large = format!("environment {variable}: the file is larger than 65536 bytes");
    check_variable(variable, path, &large);
    let device = format!("environment {variable}: the file is no regular file");
    check_variable(variable, "/dev/null", &device);
    std::fs::write(&file, "\u{feff}key\r\n").unwrap();
    let loaded = load("\u{feff}shards = 1", &[(variable, path)], &[]).unwrap();
    assert_eq!(loaded.config.session.encryption_key, "key".into());
    check_variable(
        "RINGMASTER_SHARDS_FILE",
        path,
        "environment RINGMASTER_SHARDS_FILE: unknown variable",
    );
}

#[test]
fn a_torn_file_is_no_reason_to_panic() {
    let sample = include_str!("../../../../docs/ringmaster.toml").replace("\n#", "\n");
    for end in (0..sample.len()).step_by(41).filter(|end| sample.is_char_boundary(*end)) {
        let mut torn = sample[..end].to_owned();
        let _ = load(&torn, &[], &[]);
        torn.insert_str(end / 2, "[[{\"=\0");
        let _ = load(&torn, &[], &[]);
    }
}

#[test]
fn names_are_unlike_each_other() {
    let mut names: Vec<_> = KEYS.iter().map(Key::variable).collect();
    let files = KEYS.iter().filter(|key| key.is_secret).map(|key| key.variable() + "_FILE");
    names.extend(files);
    names.push("RINGMASTER_CONFIG".into());
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
    let is_section =
        |key: &&Key| KEYS.iter().any(|other| other.name.starts_with(&format!("{}.", key.name)));
    assert!(!KEYS.iter().any(|key| is_section(&key)));
}

#[test]
fn what_stands_behind_an_address_is_not_shown() {
    let text = "traces.endpoint = \"https://a/path\"\n[social.endpoints]\n\
                steam_ticket_url = \"https://b/c?key=CANARY\"\n\
                google_jwks_url = \"https://b#CANARY\"\n[[social.oidc]]\nname = \"a\"\n\
                issuer = \"b\"\naudience = \"c\"\njwks_url = \"https://d/?key=CANARY\"\n";
    let shown = show(&load(text, &[], &[]).unwrap());
    let shown: Vec<_> =
        shown.lines().map(|line| line.rsplit_once(" # ").unwrap_or((line, ""))).collect();
    for line in [
        "# endpoint = \"REDACTED\"",
        "# endpoints.steam_ticket_url = \"https://b/c\"",
        "# endpoints.google_jwks_url = \"https://b\"",
        "# oidc = [{ name = \"a\", issuer = \"b\", audience = \"c\", jwks_url = \"https://d/\" }]",
    ] {
        assert!(shown.iter().any(|shown| shown.0 == line), "{line} is missing in {shown:?}");
    }
    assert!(!format!("{shown:?}").contains("CANARY"), "{shown:?}");
}

/// Each secret once as what it has to be, and once as what it cannot be.
#[test]
fn no_secret_is_shown() {
    const CANARY: &str = "CANARY";
    for key in KEYS.iter().filter(|key| key.is_secret) {
        let right = format!("Name={CANARY}");
        let (right, wrong) = match key.kind {
            Kind::List(_) => (format!("[{}]", quote(&right)), format!("[[{}]]", quote(&right))),
            Kind::Url => {
                let right = quote(&format!("https://a/{CANARY}"));
                (right.clone(), format!("[{right}]"))
            }
            _ => (quote(&right), format!("[{}]", quote(&right))),
        };
        let text = format!("{} = {right}", key.name);
        let loaded = load(&text, &[], &[]).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        assert!(key.toml(&loaded.config).contains(CANARY), "{}", key.name);
        let shown = format!("{}{loaded:?}", show(&loaded));
        assert!(!shown.contains(CANARY), "{}", key.name);
        assert!(shown.contains("REDACTED"), "{}", key.name);

        let long = quote(&CANARY.repeat(1000));
        let long = if matches!(key.kind, Kind::List(_)) { format!("[{long}]") } else { long };
        for text in [
            format!("{} = {wrong}", key.name),
            format!("{} = {long}", key.name),
            format!("{} = {right} {right}", key.name),
            format!("{} = \"{CANARY}", key.name),
            format!("{} = {CANARY}", key.name),
        ] {
            let problems = load(&text, &[], &[]).expect_err(&text);
            assert!(!format!("{problems:?}").contains(CANARY), "{problems:?}");
        }
        let long = CANARY.repeat(1000);
        let variable = key.variable();
        let problems = load("", &[(&variable, &long)], &[(key.name, &long)]).unwrap_err();
        assert_eq!(problems.len(), 2);
        assert!(!format!("{problems:?}").contains(CANARY), "{problems:?}");
    }
}
