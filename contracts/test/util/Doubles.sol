// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IRegistry} from "../../interfaces/IRegistry.sol";

/// @dev Keeps `fee` of each transfer.
contract FeeToken is ERC20 {
    uint256 public fee = 1;

    constructor() ERC20("Fee", "FEE") {}

    function setFee(uint256 fee_) external {
        fee = fee_;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from != address(0) && to != address(0)) super._update(to, address(0xfee), fee);
    }
}

/// @dev Gives the receiver of a transfer one unit more.
contract BonusToken is ERC20 {
    constructor() ERC20("Bonus", "BNS") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from != address(0) && to != address(0)) super._update(address(0), to, 1);
    }
}

/// @dev Moves money as it should and answers nothing, as some old tokens do. No permit, no EIP-3009.
contract SilentToken {
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external {
        allowance[msg.sender][spender] = amount;
    }

    function transfer(address to, uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
    }

    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// @dev Answers false instead of failing, while `refuse` is on.
contract FalseToken is ERC20 {
    bool public refuse;

    constructor() ERC20("False", "FLS") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function setRefuse(bool on) external {
        refuse = on;
    }

    function transfer(address to, uint256 value) public override returns (bool) {
        return refuse ? false : super.transfer(to, value);
    }

    function transferFrom(address from, address to, uint256 value) public override returns (bool) {
        return refuse ? false : super.transferFrom(from, to, value);
    }
}

/// @dev Claims success for every call it does not know, like a contract with a fallback; and moves nothing.
contract PhantomToken is ERC20 {
    constructor() ERC20("Phantom", "PHT") {}

    fallback() external {}
}

/// @dev During a transfer it calls `target` with `data`, and remembers how that ended.
contract ReentrantToken is ERC20 {
    address public target;
    bytes public data;
    bool public called;
    bool public succeeded;
    bytes public answer;

    constructor() ERC20("Reentrant", "REE") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function arm(address target_, bytes calldata data_) external {
        (target, data, called, succeeded) = (target_, data_, false, false);
    }

    /// @dev So that the call inside can be made by an account of the vault: this token's own.
    function act(address to, bytes calldata data_) external returns (bytes memory) {
        (bool ok, bytes memory result) = to.call(data_);
        require(ok, "act failed");
        return result;
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (target != address(0) && !called) {
            called = true;
            (succeeded, answer) = target.call(data);
        }
    }
}

/// @dev During a transfer it makes every call that it was given, and keeps how each ended. Its EIP-3009 asks for no
/// signature.
contract KnockingToken is ERC20 {
    address public target;
    bytes[] public calls;
    bytes[] public answers;

    constructor() ERC20("Knocking", "KNOCK") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function arm(address target_, bytes[] calldata calls_) external {
        target = target_;
        for (uint256 i; i < calls_.length; ++i) {
            calls.push(calls_[i]);
        }
    }

    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256,
        uint256,
        bytes32,
        uint8,
        bytes32,
        bytes32
    ) external {
        _transfer(from, to, value);
    }

    function answered() external view returns (uint256) {
        return answers.length;
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        address at = target;
        target = address(0); // once
        for (uint256 i; at != address(0) && i < calls.length; ++i) {
            (bool ok, bytes memory answer) = at.call(calls[i]);
            answers.push(ok ? bytes("done") : answer);
        }
    }
}

/// @dev Gives each title the creator and share that it was set to.
contract PlainRegistry is IRegistry {
    struct Entry {
        address creator;
        uint16 bps;
    }

    mapping(bytes32 => Entry) public entries;

    function set(bytes32 content, address creator, uint16 bps) external {
        entries[content] = Entry(creator, bps);
    }

    function share(bytes32 content) external view returns (address, uint16) {
        return (entries[content].creator, entries[content].bps);
    }
}

/// @dev Every way of not answering well. ReturnBomb and Reenter do name a creator, after their attempts.
contract HostileRegistry {
    enum Mode {
        Revert,
        RevertBomb,
        ReturnBomb,
        Burn,
        Short,
        Empty,
        DirtyCreator,
        ZeroCreator,
        TooMuch,
        DirtyShare,
        Write,
        Reenter
    }

    Mode public mode;
    address public vault;
    uint256 private _slot;

    function set(Mode mode_, address vault_) external {
        (mode, vault) = (mode_, vault_);
    }

    fallback() external {
        Mode m = mode;
        if (m == Mode.Write) _slot = 1;
        if (m == Mode.Reenter) {
            (bool ok,) = vault.call(abi.encodeWithSignature("claimCredit(address)", address(this)));
            require(!ok, "reentered");
        }
        assembly {
            mstore(0, 0xc0ffee)
            mstore(0x20, 1000)
            switch m
            case 0 { revert(0, 0x40) }
            case 1 { revert(0, 100000) }
            case 2 { return(0, 100000) }
            case 3 { for {} 1 {} {} }
            case 4 { return(0, 0x3f) }
            case 5 { return(0, 0) }
            case 6 { mstore(0, not(0)) }
            case 7 { mstore(0, 0) }
            case 8 { mstore(0x20, 10001) }
            case 9 { mstore(0x20, shl(16, 1)) }
            case 10 { revert(0, 0) }
            return(0, 0x40)
        }
    }
}

/// @dev An ordinary token, with as many decimals as a test wants. Anybody mints.
contract DecimalsToken is ERC20 {
    uint8 private immutable _decimals;

    constructor(uint8 decimals_) ERC20("Test", "TEST") {
        _decimals = decimals_;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function decimals() public view override returns (uint8) {
        return _decimals;
    }
}
