//! Whether this build buys and sells at all: the feature `payments`.
//!
//! Nothing else asks for the feature. What only buyers and sellers have is a [`Paid`]. A build without payments has no
//! value of that type, so the compiler knows that those parts are never there, and leaves out the code that they would
//! run.

#[cfg(feature = "payments")]
pub use with::{Paid, Paying};
#[cfg(not(feature = "payments"))]
pub use without::{Paid, Paying};

#[cfg(feature = "payments")]
mod with {
    use core::ops::{Deref, DerefMut};

    /// The right to buy and to sell.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Paying(());

    impl Paying {
        /// `None` in a build without payments.
        pub const HERE: Option<Paying> = Some(Paying(()));
    }

    /// A part that only a build with payments has.
    #[derive(Clone, Debug)]
    pub struct Paid<T>(T);

    impl<T> Paid<T> {
        /// The part, in a build that has it.
        pub fn new(_: Paying, part: T) -> Paid<T> {
            Paid(part)
        }
    }

    impl<T> Deref for Paid<T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.0
        }
    }

    impl<T> DerefMut for Paid<T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.0
        }
    }
}

#[cfg(not(feature = "payments"))]
mod without {
    use core::marker::PhantomData;
    use core::ops::{Deref, DerefMut};

    /// The right to buy and to sell, which this build does not have.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Paying {}

    impl Paying {
        /// `None` in a build without payments.
        pub const HERE: Option<Paying> = None;
    }

    /// A part that only a build with payments has. It has no size, so that an `Option` of it has none either.
    #[derive(Clone, Debug)]
    pub struct Paid<T>(Paying, PhantomData<T>);

    impl<T> Paid<T> {
        /// The part, in a build that has it.
        pub fn new(paying: Paying, _: T) -> Paid<T> {
            match paying {}
        }
    }

    impl<T> Deref for Paid<T> {
        type Target = T;

        fn deref(&self) -> &T {
            match self.0 {}
        }
    }

    impl<T> DerefMut for Paid<T> {
        fn deref_mut(&mut self) -> &mut T {
            match self.0 {}
        }
    }
}
