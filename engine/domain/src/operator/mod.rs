//! Operators: who runs the server, what they may do, and what they did.

pub mod account;
pub mod audit;
pub mod lockout;
pub mod queue;

/// What an operator may do: each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look.
    Viewer = 1,
    /// Steer: players, matches, whatever can be undone.
    Operator = 2,
    /// Everything: operators, and what cannot be undone.
    Admin = 3,
}

impl Role {
    pub const ALL: [Role; 3] = [Role::Viewer, Role::Operator, Role::Admin];

    pub fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }

    pub fn parse(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }

    pub(crate) fn of_number(number: u8) -> Option<Role> {
        Role::ALL.into_iter().find(|role| *role as u8 == number)
    }
}

/// Who calls, as a token that was verified says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bearer {
    /// Signed in with a password, when the operator's generation was this.
    SignedIn { name: String, generation: u64 },
    /// Has the data folder at hand: the token was made on the machine itself.
    Machine { role: Role },
    /// May make the first operator, and nothing else.
    First,
}

impl Bearer {
    /// The name in the audit trail. Operators' names have no parentheses.
    pub fn actor(&self) -> String {
        match self {
            Bearer::SignedIn { name, .. } => name.clone(),
            Bearer::Machine { role } => format!("(machine {})", role.name()),
            Bearer::First => "(first start)".to_owned(),
        }
    }
}
