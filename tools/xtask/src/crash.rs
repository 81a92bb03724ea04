//! `cargo xtask crash`: kills the real server again and again while it is written to, and looks
//! whether everything that it has acknowledged is there.
//!
//! The kernel survives a SIGKILL, and keeps what a process wrote without syncing it. What a power
//! cut loses is the business of `tools/sim` and of `store/tests`.

mod api;
mod audit;
mod model;
mod verify;
mod writer;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use base::Rng;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::bench::{Format, Report, median};
use crate::crash::api::{Api, Stop, now};
use crate::crash::audit::Trail;
use crate::crash::model::{Alias, CONTESTED};
use crate::crash::writer::{CONTESTED_COUNT, Writer};
use crate::process::{Folder, Server};
use crate::ringmaster::{self, NO_LIMITS, Ringmaster};

/// Connections that write, each of which waits for an answer before it writes again.
const WRITERS: usize = 16;

/// How long the server is written to before it is killed, in milliseconds.
const LOAD_MS: RangeInclusive<u32> = 50..=1_500;

/// The same in the gate, whose server is not optimized.
const LOAD_SHORT_MS: RangeInclusive<u32> = 50..=500;

/// How long after its start a server is killed that has nothing to do yet, in milliseconds.
const EARLY_MS: u32 = 30;

/// Life of all tokens, in seconds: longer than any run.
const TOKEN_LIFE: u64 = 86_400;

/// No comparison takes longer, nor does it take so long until the writers have noticed a kill.
const PHASE_MAX: Duration = Duration::from_secs(300);

/// Signs in for the look-ups by name.
const READER: &str = "device-of-the-reader";

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub acknowledged: u64,
    /// Others had the name.
    pub refused: u64,
    /// Writes without an answer when the server was killed.
    pub in_flight: u64,
    /// Those of them that were there afterwards.
    pub applied: u64,
    /// Comparisons of a user.
    pub verified: u64,
}

/// How a cycle kills its server.
#[derive(Clone, Copy, Debug)]
enum Kill {
    /// While it is written to, after so long.
    Loaded(Duration),
    /// So long after the start of a process, on the folder and on a new one.
    Starting(Duration),
    /// As soon as it answers.
    Answering,
}

/// How the run was asked for.
#[derive(Debug)]
struct Options {
    cycles: u32,
    seed: u64,
    load_ms: RangeInclusive<u32>,
    format: Format,
}

/// Builds the server as it is released, and kills it so many times.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<()> {
    let options = Options::parse(arguments)?;
    ringmaster::build(root, &["-p", "ringmaster"])?;
    kill_often(root, root.join("target/release/ringmaster"), &options)
}

/// The same with a server that is there already, under shorter load.
pub(crate) fn run_built(root: &Path, program: PathBuf, cycles: u32) -> Result<()> {
    ensure!(program.exists(), "{} is not built", program.display());
    let (seed, load_ms, format) = (any_seed(), LOAD_SHORT_MS, Format::Table);
    kill_often(root, program, &Options { cycles, seed, load_ms, format })
}

fn kill_often(root: &Path, program: PathBuf, options: &Options) -> Result<()> {
    let Options { cycles, seed, format, .. } = options;
    eprintln!("crash: {cycles} cycles of seed {seed}");
    let folder = Folder::create(root, "crash")?;
    let campaign = Campaign::new(root, &folder, program, *seed);
    match campaign.and_then(|campaign| campaign.run(options)) {
        Ok(report) => {
            report.print(*format);
            Ok(())
        }
        Err(error) => {
            let path = folder.keep();
            Err(error.context(format!("seed {seed}, data folder kept: {}", path.display())))
        }
    }
}

/// A run: the server's folder, the writers with what they expect, and what was measured.
struct Campaign {
    root: PathBuf,
    program: PathBuf,
    ringmaster: Ringmaster,
    runtime: Runtime,
    rng: Rng,
    writers: Vec<Writer>,
    operator_token: String,
    trail: Trail,
    /// Whether the reader has its account.
    has_reader: bool,
    /// From spawning a server on a folder of a killed one to its first answer, in milliseconds.
    restarts: Vec<f64>,
    kills: u64,
}

impl Campaign {
    fn new(root: &Path, folder: &Folder, program: PathBuf, seed: u64) -> Result<Campaign> {
        let life =
            format!("token_expiry_sec = {TOKEN_LIFE}\nrefresh_token_expiry_sec = {TOKEN_LIFE}");
        let config = format!("{NO_LIMITS}[session]\n{life}\n");
        let ringmaster = Ringmaster::new(program.clone(), folder, ringmaster::shards()?, &config)?;
        let rng = seeded(seed);
        let writer = |number| Writer::new(number, rng.child(&format!("writer {number}")));
        Ok(Campaign {
            root: root.to_owned(),
            program,
            ringmaster,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            writers: (0..WRITERS).map(writer).collect(),
            rng: rng.child("kills"),
            operator_token: String::new(),
            trail: Trail::default(),
            has_reader: false,
            restarts: Vec::new(),
            kills: 0,
        })
    }

    fn run(mut self, options: &Options) -> Result<Report> {
        let cycles = options.cycles;
        let mut server = self.ringmaster.start()?;
        server.until_it_answers()?;
        self.operator_token = self.ringmaster.operator_token(TOKEN_LIFE)?;
        for cycle in 1..=cycles {
            let kill = Kill::draw(&mut self.rng, &options.load_ms);
            let is_last = cycle == cycles;
            let outcome = self.cycle(server, kill, is_last);
            server = outcome.with_context(|| format!("cycle {cycle}, killed {kill:?}"))?;
            if cycle % 10 == 0 || is_last {
                self.tell(cycle);
            }
        }
        server.process.kill()?;
        Ok(self.report(cycles))
    }

    /// Kills the server, starts another one on its folder and compares.
    fn cycle(&mut self, server: Server, kill: Kill, everything: bool) -> Result<Server> {
        match kill {
            Kill::Loaded(after) => self.load(server, after)?,
            Kill::Starting(after) => {
                server.process.kill()?;
                let starting = self.ringmaster.spawn()?;
                std::thread::sleep(after);
                starting.kill()?;
                self.kills += 1;
                self.first_start(after)?;
            }
            Kill::Answering => {
                server.process.kill()?;
                let server = self.restart()?;
                server.process.kill()?;
                self.kills += 1;
            }
        }
        self.kills += 1;
        let server = self.restart()?;
        self.verify(&server, everything)?;
        Ok(server)
    }

    /// Has all writers write, and kills the server meanwhile.
    fn load(&mut self, server: Server, after: Duration) -> Result<()> {
        let mut tasks = JoinSet::new();
        for writer in self.writers.drain(..) {
            let api = Api::new(&server, &self.operator_token)?;
            tasks.spawn_on(writer.write(api), self.runtime.handle());
        }
        let (kill_at, end) = (Instant::now() + after, Instant::now() + after + PHASE_MAX);
        let mut ended = Vec::new();
        self.runtime.block_on(async {
            tokio::select! {
                () = tokio::time::sleep_until(kill_at.into()) => {}
                stopped = tasks.join_next() => {
                    let (_, stop) = stopped.context("there are writers")??;
                    bail!("before the kill: {stop}");
                }
            }
            server.process.kill()?;
            while let Some(stopped) = tokio::time::timeout_at(end.into(), tasks.join_next())
                .await
                .context("writers hang")?
            {
                let (writer, stop) = stopped?;
                if let Stop::Wrong(_) | Stop::Gone(client::Error::Timeout) = stop {
                    bail!("while writing: {stop}");
                }
                ended.push(writer);
            }
            Ok(())
        })?;
        self.writers = ended;
        Ok(())
    }

    /// Kills the very first start on a folder; the next one has to make do with what is there.
    fn first_start(&self, after: Duration) -> Result<()> {
        let folder = Folder::create(&self.root, "crash-first")?;
        let first =
            Ringmaster::new(self.program.clone(), &folder, ringmaster::shards()?, NO_LIMITS)?;
        let starting = first.spawn()?;
        std::thread::sleep(after);
        starting.kill()?;
        let outcome = first.start().and_then(|server| {
            server.until_it_answers()?;
            first.operator_token(TOKEN_LIFE)?;
            server.process.kill()
        });
        outcome.map_err(|error| {
            let path = folder.keep();
            error.context(format!("the first start on a new folder, kept: {}", path.display()))
        })
    }

    fn restart(&mut self) -> Result<Server> {
        let server = self.ringmaster.start()?;
        self.restarts.push(server.until_it_answers()?.as_secs_f64() * 1e3);
        Ok(server)
    }

    /// Compares what was touched, and a few others or everybody, with what the server says.
    fn verify(&mut self, server: &Server, everything: bool) -> Result<()> {
        let mut api = Api::new(server, &self.operator_token)?;
        let reader = self.runtime.block_on(read_as(&mut api, self.has_reader))?;
        self.has_reader = true;
        let mut tasks = JoinSet::new();
        for writer in self.writers.drain(..) {
            let own = Api::new(server, &self.operator_token)?;
            let comparing = writer.verify(own, reader.clone(), everything);
            tasks.spawn_on(comparing, self.runtime.handle());
        }
        let compared = async { tokio::time::timeout(PHASE_MAX, tasks.join_all()).await };
        let compared = self.runtime.block_on(compared).context("the comparison hangs")?;
        for (writer, outcome) in compared {
            outcome.map_err(|why| anyhow!(why))?;
            self.writers.push(writer);
        }
        // The comparison may have taken longer than the server keeps an idle connection.
        let mut api = Api::new(server, &self.operator_token)?;
        self.runtime.block_on(self.verify_names(&mut api, &reader))?;
        let expected = self.writers.iter_mut().flat_map(|writer| writer.audited.drain(..));
        let expected = expected.collect();
        self.runtime.block_on(self.trail.verify(&mut api, expected))?;
        Ok(())
    }

    /// A name that all writers want leads to the one user who has it, or to nobody.
    async fn verify_names(&self, api: &mut Api, reader: &str) -> Result<()> {
        let mut expected = BTreeMap::new();
        for (name, id) in self.writers.iter().flat_map(Writer::holders) {
            if let Some(other) = expected.insert(name.clone(), id.clone()) {
                bail!("{name} is the name of {id} and of {other}");
            }
        }
        let names: Vec<String> = (0..CONTESTED_COUNT).map(|n| format!("{CONTESTED}{n}")).collect();
        let found = api.ids_of(reader, names.iter().map(String::as_str)).await?;
        let found: BTreeMap<String, String> = found.into_iter().collect();
        ensure!(found == expected, "names lead to users: expected {expected:?}, found {found:?}");
        Ok(())
    }

    fn tally(&self) -> Tally {
        self.writers.iter().map(|writer| writer.tally).fold(Tally::default(), Tally::plus)
    }

    fn tell(&self, cycle: u32) {
        let Tally { acknowledged, in_flight, applied, verified, .. } = self.tally();
        let restart = self.restarts.last().copied().unwrap_or_default();
        eprintln!(
            "crash: cycle {cycle}: {acknowledged} writes acknowledged, {in_flight} in flight at \
             kills, {applied} of them applied; {verified} comparisons; restart {restart:.1} ms"
        );
    }

    fn report(&self, cycles: u32) -> Report {
        let mut report = Report::new("crash");
        let Tally { acknowledged, refused, in_flight, applied, verified } = self.tally();
        let users: usize = self.writers.iter().map(Writer::user_count).sum();
        let longest = self.restarts.iter().copied().fold(0.0, f64::max);
        for (case, name, value, unit) in [
            ("run", "cycles", f64::from(cycles), ""),
            ("run", "kills", self.kills as f64, ""),
            ("run", "users", users as f64, ""),
            ("run", "comparisons", verified as f64, ""),
            ("restart", "p50", median(&self.restarts), "ms"),
            ("restart", "max", longest, "ms"),
            ("writes", "acknowledged", acknowledged as f64, ""),
            ("writes", "refused", refused as f64, ""),
            ("writes", "in_flight", in_flight as f64, ""),
            ("writes", "in_flight_applied", applied as f64, ""),
        ] {
            report.add(case, name, value, unit, None);
        }
        report
    }
}

/// A session of the user that looks up names, whom nobody changes.
async fn read_as(api: &mut Api, is_there: bool) -> Result<String> {
    let device = Alias::Device(READER.to_owned());
    let answer = api.sign_in(&device, (!is_there).then_some("reader")).await?;
    ensure!(answer.status == 200, "{READER} signed in before: found {answer:?}");
    Ok(api::text(&answer.success()?, "token"))
}

impl Kill {
    /// Most kills come under load.
    fn draw(rng: &mut Rng, load_ms: &RangeInclusive<u32>) -> Kill {
        let ms = |ms: u32| Duration::from_millis(u64::from(ms));
        match rng.below(10) {
            0 => Kill::Starting(ms(rng.below(EARLY_MS + 1))),
            1 => Kill::Answering,
            _ => {
                let (least, most) = (*load_ms.start(), *load_ms.end());
                Kill::Loaded(ms(least + rng.below(most - least + 1)))
            }
        }
    }
}

impl Tally {
    fn plus(self, other: Tally) -> Tally {
        Tally {
            acknowledged: self.acknowledged + other.acknowledged,
            refused: self.refused + other.refused,
            in_flight: self.in_flight + other.in_flight,
            applied: self.applied + other.applied,
            verified: self.verified + other.verified,
        }
    }
}

impl Options {
    fn parse(arguments: &[&str]) -> Result<Options> {
        let (mut cycles, mut seed, mut format) = (None, any_seed(), Format::Table);
        let mut rest = arguments;
        loop {
            rest = match rest {
                ["--cycles", count, rest @ ..] => {
                    cycles = Some(number(count)?);
                    rest
                }
                ["--seed", text, rest @ ..] => {
                    seed = number(text)?;
                    rest
                }
                ["--json", rest @ ..] => {
                    format = Format::Json;
                    rest
                }
                [] => break,
                [other, ..] => bail!("{other:?} is none of --cycles N, --seed S, --json"),
            };
        }
        let cycles = cycles.context("--cycles N is missing")?;
        let cycles = u32::try_from(cycles).context("so many cycles never end")?;
        ensure!(cycles > 0, "no cycle proves nothing");
        Ok(Options { cycles, seed, load_ms: LOAD_MS, format })
    }
}

fn number(text: &str) -> Result<u64> {
    text.parse().with_context(|| format!("{text:?} is not a number"))
}

/// Another seed each second.
fn any_seed() -> u64 {
    now()
}

fn seeded(seed: u64) -> Rng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    Rng::from_seed(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_asked_for_with_cycles() {
        let options = Options::parse(&["--json", "--cycles", "3", "--seed", "7"]).unwrap();
        let Options { cycles, seed, format, .. } = options;
        assert_eq!((cycles, seed, format), (3, 7, Format::Json));
        for bad in [&[][..], &["--cycles"], &["--cycles", "0"], &["--cycles", "x"], &["--more"]] {
            assert!(Options::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn kills_are_drawn_from_the_seed_within_their_bounds() {
        let draw = |seed| {
            let mut rng = seeded(seed);
            (0..200).map(|_| Kill::draw(&mut rng, &LOAD_MS)).collect::<Vec<_>>()
        };
        let kills = draw(1);
        assert_eq!(format!("{kills:?}"), format!("{:?}", draw(1)));
        let is_within = |kill: &Kill| match kill {
            Kill::Loaded(after) => (50..=1_500).contains(&after.as_millis()),
            Kill::Starting(after) => after.as_millis() <= 30,
            Kill::Answering => true,
        };
        assert!(kills.iter().all(is_within));
    }
}
