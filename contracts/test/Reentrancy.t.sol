// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {DemoToken} from "../src/DemoToken.sol";
import {IPieceworkVault} from "../interfaces/IPieceworkVault.sol";
import {KnockingToken} from "./util/Doubles.sol";
import {VaultTest} from "./util/VaultTest.sol";

/// Rule 7: the lock is on every verb. While any verb moves tokens, each verb that changes state is refused by it.
contract ReentrancyTest is VaultTest {
    bytes32 private constant TITLE = keccak256("a title");
    KnockingToken private knocking;

    function setUp() public override {
        super.setUp();
        knocking = new KnockingToken();
        token = DemoToken(address(knocking)); // minted and approved alike
        vault = deployVault(address(knocking), address(registry), SINK, EXIT_DELAY);
        openUsual();
        registry.set(TITLE, owner, 1000);
    }

    function test_WhileOpenTakesTheDeposit() public {
        fund();
        knock();
        vm.prank(owner);
        vault.open(STRANGER, Q, AMOUNT, BOND, noPermit());
        expectRefusals();
    }

    function test_WhileOpenWithAuthorizationTakesTheDeposit() public {
        fund();
        knock();
        vault.openWithAuthorization(owner, STRANGER, Q, AMOUNT, BOND, nowSeconds() + 1, 27, 0, 0);
        expectRefusals();
    }

    function test_WhileTopUpTakesTheDeposit() public {
        fund();
        knock();
        vm.prank(owner);
        vault.topUp(session, AMOUNT, BOND, noPermit());
        expectRefusals();
    }

    function test_WhileWithdrawPays() public {
        exitUsual();
        knock();
        vm.prank(owner);
        vault.withdraw(session, owner);
        expectRefusals();
    }

    function test_WhileRedeemPays() public {
        knock();
        redeemAs(payee, titleClaim(), PURSE);
        expectRefusals();
    }

    function test_WhileRedeemForPays() public {
        IPieceworkVault.Claim[] memory claims = titleClaim();
        uint256 deadline = nowSeconds();
        (bytes32 r, bytes32 vs) = vm.signCompact(PAYEE_KEY, redeemDigest(claims, PURSE, RELAYER, 1, deadline));
        knock();
        vm.prank(RELAYER);
        vault.redeemFor(payee, claims, PURSE, 1, deadline, r, vs);
        expectRefusals();
    }

    function test_WhileClaimCreditPays() public {
        redeemAs(payee, titleClaim(), PURSE);
        knock();
        vm.prank(owner);
        vault.claimCredit(owner);
        expectRefusals();
    }

    /// Every verb of the vault that changes state.
    function verbs() private view returns (bytes[] memory calls) {
        IPieceworkVault.Voucher memory v;
        IPieceworkVault.Claim[] memory claims;
        calls = new bytes[](9);
        calls[0] = abi.encodeCall(IPieceworkVault.open, (session, Q, AMOUNT, BOND, noPermit()));
        calls[1] = abi.encodeCall(IPieceworkVault.openWithAuthorization, (owner, session, Q, AMOUNT, BOND, 0, 0, 0, 0));
        calls[2] = abi.encodeCall(IPieceworkVault.topUp, (session, AMOUNT, BOND, noPermit()));
        calls[3] = abi.encodeCall(IPieceworkVault.exit, (session));
        calls[4] = abi.encodeCall(IPieceworkVault.withdraw, (session, PURSE));
        calls[5] = abi.encodeCall(IPieceworkVault.redeem, (claims, PURSE));
        calls[6] = abi.encodeCall(IPieceworkVault.redeemFor, (payee, claims, PURSE, 0, 0, 0, 0));
        calls[7] = abi.encodeCall(IPieceworkVault.claimCredit, (PURSE));
        calls[8] = abi.encodeCall(IPieceworkVault.slash, (v, 0, 0, v, 0, 0));
    }

    function knock() private {
        knocking.arm(address(vault), verbs());
    }

    function expectRefusals() private view {
        bytes memory locked = abi.encodePacked(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        uint256 count = verbs().length;
        vm.assertEq(knocking.answered(), count, "each was called once");
        for (uint256 i; i < count; ++i) {
            vm.assertEq(knocking.answers(i), locked);
        }
    }

    /// The owner's next deposit.
    function fund() private {
        token.mint(owner, uint256(AMOUNT) + BOND);
        vm.prank(owner);
        token.approve(address(vault), uint256(AMOUNT) + BOND);
    }

    /// A claim that pays, of which the owner has a royalty.
    function titleClaim() private view returns (IPieceworkVault.Claim[] memory) {
        IPieceworkVault.Voucher memory v = voucherTo(payee, 1, 1);
        v.content = TITLE;
        return one(claimAt(v, 100));
    }
}
