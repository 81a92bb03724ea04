//! Boards: the order of ten million records in memory, records and pages through HTTP, and the
//! first rank after a kill.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client::{Authorization, Http, Method};

use crate::bench::objects::beside_echo;
use crate::bench::runner::{Runner, Watch, words};
use crate::bench::{Goal, Report};
use crate::process::{Folder, Process};

/// Of the board in memory, and of the one in the data folder.
const RECORDS: &str = "10000000";
const SEED: &str = "1";
const WRITERS: &str = "128";
const READERS: &str = "32";
/// No step takes longer, and the folder takes longest.
const STEP_MAX: Duration = Duration::from_secs(1200);
const ANSWER_MAX: Duration = Duration::from_secs(10);

pub(super) fn run(root: &Path) -> Result<Report> {
    let runner = Runner::build(root, &["-p", "net", "--example", "http_echo"])?;
    crate::ringmaster::build(root, &["-p", "boards-bench"])?;
    let mut report = Report::new("boards");
    in_memory(&runner, &mut report)?;
    served(&runner, &mut report)?;
    Ok(report)
}

fn in_memory(runner: &Runner, report: &mut Report) -> Result<()> {
    let lines = lines_of(runner, &["ranks", RECORDS, SEED])?;
    let value = |name: &str| -> Result<f64> { Ok(word(&lines, name)?.parse()?) };
    let mut add = |case, name, value, unit, goal| report.add(case, name, value, unit, goal);
    let most = |bound| Some(Goal::AtMost(bound));
    add("ranks", "bytes_per_record", value("bytes_per_record")?, "B", most(64.0));
    add("ranks", "rank_p50", value("rank_p50")?, "us", None);
    add("ranks", "rank_p99", value("rank_p99")?, "us", Some(Goal::Below(20.0)));
    add("ranks", "rank_writes_per_s", value("rank_writes_per_s")?, "1/s", None);
    add("ranks", "top_page", value("top_page_us")?, "us", None);
    add("ranks", "around_page", value("around_page_us")?, "us", None);
    add("sorted-list", "rank_p99", value("list_rank_p99")?, "us", None);
    add("sorted-list", "rank_writes_per_s", value("list_writes_per_s")?, "1/s", None);
    Ok(())
}

/// A server on a data folder that has the board.
fn served(runner: &Runner, report: &mut Report) -> Result<()> {
    let folder = Folder::create(&runner.root, "boards")?;
    let data = folder.0.join("data").display().to_string();
    let filled = lines_of(runner, &["fill", &data, RECORDS, SEED])?;
    let owner = word(&filled, "owner")?;
    report.add("served", "state_mib", word(&filled, "mib")?.parse()?, "MiB", None);

    let server = runner.ringmaster(&folder)?;
    let echo = runner.yardstick("http_echo")?;
    let watch = Watch::begin(&server)?;
    let pages = Some(Goal::AtLeast(10_000.0));
    beside_echo(runner, report, (&server, &echo), ("board-page", READERS), (pages, None))?;
    let writes = Some(Goal::AtLeast(0.4));
    beside_echo(runner, report, (&server, &echo), ("record-write", WRITERS), (None, writes))?;
    report.add("machine", "busy_with_others", watch.end()?.others, "cores", None);
    drop(server); // killed, with records in its log that the state lacks

    let server = runner.ringmaster(&folder)?;
    let rank = first_rank(server.port, owner)?;
    let seconds = server.spawned.elapsed().as_secs_f64();
    ensure!(rank > 1, "the owner in the middle of the board has the rank {rank}");
    report.add("served", "first_rank_s", seconds, "s", Some(Goal::Below(2.0)));
    report.add("served", "rss_mib", server.process.resident_bytes()? / 1048576.0, "MiB", None);
    Ok(())
}

/// Signs in, and asks for the record of an owner.
fn first_rank(port: u16, owner: &str) -> Result<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (host, key) = ("127.0.0.1".to_owned(), "defaultkey".to_owned());
    runtime.block_on(async {
        let mut http = Http::new(Arc::new(client::Server { host, port, key, timeout: ANSWER_MAX }));
        let session = http.authenticate_device("first-rank-device", true).await?;
        let target = format!("/v2/leaderboard/ringload/owner/{owner}?limit=1");
        let bearer = Authorization::Bearer(&session.token);
        let answer = http.request(Method::Get, &target, bearer, &[]).await?.success()?;
        let page: serde_json::Value = serde_json::from_slice(answer)?;
        let record = &page["records"][0];
        ensure!(record["owner_id"] == owner, "the record of another owner: {page}");
        let rank = record["rank"].as_str().context("a record has a rank")?;
        Ok(rank.parse()?)
    })
}

/// The lines of a run to its end, each a name and a word.
fn lines_of(runner: &Runner, arguments: &[&str]) -> Result<Vec<(String, String)>> {
    let process = Process::spawn(&runner.program("boards-bench"), &words(arguments))?;
    let mut lines = Vec::new();
    while let Some(line) = process.line(STEP_MAX)? {
        let (name, value) = line.split_once(' ').with_context(|| format!("{line:?}: no figure"))?;
        lines.push((name.to_owned(), value.to_owned()));
    }
    ensure!(process.wait()?, "boards-bench {} failed", arguments.join(" "));
    Ok(lines)
}

fn word<'a>(lines: &'a [(String, String)], name: &str) -> Result<&'a str> {
    let line = lines.iter().find(|(other, _)| other == name);
    Ok(&line.with_context(|| format!("a run lacks {name}"))?.1)
}
