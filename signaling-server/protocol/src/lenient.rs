//! Reading JSON of unknown shape in one pass: a value of the wrong type is consumed and reported in
//! place, so that one bad field never hides the others. Only a syntax error ends the pass.

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// One field of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Field<T> {
    /// Missing, or `null`.
    #[default]
    Absent,
    /// There, but of another type or form.
    Wrong,
    /// Well-formed.
    Is(T),
}

impl<T> Field<T> {
    /// The value, if there is a well-formed one.
    pub(crate) fn ok(self) -> Option<T> {
        match self {
            Field::Is(value) => Some(value),
            Field::Absent | Field::Wrong => None,
        }
    }
}

/// A type read from a JSON string, number or boolean.
pub(crate) trait Leaf: Sized {
    /// From a string.
    fn from_str(_: &str) -> Option<Self> {
        None
    }

    /// From a number that is a whole one and not negative.
    fn from_u64(_: u64) -> Option<Self> {
        None
    }
}

impl Leaf for u64 {
    fn from_u64(n: u64) -> Option<Self> {
        Some(n)
    }
}

/// Implements the visits that mean "wrong type" (or absent) for a visitor of `Field<_>`,
/// all but the named one.
macro_rules! wrong_unless {
    (map) => {
        crate::lenient::wrong_unless!(@scalars);
        crate::lenient::wrong_unless!(@str);
        crate::lenient::wrong_unless!(@u64);
        crate::lenient::wrong_unless!(@seq);
    };
    (leaf) => {
        crate::lenient::wrong_unless!(@scalars);
        crate::lenient::wrong_unless!(@map);
        crate::lenient::wrong_unless!(@seq);
    };
    (seq) => {
        crate::lenient::wrong_unless!(@scalars);
        crate::lenient::wrong_unless!(@str);
        crate::lenient::wrong_unless!(@u64);
        crate::lenient::wrong_unless!(@map);
    };
    (str, seq) => {
        crate::lenient::wrong_unless!(@scalars);
        crate::lenient::wrong_unless!(@u64);
        crate::lenient::wrong_unless!(@map);
    };
    (@scalars) => {
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(crate::lenient::Field::Absent)
        }
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(crate::lenient::Field::Wrong)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok(crate::lenient::Field::Wrong)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok(crate::lenient::Field::Wrong)
        }
    };
    (@str) => {
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok(crate::lenient::Field::Wrong)
        }
    };
    (@u64) => {
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok(crate::lenient::Field::Wrong)
        }
    };
    (@map) => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(crate::lenient::Field::Wrong)
        }
    };
    (@seq) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok(crate::lenient::Field::Wrong)
        }
    };
}
pub(crate) use wrong_unless;

/// Reads a [`Leaf`].
pub(crate) struct LeafSeed<T>(PhantomData<T>);

/// Reads a [`Leaf`] of the type the caller expects.
pub(crate) fn leaf<T>() -> LeafSeed<T> {
    LeafSeed(PhantomData)
}

impl<'de, T: Leaf> DeserializeSeed<'de> for LeafSeed<T> {
    type Value = Field<T>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de, T: Leaf> Visitor<'de> for LeafSeed<T> {
    type Value = Field<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, s: &str) -> Result<Self::Value, E> {
        Ok(T::from_str(s).map_or(Field::Wrong, Field::Is))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Self::Value, E> {
        Ok(T::from_u64(n).map_or(Field::Wrong, Field::Is))
    }

    wrong_unless!(leaf);
}

/// Whether the value is exactly this string.
pub(crate) struct Is(pub(crate) &'static str);

struct Text;
impl<'de> DeserializeSeed<'de> for Is {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<bool, D::Error> {
        struct Compare(&'static str);
        impl<'de> Visitor<'de> for Compare {
            type Value = Field<Text>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_str<E>(self, s: &str) -> Result<Self::Value, E> {
                Ok(if s == self.0 {
                    Field::Is(Text)
                } else {
                    Field::Wrong
                })
            }
            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Field::Wrong)
            }
            wrong_unless!(leaf);
        }
        d.deserialize_any(Compare(self.0))
            .map(|field| field.ok().is_some())
    }
}

/// Reads an object's key as its place in a list of known ones; `None` for any other.
pub(crate) struct KeySeed(pub(crate) &'static [&'static str]);

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_identifier(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|known| *known == key))
    }
}
