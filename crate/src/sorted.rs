//! Ordered maps and sets over one sorted vector.
//!
//! Owns the order: keys ascend strictly, so iteration is by key and a run repeats exactly. Searching is binary;
//! inserting and removing move the entries behind. It is for tables of which a peer has a few hundred entries
//! (connections, ranges, requests out), where it beats a tree. A table that may hold a large value for each of
//! thousands boxes the value, so that little is moved. Where an outsider chooses the number of keys and their order,
//! use something else (`metainfo::path` keeps a tree).
//!
//! A tree's code is repeated for every pair of types, and that made much of a page's download
//! (docs/decisions/041-sorted-vectors-instead-of-trees.md). This is the subset of its interface that is used, and it is
//! small.

use core::borrow::Borrow;
use core::fmt;
use core::ops::{Bound, RangeBounds};
use std::{slice, vec};

/// A map ordered by key.
#[derive(Clone, PartialEq, Eq)]
pub struct Map<K, V> {
    entries: Vec<(K, V)>,
}

/// A set in order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Set<K> {
    keys: Vec<K>,
}

/// The place of one key in a [`Map`], taken or not.
pub struct Entry<'a, K, V> {
    entries: &'a mut Vec<(K, V)>,
    key: K,
}

/// The place of `key`, or the place where it belongs. The last key, as fresh ids are, is found at once.
fn place<T, K: Borrow<Q>, Q: Ord + ?Sized>(
    items: &[T],
    key_of: impl Fn(&T) -> &K,
    key: &Q,
) -> Result<usize, usize> {
    match items.last() {
        Some(last) if key_of(last).borrow() < key => Err(items.len()),
        _ => items.binary_search_by(|item| key_of(item).borrow().cmp(key)),
    }
}

/// The places that a range of keys covers.
fn places<T, K: Borrow<Q>, Q: Ord + ?Sized>(
    items: &[T],
    key_of: impl Fn(&T) -> &K + Copy,
    range: &impl RangeBounds<Q>,
) -> core::ops::Range<usize> {
    let start = match range.start_bound() {
        Bound::Unbounded => 0,
        Bound::Included(key) => place(items, key_of, key).unwrap_or_else(|at| at),
        Bound::Excluded(key) => place(items, key_of, key).map_or_else(|at| at, |at| at + 1),
    };
    let end = match range.end_bound() {
        Bound::Unbounded => items.len(),
        Bound::Included(key) => place(items, key_of, key).map_or_else(|at| at, |at| at + 1),
        Bound::Excluded(key) => place(items, key_of, key).unwrap_or_else(|at| at),
    };
    start.min(end)..end
}

impl<K, V> Map<K, V> {
    /// Empty; allocates nothing.
    pub const fn new() -> Self {
        Map {
            entries: Vec::new(),
        }
    }

    /// Number of entries: each key has one.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// No key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// By key.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter(self.entries.iter())
    }

    /// By key; values may be changed.
    pub fn iter_mut(&mut self) -> IterMut<'_, K, V> {
        IterMut(self.entries.iter_mut())
    }

    /// In order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> + ExactSizeIterator + Clone {
        self.entries.iter().map(|(key, _)| key)
    }

    /// By key.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + ExactSizeIterator + Clone {
        self.entries.iter().map(|(_, value)| value)
    }

    /// By key; they may be changed.
    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut V> + ExactSizeIterator {
        self.entries.iter_mut().map(|(_, value)| value)
    }

    /// In order.
    pub fn into_keys(self) -> impl DoubleEndedIterator<Item = K> + ExactSizeIterator {
        self.entries.into_iter().map(|(key, _)| key)
    }

    /// By key.
    pub fn into_values(self) -> impl DoubleEndedIterator<Item = V> + ExactSizeIterator {
        self.entries.into_iter().map(|(_, value)| value)
    }

    /// Forgets the entries that `keep` refuses.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.entries.retain_mut(|(key, value)| keep(key, value));
    }

    /// The smallest key.
    pub fn first_key_value(&self) -> Option<(&K, &V)> {
        self.entries.first().map(|(key, value)| (key, value))
    }

    /// The greatest key.
    pub fn last_key_value(&self) -> Option<(&K, &V)> {
        self.entries.last().map(|(key, value)| (key, value))
    }

    /// Takes the smallest key out.
    pub fn pop_first(&mut self) -> Option<(K, V)> {
        (!self.entries.is_empty()).then(|| self.entries.remove(0))
    }
}

impl<K: Ord, V> Map<K, V> {
    fn place<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        place(&self.entries, |(key, _)| key, key)
    }

    /// The key is there.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.place(key).is_ok()
    }

    /// Its value.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let at = self.place(key).ok()?;
        self.entries.get(at).map(|(_, value)| value)
    }

    /// Its value, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let at = self.place(key).ok()?;
        self.entries.get_mut(at).map(|(_, value)| value)
    }

    /// Adds a key or replaces its value, which is returned.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.place(&key) {
            Ok(at) => Some(core::mem::replace(&mut self.entries[at].1, value)),
            Err(at) => {
                self.entries.insert(at, (key, value));
                None
            }
        }
    }

    /// Takes a key out.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let at = self.place(key).ok()?;
        Some(self.entries.remove(at).1)
    }

    /// The place of a key, to be filled if it is free.
    pub fn entry(&mut self, key: K) -> Entry<'_, K, V> {
        Entry {
            entries: &mut self.entries,
            key,
        }
    }

    /// Those within a range of keys.
    pub fn range<Q: Ord + ?Sized>(&self, range: impl RangeBounds<Q>) -> Iter<'_, K, V>
    where
        K: Borrow<Q>,
    {
        let places = places(&self.entries, |(key, _)| key, &range);
        Iter(self.entries[places].iter())
    }
}

impl<'a, K: Ord, V> Entry<'a, K, V> {
    /// The value that is there, or that is made now.
    pub fn or_insert_with(self, make: impl FnOnce() -> V) -> &'a mut V {
        let at = match place(self.entries, |(key, _)| key, &self.key) {
            Ok(at) => at,
            Err(at) => {
                self.entries.insert(at, (self.key, make()));
                at
            }
        };
        &mut self.entries[at].1
    }

    /// The value that is there, or this one.
    pub fn or_insert(self, value: V) -> &'a mut V {
        self.or_insert_with(|| value)
    }

    /// The value that is there, or the default.
    pub fn or_default(self) -> &'a mut V
    where
        V: Default,
    {
        self.or_insert_with(V::default)
    }
}

impl<K> Set<K> {
    /// Empty; allocates nothing.
    pub const fn new() -> Self {
        Set { keys: Vec::new() }
    }

    /// Number of keys; each counts once, however often it was inserted.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// The set holds no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.keys.clear();
    }

    /// In order.
    pub fn iter(&self) -> slice::Iter<'_, K> {
        self.keys.iter()
    }

    /// The smallest.
    pub fn first(&self) -> Option<&K> {
        self.keys.first()
    }

    /// The greatest.
    pub fn last(&self) -> Option<&K> {
        self.keys.last()
    }

    /// Takes the smallest out.
    pub fn pop_first(&mut self) -> Option<K> {
        (!self.keys.is_empty()).then(|| self.keys.remove(0))
    }

    /// Forgets the keys that `keep` refuses.
    pub fn retain(&mut self, keep: impl FnMut(&K) -> bool) {
        self.keys.retain(keep);
    }
}

impl<K: Ord> Set<K> {
    fn place<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        place(&self.keys, |key| key, key)
    }

    /// It is there.
    pub fn contains<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.place(key).is_ok()
    }

    /// Adds it. `false`: it was there.
    pub fn insert(&mut self, key: K) -> bool {
        match self.place(&key) {
            Ok(_) => false,
            Err(at) => {
                self.keys.insert(at, key);
                true
            }
        }
    }

    /// Takes it out. `false`: it was not there.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        let at = self.place(key);
        if let Ok(at) = at {
            self.keys.remove(at);
        }
        at.is_ok()
    }
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Map::new()
    }
}

impl<K> Default for Set<K> {
    fn default() -> Self {
        Set::new()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: fmt::Debug> fmt::Debug for Set<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Map<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(items: I) -> Self {
        let mut map = Map::new();
        map.extend(items);
        map
    }
}

impl<K: Ord> FromIterator<K> for Set<K> {
    fn from_iter<I: IntoIterator<Item = K>>(items: I) -> Self {
        let mut set = Set::new();
        set.extend(items);
        set
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for Map<K, V> {
    fn from(items: [(K, V); N]) -> Self {
        items.into_iter().collect()
    }
}

impl<K: Ord, const N: usize> From<[K; N]> for Set<K> {
    fn from(items: [K; N]) -> Self {
        items.into_iter().collect()
    }
}

impl<K: Ord, V> Extend<(K, V)> for Map<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, items: I) {
        for (key, value) in items {
            self.insert(key, value);
        }
    }
}

impl<K: Ord> Extend<K> for Set<K> {
    fn extend<I: IntoIterator<Item = K>>(&mut self, items: I) {
        for key in items {
            self.insert(key);
        }
    }
}

impl<'a, K: Ord + Copy> Extend<&'a K> for Set<K> {
    fn extend<I: IntoIterator<Item = &'a K>>(&mut self, items: I) {
        self.extend(items.into_iter().copied());
    }
}

/// The entries of a [`Map`] by key.
pub struct Iter<'a, K, V>(slice::Iter<'a, (K, V)>);

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Iter(self.0.clone())
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(key, value)| (key, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<K, V> DoubleEndedIterator for Iter<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(|(key, value)| (key, value))
    }
}

impl<K, V> ExactSizeIterator for Iter<'_, K, V> {}

/// The entries of a [`Map`] by key, values to be changed.
pub struct IterMut<'a, K, V>(slice::IterMut<'a, (K, V)>);

impl<'a, K, V> Iterator for IterMut<'a, K, V> {
    type Item = (&'a K, &'a mut V);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(key, value)| (&*key, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<'a, K, V> IntoIterator for &'a Map<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, K, V> IntoIterator for &'a mut Map<K, V> {
    type Item = (&'a K, &'a mut V);
    type IntoIter = IterMut<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl<K, V> IntoIterator for Map<K, V> {
    type Item = (K, V);
    type IntoIter = vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<'a, K> IntoIterator for &'a Set<K> {
    type Item = &'a K;
    type IntoIter = slice::Iter<'a, K>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<K> IntoIterator for Set<K> {
    type Item = K;
    type IntoIter = vec::IntoIter<K>;

    fn into_iter(self) -> Self::IntoIter {
        self.keys.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Operation {
        Insert(u8, u32),
        Remove(u8),
        Entry(u8, u32),
        Change(u8, u32),
        PopFirst,
        RetainBelow(u8),
        Range(u8, u8),
        RangeInclusive(u8, u8),
        RangeFrom(u8),
        RangeTo(u8),
        Extend(Vec<(u8, u32)>),
        Clear,
    }

    fn operation() -> impl Strategy<Value = Operation> {
        let key = || 0u8..40;
        prop_oneof![
            8 => (key(), any::<u32>()).prop_map(|(k, v)| Operation::Insert(k, v)),
            6 => key().prop_map(Operation::Remove),
            3 => (key(), any::<u32>()).prop_map(|(k, v)| Operation::Entry(k, v)),
            3 => (key(), any::<u32>()).prop_map(|(k, v)| Operation::Change(k, v)),
            2 => Just(Operation::PopFirst),
            1 => key().prop_map(Operation::RetainBelow),
            1 => (key(), key()).prop_map(|(a, b)| Operation::Range(a.min(b), a.max(b))),
            1 => (key(), key()).prop_map(|(a, b)| Operation::RangeInclusive(a.min(b), a.max(b))),
            1 => key().prop_map(Operation::RangeFrom),
            1 => key().prop_map(Operation::RangeTo),
            1 => proptest::collection::vec((key(), any::<u32>()), 0..20).prop_map(Operation::Extend),
            1 => Just(Operation::Clear),
        ]
    }

    proptest! {
        #[test]
        fn a_map_answers_what_a_tree_answers(
            operations in proptest::collection::vec(operation(), 0..200),
        ) {
            let mut map = Map::new();
            let mut tree = BTreeMap::new();
            for operation in operations {
                match operation {
                    Operation::Insert(k, v) => prop_assert_eq!(map.insert(k, v), tree.insert(k, v)),
                    Operation::Remove(k) => prop_assert_eq!(map.remove(&k), tree.remove(&k)),
                    Operation::Entry(k, v) => {
                        let ours = map.entry(k).or_insert(v);
                        *ours = ours.wrapping_add(1);
                        let theirs = tree.entry(k).or_insert(v);
                        *theirs = theirs.wrapping_add(1);
                        prop_assert_eq!(ours, theirs);
                    }
                    Operation::Change(k, v) => {
                        let theirs = tree.get_mut(&k).map(|old| core::mem::replace(old, v));
                        let ours = map.get_mut(&k).map(|old| core::mem::replace(old, v));
                        prop_assert_eq!(ours, theirs);
                    }
                    Operation::PopFirst => prop_assert_eq!(map.pop_first(), tree.pop_first()),
                    Operation::RetainBelow(k) => {
                        map.retain(|key, _| *key < k);
                        tree.retain(|key, _| *key < k);
                    }
                    Operation::Range(a, b) => prop_assert!(map.range(a..b).eq(tree.range(a..b))),
                    Operation::RangeInclusive(a, b) => {
                        prop_assert!(map.range(a..=b).eq(tree.range(a..=b)));
                    }
                    Operation::RangeFrom(a) => prop_assert!(map.range(a..).eq(tree.range(a..))),
                    Operation::RangeTo(a) => prop_assert!(map.range(..a).eq(tree.range(..a))),
                    Operation::Extend(items) => {
                        map.extend(items.clone());
                        tree.extend(items);
                    }
                    Operation::Clear => {
                        map.clear();
                        tree.clear();
                    }
                }
                prop_assert!(map.iter().eq(tree.iter()));
                prop_assert!(map.iter().rev().eq(tree.iter().rev()));
                prop_assert!(map.keys().eq(tree.keys()) && map.values().eq(tree.values()));
                prop_assert_eq!(map.len(), tree.len());
                prop_assert_eq!(map.is_empty(), tree.is_empty());
                prop_assert_eq!(map.first_key_value(), tree.first_key_value());
                prop_assert_eq!(map.last_key_value(), tree.last_key_value());
                for key in 0..40 {
                    prop_assert_eq!(map.get(&key), tree.get(&key));
                    prop_assert_eq!(map.contains_key(&key), tree.contains_key(&key));
                }
            }
            prop_assert!(map.into_iter().eq(tree));
        }

        #[test]
        fn a_set_answers_what_a_tree_answers(
            operations in proptest::collection::vec(operation(), 0..200),
        ) {
            let mut set = Set::new();
            let mut tree = BTreeSet::new();
            for operation in operations {
                match operation {
                    Operation::Insert(k, _) => prop_assert_eq!(set.insert(k), tree.insert(k)),
                    Operation::Remove(k) => prop_assert_eq!(set.remove(&k), tree.remove(&k)),
                    Operation::PopFirst => prop_assert_eq!(set.pop_first(), tree.pop_first()),
                    Operation::RetainBelow(k) => {
                        set.retain(|key| *key < k);
                        tree.retain(|key| *key < k);
                    }
                    Operation::Extend(items) => {
                        set.extend(items.iter().map(|(k, _)| *k));
                        tree.extend(items.iter().map(|(k, _)| *k));
                    }
                    Operation::Clear => {
                        set.clear();
                        tree.clear();
                    }
                    _ => {}
                }
                prop_assert!(set.iter().eq(tree.iter()));
                prop_assert_eq!((set.first(), set.last()), (tree.first(), tree.last()));
                prop_assert_eq!((set.len(), set.is_empty()), (tree.len(), tree.is_empty()));
                for key in 0..40 {
                    prop_assert_eq!(set.contains(&key), tree.contains(&key));
                }
            }
            prop_assert!(set.into_iter().eq(tree));
        }

        #[test]
        fn a_map_collected_in_any_order_is_in_order_and_its_last_word_counts(
            items in proptest::collection::vec((0u8..40, any::<u32>()), 0..200),
        ) {
            let map: Map<u8, u32> = items.iter().copied().collect();
            let tree: BTreeMap<u8, u32> = items.into_iter().collect();
            prop_assert!(map.iter().eq(tree.iter()));
            prop_assert!(map.into_values().eq(tree.into_values()));
        }
    }

    #[test]
    fn names_are_found_by_what_they_borrow_as() {
        let map: Map<String, u8> = ["b", "a"].map(|name| (name.to_owned(), 1)).into();
        assert_eq!(map.get("a"), Some(&1));
        assert!(!map.contains_key("c"));
        assert_eq!(map.range("b".to_owned()..).count(), 1);
    }
}
