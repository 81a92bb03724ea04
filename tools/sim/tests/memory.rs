//! Memory: what was loaded does not stay for ever.

use std::sync::Arc;

use api::ops::Operations;
use base::limits::CACHE_BYTES_MAX;
use base::{Instant, Now, Offset, ShardId, UnixTime};
use bytes::Bytes;
use shard::{Input, Output, Shard};
use sim::cluster::client::{device, device_with};
use sim::cluster::{ALIASES, Cluster, Options};

const A: ShardId = ShardId(0);

/// No batch of this shard tells it how far the snapshots are.
#[test]
fn what_was_loaded_can_be_evicted_when_snapshots_lag() {
    const LAGGING: Offset = Offset(9);
    let config = Cluster::new(Options { shards: 1, ..Options::default() }).config.clone();
    let mut shard = Shard::new(A, config, Arc::new(Operations::all()), [1; 32]);
    let now = Now { monotonic: Instant(1), wall: UnixTime::from_secs(1_700_000_000) };
    let large = Bytes::from(vec![0; 1024 * 1024]);
    // Answers loads; gives how many there were.
    let mut run = |input: Input| {
        let mut inputs = vec![input];
        let mut loads = 0;
        while let Some(input) = inputs.pop() {
            shard.handle(input, now);
            while let Some(output) = shard.poll_output() {
                match output {
                    Output::Load { table, key, .. } => {
                        loads += 1;
                        let is_other = table == ALIASES && *key != b"\x02device-0001"[..];
                        let value = is_other.then(|| large.clone());
                        let applied = Offset(10);
                        inputs.push(Input::Loaded { table, key, value, applied });
                    }
                    Output::Commit { batch, .. } => {
                        let (offset, applied) = (Offset(10), LAGGING);
                        inputs.push(Input::Durable { batch, offset, applied });
                    }
                    _ => {}
                }
            }
        }
        loads
    };
    let mut ask = |request| run(Input::Request { connection: 1, home: A, request });
    ask(device("device-0001"));
    let other = |n: usize| device_with("?create=false", &format!("device-{n:0>4}"));
    for n in 2..3 * CACHE_BYTES_MAX / large.len() {
        assert!(ask(other(n)) > 0);
    }
    assert!(ask(other(2)) > 0, "three times the limit was loaded: the oldest is not in memory");
}
