//! The project's own tool: `cargo xtask ci` is the whole gate, `cargo xtask tidy` the style as
//! checks, `cargo xtask bench` the figures.

mod bench;
mod ci;
mod crash;
mod fuzz;
mod process;
mod ringmaster;
mod sim;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  ci     everything that has to pass before a commit
  crash  --cycles N [--seed S] [--json]: kills the released server under load, and
         looks whether everything it has acknowledged is there
  fuzz   CRATE TARGET [SECONDS | --keep]: net http, net ws, net tls,
         api request, api envelope, api token, matchmaker query
  sim    --seed N | --seeds A..B | --seconds S | --replay FILE: whole clusters from a seed
  sim-faults   plants faults, each of which the simulator has to find
  tidy   the rules of the tree and of its text
  bench smoke [--json]   the server beside its yardsticks, in three minutes
  bench edges [--json]   passwords, slow and silent peers, rate limits, in four minutes
  bench store [--json]   durable writes beside redb alone and a bare log, in ten minutes
  bench boards [--json]  ten million records: ranks, writes, pages, a start, in ten minutes
  bench objects [--json] storage objects through HTTP, in two minutes
  bench matchmaker [--waiting N] [--case NAME] [--json]
                         ticks, adds and bytes of one pool in virtual time, in two minutes
  bench quality [--scenario 1v1|5v5|thin] [--seed N] [--json]
                         waits and fairness of matches beside rivals, in ten minutes";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["ci"] => ci::run(root()),
        ["crash", rest @ ..] => crash::run(root(), rest),
        ["fuzz", krate, target, rest @ ..] => fuzz::run(root(), krate, target, rest),
        ["sim", rest @ ..] => sim::run(root(), rest),
        ["sim-faults"] => sim::run_faults(root()),
        ["tidy"] => tidy::run(root()),
        ["bench", "smoke"] => bench::smoke(root(), bench::Format::Table),
        ["bench", "smoke", "--json"] => bench::smoke(root(), bench::Format::Json),
        ["bench", "store"] => bench::store(root(), bench::Format::Table),
        ["bench", "store", "--json"] => bench::store(root(), bench::Format::Json),
        ["bench", "boards"] => bench::boards(root(), bench::Format::Table),
        ["bench", "boards", "--json"] => bench::boards(root(), bench::Format::Json),
        ["bench", "objects"] => bench::objects(root(), bench::Format::Table),
        ["bench", "objects", "--json"] => bench::objects(root(), bench::Format::Json),
        ["bench", "matchmaker", options @ ..] => bench::matchmaker(root(), options),
        ["bench", "quality", options @ ..] => bench::quality(root(), options),
        ["bench", "edges"] => bench::edges(root(), bench::Format::Table),
        ["bench", "edges", "--json"] => bench::edges(root(), bench::Format::Json),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace: two above this crate's.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("tools/xtask lies two folders below the root")
}
