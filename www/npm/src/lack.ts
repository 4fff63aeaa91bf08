/**
 * What the account lacks: it is not there, every part of it is promised, the budget is used up (`Client.setBudget` raises it), it is on its
 * way back or went back, or more was promised from it than is recorded here (a restored or copied profile), so that nothing more is. But
 * for the budget, `Client.deposit` helps in each case.
 */
export type PaymentLack = "none" | "usedup" | "budget" | "exiting" | "withdrawn" | "held";
