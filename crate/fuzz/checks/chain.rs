//! What a chain, an RPC server or a wallet answers, read by hand and by a library: both read the same.

use std::collections::BTreeSet;

use alloy_primitives::aliases::U96;
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::{SolCall, SolEvent, sol};
use piecework::client::{AccountState, Claim};
use piecework::native::answers::{Receipt, RpcError, RpcLog, read_answer};
use piecework::payment::vault::{self, Log, RedeemReport};
use piecework::types::TokenUnits;
use piecework::web::hex::{from_hex, to_hex};

use super::choices::Choices;

sol! {
    function state(bytes32 id, uint256 word) external view returns (
        uint112 balance, uint96 tranche, uint40 consumed, bool known, uint112 bond, uint48 exitAt,
        uint256 spentWord, uint256 chainId, uint256 blockNumber, uint256 timestamp
    );

    event Redeemed(
        bytes32 indexed id, address indexed payee, address indexed owner, uint256 packed, bytes32 content,
        bytes32 root, bytes32 luck, bytes32 r, bytes32 vs, uint256 gross, uint256 cut
    );
    event Skipped(uint256 index, uint8 reason);
}

const VAULT: Address = Address::repeat_byte(0x44);
const PAYEE: Address = Address::repeat_byte(0x77);

/// Our reader and the library agree on an account's state and on what a redemption paid; nothing is counted twice; an
/// answer's text that is shown is short. The first byte of the input chooses what it is.
pub fn chain_answers(data: &[u8]) {
    let Some((kind, body)) = data.split_first() else {
        return;
    };
    match kind % 4 {
        0 => state(body),
        1 => json(body),
        2 => built_logs(&mut Choices::new(body)),
        _ => hex(body),
    }
}

fn state(answer: &[u8]) {
    assert_eq!(vault::state_answer(answer), state_by_library(answer));
}

fn state_by_library(answer: &[u8]) -> Option<AccountState> {
    let state = stateCall::abi_decode_returns_validate(answer).ok()?;
    let small = |value: U256| u64::try_from(value).ok();
    Some(AccountState {
        balance: TokenUnits(state.balance.to()),
        tranche: TokenUnits(state.tranche.to()),
        consumed: state.consumed.to(),
        known: state.known,
        bond: TokenUnits(state.bond.to()),
        exit_at: state.exitAt.to(),
        spent_word: state.spentWord,
        chain_id: small(state.chainId)?,
        block_number: small(state.blockNumber)?,
        timestamp: small(state.timestamp)?,
    })
}

fn json(body: &[u8]) {
    match read_answer("host", "eth_getTransactionReceipt", body) {
        Err(RpcError::Refused { message, .. }) => assert!(message.chars().count() <= 200),
        Err(RpcError::Nonsense { reason, .. }) => assert!(reason.chars().count() <= 200),
        Err(other) => panic!("not an answer's fault: {other}"),
        Ok(value) => {
            if let Ok(receipt) = serde_json::from_value::<Receipt>(value) {
                logs(&receipt);
            }
        }
    }
}

fn hex(body: &[u8]) {
    let text = to_hex(body);
    assert_eq!(from_hex(&text, body.len()).as_deref(), Some(body));
    if let Some(less) = body.len().checked_sub(1) {
        assert_eq!(from_hex(&text, less), None);
    }
    if let Ok(text) = core::str::from_utf8(body)
        && let Some(bytes) = from_hex(text, 64)
    {
        assert!(bytes.len() <= 64);
        assert_eq!(to_hex(&bytes), text.to_ascii_lowercase());
    }
}

fn claims() -> Vec<Claim> {
    let claim = |first: u32, owner: u8| Claim {
        owner: Address::repeat_byte(owner),
        first,
        count: 4,
        content: B256::ZERO,
        base: U96::from(5),
        unit: U96::from(7),
        steps: 256,
        k: 3,
        w: B256::repeat_byte(1),
        salt: B256::ZERO,
        r: B256::repeat_byte(first as u8),
        vs: B256::repeat_byte(owner),
    };
    vec![claim(1, 2), claim(1, 3), claim(9, 2)]
}

/// Logs of the vault about few claims, some of their words spoilt.
fn built_logs(choices: &mut Choices<'_>) {
    let claims = claims();
    let mut built = Vec::new();
    while !choices.is_empty() && built.len() < 16 {
        let mut log = if choices.flag() {
            let claim = &claims[choices.below(3)];
            let mut data = Vec::new();
            let packed: U256 = U256::from(claim.first) << 224 | U256::from(claim.count) << 208;
            data.extend_from_slice(&packed.to_be_bytes::<32>());
            data.extend_from_slice(&[0; 96]);
            data.extend_from_slice(claim.r.as_slice());
            data.extend_from_slice(claim.vs.as_slice());
            let (gross, cut) = (choices.u64(), choices.byte());
            data.extend_from_slice(&U256::from(gross).to_be_bytes::<32>());
            data.extend_from_slice(&U256::from(cut).to_be_bytes::<32>());
            let event = "Redeemed(bytes32,address,address,uint256,bytes32,bytes32,bytes32,bytes32,\
                         bytes32,uint256,uint256)";
            RpcLog {
                address: VAULT,
                topics: vec![
                    keccak256(event),
                    B256::ZERO,
                    PAYEE.into_word(),
                    claim.owner.into_word(),
                ],
                data: data.into(),
            }
        } else {
            let index = U256::from(choices.below(5)).to_be_bytes::<32>();
            let reason = U256::from(choices.byte()).to_be_bytes::<32>();
            RpcLog {
                address: VAULT,
                topics: vec![keccak256("Skipped(uint256,uint8)")],
                data: [index, reason].concat().into(),
            }
        };
        spoil(&mut log, choices);
        built.push(log);
    }
    logs(&Receipt {
        status: U256::ONE,
        gas_used: U256::ZERO,
        effective_gas_price: None,
        l1_fee: None,
        block_number: U256::ONE,
        logs: built,
    });
}

fn spoil(log: &mut RpcLog, choices: &mut Choices<'_>) {
    let how = choices.byte();
    let mut data = log.data.to_vec();
    match how % 16 {
        0 => data.truncate(usize::from(choices.u16())),
        1 => data.extend_from_slice(choices.bytes()),
        2 => {
            let at = usize::from(choices.u16()) % data.len().max(1);
            if let Some(byte) = data.get_mut(at) {
                *byte ^= choices.byte();
            }
        }
        3 => log.topics.truncate(choices.below(5)),
        4 => log.topics.push(B256::repeat_byte(choices.byte())),
        5 => {
            let at = choices.below(log.topics.len().max(1));
            if let Some(topic) = log.topics.get_mut(at) {
                topic.0[choices.below(32)] ^= choices.byte();
            }
        }
        6 => log.address = Address::repeat_byte(choices.byte()),
        _ => {}
    }
    log.data = data.into();
}

fn logs(receipt: &Receipt) {
    let claims = claims();
    let logs: Vec<Log> = receipt.logs.iter().map(Log::from).collect();
    let ours = vault::redeem_report(VAULT, PAYEE, &claims, &logs);
    let indices = ours.paid.iter().map(|(index, _)| *index);
    let indices: Vec<u32> = indices
        .chain(ours.skipped.iter().map(|(index, _)| *index))
        .collect();
    assert!(indices.iter().all(|index| *index < claims.len() as u32));
    let once: BTreeSet<u32> = indices.iter().copied().collect();
    assert_eq!(once.len(), indices.len(), "a claim counted twice");
    assert_eq!(ours, report_by_library(&claims, &logs));
}

fn report_by_library(claims: &[Claim], logs: &[Log]) -> RedeemReport {
    let mut report = RedeemReport::default();
    let mut seen = BTreeSet::new();
    for log in logs.iter().filter(|log| log.address == VAULT) {
        let topics = || log.topics.iter().copied();
        if let Ok(event) = Redeemed::decode_raw_log_validate(topics(), &log.data) {
            let index = claims.iter().enumerate().position(|(index, claim)| {
                let range = U256::from(claim.first) << 16 | U256::from(claim.count);
                (event.payee, event.owner) == (PAYEE, claim.owner)
                    && (event.r, event.vs) == (claim.r, claim.vs)
                    && event.packed >> 208 == range
                    && !seen.contains(&index)
            });
            let net = event.gross.checked_sub(event.cut).map(u128::try_from);
            if let (Some(index), Some(Ok(net))) = (index, net) {
                seen.insert(index);
                report.paid.push((index as u32, TokenUnits(net)));
            }
        } else if let Ok(event) = Skipped::decode_raw_log_validate(topics(), &log.data)
            && let Ok(index) = usize::try_from(event.index)
            && index < claims.len()
            && seen.insert(index)
        {
            report.skipped.push((index as u32, event.reason));
        }
    }
    report
}
