// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPieceworkVault} from "../interfaces/IPieceworkVault.sol";
import {VaultTest} from "./util/VaultTest.sol";

/// The cost of each verb as a transaction of its own (with intrinsic gas and calldata, less refunds), on a plain
/// OpenZeppelin ERC-20. `npm run gas` prints the table; the ceilings here only keep it from growing unseen.
///
/// Each call runs isolated, as its own transaction; without that storage would be warm from the set-up.
/// forge-config: default.isolate = true
contract GasTest is VaultTest {
    event log_named_uint(string name, uint256 gas);

    uint256 private constant PAYERS = 100;

    function setUp() public override {
        super.setUp();
        // As in use: the vault holds other people's money, and the payee's purse is not at its first coin.
        openAccount(STRANGER, session, Q, AMOUNT, BOND);
        token.mint(PURSE, 1);
        token.mint(owner, 10 * (uint256(AMOUNT) + BOND));
    }

    function test_Open() public {
        vm.prank(owner);
        token.approve(address(vault), uint256(AMOUNT) + BOND);
        vm.prank(owner);
        vault.open(session, Q, AMOUNT, BOND, noPermit());
        print("open", 116_000);
    }

    function test_OpenAsTheVaultsFirst() public {
        vault = deployVault(address(token), address(registry), SINK, EXIT_DELAY);
        vm.prank(owner);
        token.approve(address(vault), uint256(AMOUNT) + BOND);
        vm.prank(owner);
        vault.open(session, Q, AMOUNT, BOND, noPermit());
        print("open, the vault's first deposit", 132_000);
    }

    function test_OpenWithPermit() public {
        IPieceworkVault.Permit memory p = signPermit(OWNER_KEY, uint256(AMOUNT) + BOND, 0, nowSeconds());
        vm.prank(owner);
        vault.open(session, Q, AMOUNT, BOND, p);
        print("open with permit", 149_000);
    }

    function test_OpenWithAuthorization() public {
        bytes32 nonce = keccak256(abi.encode(session, Q, AMOUNT, BOND));
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
                ),
                owner,
                address(vault),
                uint256(AMOUNT) + BOND,
                0,
                nowSeconds() + 1,
                nonce
            )
        );
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(OWNER_KEY, digestOf("Piecework Demo Dollar", address(token), structHash));
        vm.prank(RELAYER);
        vault.openWithAuthorization(owner, session, Q, AMOUNT, BOND, nowSeconds() + 1, v, r, s);
        print("openWithAuthorization", 146_000);
    }

    function test_TopUpExitWithdraw() public {
        openUsual();
        vm.prank(owner);
        token.approve(address(vault), Q);
        vm.prank(owner);
        vault.topUp(session, Q, 0, noPermit());
        print("topUp", 55_000);
        vm.prank(owner);
        vault.exit(session);
        print("exit", 34_000);
        vm.warp(nowSeconds() + EXIT_DELAY);
        vm.prank(owner);
        vault.withdraw(session, owner);
        print("withdraw", 54_000);
    }

    function test_RedeemOne() public {
        openUsual();
        IPieceworkVault.Voucher memory v = voucherTo(payee, 1, 1);
        v.base = 39 << 24;
        IPieceworkVault.Claim[] memory cs = one(claimAt(v, 0));
        redeemAs(payee, cs, PURSE);
        print("redeem one, k = 0", 66_000);
        cs = one(goodClaim(2, 1, 256));
        redeemAs(payee, cs, PURSE);
        print("redeem one, k = 256", 78_000);
        v.first = 3;
        cs = one(claimAt(v, 0));
        redeemAs(payee, cs, address(0xe4470));
        print("redeem one, k = 0, to an empty purse", 82_000);
        cs = one(goodClaim(4, 1, 256));
        redeemAs(payee, cs, address(0xe4471));
        print("redeem one, k = 256, to an empty purse", 95_000);
    }

    function test_RedeemOneWithRoyalty() public {
        openUsual();
        registry.set(keccak256("title"), OTHER, 1000);
        for (uint32 i = 1; i < 3; ++i) {
            IPieceworkVault.Voucher memory v = voucherTo(payee, i, 1);
            v.content = keccak256("title");
            IPieceworkVault.Claim[] memory cs = one(claimAt(v, 1));
            redeemAs(payee, cs, PURSE);
        }
        print("redeem one, k = 1, with a royalty (not the creator's first)", 78_000);
    }

    address private constant OTHER = address(0x07e5);

    function test_BatchOfManyPayers() public {
        IPieceworkVault.Claim[] memory cs = batch();
        redeemAs(payee, cs, PURSE);
        printEach("batch item, 100 payers, k = 1", 27_000);
    }

    function test_RelayedBatchOfManyPayers() public {
        IPieceworkVault.Claim[] memory cs = batch();
        uint256 deadline = nowSeconds() + 1;
        (bytes32 r, bytes32 vs) = vm.signCompact(PAYEE_KEY, redeemDigest(cs, PURSE, RELAYER, 5, deadline));
        vm.prank(RELAYER);
        vault.redeemFor(payee, cs, PURSE, 5, deadline, r, vs);
        printEach("relayed batch item, 100 payers, k = 1", 27_000);
    }

    function test_Slash() public {
        openUsual();
        slashUsual();
        print("slash, first of sink and reporter", 90_000);
        vm.prank(owner);
        token.approve(address(vault), Q);
        vm.prank(owner);
        vault.topUp(session, 0, Q, noPermit());
        slashUsual();
        print("slash", 55_000);
    }

    function test_ClaimCredit() public {
        openUsual();
        slashUsual();
        vm.prank(STRANGER);
        vault.claimCredit(PURSE);
        print("claimCredit", 41_000);
    }

    function slashUsual() private {
        IPieceworkVault.Voucher memory x = voucherTo(payee, 5, 3);
        IPieceworkVault.Voucher memory y = voucherTo(otherPayee, 7, 2);
        (bytes32 rx, bytes32 vx) = signVoucher(SESSION_KEY, x);
        (bytes32 ry, bytes32 vy) = signVoucher(SESSION_KEY, y);
        vm.prank(STRANGER);
        vault.slash(x, rx, vx, y, ry, vy);
    }

    /// One claim of each of PAYERS accounts.
    function batch() private returns (IPieceworkVault.Claim[] memory cs) {
        cs = new IPieceworkVault.Claim[](PAYERS);
        for (uint256 i; i < PAYERS; ++i) {
            uint256 key = uint256(keccak256(abi.encode("session", i)));
            IPieceworkVault.Voucher memory v = voucherTo(payee, 1, 1);
            v.owner = address(uint160(0x1000 + i));
            openAccount(v.owner, vm.addr(key), Q, AMOUNT, BOND);
            cs[i] = claimOf(v, 1, chain(TIP, STEPS - 1), 0, key);
        }
    }

    function print(string memory what, uint256 ceiling) private {
        report(what, vm.lastCallGas().gasTotalUsed, ceiling);
    }

    function printEach(string memory what, uint256 ceiling) private {
        report(what, vm.lastCallGas().gasTotalUsed / PAYERS, ceiling);
    }

    function report(string memory what, uint256 gas, uint256 ceiling) private {
        emit log_named_uint(what, gas);
        vm.assertLe(gas, ceiling, what);
    }
}
