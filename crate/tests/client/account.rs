//! Which answers of the chain a client takes for the state of the account that it is to buy from.

use alloy_primitives::{Address, B256, U256};
use piecework::client::{
    AccountState, BuyConfig, Client, Command, Config, Effect, EffectResult, Input, Output,
    PaymentConfig,
};
use piecework::payment::voucher::account_id;
use piecework::time::{Duration, Timestamp};
use piecework::types::{EffectId, FineUnits, TokenUnits};

const OWNER: Address = Address::repeat_byte(0x22);
const KEY: Address = Address::repeat_byte(0x55);
const CHAIN_ID: u64 = 31_337;

fn deposit(balance: u128) -> AccountState {
    AccountState {
        balance: TokenUnits(balance),
        tranche: TokenUnits(10_000),
        consumed: 1,
        known: true,
        bond: TokenUnits(2_500_000),
        exit_at: 0,
        spent_word: U256::ONE,
        chain_id: CHAIN_ID,
        block_number: 1,
        timestamp: 1,
    }
}

struct Page {
    client: Client,
    now: Timestamp,
    /// Reads of the chain that nobody answered yet.
    reads: Vec<(EffectId, B256)>,
    timeout: Timestamp,
}

impl Page {
    fn new() -> Page {
        let payment = PaymentConfig {
            vault: Address::repeat_byte(0x44),
            chain_id: CHAIN_ID,
            buy: Some(BuyConfig {
                max_price: FineUnits(1 << 30),
                budget: TokenUnits(1_000_000),
                loss_budget_pieces: 4,
            }),
            sell: None,
        };
        let config = Config {
            payment: Some(payment),
            ..Config::default()
        };
        let now = Timestamp::from_millis(1_000_000);
        Page {
            client: Client::new(config, [7; 32], [], now),
            now,
            reads: Vec::new(),
            timeout: Timestamp::NEVER,
        }
    }

    fn input(&mut self, input: Input) {
        self.client.handle_input(self.now, input);
        loop {
            match self.client.poll_output() {
                Output::Effect {
                    id,
                    effect: Effect::ReadAccount { account, .. },
                } => self.reads.push((id, account)),
                Output::Timeout(at) => {
                    self.timeout = at;
                    return;
                }
                _ => {}
            }
        }
    }

    fn command(&mut self, command: Command) {
        self.input(Input::Command(command));
    }

    /// The wallet's account, with this browser's key.
    fn account(&mut self, owner: Address) {
        self.command(Command::SetAccount {
            owner,
            session_key: KEY,
        });
    }

    /// Answers everything that is asked now, and what is asked then, with what is known of each account.
    fn answer(&mut self, of: impl Fn(B256) -> AccountState) {
        while let Some((id, account)) = self.reads.pop() {
            let result = Ok(EffectResult::Account(of(account)));
            self.input(Input::EffectDone { id, result });
        }
    }

    /// Time passes; everything that is asked is answered. How often the chain was asked.
    fn later(&mut self, by: Duration, of: impl Fn(B256) -> AccountState) -> usize {
        let (to, mut reads) = (self.now + by, 0);
        while self.timeout <= to {
            self.now = self.timeout.max(self.now + Duration::from_millis(1));
            self.input(Input::Tick);
            reads += self.reads.len();
            self.answer(&of);
        }
        self.now = to;
        reads
    }

    /// What is left of the deposit; `None` where there is none.
    fn balance(&self) -> Option<u128> {
        let money = self.client.snapshot().money;
        money.account_ready.then_some(money.balance.0)
    }
}

#[test]
fn an_answer_about_another_account_is_not_taken_for_the_one_that_was_selected_meanwhile() {
    let mut page = Page::new();
    let other = Address::repeat_byte(0x23);
    page.account(OWNER);
    page.account(other);
    let rich = account_id(OWNER, KEY);
    let of = |account| AccountState {
        known: account == rich,
        ..deposit(2_000_000)
    };
    page.answer(of);
    assert_eq!(page.balance(), None, "nobody deposited for it");
    page.account(OWNER);
    page.answer(of);
    assert_eq!(page.balance(), Some(2_000_000));
}

#[test]
fn a_deposit_that_a_node_does_not_see_at_once_is_looked_for_until_it_does() {
    let mut page = Page::new();
    page.account(OWNER);
    page.answer(|_| deposit(20_000));
    // The wallet says that it is in a block, while a read is on its way, or while none is.
    page.command(Command::RefreshAccount);
    page.command(Command::RefreshAccount);
    page.answer(|_| deposit(20_000));
    assert_eq!(page.balance(), Some(20_000));
    let asked = page.later(Duration::from_secs(3), |_| deposit(2_000_000));
    assert_eq!((asked, page.balance()), (1, Some(2_000_000)));
    // It is not asked for without end: not where it is seen, and not where nothing changed.
    let asked = page.later(Duration::from_secs(600), |_| deposit(2_000_000));
    assert_eq!(asked, 0);
    page.command(Command::RefreshAccount);
    page.answer(|_| deposit(2_000_000));
    let asked = page.later(Duration::from_secs(600), |_| deposit(2_000_000));
    assert_eq!(asked, 4);
}

#[test]
fn what_was_read_of_an_account_is_not_shown_for_the_next_one() {
    let mut page = Page::new();
    page.account(OWNER);
    page.answer(|_| deposit(2_000_000));
    page.account(OWNER);
    assert_eq!(page.balance(), Some(2_000_000), "it is the same");
    page.account(Address::repeat_byte(0x23));
    assert_eq!(page.balance(), None, "nobody read it yet");
    page.answer(|_| deposit(30_000));
    assert_eq!(page.balance(), Some(30_000));
}
