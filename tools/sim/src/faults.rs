//! What was done to a cluster, counted.

use std::fmt;
use std::ops::AddAssign;

macro_rules! counters {
    ($($name:ident: $words:literal,)*) => {
        /// How often each thing happened.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Faults {
            $(pub $name: u64,)*
        }

        impl AddAssign for Faults {
            fn add_assign(&mut self, other: Faults) {
                $(self.$name += other.$name;)*
            }
        }

        impl fmt::Display for Faults {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(writeln!(f, "{:>12} {}", self.$name, $words)?;)*
                Ok(())
            }
        }
    };
}

counters! {
    events: "events",
    crashes: "crashes",
    failed_commits: "of them inside a write of the log",
    failed_checkpoints: "of them behind the log",
    failed_syncs: "of them by a failed sync",
    failed_starts: "starts cut short by another crash",
    lost_writes: "unsynced writes lost",
    torn_writes: "unsynced writes torn",
    lost_names: "names of files lost, or back again",
    evictions: "evictions of all that can go",
    stale_loads: "loads answered from a snapshot too old",
    halted_disks: "disks that stood still",
    halted_states: "states that fell behind",
    refused_writes: "disks that took no more writes",
    halted_loads: "readers that stood still",
    halted_helpers: "passwords and providers that stood still",
    halted_announcements: "announcements held up",
    halted_links: "links between shards held up",
    lost_connections: "clients vanished",
    muted_clients: "clients that stopped answering pings",
    clock_jumps: "jumps of the wall clock",
    frozen_moments: "moments in which the process did not get to run",
    asked_players: "players asked to accept a match of a queue",
    declined_matches: "of them declined, or took their tickets back",
    rejoined_players: "players who wait again after that",
    left_players: "players whom a queue let go",
    queue_matches: "matches of queues",
    party_matches: "of them with parties",
}
