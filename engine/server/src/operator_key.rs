//! The key of operators' tokens: a file in the data folder, so that whoever can read it, and nobody
//! else, can make a token without a password.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use domain::identity::token::{Keys, OperatorClaims};
use domain::operator::Bearer;

use crate::{key_file, whole_file};

pub(crate) const FILE: &str = "operator.key";
/// Hexadecimal digits of 32 bytes.
const LENGTH: usize = 64;
const SIZE_MAX: u64 = 4096;

/// The key of a data folder, made if it is not there.
pub(crate) fn load_or_make(data_dir: &Path) -> Result<Keys> {
    let file = data_dir.join(FILE);
    if !file.exists() {
        let seed = crate::executor::seed();
        let text: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
        let written = key_file::write(&file, &format!("{text}\n"));
        written.with_context(|| format!("cannot write {}", file.display()))?;
    }
    load(data_dir)
}

/// The key of a data folder in which a server has started once.
pub(crate) fn load(data_dir: &Path) -> Result<Keys> {
    let file = data_dir.join(FILE);
    let text = whole_file::read_text(&file, SIZE_MAX)
        .with_context(|| format!("{}, which the first start of a server makes", file.display()))?;
    let key = text.trim_end();
    let is_key = key.len() == LENGTH && key.bytes().all(|byte| byte.is_ascii_hexdigit());
    ensure!(is_key, "{} does not hold {LENGTH} hexadecimal digits", file.display());
    Ok(Keys::new(key.as_bytes(), &[]))
}

/// A token that is good for so long from now on.
pub(crate) fn sign(keys: &Keys, bearer: Bearer, life: Duration) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    keys.sign_operator(&OperatorClaims { bearer, expiry: (now + life).as_secs() })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use base::UnixTime;
    use domain::operator::Role;

    use super::*;

    #[test]
    fn a_folder_keeps_its_key_and_nobody_else_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        assert!(load(folder.path()).is_err(), "nothing has started here");
        let made = load_or_make(folder.path()).unwrap();
        let bearer = Bearer::Machine { role: Role::Viewer };
        let token = sign(&made, bearer.clone(), Duration::from_secs(60));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let loaded = load(folder.path()).unwrap();
        assert_eq!(loaded.verify_operator(&token, UnixTime::from_secs(now)), Ok(bearer));
        let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        fs::write(folder.path().join(FILE), "short").unwrap();
        let error = load_or_make(folder.path()).unwrap_err().to_string();
        assert!(error.contains("hexadecimal") && !error.contains("short"), "{error}");
    }
}
