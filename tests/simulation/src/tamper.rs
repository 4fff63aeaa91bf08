//! Dishonest parties in money: an honest client whose payment messages are changed on their way out. Its session key is
//! at hand to sign messages that the client never would.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, B256};
use bytes::{BufMut, Bytes, BytesMut};
use piecework::wire::pay::{PayMessage, VoucherBody};

use crate::frames::Frame;
use crate::node::NodeId;
use crate::random::Random;
use crate::vault::{SessionKey, SimVault, fine_word, word};

const EXTENDED: u8 = 20;

/// The messages that leave instead of a payment message.
pub type Tamper = Box<dyn FnMut(&mut Hand, PayMessage) -> Vec<PayMessage> + Send>;

/// A cheat's tools.
pub struct Hand<'a> {
    /// The receiver of the message.
    pub to: NodeId,
    /// The vault, for its domain.
    pub vault: &'a SimVault,
    /// Its own session key.
    pub key: Option<&'a SessionKey>,
    /// The payee of the last quote that came in on this connection.
    pub payee: Option<Address>,
    /// The run's chance.
    pub random: &'a mut Random,
}

impl Hand<'_> {
    /// Signs a changed voucher for the payee of this connection.
    pub fn sign(&self, voucher: VoucherBody) -> VoucherBody {
        let (address, chain_id) = (self.vault.address, self.vault.chain_id);
        self.sign_for(voucher, address, chain_id)
    }

    /// Signs it for another vault or chain.
    pub fn sign_for(&self, voucher: VoucherBody, vault: Address, chain_id: u64) -> VoucherBody {
        let mut elsewhere = SimVault::new();
        (elsewhere.address, elsewhere.chain_id) = (vault, chain_id);
        let payee = self.payee.expect("a COMMIT answers a quote");
        let digest = elsewhere.voucher_digest(&fields(payee, &voucher));
        let signature = self.key.expect("a payer's key").sign(digest);
        VoucherBody {
            r: signature.r,
            vs: signature.vs,
            ..voucher
        }
    }
}

/// A voucher's fields as EIP-712 encodes them.
pub fn fields(payee: Address, voucher: &VoucherBody) -> [B256; 10] {
    [
        word(voucher.owner.as_slice()),
        word(payee.as_slice()),
        word(&voucher.first.to_be_bytes()),
        word(&voucher.count.to_be_bytes()),
        voucher.content,
        fine_word(voucher.base),
        fine_word(voucher.unit),
        word(&voucher.steps.to_be_bytes()),
        voucher.root,
        voucher.luck,
    ]
}

/// Puts a frame's payment message, if it is one, through the cheat's hands.
pub(crate) fn tampered(tamper: &mut Tamper, hand: &mut Hand, frames: &[Frame]) -> Bytes {
    let mut out = BytesMut::new();
    for frame in frames {
        match pay_message(frame) {
            None => out.put_slice(frame.bytes()),
            Some(message) => {
                for message in tamper(hand, message) {
                    let payload = message.encode();
                    out.put_u32(payload.len() as u32 + 2);
                    out.put_u8(EXTENDED);
                    out.put_u8(frame.payload()[0]);
                    out.put_slice(&payload);
                }
            }
        }
    }
    out.freeze()
}

/// The payment message in a frame. Only ours speak it, under one number.
pub(crate) fn pay_message(frame: &Frame) -> Option<PayMessage> {
    let payload = frame.payload();
    if frame.id() != Some(EXTENDED)
        || payload.first() != Some(&piecework::wire::extension::PW_PAY_ID)
    {
        return None;
    }
    PayMessage::decode(&payload[1..]).ok().flatten()
}

/// COMMITs overheard, for a replay by another peer.
pub type Overheard = Arc<Mutex<VecDeque<PayMessage>>>;

/// Changes nothing, and lets another overhear its COMMITs.
pub fn overheard(by: &Overheard) -> Tamper {
    let by = by.clone();
    Box::new(move |_, message| {
        if matches!(message, PayMessage::Commit { .. }) {
            by.lock().unwrap().push_back(message);
        }
        vec![message]
    })
}

/// Changes each voucher before it leaves, and signs it again.
pub fn vouchers(change: impl Fn(&mut VoucherBody) + Send + 'static) -> Tamper {
    Box::new(move |hand, message| match message {
        PayMessage::Commit {
            quote_id,
            mut voucher,
        } => {
            change(&mut voucher);
            let voucher = hand.sign(voucher);
            vec![PayMessage::Commit { quote_id, voucher }]
        }
        other => vec![other],
    })
}
