//! Who keeps a piece from others by sending little of it.

use super::*;

fn in_vain(price: u128) -> PeerStatus {
    PeerStatus {
        snubbed: true,
        ..status(price, 0)
    }
}

/// One piece is left, of four blocks.
fn one_left() -> Picker {
    let mut picker = Picker::new(2 * 64 * KIB, 64 * KIB as u32, [3; 32]);
    picker.have(PieceIndex(1));
    picker
}

#[test]
fn a_piece_is_not_left_to_a_seller_that_was_waited_for_in_vain() {
    for whole in [false, true] {
        let mut picker = one_left();
        if whole {
            picker.piece_failed(PieceIndex(0), true);
        }
        let cheap = seed(&mut picker, 1, 1, 0);
        let dear = seed(&mut picker, 2, 10, 1_000_000);
        let sent = pick(&mut picker, at(0), cheap, 1);
        picker.received(at(20_000), cheap, sent[0]);
        let out = pick(&mut picker, at(20_000), cheap, 1);
        assert_eq!(out.len(), 1);
        picker.peer_status(cheap, in_vain(1));
        assert!(pick(&mut picker, at(28_000), dear, 9).is_empty());
        // What was asked for since then stays out.
        assert_eq!(picker.withdraw(at(21_000), cheap, at(19_999), false), []);
        assert_eq!(picker.withdraw(at(28_000), cheap, at(24_000), false), out);
        assert_eq!(picker.outstanding(cheap), 0);
        assert_eq!(
            pick(&mut picker, at(28_000), cheap, 9),
            [],
            "left to the other"
        );
        // What was to come whole comes whole from the other, and is kept for the first one's next turn.
        let dropped = if whole { vec![PieceIndex(0)] } else { vec![] };
        assert_eq!(picker.take_dropped(), dropped);
        let rest = pick(&mut picker, at(28_000), dear, 9);
        assert_eq!(rest.len(), if whole { 4 } else { 3 });
        // Nor does its late block keep the other from being paid: nothing is cancelled there.
        let late = picker.received(at(28_050), cheap, out[0]);
        let kept = if whole {
            Received::Kept
        } else {
            Received::Duplicate
        };
        assert_eq!(late, kept);
        deliver(&mut picker, at(28_100), dear, &rest);
        assert_eq!(
            picker.received(at(28_200), cheap, out[0]),
            Received::Duplicate
        );
        assert!(picker.is_complete());
    }
}

#[test]
fn a_piece_is_not_left_to_a_free_peer_that_drips_where_somebody_sells_it() {
    for sold in [false, true] {
        let mut picker = one_left();
        let free = seed(&mut picker, 1, 0, 0);
        let other = seed(&mut picker, 2, if sold { 10 } else { 0 }, 1_000_000);
        let out = pick(&mut picker, at(0), free, 1);
        let back = picker.withdraw(at(10_000), free, at(0), false);
        // Free peers finish each other's pieces, and are asked for the same block in the end.
        assert_eq!(back, if sold { out } else { Vec::new() });
        let rest = pick(&mut picker, at(10_000), other, 9);
        assert_eq!(rest.len(), 4);
    }
}

#[test]
fn what_a_reader_does_not_need_yet_may_be_left_to_a_free_peer() {
    let mut picker = one_left();
    let free = seed(&mut picker, 1, 0, 0);
    seed(&mut picker, 2, 10, 1_000_000);
    let out = pick(&mut picker, at(0), free, 1);
    let mut due = |deadline| {
        picker.set_windows(&[Window {
            pieces: 0..1,
            deadline,
            spacing: Duration::ZERO,
        }]);
        picker.withdraw(at(10_000), free, at(0), true)
    };
    assert_eq!(due(at(30_000)), []);
    assert_eq!(due(at(12_000)), out);
}

#[test]
fn what_nobody_else_can_bring_stays_out_to_a_seller_that_was_waited_for_in_vain() {
    for usable in [false, true] {
        let mut picker = picker(20);
        let cheap = seed(&mut picker, 1, 1, 0);
        let dear = seed(&mut picker, 2, 10, 1_000_000);
        picker.peer_status(cheap, in_vain(1));
        let other = PeerStatus {
            usable,
            ..in_vain(10)
        };
        picker.peer_status(dear, other);
        let out = pick(&mut picker, at(0), cheap, 9);
        assert_eq!(out.len(), 9, "the other was waited for in vain as well");
        assert_eq!(picker.withdraw(at(60_000), cheap, at(50_000), false), []);
        assert_eq!(picker.outstanding(cheap), 9);
    }
}

#[test]
fn a_seller_that_something_was_taken_back_from_is_asked_for_a_block_now_and_then() {
    let mut picker = picker(50);
    let cheap = seed(&mut picker, 1, 1, 0);
    let dear = seed(&mut picker, 2, 10, 1_000_000);
    pick(&mut picker, at(0), cheap, 4);
    picker.peer_status(cheap, in_vain(1));
    assert_eq!(
        picker.withdraw(at(10_000), cheap, at(6_000), false).len(),
        4
    );
    let busy = pick(&mut picker, at(10_000), dear, 8);
    assert_eq!(busy.len(), 8);
    assert_eq!(pick(&mut picker, at(29_000), cheap, 9), []);
    deliver(&mut picker, at(29_900), dear, &busy);
    let one = pick(&mut picker, at(30_000), cheap, 9);
    assert_eq!(one.len(), 1);
    assert_eq!(pick(&mut picker, at(30_000), cheap, 9), [], "one at a time");
    picker.received(at(30_100), cheap, one[0]);
    assert_eq!(pick(&mut picker, at(30_100), cheap, 9).len(), 1);
    // Not where a peer that asks less brings all.
    picker.timed_out(cheap);
    seed(&mut picker, 3, 0, 1_000_000);
    assert_eq!(pick(&mut picker, at(30_200), cheap, 9), []);
}

#[test]
fn a_seller_lends_nothing_to_a_piece_that_cannot_be_paid_for_before_others_are_verified() {
    let mut picker = Picker::new(20 * 64 * KIB, 64 * KIB as u32, [3; 32]);
    let cheap = seed(&mut picker, 1, 1, 0);
    let honest = seed(&mut picker, 2, 10, 1_000_000);
    let first = pick(&mut picker, at(0), cheap, 1);
    picker.received(at(100), cheap, first[0]);
    pick(&mut picker, at(100), cheap, 1);
    let piece = first[0].piece;
    picker.set_staked([piece.0].into_iter().collect(), true);
    assert_eq!(
        pick(&mut picker, at(1_000), honest, 9),
        [],
        "the other asks less"
    );
    // It waits for the piece that is at stake, for its credit would not do for one of its own.
    assert_eq!(pick(&mut picker, at(5_000), honest, 3), []);
    assert_eq!(pieces_of(&pick(&mut picker, at(5_000), honest, 4)).len(), 1);
    picker.timed_out(honest);
    picker.peer_status(cheap, in_vain(1));
    assert_eq!(
        picker.withdraw(at(10_000), cheap, at(6_000), false).len(),
        1
    );
    let rest = pick(&mut picker, at(10_000), honest, 3);
    assert_eq!(pieces_of(&rest), [piece.0].into());
    // Who has a piece at stake goes on with the next: its own will be verified.
    assert_eq!(pick(&mut picker, at(10_100), honest, 3).len(), 3);
}

#[test]
fn what_a_reader_needs_is_late_where_those_that_ask_little_cannot_bring_it_in_time() {
    let mut picker = picker(200);
    assert!(!picker.is_late(at(0), FineUnits(0)), "nobody reads");
    let window = |secs| Window {
        pieces: 0..20,
        deadline: at(4_000),
        spacing: Duration::from_secs(secs),
    };
    let free = seed(&mut picker, 1, 0, 64 * KIB);
    seed(&mut picker, 2, 5, 4_000_000);
    // A piece a second comes from the free one.
    picker.set_windows(&[window(2)]);
    assert!(!picker.is_late(at(0), FineUnits(0)));
    picker.set_windows(&[window(0)]);
    assert!(picker.is_late(at(0), FineUnits(0)));
    assert!(!picker.is_late(at(0), FineUnits(5)));
    picker.set_windows(&[window(2)]);
    choked(&mut picker, at(0), free);
    assert!(picker.is_late(at(0), FineUnits(0)));
}

#[test]
fn a_seller_that_others_are_asked_before_is_tried_with_what_they_bring_too_late() {
    for (spacing, is_late) in [(60, false), (0, true)] {
        let mut picker = picker(8);
        picker.set_wanted(Wanted::Pieces(Vec::new()));
        seed(&mut picker, 1, 0, 20_000);
        let dear = seed(&mut picker, 2, 10, 0);
        picker.peer_status(dear, in_vain(10));
        picker.set_windows(&[Window {
            pieces: 0..8,
            deadline: at(20_000),
            spacing: Duration::from_secs(spacing),
        }]);
        let tried = pick(&mut picker, at(0), dear, 9);
        // The last of them: if nothing comes, others have time for it.
        assert_eq!(
            pieces_of(&tried),
            is_late.then_some(7).into_iter().collect()
        );
        assert_eq!(tried.len(), usize::from(is_late), "one block at a time");
    }
}

#[test]
fn of_those_that_others_are_asked_before_one_is_tried_at_a_time() {
    let mut picker = picker(20);
    let dear = seed(&mut picker, 1, 20, 1_000_000);
    let tried = [2, 3].map(|id| {
        let conn = seed(&mut picker, id, 10, 0);
        picker.peer_status(conn, in_vain(10));
        conn
    });
    let first = pick(&mut picker, at(0), tried[0], 9);
    assert_eq!(first.len(), 1);
    assert_eq!(pick(&mut picker, at(100), tried[1], 9), []);
    // It goes on with the same one while that sends.
    picker.received(at(200), tried[0], first[0]);
    assert_eq!(pick(&mut picker, at(200), tried[0], 9).len(), 1);
    let brought = pick(&mut picker, at(200), dear, 9);
    deliver(&mut picker, at(3_000), dear, &brought);
    assert_eq!(pick(&mut picker, at(4_100), tried[1], 9), []);
    assert_eq!(pick(&mut picker, at(4_200), tried[1], 9).len(), 1);
}

#[test]
fn a_free_peer_that_was_passed_over_is_tried_now_and_then() {
    let mut picker = picker(20);
    let free = seed(&mut picker, 1, 0, 0);
    let other = seed(&mut picker, 2, 10, 1_000_000);
    pick(&mut picker, at(0), free, 1);
    let back = picker.withdraw(at(10_000), free, at(10_000), false);
    assert_eq!(back.len(), 1);
    let busy = pick(&mut picker, at(10_000), other, 8);
    assert_eq!(pick(&mut picker, at(10_000), free, 9), []);
    deliver(&mut picker, at(13_000), other, &busy[..4]);
    assert_eq!(pick(&mut picker, at(16_900), free, 9), []);
    deliver(&mut picker, at(29_000), other, &busy[4..]);
    assert_eq!(pick(&mut picker, at(29_900), free, 9), []);
    assert_eq!(pick(&mut picker, at(30_000), free, 9).len(), 1);
    let busy = pick(&mut picker, at(30_000), other, 8);
    deliver(&mut picker, at(33_000), other, &busy);
    let back = picker.withdraw(at(34_000), free, at(30_000), false);
    assert_eq!(back.len(), 1);
    // The seller does nothing for as long as anybody is waited for.
    assert_eq!(pick(&mut picker, at(34_000), free, 9), []);
    assert_eq!(pick(&mut picker, at(37_900), free, 9), []);
    assert_eq!(pick(&mut picker, at(38_000), free, 9).len(), 9);
}

#[test]
fn nobody_has_the_turn_for_long_that_others_wait_for() {
    let mut picker = picker(200);
    let dear = seed(&mut picker, 1, 20, 1_000_000);
    let tried = [2, 3].map(|id| {
        let conn = seed(&mut picker, id, 10, 0);
        picker.peer_status(conn, in_vain(10));
        conn
    });
    let mut got = [0, 0];
    for step in 0..40 {
        let now = at(step * 3_000);
        let brought = pick(&mut picker, now, dear, 1);
        deliver(&mut picker, now, dear, &brought);
        for (conn, got) in tried.iter().zip(&mut got) {
            let asked = pick(&mut picker, now, *conn, 9);
            *got += asked.len();
            // Each block comes just before it would be taken back.
            deliver(
                &mut picker,
                now + Duration::from_millis(2_900),
                *conn,
                &asked,
            );
        }
    }
    assert!(got.iter().all(|n| *n >= 12), "{} and {}", got[0], got[1]);
}

#[test]
fn who_was_waited_for_in_vain_keeps_no_piece_by_choking_or_refusing() {
    for refuses in [false, true] {
        let mut picker = one_left();
        let keeps = seed(&mut picker, 1, 1, 0);
        let idle = seed(&mut picker, 2, 10, 0);
        let first = pick(&mut picker, at(0), keeps, 1);
        deliver(&mut picker, at(9_000), keeps, &first);
        picker.peer_status(keeps, in_vain(1));
        picker.peer_status(idle, in_vain(10));
        let again = pick(&mut picker, at(9_000), keeps, 1);
        assert_eq!(again.len(), 1);
        match refuses {
            true => picker.rejected(at(9_100), keeps, again[0]),
            false => choked(&mut picker, at(9_100), keeps),
        }
        assert_eq!(pick(&mut picker, at(9_100), idle, 9).len(), 3);
    }
}

#[test]
fn to_be_asked_again_keeps_no_piece_of_which_nothing_comes() {
    let mut picker = one_left();
    let keeps = seed(&mut picker, 1, 1, 0);
    let other = seed(&mut picker, 2, 1, 0);
    for step in 0..4 {
        assert_eq!(pick(&mut picker, at(step * 1_500), keeps, 1).len(), 1);
        choked(&mut picker, at(step * 1_500), keeps);
        picker.peer_status(keeps, status(1, 0));
    }
    assert_eq!(pick(&mut picker, at(4_600), other, 9).len(), 4);
}

#[test]
fn free_peers_leave_no_more_to_a_seller_than_it_brings_sooner() {
    let mut picker = Picker::new(4 * 4096 * KIB, 4096 * KIB as u32, [3; 32]);
    let free = seed(&mut picker, 1, 0, 500_000);
    seed(&mut picker, 2, 10, 700_000);
    picker.set_windows(&[Window {
        pieces: 0..4,
        deadline: at(4_000),
        spacing: Duration::from_secs(4),
    }]);
    assert_eq!(pieces_of(&pick(&mut picker, at(0), free, 9)), [1].into());
}

#[test]
fn of_sellers_that_were_all_waited_for_in_vain_an_idle_one_gets_what_another_keeps() {
    let mut picker = one_left();
    let keeps = seed(&mut picker, 1, 1, 0);
    let idle = seed(&mut picker, 2, 10, 0);
    let out = pick(&mut picker, at(0), keeps, 1);
    picker.peer_status(keeps, in_vain(1));
    picker.peer_status(idle, in_vain(10));
    let idle_ones = Set::from_iter([idle]);
    // Nobody is promising.
    assert_eq!(picker.withdraw(at(10_000), keeps, at(0), false), []);
    assert_eq!(
        picker.pass_on(at(9_000), keeps, Timestamp::ZERO, false, &idle_ones),
        []
    );
    assert_eq!(
        picker.pass_on(at(10_000), keeps, at(0), false, &idle_ones),
        out
    );
    // Whose turn it was longest ago is asked first.
    assert!(picker.probed_at(idle) < picker.probed_at(keeps));
    assert_eq!(pick(&mut picker, at(10_000), idle, 9).len(), 4);
}

#[test]
fn what_a_reader_needs_is_left_to_a_seller_that_brings_it_sooner_than_free_peers_would() {
    let soon = [Window {
        pieces: 0..4,
        deadline: at(3_000),
        spacing: Duration::ZERO,
    }];
    let mut picker = picker(4);
    let free = seed(&mut picker, 1, 0, 5_000);
    let helper = seed(&mut picker, 2, 0, 5_000);
    picker.set_windows(&soon);
    // Nobody sells: all is asked of them.
    let begun = pick(&mut picker, at(0), free, 1);
    assert_eq!(pieces_of(&begun), [0].into());
    let sells = seed(&mut picker, 3, 10, 1_000_000);
    assert_eq!(pick(&mut picker, at(0), helper, 9), []);
    deliver(&mut picker, at(100), free, &begun);
    // Nor do they go on with what they began.
    assert_eq!(pick(&mut picker, at(100), free, 9), []);
    assert_eq!(
        pieces_of(&pick(&mut picker, at(100), sells, 4)),
        [0, 1].into()
    );
    // It sends nothing: they do not wait for it longer than for anybody else.
    assert_eq!(pick(&mut picker, at(3_900), helper, 9), []);
    assert!(!pick(&mut picker, at(4_200), helper, 9).is_empty());
}

#[test]
fn fast_free_peers_leave_nothing_to_sellers() {
    let mut picker = picker(4);
    let free = seed(&mut picker, 1, 0, 100_000);
    seed(&mut picker, 2, 0, 100_000);
    seed(&mut picker, 3, 10, 1_000_000);
    picker.set_windows(&[Window {
        pieces: 0..4,
        deadline: at(5_000),
        spacing: Duration::from_millis(500),
    }]);
    assert_eq!(pick(&mut picker, at(0), free, 8).len(), 8);
}

#[test]
fn a_late_block_of_a_piece_of_which_all_was_taken_back_is_not_asked_for_again() {
    for price in [0, 10] {
        let mut picker = one_left();
        let late = seed(&mut picker, 1, price, 0);
        let sent = pick(&mut picker, at(0), late, 4);
        choked(&mut picker, at(100), late);
        for block in &sent[..3] {
            let received = picker.received(at(100), late, *block);
            assert!(matches!(received, Received::Wanted { .. }));
        }
        picker.peer_status(late, status(price, 0));
        let other = seed(&mut picker, 2, price, 0);
        // Nor does it keep the piece from another.
        assert_eq!(pick(&mut picker, at(200), other, 9), sent[3..]);
    }
}

#[test]
fn a_seller_finishes_first_what_it_was_paid_for_also_where_nobody_brings_that_any_more() {
    let mut picker = Picker::new(20 * 64 * KIB, 64 * KIB as u32, [3; 32]);
    picker.set_wanted(Wanted::Pieces(Vec::new()));
    let window = |pieces| Window {
        pieces,
        deadline: at(4_000),
        spacing: Duration::ZERO,
    };
    let only = seed(&mut picker, 1, 10, 0);
    picker.set_windows(&[window(3..4)]);
    let first = pick(&mut picker, at(0), only, 1);
    deliver(&mut picker, at(100), only, &first);
    picker.set_staked([3].into_iter().collect(), false);
    // It was waited for in vain and chokes, and the reader is elsewhere now.
    picker.peer_status(only, in_vain(10));
    picker.set_windows(&[window(9..12)]);
    choked(&mut picker, at(12_000), only);
    picker.peer_status(only, in_vain(10));
    let next = pick(&mut picker, at(12_100), only, 3);
    assert_eq!(pieces_of(&next), [3].into());
    assert_eq!(next.len(), 3);
}

/// A piece of so many blocks.
fn one_piece(blocks: u64) -> Picker {
    let length = blocks * 16 * KIB;
    Picker::new(length, length as u32, [3; 32])
}

#[test]
fn late_blocks_keep_no_piece_from_others() {
    for in_the_middle in [false, true] {
        let mut picker = one_piece(16);
        let late = seed(&mut picker, 1, 1, 0);
        let other = seed(&mut picker, 2, 10, 0);
        let asked = pick(&mut picker, at(0), late, 16);
        if in_the_middle {
            deliver(&mut picker, at(9_800), late, &asked[..1]);
        }
        choked(&mut picker, at(9_900), late);
        picker.received(at(9_900), late, asked[1]);
        picker.received(at(13_800), late, asked[2]);
        assert!(!pick(&mut picker, at(13_950), other, 9).is_empty());
    }
}

#[test]
fn what_is_served_all_the_same_stays_asked_for_when_a_peer_chokes() {
    let mut picker = picker(3);
    let fast = seed(&mut picker, 1, 0, 0);
    let asked = pick(&mut picker, at(0), fast, 12);
    let serves: Set<u32> = [asked[0].piece.0].into_iter().collect();
    picker.choked(at(0), fast, &serves);
    let served = asked.iter().filter(|block| block.piece == asked[0].piece);
    assert_eq!(picker.outstanding(fast), served.count());
}

#[test]
fn free_peers_share_what_somebody_began_that_does_not_bring_it_any_more() {
    let mut picker = one_left();
    let mut stored = Bitfield::empty(4);
    stored.insert(0);
    picker.restore_partial(at(0), PieceIndex(0), &stored);
    let silent = seed(&mut picker, 1, 0, 0);
    let other = seed(&mut picker, 2, 0, 100_000);
    let first = pick(&mut picker, at(0), silent, 1);
    assert_eq!(first.len(), 1);
    assert_eq!(pick(&mut picker, at(0), other, 9).len(), 2);
    // And what the first does not bring is asked of the other, too.
    deliver(&mut picker, at(100), other, &[]);
    assert_eq!(pick(&mut picker, at(2_100), other, 9), first);
}

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
            // Nobody else would bring it now: it goes on.
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
        assert_eq!(picker.take_resumed(), []);
        // It goes on with what it brought itself, and with what came late.
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
        assert_eq!(picker.take_resumed(), [(PieceIndex(0), drips)]);
        // What was forgotten meanwhile is asked for again.
        assert_eq!(picker.end_turns(at(270_000)).len(), 2);
        picker.forget_block(other, whole[0]);
        assert_eq!(pick(&mut picker, at(270_000), other, 9).len(), 4);
        assert_eq!(picker.take_resumed(), []);
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
            // Looked at again, as long as it lasts.
            let looks = [4_000, 8_000, 28_000, 30_000, 32_000].map(at);
            for (now, next) in looks.iter().zip(&looks[1..]) {
                let partial = picker.partials.get(&0).unwrap();
                assert!(Picker::turn_ends_at(partial, *now) <= *next);
                assert!(Picker::turn_ends_at(partial, *now) > *now);
            }
            picker.peer_status(other, status(0, 100_000));
            assert_eq!(picker.end_turns(at(8_000)).len(), 2);
            // What it brought before counts for no later turn.
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
    // One that is not known yet has its turn in the meantime.
    picker.peer_status(third, status(0, 0));
    assert_eq!(picker.end_turns(at(119_000)).len(), 3);
    // And for nobody is a seller's turn over.
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
    // Of four blocks three come, one each 29 seconds; or they are larger by far, and so is what comes.
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
        // It showed little: its turn is the next all the same. And one came that is not known.
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
            // It showed nothing this time, and the other is not known.
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
        // It has no room for more.
        picker.set_windows(&[read(if busy { 1 } else { 8 })]);
        assert!(!pick(&mut picker, at(0), fast, 4).is_empty());
        assert_eq!(pick(&mut picker, at(0), drips, 4), []);
        assert_eq!(pick(&mut picker, at(4_000), drips, 4).len(), 4);
        assert_eq!(picker.end_turns(at(8_000)), [], "busy, or has no say");
        // A reader needs nothing of it any more, or that piece first.
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
        // It was fast, for a moment.
        let fast = seed(&mut picker, 9, 0, 1_000_000);
        assert_eq!(picker.end_turns(at(4_000)).len(), out.len());
        // It comes before those that came before it.
        assert_eq!(pick(&mut picker, at(4_000), other, 9), []);
        if takes {
            let out = pick(&mut picker, at(4_000), fast, 9);
            assert_eq!(out.len(), 4);
            deliver(&mut picker, at(5_000), fast, &out[..3]);
            picker.timed_out(fast);
            // It has its say again.
            assert_eq!(pick(&mut picker, at(5_000), other, 9).len(), 4);
            assert_eq!(picker.end_turns(at(9_000)).len(), 4);
            continue;
        }
        // It brings something meanwhile, and chokes.
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
        picker.take_resumed();
    };
    assert_eq!(picker.turns_left(piece, hoards), None);
    turn(&mut picker, 0, 2_000, hoards, 128);
    assert_eq!(picker.turns_left(piece, hoards), Some(1_000));
    // It chokes for good.
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
    // A turn of which nothing came, but blocks of other pieces, is none.
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
        // One comes that is not known, and sends nothing: the next turn is the slow one's again.
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
        picker.take_resumed();
        picker.peer_gone(new);
    }
}

#[test]
fn a_piece_for_which_there_is_no_room_waits_for_nobody_for_ever() {
    // There is room for two pieces. One that waits for no request could make room for a third.
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
    // The one that was waited for could not have begun it: it has its say.
    picker.peer_status(sits, status(0, 1_000_000));
    assert_eq!(picker.end_turns(at(8_000)).len(), 4);
}

#[test]
fn a_peer_that_has_nobody_before_it_begins_no_wait_of_others_anew() {
    // It has no room, or lacks the piece, and is asked at each look.
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
    // One goes, and one comes that is before all.
    picker.peer_status(goes, PeerStatus::default());
    picker.peer_status(comes, status(0, 0));
    assert_eq!(pick(&mut picker, at(3_900), other, 9), []);
    assert_eq!(picker.missed(piece, goes), 1);
    picker.peer_status(comes, PeerStatus::default());
    assert_eq!(pick(&mut picker, at(4_000), other, 9), []);
    assert_eq!(picker.missed(piece, comes), 1);
    // The next one is waited for as long as any.
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
        // It never has room, and is waited for when its turn comes.
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
    // Nor does one have its say that another was waited for before.
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
        // It says nothing.
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
    // Nor for one that says nothing.
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
    assert_eq!(pick(&mut picker, at(2_000), slow, 1), out[..1]);
    assert_eq!(picker.take_resumed(), [(PieceIndex(0), slow)]);
    picker.keep_only(PieceIndex(0), |index| index == 2);
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
        // 16 KiB a second: first what was asked for before.
        for (second, block) in (1..).zip(ahead) {
            deliver(&mut picker, at(second * 1_000), busy, &[block]);
            assert_eq!(picker.end_turns(at(second * 1_000)), []);
        }
        // What it was asked for later counts for no turn.
        let later = pick(&mut picker, at(8_000), busy, 8);
        let turn = picker.partials.get(&19).unwrap().askers();
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
    // It sends a block and chokes.
    deliver(&mut picker, at(100), free, &out[..1]);
    choked(&mut picker, at(100), free);
    assert_eq!(pick(&mut picker, at(4_099), sells, 9), []);
    picker.peer_status(free, status(0, 1_000_000));
    assert_eq!(picker.next_timeout(at(4_099)), at(4_100));
    // The seller has the whole of it in the pick that ends the other's turn.
    assert_eq!(pick(&mut picker, at(4_100), sells, 9).len(), 4);
    assert_eq!(picker.take_dropped(), [PieceIndex(0)]);
    assert_eq!(pick(&mut picker, at(4_100), free, 9), []);
    // Not one that was waited for in vain: of that nothing is expected.
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
        // One that comes meanwhile has its turn after this one, and those that come then have theirs after the next.
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
    assert_eq!(picker.take_resumed(), [(PieceIndex(0), sellers[0])]);
    let Received::Wanted { piece_complete, .. } = picker.received(at(5_100), sellers[0], wrong[0])
    else {
        panic!("it is asked for");
    };
    assert!(piece_complete);
    // While it is hashed nobody's patience ends its turn.
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
    // Also before those that are begun.
    picker.timed_out(other);
    picker.have(PieceIndex(7));
    let begun = pick(&mut picker, at(2), had, 1)[0];
    assert_eq!(pick(&mut picker, at(2), other, 1)[0].piece, begun.piece);
    picker.piece_failed(PieceIndex(8), true);
    assert_eq!(pieces_of(&pick(&mut picker, at(3), had, 4)), [8].into());
    // Whose turn it is goes on with it before all others.
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

fn only(pieces: core::ops::Range<u32>) -> Wanted {
    Wanted::Pieces(core::iter::once(pieces).collect())
}

/// A seller brought one block of piece 3, which is paid for in part, and chokes; four seconds later a free peer is asked for the
/// next one.
fn gone_on_with(free_rate: u64) -> (Picker, ConnectionId, ConnectionId, Vec<BlockRef>) {
    let mut picker = Picker::new(20 * 64 * KIB, 64 * KIB as u32, [3; 32]);
    picker.set_wanted(only(3..4));
    let seller = seed(&mut picker, 1, 10, 1_000_000);
    let free = seed(&mut picker, 2, 0, free_rate);
    picker.peer_status(free, PeerStatus::default());
    let first = pick(&mut picker, at(0), seller, 1);
    deliver(&mut picker, at(100), seller, &first);
    picker.set_staked([3].into_iter().collect(), false);
    choked(&mut picker, at(200), seller);
    picker.peer_status(free, status(0, free_rate));
    let out = pick(&mut picker, at(4_200), free, 1);
    assert_eq!(pieces_of(&out), [3].into());
    (picker, seller, free, out)
}

#[test]
fn what_is_at_stake_goes_back_to_its_seller_where_it_is_sooner_than_a_free_peer() {
    for (free_rate, sooner) in [(1_000, true), (1_000_000, false)] {
        let (mut picker, seller, free, out) = gone_on_with(free_rate);
        let asked: Set<ConnectionId> = [seller].into_iter().collect();
        assert_eq!(picker.return_staked(at(4_300), &asked), [], "it chokes");
        // What it sent before it choked says how fast it is.
        picker.peer_status(seller, status(10, 0));
        assert_eq!(picker.return_staked(at(4_400), &Set::new()), []);
        let back = picker.return_staked(at(4_400), &asked);
        assert_eq!(back, if sooner { vec![(free, out[0])] } else { vec![] });
        picker.set_wanted(only(3..12));
        let mut third = Bitfield::empty(20);
        third.insert(3);
        picker.peer_bitfield(free, third);
        let next = pick(&mut picker, at(4_400), seller, 2);
        // Without it would lend what could not be paid for before the other is done.
        assert_eq!(next.len(), if sooner { out.len() + 1 } else { 0 });
    }
}

#[test]
fn what_went_back_to_a_seller_goes_back_again_only_if_some_of_it_came() {
    for comes in [false, true] {
        let (mut picker, seller, free, _) = gone_on_with(1_000);
        let asked: Set<ConnectionId> = [seller].into_iter().collect();
        picker.peer_status(seller, status(10, 1_000_000));
        assert_eq!(picker.return_staked(at(4_400), &asked).len(), 1);
        let out = pick(&mut picker, at(4_400), seller, 1);
        if comes {
            deliver(&mut picker, at(4_500), seller, &out);
        }
        choked(&mut picker, at(4_600), seller);
        assert_eq!(pick(&mut picker, at(8_700), free, 1).len(), 1);
        picker.peer_status(seller, status(10, 1_000_000));
        assert_eq!(picker.return_staked(at(8_800), &asked), [], "soon");
        let again = picker.return_staked(at(24_400), &asked);
        assert_eq!(again.len(), usize::from(comes));
    }
}

#[test]
fn what_is_at_stake_goes_back_from_a_seller_that_would_be_much_later() {
    for (rate, later) in [(1_000, true), (100_000, false)] {
        let (mut picker, seller, free, _) = gone_on_with(1_000);
        picker.timed_out(free);
        picker.peer_status(free, PeerStatus::default());
        let other = seed(&mut picker, 3, 10, rate);
        assert_eq!(pick(&mut picker, at(4_400), other, 1).len(), 1);
        picker.peer_status(seller, status(10, 1_000_000));
        let asked: Set<ConnectionId> = [seller].into_iter().collect();
        let back = picker.return_staked(at(4_500), &asked);
        assert_eq!(back.len(), usize::from(later));
    }
}

#[test]
fn who_sells_no_more_shares_what_it_brings() {
    let mut picker = one_left();
    let gives = seed(&mut picker, 1, 10, 0);
    assert_eq!(pick(&mut picker, at(0), gives, 2).len(), 2);
    let other = seed(&mut picker, 2, 0, 100_000);
    assert_eq!(pick(&mut picker, at(0), other, 9), []);
    picker.peer_status(gives, status(0, 0));
    assert_eq!(pick(&mut picker, at(100), other, 9).len(), 2);
}

#[test]
fn what_is_at_stake_goes_back_to_a_seller_that_was_waited_for_in_vain_and_is_asked_for() {
    let (mut picker, seller, free, _) = gone_on_with(1_000);
    seed(&mut picker, 3, 10, 1_000_000);
    let vain = PeerStatus {
        rate: 0,
        ..in_vain(10)
    };
    picker.peer_status(seller, vain);
    let asked: Set<ConnectionId> = [seller].into_iter().collect();
    assert_eq!(picker.return_staked(at(11_000), &asked).len(), 1);
    let out = pick(&mut picker, at(11_000), seller, 1);
    deliver(&mut picker, at(11_100), seller, &out);
    assert_eq!(pick(&mut picker, at(11_100), seller, 1).len(), 1);
    // It chokes: another goes on, and it does not go back soon.
    choked(&mut picker, at(11_200), seller);
    assert_eq!(pick(&mut picker, at(15_300), free, 1).len(), 1);
    picker.peer_status(seller, vain);
    assert_eq!(picker.return_staked(at(15_400), &asked), []);
    assert_eq!(picker.return_staked(at(31_000), &asked).len(), 1);
}

#[test]
fn a_seller_finishes_what_it_was_paid_for_where_a_free_peer_went_on_and_does_not_any_more() {
    let (mut picker, seller, free, out) = gone_on_with(1_000_000);
    deliver(&mut picker, at(4_300), free, &out);
    // The reader is elsewhere, so the free peer is asked for something else.
    picker.set_wanted(only(9..12));
    picker.peer_status(seller, status(10, 1_000_000));
    let next = pick(&mut picker, at(4_400), seller, 2);
    assert_eq!(pieces_of(&next), [3].into());
    assert_eq!(next.len(), 2);
}
