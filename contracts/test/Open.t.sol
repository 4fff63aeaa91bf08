// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IPieceworkVault} from "../interfaces/IPieceworkVault.sol";
import {BonusToken, FalseToken, FeeToken, PhantomToken, ReentrantToken, SilentToken} from "./util/Doubles.sol";
import {VaultTest} from "./util/VaultTest.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

contract OpenTest is VaultTest {
    function test_TakesAmountAndBondAndRecordsTheAccount() public {
        uint256 total = uint256(AMOUNT) + BOND;
        token.mint(owner, total);
        vm.startPrank(owner);
        token.approve(address(vault), total);
        vm.expectEmit(address(vault));
        emit IPieceworkVault.Opened(accountId(owner, session), owner, session, Q, AMOUNT, BOND);
        bytes32 id = vault.open(session, Q, AMOUNT, BOND, noPermit());
        vm.stopPrank();

        vm.assertEq(id, accountId(owner, session), "id");
        IPieceworkVault.Account memory a = account(id);
        vm.assertEq(a.balance, AMOUNT, "balance");
        vm.assertEq(a.tranche, Q, "tranche");
        vm.assertTrue(a.known, "known");
        vm.assertEq(a.bond, BOND, "bond");
        vm.assertEq(a.exitAt, 0, "exitAt");
        vm.assertEq(token.balanceOf(address(vault)), total, "the vault holds it");
        vm.assertEq(token.balanceOf(owner), 0, "the owner gave it");
    }

    /// Rule 8.
    function test_SerialZeroIsConsumedAtOpen() public {
        bytes32 id = openUsual();
        vm.assertEq(account(id).consumed, 1, "consumed");
        vm.assertEq(spentWord(id, 0), 1, "bit 0");
        vm.assertEq(boundOf(id), 1 + AMOUNT / Q, "serials begin at 1, and every tranche of the amount is usable");
    }

    function test_AnAccountUsesTwoSlots() public {
        bytes32 id = openUsual();
        uint256 slot = uint256(keccak256(abi.encode(id, uint256(3))));
        uint256 first = uint256(vm.load(address(vault), bytes32(slot)));
        uint256 second = uint256(vm.load(address(vault), bytes32(slot + 1)));
        vm.assertEq(first, uint256(AMOUNT) | (uint256(Q) << 112) | (uint256(1) << 208) | (uint256(1) << 248), "slot 1");
        vm.assertEq(second, uint256(BOND), "slot 2");
    }

    function test_OneKeyServesTwoOwnersAsTwoAccounts() public {
        bytes32 a = openUsual();
        bytes32 b = openAccount(STRANGER, session, Q, AMOUNT, 0);
        vm.assertTrue(a != b);
        vm.assertEq(account(a).bond, BOND, "the first is untouched");
    }

    function test_RefusesAKeyThatIsInUse() public {
        bytes32 id = openUsual();
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.AccountExists.selector, id));
        vault.open(session, Q, AMOUNT, BOND, noPermit());
    }

    /// Rule 6.
    function test_RefusesAKeyWhoseAccountWasWithdrawn() public {
        bytes32 id = openUsual();
        exitUsual();
        vm.startPrank(owner);
        vault.withdraw(session, owner);
        token.approve(address(vault), AMOUNT);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.AccountExists.selector, id));
        vault.open(session, Q, AMOUNT, 0, noPermit());
        vm.stopPrank();
    }

    function test_RefusesTheZeroKey() public {
        vm.expectRevert(IPieceworkVault.BadKey.selector);
        vault.open(address(0), Q, AMOUNT, BOND, noPermit());
    }

    function test_RefusesATrancheOfZero() public {
        vm.expectRevert(IPieceworkVault.BadTranche.selector);
        vault.open(session, 0, AMOUNT, BOND, noPermit());
    }

    function test_RefusesADepositOfNothing() public {
        vm.expectRevert(IPieceworkVault.NothingDeposited.selector);
        vault.open(session, Q, 0, 0, noPermit());
    }

    function test_NeedsAnAllowanceOrAPermit() public {
        uint256 total = uint256(AMOUNT) + BOND;
        token.mint(owner, total);
        vm.prank(owner);
        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(vault), 0, total)
        );
        vault.open(session, Q, AMOUNT, BOND, noPermit());
    }

    function test_APermitNeedsNoAllowance() public {
        uint256 total = uint256(AMOUNT) + BOND;
        token.mint(owner, total);
        IPieceworkVault.Permit memory p = signPermit(OWNER_KEY, total, 0, nowSeconds());
        vm.prank(owner);
        bytes32 id = vault.open(session, Q, AMOUNT, BOND, p);
        vm.assertEq(account(id).balance, AMOUNT);
        vm.assertEq(token.allowance(owner, address(vault)), 0, "nothing is left allowed");
    }

    function test_APermitThatAStrangerSubmittedFirstIsIgnored() public {
        uint256 total = uint256(AMOUNT) + BOND;
        token.mint(owner, total);
        IPieceworkVault.Permit memory p = signPermit(OWNER_KEY, total, 0, nowSeconds());
        vm.prank(STRANGER);
        token.permit(owner, address(vault), total, p.deadline, p.v, p.r, p.s);
        vm.prank(owner);
        bytes32 id = vault.open(session, Q, AMOUNT, BOND, p);
        vm.assertEq(account(id).bond, BOND);
    }

    function test_APermitThatFailsWithoutAllowanceFailsAtTheTransfer() public {
        uint256 total = uint256(AMOUNT) + BOND;
        token.mint(owner, total);
        IPieceworkVault.Permit memory p = signPermit(OWNER_KEY, total - 1, 0, nowSeconds());
        p.r = bytes32(uint256(p.r) ^ 1);
        vm.prank(owner);
        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(vault), 0, total)
        );
        vault.open(session, Q, AMOUNT, BOND, p);
    }

    function test_DeadlineZeroMeansNoPermit() public {
        token.mint(owner, AMOUNT);
        vm.prank(owner);
        token.approve(address(vault), AMOUNT);
        vm.expectCall(address(token), abi.encodePacked(IERC20Permit.permit.selector), 0);
        vm.prank(owner);
        vault.open(session, Q, AMOUNT, 0, noPermit());
    }

    /// Rule 7.
    function test_RefusesATokenThatKeepsAFee() public {
        FeeToken fee = new FeeToken();
        vault = deployVault(address(fee), address(0), SINK, EXIT_DELAY);
        fee.mint(owner, AMOUNT);
        vm.startPrank(owner);
        fee.approve(address(vault), AMOUNT);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.WrongDeposit.selector, AMOUNT, AMOUNT - 1));
        vault.open(session, Q, AMOUNT, 0, noPermit());
        vm.stopPrank();
    }

    /// Rule 7: the arriving sum is exactly the deposit, no less and no more.
    function test_RefusesATokenThatBringsMore() public {
        BonusToken bonus = new BonusToken();
        vault = deployVault(address(bonus), address(0), SINK, EXIT_DELAY);
        bonus.mint(owner, AMOUNT);
        vm.startPrank(owner);
        bonus.approve(address(vault), AMOUNT);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.WrongDeposit.selector, AMOUNT, AMOUNT + 1));
        vault.open(session, Q, AMOUNT, 0, noPermit());
        vm.stopPrank();
    }

    /// Rule 7.
    function test_TakesATokenThatAnswersNothing() public {
        SilentToken silent = new SilentToken();
        vault = deployVault(address(silent), address(0), SINK, EXIT_DELAY);
        silent.mint(owner, AMOUNT);
        vm.startPrank(owner);
        silent.approve(address(vault), AMOUNT);
        bytes32 id = vault.open(session, Q, AMOUNT, 0, signPermit(OWNER_KEY, AMOUNT, 0, nowSeconds()));
        vm.stopPrank();
        vm.assertEq(account(id).balance, AMOUNT);
        vm.assertEq(silent.balanceOf(address(vault)), AMOUNT);
    }

    /// Rule 7.
    function test_RefusesATokenThatAnswersFalse() public {
        FalseToken token_ = new FalseToken();
        vault = deployVault(address(token_), address(0), SINK, EXIT_DELAY);
        token_.mint(owner, AMOUNT);
        token_.setRefuse(true);
        vm.startPrank(owner);
        token_.approve(address(vault), AMOUNT);
        vm.expectRevert(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token_)));
        vault.open(session, Q, AMOUNT, 0, noPermit());
        vm.stopPrank();
    }

    /// Rule 7: while a deposit is under way nothing else is.
    function test_IsLockedAgainstReentry() public {
        ReentrantToken evil = new ReentrantToken();
        vault = deployVault(address(evil), address(0), SINK, EXIT_DELAY);
        evil.mint(owner, AMOUNT);
        evil.arm(address(vault), abi.encodeCall(IPieceworkVault.claimCredit, (STRANGER)));
        vm.startPrank(owner);
        evil.approve(address(vault), AMOUNT);
        vault.open(session, Q, AMOUNT, 0, noPermit());
        vm.stopPrank();
        vm.assertTrue(evil.called());
        vm.assertFalse(evil.succeeded());
        vm.assertEq(evil.answer(), abi.encodePacked(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector));
    }

    function test_AVaultNeedsATokenWithCode() public {
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.NotAToken.selector, STRANGER));
        this.deploy(STRANGER, SINK, EXIT_DELAY);
    }

    function test_AVaultNeedsASink() public {
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.BadRecipient.selector, address(0)));
        this.deploy(address(token), address(0), EXIT_DELAY);
    }

    function test_TheExitDelayIsOneHourToThirtyDays() public {
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.BadExitDelay.selector, 1 hours - 1));
        this.deploy(address(token), SINK, 1 hours - 1);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.BadExitDelay.selector, 30 days + 1));
        this.deploy(address(token), SINK, 30 days + 1);
        vm.assertEq(this.deploy(address(token), SINK, 1 hours).exitDelay(), 1 hours);
        vm.assertEq(this.deploy(address(token), SINK, 30 days).exitDelay(), 30 days);
    }

    function deploy(address token_, address sink_, uint256 delay) external returns (IPieceworkVault) {
        return deployVault(token_, address(0), sink_, delay);
    }

    function testFuzz_EveryWholeTrancheIsCovered(uint96 tranche, uint112 amount, uint112 bond) public {
        tranche = uint96(bound(tranche, 1, type(uint96).max));
        vm.assume(uint256(amount) + bond != 0);
        bytes32 id = openAccount(owner, session, tranche, amount, bond);
        vm.assertEq(boundOf(id), 1 + uint256(amount) / tranche);
        vm.assertEq(token.balanceOf(address(vault)), uint256(amount) + bond);
    }
}
