//! Simulated swarms on a virtual clock.
