//! Rate limits: what an address, and what a user, may ask for.

use std::time::Duration;

use base::{ClientAddress, ShardId};
use shard::{Limit, Limits, Rates};
use sim::cluster::client::{account, device, text_of};
use sim::cluster::{Cluster, Options};

const A: ShardId = ShardId(0);
const B: ShardId = ShardId(1);

fn cluster(address: Limits, user: Limits) -> Cluster {
    Cluster::new(Options { rates: Rates { address, user }, ..Options::default() })
}

fn two_a_second(burst: u32) -> Option<Limit> {
    Some(Limit { per_sec: 2, burst })
}

#[test]
fn an_address_signs_in_so_often_and_others_are_not_held_up() {
    let sign = two_a_second(3);
    let mut cluster = cluster(Limits { sign, ..Limits::default() }, Limits::default());
    let from = |number: u8, id: &str| {
        let mut request = device(id);
        request.client = Some(ClientAddress([number; 16]));
        request
    };
    for n in 0..3 {
        assert_eq!(cluster.call(A, from(1, &format!("device-000{n}"))).0, 200);
    }
    let (status, body) = cluster.call(A, from(1, "device-0003"));
    assert_eq!((status, text_of(&body, "message").is_some()), (429, true), "{body}");
    assert!(body.contains("\"code\":8") && body.contains("try again in"), "{body}");
    assert_eq!(cluster.call(A, from(2, "device-0003")).0, 200, "another address");
    assert_eq!(cluster.call(A, device("device-0004")).0, 200, "an address that tells nothing");
    cluster.advance(Duration::from_millis(500));
    assert_eq!(cluster.call(A, from(1, "device-0005")).0, 200);
    assert_eq!(cluster.call(A, from(1, "device-0006")).0, 429);
}

#[test]
fn a_user_is_counted_over_all_their_connections_of_a_core_and_sockets_too() {
    let (read, write) = (two_a_second(2), two_a_second(1));
    let mut cluster = cluster(Limits::default(), Limits { read, write, ..Limits::default() });
    let alice = cluster.sign_in(A, "device-0001");
    let bob = cluster.sign_in(A, "device-0002");
    assert_eq!(cluster.call(B, account(&alice.token)).0, 200);
    assert_eq!(cluster.call(B, account(&alice.token)).0, 200);
    assert_eq!(cluster.call(B, account(&alice.token)).0, 429);
    assert_eq!(cluster.call(B, account(&bob.token)).0, 200);

    let socket = cluster.open(A, A, &alice.token);
    let create = "{\"cid\":\"1\",\"match_create\":{}}";
    assert!(cluster.tell(socket, create).iter().any(|text| text.contains("match_id")));
    let refused = cluster.ask(socket, create);
    assert!(refused.contains("\"cid\":\"1\"") && refused.contains("try again"), "{refused}");
    let ping = cluster.ask(socket, "{\"cid\":\"2\",\"ping\":{}}");
    assert!(ping.contains("pong"), "a ping is free: {ping}");
    cluster.advance(Duration::from_millis(500));
    assert!(cluster.tell(socket, create).iter().any(|text| text.contains("match_id")));
}
