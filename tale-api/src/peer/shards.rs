//! A table by number that several threads can use at once.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{Mutex, PoisonError},
};

/// Enough that a few dozen threads seldom meet; numbers follow each other, so neighbours spread.
const SHARDS: usize = 32;

/// A map from numbers to values, cut into shards with a lock each.
///
/// No lock is held while a value is used: values are taken out or cloned.
pub(crate) struct Shards<V> {
    shards: [Mutex<HashMap<u64, V, BuildHasherDefault<SelfHash>>>; SHARDS],
}

impl<V> Shards<V> {
    pub(crate) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }

    pub(crate) fn insert(&self, id: u64, value: V) -> Option<V> {
        self.shard(id).insert(id, value)
    }

    pub(crate) fn remove(&self, id: u64) -> Option<V> {
        self.shard(id).remove(&id)
    }

    pub(crate) fn contains(&self, id: u64) -> bool {
        self.shard(id).contains_key(&id)
    }

    /// Takes everything out.
    #[cfg(feature = "host")]
    pub(crate) fn drain(&self) -> Vec<V> {
        let taken = self.shards.iter().map(|shard| {
            std::mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner))
        });
        taken.flat_map(HashMap::into_values).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|s| s.lock().unwrap_or_else(PoisonError::into_inner).len())
            .sum()
    }

    /// A poisoned lock is taken over: maps are whole between any two operations, and none of a
    /// value's own code runs under the lock.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "only the lowest bits are wanted"
    )]
    fn shard(
        &self,
        id: u64,
    ) -> std::sync::MutexGuard<'_, HashMap<u64, V, BuildHasherDefault<SelfHash>>> {
        self.shards[id as usize % SHARDS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V: Clone> Shards<V> {
    pub(crate) fn get(&self, id: u64) -> Option<V> {
        self.shard(id).get(&id).cloned()
    }
}

/// Spreads consecutive numbers over the table; they are chosen by a counter, so no one can aim.
#[derive(Default)]
pub(crate) struct SelfHash(u64);

impl Hasher for SelfHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        // Multiplying by 2^64 divided by the golden ratio mixes into the high bits too.
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
