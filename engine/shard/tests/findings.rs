//! What a review found and nobody has mended yet: each test says how it should be, and fails.

mod cluster;

use base::ShardId;
use base::limits::SESSION_QUEUE_MAX;
use cluster::client::device_named;
use cluster::{Cluster, Options};

const A: ShardId = ShardId(0);

/// session.rs `end_session_task`: replies that wait for a disk are counted against the whole shard,
/// so that one session can have everybody else refused with code 8.
#[test]
fn a_session_whose_replies_wait_for_the_disk_is_read_no_further() {
    let mut cluster = Cluster::new(Options { shards: 1, ..Options::default() });
    let alice = cluster.sign_in(A, "device-0001");
    let socket = cluster.open(A, A, &alice.token);
    cluster.halted.disk = true;
    let creator = cluster.connect(A);
    cluster.send(creator, device_named("device-0002", "bob"));
    cluster.settle();
    for _ in 0..100 * SESSION_QUEUE_MAX {
        cluster.say(socket, "{\"status_follow\":{\"usernames\":[\"bob\"]}}");
    }
    cluster.settle();
    assert_eq!(cluster.texts(socket), [""; 0]);
    assert!(cluster.is_paused(socket), "6400 replies wait");
}
