//! The providers' rules as values: what is asked, and what an answer means.

pub(crate) mod apple;
pub(crate) mod facebook;
pub(crate) mod game_center;
pub(crate) mod google;
pub(crate) mod instant_game;
pub(crate) mod oidc;
pub(crate) mod steam;

use domain::identity::provider::{Profile, Refusal};

use crate::limits::{ID_BYTES_MAX, TEXT_BYTES_MAX};

/// Whether a status is one of those by which a provider says that a request was wrong, and not
/// that there were too many.
fn is_refusal(status: u16) -> bool {
    (400..500).contains(&status) && status != 429
}

/// A profile with an id, and texts of bounded length.
fn bounded(mut profile: Profile) -> Result<Profile, Refusal> {
    if profile.id.is_empty() || profile.id.len() > ID_BYTES_MAX {
        return Err(Refusal::Rejected);
    }
    for text in [&mut profile.display_name, &mut profile.avatar_url, &mut profile.email] {
        if text.len() > TEXT_BYTES_MAX {
            text.clear();
        }
    }
    Ok(profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_has_an_id_and_no_endless_text() {
        let profile = |id: usize, name: usize| Profile {
            id: "7".repeat(id),
            display_name: "x".repeat(name),
            email: "a@b.c".into(),
            ..Profile::default()
        };
        assert_eq!(bounded(profile(0, 1)), Err(Refusal::Rejected));
        assert_eq!(bounded(profile(ID_BYTES_MAX + 1, 1)), Err(Refusal::Rejected));
        assert_eq!(bounded(profile(1, 2048)), Ok(profile(1, 2048)));
        assert_eq!(bounded(profile(1, 2049)), Ok(profile(1, 0)));
    }
}
