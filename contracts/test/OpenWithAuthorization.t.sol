// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {IPieceworkVault} from "../interfaces/IPieceworkVault.sol";
import {PhantomToken} from "./util/Doubles.sol";
import {VaultTest} from "./util/VaultTest.sol";

contract OpenWithAuthorizationTest is VaultTest {
    struct Signed {
        uint256 validBefore;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    function setUp() public override {
        super.setUp();
        token.mint(owner, 2 * (uint256(AMOUNT) + BOND));
    }

    function test_OpensForAnOwnerThatOnlySigned() public {
        Signed memory a = authorize(session, Q, AMOUNT, BOND, address(vault));
        vm.expectEmit(address(vault));
        emit IPieceworkVault.Opened(accountId(owner, session), owner, session, Q, AMOUNT, BOND);
        bytes32 id = send(session, Q, AMOUNT, BOND, a);
        vm.assertEq(id, accountId(owner, session));
        vm.assertEq(account(id).balance, AMOUNT);
        vm.assertEq(account(id).bond, BOND);
        vm.assertEq(account(id).consumed, 1);
        vm.assertEq(token.balanceOf(address(vault)), uint256(AMOUNT) + BOND);
    }

    function test_ARelayerCannotPutInItsOwnKey() public {
        Signed memory a = authorize(session, Q, AMOUNT, BOND, address(vault));
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        this.send(STRANGER, Q, AMOUNT, BOND, a);
    }

    function test_ARelayerCannotChangeTheTranche() public {
        Signed memory a = authorize(session, Q, AMOUNT, BOND, address(vault));
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        this.send(session, Q - 1, AMOUNT, BOND, a);
    }

    function test_ARelayerCannotShiftMoneyBetweenAmountAndBond() public {
        Signed memory a = authorize(session, Q, AMOUNT, BOND, address(vault));
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        this.send(session, Q, AMOUNT + 1, BOND - 1, a);
    }

    function test_AnAuthorizationIsForOneVault() public {
        Signed memory a = authorize(session, Q, AMOUNT, BOND, address(vault));
        vault = deployVault(address(token), address(0), SINK, EXIT_DELAY);
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        this.send(session, Q, AMOUNT, BOND, a);
    }

    function test_AnAuthorizationEnds() public {
        Signed memory a = authorize(session, Q, AMOUNT, BOND, address(vault));
        vm.warp(a.validBefore);
        vm.expectRevert(abi.encodeWithSelector(ERC3009.ERC3009InvalidAuthorizationTime.selector, 0, a.validBefore));
        this.send(session, Q, AMOUNT, BOND, a);
    }

    function test_AnAuthorizationOpensOnce() public {
        Signed memory a = authorize(session, Q, AMOUNT, BOND, address(vault));
        bytes32 id = send(session, Q, AMOUNT, BOND, a);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.AccountExists.selector, id));
        this.send(session, Q, AMOUNT, BOND, a);
    }

    function test_RefusesADepositOfNothing() public {
        Signed memory a = authorize(session, Q, 0, 0, address(vault));
        vm.expectRevert(IPieceworkVault.NothingDeposited.selector);
        this.send(session, Q, 0, 0, a);
    }

    /// Rule 7: a token without EIP-3009 whose fallback swallows the call deposits nothing.
    function test_ACallThatMovedNothingIsNoDeposit() public {
        PhantomToken phantom = new PhantomToken();
        vault = deployVault(address(phantom), address(0), SINK, EXIT_DELAY);
        Signed memory a;
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.WrongDeposit.selector, uint256(AMOUNT) + BOND, 0));
        this.send(session, Q, AMOUNT, BOND, a);
    }

    function authorize(address key, uint96 tranche, uint112 amount, uint112 bond, address to)
        private
        view
        returns (Signed memory a)
    {
        a.validBefore = nowSeconds() + 1 hours;
        bytes32 nonce = keccak256(abi.encode(key, tranche, amount, bond));
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
                ),
                owner,
                to,
                uint256(amount) + bond,
                0,
                a.validBefore,
                nonce
            )
        );
        (a.v, a.r, a.s) = vm.sign(OWNER_KEY, digestOf("Piecework Demo Dollar", address(token), structHash));
    }

    function send(address key, uint96 tranche, uint112 amount, uint112 bond, Signed memory a) public returns (bytes32) {
        vm.prank(RELAYER);
        return vault.openWithAuthorization(owner, key, tranche, amount, bond, a.validBefore, a.v, a.r, a.s);
    }
}
