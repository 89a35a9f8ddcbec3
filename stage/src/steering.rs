//! Which characters steer a terminal instead of being displayed. Untrusted text is displayed without them.

/// Whether it is a control character, or one that changes the text direction, so that a line reads as another one.
pub fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
