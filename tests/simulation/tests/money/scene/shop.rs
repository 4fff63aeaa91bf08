//! A puppet that sells: its messages before anything can be asked of it.

use alloy_primitives::{Address, B256};
use piecework::types::FineUnits;
use piecework::wire::extension::EXTENDED_HANDSHAKE_ID;
use piecework::wire::extension::{PW_PAY_ID, PW_PAY_NAME, PayHandshake};
use piecework::wire::pay::{NeedReason, PayMessage, RejectCode, Terms, VERSION};
use piecework::wire::{ExtendedHandshake, Message};
use piecework_simulation::{Content, NodeId, Script, SimNet, Wire};

use super::{address, unit};

/// It sells for half of the others' price, and gives this much credit.
#[derive(Clone, Copy)]
pub struct Shop {
    vault: Address,
    chain_id: u64,
    payee: u8,
    credit: u16,
}

impl Shop {
    pub fn new(net: &SimNet, payee: u8, credit: u16) -> Shop {
        let (vault, chain_id) = (net.vault.address, net.vault.chain_id);
        Shop {
            vault,
            chain_id,
            payee,
            credit,
        }
    }

    pub fn puppet(self, net: &mut SimNet, content: &Content, script: fn(Shop) -> Script) -> NodeId {
        let puppet = net.puppet(content, move || script(self));
        net.puppet_sells_for(puppet, address(self.payee));
        puppet
    }

    /// Introduces itself, names its pieces, and names its price.
    pub fn opens(&self, wire: &mut Wire, has: &[Message]) {
        wire.handshake();
        self.goes_on(wire, has);
    }

    /// The same after its handshake.
    pub fn goes_on(&self, wire: &mut Wire, has: &[Message]) {
        let mut ours = ExtendedHandshake::default();
        ours.m.insert(PW_PAY_NAME.to_owned(), PW_PAY_ID);
        ours.pay = Some(PayHandshake {
            vault: self.vault,
            chain_id: self.chain_id,
            flags: PayHandshake::SELLS | PayHandshake::UNDERSTANDS_PRICES,
            version: PayHandshake::VERSION,
        });
        let (id, payload) = (EXTENDED_HANDSHAKE_ID, ours.encode());
        wire.say(&Message::Extended { id, payload });
        has.iter().for_each(|message| wire.say(message));
        self.quotes(wire, FineUnits(unit().0 / 2));
    }

    /// Names a price.
    pub fn quotes(&self, wire: &mut Wire, price: FineUnits) {
        wire.pay(&PayMessage::Terms(Terms {
            version: VERSION,
            flags: 0,
            quote_id: 1,
            ttl_secs: 3_600,
            payee: address(self.payee),
            content: B256::ZERO,
            unit: price,
            min_range: FineUnits(0),
            max_steps: 256,
            credit0: self.credit,
            credit_max: self.credit,
            ramp: 0,
            min_bond_percent: 0,
            luck: B256::ZERO,
        }));
    }

    /// Refuses a promise for its price, if the message was one.
    pub fn refuses_the_price(&self, wire: &mut Wire, payload: &[u8]) {
        if let Ok(Some(PayMessage::Commit { voucher, .. })) = PayMessage::decode(payload) {
            wire.pay(&PayMessage::Reject {
                code: RejectCode::PriceOrQuote,
                first: voucher.first,
                tag: voucher.tag(),
                aux: 0,
            });
        }
    }

    /// Asks for another range beside this one.
    pub fn needs_more(&self, wire: &mut Wire, first: u32) {
        let reason = NeedReason::NextRange;
        wire.pay(&PayMessage::Need { reason, first });
    }

    /// Takes a promise, if the message was one, and unchokes. Answers its first serial.
    pub fn takes(&self, wire: &mut Wire, payload: &[u8]) -> Option<u32> {
        let Ok(Some(PayMessage::Commit { voucher, .. })) = PayMessage::decode(payload) else {
            return None;
        };
        wire.pay(&PayMessage::Ack {
            first: voucher.first,
            tag: voucher.tag(),
            k: 0,
            owed_blocks: 0,
            credit_blocks: self.credit,
        });
        wire.say(&Message::Unchoke);
        Some(voucher.first)
    }
}
