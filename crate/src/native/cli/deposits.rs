//! `deposit`, `topup`, `exit`, `withdraw` and `claim`: an owner's money at the vault.
//!
//! Invariant: what will be done is said before anything is sent, and each transaction is waited for with an end.

use std::path::Path;

use alloy_primitives::{Address, U256};
use serde_json::{Value, json};

use super::args::{ChainArgs, load_key, load_session_key};
use super::deploy::{note_dir, say_sent, sent_json};
use super::output::{CliError, complain, long_duration, parse_tokens, say, say_json, tokens, utc};
use super::owner_args::{
    ClaimArgs, DepositArgs, ExitArgs, OwnerArgs, SessionArgs, TopUpArgs, WithdrawArgs,
};
use crate::client::AccountState;
use crate::native::chain::{Chain, ChainError, MIN_EXIT_DELAY_SECS};
use crate::native::owner::{Deposit, Owner, bond_for, is_tranche, tranche_for};
use crate::native::sending::{GasCap, Sent};
use crate::native::session_key::is_marked;
use crate::payment::voucher::account_id;
use crate::types::TokenUnits;

/// `piecework deposit`
pub(super) fn deposit(args: &DepositArgs) -> Result<(), CliError> {
    let money = Money::of(&args.owner.chain);
    let deposit = money.deposit(&args.amount, args.bond.as_deref())?;
    let tranche = match &args.tranche {
        Some(text) => money.sum("--tranche", text)?,
        None => tranche_for(money.decimals),
    };
    if !is_tranche(tranche) || deposit.amount < tranche {
        return Err(CliError::Invalid(format!(
            "a deposit of {} cannot be cut into slices of {}: deposit more, or give a smaller --tranche",
            money.show(deposit.amount),
            money.show(tranche)
        )));
    }
    let session = load_session_key(&args.session_key)?.pair.address();
    require_session_key(&args.session_key)?;
    let mut work = Work::begin(&args.owner, "a deposit")?;
    work.refuse_own_key(session)?;
    let account = work.account(session)?;
    if account.known {
        return Err(CliError::Invalid(match account.tranche.0 {
            0 => format!(
                "the account of {session} was withdrawn, and no key opens two: make a new one with `piecework key new --session`"
            ),
            _ => format!(
                "the account of {session} is open already: add to it with `piecework topup`, or make a new key"
            ),
        }));
    }
    work.warn_of_exit_delay()?;
    work.plan.push(format!(
        "{} opens the account of the session key {session}: {} to spend in slices of {}, bond {}",
        work.owner.address(),
        money.show(deposit.amount),
        money.show(tranche),
        money.show(deposit.bond)
    ));
    work.pay_in("open", deposit, |owner| {
        owner.open(session, tranche, deposit)
    })?;
    work.end(session)
}

/// `piecework topup`
pub(super) fn top_up(args: &TopUpArgs) -> Result<(), CliError> {
    let money = Money::of(&args.owner.chain);
    let deposit = money.deposit(&args.amount, args.bond.as_deref())?;
    let session = session_address(&args.session)?;
    let mut work = Work::begin(&args.owner, "a deposit")?;
    let account = work.open_account(session)?;
    if account.exit_at != 0 {
        return Err(CliError::Failed(format!(
            "the account of {session} is on its way out since its exit, which nothing stops: open a new one with a new key"
        )));
    }
    work.plan.push(format!(
        "{} adds {} to the account of {session}, which has {}, and {} to its bond of {}",
        work.owner.address(),
        money.show(deposit.amount),
        money.show(account.balance),
        money.show(deposit.bond),
        money.show(account.bond)
    ));
    work.pay_in("topUp", deposit, |owner| owner.top_up(session, deposit))?;
    work.end(session)
}

/// `piecework exit`
pub(super) fn exit(args: &ExitArgs) -> Result<(), CliError> {
    let session = session_address(&args.session)?;
    let mut work = Work::begin(&args.owner, "an exit")?;
    let account = work.open_account(session)?;
    if account.exit_at == 0 {
        let delay = work.chain.exit_delay().map_err(failed)?;
        work.plan.push(format!(
            "{} asks for {} and the bond of {} back, which can be withdrawn {} later; sellers sell nothing more to this account",
            work.owner.address(),
            work.money.show(account.balance),
            work.money.show(account.bond),
            long_duration(delay)
        ));
        work.one("exit", |owner| owner.exit(session))?;
    } else {
        complain("the account is on its way out already");
    }
    work.end(session)
}

/// `piecework withdraw`
pub(super) fn withdraw(args: &WithdrawArgs) -> Result<(), CliError> {
    let session = session_address(&args.session)?;
    let mut work = Work::begin(&args.owner, "a withdrawal")?;
    let account = work.open_account(session)?;
    let sum = TokenUnits(account.balance.0.saturating_add(account.bond.0));
    if account.exit_at == 0 {
        return Err(CliError::Failed(format!(
            "the account of {session} did not exit yet: run `piecework exit`, and withdraw after the vault's delay"
        )));
    }
    if account.timestamp < account.exit_at {
        return Err(CliError::Failed(format!(
            "{} can be withdrawn from {} on, in {}: nothing was sent",
            work.money.show(sum),
            utc(account.exit_at),
            long_duration(account.exit_at - account.timestamp)
        )));
    }
    let to = args.to.unwrap_or_else(|| work.owner.address());
    work.plan.push(format!(
        "{} withdraws {} to {to}: what is left of deposit and bond of {session}",
        work.owner.address(),
        work.money.show(sum)
    ));
    work.one("withdraw", |owner| owner.withdraw(session, to))?;
    work.end(session)
}

/// `piecework claim`
pub(super) fn claim(args: &ClaimArgs) -> Result<(), CliError> {
    if let Some(splitter) = args.splitter {
        return super::splitter::claim(args, splitter);
    }
    let mut work = Work::begin(&args.owner, "a claim")?;
    let credit = work.owner.credit().map_err(failed)?;
    let to = args.to.unwrap_or_else(|| work.owner.address());
    if credit.0 == 0 {
        return Err(CliError::Failed(format!(
            "the vault credits nothing to {}: what a seller earned is redeemed with `piecework redeem`",
            work.owner.address()
        )));
    }
    work.plan.push(format!(
        "{} gets its credit of {} sent to {to}",
        work.owner.address(),
        work.money.show(credit)
    ));
    work.one("claimCredit", |owner| owner.claim_credit(to))?;
    if work.args.json {
        say_json(&work.json(json!({"credit": credit.0.to_string(), "to": to.to_string()})));
    } else if !work.args.dry_run {
        say(&format!("claimed     {} to {to}", work.money.show(credit)));
    }
    Ok(())
}

/// Sums on this command line.
#[derive(Clone)]
pub(super) struct Money {
    decimals: u8,
    symbol: String,
}

impl Money {
    fn of(chain: &ChainArgs) -> Money {
        Money {
            decimals: chain.decimals,
            symbol: chain.symbol.clone().unwrap_or_else(|| "tokens".to_owned()),
        }
    }

    pub(super) fn show(&self, units: TokenUnits) -> String {
        format!("{} {}", tokens(units, self.decimals), self.symbol)
    }

    /// A sum above 0.
    fn sum(&self, what: &str, text: &str) -> Result<TokenUnits, CliError> {
        parse_tokens(text, self.decimals)
            .filter(|units| units.0 > 0)
            .ok_or_else(|| CliError::Invalid(self.no_sum(what, text)))
    }

    fn no_sum(&self, what: &str, text: &str) -> String {
        let example = match self.decimals {
            0 => "2",
            _ => "2 or 0.5",
        };
        format!(
            "{what} {text:?} is not a sum: write tokens, such as {example} (at most {} decimals)",
            self.decimals
        )
    }

    fn deposit(&self, amount: &str, bond: Option<&str>) -> Result<Deposit, CliError> {
        let amount = self.sum("AMOUNT", amount)?;
        let too_much = || CliError::Invalid("no vault holds so much: deposit less".to_owned());
        let usual = bond_for(amount).ok_or_else(too_much)?;
        let bond = match bond {
            None => usual,
            Some(text) => parse_tokens(text, self.decimals)
                .ok_or_else(|| CliError::Invalid(self.no_sum("--bond", text)))?,
        };
        let deposit = Deposit { amount, bond };
        deposit.total().ok_or_else(too_much)?;
        if bond < usual {
            complain(&format!(
                "a bond of {} is less than sellers ask for where they are not told otherwise: {}",
                self.show(bond),
                self.show(usual)
            ));
        }
        Ok(deposit)
    }
}

/// One command of an owner.
pub(super) struct Work<'a> {
    args: &'a OwnerArgs,
    pub(super) money: Money,
    pub(super) chain: Chain,
    pub(super) owner: Owner,
    /// What will be done, in sentences.
    pub(super) plan: Vec<String>,
    /// What was done.
    done: Vec<Value>,
}

impl<'a> Work<'a> {
    /// Checks key, chain, vault and token, before any sum is looked at.
    pub(super) fn begin(args: &'a OwnerArgs, what: &str) -> Result<Work<'a>, CliError> {
        let config = args.chain.required(what)?;
        let key = load_key(&args.owner_key)?;
        if is_marked(&args.owner_key).unwrap_or(false) {
            return Err(CliError::Invalid(format!(
                "{} is a session key, which signs promises only: give the key of the owner, who holds the tokens",
                args.owner_key.display()
            )));
        }
        let chain = Chain::new(&config)
            .map(|chain| chain.waiting(args.fees.patience()))
            .and_then(|chain| chain.remembering(note_dir(&args.owner_key), key.address()))
            .map_err(|e| CliError::Invalid(e.to_string()))?;
        chain
            .check()
            .and_then(|()| chain.check_decimals(args.chain.decimals))
            .map_err(failed)?;
        let cap = GasCap::of_call(args.fees.max_fee_per_gas);
        Ok(Work {
            args,
            money: Money::of(&args.chain),
            owner: Owner::new(chain.clone(), key, cap),
            chain,
            plan: Vec::new(),
            done: Vec::new(),
        })
    }

    fn account(&self, session: Address) -> Result<AccountState, CliError> {
        let id = account_id(self.owner.address(), session);
        self.chain.account(id, U256::ZERO).map_err(failed)
    }

    /// An account that was opened and not withdrawn.
    fn open_account(&self, session: Address) -> Result<AccountState, CliError> {
        let account = self.account(session)?;
        match (account.known, account.tranche.0) {
            (false, _) => Err(CliError::Failed(format!(
                "{} never opened an account for the session key {session} at this vault: check --owner-key, the session key and --deployment",
                self.owner.address()
            ))),
            (true, 0) => Err(CliError::Failed(format!(
                "the account of {session} was withdrawn, and is dead for ever"
            ))),
            _ => Ok(account),
        }
    }

    fn refuse_own_key(&self, session: Address) -> Result<(), CliError> {
        match session == self.owner.address() {
            false => Ok(()),
            true => Err(CliError::Invalid(
                "--session-key and --owner-key are one key: make a session key of its own with `piecework key new --session`".to_owned(),
            )),
        }
    }

    fn warn_of_exit_delay(&self) -> Result<(), CliError> {
        let delay = self.chain.exit_delay().map_err(failed)?;
        if delay < MIN_EXIT_DELAY_SECS {
            complain(&format!(
                "this vault lets buyers withdraw within {}, and sellers do not sell there by themselves",
                long_duration(delay)
            ));
        }
        Ok(())
    }

    /// Lets the vault take the sum, and calls it. Says first what it will do; a dry run ends there.
    fn pay_in(
        &mut self,
        what: &'static str,
        deposit: Deposit,
        call: impl FnOnce(&Owner) -> Result<Sent, ChainError>,
    ) -> Result<(), CliError> {
        let Some(total) = deposit.total() else {
            return Err(CliError::Invalid("no vault holds so much".to_owned()));
        };
        let token = self.chain.token().map_err(failed)?;
        let owner = self.owner.address();
        let held = self.chain.token_balance(token, owner).map_err(failed)?;
        if held < total {
            return Err(CliError::Failed(format!(
                "{owner} holds {}, and deposit and bond are {} together: send it some, or deposit less",
                self.money.show(held),
                self.money.show(total)
            )));
        }
        let approvals = self.owner.approvals(token, total).map_err(failed)?;
        for sum in &approvals {
            self.plan.push(format!(
                "approve: the vault {} may take {} of {owner}",
                self.chain.vault(),
                self.money.show(*sum)
            ));
        }
        self.plan.push(format!("{what}: the vault takes them"));
        self.say_plan();
        if self.args.dry_run {
            return Ok(());
        }
        for sum in approvals {
            let sent = self.owner.approve(token, sum).map_err(failed)?;
            self.note("approve", &sent);
        }
        let sent = call(&self.owner).map_err(failed)?;
        self.note(what, &sent);
        Ok(())
    }

    /// One call of the vault.
    fn one(
        &mut self,
        what: &'static str,
        call: impl FnOnce(&Owner) -> Result<Sent, ChainError>,
    ) -> Result<(), CliError> {
        self.say_plan();
        if self.args.dry_run {
            return Ok(());
        }
        let sent = call(&self.owner).map_err(failed)?;
        self.note(what, &sent);
        Ok(())
    }

    pub(super) fn say_plan(&self) {
        self.plan.iter().for_each(|line| complain(line));
        if self.args.dry_run {
            complain("this is a dry run: nothing is sent");
        }
    }

    pub(super) fn note(&mut self, what: &str, sent: &Sent) {
        say_sent(what, sent);
        self.done.push(sent_json(what, sent));
    }

    pub(super) fn json(&self, more: Value) -> Value {
        let mut all = json!({
            "dry_run": self.args.dry_run,
            "owner": self.owner.address().to_string(),
            "vault": self.chain.vault().to_string(),
            "plan": self.plan,
            "transactions": self.done,
        });
        if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
            all.extend(more);
        }
        all
    }

    /// Prints the account as it is now.
    fn end(&self, session: Address) -> Result<(), CliError> {
        let id = account_id(self.owner.address(), session);
        let account = self.account(session)?;
        if self.args.json {
            say_json(&self.json(json!({
                "session_key": session.to_string(),
                "account": id.to_string(),
                "known": account.known,
                "withdrawn": account.known && account.tranche.0 == 0,
                "balance": account.balance.0.to_string(),
                "bond": account.bond.0.to_string(),
                "tranche": account.tranche.0.to_string(),
                "exit_at": account.exit_at,
            })));
            return Ok(());
        }
        if self.args.dry_run {
            return Ok(());
        }
        say(&format!("owner       {}", self.owner.address()));
        say(&format!("session key {session}"));
        say(&format!("account     {id}"));
        if account.tranche.0 == 0 {
            say("deposit     withdrawn");
            return Ok(());
        }
        say(&format!(
            "deposit     {}, bond {}",
            self.money.show(account.balance),
            self.money.show(account.bond)
        ));
        if account.exit_at != 0 {
            let left = account.exit_at.saturating_sub(account.timestamp);
            say(&format!(
                "exiting     can be withdrawn from {} on, in {}",
                utc(account.exit_at),
                long_duration(left)
            ));
        }
        Ok(())
    }
}

fn session_address(args: &SessionArgs) -> Result<Address, CliError> {
    match (&args.session_key, args.session) {
        (Some(file), _) => Ok(load_key(file)?.address()),
        (None, Some(address)) => Ok(address),
        (None, None) => Err(CliError::Invalid(
            "whose account? give --session-key or --session".to_owned(),
        )),
    }
}

/// A key without records may have copies, which would promise the same money again.
fn require_session_key(file: &Path) -> Result<(), CliError> {
    match is_marked(file).unwrap_or(false) {
        true => Ok(()),
        false => Err(CliError::Invalid(format!(
            "{} is no session key: make one with `piecework key new --session FILE`, so that no copy of it can promise the same money again",
            file.display()
        ))),
    }
}

fn failed(error: ChainError) -> CliError {
    CliError::Failed(error.to_string())
}
