//! The operators' accounts: made, changed, ended, and asked for what they may do.

use base::Code;
use base::limits::{
    OPERATOR_NAME_MAX, OPERATOR_NAME_MIN, OPERATOR_PASSWORD_MAX, OPERATOR_PASSWORD_MIN,
    OPERATORS_MAX,
};

use super::{Bearer, Role};
use crate::ctx::{Applied, Ctx, Never, Stop};
use crate::identity::password::Password;
use crate::record;
use crate::record::operator::{KEY, Operators};

pub use crate::record::operator::Operator;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    Name,
    Password,
    Exists,
    NotFound,
    TooMany,
    /// Somebody has to be able to undo it.
    LastAdmin,
    /// The first operator is there, or is to be no admin.
    NotFirst,
    /// The token is of an operator who is gone or disabled, or of an earlier generation.
    Dead,
    /// The role is too low.
    NotAllowed,
}

impl Error {
    pub fn code(self) -> Code {
        match self {
            Error::Name | Error::Password => Code::InvalidArgument,
            Error::Exists => Code::AlreadyExists,
            Error::NotFound => Code::NotFound,
            Error::TooMany => Code::ResourceExhausted,
            Error::LastAdmin => Code::FailedPrecondition,
            Error::Dead => Code::Unauthenticated,
            Error::NotFirst | Error::NotAllowed => Code::PermissionDenied,
        }
    }
}

/// A change of the operators. Its `Debug` form does not show hashes.
#[derive(Clone, PartialEq, Eq)]
pub enum Edit {
    Create {
        name: String,
        role: Role,
        password: String,
    },
    Change {
        name: String,
        role: Option<Role>,
        password: Option<String>,
        is_disabled: Option<bool>,
    },
    Delete {
        name: String,
    },
    /// All tokens of the operator die.
    EndTokens {
        name: String,
    },
}

impl std::fmt::Debug for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Edit::Create { name, role, .. } => write!(f, "Create({name:?}, {role:?}, …)"),
            Edit::Change { name, role, is_disabled, .. } => {
                write!(f, "Change({name:?}, {role:?}, {is_disabled:?}, …)")
            }
            Edit::Delete { name } => write!(f, "Delete({name:?})"),
            Edit::EndTokens { name } => write!(f, "EndTokens({name:?})"),
        }
    }
}

impl Operator {
    pub fn role(&self) -> Role {
        // Written by us from a role; an unknown number is a newer version's, and may do little.
        Role::of_number(self.role).unwrap_or(Role::Viewer)
    }

    fn is_acting_admin(&self) -> bool {
        self.role() == Role::Admin && !self.is_disabled
    }
}

/// The name in the form in which it is kept: lower case letters, digits, and `.`, `_`, `@`, `-`
/// behind the first.
pub fn parse_name(text: &str) -> Result<String, Error> {
    let name = text.to_ascii_lowercase();
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_good = (OPERATOR_NAME_MIN..=OPERATOR_NAME_MAX).contains(&name.len())
        && name.bytes().next().is_some_and(is_plain)
        && name.bytes().all(|byte| is_plain(byte) || b"._@-".contains(&byte));
    if is_good { Ok(name) } else { Err(Error::Name) }
}

/// A password that an operator may be given.
pub fn parse_password(text: &str) -> Result<Password, Error> {
    if !(OPERATOR_PASSWORD_MIN..=OPERATOR_PASSWORD_MAX).contains(&text.len()) {
        return Err(Error::Password);
    }
    Password::parse(text).map_err(|_| Error::Password)
}

pub fn list(ctx: &mut Ctx<'_>) -> Applied<Vec<Operator>, Never> {
    let found: Option<Operators> = record::read(ctx, KEY)?;
    Ok(found.unwrap_or_default().operators)
}

/// The operator of this name, unless it is disabled.
pub fn find(ctx: &mut Ctx<'_>, name: &str) -> Applied<Option<Operator>, Never> {
    Ok(list(ctx)?.into_iter().find(|operator| operator.name == name && !operator.is_disabled))
}

/// Whether the bearer may do what takes this role.
pub fn check(ctx: &mut Ctx<'_>, bearer: &Bearer, needed: Role) -> Applied<(), Error> {
    let role = match bearer {
        Bearer::Machine { role } => *role,
        Bearer::First => {
            let is_first = list(ctx).map_err(Stop::never)?.is_empty();
            return if is_first { Ok(()) } else { Err(Stop::Refused(Error::Dead)) };
        }
        Bearer::SignedIn { name, generation } => {
            let found = find(ctx, name).map_err(Stop::never)?;
            let found = found.filter(|operator| operator.generation == *generation);
            found.ok_or(Stop::Refused(Error::Dead))?.role()
        }
    };
    if role >= needed { Ok(()) } else { Err(Stop::Refused(Error::NotAllowed)) }
}

/// Changes the operators. The first one is an admin: nobody else could make the second.
pub fn edit(ctx: &mut Ctx<'_>, edit: &Edit) -> Applied<(), Error> {
    let now = ctx.now.wall.secs();
    let mut all = Operators { operators: list(ctx).map_err(Stop::never)? };
    let operators = &mut all.operators;
    let (Edit::Create { name, .. }
    | Edit::Change { name, .. }
    | Edit::Delete { name }
    | Edit::EndTokens { name }) = edit;
    let place = operators.binary_search_by(|operator| operator.name.as_str().cmp(name));
    let refuse = |error| Err(Stop::Refused(error));
    match (edit, place) {
        (Edit::Create { .. }, Ok(_)) => return refuse(Error::Exists),
        (Edit::Create { .. }, Err(_)) if operators.len() >= OPERATORS_MAX => {
            return refuse(Error::TooMany);
        }
        (Edit::Create { role, .. }, Err(_)) if operators.is_empty() && *role != Role::Admin => {
            return refuse(Error::NotFirst);
        }
        (Edit::Create { name, role, password }, Err(place)) => {
            // A name that was deleted and is made again must not revive its tokens.
            let mut generation = [0; 8];
            ctx.rng.fill(&mut generation);
            let generation = u64::from_le_bytes(generation);
            let operator = Operator {
                name: name.clone(),
                role: *role as u8,
                password: password.clone(),
                generation,
                is_disabled: false,
                create_time: now,
                update_time: now,
            };
            operators.insert(place, operator);
        }
        (_, Err(_)) => return refuse(Error::NotFound),
        (Edit::Change { role, password, is_disabled, .. }, Ok(place)) => {
            let operator = &mut operators[place];
            if let Some(role) = role {
                operator.role = *role as u8;
            }
            if let Some(password) = password {
                operator.password.clone_from(password);
            }
            operator.is_disabled = is_disabled.unwrap_or(operator.is_disabled);
            operator.generation = operator.generation.wrapping_add(1);
            operator.update_time = now;
        }
        (Edit::EndTokens { .. }, Ok(place)) => {
            operators[place].generation = operators[place].generation.wrapping_add(1);
        }
        (Edit::Delete { .. }, Ok(place)) => {
            operators.remove(place);
        }
    }
    if !operators.iter().any(Operator::is_acting_admin) {
        return refuse(Error::LastAdmin);
    }
    record::write(ctx, KEY, &all);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::world::World;

    fn create(name: &str, role: Role) -> Edit {
        Edit::Create { name: name.into(), role, password: "hash".into() }
    }

    fn change(name: &str, role: Option<Role>, is_disabled: Option<bool>) -> Edit {
        Edit::Change { name: name.into(), role, password: None, is_disabled }
    }

    fn refused<T>(error: Error) -> Applied<T, Error> {
        Err(Stop::Refused(error))
    }

    fn token(world: &mut World, name: &str) -> Bearer {
        let found = world.apply(|ctx| find(ctx, name)).expect("there").expect("there");
        Bearer::SignedIn { name: name.into(), generation: found.generation }
    }

    #[test]
    fn names_and_passwords_have_their_forms() {
        assert_eq!(parse_name("Ann.B@example-1"), Ok("ann.b@example-1".to_owned()));
        for wrong in ["an", "-ann", "a b c", "änn", "(machine)", &"x".repeat(65)] {
            assert_eq!(parse_name(wrong), Err(Error::Name), "{wrong}");
        }
        assert!(parse_password("twelve-bytes").is_ok() && parse_password(&"x".repeat(128)).is_ok());
        assert!(
            parse_password("eleven-byte").is_err() && parse_password(&"x".repeat(129)).is_err()
        );
    }

    #[test]
    fn the_first_operator_is_an_admin_and_one_stays() {
        let mut world = World::default();
        let mut run = |change: &Edit| world.apply(|ctx| edit(ctx, change));
        assert_eq!(run(&create("ann", Role::Viewer)), refused(Error::NotFirst));
        assert_eq!(run(&create("ann", Role::Admin)), Ok(()));
        assert_eq!(run(&create("ann", Role::Viewer)), refused(Error::Exists));
        assert_eq!(run(&create("ben", Role::Operator)), Ok(()));
        assert_eq!(run(&Edit::Delete { name: "ann".into() }), refused(Error::LastAdmin));
        assert_eq!(run(&change("ann", Some(Role::Viewer), None)), refused(Error::LastAdmin));
        assert_eq!(run(&change("ann", None, Some(true))), refused(Error::LastAdmin));
        assert_eq!(run(&change("ben", Some(Role::Admin), None)), Ok(()));
        assert_eq!(run(&Edit::Delete { name: "ann".into() }), Ok(()));
        assert_eq!(run(&Edit::Delete { name: "ann".into() }), refused(Error::NotFound));
    }

    #[test]
    fn roles_allow_what_those_below_them_allow() {
        let mut world = World::default();
        for (name, role) in [("adm", Role::Admin), ("opr", Role::Operator), ("vwr", Role::Viewer)] {
            world.apply(|ctx| edit(ctx, &create(name, role))).expect("it is created");
            let bearer = token(&mut world, name);
            for needed in Role::ALL {
                let may = if role >= needed { Ok(()) } else { refused(Error::NotAllowed) };
                assert_eq!(world.apply(|ctx| check(ctx, &bearer, needed)), may);
                let machine = Bearer::Machine { role };
                assert_eq!(world.apply(|ctx| check(ctx, &machine, needed)), may);
            }
        }
    }

    #[test]
    fn tokens_die_with_what_they_were_given_for() {
        let mut world = World::default();
        world.apply(|ctx| edit(ctx, &create("ann", Role::Admin))).expect("it is created");
        let first = world.apply(|ctx| check(ctx, &Bearer::First, Role::Admin));
        assert_eq!(first, refused(Error::Dead), "somebody is there already");
        for ending in [
            Edit::EndTokens { name: "ben".into() },
            change("ben", Some(Role::Viewer), None),
            change("ben", None, Some(true)),
            Edit::Delete { name: "ben".into() },
        ] {
            let _ = world.apply(|ctx| edit(ctx, &Edit::Delete { name: "ben".into() }));
            world.apply(|ctx| edit(ctx, &create("ben", Role::Admin))).expect("it is created");
            let bearer = token(&mut world, "ben");
            assert_eq!(world.apply(|ctx| check(ctx, &bearer, Role::Admin)), Ok(()));
            world.apply(|ctx| edit(ctx, &ending)).expect("it is changed");
            let after = world.apply(|ctx| check(ctx, &bearer, Role::Viewer));
            assert_eq!(after, refused(Error::Dead), "{ending:?}");
        }
    }

    #[test]
    fn there_is_a_most_of_operators() {
        let mut world = World::default();
        for number in 0..OPERATORS_MAX {
            let name = format!("operator-{number}");
            world.apply(|ctx| edit(ctx, &create(&name, Role::Admin))).expect("it is created");
        }
        let one_more = world.apply(|ctx| edit(ctx, &create("zed", Role::Viewer)));
        assert_eq!(one_more, refused(Error::TooMany));
    }
}
