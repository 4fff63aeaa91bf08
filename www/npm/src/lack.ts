/**
 * What the account lacks. It is not there; every part of it is promised; the budget is used up (`Client.setBudget`
 * raises it); it is on its way back or went back; or more was promised from it than is recorded here (a restored or
 * copied profile), so nothing more is. `Client.deposit` helps in each case except the budget.
 */
export type PaymentLack = "none" | "usedup" | "budget" | "exiting" | "withdrawn" | "held";
