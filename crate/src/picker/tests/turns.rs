//! Pieces that failed with several senders and come whole by turns.

use super::slow::{in_vain, one_left, one_piece, only};
use super::*;

#[test]
fn what_does_not_come_whole_in_time_comes_whole_from_another() {
    for (alone, all) in [(false, false), (false, true), (true, false)] {
        let mut picker = one_left();
        picker.piece_failed(PieceIndex(0), true);
        let drips = seed(&mut picker, 1, 0, 0);
        let other = seed(&mut picker, 2, 0, 0);
        let sent = pick(&mut picker, at(0), drips, 1);
        deliver(&mut picker, at(20_000), drips, &sent);
        let out = pick(&mut picker, at(20_000), drips, 9);
        assert_eq!(out.len(), 3);
        assert_eq!(picker.next_timeout(at(29_999)), at(30_000));
        assert_eq!(picker.end_turns(at(29_999)), []);
        assert_eq!(pick(&mut picker, at(29_999), other, 9), []);
        if alone {
            // No other peer would bring the piece now: this one goes on.
            picker.peer_status(other, PeerStatus::default());
            assert_eq!(picker.end_turns(at(60_000)), []);
            deliver(&mut picker, at(60_000), drips, &out);
            assert!(picker.is_complete());
            continue;
        }
        let owed: Vec<_> = out.iter().map(|block| (drips, *block)).collect();
        assert_eq!(picker.end_turns(at(30_000)), owed);
        assert_eq!(picker.take_dropped(), [PieceIndex(0)]);
        assert_eq!(
            pick(&mut picker, at(30_000), drips, 9),
            [],
            "it had its turn"
        );
        let whole = pick(&mut picker, at(30_000), other, 9);
        assert_eq!(whole.len(), 4);
        assert_eq!(picker.sources(PieceIndex(0)), []);
        // The peer goes on with the blocks that it brought itself, in time or late.
        let late = picker.received(at(30_100), drips, out[0]);
        assert_eq!(late, Received::Kept);
        let again = picker.received(at(30_200), drips, out[0]);
        assert_eq!(again, Received::Duplicate);
        if all {
            assert_eq!(picker.received(at(30_300), drips, out[1]), Received::Kept);
            let last = picker.received(at(30_300), drips, out[2]);
            assert_eq!(last, Received::Duplicate, "its turn ends with one");
            picker.end_turns(at(150_000));
            assert_eq!(pick(&mut picker, at(150_000), drips, 9), out[2..]);
            continue;
        }
        picker.received(at(40_000), other, whole[0]);
        assert_eq!(picker.end_turns(at(149_999)), [], "nobody does better");
        assert_eq!(picker.end_turns(at(150_000)).len(), 3);
        assert_eq!(pick(&mut picker, at(150_000), other, 9), []);
        assert_eq!(pick(&mut picker, at(150_000), drips, 9), out[1..]);
        let own = [(0, Some(drips)), (1, Some(drips))];
        assert_eq!(picker.sources(PieceIndex(0)), own);
        // A block that was forgotten meanwhile is asked for again.
        assert_eq!(picker.end_turns(at(270_000)).len(), 2);
        picker.forget_block(other, whole[0]);
        assert_eq!(pick(&mut picker, at(270_000), other, 9).len(), 4);
    }
}

#[test]
fn a_turn_ends_as_soon_as_another_has_shown_that_it_is_twice_as_fast() {
    // Two blocks in four seconds are 8,192 bytes a second.
    for (shown, price, ends) in [
        (16_000, 0, false),
        (17_000, 0, true),
        (1_000_000, 10, false),
        (0, 0, false),
    ] {
        let mut picker = one_left();
        picker.piece_failed(PieceIndex(0), true);
        let slow = seed(&mut picker, 1, price, 0);
        let other = seed(&mut picker, 2, 0, shown);
        let out = pick(&mut picker, at(0), slow, 9);
        deliver(&mut picker, at(3_000), slow, &out[..2]);
        assert_eq!(picker.end_turns(at(3_999)), []);
        assert_eq!(picker.end_turns(at(4_000)).is_empty(), !ends, "{shown}");
        if !ends && price == 0 {
            // The picker looks at the turn again and again while it lasts.
            let looks = [4_000, 8_000, 28_000, 30_000, 32_000].map(at);
            for (now, next) in looks.iter().zip(&looks[1..]) {
                let partial = picker.pieces.partial(PieceIndex(0)).unwrap();
                assert!(crate::picker::Picker::turn_ends_at(partial, *now) <= *next);
                assert!(crate::picker::Picker::turn_ends_at(partial, *now) > *now);
            }
            picker.peer_status(other, status(0, 100_000));
            assert_eq!(picker.end_turns(at(8_000)).len(), 2);
            // The blocks that it brought before count for no later turn.
            picker.peer_status(other, PeerStatus::default());
            assert_eq!(pick(&mut picker, at(8_000), slow, 9).len(), 2);
            seed(&mut picker, 3, 0, 100_000);
            assert_eq!(picker.end_turns(at(12_000)).len(), 2);
        }
    }
}

#[test]
fn who_showed_nothing_in_its_turn_ends_no_turn_of_others_by_what_it_showed_elsewhere() {
    let mut picker = Picker::new(20 * 64 * KIB, 64 * KIB as u32, [3; 32]);
    picker.piece_failed(PieceIndex(19), true);
    let stalls = seed(&mut picker, 1, 0, 1_000_000);
    let honest = seed(&mut picker, 2, 0, 0);
    let third = seed(&mut picker, 3, 0, 0);
    picker.peer_status(third, PeerStatus::default());
    assert_eq!(pick(&mut picker, at(0), stalls, 4).len(), 4);
    choked(&mut picker, at(100), stalls);
    picker.peer_status(stalls, status(0, 1_000_000));
    let out = pick(&mut picker, at(100), honest, 4);
    deliver(&mut picker, at(5_000), honest, &out[..1]);
    for now in [5_000, 30_100, 119_000].map(at) {
        assert_eq!(picker.end_turns(now), []);
    }
    // A peer that is not known yet has its turn in the meantime.
    picker.peer_status(third, status(0, 0));
    assert_eq!(picker.end_turns(at(119_000)).len(), 3);
    // A seller's turn ends for nobody.
    let mut picker = one_left();
    picker.piece_failed(PieceIndex(0), true);
    let sells = seed(&mut picker, 1, 10, 0);
    seed(&mut picker, 2, 0, 1_000_000);
    seed(&mut picker, 3, 0, 0);
    assert_eq!(pick(&mut picker, at(0), sells, 4).len(), 4);
    assert_eq!(picker.end_turns(at(600_000)), []);
}

#[test]
fn a_turn_that_brings_next_to_nothing_ends_for_whoever_is_next_after_two_minutes() {
    // Three blocks of four come, one every 40 seconds. Or the piece is far larger, and many more of its blocks come.
    for (slow, ends) in [(true, true), (false, false)] {
        let blocks = if slow { 4 } else { 256 };
        let mut picker = one_piece(blocks);
        picker.piece_failed(PieceIndex(0), true);
        let next = seed(&mut picker, 2, 0, 500);
        let drips = seed(&mut picker, 3, 0, 0);
        let out = pick(&mut picker, at(0), next, 1);
        deliver(&mut picker, at(0), next, &out);
        picker.timed_out(next);
        let out = pick(&mut picker, at(0), drips, 200);
        // The next peer showed little, and has the next turn all the same. Another peer comes that is not known.
        let fresh = seed(&mut picker, 9, 0, 0);
        let sent = if slow { 3 } else { 62 };
        for (block, turn) in (1..).zip(&out[..sent]) {
            let now = at(block * 119_000 / sent as u64);
            deliver(&mut picker, now, drips, &[*turn]);
            assert_eq!(picker.end_turns(now), []);
        }
        assert_eq!(picker.end_turns(at(119_999)), []);
        assert_eq!(picker.end_turns(at(120_000)).is_empty(), !ends);
        if ends {
            assert_eq!(pick(&mut picker, at(120_000), fresh, 9), []);
            assert_eq!(pick(&mut picker, at(120_000), next, 9).len(), 3);
            // The peer showed nothing in this turn, and the other one is not known.
            assert_eq!(picker.end_turns(at(150_000)).len(), 3);
            assert_eq!(pick(&mut picker, at(150_000), fresh, 9).len(), 4);
        }
    }
}

#[test]
fn who_is_needed_for_something_else_ends_no_turn_and_has_its_say_later() {
    for busy in [true, false] {
        let mut picker = Picker::new(20 * 64 * KIB, 64 * KIB as u32, [3; 32]);
        picker.piece_failed(PieceIndex(19), true);
        picker.set_wanted(only(19..20));
        let fast = seed(&mut picker, 1, 0, 1_000_000);
        let drips = seed(&mut picker, 2, 0, 0);
        let mut last = Bitfield::empty(20);
        last.insert(19);
        picker.peer_bitfield(drips, last);
        let read = |from: u32| Window {
            pieces: from..9,
            deadline: at(0),
            spacing: Duration::ZERO,
        };
        // The fast peer has no room for more.
        picker.set_windows(&[read(if busy { 1 } else { 8 })]);
        assert!(!pick(&mut picker, at(0), fast, 4).is_empty());
        assert_eq!(pick(&mut picker, at(0), drips, 4), []);
        assert_eq!(pick(&mut picker, at(4_000), drips, 4).len(), 4);
        assert_eq!(picker.end_turns(at(8_000)), [], "busy, or has no say");
        // The reader needs nothing more of the fast peer, or needs that piece first.
        picker.set_windows(&[Window {
            pieces: 19..20,
            ..read(0)
        }]);
        assert_eq!(picker.end_turns(at(12_000)).is_empty(), !busy);
    }
}

#[test]
fn who_ends_a_turn_of_another_takes_its_own_or_has_no_say_any_more() {
    for takes in [true, false] {
        let mut picker = one_left();
        picker.piece_failed(PieceIndex(0), true);
        let (slow, other) = (seed(&mut picker, 2, 0, 0), seed(&mut picker, 3, 0, 0));
        let out = pick(&mut picker, at(0), slow, 1);
        // The peer was fast for a moment.
        let fast = seed(&mut picker, 9, 0, 1_000_000);
        assert_eq!(picker.end_turns(at(4_000)).len(), out.len());
        // The fast peer goes before those that joined earlier.
        assert_eq!(pick(&mut picker, at(4_000), other, 9), []);
        if takes {
            let out = pick(&mut picker, at(4_000), fast, 9);
            assert_eq!(out.len(), 4);
            deliver(&mut picker, at(5_000), fast, &out[..3]);
            picker.timed_out(fast);
            // The fast peer may end turns again.
            assert_eq!(pick(&mut picker, at(5_000), other, 9).len(), 4);
            assert_eq!(picker.end_turns(at(9_000)).len(), 4);
            continue;
        }
        // The fast peer brings a block of another piece, and chokes.
        picker.received(at(4_100), fast, picker.block_ref(1, 0));
        choked(&mut picker, at(4_200), fast);
        assert_eq!(pick(&mut picker, at(4_200), other, 9).len(), 4);
        picker.peer_status(fast, status(0, 1_000_000));
        for now in [4_300, 8_300, 124_199].map(at) {
            assert_eq!(picker.end_turns(now), []);
        }
        assert_eq!(picker.end_turns(at(124_200)).len(), 4);
    }
}

#[test]
fn of_those_that_are_twice_as_fast_the_turn_ends_for_whose_is_next() {
    let mut picker = one_left();
    picker.piece_failed(PieceIndex(0), true);
    let slow = seed(&mut picker, 5, 0, 0);
    pick(&mut picker, at(0), slow, 9);
    let first = seed(&mut picker, 4, 0, 1_000_000);
    let second = seed(&mut picker, 3, 0, 2_000_000);
    assert_eq!(picker.end_turns(at(4_000)).len(), 4);
    assert_eq!(pick(&mut picker, at(4_000), second, 9), []);
    assert_eq!(pick(&mut picker, at(4_000), first, 9).len(), 4);
}

#[test]
fn of_what_is_kept_that_gives_way_which_nobody_goes_on_with() {
    let piece = PieceIndex(0);
    let mut picker = one_piece(256);
    picker.piece_failed(piece, true);
    let hoards = seed(&mut picker, 1, 0, 0);
    let slow = seed(&mut picker, 2, 0, 0);
    let turn = |picker: &mut Picker, from: u64, to: u64, conn, blocks: usize| {
        let out = pick(picker, at(from), conn, 256);
        deliver(picker, at(to), conn, &out[..blocks]);
        picker.timed_out(conn);
    };
    assert_eq!(picker.turns_left(piece, hoards), None);
    turn(&mut picker, 0, 2_000, hoards, 128);
    assert_eq!(picker.turns_left(piece, hoards), Some(1_000));
    // The peer chokes for good.
    picker.peer_status(hoards, PeerStatus::default());
    turn(&mut picker, 2_000, 34_000, slow, 64);
    assert_eq!(picker.turns_left(piece, slow), Some(3_000));
    assert_eq!(picker.turns_left(piece, hoards), Some(1_000));
    turn(&mut picker, 34_000, 66_000, slow, 32);
    assert_eq!(picker.turns_left(piece, slow), Some(5_000));
    assert_eq!(picker.turns_left(piece, hoards), Some(1_000));
    turn(&mut picker, 66_000, 98_000, slow, 32);
    assert_eq!(picker.turns_left(piece, slow), Some(4_000));
    assert_eq!(picker.turns_left(piece, hoards), None, "it missed two");
    // A turn in which only blocks of other pieces came brought nothing.
    turn(&mut picker, 98_000, 102_000, slow, 0);
    assert_eq!(picker.turns_left(piece, slow), None);
    turn(&mut picker, 102_000, 106_000, slow, 64);
    assert_eq!(picker.turns_left(piece, slow), Some(1_000));
    picker.peer_gone(slow);
    assert_eq!(picker.turns_left(piece, slow), None);
}

#[test]
fn who_is_not_there_goes_on_with_nothing_though_all_turns_end_for_the_sake_of_others() {
    let piece = PieceIndex(0);
    let mut picker = one_piece(256);
    picker.piece_failed(piece, true);
    let hoards = seed(&mut picker, 1, 0, 0);
    let slow = seed(&mut picker, 2, 0, 50_000);
    let out = pick(&mut picker, at(0), hoards, 256);
    deliver(&mut picker, at(1_000), hoards, &out[..255]);
    picker.timed_out(hoards);
    choked(&mut picker, at(1_000), hoards);
    picker.peer_status(hoards, PeerStatus::default());
    let mut now = 1_000;
    for round in 0..3 {
        let out = pick(&mut picker, at(now), slow, 256);
        assert!(!out.is_empty());
        deliver(&mut picker, at(now + 29_000), slow, &out[..16]);
        // A peer comes that is not known, and sends nothing: the slow peer has the next turn again.
        let new = seed(&mut picker, 10 + round, 0, 0);
        assert!(!picker.end_turns(at(now + 30_000)).is_empty());
        assert_eq!(pick(&mut picker, at(now + 30_000), slow, 9), []);
        assert_eq!(pick(&mut picker, at(now + 30_000), new, 9).len(), 9);
        assert_eq!(picker.end_turns(at(now + 34_000)).len(), 9);
        assert_eq!(pick(&mut picker, at(now + 34_000), new, 9), []);
        now += 34_000;
        let goes_on = round == 0;
        assert_eq!(picker.turns_left(piece, hoards).is_some(), goes_on);
        let left = (256 - 16 * (round + 1)) * 1_000 / 16;
        assert_eq!(picker.turns_left(piece, slow), Some(left));
        picker.peer_gone(new);
    }
}

#[test]
fn a_piece_for_which_there_is_no_room_waits_for_nobody_for_ever() {
    // There is room for two begun pieces. One that waits for no request could make room for a third.
    let mut picker = Picker::new(20 * 64 * KIB, 64 * KIB as u32, [3; 32]);
    picker.set_partial_budget(2 * 64 * KIB);
    picker.set_wanted(only(0..0));
    picker.piece_failed(PieceIndex(19), true);
    let sits = seed(&mut picker, 1, 0, 0);
    let other = seed(&mut picker, 2, 0, 0);
    for piece in 0..3 {
        picker.set_windows(&[Window {
            pieces: piece..piece + 1,
            deadline: at(0),
            spacing: Duration::ZERO,
        }]);
        let out = pick(&mut picker, at(0), other, 4);
        deliver(&mut picker, at(0), other, &out[..1]);
        picker.timed_out(other);
    }
    picker.set_windows(&[Window {
        pieces: 19..20,
        deadline: at(0),
        spacing: Duration::ZERO,
    }]);
    assert_eq!(pick(&mut picker, at(0), other, 4), []);
    assert!(picker.next_timeout(at(0)) <= at(4_000));
    assert_eq!(pick(&mut picker, at(4_000), other, 4).len(), 4);
    assert_eq!(picker.take_dropped().len(), 1);
    // The awaited peer could not have begun the piece, so turns may end for its sake.
    picker.peer_status(sits, status(0, 1_000_000));
    assert_eq!(picker.end_turns(at(8_000)).len(), 4);
}

#[test]
fn a_peer_that_has_nobody_before_it_begins_no_wait_of_others_anew() {
    // The first peer has no room or lacks the piece, and the picker asks it at each look.
    for lacks in [false, true] {
        let mut picker = one_left();
        picker.piece_failed(PieceIndex(0), true);
        let first = seed(&mut picker, 1, 0, 0);
        if lacks {
            picker.peer_bitfield(first, Bitfield::empty(2));
        }
        let sits = seed(&mut picker, 2, 0, 0);
        let other = seed(&mut picker, 3, 0, 0);
        let mut began = None;
        for tenth in 0..100 {
            let now = tenth * 100;
            assert_eq!(pick(&mut picker, at(now), first, 0), []);
            if lacks {
                assert_eq!(pick(&mut picker, at(now), first, 9), []);
            }
            if !pick(&mut picker, at(now), other, 9).is_empty() {
                began = Some(now);
                break;
            }
        }
        assert_eq!(began, Some(if lacks { 4_000 } else { 8_000 }));
        assert_eq!(picker.missed(PieceIndex(0), sits), 1);
        assert_eq!(picker.missed(PieceIndex(0), other), 0);
        picker.peer_gone(other);
        assert_eq!(picker.missed(PieceIndex(0), other), u32::MAX);
    }
}

#[test]
fn who_goes_away_while_it_is_waited_for_missed_its_turn_and_nobody_else_did() {
    let piece = PieceIndex(0);
    let mut picker = one_left();
    picker.piece_failed(piece, true);
    let [comes, goes, honest, other] = [1, 2, 3, 4].map(|id| seed(&mut picker, id, 0, 0));
    picker.peer_status(comes, PeerStatus::default());
    assert_eq!(pick(&mut picker, at(0), other, 9), []);
    // One peer goes, and one comes whose turn is before all others.
    picker.peer_status(goes, PeerStatus::default());
    picker.peer_status(comes, status(0, 0));
    assert_eq!(pick(&mut picker, at(3_900), other, 9), []);
    assert_eq!(picker.missed(piece, goes), 1);
    picker.peer_status(comes, PeerStatus::default());
    assert_eq!(pick(&mut picker, at(4_000), other, 9), []);
    assert_eq!(picker.missed(piece, comes), 1);
    // The piece waits for the next peer as long as for any.
    picker.peer_status(comes, status(0, 0));
    picker.peer_status(goes, status(0, 0));
    assert_eq!(pick(&mut picker, at(7_999), other, 9), []);
    assert_eq!(picker.missed(piece, honest), 0);
    assert_eq!(pick(&mut picker, at(8_000), other, 9).len(), 4);
    assert_eq!(picker.missed(piece, honest), 1);
}

#[test]
fn who_does_not_take_its_turn_goes_on_with_nothing() {
    let piece = PieceIndex(0);
    let mut picker = one_piece(256);
    picker.piece_failed(piece, true);
    let hoards = seed(&mut picker, 1, 0, 0);
    let slow = seed(&mut picker, 2, 0, 0);
    let out = pick(&mut picker, at(0), hoards, 256);
    deliver(&mut picker, at(1_000), hoards, &out[..255]);
    picker.timed_out(hoards);
    assert_eq!(picker.turns_left(piece, hoards), Some(3));
    for round in 0..3 {
        // The first peer never has room, and the piece waits for it when its turn comes.
        let now = 1_000 + round * 40_000;
        let waits = round > 0;
        assert_eq!(pick(&mut picker, at(now), slow, 9).is_empty(), waits);
        let out = pick(&mut picker, at(now + 4_000), slow, 256 - 9);
        assert!(!out.is_empty());
        deliver(&mut picker, at(now + 34_000), slow, &out[..16]);
        picker.timed_out(slow);
        let goes_on = round < 2;
        assert_eq!(picker.turns_left(piece, hoards).is_some(), goes_on);
    }
    assert_eq!(picker.turns_left(piece, slow), Some(208 * 1_000 / 16));
    // The wait for the first peer does not keep a turn from ending for the sake of a third one.
    let third = seed(&mut picker, 3, 0, 1_000_000);
    assert_eq!(pick(&mut picker, at(121_000), slow, 9), []);
    choked(&mut picker, at(124_000), hoards);
    assert_eq!(pick(&mut picker, at(125_000), slow, 9).len(), 9);
    assert_eq!(picker.end_turns(at(129_000)).len(), 9);
    assert_eq!(pick(&mut picker, at(129_000), third, 9).len(), 9);
}

#[test]
fn each_peer_has_its_turn_for_a_piece_that_is_to_come_whole() {
    let mut picker = one_left();
    picker.piece_failed(PieceIndex(0), true);
    let peers = [1, 2, 3].map(|id| seed(&mut picker, id, 0, 0));
    for turn in 0..7 {
        let now = at(turn as u64 * 100_000);
        for waits in 1..3 {
            assert_eq!(pick(&mut picker, now, peers[(turn + waits) % 3], 9), []);
        }
        assert_eq!(pick(&mut picker, now, peers[turn % 3], 9).len(), 4);
        // The peer sends nothing.
        picker.timed_out(peers[turn % 3]);
    }
}

#[test]
fn a_piece_that_is_to_come_whole_waits_a_moment_only_for_who_had_no_turn() {
    let mut picker = one_left();
    picker.piece_failed(PieceIndex(0), true);
    let had = seed(&mut picker, 1, 0, 0);
    let other = seed(&mut picker, 2, 0, 0);
    assert_eq!(pick(&mut picker, at(0), had, 9).len(), 4);
    picker.timed_out(had);
    assert_eq!(pick(&mut picker, at(100), had, 9), []);
    assert_eq!(picker.next_timeout(at(100)), at(4_100));
    assert_eq!(pick(&mut picker, at(4_100), had, 9).len(), 4);
    // The piece does not wait for a peer that was waited for in vain, either.
    picker.timed_out(had);
    picker.peer_status(other, in_vain(0));
    assert_eq!(pick(&mut picker, at(5_000), had, 9).len(), 4);
}

#[test]
fn what_is_not_here_as_a_turn_begins_is_asked_for_again() {
    let mut picker = one_left();
    picker.piece_failed(PieceIndex(0), true);
    let slow = seed(&mut picker, 1, 0, 0);
    let out = pick(&mut picker, at(0), slow, 9);
    deliver(&mut picker, at(1_000), slow, &out[1..3]);
    picker.timed_out(slow);
    picker.forget_block(slow, out[1]);
    assert_eq!(pick(&mut picker, at(2_000), slow, 1), out[..1]);
    assert_eq!(picker.sources(PieceIndex(0)), [(2, Some(slow))]);
    let rest = pick(&mut picker, at(2_000), slow, 9);
    assert_eq!(rest, [out[1], out[3]]);
    deliver(&mut picker, at(3_000), slow, &[out[0], out[1], out[3]]);
    assert!(picker.is_complete());
}

#[test]
fn who_does_not_take_its_turn_is_waited_for_once_in_a_round() {
    let mut picker = one_left();
    picker.piece_failed(PieceIndex(0), true);
    // The first one never has room.
    let [_, low, high] = [1, 2, 3].map(|id| seed(&mut picker, id, 0, 0));
    for (from, peer) in [(0, low), (10_000, high), (20_000, low), (30_000, high)] {
        let other = if peer == low { high } else { low };
        assert_eq!(pick(&mut picker, at(from), other, 9), []);
        if from % 20_000 == 0 {
            assert_eq!(pick(&mut picker, at(from + 3_999), peer, 9), []);
            assert_eq!(pick(&mut picker, at(from + 3_999), other, 9), []);
        }
        assert_eq!(pick(&mut picker, at(from + 4_000), peer, 9).len(), 4);
        picker.timed_out(peer);
    }
}

#[test]
fn what_a_peer_was_asked_for_before_comes_before_its_turn() {
    for honest in [true, false] {
        let mut picker = Picker::new(20 * 64 * KIB, 64 * KIB as u32, [3; 32]);
        let busy = seed(&mut picker, 1, 0, 0);
        let ahead = pick(&mut picker, at(0), busy, 8);
        picker.piece_failed(PieceIndex(19), true);
        assert_eq!(pieces_of(&pick(&mut picker, at(0), busy, 4)), [19].into());
        seed(&mut picker, 2, 0, 30_000);
        // The peer sends 16 KiB a second, and first the blocks that it was asked for before.
        for (second, block) in (1..).zip(ahead) {
            deliver(&mut picker, at(second * 1_000), busy, &[block]);
            assert_eq!(picker.end_turns(at(second * 1_000)), []);
        }
        // Blocks that the peer was asked for later count for no turn.
        let later = pick(&mut picker, at(8_000), busy, 8);
        let turn = picker.pieces.partial(PieceIndex(19)).unwrap().askers();
        let turn: Vec<_> = turn.map(|(_, index)| picker.block_ref(19, index)).collect();
        let next = if honest { &turn } else { &later };
        deliver(&mut picker, at(9_000), busy, &next[..1]);
        deliver(&mut picker, at(10_000), busy, &next[1..2]);
        assert_eq!(picker.end_turns(at(10_000)).is_empty(), honest);
    }
}

#[test]
fn what_a_peer_asks_has_no_say_in_whose_turn_it_is() {
    let mut picker = one_left();
    let free = seed(&mut picker, 1, 0, 0);
    let sells = seed(&mut picker, 2, 10, 1_000_000);
    picker.piece_failed(PieceIndex(0), true);
    let out = pick(&mut picker, at(0), free, 9);
    assert_eq!(out.len(), 4);
    assert_eq!(pick(&mut picker, at(0), sells, 9), []);
    // The free peer sends a block and chokes.
    deliver(&mut picker, at(100), free, &out[..1]);
    choked(&mut picker, at(100), free);
    assert_eq!(pick(&mut picker, at(4_099), sells, 9), []);
    picker.peer_status(free, status(0, 1_000_000));
    assert_eq!(picker.next_timeout(at(4_099)), at(4_100));
    // The pick that ends the other's turn gives the seller the whole piece.
    assert_eq!(pick(&mut picker, at(4_100), sells, 9).len(), 4);
    assert_eq!(picker.take_dropped(), [PieceIndex(0)]);
    assert_eq!(pick(&mut picker, at(4_100), free, 9), []);
    // The piece waits for no seller that was waited for in vain: the picker expects nothing of it.
    picker.timed_out(sells);
    picker.peer_status(sells, in_vain(10));
    assert_eq!(pick(&mut picker, at(4_200), sells, 9), []);
    assert_eq!(pick(&mut picker, at(4_200), free, 9), out[1..]);
}

#[test]
fn a_slow_peer_goes_on_where_it_was_though_others_come_again_and_again() {
    let mut picker = one_left();
    picker.piece_failed(PieceIndex(0), true);
    let slow = seed(&mut picker, 1, 0, 0);
    let mut came = 10;
    for turn in 0..4 {
        let now = at(turn * 100_000);
        let sent = pick(&mut picker, now, slow, 9);
        assert_eq!(sent.len(), 4 - turn as usize);
        // A peer that comes meanwhile has its turn after this one. Those that come later have theirs after the next.
        let new = seed(&mut picker, came, 0, 0);
        deliver(&mut picker, now, slow, &sent[..1]);
        if turn == 3 {
            break;
        }
        let ends = at(turn * 100_000 + 30_000);
        assert_eq!(picker.end_turns(ends).len(), 3 - turn as usize);
        assert_eq!(pick(&mut picker, ends, slow, 9), []);
        assert_eq!(pick(&mut picker, ends, new, 9).len(), 4);
        came += 1;
        let newer = seed(&mut picker, came, 0, 0);
        picker.peer_gone(new);
        assert_eq!(pick(&mut picker, ends, newer, 9), []);
        came += 1;
        picker.peer_gone(newer);
    }
    assert!(picker.is_complete());
}

#[test]
fn what_each_brought_of_a_piece_that_failed_is_not_asked_of_it_again() {
    let mut picker = one_left();
    let sellers = [1, 2].map(|id| seed(&mut picker, id, 10, 1_000_000));
    let free = seed(&mut picker, 3, 0, 0);
    let wrong = pick(&mut picker, at(0), free, 1);
    picker.peer_status(free, PeerStatus::default());
    deliver(&mut picker, at(0), free, &wrong);
    let rest = pick(&mut picker, at(4_000), sellers[0], 9);
    assert_eq!(rest.len(), 3);
    rest.iter().for_each(|block| {
        picker.received(at(4_000), sellers[0], *block);
    });
    picker.piece_failed(PieceIndex(0), true);
    picker.peer_gone(sellers[1]);
    assert_eq!(pick(&mut picker, at(5_000), sellers[0], 9), wrong);
    assert_eq!(picker.sources(PieceIndex(0)).len(), 3);
    let Received::Wanted { piece_complete, .. } = picker.received(at(5_100), sellers[0], wrong[0])
    else {
        panic!("it is asked for");
    };
    assert!(piece_complete);
    // While the edge hashes the piece, nobody's patience ends the turn.
    assert_eq!(pick(&mut picker, at(60_000), free, 9), []);
    picker.peer_status(free, status(0, 1_000_000));
    assert_eq!(picker.end_turns(at(60_000)), []);
    assert_eq!(pick(&mut picker, at(60_000), free, 9), []);
    assert_eq!(picker.take_dropped(), []);
}

#[test]
fn a_piece_that_failed_comes_before_others_that_are_new() {
    let mut picker = Picker::new(20 * 64 * KIB, 64 * KIB as u32, [3; 32]);
    let had = seed(&mut picker, 1, 0, 0);
    let other = seed(&mut picker, 2, 0, 0);
    picker.piece_failed(PieceIndex(7), true);
    assert_eq!(pieces_of(&pick(&mut picker, at(0), had, 4)), [7].into());
    picker.timed_out(had);
    assert_eq!(pieces_of(&pick(&mut picker, at(1), other, 4)), [7].into());
    // The failed piece comes before begun ones, too.
    picker.timed_out(other);
    picker.have(PieceIndex(7));
    let begun = pick(&mut picker, at(2), had, 1)[0];
    assert_eq!(pick(&mut picker, at(2), other, 1)[0].piece, begun.piece);
    picker.piece_failed(PieceIndex(8), true);
    assert_eq!(pieces_of(&pick(&mut picker, at(3), had, 4)), [8].into());
    // The peer whose turn it is goes on with the piece before all others.
    picker.timed_out(had);
    assert_eq!(pieces_of(&pick(&mut picker, at(4), other, 1)), [8].into());
    assert!(!pieces_of(&pick(&mut picker, at(4), had, 8)).contains(&8));
    assert_eq!(pieces_of(&pick(&mut picker, at(4), other, 3)), [8].into());
}

#[test]
fn a_turn_of_which_nothing_comes_leaves_the_piece_to_come_whole() {
    let mut picker = one_left();
    picker.piece_failed(PieceIndex(0), true);
    let first = seed(&mut picker, 1, 0, 0);
    let other = seed(&mut picker, 2, 0, 0);
    let out = pick(&mut picker, at(0), first, 9);
    choked(&mut picker, at(10), first);
    assert_eq!(picker.received(at(15), first, out[0]), Received::Kept);
    assert_eq!(pick(&mut picker, at(20), other, 9).len(), 4);
    assert_eq!(picker.received(at(30), first, out[0]), Received::Duplicate);
}
