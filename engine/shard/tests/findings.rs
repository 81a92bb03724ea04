//! What a review found and nobody has mended yet: each test says how it should be, and fails.

mod cluster;

use base::ShardId;
use base::limits::SESSION_QUEUE_MAX;
use cluster::client::{account, device_named, handshake};
use cluster::{Cluster, Options};
use shard::{Hooks, Stage, Verdict};

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

/// identity.rs `ask_handshake`: `handshakes` is filled only after the before-hook, so that a peer
/// who leaves while the hook looks is not known to be gone, and is online until the pong deadline.
#[test]
fn a_client_that_leaves_during_the_hook_of_its_handshake_leaves_no_session() {
    let hooks = Hooks { before: ["socket_open".to_owned()].into(), ..Hooks::default() };
    let mut cluster = Cluster::new(Options { hooks, ..Options::default() });
    let alice = cluster.sign_in(A, "device-0001");
    let socket = cluster.connect(A);
    cluster.send(socket, handshake(&format!("token={}&status=true", alice.token)));
    cluster.settle();
    cluster.disconnect(socket);
    cluster.settle();
    let (shard, call) = cluster.hooks.pop_front().expect("a hook");
    let Stage::Before { request } = call.stage else { panic!("{call:?}") };
    cluster.answer_hook(shard, call.call, Verdict::Continue(request));
    let (_, body) = cluster.call(A, account(&alice.token));
    assert!(!body.contains("online"), "{body}");
    assert!(cluster.is_quiet());
}
