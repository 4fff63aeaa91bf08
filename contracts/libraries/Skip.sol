// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title The reasons why a claim of a batch did not pay: the `reason` of `IPieceworkVault.Skipped`
library Skip {
    uint8 internal constant PAID = 0; // never emitted
    uint8 internal constant RANGE = 1;
    uint8 internal constant STEP = 2;
    uint8 internal constant SIGNATURE = 3;
    uint8 internal constant NO_ACCOUNT = 4;
    uint8 internal constant NOT_COVERED = 5;
    uint8 internal constant CONSUMED = 6;
    uint8 internal constant NOTHING_DUE = 7;
    uint8 internal constant LOTTERY_LOST = 8;
}
