//! Which characters a terminal obeys instead of showing them. Text of strangers is shown without.

/// Whether it is a control character, or one that turns the direction of what follows, so that a line reads as another one.
pub fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
