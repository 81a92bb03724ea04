//! Who plays which role.

use super::definition::ROLES_MAX;

/// The roles that a player named, best first; none: any, all alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RoleList {
    /// Four bits for each.
    places: u64,
    count: u8,
    named: u16,
}

const _: () = assert!(ROLES_MAX == 16, "four bits for each of sixteen fill a number");

impl RoleList {
    /// Unless it is there already.
    pub(super) fn push(&mut self, role: usize) {
        if !self.has(role) {
            self.places |= (role as u64) << (4 * self.count);
            self.count += 1;
            self.named |= 1 << role;
        }
    }

    pub(super) fn is_empty(self) -> bool {
        self.count == 0
    }

    pub(super) fn has(self, role: usize) -> bool {
        self.named & 1 << role != 0
    }

    pub(super) fn place(self, role: usize) -> Option<u32> {
        let at = |place: &u32| self.places >> (4 * place) & 15 == role as u64;
        (0..u32::from(self.count)).find(at)
    }
}

/// The roles that a player takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) named: RoleList,
    /// Whether others are taken, too, after those.
    pub(super) autofill: bool,
}

impl Wish {
    /// What it costs to give the player this role; `None` if the player does not take it.
    fn cost(self, role: usize) -> Option<u32> {
        match self.named.place(role) {
            Some(place) => Some(place),
            None if self.named.is_empty() => Some(0),
            None => self.autofill.then_some(AUTOFILL_COST),
        }
    }

    pub(super) fn takes(self, role: usize) -> bool {
        self.named.is_empty() || self.autofill || self.named.has(role)
    }
}

/// More than any role that was named.
const AUTOFILL_COST: u32 = 64;
const _: () = assert!(AUTOFILL_COST as usize > ROLES_MAX);

/// Seats of roles that players are given one after another, so that as many as possible are.
#[derive(Clone, Debug)]
pub(super) struct Seats {
    /// Players of each role at most.
    capacity: [u8; ROLES_MAX],
    taken: [u8; ROLES_MAX],
    roles: usize,
}

impl Seats {
    /// `times` teams with these slots.
    pub(super) fn new(slots: impl Iterator<Item = usize>, times: usize) -> Seats {
        let mut seats = Seats { capacity: [0; ROLES_MAX], taken: [0; ROLES_MAX], roles: 0 };
        for slots in slots {
            seats.capacity[seats.roles] = u8::try_from(slots * times).unwrap_or(u8::MAX);
            seats.roles += 1;
        }
        seats
    }

    /// Gives the last of these players a seat; the others, whose roles are `given`, may have to
    /// change theirs. False, and nothing changed, if there is no way.
    pub(super) fn seat(&mut self, players: &[Wish], given: &mut Vec<u8>) -> bool {
        let mut visited = 0_u32;
        given.push(u8::MAX);
        let is_seated = self.augment(players, given, players.len() - 1, &mut visited);
        if !is_seated {
            given.pop();
        }
        is_seated
    }

    /// Kuhn's augmenting path.
    fn augment(
        &mut self,
        players: &[Wish],
        given: &mut [u8],
        player: usize,
        visited: &mut u32,
    ) -> bool {
        for role in 0..self.roles {
            if *visited & (1 << role) != 0 || !players[player].takes(role) {
                continue;
            }
            *visited |= 1 << role;
            if self.taken[role] < self.capacity[role] {
                self.taken[role] += 1;
                given[player] = narrow(role);
                return true;
            }
            for other in 0..given.len() {
                if other != player
                    && usize::from(given[other]) == role
                    && self.augment(players, given, other, visited)
                {
                    given[player] = narrow(role);
                    return true;
                }
            }
        }
        false
    }

    /// The last player goes.
    pub(super) fn unseat(&mut self, given: &mut Vec<u8>) {
        if let Some(role) = given.pop() {
            self.taken[usize::from(role)] -= 1;
        }
    }
}

fn narrow(role: usize) -> u8 {
    u8::try_from(role).expect("there are few roles")
}

/// Whether all of them can have roles in one team.
pub(super) fn can_seat(players: &[Wish], slots: &[usize]) -> bool {
    let mut seats = Seats::new(slots.iter().copied(), 1);
    let mut given = Vec::with_capacity(players.len());
    (1..=players.len()).all(|count| seats.seat(&players[..count], &mut given))
}

/// No role.
const NOBODY: u8 = u8::MAX;

/// Roles of a team, by player, so that the players like them best, and what that costs: for each,
/// how many others they would have liked more. `None` if somebody would be left without.
///
/// Successive shortest paths over players and roles (Bellman–Ford): least in sum.
pub(super) fn assign(players: &[Wish], slots: &[usize]) -> Option<(Vec<u8>, u32)> {
    let mut given = vec![NOBODY; players.len()];
    let mut taken = [0; ROLES_MAX];
    for newcomer in 0..players.len() {
        // What it costs to free a seat of each role, and by whom it is given up for which role.
        let mut best = [(i32::MAX, newcomer, NOBODY); ROLES_MAX];
        for (role, (best, ..)) in best[..slots.len()].iter_mut().enumerate() {
            *best = players[newcomer].cost(role).map_or(i32::MAX, u32::cast_signed);
        }
        let mut is_changing = true;
        while is_changing {
            is_changing = false;
            for (player, role) in given[..newcomer].iter().enumerate() {
                let (so_far, ..) = best[usize::from(*role)];
                if so_far == i32::MAX {
                    continue;
                }
                let wish = players[player];
                let own = wish.cost(usize::from(*role)).map_or(0, u32::cast_signed);
                for (other, best) in best[..slots.len()].iter_mut().enumerate() {
                    let Some(cost) = wish.cost(other) else { continue };
                    let cost = so_far - own + cost.cast_signed();
                    if other != usize::from(*role) && cost < best.0 {
                        *best = (cost, player, *role);
                        is_changing = true;
                    }
                }
            }
        }
        let free = (0..slots.len()).filter(|role| taken[*role] < slots[*role]);
        let free = free.map(|role| (best[role].0, role)).filter(|(cost, _)| *cost != i32::MAX);
        let (_, mut role) = free.min()?;
        taken[role] += 1;
        loop {
            let (_, player, from) = best[role];
            given[player] = narrow(role);
            if from == NOBODY {
                break;
            }
            role = usize::from(from);
        }
    }
    let cost = players.iter().zip(&given);
    let cost = cost.map(|(player, role)| player.cost(usize::from(*role)).unwrap_or(0)).sum();
    Some((given, cost))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every way to give roles, by brute force.
    fn cheapest(players: &[Wish], slots: &mut [usize]) -> Option<u32> {
        let Some((first, rest)) = players.split_first() else { return Some(0) };
        let mut best = None;
        for role in 0..slots.len() {
            let Some(cost) = first.cost(role).filter(|_| slots[role] > 0) else { continue };
            slots[role] -= 1;
            if let Some(others) = cheapest(rest, slots) {
                best = Some(best.map_or(cost + others, |best: u32| best.min(cost + others)));
            }
            slots[role] += 1;
        }
        best
    }

    proptest! {
        #[test]
        fn roles_are_given_as_cheaply_as_they_can_be(
            wishes in prop::collection::vec(
                (prop::collection::vec(0_u8..4, 0..4), any::<bool>()), 1..6),
            mut slots in prop::collection::vec(0_usize..3, 4),
        ) {
            let named: Vec<RoleList> = wishes.iter().map(|(named, _)| {
                let mut list = RoleList::default();
                named.iter().for_each(|role| list.push(usize::from(*role)));
                list
            }).collect();
            let players: Vec<_> = named.iter().zip(&wishes)
                .map(|(named, (_, autofill))| Wish { named: *named, autofill: *autofill })
                .collect();
            let found = assign(&players, &slots);
            if let Some((given, cost)) = &found {
                let mut left = slots.clone();
                let mut sum = 0;
                for (player, role) in players.iter().zip(given) {
                    left[usize::from(*role)] = left[usize::from(*role)].checked_sub(1)
                        .expect("a free seat");
                    sum += player.cost(usize::from(*role)).expect("a role that is taken");
                }
                prop_assert_eq!(sum, *cost);
            }
            prop_assert_eq!(found.map(|(_, cost)| cost), cheapest(&players, &mut slots));

            // Seats one after another: all are seated if and only if all can be.
            let is_seated = can_seat(&players, &slots);
            prop_assert_eq!(is_seated, cheapest(&players, &mut slots).is_some());
        }
    }
}
