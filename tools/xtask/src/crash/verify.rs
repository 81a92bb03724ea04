//! Looks at everything that a server knows of a user, by the API that everybody has.

use base::json::object;
use client::Method;

use crate::crash::api::{Api, By, Stop, account_in, profile_in, text};
use crate::crash::audit::Entry;
use crate::crash::model::{Alias, Lead, Seen, User};

/// What the server says of the user. Exports leave entries in the audit trail.
pub(super) async fn look(
    api: &mut Api,
    user: &User,
    reader: &str,
    audited: &mut Vec<Entry>,
) -> Result<Seen, Stop> {
    let mut seen = Seen { id: user.id.clone(), ..Seen::default() };
    let aliases = user.aliases();
    for alias in aliases.iter().filter(|alias| !alias.is_username()) {
        let lead = follow(api, alias, &mut seen).await?;
        seen.leads.insert(alias.clone(), lead);
    }
    let names: Vec<&Alias> = aliases.iter().filter(|alias| alias.is_username()).collect();
    if !names.is_empty() {
        let found = api.ids_of(reader, names.iter().map(|name| name.text())).await?;
        for name in names {
            let id = found.iter().find(|(username, _)| username == name.text());
            let lead = id.map_or(Lead::Nobody, |(_, id)| Lead::To(id.clone()));
            seen.leads.insert(name.clone(), lead);
        }
    }
    if let Some(id) = seen.id.clone() {
        look_as_operator(api, &id, &mut seen, audited).await?;
    }
    for tokens in &user.state.tokens {
        let session = api.account(&tokens.session).await?;
        let body = object(|o| o.text("token", &tokens.refresh));
        let refresh = api.ask(By::Game, Method::Post, "/v2/account/session/refresh", &body).await?;
        let mut are_good = [false; 2];
        for (is_good, answer) in are_good.iter_mut().zip([session, refresh]) {
            *is_good = match answer.status {
                200 => true,
                401 | 404 => false, // 404: the account is gone
                _ => return Err(answer.unexpected("200, 401 or 404 for a token")),
            };
        }
        seen.tokens.insert(tokens.session.clone(), are_good);
    }
    Ok(seen)
}

/// Signs in by the alias and looks at the account that it leads to.
async fn follow(api: &mut Api, alias: &Alias, seen: &mut Seen) -> Result<Lead, Stop> {
    let answer = api.sign_in(alias, None).await?;
    match answer.status {
        404 => return Ok(Lead::Nobody),
        403 => return Ok(Lead::Banned),
        _ => {}
    }
    let session = text(&answer.success()?, "token");
    let account = api.account(&session).await?.success()?;
    let id = text(&account["user"], "id");
    if *seen.id.get_or_insert_with(|| id.clone()) == id {
        seen.account = Some(account_in(&account));
    }
    Ok(Lead::To(id))
}

async fn look_as_operator(
    api: &mut Api,
    id: &str,
    seen: &mut Seen,
    audited: &mut Vec<Entry>,
) -> Result<(), Stop> {
    let answer = api.operate(Method::Get, id, "").await?;
    if answer.status == 404 {
        return Ok(());
    }
    let profile = profile_in(&answer.success()?["account"]);
    if profile.is_banned {
        // Nobody can sign in to it.
        let export = api.operate(Method::Get, id, "/export").await?.success()?;
        audited.push(("console_account_export".to_owned(), id.to_owned()));
        seen.account = Some(account_in(&export["account"]));
    }
    seen.profile = Some(profile);
    Ok(())
}
