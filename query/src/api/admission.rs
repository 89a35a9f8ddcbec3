//! How many requests are answered at the same time: together, and for one caller.
//!
//! Guarantees: a caller who asks for everything at once leaves room for others. A place is held until it is dropped, also when
//! the caller goes away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::Problem;

/// Places for requests.
#[derive(Debug, Clone)]
pub struct Admission {
    all: Arc<Semaphore>,
    each_max: usize,
    callers: Arc<Mutex<HashMap<String, usize>>>,
}

/// A place, held until it is dropped.
#[derive(Debug)]
pub struct Admitted {
    caller: String,
    callers: Arc<Mutex<HashMap<String, usize>>>,
    _place: OwnedSemaphorePermit,
}

impl Admission {
    /// So many places, and so many of them for one caller.
    pub fn new(all_max: usize, each_max: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all_max)),
            each_max,
            callers: Arc::default(),
        }
    }

    /// A place for a caller, or the advice to come back.
    pub fn admit(&self, caller: &str) -> Result<Admitted, Problem> {
        let busy = |_| Problem::Busy("too many requests at once");
        let place = Arc::clone(&self.all).try_acquire_owned().map_err(busy)?;
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let held = callers.entry(caller.to_owned()).or_default();
        if *held >= self.each_max {
            return Err(Problem::Busy("too many requests at once with this key"));
        }
        *held += 1;
        Ok(Admitted {
            caller: caller.to_owned(),
            callers: Arc::clone(&self.callers),
            _place: place,
        })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = callers.get_mut(&self.caller) {
            *held -= 1;
            if *held == 0 {
                callers.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_cannot_take_all_places_and_a_place_comes_back() {
        let admission = Admission::new(3, 2);
        let held = [admission.admit("a").unwrap(), admission.admit("a").unwrap()];
        assert!(matches!(admission.admit("a").unwrap_err(), Problem::Busy(reason) if reason.contains("this key")));
        let other = admission.admit("b").unwrap();
        assert!(matches!(admission.admit("c").unwrap_err(), Problem::Busy(_)));
        drop(held);
        assert!(admission.admit("a").is_ok());
        drop(other);
        assert!(
            admission.callers.lock().unwrap().is_empty(),
            "nothing is kept of callers that are gone"
        );
    }
}
