//! The simulator: seeds of the code as it is, and of copies with a fault planted in each.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};

use crate::ci::{cargo_path, run_command};
use crate::tidy;

/// One patch of production code for each fault.
const FAULTS: &str = "tools/sim/faults";

/// The copies, and what is built from them.
const COPIES: &str = "target/sim-faults";

/// The copy without a fault.
const SOUND: &str = "sound";

/// How long a fault may stay unseen.
const SECONDS: &str = "60";

/// How long the copy without a fault is run: only that it runs is of interest here.
const SECONDS_SOUND: &str = "10";

/// Runs the simulator, fast but with every assertion.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<()> {
    let cargo = ["run", "--quiet", "--profile", "sim", "--package", "sim", "--"];
    run_command(root, &cargo_path(), &[&cargo[..], arguments].concat(), &[])
}

/// Plants each fault in a copy of the sources; the simulator has to find it.
pub(crate) fn run_faults(root: &Path) -> Result<()> {
    let folder = root.join(FAULTS);
    let (mut names, mut touched) = (Vec::new(), BTreeSet::new());
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {FAULTS}"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".patch").map(str::to_owned));
    }
    names.sort();
    ensure!(!names.is_empty(), "{FAULTS} has no patches");
    // A patch that does not apply is told before anything is built.
    for name in &names {
        let copy = copy_sources(root, name)?;
        let patch = folder.join(format!("{name}.patch"));
        let text = fs::read_to_string(&patch)?;
        let files = text.lines().filter_map(|line| line.strip_prefix("+++ b/"));
        touched.extend(files.map(str::to_owned));
        let output = Command::new("patch")
            .args(["--strip=1", "--batch", "--no-backup-if-mismatch", "--input"])
            .arg(&patch)
            .current_dir(root.join(&copy))
            .output()
            .context("cannot start patch")?;
        ensure!(
            output.status.success(),
            "{name}.patch does not apply: {}",
            String::from_utf8_lossy(&output.stdout).trim()
        );
    }
    let sound = copy_sources(root, SOUND)?;
    let (holds, said) = simulate(&root.join(sound), root, SECONDS_SOUND, &touched)?;
    ensure!(holds, "without a fault the simulator fails: {said}");
    for name in &names {
        let begin = Instant::now();
        let (holds, said) = simulate(&root.join(COPIES).join(name), root, SECONDS, &touched)?;
        ensure!(!holds, "the fault {name} is not found: an invariant is missing");
        ensure!(said.contains("failed at commit"), "{name}: the simulator did not run: {said}");
        let line = said.lines().find(|line| line.contains("failed at")).unwrap_or_default();
        println!("sim-faults: {name} found after {:.1} s: {line}", begin.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Makes a copy of the sources like them, and leaves alone what is; gives its path below the root.
fn copy_sources(root: &Path, name: &str) -> Result<String> {
    let copy = format!("{COPIES}/{name}");
    let wanted: BTreeSet<String> = tidy::files(root)?.into_iter().collect();
    fs::create_dir_all(root.join(&copy)).with_context(|| format!("cannot create {copy}"))?;
    for path in tidy::files(&root.join(&copy))? {
        if !wanted.contains(&path) {
            fs::remove_file(root.join(&copy).join(path))?;
        }
    }
    for path in wanted {
        let (from, to) = (root.join(&path), root.join(&copy).join(&path));
        let bytes = fs::read(&from).with_context(|| format!("cannot read {path}"))?;
        if fs::read(&to).is_ok_and(|known| known == bytes) {
            continue;
        }
        let parent = to.parent().context("a file lies in a folder")?;
        fs::create_dir_all(parent)?;
        fs::write(&to, bytes).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(copy)
}

/// Builds and runs the simulator of a copy: whether everything held, and what it said.
///
/// To cargo all copies are one workspace, built again where a file is newer than the last build:
/// whatever a patch changes in any copy is made new in this one.
fn simulate(
    copy: &Path,
    root: &Path,
    seconds: &str,
    touched: &BTreeSet<String>,
) -> Result<(bool, String)> {
    for path in touched {
        let file = fs::File::options().append(true).open(copy.join(path));
        let file = file.with_context(|| format!("a patch names {path}"))?;
        file.set_modified(SystemTime::now())?;
    }
    let target = root.join(COPIES).join("target");
    let build = ["build", "--quiet", "--profile", "sim", "--package", "sim"];
    let status = Command::new(cargo_path())
        .args(build)
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", &target)
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "{} does not build", copy.display());
    let program = target.join("sim/sim");
    let output = Command::new(&program)
        .args(["--seconds", seconds, "--start", "0"])
        .current_dir(copy)
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        Some(0) => Ok((true, said)),
        Some(1) => Ok((false, said)),
        _ => bail!("{}: {}: {said}", program.display(), output.status),
    }
}
