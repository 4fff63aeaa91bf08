// Every file of docs/vectors against the code of this folder: the statements of docs/protocol.md, without a seller.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { answers } from "./answers.mjs";
import { decode } from "./bencode.mjs";
import { Download, torrentFrom } from "./download.mjs";
import { ethers } from "./ethers.mjs";
import { advances, linksOf, walk } from "./hash_chain.mjs";
import { decodeMessage, encodeMessage } from "./messages.mjs";
import { allocate, bound, cap, chainSteps, credit, due, owed, unitOf, usableSteps } from "./numbers.mjs";
import { Payments } from "./payments.mjs";
import { buyerOfTheVectors, stoppedClock, vectors } from "./fixtures.mjs";
import { Peer } from "./peer.mjs";
import { Records } from "./records.mjs";
import { claimOf, claimsHash, decodeRedeemed, decodeState, stateCall, vaultInterface } from "./vault.mjs";
import { accountId, domainSeparator, recover, redeemDigest, sign, tagOf, types, voucherDigest } from "./voucher.mjs";
import { decodeExtendedHandshake, encodeExtendedHandshake } from "./wire.mjs";

const bytesOf = (hex) => Buffer.from(hex, "hex");
/** Names in the vectors that differ from the page's. */
const RENAMED = { ttl_secs: "ttl" };
const AMOUNTS = ["base", "unit", "minRange"];

/** A vector's object under the names of the page, with amounts as bigint. */
function named(vector) {
  const entries = Object.entries(vector).filter(([name]) => name !== "hex");
  const renamed = entries.map(([name, value]) => [
    RENAMED[name] ?? name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase()),
    value,
  ]);
  return Object.fromEntries(renamed.map(([name, value]) => [name, AMOUNTS.includes(name) ? BigInt(value) : value]));
}

function chains() {
  const { chains, advances: steps } = vectors("chain.json");
  for (const { tip, steps, links } of chains) {
    const ours = linksOf(tip, steps);
    assert.equal(ours.length, steps + 1);
    for (const [k, link] of Object.entries(links)) assert.equal(ours[k], link);
  }
  for (const { known_k: knownK, known_w: knownW, k, w, advances: holds, why } of steps)
    assert.equal(advances({ knownK, knownW, k, w }), holds, why);
}

function amounts() {
  const { price_per_block, ranges, claims, serials, credit: credits, bounds } = vectors("amounts.json");
  for (const { token_units_per_gb, unit } of price_per_block)
    assert.equal(unitOf(BigInt(token_units_per_gb)), BigInt(unit));
  for (const { count, tranche, base, unit, max_steps: maxSteps, ...expected } of ranges) {
    const range = { count, q: BigInt(tranche), base: BigInt(base), paid: BigInt(base), unit: BigInt(unit), maxSteps };
    assert.equal(cap(range.count, range.q), BigInt(expected.cap));
    assert.equal(usableSteps(range), BigInt(expected.usable_steps));
    assert.equal(chainSteps(range), expected.chain_steps);
  }
  for (const { tranche, k, due: expected, ...voucher } of claims)
    assert.equal(due(named(voucher), k, BigInt(tranche)), BigInt(expected));
  for (const { range, ...account } of serials) {
    const allocated = allocate(account);
    assert.deepEqual(allocated && [allocated.first, allocated.count], range, JSON.stringify(account));
  }
  for (const vector of credits) {
    const ours = credit({
      paidHere: vector.paid_blocks,
      credit0: vector.first,
      creditMax: vector.most,
      ramp: vector.ramp,
      walkedAway: vector.walked_away,
    });
    assert.equal(ours, vector.credit, JSON.stringify(vector));
  }
  for (const { consumed, balance, tranche, bound: expected } of bounds)
    assert.equal(bound({ consumed, balance: BigInt(balance), tranche: BigInt(tranche) }), expected);
}

function messages() {
  const { messages: all, ignored, closes } = vectors("messages.json");
  for (const { hex, ...vector } of all) {
    const message = named(vector);
    assert.equal(encodeMessage(message).toString("hex"), hex);
    assert.deepEqual(decodeMessage(bytesOf(hex)), message);
  }
  for (const { hex, why } of ignored) assert.equal(decodeMessage(bytesOf(hex)), null, why);
  for (const { hex, why } of closes) assert.throws(() => decodeMessage(bytesOf(hex)), /pw_pay/, why);
}

function handshakes() {
  const { handshakes: all, no_payments: none } = vectors("handshake.json");
  for (const { hex, ...vector } of all) {
    const { metadataSize, ...said } = named(vector);
    assert.equal(encodeExtendedHandshake({ ...said, metadataSize: metadataSize ?? undefined }).toString("hex"), hex);
    const { pwPay, vault, chainId, flags, version } = said;
    assert.deepEqual(decodeExtendedHandshake(bytesOf(hex)), { pwPay, vault, chainId: BigInt(chainId), flags, version });
  }
  for (const { hex, why } of none) assert.equal(decodeExtendedHandshake(bytesOf(hex)), null, why);
}

function signatures() {
  const { session_key: key, session_address: address, signatures: all } = vectors("signatures.json");
  assert.equal(ethers.computeAddress(key).toLowerCase(), address);
  for (const { name, digest, r, vs, signer } of all) assert.equal(recover(digest, { r, vs }), signer, name);
  const { digest, r, vs } = all[0];
  assert.deepEqual(sign(key, digest), { r, vs });
}

function vault() {
  const file = vectors("vault.json");
  const domain = { chainId: file.chain_id, vault: file.vault };
  assert.deepEqual(
    [types.voucher, types.voucherHash, types.redeem, types.redeemHash, types.domain],
    [file.voucher_type, file.voucher_type_hash, file.redeem_type, file.redeem_type_hash, file.domain_type],
  );
  assert.equal(domainSeparator(domain), file.domain_separator);
  assert.equal(accountId(file.owner, file.session_address), file.account);
  for (const [name, { signature, selector }] of Object.entries(file.calls)) {
    assert.equal(vaultInterface.getFunction(name).format("sighash"), signature);
    assert.equal(vaultInterface.getFunction(name).selector, selector);
  }
  for (const [name, { signature, topic }] of Object.entries(file.events)) {
    assert.equal(vaultInterface.getEvent(name).format("sighash"), signature);
    assert.equal(vaultInterface.getEvent(name).topicHash, topic);
  }
  const voucher = named(file.voucher);
  assert.equal(voucherDigest(domain, voucher), file.digest);
  stateOfTheVault(file);
  redemptions(file, domain, claimOf(voucher, file, file.k, file.w));
  const [x, y] = [named(file.slash.x), named(file.slash.y)];
  assert.equal(
    vaultInterface.encodeFunctionData("slash", [
      x,
      file.slash.x_r,
      file.slash.x_vs,
      y,
      file.slash.y_r,
      file.slash.y_vs,
    ]),
    file.slash.call,
  );
  for (const [signed, r, vs] of [
    [x, file.slash.x_r, file.slash.x_vs],
    [y, file.slash.y_r, file.slash.y_vs],
  ])
    assert.equal(recover(voucherDigest(domain, signed), { r, vs }), file.session_address);
}

function stateOfTheVault({ account, state }) {
  assert.equal(stateCall(account, state.word * 256), state.call);
  const { balance, tranche, bond, spentWord, chainId, ...rest } = named(state.fields);
  assert.deepEqual(decodeState(state.answer), {
    balance: BigInt(balance),
    tranche: BigInt(tranche),
    bond: BigInt(bond),
    spentWord: BigInt(spentWord),
    chainId: BigInt(chainId),
    ...rest,
  });
}

function redemptions({ voucher, redeem, redeem_for: relayed, logs, report }, domain, claim) {
  assert.equal(vaultInterface.encodeFunctionData("redeem", [Array(redeem.claims).fill(claim), redeem.to]), redeem.call);
  const claims = Array(relayed.claims).fill(claim);
  const digest = redeemDigest(domain, {
    claims: claimsHash(claims),
    to: relayed.to,
    relayer: relayed.relayer,
    fee: relayed.fee,
    deadline: relayed.deadline,
  });
  assert.equal(digest, relayed.digest);
  assert.deepEqual(sign(relayed.payee_key, digest), { r: relayed.r, vs: relayed.vs });
  const { payee, to, fee, deadline, r, vs } = relayed;
  assert.equal(vaultInterface.encodeFunctionData("redeemFor", [payee, claims, to, fee, deadline, r, vs]), relayed.call);
  const redeemed = decodeRedeemed(logs[0]);
  assert.deepEqual(redeemed.voucher, named(voucher));
  assert.deepEqual(
    [redeemed.gross - redeemed.cut],
    report.paid.map(([, net]) => BigInt(net)),
  );
  const skipped = vaultInterface.decodeEventLog("Skipped", logs[1].data, logs[1].topics);
  assert.deepEqual([[Number(skipped.index), Number(skipped.reason)]], report.skipped);
}

/**
 * The buyer's messages, as a seller believes them, must be true: every signature and link of the exchanges, and the
 * proof of each STATE.
 */
function exchanges() {
  const { session_key: key, session_address: session } = vectors("signatures.json");
  const { chain_id: chainId, vault } = vectors("vault.json");
  assert.equal(ethers.computeAddress(key).toLowerCase(), session);
  for (const { name, steps } of vectors("exchanges.json").exchanges) {
    const vouchers = new Map();
    const payee = steps[0].seller[0].payee;
    for (const message of steps.flatMap(({ buyer, seller }) => [...(buyer ? [buyer] : []), ...(seller ?? [])])) {
      assert.equal(encodeMessage(named(message)).toString("hex"), message.hex, name);
      assert.deepEqual(decodeMessage(bytesOf(message.hex)), named(message), name);
    }
    for (const step of steps) {
      if (step.buyer) aBuyersMessage(named(step.buyer), { chainId, vault, payee, session, vouchers, step, name });
      for (const answer of step.seller ?? []) aSellersAnswer(named(answer), { chainId, vault, session, vouchers });
    }
  }
}

/** Checks of a seller that come before the check of the signature: such a COMMIT may bear another voucher's. */
const beforeTheSignature = ({ code, aux }, { steps }) =>
  code === 9 || code === 10 || (code === 4 && aux === 0) || (code === 16 && steps === 0);

function aBuyersMessage(message, { chainId, vault, payee, session, vouchers, step, name }) {
  const refusal = step.seller?.find(({ type }) => type === "REJECT") ?? {};
  if (message.type === "COMMIT" && !beforeTheSignature(refusal, message)) {
    const signer = recover(voucherDigest({ chainId, vault }, { ...message, payee }), message);
    assert.equal(signer === session, refusal.code !== 3, `${name}: the signer`);
    vouchers.set(`${message.first} ${tagOf(message)}`, { ...message, payee });
  }
  if (message.type === "RECONCILE") {
    assert.equal(recover(voucherDigest({ chainId, vault }, { ...message, payee }), message), session, name);
    assert.equal(message.steps, 0, `${name}: a sum has no chain`);
    vouchers.set(`${message.first} ${tagOf(message)}`, { ...message, payee });
  }
  if (message.type === "PAY") {
    const voucher = vouchers.get(`${message.first} ${message.tag}`);
    if (voucher) assert.equal(walk(message.w, message.k) === voucher.root, refusal.code !== 11, `${name}: the link`);
  }
}

function aSellersAnswer(message, { chainId, vault, session, vouchers }) {
  if (["SEEN", "STATE", "HELD"].includes(message.type))
    assert.equal(recover(voucherDigest({ chainId, vault }, message), message), session);
  if (message.type !== "STATE" && message.type !== "HELD") return;
  assert.equal(walk(message.w, message.k), message.root);
  assert.equal(vouchers.get(`${message.first} ${tagOf(message)}`).steps, message.steps);
}

/** Exchanges whose buyer acts as ours does. */
const PLAYED = [
  "a fold, and a step of its chain",
  "a fold that cannot be stored: the old chain goes on, as far as both went",
  "a buyer that forgot six steps is shown them, and folds to them",
];

/**
 * Our payments send the messages of the buyer in an exchange. The file's first chain is the paid piece's; later tips
 * are not in it, and those chains are ours.
 */
function plays({ steps, name }, path) {
  const clock = stoppedClock();
  const buyer = buyerOfTheVectors(path);
  const { chain_tip: firstTip } = vectors("paid_piece.json");
  const tips = [firstTip, `0x${"a1".repeat(32)}`, `0x${"a2".repeat(32)}`];
  const said = [];
  /** Our tag for the file's. */
  const tags = new Map();
  let payments;
  for (const [i, { begins, ends, blocks, buyer: expected, seller = [] }] of steps.entries()) {
    if (ends) payments.close();
    if (begins) {
      const base = steps[i + 1].buyer.base;
      if (i > 0) buyer.records.base(7, BigInt(base));
      payments = new Payments({
        ...buyer,
        tip: () => tips.shift(),
        now: () => clock.time,
        after: clock.after,
        send: (message) => said.push(message),
      });
    }
    payments.payable += blocks ?? 0;
    if (expected) {
      payments.settle();
      // The file's folds come before a chain is too short for its range, and so before our buyer folds by itself.
      if (expected.type === "COMMIT" && said.length === 0) payments.read({ type: "NEED", reason: 1, first: 7 });
      while (said.length === 0) clock.next();
      same(said.shift(), named(expected), tags, name);
    }
    for (const answer of seller.map(named))
      payments.read(tags.has(answer.tag) ? { ...answer, tag: tags.get(answer.tag) } : answer);
  }
  assert.equal(payments.ended, null, name);
}

/** The message is the expected one, but for the chains that are ours. */
function same(message, expected, tags, name) {
  if (message.type === "COMMIT") tags.set(tagOf(expected), tagOf(message));
  const known = (message.type === "COMMIT" ? tagOf(message) : message.tag) === (expected.tag ?? tagOf(expected));
  const ours = known ? [] : ["root", "r", "vs", "tag", "w"];
  const without = (fields) =>
    Object.fromEntries(Object.entries(fields).filter(([field]) => !ours.includes(field) && field !== "payee"));
  assert.deepEqual(without(message), without(expected), name);
}

function playedExchanges() {
  const path = mkdtempSync(join(tmpdir(), "piecework-buyer-"));
  const { exchanges: all } = vectors("exchanges.json");
  for (const [i, name] of PLAYED.entries())
    plays(
      all.find((exchange) => exchange.name === name),
      join(path, String(i)),
    );
  rmSync(path, { recursive: true });
}

/** Our buyer sends the buyer's bytes of the paid piece, to the seller's. */
function paidPiece() {
  const file = vectors("paid_piece.json");
  const path = mkdtempSync(join(tmpdir(), "piecework-buyer-"));
  const buyer = buyerOfTheVectors(join(path, "records"));
  const download = new Download(torrentFrom(decode(bytesOf(file.info))));
  assert.equal(download.torrent.infoHash.toString("hex"), file.info_hash);
  download.until = download.torrent.hashes.length;
  const said = [];
  const send = (bytes) => said.push(bytes.toString("hex"));
  const peer = new Peer({
    ...buyer,
    send,
    download,
    peerId: Buffer.from("-XX0001-buyer-000000"),
    tip: () => file.chain_tip,
    after: () => undefined,
  });
  peer.begin();
  for (const { from, hex, then } of file.steps) {
    if (from === "seller") peer.read(Buffer.concat([bytesOf(hex), Buffer.alloc(then?.bytes ?? 0, then?.of_value)]));
  }
  assert.ok(peer.payments.settled && download.done);
  peer.leave();
  assert.deepEqual(
    said,
    file.steps.filter(({ from }) => from === "buyer").map(({ hex }) => hex),
  );
  const voucher = { base: 0n, unit: 2_748_779_070n, count: 1 };
  assert.equal(due(voucher, 4, BigInt(file.tranche)), BigInt(file.due_token_units));
  assert.equal(new Records(join(path, "records")).revealed(), owed(voucher, 4));
  rmSync(path, { recursive: true });
}

/** The checks by the name of their file. */
export const checks = {
  "chain.json": chains,
  "amounts.json": amounts,
  "messages.json": messages,
  "handshake.json": handshakes,
  "signatures.json": signatures,
  "vault.json": vault,
  "exchanges.json": exchanges,
  "exchanges.json, played": playedExchanges,
  "paid_piece.json": paidPiece,
  "the tables of answers": answers,
};
