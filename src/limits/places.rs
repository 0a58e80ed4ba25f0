//! Places: so many at once, and of these so many for one name.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

/// So many places, of which one name can have only some.
#[derive(Debug)]
pub struct Places {
    all: usize,
    of_one: usize,
    held: Mutex<Holders>,
}

#[derive(Debug, Default)]
struct Holders {
    all: usize,
    by_name: HashMap<Arc<str>, usize>,
}

impl Places {
    /// So many in all, and so many for one name.
    pub fn new(all: usize, of_one: usize) -> Self {
        Self { all, of_one, held: Mutex::default() }
    }

    /// A place until it is dropped; `None` when there is none left, or none for this name. Who has no name has a share in the
    /// whole only.
    pub fn take(self: &Arc<Self>, name: Option<&str>) -> Option<Held> {
        let mut held = self.held.lock();
        let of_name = name.and_then(|name| held.by_name.get(name)).copied().unwrap_or_default();
        if held.all >= self.all || of_name >= self.of_one {
            return None;
        }
        held.all += 1;
        let name: Option<Arc<str>> = name.map(Into::into);
        if let Some(name) = &name {
            held.by_name.insert(Arc::clone(name), of_name + 1);
        }
        Some(Held { places: Arc::clone(self), name })
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.held.lock().all
    }
}

/// A place that is taken.
#[derive(Debug)]
pub struct Held {
    places: Arc<Places>,
    name: Option<Arc<str>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.places.held.lock();
        held.all = held.all.saturating_sub(1);
        let Some(name) = &self.name else { return };
        match held.by_name.get_mut(name) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => {
                held.by_name.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_more_than_one_s_share_and_all_together_no_more_than_there_are() {
        let places = Arc::new(Places::new(5, 2));
        let mut ada: Vec<_> = (0..2).map(|_| places.take(Some("ada")).expect("a place")).collect();
        assert!(places.take(Some("ada")).is_none(), "the third of two");
        let _bob = [places.take(Some("bob")).expect("a place"), places.take(Some("bob")).expect("a place")];
        let nameless = places.take(None).expect("the fifth");
        assert!(places.take(None).is_none() && places.take(Some("eve")).is_none(), "none is left");
        drop(nameless);
        assert!(places.take(Some("ada")).is_none(), "still the third of two");
        ada.pop();
        assert!(places.take(Some("ada")).is_some());
        assert_eq!(places.taken(), 3);
    }

    #[test]
    fn names_without_a_place_are_forgotten() {
        let places = Arc::new(Places::new(1_000, 2));
        let held: Vec<_> = (0..100).map(|n| places.take(Some(&n.to_string())).expect("a place")).collect();
        assert_eq!((places.taken(), places.held.lock().by_name.len()), (100, 100));
        drop(held);
        assert_eq!((places.taken(), places.held.lock().by_name.len()), (0, 0));
    }
}
