//! The STUN and TURN servers that trackers name.

use super::*;

/// A reply that names this TURN server, under a user name with that number.
fn naming(user: u64, ttl_secs: u64) -> Response<'static> {
    Response::Announce(AnnounceReply {
        info_hash: protocol::InfoHash(HASH.0),
        interval_secs: Some(120),
        min_interval_secs: None,
        complete: Some(1),
        incomplete: Some(2),
        warning: None,
        ice: Some(protocol::IceServers {
            servers: vec![IceServer {
                urls: vec!["turn:turn.example".to_owned()],
                username: user.to_string(),
                credential: "secret".to_owned(),
            }],
            ttl_secs,
        }),
    })
}

/// The user names of each list that the edge was given.
fn given(actions: &[SignalingAction]) -> Vec<Vec<String>> {
    let lists = actions.iter().filter_map(|action| match action {
        SignalingAction::UseIceServers { servers } => Some(servers),
        _ => None,
    });
    lists
        .map(|servers| {
            servers
                .iter()
                .map(|server| server.username.clone())
                .collect()
        })
        .collect()
}

/// At a tracker whose servers are used.
fn listening() -> (Rig, TrackerId) {
    let (mut rig, id) = Rig::announced(2);
    rig.signaling.config.ice_trackers = vec!["ws://a.example/".to_owned()];
    (rig, id)
}

#[test]
fn servers_of_a_configured_tracker_are_used_until_their_time_is_over() {
    let (mut rig, id) = listening();
    rig.run();
    rig.say(id, naming(1, 1000));
    assert_eq!(given(&rig.run()), [["1"]]);
    // Others take their place before their end.
    rig.advance(Duration::from_secs(10));
    rig.run();
    rig.say(id, naming(2, 1000));
    assert_eq!(given(&rig.run()), [["2"]]);
    let mut passed = Duration::ZERO;
    let mut lists = Vec::new();
    while passed < Duration::from_secs(1000) && lists.is_empty() {
        let before = rig.now;
        rig.advance(Duration::from_secs(5));
        passed += rig.now.since(before);
        lists = given(&rig.run());
    }
    assert_eq!(lists, [Vec::<String>::new()]);
    // A tenth of their time is left for a connection that begins.
    assert_eq!(passed.as_secs(), 900);
}

#[test]
fn servers_of_other_trackers_are_passed_over() {
    for configured in [
        &[][..],
        &["ws://b.example/", "udp://a.example", "a.example"],
    ] {
        let (mut rig, id) = Rig::announced(2);
        rig.signaling.config.ice_trackers =
            configured.iter().map(|url| (*url).to_owned()).collect();
        rig.run();
        rig.say(id, naming(1, 1000));
        assert!(given(&rig.run()).is_empty());
    }
}

#[test]
fn the_edge_is_given_no_more_servers_than_the_bound_however_many_trackers_name_some() {
    let mut rig = Rig::new();
    let urls: Vec<String> = (0..12).map(|n| format!("ws://t{n}.example/")).collect();
    rig.signaling.config.ice_trackers = urls.clone();
    let mut most = 0;
    for (n, url) in urls.iter().enumerate() {
        let id = rig.signaling.add_tracker(url).unwrap();
        rig.signaling.announce_start(rig.now, HASH, &[id]).unwrap();
        rig.signaling.tracker_connected(rig.now, id);
        rig.run();
        rig.say(id, naming(n as u64, 1000));
        most = given(&rig.run())
            .iter()
            .map(Vec::len)
            .fold(most, usize::max);
    }
    assert_eq!(most, MAX_LEARNED_SERVERS);
}

#[test]
fn offers_that_were_made_before_the_first_servers_give_way_to_others() {
    let (mut rig, id) = listening();
    let made = created(&rig.run());
    assert_eq!(made, 2);
    rig.say(id, naming(1, 1000));
    let first = rig.run();
    // Those that a tracker passed on may still be answered, for a while.
    let is_drop = |a: &&SignalingAction| matches!(a, SignalingAction::DropConnection { .. });
    assert_eq!(first.iter().filter(is_drop).count(), 0);
    let mut later = Vec::new();
    for _ in 0..8 {
        rig.advance(Duration::from_secs(5));
        later.extend(rig.run());
    }
    assert_eq!(later.iter().filter(is_drop).count(), 2);
    assert_eq!(created(&later), 2);
    let offered: Vec<usize> = announces(&later)
        .iter()
        .map(|(_, offers)| offers.len())
        .collect();
    let most = offered.iter().max();
    assert_eq!(most, Some(&2));
    // Later credentials are no reason to make others.
    rig.say(id, naming(2, 1000));
    let last = rig.run();
    assert_eq!(last.iter().filter(is_drop).count(), 0);
}
