//! Payees that cheat, beside one that does not. The buyer gets its film from the honest one. It pays for the blocks
//! that it verified, and for those that its loss budget allows.

use std::collections::{BTreeSet, VecDeque};

use crate::scene::*;
use alloy_primitives::{Address, B256};
use piecework::time::Duration;
use piecework::types::{FineUnits, PieceIndex};
use piecework::wire::Message;
use piecework::wire::extension::PW_PAY_ID;
use piecework::wire::pay::{NeedReason, PayMessage, RejectCode};
use piecework_simulation::{
    Cheat as Data, Content, NodeId, Said, Script, SimNet, Tamper, Wire, for_seeds,
};

/// Of each test here.
const SEEDS: u64 = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cheat {
    /// Takes a promise and sends nothing.
    SendsNothing,
    /// Sends a few blocks, takes the money, and sends nothing more.
    Stalls,
    /// Every block is junk.
    SendsJunk,
    /// One block in four is junk.
    SendsSomeJunk,
    /// Never says ACK.
    NeverAcknowledges,
    /// Says that thousands of blocks are owed.
    OverstatesDebt,
    /// Says that its credit has no end.
    OverstatesCredit,
    /// Refuses every promise, with every code in turn.
    RefusesAll,
    /// Closes each range as soon as it is promised.
    ClosesRanges,
    /// Asks for a hundred times as much once it is used.
    RaisesPrice,
    /// Names another payee in each quote.
    ChangesPayee,
    /// Claims to hold more than was paid.
    ForgesStates,
}

const CHEATS: [Cheat; 12] = [
    Cheat::SendsNothing,
    Cheat::Stalls,
    Cheat::SendsJunk,
    Cheat::SendsSomeJunk,
    Cheat::NeverAcknowledges,
    Cheat::OverstatesDebt,
    Cheat::OverstatesCredit,
    Cheat::RefusesAll,
    Cheat::ClosesRanges,
    Cheat::RaisesPrice,
    Cheat::ChangesPayee,
    Cheat::ForgesStates,
];

fn cheat_with(net: &mut SimNet, node: NodeId, cheat: Cheat) {
    let acks = |change: fn(&mut u32, &mut u16)| -> Tamper {
        Box::new(move |_, mut message| {
            if let PayMessage::Ack {
                owed_blocks,
                credit_blocks,
                ..
            } = &mut message
            {
                change(owed_blocks, credit_blocks);
            }
            vec![message]
        })
    };
    let tamper: Tamper = match cheat {
        Cheat::SendsNothing => return net.set_cheat(node, Data::Stall { after: 0 }),
        Cheat::Stalls => return net.set_cheat(node, Data::Stall { after: 5 }),
        Cheat::SendsJunk => return net.set_cheat(node, Data::Corrupt { one_in: 1 }),
        Cheat::SendsSomeJunk => return net.set_cheat(node, Data::Corrupt { one_in: 4 }),
        Cheat::NeverAcknowledges => Box::new(|_, message| match message {
            PayMessage::Ack { .. } => Vec::new(),
            other => vec![other],
        }),
        Cheat::OverstatesDebt => acks(|owed, _| *owed += 5_000),
        Cheat::OverstatesCredit => acks(|_, credit| *credit = u16::MAX),
        Cheat::RefusesAll => {
            let mut code = 0;
            Box::new(move |_, message| match message {
                PayMessage::Ack { first, tag, .. } => {
                    code = code % 17 + 1;
                    vec![PayMessage::Reject {
                        code: RejectCode::from_code(code),
                        first,
                        tag,
                        aux: 3,
                    }]
                }
                other => vec![other],
            })
        }
        Cheat::ClosesRanges => Box::new(|_, message| match message {
            PayMessage::Ack { first, .. } => {
                let reason = NeedReason::RangeClosed;
                vec![message, PayMessage::Need { reason, first }]
            }
            other => vec![other],
        }),
        Cheat::RaisesPrice => {
            let mut quote = None;
            Box::new(move |_, message| match message {
                PayMessage::Terms(terms) => {
                    quote = Some(terms);
                    vec![message]
                }
                PayMessage::Ack { .. } => {
                    let dear = quote.take().map(|mut terms| {
                        terms.unit = FineUnits(terms.unit.0 * 100);
                        PayMessage::Terms(terms)
                    });
                    [Some(message), dear].into_iter().flatten().collect()
                }
                other => vec![other],
            })
        }
        Cheat::ChangesPayee => Box::new(|hand, message| match message {
            PayMessage::Terms(mut terms) => {
                terms.payee = Address::from_slice(&hand.random.bytes32()[..20]);
                vec![PayMessage::Terms(terms)]
            }
            other => vec![other],
        }),
        Cheat::ForgesStates => {
            let mut seen = None;
            Box::new(move |hand, message| {
                let state = match message {
                    PayMessage::Terms(terms) => {
                        seen = Some(terms.payee);
                        None
                    }
                    PayMessage::Ack { first, .. } => seen.map(|payee| PayMessage::State {
                        payee,
                        voucher: piecework::wire::pay::VoucherBody {
                            owner: Address::from_slice(&hand.random.bytes32()[..20]),
                            first,
                            count: 1,
                            content: B256::ZERO,
                            base: FineUnits(1 << 32),
                            unit: unit(),
                            steps: 6,
                            root: B256::repeat_byte(3),
                            luck: B256::ZERO,
                            r: B256::repeat_byte(4),
                            vs: B256::repeat_byte(5),
                        },
                        k: 3,
                        w: B256::repeat_byte(6),
                    }),
                    _ => None,
                };
                [Some(message), state].into_iter().flatten().collect()
            })
        }
    };
    net.set_tamper(node, tamper);
}

#[test]
fn a_payee_that_cheats_is_left_and_costs_at_most_the_loss_budget() {
    for_seeds(SEEDS, |seed| {
        let cheat = CHEATS[seed as usize % CHEATS.len()];
        let mut net = net(1_000 + seed);
        let content = content(seed);
        let bad = seller(&mut net, 1, &content);
        cheat_with(&mut net, bad, cheat);
        let film = buyer(&mut net);
        net.leech(film, &content);
        // Every other time it is alone at first.
        if seed % 2 == 0 {
            net.run_for(Duration::from_secs(30));
        }
        let good = seller(&mut net, 2, &content);
        assert!(
            until_complete(&mut net, film, &content, 600),
            "seed {seed}, {cheat:?}: {}",
            story(&net, film, &content)
        );
        net.run_for(Duration::from_secs(5));
        audit_buyer(&net, film, &[1, 2], &content);
        // Only payees that a quote named to the buyer were promised anything.
        let account = net.account_of(film);
        let promised = net.watch.promised(account);
        let payees: BTreeSet<Address> = promised.values().copied().collect();
        if cheat != Cheat::ChangesPayee {
            assert!(payees.iter().all(|p| [address(1), address(2)].contains(p)));
        }
        audit_seller(
            &mut net,
            good,
            2,
            &[film],
            &content,
            CREDIT0.max(BLOCKS / 4),
        );
        if matches!(cheat, Cheat::SendsJunk) {
            assert_eq!(
                revealed(&net, film, 1),
                0,
                "seed {seed}: junk is not paid: no piece of it was begun twice"
            );
        }
    });
}

#[test]
fn fake_payees_lock_no_more_than_a_share_of_the_serials() {
    for_seeds(SEEDS, |seed| {
        let mut net = net(2_000 + seed);
        let content = content(seed);
        let film = net.node(buyer_config(&net));
        // A small deposit: 96 serials, of which at most three may lie with strangers.
        net.fund(film, 96 * TRANCHE, TRANCHE);
        net.leech(film, &content);
        // They come under ever new addresses.
        for payee in 10..26 {
            let fake = seller(&mut net, payee, &content);
            match seed % 3 {
                0 => net.set_cheat(fake, Data::Stall { after: 0 }),
                1 => cheat_with(&mut net, fake, Cheat::NeverAcknowledges),
                _ => cheat_with(&mut net, fake, Cheat::ClosesRanges),
            }
            if seed % 3 == 2 {
                net.set_cheat(fake, Data::Stall { after: 0 });
            }
            net.run_for(Duration::from_secs(12));
            if payee % 2 == 1 {
                net.crash(fake);
            }
        }
        net.run_for(Duration::from_secs(20));
        let idle = net.watch.books.idle_ranges(film);
        assert!(
            idle <= 3,
            "seed {seed}: {idle} ranges lie with strangers that sent nothing"
        );
        assert_eq!(net.snapshot(film).money.spent, FineUnits(0));
        // The reason is reported.
        let torrent = net.torrent(film, content.info_hash()).unwrap();
        let notes: BTreeSet<String> = torrent
            .peers
            .iter()
            .map(|p| p.buying.note.clone())
            .collect();
        assert!(
            notes.iter().any(|n| !n.is_empty()),
            "seed {seed}: {notes:?}"
        );
    });
}

/// Sellers that ask less than all others, and of whom nothing can be bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Useless {
    /// Wants a bond that nobody has.
    AsksForABond,
    /// Gives no credit at all.
    GivesNoCredit,
    /// Takes a promise and never says ACK.
    NeverAcknowledges,
    /// Takes a promise and refuses it for good.
    Refuses,
    /// Takes a promise and asks for another minute, each time.
    PutsOff,
    /// Takes a promise and never unchokes.
    NeverUnchokes,
    /// Names another payee once it is promised something.
    NamesAnother,
    /// Sends a block each twenty seconds.
    Drips,
    /// Goes on only when the one block that it gives on credit is paid: that is honest, and slow where pieces are
    /// larger.
    GivesOneBlock,
    /// Gives two blocks on credit, and none any more once the first of them is paid.
    TakesCreditBack,
    /// Sells a block, takes the promise of a second range without credit, and asks for another minute on the first,
    /// each time.
    PutsOneRangeOff,
    /// Leaves a fold without an answer.
    LeavesAFoldUnanswered,
    /// Has one piece, sends a block of it each twenty seconds to any peer that asks, and gives credit.
    HasOnePiece,
    /// Gives credit, and refuses each request.
    RefusesRequests,
}

const USELESS: [Useless; 14] = [
    Useless::AsksForABond,
    Useless::GivesNoCredit,
    Useless::NeverAcknowledges,
    Useless::Refuses,
    Useless::PutsOff,
    Useless::NeverUnchokes,
    Useless::NamesAnother,
    Useless::Drips,
    Useless::GivesOneBlock,
    Useless::TakesCreditBack,
    Useless::PutsOneRangeOff,
    Useless::LeavesAFoldUnanswered,
    Useless::HasOnePiece,
    Useless::RefusesRequests,
];

/// Sends REJECT in the place of each ACK.
fn rejects_with(net: &mut SimNet, node: NodeId, code: RejectCode, aux: u32) {
    net.set_tamper(
        node,
        Box::new(move |_, message| match message {
            PayMessage::Ack { first, tag, .. } => vec![PayMessage::Reject {
                code,
                first,
                tag,
                aux,
            }],
            other => vec![other],
        }),
    );
}

fn puts_one_range_off() -> Tamper {
    let (mut sold, mut second) = (None, false);
    Box::new(move |_, mut message| {
        let PayMessage::Ack {
            first,
            tag,
            k,
            credit_blocks,
            ..
        } = &mut message
        else {
            return vec![message];
        };
        let (first, tag) = (*first, *tag);
        let put_off = |(first, tag)| PayMessage::Reject {
            code: RejectCode::Rate,
            first,
            tag,
            aux: 60_000,
        };
        match sold {
            None if *k > 0 => {
                sold = Some((first, tag));
                *credit_blocks = 0;
                let reason = NeedReason::NextRange;
                vec![message, PayMessage::Need { reason, first }]
            }
            None => {
                *credit_blocks = 1;
                vec![message]
            }
            Some(one) if one.0 != first => {
                second = true;
                *credit_blocks = 0;
                vec![message, put_off(one)]
            }
            Some(one) if second => vec![put_off(one)],
            Some(_) => vec![message],
        }
    })
}

fn leaves_a_fold_unanswered() -> Tamper {
    let mut taken = None;
    Box::new(move |_, mut message| {
        if let PayMessage::Terms(terms) = &mut message {
            terms.max_steps = 1;
        }
        match message {
            PayMessage::Ack { tag, .. } if *taken.get_or_insert(tag) != tag => Vec::new(),
            other => vec![other],
        }
    })
}

fn has_one_piece(shop: Shop) -> Script {
    let mut asked = VecDeque::new();
    Box::new(move |wire, said| match said {
        Said::Open => shop.opens(wire, &[Message::HaveNone, Message::Have(PieceIndex(0))]),
        Said::Message(20, [PW_PAY_ID, payload @ ..]) => {
            if shop.takes(wire, payload).is_some() {
                wire.wake_in(Duration::from_secs(20));
            }
        }
        Said::Wake => {
            if let Some(block) = asked.pop_front() {
                wire.send_block(block);
            }
            wire.wake_in(Duration::from_secs(20));
        }
        said => asked.extend(Wire::request(&said)),
    })
}

fn refuses_requests(shop: Shop) -> Script {
    Box::new(move |wire, said| match said {
        Said::Open => shop.opens(wire, &[Message::HaveAll]),
        Said::Message(20, [PW_PAY_ID, payload @ ..]) => {
            shop.takes(wire, payload);
        }
        said => {
            if let Some(block) = Wire::request(&said) {
                wire.say(&Message::RejectRequest(block));
            }
        }
    })
}

fn useless_seller(net: &mut SimNet, payee: u8, content: &Content, useless: Useless) -> NodeId {
    let script = match useless {
        Useless::HasOnePiece => has_one_piece,
        Useless::RefusesRequests => refuses_requests,
        _ => return useless_node(net, payee, content, useless),
    };
    Shop::new(net, payee, 4).puppet(net, content, script)
}

fn useless_node(net: &mut SimNet, payee: u8, content: &Content, useless: Useless) -> NodeId {
    let mut config = seller_config(net, payee, FineUnits(unit().0 / 2));
    let mut gives = |blocks| {
        let sell = config.payment.as_mut().and_then(|p| p.sell.as_mut());
        let credit = &mut sell.expect("it sells").credit;
        (credit.first, credit.most, credit.ramp) = (blocks, blocks, 0);
    };
    match useless {
        Useless::NeverUnchokes => config.limits.upload_slots = 0,
        Useless::GivesOneBlock => gives(1),
        // Their messages name a smaller credit, so that they choke nobody.
        Useless::TakesCreditBack | Useless::PutsOneRangeOff | Useless::LeavesAFoldUnanswered => {
            gives(64);
        }
        _ => {}
    }
    let node = net.node(config);
    match useless {
        Useless::AsksForABond => net.set_tamper(
            node,
            Box::new(|_, mut message| {
                if let PayMessage::Terms(terms) = &mut message {
                    terms.min_bond_percent = 60_000;
                }
                vec![message]
            }),
        ),
        Useless::GivesNoCredit => net.set_tamper(
            node,
            Box::new(|_, mut message| {
                if let PayMessage::Ack { credit_blocks, .. } = &mut message {
                    *credit_blocks = 0;
                }
                vec![message]
            }),
        ),
        Useless::NeverAcknowledges => cheat_with(net, node, Cheat::NeverAcknowledges),
        Useless::Refuses => rejects_with(net, node, RejectCode::Signature, 0),
        Useless::PutsOff => rejects_with(net, node, RejectCode::Rate, 60_000),
        Useless::NamesAnother => {
            let mut quote = None;
            net.set_tamper(
                node,
                Box::new(move |_, message| {
                    if let PayMessage::Terms(terms) = message {
                        quote = Some(terms);
                    }
                    let is_ack = matches!(message, PayMessage::Ack { .. });
                    let other = quote.take_if(|_| is_ack).map(|mut terms| {
                        terms.payee = address(99);
                        PayMessage::Terms(terms)
                    });
                    [Some(message), other].into_iter().flatten().collect()
                }),
            );
        }
        Useless::Drips => net.set_uplink(node, 800),
        Useless::TakesCreditBack => {
            let mut is_back = false;
            net.set_tamper(
                node,
                Box::new(move |_, mut message| {
                    if let PayMessage::Ack {
                        k, credit_blocks, ..
                    } = &mut message
                    {
                        is_back |= *k > 0;
                        *credit_blocks = if is_back { 0 } else { 2 };
                    }
                    vec![message]
                }),
            );
        }
        Useless::PutsOneRangeOff => net.set_tamper(node, puts_one_range_off()),
        Useless::LeavesAFoldUnanswered => net.set_tamper(node, leaves_a_fold_unanswered()),
        Useless::NeverUnchokes
        | Useless::GivesOneBlock
        | Useless::HasOnePiece
        | Useless::RefusesRequests => {}
    }
    net.seed(node, content);
    node
}

#[test]
fn sellers_of_no_use_keep_no_dearer_one_out_however_little_they_ask() {
    for_seeds(SEEDS, |seed| {
        let useless = USELESS[seed as usize % USELESS.len()];
        let mut net = net(3_000 + seed);
        // Where a piece is larger, the sent blocks wait for the rest of it.
        let piece = match useless {
            Useless::TakesCreditBack => 16 * PIECE_BLOCKS,
            Useless::HasOnePiece => 8 * PIECE_BLOCKS,
            _ => PIECE_BLOCKS,
        };
        // Drop by drop, at a block in 20 s from each of the six, it would take 400 s: twice the limit below.
        let (length, piece) = (5 * BLOCKS * BLOCK, piece * BLOCK);
        let content = Content::file(seed, length as usize, piece as u32);
        let cheap: Vec<NodeId> = (10..16)
            .map(|payee| useless_seller(&mut net, payee, &content, useless))
            .collect();
        let film = buyer(&mut net);
        net.leech(film, &content);
        if matches!(useless, Useless::HasOnePiece | Useless::RefusesRequests) {
            cheap.iter().for_each(|node| net.puppet_offers(*node, film));
        }
        net.run_for(Duration::from_secs(20));
        seller(&mut net, 2, &content);
        assert!(
            until_complete(&mut net, film, &content, 200),
            "seed {seed}, {useless:?}: {}",
            story(&net, film, &content)
        );
    });
}

#[test]
fn a_slow_free_seed_keeps_no_place_for_sellers_of_no_use_where_a_film_is_played() {
    let kinds = [
        Useless::GivesNoCredit,
        Useless::NeverUnchokes,
        Useless::RefusesRequests,
    ];
    for_seeds(SEEDS, |seed| {
        let useless = kinds[seed as usize % kinds.len()];
        let mut net = net(3_970 + seed);
        // The free one alone would take 118 s, longer than the 30 s and the reader's 60 s together.
        let (length, piece) = (6 * BLOCKS * BLOCK, PIECE_BLOCKS * BLOCK);
        let content = Content::file(seed, length as usize, piece as u32);
        // An honest one, far too slow to play from.
        let free = net.node(SimNet::config());
        net.set_uplink(free, 20_000);
        net.seed(free, &content);
        let cheap: Vec<NodeId> = (10..14)
            .map(|payee| useless_seller(&mut net, payee, &content, useless))
            .collect();
        let film = buyer(&mut net);
        net.leech(film, &content);
        if useless == Useless::RefusesRequests {
            cheap.iter().for_each(|node| net.puppet_offers(*node, film));
        }
        // Long enough that all of them had their turn.
        net.run_for(Duration::from_secs(30));
        let honest = seller(&mut net, 2, &content);
        // The tracker passes five offers on to six others, so these two may miss each other for a minute or more: the
        // reader comes when they met, or when the free one has brought everything before.
        let met = net.run_until(Duration::from_secs(200), |net| {
            net.channels(film, honest) > 0 || net.is_complete(film, &content)
        });
        assert!(met, "seed {seed}, {useless:?}");
        let stream = net.read(film, content.info_hash(), 0, 0..length, None);
        let done = net.run_until(Duration::from_secs(60), |net| {
            net.reader(film, stream).end.is_some()
        });
        assert!(
            done,
            "seed {seed}, {useless:?}: {}",
            story(&net, film, &content)
        );
    });
}

#[test]
fn a_buyer_that_the_cheapest_seller_serves_promises_no_more_than_four_anything() {
    for_seeds(SEEDS, |seed| {
        let mut net = net(3_900 + seed);
        let content = Content::file(
            seed,
            (4 * BLOCKS * BLOCK) as usize,
            (PIECE_BLOCKS * BLOCK) as u32,
        );
        let sells = |net: &mut SimNet, payee: u8| {
            let price = FineUnits(unit().0 * u128::from(payee) / 10);
            let node = net.node(seller_config(net, payee, price));
            // The four take half a minute for the film, so that it is not whole before the others come.
            net.set_uplink(node, 15_000);
            net.seed(node, &content);
        };
        (10..14).for_each(|payee| sells(&mut net, payee));
        let film = buyer(&mut net);
        net.leech(film, &content);
        // Long enough that all of them had their turn.
        net.run_for(Duration::from_secs(30));
        (14..18).for_each(|payee| sells(&mut net, payee));
        assert!(
            until_complete(&mut net, film, &content, 200),
            "seed {seed}: {}",
            story(&net, film, &content)
        );
        let promised = net.watch.promised(net.account_of(film));
        let payees: BTreeSet<Address> = promised.values().copied().collect();
        assert!(payees.len() <= 4, "seed {seed}: {payees:?}");
    });
}
