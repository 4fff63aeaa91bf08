//! Peers that keep a piece from others because they send little of it.

use super::*;

pub(super) fn in_vain(price: u128) -> PeerStatus {
    PeerStatus {
        snubbed: true,
        ..status(price, 0)
    }
}

/// A picker with one piece left, of four blocks.
pub(super) fn one_left() -> Picker {
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
        // Blocks that were asked for later stay out.
        assert_eq!(picker.withdraw(at(21_000), cheap, at(19_999), false), []);
        assert_eq!(picker.withdraw(at(28_000), cheap, at(24_000), false), out);
        assert_eq!(picker.outstanding(cheap), 0);
        assert_eq!(
            pick(&mut picker, at(28_000), cheap, 9),
            [],
            "left to the other"
        );
        // A piece that is to come whole comes whole from the other peer. The first peer's block is kept for its next
        // turn.
        let dropped = if whole { vec![PieceIndex(0)] } else { vec![] };
        assert_eq!(picker.take_dropped(), dropped);
        let rest = pick(&mut picker, at(28_000), dear, 9);
        assert_eq!(rest.len(), if whole { 4 } else { 3 });
        // The first peer's late block does not keep the other from being paid: nothing is cancelled there.
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
        // Free peers finish each other's pieces, and both are asked for the same block in the end.
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
    // The seller is asked for nothing where a cheaper peer brings everything.
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
    // The seller waits for the piece at stake, because its credit would not do for a piece of its own.
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
    // A seller with a piece at stake goes on with the next one: its own will be verified.
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
    // The free peer brings one piece a second.
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
        // The seller is tried with the last of them: if nothing comes, others have time for it.
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
    // The picker goes on with the same peer while that one sends.
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
    // The seller does nothing for as long as the picker waits for any peer.
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
    // No peer is promising.
    assert_eq!(picker.withdraw(at(10_000), keeps, at(0), false), []);
    assert_eq!(
        picker.pass_on(at(9_000), keeps, Timestamp::ZERO, false, &idle_ones),
        []
    );
    assert_eq!(
        picker.pass_on(at(10_000), keeps, at(0), false, &idle_ones),
        out
    );
    // The peer whose turn is longest ago is asked first.
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
    // Nobody sells: the free peers are asked for everything.
    let begun = pick(&mut picker, at(0), free, 1);
    assert_eq!(pieces_of(&begun), [0].into());
    let sells = seed(&mut picker, 3, 10, 1_000_000);
    assert_eq!(pick(&mut picker, at(0), helper, 9), []);
    deliver(&mut picker, at(100), free, &begun);
    // The free peers do not go on with the pieces that they began, either.
    assert_eq!(pick(&mut picker, at(100), free, 9), []);
    assert_eq!(
        pieces_of(&pick(&mut picker, at(100), sells, 4)),
        [0, 1].into()
    );
    // The seller sends nothing: the free peers wait no longer for it than for any other.
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
        // The late peer keeps the piece from no other.
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
    // The seller was waited for in vain and chokes, and the reader is elsewhere now.
    picker.peer_status(only, in_vain(10));
    picker.set_windows(&[window(9..12)]);
    choked(&mut picker, at(12_000), only);
    picker.peer_status(only, in_vain(10));
    let next = pick(&mut picker, at(12_100), only, 3);
    assert_eq!(pieces_of(&next), [3].into());
    assert_eq!(next.len(), 3);
}

/// A picker with one piece of this many blocks.
pub(super) fn one_piece(blocks: u64) -> Picker {
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
    // The other peer is also asked for the block that the first one does not bring.
    deliver(&mut picker, at(100), other, &[]);
    assert_eq!(pick(&mut picker, at(2_100), other, 9), first);
}

pub(super) fn only(pieces: core::ops::Range<u32>) -> Wanted {
    Wanted::Pieces(core::iter::once(pieces).collect())
}

/// A seller brought one block of piece 3, which is paid for in part, and chokes. Four seconds later a free peer is
/// asked for the next block.
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
        // The blocks that the seller sent before it choked show its rate.
        picker.peer_status(seller, status(10, 0));
        assert_eq!(picker.return_staked(at(4_400), &Set::new()), []);
        let back = picker.return_staked(at(4_400), &asked);
        assert_eq!(back, if sooner { vec![(free, out[0])] } else { vec![] });
        picker.set_wanted(only(3..12));
        let mut third = Bitfield::empty(20);
        third.insert(3);
        picker.peer_bitfield(free, third);
        let next = pick(&mut picker, at(4_400), seller, 2);
        // Otherwise the seller would lend blocks that could not be paid for before the free peer is done.
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
    // The seller chokes. Another peer goes on, and the piece does not go back soon.
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
