//! Orders with tokens of other decimals, and of which one is worth a lot or next to nothing: the sums are those of the
//! blocks, nothing rounds to nothing, and a seller loses at most the part of a unit of each range.

use crate::common::{complete, minutes, trader};
use crate::scene::reopen;
use alloy_primitives::{Address, B256};
use piecework::client::{Command, Config, RedeemScope, ResalePrice};
use piecework::time::Duration;
use piecework::types::{FineUnits, TokenUnits};
use piecework_simulation::{Content, NetConfig, NodeId, SimNet, for_seeds};

const SEEDS: u64 = 40;
const BLOCK: u64 = 16 * 1024;
const LENGTH: usize = 2_000_000;

/// A token, by the sums that its users take. All are token units.
struct Token {
    name: &'static str,
    per_gb: u128,
    deposit: u128,
    tranche: u128,
    /// The least that is redeemed, and the gas of a claim.
    least: (u128, u128),
}

const ONE_18: u128 = 1_000_000_000_000_000_000;

/// About ten dollars per GB each, and a deposit of two dollars.
const TOKENS: [Token; 5] = [
    Token {
        name: "no decimals, a unit is a tenth of a cent",
        per_gb: 10_000,
        deposit: 2_000,
        tranche: 10,
        least: (10, 1),
    },
    Token {
        name: "six decimals, a dollar",
        per_gb: 10_000_000,
        deposit: 2_000_000,
        tranche: 10_000,
        least: (8_100, 810),
    },
    Token {
        name: "18 decimals, a dollar",
        per_gb: 10 * ONE_18,
        deposit: 2 * ONE_18,
        tranche: ONE_18 / 100,
        least: (81 * ONE_18 / 10_000, 81 * ONE_18 / 100_000),
    },
    Token {
        name: "18 decimals, a millionth of a dollar",
        per_gb: 10_000_000 * ONE_18,
        deposit: 2_000_000 * ONE_18,
        // A fourth of what a voucher holds.
        tranche: (1 << 70) - 1,
        least: (81 * ONE_18, 81 * ONE_18 / 10),
    },
    Token {
        name: "eight decimals, 60,000 dollars",
        per_gb: 16_667,
        deposit: 3_336,
        tranche: 20,
        least: (14, 2),
    },
];

impl Token {
    fn price(&self) -> FineUnits {
        FineUnits::per_block_from_per_gb(self.per_gb)
    }

    fn seller(&self, net: &SimNet) -> Config {
        let mut config = trader(net, 1, ResalePrice::Fixed(self.price()), None);
        let sell = config.payment.as_mut().and_then(|p| p.sell.as_mut());
        sell.expect("it sells").dust = TokenUnits(self.least.0);
        config
    }

    fn buyer(&self, net: &mut SimNet) -> (NodeId, B256) {
        let most = FineUnits(self.price().0 * 2);
        let mut config = trader(net, 2, ResalePrice::PercentOfPaid(50), Some(most));
        let buy = config.payment.as_mut().and_then(|p| p.buy.as_mut());
        buy.expect("it buys").budget = TokenUnits(self.deposit);
        let node = net.node(config);
        let account = net.fund(node, self.deposit, self.tranche);
        (node, account)
    }
}

/// The seller lets its least claim follow the price of gas.
fn follow(net: &mut SimNet, seller: NodeId, (dust, gas): (u128, u128)) {
    let (dust, item_gas) = (TokenUnits(dust), TokenUnits(gas));
    net.command(seller, Command::SetDust { dust, item_gas });
}

/// Redeems what is due every half minute, as a seller does by itself, until the order is done.
fn serve(net: &mut SimNet, seller: NodeId, buyer: NodeId, content: &Content) {
    for _ in 0..40 {
        if net.is_complete(buyer, content) {
            return;
        }
        net.command(seller, Command::PrepareRedeem(RedeemScope::Due));
        net.run_for(Duration::from_secs(30));
    }
    complete(net, &[buyer], content, minutes(1));
}

/// A whole order: the title, its seller, and its buyer with the account.
fn ordered(token: &Token, seed: u64) -> (SimNet, Content, NodeId, (NodeId, B256)) {
    let mut net = SimNet::new(seed, NetConfig::default());
    let content = Content::file(seed, LENGTH, 64 * 1024);
    let seller = token.seller(&net);
    let a = net.node(seller);
    net.seed(a, &content);
    follow(&mut net, a, token.least);
    let (b, account) = token.buyer(&mut net);
    net.leech(b, &content);
    serve(&mut net, a, b, &content);
    (net, content, a, (b, account))
}

/// Redeems the rest: what the chain paid is what the ledger says, and no more than the blocks cost.
fn settle(net: &mut SimNet, token: &Token, seed: u64, seller: NodeId, owed: FineUnits) -> u128 {
    net.run_for(Duration::from_secs(5));
    net.redeem_all(seller);
    let money = net.snapshot(seller).money;
    let paid = net.vault.paid_to(Address::repeat_byte(1)).0;
    let (name, claims) = (token.name, net.vault.log().len() as u128);
    assert_eq!(money.redeemed.0, paid, "{name}, seed {seed}");
    assert_eq!(money.redeemable.0, 0, "{name}, seed {seed}");
    let owed = owed.floor().0;
    assert!(
        paid <= owed && paid + claims >= owed,
        "{name}, seed {seed}: {paid} of {owed} in {claims} claims"
    );
    assert!(paid > 0, "{name}, seed {seed}: the sum rounds to nothing");
    paid
}

#[test]
fn an_order_costs_its_blocks_in_any_token_and_the_seller_gets_it() {
    for token in &TOKENS {
        for_seeds(SEEDS, |seed| {
            let (mut net, content, a, (b, account)) = ordered(token, seed);
            net.run_for(Duration::from_secs(5));
            let hash = content.info_hash();
            let (sold, bought) = (net.torrent(a, hash).unwrap(), net.torrent(b, hash).unwrap());
            let price = FineUnits(token.price().0 * u128::from(bought.block_count));
            assert_eq!(bought.spent, price, "{}, seed {seed}", token.name);
            assert_eq!(sold.earned, price, "{}, seed {seed}", token.name);
            let paid = settle(&mut net, token, seed, a, price);
            assert_eq!(
                net.vault.balance(account),
                TokenUnits(token.deposit - paid),
                "{}",
                token.name
            );
        });
    }
}

#[test]
fn a_buyer_that_crashes_again_and_again_pays_no_more_than_it_got_in_any_token() {
    for token in &TOKENS {
        for_seeds(SEEDS, |seed| {
            let net_config = NetConfig {
                uplink: 260_000..520_000,
                ..NetConfig::default()
            };
            let mut net = SimNet::new(seed, net_config);
            let content = Content::file(seed, LENGTH, 64 * 1024);
            let seller = token.seller(&net);
            let a = net.node(seller);
            net.seed(a, &content);
            let (b, _) = token.buyer(&mut net);
            net.leech(b, &content);
            for _ in 0..3 {
                let time = net.random.number(800..4_000);
                net.run_for(Duration::from_millis(time));
                if net.is_complete(b, &content) {
                    break;
                }
                net.crash(b);
                net.run_for(Duration::from_millis(300));
                reopen(&mut net, b, &content);
            }
            serve(&mut net, a, b, &content);
            net.run_for(Duration::from_secs(5));
            net.redeem_all(a);
            let sent = u128::from(net.watch.sent(a, b, content.info_hash()).div_ceil(BLOCK));
            let paid = net.vault.paid_to(Address::repeat_byte(1)).0;
            let most = FineUnits(token.price().0 * sent).floor().0;
            assert!(
                (1..=most).contains(&paid),
                "{}, seed {seed}: {paid} of {most} for {sent} blocks",
                token.name
            );
        });
    }
}

#[test]
fn of_a_buyer_that_exits_everything_that_is_worth_its_gas_is_redeemed_in_any_token() {
    for token in &TOKENS {
        for_seeds(SEEDS, |seed| {
            let (mut net, content, a, (b, _)) = ordered(token, seed);
            net.exit(b);
            net.run_for(minutes(30));
            net.command(a, Command::PrepareRedeem(RedeemScope::Due));
            net.run_for(minutes(2));
            let left = net.snapshot(a).money;
            let most = token.least.1 * u128::from(left.redeemable_ranges);
            assert!(
                left.redeemable.0 <= most,
                "{}, seed {seed}: {:?} in {} ranges is left",
                token.name,
                left.redeemable,
                left.redeemable_ranges
            );
            let blocks = u128::from(net.torrent(b, content.info_hash()).unwrap().block_count);
            let price = FineUnits(token.price().0 * blocks);
            let paid = settle(&mut net, token, seed, a, price);
            assert!(paid > 0);
        });
    }
}
