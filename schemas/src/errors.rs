//! Errors as operators read them: one line that names each cause once.

use std::error::Error;

/// An error and its causes, `what: why: why that`. A cause that an error already includes in its message is not
/// repeated.
pub fn in_words(error: &(dyn Error + 'static)) -> String {
    let mut words = error.to_string();
    for cause in std::iter::successors(error.source(), |&cause| cause.source()) {
        let cause = cause.to_string();
        if !words.contains(&cause) {
            words = format!("{words}: {cause}");
        }
    }
    words
}

/// The innermost cause, which is the only informative part of "network error: client error: …".
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), innermost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Outer {
        #[error("cannot read {0}")]
        Silent(&'static str, #[source] std::io::Error),
        #[error("cannot read {0}: {1}")]
        Telling(&'static str, #[source] std::io::Error),
    }

    #[test]
    fn a_cause_is_said_once() {
        let cause = || std::io::Error::other("no such file");
        for error in [Outer::Silent("a", cause()), Outer::Telling("a", cause())] {
            assert_eq!(in_words(&error), "cannot read a: no such file");
        }
    }
}
