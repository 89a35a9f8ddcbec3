//! Dictionary encoding of repeated strings: each string once, and its index for each row.
//!
//! In: a column of strings. Out: the same column in fewer bytes, in the form of ClickHouse's `LowCardinality` columns:
//! it looks up each string of the dictionary once instead of once per row. Indices follow first appearance, so equal
//! columns give equal dictionaries.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{Array, ArrayBuilder, DictionaryArray, Int32Array, StringArray, StringBuilder};
use arrow::datatypes::Int32Type;
use arrow::error::ArrowError;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// The dictionary of a column without nulls.
pub(crate) fn dictionary(texts: &StringArray) -> Result<DictionaryArray<Int32Type>, ArrowError> {
    // Of a seed of its own: with one that is known, whoever writes records can give all texts of a block the same hash.
    let (hasher, mut table) = (RandomState::default(), HashTable::<(i32, usize)>::new());
    let (mut values, mut keys) = (StringBuilder::new(), Vec::with_capacity(texts.len()));
    let hash = |row: usize| hasher.hash_one(texts.value(row).as_bytes());
    // Key and row of the previous string: records of a service come in runs.
    let mut last: Option<(i32, usize)> = None;
    for row in 0..texts.len() {
        let text = texts.value(row);
        if let Some((key, _)) = last.filter(|(_, row)| texts.value(*row) == text) {
            keys.push(key);
            continue;
        }
        let same = |(_, first): &(i32, usize)| texts.value(*first) == text;
        let found = match table.entry(hash(row), same, |(_, first)| hash(*first)) {
            Entry::Occupied(found) => *found.get(),
            Entry::Vacant(free) => {
                let key = values.len() as i32; // a block has fewer rows than that
                values.append_value(text);
                free.insert((key, row));
                (key, row)
            }
        };
        keys.push(found.0);
        last = Some(found);
    }
    DictionaryArray::try_new(Int32Array::from(keys), Arc::new(values.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_in_it_once_and_every_row_reads_as_before() {
        let texts = ["b", "b", "", "a", "b", "", "", "a"];
        let made = dictionary(&StringArray::from_iter_values(texts)).unwrap();
        let read: Vec<&str> = made
            .downcast_dict::<StringArray>()
            .unwrap()
            .into_iter()
            .flatten()
            .collect();
        assert_eq!(read, texts);
        assert_eq!(made.values().len(), 3);
        assert_eq!(made.keys().values(), &[0, 0, 1, 2, 0, 1, 1, 2]);
    }

    #[test]
    fn no_row_is_no_text() {
        let made = dictionary(&StringArray::from_iter_values([""; 0])).unwrap();
        assert_eq!((made.len(), made.values().len()), (0, 0));
    }
}
