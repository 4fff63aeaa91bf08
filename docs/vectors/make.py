#!/usr/bin/env python3
"""Makes the test vectors of docs/protocol.md anew.

It shares no code with the crate: Keccak-256, secp256k1 (RFC 6979), the ABI and EIP-712 are written here
from their specifications, with Python's standard library alone. It first checks itself against
tests/vectors/vouchers.json, which ethers made. crate/tests/payment/specification.rs holds the crate to what it writes.

    python3 docs/vectors/make.py            writes docs/vectors/*.json
    python3 docs/vectors/make.py --check    writes nothing, and fails if a file differs
"""

import hashlib
import hmac
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
OLDER = HERE.parent.parent / "tests/vectors/vouchers.json"

# ---------------------------------------------------------------- Keccak-256 (the original padding, as in Ethereum)

ROUNDS = [
    0x0000000000000001, 0x0000000000008082, 0x800000000000808A, 0x8000000080008000,
    0x000000000000808B, 0x0000000080000001, 0x8000000080008081, 0x8000000000008009,
    0x000000000000008A, 0x0000000000000088, 0x0000000080008009, 0x000000008000000A,
    0x000000008000808B, 0x800000000000008B, 0x8000000000008089, 0x8000000000008003,
    0x8000000000008002, 0x8000000000000080, 0x000000000000800A, 0x800000008000000A,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
]
M64 = (1 << 64) - 1


def rotations():
    x, y, out = 1, 0, {(0, 0): 0}
    for t in range(24):
        out[(x, y)] = ((t + 1) * (t + 2) // 2) % 64
        x, y = y, (2 * x + 3 * y) % 5
    return out


ROTATION = rotations()


def rotate(value, by):
    return ((value << by) | (value >> (64 - by))) & M64 if by else value


def permute(a):
    for constant in ROUNDS:
        c = [a[x][0] ^ a[x][1] ^ a[x][2] ^ a[x][3] ^ a[x][4] for x in range(5)]
        d = [c[(x - 1) % 5] ^ rotate(c[(x + 1) % 5], 1) for x in range(5)]
        a = [[a[x][y] ^ d[x] for y in range(5)] for x in range(5)]
        b = [[0] * 5 for _ in range(5)]
        for x in range(5):
            for y in range(5):
                b[y][(2 * x + 3 * y) % 5] = rotate(a[x][y], ROTATION[(x, y)])
        a = [[b[x][y] ^ (~b[(x + 1) % 5][y] & M64 & b[(x + 2) % 5][y]) for y in range(5)] for x in range(5)]
        a[0][0] ^= constant
    return a


def keccak(data):
    rate = 136
    data += b"\x01" + bytes((-len(data) - 2) % rate) + b"\x80" if (len(data) + 1) % rate else b"\x81"
    a = [[0] * 5 for _ in range(5)]
    for start in range(0, len(data), rate):
        for i in range(rate // 8):
            lane = int.from_bytes(data[start + 8 * i:start + 8 * i + 8], "little")
            a[i % 5][i // 5] ^= lane
        a = permute(a)
    return b"".join(a[i % 5][i // 5].to_bytes(8, "little") for i in range(4))


# ---------------------------------------------------------------- secp256k1

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)


def add(p, q):
    if p is None or q is None:
        return p or q
    if p[0] == q[0]:
        if (p[1] + q[1]) % P == 0:
            return None
        slope = 3 * p[0] * p[0] * pow(2 * p[1], -1, P) % P
    else:
        slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, P) % P
    x = (slope * slope - p[0] - q[0]) % P
    return x, (slope * (p[0] - x) - p[1]) % P


def times(point, by):
    out = None
    while by:
        if by & 1:
            out = add(out, point)
        point, by = add(point, point), by >> 1
    return out


def address_of(key):
    x, y = times(G, int.from_bytes(key, "big"))
    return keccak(x.to_bytes(32, "big") + y.to_bytes(32, "big"))[12:]


def nonce(key, digest):
    """RFC 6979, section 3.2, with SHA-256."""
    h1 = (int.from_bytes(digest, "big") % N).to_bytes(32, "big")
    v, k = b"\x01" * 32, b"\x00" * 32
    for step in (b"\x00", b"\x01"):
        k = hmac.digest(k, v + step + key + h1, "sha256")
        v = hmac.digest(k, v, "sha256")
    while True:
        v = hmac.digest(k, v, "sha256")
        candidate = int.from_bytes(v, "big")
        if 1 <= candidate < N:
            return candidate
        k = hmac.digest(k, v + b"\x00", "sha256")
        v = hmac.digest(k, v, "sha256")


def sign(key, digest):
    """r and vs (EIP-2098), low s (EIP-2)."""
    k = nonce(key, digest)
    x, y = times(G, k)
    r, z = x % N, int.from_bytes(digest, "big")
    s = pow(k, -1, N) * (z + r * int.from_bytes(key, "big")) % N
    parity = y & 1
    if s > N // 2:
        s, parity = N - s, parity ^ 1
    return r.to_bytes(32, "big"), (s | parity << 255).to_bytes(32, "big")


def recover(digest, r, vs):
    """The signer's address, or None."""
    r, vs = int.from_bytes(r, "big"), int.from_bytes(vs, "big")
    s, parity = vs & ((1 << 255) - 1), vs >> 255
    if not 0 < r < N or not 0 < s <= N // 2:
        return None
    y = pow(r**3 + 7, (P + 1) // 4, P)
    if (y * y - r**3 - 7) % P:
        return None
    point = (r, y if y & 1 == parity else P - y)
    inverse, z = pow(r, -1, N), int.from_bytes(digest, "big")
    found = add(times(point, s * inverse % N), times(G, -z * inverse % N))
    if found is None:
        return None
    return keccak(found[0].to_bytes(32, "big") + found[1].to_bytes(32, "big"))[12:]


# ---------------------------------------------------------------- ABI and EIP-712


def word(value):
    """A static ABI word: a number, an address (20 bytes), or 32 bytes."""
    if isinstance(value, (int, bool)):
        return int(value).to_bytes(32, "big")
    return bytes(32 - len(value)) + value


def words(*values):
    return b"".join(word(v) for v in values)


VOUCHER_FIELDS = [
    ("address", "owner"), ("address", "payee"), ("uint32", "first"), ("uint16", "count"), ("bytes32", "content"),
    ("uint96", "base"), ("uint96", "unit"), ("uint16", "steps"), ("bytes32", "root"), ("bytes32", "luck"),
]
VOUCHER_TYPE = "Voucher(" + ",".join(f"{t} {n}" for t, n in VOUCHER_FIELDS) + ")"
REDEEM_TYPE = "Redeem(bytes32 claims,address to,address relayer,uint256 fee,uint256 deadline)"
DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
VOUCHER_TUPLE = "(" + ",".join(t for t, _ in VOUCHER_FIELDS) + ")"
CLAIM_TUPLE = "(address,uint32,uint16,bytes32,uint96,uint96,uint16,uint16,bytes32,bytes32,bytes32,bytes32)"


def domain(vault, chain_id):
    return keccak(words(keccak(DOMAIN_TYPE.encode()), keccak(b"PieceworkVault"), keccak(b"1"), chain_id, vault))


def typed(separator, struct_hash):
    return keccak(b"\x19\x01" + separator + struct_hash)


def struct_hash(v):
    return keccak(words(keccak(VOUCHER_TYPE.encode()), *(v[n] for _, n in VOUCHER_FIELDS)))


def account_id(owner, session):
    return keccak(words(owner, session))


def claim_words(v, k, w, r, vs):
    return words(v["owner"], v["first"], v["count"], v["content"], v["base"], v["unit"], v["steps"], k, w, 0, r, vs)


def encode_claims(claims):
    return words(32, len(claims)) + b"".join(claims)


def redeem_digest(separator, claims, to, relayer, fee, deadline):
    fields = words(keccak(REDEEM_TYPE.encode()), keccak(encode_claims(claims)), to, relayer, fee, deadline)
    return typed(separator, keccak(fields))


# ---------------------------------------------------------------- the protocol


def links(tip, steps):
    out = [tip]
    for _ in range(steps):
        out.append(keccak(out[-1]))
    return out[::-1]


def voucher_bytes(v, r, vs):
    return b"".join([
        v["owner"], v["first"].to_bytes(4, "big"), v["count"].to_bytes(2, "big"), v["content"],
        v["base"].to_bytes(12, "big"), v["unit"].to_bytes(12, "big"), v["steps"].to_bytes(2, "big"),
        v["root"], v["luck"], r, vs,
    ])


def per_block(token_units_per_gb):
    return -(-((token_units_per_gb << 24) * 16_384) // 10**9)


MAX96 = (1 << 96) - 1


def cap(count, tranche):
    return min(count * tranche, MAX96 >> 24) << 24


def usable(count, tranche, base, unit):
    return max(cap(count, tranche) - base, 0) // unit if unit else 0


def due(v):
    return min((v["base"] + v["unit"] * v["k"]) >> 24, v["count"] * v["tranche"])


def allocate(next_serial, bound, needed, wanted):
    first = max(next_serial, 1)
    if 256 - first % 256 < needed:
        first = (first | 255) + 1
    count = min(wanted, 256 - first % 256, max(bound - first, 0))
    if count < max(needed, 1) or first > 0xFFFFFFFF:
        return None
    return [first, count]


def credit(paid, first, most, ramp, walked):
    ramp = max(ramp, 16) if walked and ramp else ramp
    return min(max(paid // ramp if ramp else 0, first), max(most, first))


# ---------------------------------------------------------------- JSON


def h(data):
    return "0x" + data.hex()


def number(value):
    return str(value)


TERMS_FIELDS = [
    ("version", 1), ("flags", 1), ("quote_id", 4), ("ttl_secs", 2), ("payee", 20), ("content", 32), ("unit", 12),
    ("min_range", 12), ("max_steps", 2), ("credit0", 2), ("credit_max", 2), ("ramp", 1), ("min_bond_percent", 2),
    ("luck", 32),
]
VOUCHER_WIRE = [
    ("owner", 20), ("first", 4), ("count", 2), ("content", 32), ("base", 12), ("unit", 12), ("steps", 2), ("root", 32),
    ("luck", 32), ("r", 32), ("vs", 32),
]
MESSAGES = {
    "TERMS": (1, TERMS_FIELDS),
    "COMMIT": (2, [("quote_id", 4), *VOUCHER_WIRE]),
    "PAY": (3, [("first", 4), ("tag", 4), ("k", 2), ("w", 32)]),
    "ACK": (4, [("first", 4), ("tag", 4), ("k", 2), ("owed_blocks", 4), ("credit_blocks", 2)]),
    "REJECT": (5, [("code", 1), ("first", 4), ("tag", 4), ("aux", 4)]),
    "NEED": (6, [("reason", 1), ("first", 4)]),
    "SEEN": (7, [("payee", 20), *VOUCHER_WIRE]),
    "STATE": (8, [("payee", 20), *VOUCHER_WIRE, ("k", 2), ("w", 32)]),
    "BYE": (9, [("reason", 1)]),
    "HELD": (10, [("payee", 20), *VOUCHER_WIRE, ("k", 2), ("w", 32)]),
    "RECONCILE": (11, VOUCHER_WIRE),
}
AS_TEXT = {"unit", "min_range", "base"}


def message(kind, **fields):
    """One message: its bytes, and its fields as JSON has them."""
    number_of, layout = MESSAGES[kind]
    data, shown = bytes([number_of]), {"type": kind}
    for name, size in layout:
        value = fields[name]
        data += value if isinstance(value, bytes) else value.to_bytes(size, "big")
        shown[name] = h(value) if isinstance(value, bytes) else number(value) if name in AS_TEXT else value
        assert not isinstance(value, bytes) or len(value) == size, name
    shown["hex"] = data.hex()
    return data, shown


# ---------------------------------------------------------------- what the vectors are about

CHAIN_ID = 31_337
VAULT = b"\x44" * 20
OWNER = b"\x22" * 20
SESSION_KEY = b"\x11" * 32
SESSION = address_of(SESSION_KEY)
PAYEE_KEY = b"\x12" * 32
PAYEE = address_of(PAYEE_KEY)
OTHER_PAYEE = b"\x33" * 20
ZERO = bytes(32)
TRANCHE = 10_000
UNIT = per_block(10_000_000)
DUST = 10_000
SEPARATOR = domain(VAULT, CHAIN_ID)
QUOTE = 0x01020304


def signed(payee, first, count, base, unit, steps, tip, **changes):
    chain = links(tip, steps)
    v = {
        "owner": OWNER, "payee": payee, "first": first, "count": count, "content": ZERO, "base": base, "unit": unit,
        "steps": steps, "root": chain[0], "luck": ZERO,
    } | changes
    digest = typed(SEPARATOR, struct_hash(v))
    r, vs = sign(SESSION_KEY, digest)
    assert recover(digest, r, vs) == SESSION
    return v, chain, digest, r, vs


def sum_of(voucher, base):
    """A voucher without steps for the range of another one, as RECONCILE has it, with its signature."""
    v, _, _, r, vs = signed(PAYEE, voucher["first"], voucher["count"], base, voucher["unit"], 0, b"\x5b" * 32)
    return v, r, vs


def wire(v, r, vs):
    return {name: v[name] for name, _ in VOUCHER_WIRE[:-2]} | {"r": r, "vs": vs}


def shown_voucher(v):
    out = {}
    for kind, name in VOUCHER_FIELDS:
        out[name] = h(v[name]) if isinstance(v[name], bytes) else number(v[name]) if name in AS_TEXT else v[name]
    return out


TERMS = {
    "version": 1, "flags": 0, "quote_id": QUOTE, "ttl_secs": 600, "payee": PAYEE, "content": ZERO, "unit": UNIT,
    "min_range": DUST << 24, "max_steps": 256, "credit0": 16, "credit_max": 256, "ramp": 2, "min_bond_percent": 125,
    "luck": ZERO,
}

# The range of the paid piece: one serial, at 10 tokens per 10^9 bytes of a token with six decimals.
STEPS = min(256, usable(1, TRANCHE, 0, UNIT))
PAID = signed(PAYEE, 7, 1, 0, UNIT, STEPS, b"\x5a" * 32)


def chains():
    out = []
    for tip, steps, shown in [(b"\x07" * 32, 4, range(5)), (b"\x55" * 32, 256, [0, 1, 2, 100, 192, 255, 256])]:
        chain = links(tip, steps)
        out.append({"tip": h(tip), "steps": steps, "links": {str(k): h(chain[k]) for k in shown}})
    good, bad = links(b"\x07" * 32, 4), []
    for known, k, w, is_next, why in [
        (0, 1, good[1], True, "the first step"),
        (0, 4, good[4], True, "steps may be skipped"),
        (2, 3, good[3], True, "from the last known step"),
        (2, 2, good[2], False, "the same step again"),
        (2, 1, good[1], False, "an earlier step"),
        (0, 2, good[1], False, "a link under another number"),
        (0, 1, ZERO, False, "no link at all"),
    ]:
        bad.append({"known_k": known, "known_w": h(good[known]), "k": k, "w": h(w), "advances": is_next, "why": why})
    return {"chains": out, "advances": bad}


def amounts():
    prices = [1, 1_000, 10_000_000, 10_000_000_000, 1_000_000]
    ranges = [
        (1, TRANCHE, 0, UNIT, 256), (1, TRANCHE, UNIT * 46, UNIT, 256), (1, TRANCHE, UNIT * 61, UNIT, 256),
        (4, TRANCHE, 0, UNIT, 256), (64, TRANCHE, 0, UNIT, 256), (64, TRANCHE, 0, UNIT, 100),
        (1, TRANCHE, 0, cap(1, TRANCHE), 256), (1, TRANCHE, 0, cap(1, TRANCHE) + 1, 256), (1, TRANCHE, 0, 0, 256),
        (256, MAX96, 0, 1 << 40, 256), (1, 1, 0, 1, 256),
    ]
    claims = [
        (0, UNIT, 4, 1), (0, UNIT, 61, 1), (0, UNIT, 0, 1), (UNIT * 46, UNIT, 15, 1), (0, 1, 1, 1),
        ((1 << 24) - 1, 1, 0, 1), ((1 << 24) - 1, 1, 1, 1), (MAX96, MAX96, 256, 256), (0, 200 << 24, 256, 1),
    ]
    allocations = [
        (1, 201, 1, 1), (0, 201, 1, 4), (254, 1_000, 1, 4), (254, 1_000, 3, 4), (256, 1_000, 1, 4), (199, 201, 1, 4),
        (201, 201, 1, 4), (0xFFFFFFFF, 1 << 32, 1, 4), (1 << 32, 1 << 33, 1, 4),
    ]
    credits = [
        (0, 16, 256, 2, False), (33, 16, 256, 2, False), (34, 16, 256, 2, False), (512, 16, 256, 2, False),
        (10_000, 16, 256, 2, False), (10_000, 16, 256, 0, False), (512, 16, 256, 2, True), (512, 16, 256, 32, True),
        (19, 4, 128, 4, False), (20, 4, 128, 4, False), (100, 16, 8, 1, False),
    ]
    out = {
        "price_per_block": [{"token_units_per_gb": number(p), "unit": number(per_block(p))} for p in prices],
        "ranges": [
            {
                "count": c, "tranche": number(q), "base": number(b), "unit": number(u), "max_steps": m,
                "cap": number(cap(c, q)), "usable_steps": number(usable(c, q, b, u)),
                "chain_steps": min(usable(c, q, b, u), m, 256),
            }
            for c, q, b, u, m in ranges
        ],
        "claims": [],
        "serials": [],
        "credit": [
            {"paid_blocks": p, "first": f, "most": m, "ramp": r, "walked_away": w, "credit": credit(p, f, m, r, w)}
            for p, f, m, r, w in credits
        ],
        "bounds": [
            {"consumed": c, "balance": number(b), "tranche": number(q), "bound": c + b // q if q else 0}
            for c, b, q in [(1, 2_000_000, TRANCHE), (3, 1_980_999, TRANCHE), (1, 9_999, TRANCHE), (5, 0, 0)]
        ],
    }
    for b, u, k, c in claims:
        v = {"base": b, "unit": u, "k": k, "count": c, "tranche": TRANCHE}
        shown = {"count": c, "tranche": number(TRANCHE), "base": number(b), "unit": number(u), "k": k}
        out["claims"].append(shown | {"due": number(due(v))})
    for n, b, needed, wanted in allocations:
        shown = {"next": n, "bound": b, "needed": needed, "wanted": wanted}
        out["serials"].append(shown | {"range": allocate(n, b, needed, wanted)})
    return out


def messages():
    v, chain, _, r, vs = PAID
    tag = v["root"][:4]
    body = wire(v, r, vs)
    out = [
        message("TERMS", **TERMS),
        message("COMMIT", quote_id=QUOTE, **body),
        message("PAY", first=7, tag=tag, k=4, w=chain[4]),
        message("ACK", first=7, tag=tag, k=4, owed_blocks=3, credit_blocks=16),
        message("SEEN", payee=PAYEE, **body),
        message("STATE", payee=PAYEE, **body, k=4, w=chain[4]),
        message("HELD", payee=PAYEE, **body, k=4, w=chain[4]),
        message("RECONCILE", **wire(*sum_of(v, UNIT * 7))),
    ]
    aux = {4: 201, 5: 7, 6: 7, 11: 5, 12: 16, 14: 900, 16: 2}
    for code in [*range(1, 17), 200]:
        out.append(message("REJECT", code=code, first=7, tag=tag, aux=aux.get(code, 0)))
    for reason in [*range(1, 6), 99]:
        out.append(message("NEED", reason=reason, first=7))
    for reason in [0, 1, 2, 3, 4, 0x80, 0x81, 0x83, 0x7F]:
        out.append(message("BYE", reason=reason))
    return {
        "messages": [shown for _, shown in out],
        "ignored": [{"hex": "00", "why": "type 0 is not known"}, {"hex": "0c010203", "why": "type 12 is not known"}],
        "closes": [
            {"hex": "", "why": "there is no type byte"},
            {"hex": "09", "why": "BYE has 2 bytes"},
            {"hex": "090000", "why": "BYE has 2 bytes"},
            {"hex": out[2][0].hex() + "00", "why": "PAY has 43 bytes"},
            {"hex": out[1][0][:-1].hex(), "why": "COMMIT has 217 bytes"},
        ],
    }


def bencode(value):
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    return b"d" + b"".join(bencode(k) + bencode(value[k]) for k in sorted(value)) + b"e"


def extended(pw_pay, ut_metadata, flags, reqq, name, metadata_size):
    fields = {
        b"m": {b"pw_pay": pw_pay, b"ut_metadata": ut_metadata},
        b"pay": {b"a": VAULT, b"c": CHAIN_ID, b"f": flags, b"v": 1},
        b"reqq": reqq, b"v": name.encode(),
    }
    if metadata_size:
        fields[b"metadata_size"] = metadata_size
    data = bencode(fields)
    shown = {
        "pw_pay": pw_pay, "ut_metadata": ut_metadata, "vault": h(VAULT), "chain_id": CHAIN_ID, "flags": flags,
        "version": 1, "reqq": reqq, "client": name, "metadata_size": metadata_size, "hex": data.hex(),
    }
    return data, shown


INFO = bencode({
    b"length": 65_536, b"name": b"paid.bin", b"piece length": 65_536,
    b"pieces": hashlib.sha1(b"".join(bytes([n + 1]) * 16_384 for n in range(4))).digest(),
})
SELLER_HELLO = extended(2, 1, 3, 256, "Piecework 0.1.0", len(INFO))
BUYER_HELLO = extended(7, 3, 2, 64, "buyer", None)


def handshakes():
    return {
        "handshakes": [SELLER_HELLO[1], BUYER_HELLO[1]],
        "no_payments": [
            {"why": "no pay dictionary", "hex": b"d1:md6:pw_payi2eee".hex()},
            {"why": "the vault is short", "hex": b"d1:md6:pw_payi2ee3:payd1:a3:abc1:ci1e1:fi1e1:vi1eee".hex()},
            {"why": "no version", "hex": (b"d1:md6:pw_payi2ee3:payd1:a20:" + VAULT + b"1:ci1e1:fi1eee").hex()},
        ],
    }


def signatures():
    _, _, digest, r, vs = PAID
    good, out = (r, vs), []
    flipped = (int.from_bytes(vs, "big") ^ 1 << 255).to_bytes(32, "big")
    s = int.from_bytes(vs, "big") & ((1 << 255) - 1)
    high = N - s
    least_high = N // 2 + 1
    cases = [
        ("the paid piece's voucher", digest, *good),
        ("the other parity bit names another key", digest, r, flipped),
        ("another digest names another key", keccak(digest), *good),
        ("s of the highest value that EIP-2 allows, another key", digest, r, (N // 2).to_bytes(32, "big")),
        ("the least s that EIP-2 forbids", digest, r, least_high.to_bytes(32, "big")),
        ("r is zero", digest, ZERO, vs),
        ("s is zero", digest, r, ZERO),
        ("r is the group order", digest, N.to_bytes(32, "big"), vs),
    ]
    if high < 1 << 255:
        cases.append(("s in the upper half", digest, r, high.to_bytes(32, "big")))
    for name, d, r_, vs_ in cases:
        signer = recover(d, r_, vs_)
        shown = {"name": name, "digest": h(d), "r": h(r_), "vs": h(vs_)}
        out.append(shown | {"signer": h(signer) if signer else None})
    return {"session_key": h(SESSION_KEY), "session_address": h(SESSION), "signatures": out}


SIGNATURES = {
    "open": "open(address,uint96,uint112,uint112,(uint256,uint8,bytes32,bytes32))",
    "openWithAuthorization":
        "openWithAuthorization(address,address,uint96,uint112,uint112,uint256,uint8,bytes32,bytes32)",
    "topUp": "topUp(address,uint112,uint112,(uint256,uint8,bytes32,bytes32))",
    "exit": "exit(address)",
    "withdraw": "withdraw(address,address)",
    "redeem": f"redeem({CLAIM_TUPLE}[],address)",
    "redeemFor": f"redeemFor(address,{CLAIM_TUPLE}[],address,uint256,uint256,bytes32,bytes32)",
    "claimCredit": "claimCredit(address)",
    "slash": f"slash({VOUCHER_TUPLE},bytes32,bytes32,{VOUCHER_TUPLE},bytes32,bytes32)",
    "state": "state(bytes32,uint256)",
    "token": "token()",
    "exitDelay": "exitDelay()",
}
EVENTS = {
    "Opened": "Opened(bytes32,address,address,uint96,uint112,uint112)",
    "ToppedUp": "ToppedUp(bytes32,uint112,uint112)",
    "Exiting": "Exiting(bytes32,uint48)",
    "Withdrawn": "Withdrawn(bytes32,uint256)",
    "Redeemed": "Redeemed(bytes32,address,address,uint256,bytes32,bytes32,bytes32,bytes32,bytes32,uint256,uint256)",
    "Skipped": "Skipped(uint256,uint8)",
    "Slashed": "Slashed(bytes32,address,uint256,uint256)",
}


def selector(name):
    return keccak(SIGNATURES[name].encode())[:4]


def vault():
    v, chain, digest, r, vs = PAID
    k = 4
    account = account_id(OWNER, SESSION)
    claim = claim_words(v, k, chain[k], r, vs)
    # A second claim that the vault will skip: the same again.
    claims = [claim, claim]
    to, relayer, deadline = b"\xaa" * 20, b"\xbb" * 20, 2_000_000_000
    redemption = redeem_digest(SEPARATOR, claims, to, relayer, 0, deadline)
    pr, pvs = sign(PAYEE_KEY, redemption)
    assert recover(redemption, pr, pvs) == PAYEE
    state = [2_000_000, TRANCHE, 1, True, 2_500_000, 0, 1, CHAIN_ID, 12, 1_700_000_000]
    names = "balance tranche consumed known bond exit_at spent_word chain_id block_number timestamp".split()
    large = ("balance", "tranche", "bond", "spent_word")
    gross = due({"base": v["base"], "unit": v["unit"], "k": k, "count": v["count"], "tranche": TRANCHE})
    packed = v["first"] << 224 | v["count"] << 208 | v["steps"] << 192 | v["base"] << 96 | v["unit"]
    topic = {name: keccak(signature.encode()) for name, signature in EVENTS.items()}
    redeemed = words(packed, v["content"], v["root"], v["luck"], r, vs, gross, 0)
    # The same serial, promised to somebody else too.
    x, y = PAID, signed(OTHER_PAYEE, 7, 1, 0, UNIT, STEPS, b"\x5b" * 32)
    evidence = [words(*(p[0][n] for _, n in VOUCHER_FIELDS), p[3], p[4]) for p in (x, y)]
    return {
        "chain_id": CHAIN_ID, "vault": h(VAULT), "owner": h(OWNER), "session_address": h(SESSION),
        "account": h(account),
        "voucher_type": VOUCHER_TYPE, "voucher_type_hash": h(keccak(VOUCHER_TYPE.encode())),
        "redeem_type": REDEEM_TYPE, "redeem_type_hash": h(keccak(REDEEM_TYPE.encode())),
        "domain_type": DOMAIN_TYPE, "domain_separator": h(SEPARATOR),
        "calls": {name: {"signature": s, "selector": h(selector(name))} for name, s in SIGNATURES.items()},
        "events": {name: {"signature": s, "topic": h(topic[name])} for name, s in EVENTS.items()},
        "voucher": shown_voucher(v), "digest": h(digest), "r": h(r), "vs": h(vs), "k": k, "w": h(chain[k]),
        "state": {
            "word": 0, "call": h(selector("state") + words(account, 0)), "answer": h(words(*state)),
            "fields": {n: number(s) if n in large else s for n, s in zip(names, state)},
        },
        "redeem": {
            "to": h(to), "claims": 1,
            "call": h(selector("redeem") + words(64, to) + encode_claims([claim])[32:]),
        },
        "redeem_for": {
            "payee_key": h(PAYEE_KEY), "payee": h(PAYEE), "to": h(to), "relayer": h(relayer), "fee": "0",
            "deadline": deadline, "claims": 2, "digest": h(redemption), "r": h(pr), "vs": h(pvs),
            "call": h(
                selector("redeemFor") + words(PAYEE, 7 * 32, to, 0, deadline, pr, pvs) + encode_claims(claims)[32:]
            ),
        },
        "logs": [
            {"topics": [h(topic["Redeemed"]), h(account), h(word(PAYEE)), h(word(OWNER))], "data": h(redeemed)},
            {"topics": [h(topic["Skipped"])], "data": h(words(1, 6))},
        ],
        "report": {"paid": [[0, number(gross)]], "skipped": [[1, 6]]},
        "slash": {
            "x": shown_voucher(x[0]), "x_r": h(x[3]), "x_vs": h(x[4]),
            "y": shown_voucher(y[0]), "y_r": h(y[3]), "y_vs": h(y[4]),
            "call": h(selector("slash") + evidence[0] + evidence[1]),
        },
    }


def paid_piece():
    v, chain, _, r, vs = PAID
    tag = v["root"][:4]
    info_hash = hashlib.sha1(INFO).digest()
    reserved = bytes([0, 0, 0, 0, 0, 0x10, 0, 0x04])

    def hello(peer_id):
        return b"\x13BitTorrent protocol" + reserved + info_hash + peer_id

    def frame(number_of, payload=b""):
        return (1 + len(payload)).to_bytes(4, "big") + bytes([number_of]) + payload

    def ours(pay):
        return frame(20, bytes([2]) + pay[0]), pay[1]

    def theirs(pay):
        return frame(20, bytes([7]) + pay[0]), pay[1]

    terms = message("TERMS", **TERMS)
    out = []

    def step(source, name, data, **more):
        shown = more.pop("pay", None)
        entry = {"from": source, "what": name, "hex": data.hex()} | more
        if shown:
            entry["pw_pay"] = {key: value for key, value in shown.items() if key != "hex"}
        out.append(entry)

    step("buyer", "handshake (BEP 3)", hello(b"-XX0001-buyer-000000"))
    step("seller", "handshake (BEP 3)", hello(b"-PW0100-seller-00000"))
    step("buyer", "extended handshake (BEP 10)", frame(20, b"\x00" + BUYER_HELLO[0]))
    step("buyer", "have none (BEP 6)", frame(15))
    step("seller", "extended handshake (BEP 10)", frame(20, b"\x00" + SELLER_HELLO[0]))
    step("seller", "have all (BEP 6)", frame(14))
    data, shown = theirs(terms)
    step("seller", "TERMS", data, pay=shown)
    step("buyer", "interested (BEP 3)", frame(2))
    data, shown = ours(message("COMMIT", quote_id=QUOTE, **wire(v, r, vs)))
    step("buyer", "COMMIT", data, pay=shown)
    data, shown = theirs(message("ACK", first=7, tag=tag, k=0, owed_blocks=0, credit_blocks=16))
    step("seller", "ACK", data, pay=shown)
    step("seller", "unchoke (BEP 3)", frame(1))
    for n in range(4):
        block = b"".join(field.to_bytes(4, "big") for field in (0, n * 16_384, 16_384))
        step("buyer", "request (BEP 3)", frame(6, block))
    for n in range(4):
        head = (9 + 16_384).to_bytes(4, "big") + b"\x07" + (0).to_bytes(4, "big") + (n * 16_384).to_bytes(4, "big")
        step("seller", "piece (BEP 3)", head, then={"bytes": 16_384, "of_value": n + 1})
    data, shown = ours(message("PAY", first=7, tag=tag, k=4, w=chain[4]))
    step("buyer", "PAY", data, pay=shown)
    data, shown = theirs(message("ACK", first=7, tag=tag, k=4, owed_blocks=0, credit_blocks=16))
    step("seller", "ACK", data, pay=shown)
    data, shown = ours(message("BYE", reason=0))
    step("buyer", "BYE", data, pay=shown)
    return {
        "chain_id": CHAIN_ID, "vault": h(VAULT), "owner": h(OWNER), "session_key": h(SESSION_KEY),
        "session_address": h(SESSION), "payee": h(PAYEE), "tranche": number(TRANCHE), "balance": "2000000",
        "bond": "2500000",
        "chain_tip": h(b"\x5a" * 32), "info": INFO.hex(), "info_hash": info_hash.hex(),
        "digest": h(PAID[2]),
        "due_token_units": number(due({"base": 0, "unit": UNIT, "k": 4, "count": 1, "tranche": TRANCHE})),
        "steps": out,
    }


def exchanges():
    """What our seller answers, message by message. Each begins with a new seller and TERMS on connection 1."""
    out = []

    def shown(kind, **fields):
        return message(kind, **fields)[1]

    def exchange(name, *steps, **chain):
        first = {"at": 0, "connection": 1, "begins": True, "seller": [shown("TERMS", **TERMS)]}
        out.append({"name": name, "chain": chain, "steps": [first, *steps]})

    def says(at, said, *answers, connection=1, **more):
        return {"at": at, "connection": connection, "buyer": said, "seller": list(answers)} | more

    def commit(promise, quote_id=QUOTE, **changes):
        v, _, _, r, vs = promise
        return shown("COMMIT", quote_id=quote_id, **(wire(v, r, vs) | changes))

    def pay(promise, k):
        v, chain, *_ = promise
        return shown("PAY", first=v["first"], tag=v["root"][:4], k=k, w=chain[k])

    def ack(promise, k, credit_blocks=16, owed_blocks=0):
        v = promise[0]
        fields = {"first": v["first"], "tag": v["root"][:4], "k": k}
        return shown("ACK", **fields, owed_blocks=owed_blocks, credit_blocks=credit_blocks)

    def reject(promise, code, aux=0, **changes):
        fields = {"first": promise[0]["first"], "tag": promise[0]["root"][:4]} | changes
        return shown("REJECT", code=code, **fields, aux=aux)

    def blocks(at, count, connection=1):
        return {"at": at, "connection": connection, "blocks": count}

    def later(base_steps, tip):
        """A fold of the paid piece's range after so many steps."""
        return signed(PAYEE, 7, 1, UNIT * base_steps, UNIT, STEPS - base_steps, bytes([tip]) * 32)

    old, fold = PAID, later(47, 0x5C)
    # 47 of 61 steps are three quarters.
    until_47 = [
        says(1, commit(old), ack(old, 0)),
        blocks(2, 16), says(3, pay(old, 16)),
        blocks(4, 16), says(5, pay(old, 32)),
        blocks(6, 15), says(7, pay(old, 47), ack(old, 47, 23)),
    ]
    exchange(
        "a fold, and a step of its chain",
        *until_47, says(1_000, commit(fold), ack(fold, 0, 23)),
        blocks(1_001, 1), says(1_002, pay(fold, 1), ack(fold, 1, 24)),
    )
    exchange(
        "a fold that comes too soon waits",
        *until_47, says(8, commit(fold), reject(fold, 14, 893)),
    )
    exchange(
        "a fold that cannot be stored: the old chain goes on, as far as both went",
        *until_47,
        says(1_000, commit(fold), storage="waits"),
        blocks(1_001, 1), says(1_002, pay(fold, 1)),
        {"at": 1_003, "connection": 1, "storage": "fails", "seller": [reject(fold, 13)]},
        says(1_004, pay(old, 48), ack(old, 48, 24)),
    )
    forgot, right = later(10, 0x5D), later(16, 0x5E)
    body = wire(old[0], old[3], old[4])
    state = shown("STATE", payee=PAYEE, **body, k=16, w=old[1][16])
    exchange(
        "a buyer that forgot six steps is shown them, and folds to them",
        says(1, commit(old), ack(old, 0)), blocks(2, 16), says(3, pay(old, 16)),
        {"at": 4, "connection": 1, "ends": True},
        {"at": 5, "connection": 2, "begins": True, "seller": [shown("TERMS", **TERMS)]},
        says(6, commit(forgot), state, connection=2),
        says(7, commit(right), ack(right, 0), connection=2),
    )
    lost = shown("RECONCILE", **wire(*sum_of(old[0], UNIT * 18)))
    total = sum_of(old[0], UNIT * 18)
    exchange(
        "a buyer that comes back names its sum: steps that never came are taken, and shown on the next connection",
        says(1, commit(old), ack(old, 0)), blocks(2, 16), says(3, pay(old, 16)),
        {"at": 4, "connection": 1, "ends": True},
        {"at": 5, "connection": 2, "begins": True, "seller": [shown("TERMS", **TERMS)]},
        says(6, lost, connection=2),
        {"at": 7, "connection": 3, "begins": True, "seller": [shown("TERMS", **TERMS)]},
        says(8, lost, shown("HELD", payee=PAYEE, **wire(*total), k=0, w=total[0]["root"]), connection=3),
    )
    exchange(
        "a buyer that names less is shown what is held",
        says(1, commit(old), ack(old, 0)), blocks(2, 16), says(3, pay(old, 16)),
        {"at": 4, "connection": 1, "ends": True},
        {"at": 5, "connection": 2, "begins": True, "seller": [shown("TERMS", **TERMS)]},
        says(6, shown("RECONCILE", **wire(*sum_of(old[0], UNIT * 10))),
             shown("HELD", payee=PAYEE, **body, k=16, w=old[1][16]), connection=2),
    )
    exchange(
        "a COMMIT that is repeated on its own connection is acknowledged again",
        says(1, commit(old), ack(old, 0)), says(1_000, commit(old), ack(old, 0)),
    )
    exchange(
        "a COMMIT that is repeated elsewhere has no credit until a higher step comes",
        says(1, commit(old), ack(old, 0)), blocks(2, 2), says(3, pay(old, 2)),
        {"at": 4, "connection": 2, "begins": True, "seller": [shown("TERMS", **TERMS)]},
        says(5, commit(old), ack(old, 2, 0), connection=2),
        says(6, pay(old, 2), connection=2),
        says(7, pay(old, 3), ack(old, 3), connection=2),
    )
    second, third = later(0, 0x62), later(0, 0x63)
    quoted_again = shown("TERMS", **TERMS)
    exchange(
        "a promise that another one with the same base followed is refused, and a fresh one is taken",
        says(1, commit(old), ack(old, 0)), {"at": 2, "connection": 1, "ends": True},
        {"at": 3, "connection": 2, "begins": True, "seller": [quoted_again]},
        says(4, commit(second), ack(second, 0), connection=2), {"at": 5, "connection": 2, "ends": True},
        {"at": 6, "connection": 3, "begins": True, "seller": [quoted_again]},
        says(7, commit(old), reject(old, 9), quoted_again, connection=3),
        says(1_000, commit(third), ack(third, 0), connection=3),
    )
    exchange(
        "an ACK that brings no news waits for a tenth of a second",
        says(1, commit(old), ack(old, 0)), blocks(2, 4), says(3, pay(old, 4)),
        {"at": 200, "connection": 1, "seller": [ack(old, 4)]},
    )
    wrong = shown("PAY", first=7, tag=old[0]["root"][:4], k=5, w=old[1][4])
    exchange(
        "an earlier step, another tag and another range are ignored, a wrong link is refused",
        says(1, commit(old), ack(old, 0)), blocks(2, 4), says(3, pay(old, 4)),
        says(4, pay(old, 3)), says(5, pay(fold, 1)),
        says(6, shown("PAY", first=8, tag=old[0]["root"][:4], k=5, w=old[1][5])),
        says(7, wrong, reject(old, 11, 5)),
    )
    exchange(
        "credit that is used up for ten seconds is refused, and a payment makes room",
        says(1, commit(old), ack(old, 0)), blocks(2, 16),
        {"at": 10_002, "connection": 1, "seller": [reject(old, 12, 16)]},
        says(10_003, pay(old, 4), ack(old, 4, 16, 12)),
    )
    other = signed(PAYEE, 7, 2, 0, UNIT, STEPS, b"\x5f" * 32)
    exchange(
        "a range that overlaps another is refused with the evidence",
        says(1, commit(old), ack(old, 0)),
        says(1_000, commit(other), shown("SEEN", payee=PAYEE, **body), reject(other, 6, 7)),
    )
    exchange("a BYE stops the sale", says(1, commit(old), ack(old, 0)), says(2, shown("BYE", reason=0)))

    again = shown("TERMS", **TERMS)
    refused = [
        ("another quote", commit(old, QUOTE ^ 1), [reject(old, 9), again], {}),
        ("another price", commit(old, unit=UNIT - 1), [reject(old, 9), again], {}),
        ("a lottery", commit(old, luck=b"\x01" * 32), [reject(old, 9), again], {}),
        ("another title", commit(old, content=b"\x01" * 32), [reject(old, 10)], {}),
        ("no serials", commit(old, count=0), [reject(old, 4)], {}),
        ("serial 0", commit(old, first=0), [reject(old, 4, first=0)], {}),
        ("two words of serials", commit(old, first=255, count=2), [reject(old, 4, first=255)], {}),
        ("no steps", commit(old, steps=0), [reject(old, 16, 1)], {}),
        ("a signature of nobody", commit(old, r=ZERO), [reject(old, 3)], {}),
        ("the chain is another", commit(old), [reject(old, 13)], {"chain_id": 1}),
        ("the chain does not know the account", commit(old), [reject(old, 13)], {"known": False}),
        ("the account is exiting", commit(old), [reject(old, 7)], {"exit_at": 9}),
        ("a serial is consumed", commit(old), [reject(old, 5, 7)], {"spent_word": str(1 << 7 | 1)}),
        ("the bond is too low", commit(old), [reject(old, 8)], {"bond": "2499999"}),
    ]
    uncovered = signed(PAYEE, 201, 1, 0, UNIT, STEPS, b"\x60" * 32)
    refused.append(("the deposit does not reach so far", commit(uncovered), [reject(uncovered, 4, 201)], {}))
    too_long = signed(PAYEE, 7, 1, 0, UNIT, STEPS + 1, b"\x61" * 32)
    refused.append(("the last step passes the cap", commit(too_long), [reject(too_long, 16, 2)], {}))
    for name, said, answers, chain in refused:
        exchange(f"refused: {name}", says(1, said, *answers), **chain)
    return {"exchanges": out}


FILES = {
    "chain.json": ("Hash chains: links by step, and what advances a known step.", chains),
    "amounts.json": ("Prices, ranges, claims, serials and credit: inputs, and the numbers that follow.", amounts),
    "messages.json": ("pw_pay messages: fields and bytes; what is ignored; what closes the connection.", messages),
    "handshake.json": ("Extended handshakes (BEP 10) with the pay dictionary.", handshakes),
    "signatures.json": ("Recovering a signer; null: nobody.", signatures),
    "vault.json": ("The vault's calls, answers, events and EIP-712 types.", vault),
    "exchanges.json": ("What a seller answers to a buyer: folds, STATE, replays, refusals.", exchanges),
    "paid_piece.json": ("Every byte of one paid piece, in one possible order.", paid_piece),
}


def check_self():
    assert keccak(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    older = json.loads(OLDER.read_text())

    def b(text):
        return bytes.fromhex(text[2:])

    def read_voucher(entry):
        given = entry["voucher"]
        return {n: b(given[n]) if t in ("address", "bytes32") else int(given[n]) for t, n in VOUCHER_FIELDS}

    for entry in older["vectors"]:
        v = read_voucher(entry)
        chain = links(b(entry["chain_tip"]), v["steps"])
        assert chain[0] == v["root"], entry["name"]
        assert address_of(b(entry["session_key"])) == b(entry["session_address"].lower()), entry["name"]
        separator = domain(b(entry["vault"]), entry["chain_id"])
        assert separator == b(entry["domain_separator"]) and struct_hash(v) == b(entry["struct_hash"]), entry["name"]
        digest = typed(separator, struct_hash(v))
        r, vs = sign(b(entry["session_key"]), digest)
        assert (digest, r, vs) == tuple(map(b, [entry["digest"], entry["signature"]["r"], entry["signature"]["vs"]]))
        k = entry["preimage_at"]["k"]
        paid = due(v | {"k": k, "tranche": int(entry["tranche"])})
        assert paid == int(entry["due_token_units"]), entry["name"]
    redeem = older["redeem"]
    claims = []
    for i in (0, 2):
        entry = older["vectors"][i]
        v = read_voucher(entry)
        signature, at = entry["signature"], entry["preimage_at"]
        claims.append(claim_words(v, at["k"], b(at["w"]), b(signature["r"]), b(signature["vs"])))
    assert encode_claims(claims) == b(redeem["claims_abi_encoded"])
    separator = domain(b(redeem["vault"]), redeem["chain_id"])
    fee, deadline = int(redeem["fee"]), int(redeem["deadline"])
    assert redeem_digest(separator, claims, b(redeem["to"]), b(redeem["relayer"]), fee, deadline) == b(redeem["digest"])


def main():
    check_self()
    differing = []
    for name, (about, make) in FILES.items():
        text = json.dumps({"about": about} | make(), indent=1) + "\n"
        path = HERE / name
        if "--check" not in sys.argv:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            differing.append(name)
    if differing:
        sys.exit(f"not as they would be made anew: {', '.join(differing)}")


main()
