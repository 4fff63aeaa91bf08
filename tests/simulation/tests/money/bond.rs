//! The deposit and the bond as the last word: serials promised twice burn the bond, an exit gives sellers time to
//! redeem.

use crate::scene::*;
use piecework::client::Event;
use piecework::payment::record::PayeeRangeRecord;
use piecework::time::Duration;
use piecework::types::TokenUnits;
use piecework::wire::pay::{RejectCode, VoucherBody};
use piecework_simulation::{Content, NodeId, SimNet, SimVault, for_seeds};

/// Of each test here.
const SEEDS: u64 = 500;

fn warned(net: &SimNet, node: NodeId, of: &str) -> bool {
    net.events(node)
        .any(|e| matches!(e, Event::Warning { text, .. } if text.contains(of)))
}

/// A seller's records, as after a restart.
fn own_vouchers(net: &mut SimNet, node: NodeId) -> Vec<VoucherBody> {
    let records = net.disk(node).records();
    let ranges = records
        .iter()
        .filter(|(key, _)| key.starts_with("pay/payee/") && key.contains("/range/"));
    (ranges.map(|(_, bytes)| PayeeRangeRecord::decode(bytes).unwrap()))
        .map(|range| range.voucher.to_body(&range.signature))
        .collect()
}

/// Two clients with one key and no common memory buy two films of two sellers with the same serials. The seller that
/// redeems second finds them consumed, and has the proof: the event and its own voucher.
#[test]
fn who_promised_the_same_serials_elsewhere_loses_its_bond() {
    for_seeds(SEEDS, |seed| {
        let mut net = net(4_000 + seed);
        let films = [content(seed), content(5_000 + seed)];
        let shops = [
            seller(&mut net, 1, &films[0]),
            seller(&mut net, 2, &films[1]),
        ];
        let one = buyer(&mut net);
        let account = net.account_of(one);
        net.watch.clones.insert(account);
        let two = net.node(buyer_config(&net));
        net.share_key(one, two);
        net.leech(one, &films[0]);
        net.leech(two, &films[1]);
        assert!(until_complete(&mut net, one, &films[0], 120));
        assert!(until_complete(&mut net, two, &films[1], 120));
        net.run_for(Duration::from_secs(5));
        assert!(net.vault.bond(account) > TokenUnits(0));

        // Neither seller knows of the other. The first is paid in full.
        let (winner, loser) = if seed % 2 == 0 { (0, 1) } else { (1, 0) };
        let payees = [address(1), address(2)];
        let earned = net.snapshot(shops[loser]).money.redeemable;
        assert!(earned > TokenUnits(0));
        audit_seller(
            &mut net,
            shops[winner],
            winner as u8 + 1,
            &[[one, two][winner]],
            &films[winner],
            CREDIT0,
        );
        net.redeem_all(shops[loser]);
        net.run_for(Duration::from_secs(60));
        let lost = TokenUnits(earned.0 - net.vault.paid_to(payees[loser]).0);
        assert!(
            lost > TokenUnits(0),
            "seed {seed}: no serial was promised twice"
        );
        // It does not count the sum that it did not get as redeemed, and reports the event.
        let money = net.snapshot(shops[loser]).money;
        assert_eq!(
            money.redeemed,
            net.vault.paid_to(payees[loser]),
            "seed {seed}"
        );
        assert!(
            warned(&net, shops[loser], "promised to two payees"),
            "seed {seed}"
        );

        // The event and its own voucher are the proof.
        let own = own_vouchers(&mut net, shops[loser]);
        let proof = net.vault.log().iter().find_map(|event| {
            let clash = own.iter().find(|v| {
                event.account == account
                    && event.payee == payees[winner]
                    && v.first < event.voucher.first + u32::from(event.voucher.count)
                    && event.voucher.first < v.first + u32::from(v.count)
            })?;
            Some((event.voucher, *clash))
        });
        let (theirs, mine) = proof.expect("the log holds the whole voucher");
        let same = net.vault.slash(
            payees[loser],
            (payees[loser], &mine),
            (payees[loser], &mine),
        );
        assert_eq!(same, Err("NotConflicting"), "one voucher is no proof");
        let slashed = net.vault.slash(
            payees[loser],
            (payees[winner], &theirs),
            (payees[loser], &mine),
        );
        let slashed = slashed.expect("the bond burns");
        assert_eq!(slashed.account, account);
        assert_eq!(slashed.burned.0 + slashed.bounty.0, DEPOSIT * 5 / 4);
        assert_eq!(net.vault.credit(payees[loser]), slashed.bounty);
        assert!(slashed.burned > lost, "it cost more than it brought");
        assert_eq!(net.vault.bond(account), TokenUnits(0));

        // Nobody sells to it any more.
        let third = content(6_000 + seed);
        let shop = seller(&mut net, 3, &third);
        net.leech(one, &third);
        net.run_for(Duration::from_secs(60));
        assert_eq!(sent(&net, shop, one, &third), 0);
        let refused = net.watch.books.rejects.get(&(shop, one));
        let knows = warned(&net, one, "bond")
            || net
                .torrent(one, third.info_hash())
                .unwrap()
                .peers
                .iter()
                .any(|p| !p.buying.note.is_empty());
        assert!(
            refused.is_some_and(|r| r.contains(&RejectCode::BondTooLow)) || knows,
            "seed {seed}"
        );
    });
}

/// No two vouchers of an honest account prove anything.
#[test]
fn an_honest_payer_can_not_be_slashed_by_all_its_vouchers() {
    for_seeds(SEEDS, |seed| {
        let mut net = net(4_500 + seed);
        let film = content(seed);
        let shops = [seller(&mut net, 1, &film), seller(&mut net, 2, &film)];
        let one = buyer(&mut net);
        net.leech(one, &film);
        net.run_for(Duration::from_secs(2));
        net.vanish(one, Duration::from_secs(4));
        reopen(&mut net, one, &film);
        assert!(until_complete(&mut net, one, &film, 300));
        net.run_for(Duration::from_secs(5));
        for shop in shops {
            net.redeem_all(shop);
        }
        let all: Vec<_> = (net.watch.commits.iter())
            .map(|c| (c.payee, c.voucher))
            .collect();
        for x in &all {
            for y in &all {
                let slashed = net.vault.slash(address(9), (x.0, &x.1), (y.0, &y.1));
                assert_eq!(slashed, Err("NotConflicting"), "seed {seed}");
            }
        }
    });
}

/// The owner takes its deposit out in the middle of an order: the seller has three days, and loses nothing.
#[test]
fn an_exit_in_mid_order_is_redeemed_before_the_money_is_gone() {
    for_seeds(SEEDS, |seed| {
        let mut net = net(4_700 + seed);
        // Above dust: 128 blocks are two cents.
        let film = Content::file(seed, 800 * BLOCK as usize, (PIECE_BLOCKS * BLOCK) as u32);
        let shop = seller(&mut net, 1, &film);
        let one = buyer(&mut net);
        let account = net.account_of(one);
        net.leech(one, &film);
        assert!(net.run_until(Duration::from_secs(120), |net| revealed(net, one, 1) >= 100));
        net.exit(one);
        net.run_for(Duration::from_secs(120));
        assert!(
            !net.is_complete(one, &film),
            "seed {seed}: nothing is sold to who exits"
        );
        assert!(warned(&net, shop, "withdraws"), "seed {seed}");
        let refused = &net.watch.books.rejects[&(shop, one)];
        assert!(
            refused.contains(&RejectCode::Exiting),
            "seed {seed}: {refused:?}"
        );
        assert_eq!(net.vault.withdraw(account, net.now), Err("TooEarly"));
        audit_seller(&mut net, shop, 1, &[one], &film, 2 * CREDIT0.max(100 / 4));
        let left = net.vault.balance(account).0 + net.vault.bond(account).0;
        net.now = net.now + SimVault::EXIT_DELAY;
        let got = net.vault.withdraw(account, net.now);
        assert_eq!(got, Ok(TokenUnits(left)));
    });
}
