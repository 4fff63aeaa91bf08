// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IPieceworkRegistry} from "../interfaces/IPieceworkRegistry.sol";
import {IPieceworkVault} from "../interfaces/IPieceworkVault.sol";
import {DemoToken} from "../src/DemoToken.sol";
import {Splitter} from "../src/Splitter.sol";
import {SplitterFactory} from "../src/SplitterFactory.sol";
import {FeeToken, SilentToken} from "./util/Doubles.sol";
import {RegistryTest} from "./util/RegistryTest.sol";

contract SplitterTest is RegistryTest {
    address private constant WRITER = address(0x11);
    address private constant DIRECTOR = address(0x12);
    address private constant CURATOR = address(0x13);

    SplitterFactory private factory;
    Splitter private splitter;

    function setUp() public override {
        super.setUp();
        factory = new SplitterFactory();
        splitter = factory.create(three(), shares(1, 2, 7));
    }

    function test_DividesByItsShares() public {
        token.mint(address(splitter), 1_000);
        vm.assertEq(splitter.due(token, WRITER), 100);
        vm.assertEq(splitter.release(token, CURATOR), 700);
        token.mint(address(splitter), 500);
        vm.assertEq(splitter.release(token, CURATOR), 350);
        vm.assertEq(splitter.release(token, WRITER), 150);
        vm.assertEq(splitter.release(token, DIRECTOR), 300);
        vm.assertEq(token.balanceOf(address(splitter)), 0);
        vm.assertEq(splitter.released(token), 1_500);
        vm.assertEq(splitter.releasedTo(token, CURATOR), 1_050);
    }

    function test_ARoyaltyReachesEachOfSeveralCreators() public {
        IPieceworkRegistry.Title memory t = title();
        (t.creator, t.bps) = (address(splitter), 10_000);
        bytes32 id = registerAs(publisher, t);
        openUsual();
        IPieceworkVault.Voucher memory v = voucherTo(payee, 1, 1);
        v.content = id;
        redeemAs(payee, one(claimAt(v, 100)), PURSE);
        vm.assertEq(vault.credit(address(splitter)), 3_900);
        // Anybody may see to it, and gets nothing by it.
        vm.prank(STRANGER);
        vm.assertEq(splitter.collect(vault), 3_900);
        vm.assertEq(vault.credit(address(splitter)), 0);
        vm.prank(STRANGER);
        splitter.release(token, WRITER);
        vm.assertEq(token.balanceOf(WRITER), 390);
        vm.assertEq(token.balanceOf(STRANGER), 0);
        vm.expectRevert(IPieceworkVault.NothingDue.selector);
        splitter.collect(vault);
    }

    function test_PaysNobodyElseAndNothingTwice() public {
        token.mint(address(splitter), 1_000);
        vm.expectRevert(abi.encodeWithSelector(Splitter.NotARecipient.selector, STRANGER));
        splitter.release(token, STRANGER);
        splitter.release(token, WRITER);
        vm.expectRevert(Splitter.NothingDue.selector);
        splitter.release(token, WRITER);
        vm.expectEmit(address(splitter));
        emit Splitter.Released(token, DIRECTOR, 200);
        splitter.release(token, DIRECTOR);
    }

    function test_TokensDoNotMix() public {
        DemoToken other = new DemoToken();
        SilentToken silent = new SilentToken();
        FeeToken dear = new FeeToken();
        token.mint(address(splitter), 100);
        other.mint(address(splitter), 1_000);
        silent.mint(address(splitter), 100);
        dear.mint(address(splitter), 100);
        splitter.release(IERC20(address(dear)), CURATOR);
        splitter.release(IERC20(address(dear)), DIRECTOR);
        vm.assertEq(splitter.release(IERC20(address(silent)), WRITER), 10);
        vm.assertEq(silent.balanceOf(WRITER), 10);
        vm.assertEq(splitter.release(token, WRITER), 10);
        vm.assertEq(splitter.release(other, WRITER), 100);
    }

    function test_SharesOutOfOrderAreRefused() public {
        (address[] memory none, uint32[] memory nothing) = (new address[](0), new uint32[](0));
        vm.expectRevert(Splitter.BadRecipients.selector);
        factory.create(none, nothing);
        vm.expectRevert(Splitter.BadRecipients.selector);
        factory.create(three(), nothing);
        vm.expectRevert(Splitter.BadRecipients.selector);
        factory.create(three(), shares(1, 0, 1));
        address[] memory who = three();
        who[2] = WRITER;
        vm.expectRevert(Splitter.BadRecipients.selector);
        factory.create(who, shares(1, 1, 1));
        who[2] = address(0);
        vm.expectRevert(Splitter.BadRecipients.selector);
        factory.create(who, shares(1, 1, 1));
        (address[] memory many, uint32[] memory each) = crowd(65);
        vm.expectRevert(Splitter.BadRecipients.selector);
        factory.create(many, each);
        (many, each) = crowd(64);
        vm.assertEq(factory.create(many, each).recipients().length, 64);
    }

    function test_OneAddressForTheSameShares() public {
        vm.assertEq(address(factory.addressOf(three(), shares(1, 2, 7))), address(splitter));
        vm.assertEq(address(factory.create(three(), shares(1, 2, 7))), address(splitter));
        vm.assertTrue(address(factory.create(three(), shares(1, 2, 8))) != address(splitter));
        vm.assertEq(splitter.totalShares(), 10);
        vm.assertEq(splitter.shareOf(CURATOR), 7);
        vm.assertEq(splitter.recipients()[1], DIRECTOR);
    }

    /// What came is paid to the unit, but for less than one unit a recipient, in whatever order and parts.
    function test_ConservesWhatComes(uint32[3] calldata parts, uint96[8] calldata coming, uint256 order) public {
        uint32[] memory part = shares(parts[0], parts[1], parts[2]);
        for (uint256 i; i < 3; ++i) {
            if (part[i] == 0) part[i] = 1;
        }
        Splitter made = factory.create(three(), part);
        uint256 all;
        for (uint256 i; i < coming.length; ++i) {
            token.mint(address(made), coming[i]);
            all += coming[i];
            address who = three()[(order >> (8 * i)) % 3];
            if (made.due(token, who) > 0) made.release(token, who);
            isConserved(made, all);
        }
        for (uint256 i; i < 3; ++i) {
            if (made.due(token, three()[i]) > 0) made.release(token, three()[i]);
            uint256 its = all * part[i] / made.totalShares();
            vm.assertEq(made.releasedTo(token, three()[i]), its, "exactly its share");
        }
        vm.assertLt(token.balanceOf(address(made)), 3, "less than a unit for each");
    }

    function isConserved(Splitter made, uint256 all) private view {
        uint256 due = made.due(token, WRITER) + made.due(token, DIRECTOR) + made.due(token, CURATOR);
        vm.assertLe(due, token.balanceOf(address(made)), "everybody can be paid");
        vm.assertEq(token.balanceOf(address(made)) + made.released(token), all);
    }

    function three() private pure returns (address[] memory who) {
        who = new address[](3);
        (who[0], who[1], who[2]) = (WRITER, DIRECTOR, CURATOR);
    }

    function shares(uint32 a, uint32 b, uint32 c) private pure returns (uint32[] memory each) {
        each = new uint32[](3);
        (each[0], each[1], each[2]) = (a, b, c);
    }

    function crowd(uint256 count) private pure returns (address[] memory who, uint32[] memory each) {
        (who, each) = (new address[](count), new uint32[](count));
        for (uint256 i; i < count; ++i) {
            (who[i], each[i]) = (address(uint160(i + 0x2000)), 1);
        }
    }
}
