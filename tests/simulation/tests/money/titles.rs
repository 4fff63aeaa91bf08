//! Signed titles: what a link pins, who brings the title, and that nothing is bought until it is the right one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy_primitives::{Address, B256};
use bytes::Bytes;
use piecework::client::{
    AddOptions, CheckExisting, ClosedReason, Config, Event, Source, TitleStanding,
};
use piecework::time::Duration;
use piecework::title::{Registry, SignedTitle, Title};
use piecework::wire::Message;
use piecework::wire::extension::{
    EXTENDED_HANDSHAKE_ID, ExtendedHandshake, PW_TITLE_ID, PW_TITLE_NAME, TitleClaim, TitleMessage,
    UT_METADATA_ID, UT_METADATA_NAME,
};
use piecework_simulation::{Content, NodeId, Said, Script, SessionKey, SimNet, Wire, for_seeds};

use crate::common::{banned_by, closings, within_bounds};
use crate::scene::{
    BLOCKS, buyer, buyer_config, content, net, revealed, seller, seller_config, sent, unit,
    until_complete,
};

const SEEDS: u64 = 24;
const REGISTRY: Address = Address::repeat_byte(0x52);

fn publisher(number: u8) -> SessionKey {
    SessionKey::new([number; 32])
}

fn signed(content: &Content, by: &SessionKey) -> SignedTitle {
    let title = Title {
        name: "A film".to_owned(),
        info_hash: content.info_hash(),
        info_hash_v2: B256::ZERO,
        length: content.metainfo.total_length,
        publisher: by.address(),
        creator: Address::repeat_byte(0xc4),
        bps: 500,
        licence: "CC-BY-4.0".to_owned(),
        key_hash: B256::ZERO,
        previous: B256::ZERO,
        salt: B256::ZERO,
        created: 1_700_000_000,
    };
    let registry = Registry {
        address: REGISTRY,
        chain_id: 1,
    };
    let signature = by.sign(title.digest(&registry));
    SignedTitle {
        title,
        registry,
        signature,
    }
}

/// The same content as its publisher's .torrent, which is sold under the title's id.
fn with_title(content: &Content, title: &SignedTitle) -> Content {
    let mut titled = content.clone();
    titled.metainfo.title = Some(title.to_bytes().into());
    titled.metainfo.content = Some(title.title.id().0);
    titled
}

/// A link that names the signer and nothing else.
fn pinned(content: &Content, by: &SessionKey) -> Source {
    Source::Magnet(format!("{}&pw.by={}", content.magnet(), by.address()))
}

fn standing(net: &SimNet, node: NodeId, content: &Content) -> TitleStanding {
    let title = net.client(node).title(content.info_hash());
    title.expect("the torrent is taken up")
}

fn fits(net: &SimNet, node: NodeId, content: &Content) -> bool {
    matches!(standing(net, node, content), TitleStanding::Fits(_))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Everything that was redeemed was sold under this id.
fn sold_under(net: &mut SimNet, seller: NodeId, title: &SignedTitle) {
    net.redeem_all(seller);
    let log = net.vault.log();
    assert!(!log.is_empty());
    assert!((log.iter()).all(|paid| paid.voucher.content == title.title.id()));
}

/// A further extension handshake, which replaces the one before (BEP 10).
fn say_claim(wire: &mut Wire<'_>, title: Option<TitleClaim>) {
    let mut ours = ExtendedHandshake {
        metadata_size: Some(wire.content.metainfo.info.len() as u32),
        title,
        ..ExtendedHandshake::default()
    };
    (ours.m).insert(UT_METADATA_NAME.to_owned(), UT_METADATA_ID);
    (ours.m).insert(PW_TITLE_NAME.to_owned(), PW_TITLE_ID);
    let (id, payload) = (EXTENDED_HANDSHAKE_ID, ours.encode());
    wire.say(&Message::Extended { id, payload });
}

/// A peer that has the whole content for nothing and is no client of ours; `answer` is what it sends who asks for the
/// title that it claims.
fn claims(claim: TitleClaim, answer: impl Fn() -> Bytes + 'static) -> Script {
    Box::new(move |wire: &mut Wire<'_>, said: Said<'_>| {
        wire.serve(&said);
        match said {
            Said::Open => {
                say_claim(wire, Some(claim));
            }
            Said::Message(20, [PW_TITLE_ID, payload @ ..]) => {
                let payload = Bytes::copy_from_slice(payload);
                if TitleMessage::decode(&payload) == Ok(TitleMessage::Request) {
                    let payload = TitleMessage::Title(answer()).encode();
                    wire.say(&Message::Extended {
                        id: PW_TITLE_ID,
                        payload,
                    });
                }
            }
            _ => {}
        }
    })
}

fn claim_of(title: &SignedTitle) -> TitleClaim {
    TitleClaim {
        publisher: title.title.publisher,
        id: title.title.id(),
    }
}

#[test]
fn a_link_that_names_the_signer_gets_the_title_from_a_seller_and_buys_under_its_id() {
    for_seeds(SEEDS, |seed| {
        let mut net = net(seed);
        let plain = content(seed);
        let title = signed(&plain, &publisher(1));
        let cheat = seller(&mut net, 1, &plain);
        let honest = seller(&mut net, 2, &with_title(&plain, &title));
        let node = buyer(&mut net);
        net.add(node, pinned(&plain, &publisher(1)), AddOptions::default());
        let complete = net.run_until(seconds(300), |net| {
            within_bounds(net, node);
            within_bounds(net, honest);
            if revealed(net, node, 1) + revealed(net, node, 2) > 0 {
                assert!(fits(net, node, &plain), "seed {seed}");
            }
            net.is_complete(node, &plain)
        });
        assert!(complete, "seed {seed}");
        net.run_for(seconds(5));
        let TitleStanding::Fits(got) = standing(&net, node, &plain) else {
            panic!("seed {seed}");
        };
        assert_eq!(*got, title);
        assert_eq!(revealed(&net, node, 1), 0, "seed {seed}");
        assert_eq!(sent(&net, cheat, node, &plain), 0, "seed {seed}");
        assert_eq!(revealed(&net, node, 2), BLOCKS, "seed {seed}");
        sold_under(&mut net, honest, &title);
    });
}

#[test]
fn a_link_whose_title_nobody_has_buys_nothing_until_it_comes() {
    for_seeds(SEEDS, |seed| {
        let mut net = net(seed);
        let plain = content(seed);
        let title = signed(&plain, &publisher(1));
        let unsigned = seller(&mut net, 1, &plain);
        // Signed, and by somebody else: an honest title of the same content that this link does not mean.
        let curated = signed(&plain, &publisher(2));
        let curator = seller(&mut net, 2, &with_title(&plain, &curated));
        let node = buyer(&mut net);
        net.add(node, pinned(&plain, &publisher(1)), AddOptions::default());
        net.run_for(seconds(120));
        assert_eq!(standing(&net, node, &plain), TitleStanding::Awaited);
        for (from, payee) in [(unsigned, 1), (curator, 2)] {
            assert_eq!(revealed(&net, node, payee), 0, "seed {seed}");
            assert_eq!(sent(&net, from, node, &plain), 0, "seed {seed}");
        }
        assert_eq!(net.snapshot(node).money.vouchers_signed, 0, "seed {seed}");
        let needs = |e: &Event| matches!(e, Event::PaymentNeeded { .. });
        assert!(!net.events(node).any(needs), "seed {seed}");
        assert_eq!(banned_by(&net, node), []);

        let late = seller(&mut net, 3, &with_title(&plain, &title));
        assert!(until_complete(&mut net, node, &plain, 600), "seed {seed}");
        net.run_for(seconds(5));
        assert_eq!(revealed(&net, node, 3), BLOCKS, "seed {seed}");
        sold_under(&mut net, late, &title);
    });
}

#[test]
fn free_blocks_come_while_the_title_is_awaited() {
    for_seeds(SEEDS, |seed| {
        let mut net = net(seed);
        let plain = content(seed);
        let free = net.node(SimNet::config());
        net.seed(free, &plain);
        seller(&mut net, 1, &plain);
        let node = buyer(&mut net);
        net.add(node, pinned(&plain, &publisher(1)), AddOptions::default());
        assert!(until_complete(&mut net, node, &plain, 300), "seed {seed}");
        assert_eq!(standing(&net, node, &plain), TitleStanding::Awaited);
        assert_eq!(net.snapshot(node).money.vouchers_signed, 0, "seed {seed}");
    });
}

#[test]
fn who_sends_another_title_than_it_claims_ends_and_the_right_one_comes_from_another() {
    for_seeds(SEEDS, |seed| {
        let mut net = net(seed);
        let plain = content(seed);
        let title = signed(&plain, &publisher(1));
        let mut forged = signed(&plain, &publisher(2));
        forged.title.publisher = publisher(1).address();
        let mut longer = title.clone();
        longer.title.length += 1;
        longer.signature = publisher(1).sign(longer.title.digest(&longer.registry));
        let others = signed(&plain, &publisher(2));
        let lies: [Bytes; 4] = [
            Bytes::from_static(b"de"),
            forged.to_bytes().into(),
            longer.to_bytes().into(),
            others.to_bytes().into(),
        ];
        let liars = lies.map(|lie| {
            let claim = claim_of(&title);
            net.puppet(&plain, move || {
                let lie = lie.clone();
                claims(claim, move || lie.clone())
            })
        });
        let node = buyer(&mut net);
        net.add(node, pinned(&plain, &publisher(1)), AddOptions::default());
        let found_out = net.run_until(seconds(300), |net| {
            within_bounds(net, node);
            let banned = banned_by(net, node);
            liars.iter().all(|liar| banned.contains(liar))
        });
        assert!(found_out, "seed {seed}: {:?}", closings(&net, node));
        assert_eq!(standing(&net, node, &plain), TitleStanding::Awaited);
        seller(&mut net, 3, &with_title(&plain, &title));
        let fit = net.run_until(seconds(300), |net| fits(net, node, &plain));
        assert!(fit, "seed {seed}");
    });
}

#[test]
fn a_title_that_nobody_asked_for_ends_its_sender() {
    for_seeds(SEEDS, |seed| {
        let mut net = net(seed);
        let plain = content(seed);
        let title = signed(&plain, &publisher(1));
        let bytes = Bytes::from(title.to_bytes());
        let pusher = net.puppet(&plain, move || {
            let payload = TitleMessage::Title(bytes.clone()).encode();
            let mut waits = Some(payload);
            Box::new(move |wire: &mut Wire<'_>, said: Said<'_>| {
                wire.serve(&said);
                if let Said::Message(20, [EXTENDED_HANDSHAKE_ID, ..]) = said
                    && let Some(payload) = waits.take()
                {
                    let id = PW_TITLE_ID;
                    wire.say(&Message::Extended { id, payload });
                }
            })
        });
        let node = buyer(&mut net);
        net.add(node, pinned(&plain, &publisher(1)), AddOptions::default());
        let closed = net.run_until(seconds(120), |net| {
            let mut closings = closings(net, node).into_iter();
            closings.any(|(who, why)| who == pusher && matches!(why, ClosedReason::Protocol(_)))
        });
        assert!(closed, "seed {seed}");
        assert!(!fits(&net, node, &plain), "seed {seed}");
    });
}

#[test]
fn each_peer_is_asked_once_and_answers_once() {
    for_seeds(SEEDS, |seed| {
        let mut net = net(seed);
        let plain = content(seed);
        let title = signed(&plain, &publisher(1));
        // It claims again and again, and answers nothing.
        let asked = Arc::new(AtomicUsize::new(0));
        let (count, claim) = (Arc::clone(&asked), claim_of(&title));
        net.puppet(&plain, move || {
            let count = Arc::clone(&count);
            Box::new(move |wire: &mut Wire<'_>, said: Said<'_>| {
                wire.serve(&said);
                if matches!(said, Said::Open | Said::Wake) {
                    say_claim(wire, Some(claim));
                    wire.wake_in(seconds(1));
                }
                if let Said::Message(20, [PW_TITLE_ID, ..]) = said {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let config = Config {
            payment: buyer_config(&net).payment,
            ..SimNet::config()
        };
        let node = net.node(config);
        net.add(node, pinned(&plain, &publisher(1)), AddOptions::default());
        net.run_for(seconds(60));
        assert_eq!(asked.load(Ordering::Relaxed), 1, "seed {seed}");
        assert_eq!(standing(&net, node, &plain), TitleStanding::Awaited);

        // One that asks without end, of a seller: it gets one title, and refusals.
        let got = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&got);
        let greedy = net.puppet(&plain, move || {
            let count = Arc::clone(&count);
            Box::new(move |wire: &mut Wire<'_>, said: Said<'_>| match said {
                Said::Open => {
                    wire.greet_as_leecher();
                    say_claim(wire, None);
                    wire.wake_in(seconds(1));
                }
                Said::Wake => {
                    let (id, payload) = (PW_TITLE_ID, TitleMessage::Request.encode());
                    for _ in 0..100 {
                        wire.say(&Message::Extended {
                            id,
                            payload: payload.clone(),
                        });
                    }
                    wire.wake_in(seconds(1));
                }
                Said::Message(20, [PW_TITLE_ID, payload @ ..]) => {
                    let payload = Bytes::copy_from_slice(payload);
                    if let Ok(TitleMessage::Title(_)) = TitleMessage::decode(&payload) {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
                _ => {}
            })
        });
        let owner = seller(&mut net, 4, &with_title(&plain, &title));
        net.run_until(seconds(60), |net| {
            within_bounds(net, owner);
            false
        });
        let meetings = net.channels(owner, greedy).max(1);
        assert!(got.load(Ordering::Relaxed) >= 1, "seed {seed}");
        assert!(got.load(Ordering::Relaxed) <= meetings, "seed {seed}");
    });
}

#[test]
fn a_torrent_whose_title_does_not_fit_buys_nothing_at_this_visit_and_later() {
    for_seeds(SEEDS, |seed| {
        let mut net = net(seed);
        let plain = content(seed);
        let mut forged = signed(&plain, &publisher(1));
        forged.title.bps = 0;
        let cheat = with_title(&plain, &forged);
        seller(&mut net, 1, &cheat);
        let node = buyer(&mut net);
        net.leech(node, &cheat);
        net.run_for(seconds(60));
        let wrong = |net: &SimNet| match standing(net, node, &plain) {
            TitleStanding::Wrong(why) => why,
            other => panic!("seed {seed}: {other:?}"),
        };
        assert_eq!(wrong(&net), "the signature is not its publisher's");
        net.kill_process(node);
        net.start(node);
        net.set_account(node);
        let options = AddOptions {
            check: CheckExisting::Resume,
            ..AddOptions::default()
        };
        net.add(node, Source::Stored(plain.info_hash()), options);
        net.run_for(seconds(60));
        assert_eq!(wrong(&net), "the signature is not its publisher's");
        assert_eq!(revealed(&net, node, 1), 0, "seed {seed}");
        assert_eq!(net.snapshot(node).money.vouchers_signed, 0, "seed {seed}");
    });
}

#[test]
fn a_title_is_kept_over_a_kill_and_nobody_is_asked_again() {
    for_seeds(SEEDS, |seed| {
        let mut net = net(seed);
        let plain = content(seed);
        let title = signed(&plain, &publisher(1));
        let bringer = seller(&mut net, 1, &with_title(&plain, &title));
        let node = buyer(&mut net);
        net.add(node, pinned(&plain, &publisher(1)), AddOptions::default());
        // Killed at the very step at which it came, or at some later one.
        let came = net.run_until(seconds(300), |net| fits(net, node, &plain));
        assert!(came, "seed {seed}");
        net.run_for(Duration::from_millis(seed * 100));
        net.kill_process(node);
        net.kill_process(bringer);
        let cheat = seller(&mut net, 2, &plain);
        net.start(node);
        net.set_account(node);
        let options = AddOptions {
            check: CheckExisting::Resume,
            ..AddOptions::default()
        };
        net.add(node, Source::Stored(plain.info_hash()), options);
        net.run_for(seconds(60));
        match standing(&net, node, &plain) {
            TitleStanding::Fits(got) => assert_eq!(*got, title),
            // The record was not durable yet.
            TitleStanding::Awaited => assert!(seed * 100 < 1_000, "seed {seed}"),
            other => panic!("seed {seed}: {other:?}"),
        }
        assert_eq!(revealed(&net, node, 2), 0, "seed {seed}");
        assert_eq!(sent(&net, cheat, node, &plain), 0, "seed {seed}");
    });
}

#[test]
fn a_seller_by_link_sells_under_the_id_once_it_has_the_title_and_passes_it_on() {
    for_seeds(SEEDS, |seed| {
        let mut net = net(seed);
        let plain = content(seed);
        let title = signed(&plain, &publisher(1));
        let first = seller(&mut net, 1, &with_title(&plain, &title));
        // It buys by link, and sells on.
        let mut config = seller_config(&net, 2, unit());
        if let (Some(own), Some(buys)) = (&mut config.payment, buyer_config(&net).payment) {
            own.buy = buys.buy;
        }
        let second = net.node(config);
        net.fund(second, crate::scene::DEPOSIT, crate::scene::TRANCHE);
        net.add(second, pinned(&plain, &publisher(1)), AddOptions::default());
        assert!(until_complete(&mut net, second, &plain, 300), "seed {seed}");
        net.kill_process(first);
        let third = buyer(&mut net);
        net.add(third, pinned(&plain, &publisher(1)), AddOptions::default());
        assert!(until_complete(&mut net, third, &plain, 600), "seed {seed}");
        net.run_for(seconds(5));
        assert_eq!(revealed(&net, third, 2), BLOCKS, "seed {seed}");
        sold_under(&mut net, second, &title);
    });
}

#[test]
fn the_last_link_says_whose_title_it_is_to_be() {
    for_seeds(SEEDS, |seed| {
        let mut net = net(seed);
        let plain = content(seed);
        let title = signed(&plain, &publisher(1));
        let node = buyer(&mut net);
        net.leech(node, &with_title(&plain, &title));
        net.run_for(seconds(10));
        assert!(fits(&net, node, &plain), "seed {seed}");
        net.add(node, pinned(&plain, &publisher(2)), AddOptions::default());
        seller(&mut net, 1, &with_title(&plain, &title));
        net.run_for(seconds(60));
        let TitleStanding::Wrong(why) = standing(&net, node, &plain) else {
            panic!("seed {seed}");
        };
        assert!(why.starts_with("the link is of 0x"), "{why}");
        assert_eq!(revealed(&net, node, 1), 0, "seed {seed}");

        // The other's title comes, and a later visit goes by it.
        let curated = signed(&plain, &publisher(2));
        let curator = seller(&mut net, 2, &with_title(&plain, &curated));
        let came = net.run_until(seconds(300), |net| fits(net, node, &plain));
        assert!(came, "seed {seed}");
        net.run_for(seconds(3));
        net.kill_process(node);
        crate::scene::reopen(&mut net, node, &plain);
        assert!(until_complete(&mut net, node, &plain, 300), "seed {seed}");
        let TitleStanding::Fits(got) = standing(&net, node, &plain) else {
            panic!("seed {seed}");
        };
        assert_eq!(*got, curated, "seed {seed}");
        net.run_for(seconds(5));
        assert_eq!(revealed(&net, node, 1), 0, "seed {seed}");
        sold_under(&mut net, curator, &curated);
    });
}

#[test]
fn a_seller_without_the_title_gets_it_from_its_buyer_and_quotes_its_id() {
    for_seeds(SEEDS, |seed| {
        let mut net = net(seed);
        let plain = content(seed);
        let title = signed(&plain, &publisher(1));
        net.watch_content(&plain);
        // It has all the bytes, and knows nothing but its link.
        let config = seller_config(&net, 1, unit());
        let seller = net.node(config);
        net.disk(seller).place(&plain);
        let options = AddOptions {
            check: CheckExisting::Recheck,
            ..AddOptions::default()
        };
        net.add(seller, pinned(&plain, &publisher(1)), options);
        let node = buyer(&mut net);
        net.leech(node, &with_title(&plain, &title));
        assert!(until_complete(&mut net, node, &plain, 300), "seed {seed}");
        net.run_for(seconds(5));
        assert!(fits(&net, seller, &plain), "seed {seed}");
        assert_eq!(revealed(&net, node, 1), BLOCKS, "seed {seed}");
        sold_under(&mut net, seller, &title);
    });
}

#[test]
fn a_title_that_comes_while_blocks_are_bought_counts_for_what_is_promised_later() {
    for_seeds(SEEDS, |seed| {
        let mut net = net(seed);
        let plain = content(seed);
        let title = signed(&plain, &publisher(1));
        let unsigned = seller(&mut net, 1, &plain);
        let node = buyer(&mut net);
        net.leech(node, &plain);
        let begun = net.run_until(seconds(300), |net| revealed(net, node, 1) > 0);
        assert!(begun, "seed {seed}");
        let titled = with_title(&plain, &title);
        net.leech(node, &titled);
        let promised = net.snapshot(node).money.vouchers_signed;
        let honest = seller(&mut net, 2, &titled);
        assert!(until_complete(&mut net, node, &plain, 300), "seed {seed}");
        net.run_for(seconds(5));
        assert!(fits(&net, node, &plain), "seed {seed}");
        let bought = [1, 2].map(|payee| revealed(&net, node, payee));
        assert_eq!(
            bought.iter().sum::<u64>(),
            BLOCKS,
            "seed {seed}: {bought:?}"
        );
        // Serials worth six blocks each: more than the promises of that time were worth went to the other.
        assert!(bought[0] <= promised * 4 * 6, "seed {seed}: {bought:?}");
        net.redeem_all(unsigned);
        net.redeem_all(honest);
        for paid in net.vault.log() {
            let id = match paid.payee == Address::repeat_byte(1) {
                true => B256::ZERO,
                false => title.title.id(),
            };
            assert_eq!(paid.voucher.content, id, "seed {seed}");
        }
    });
}
