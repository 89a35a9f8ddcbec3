//! ClickHouse's lexical rules, as far as they decide where a keyword is one: comments, strings, quoted names, heredocs.
//!
//! Enters: SQL, complete or its beginning. Leaves: tokens. At the end of an incomplete text, no token is given that
//! more text could change.

/// One of ClickHouse's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'t> {
    /// A keyword, a name, or a number.
    Word(&'t [u8]),
    /// A string, a quoted identifier or a heredoc, with its quotes.
    Quoted(&'t [u8]),
    /// Any other character.
    Symbol(u8),
    /// The end of a complete text.
    End,
}

/// The tokens of a text, from its beginning.
pub struct Tokens<'t> {
    text: &'t [u8],
    position: usize,
    complete: bool,
    ended: bool,
}

impl<'t> Tokens<'t> {
    /// `complete`: nothing follows `text`.
    pub fn new(text: &'t [u8], complete: bool) -> Self {
        Self {
            text,
            position: 0,
            complete,
            ended: false,
        }
    }

    /// Where the next token starts.
    pub fn next_start(&self) -> usize {
        skip_blanks(self.text, self.position)
    }

    /// Where the last token ended.
    pub fn position(&self) -> usize {
        self.position
    }

    /// `end` is where the token ends; at the end of an incomplete text it could still go on.
    fn take(&mut self, end: usize, token: Token<'t>) -> Option<Token<'t>> {
        if end >= self.text.len() && !self.complete {
            return None;
        }
        self.position = end.min(self.text.len());
        Some(token)
    }
}

impl<'t> Tokens<'t> {
    fn take_quoted(&mut self, start: usize, end: usize) -> Option<Token<'t>> {
        self.take(end, Token::Quoted(&self.text[start..end.min(self.text.len())]))
    }
}

impl<'t> Iterator for Tokens<'t> {
    type Item = Token<'t>;

    /// `None` also where an incomplete text does not decide the token.
    fn next(&mut self) -> Option<Token<'t>> {
        let text = self.text;
        let start = self.next_start();
        let Some(&first) = text.get(start) else {
            if self.ended || !self.complete {
                return None;
            }
            self.ended = true;
            return Some(Token::End);
        };
        match first {
            b'\'' | b'"' | b'`' => self.take_quoted(start, quoted_end(text, start)),
            b'$' => match heredoc_end(text, start) {
                Some(end) => self.take_quoted(start, end),
                None => self.take(start + 1, Token::Symbol(b'$')),
            },
            _ if is_word(first) => {
                let end = text[start..]
                    .iter()
                    .position(|&byte| !is_word(byte))
                    .map_or(text.len(), |length| start + length);
                self.take(end, Token::Word(&text[start..end]))
            }
            // More text may make this the beginning of a comment.
            b'-' | b'/' if start + 1 >= text.len() && !self.complete => None,
            symbol => {
                self.position = start + 1;
                Some(Token::Symbol(symbol))
            }
        }
    }
}

/// Keywords are case-insensitive.
pub fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Skips white space, `-- …`, `# …`, `#!…` and `/* … */`.
fn skip_blanks(text: &[u8], mut position: usize) -> usize {
    loop {
        let rest = &text[position.min(text.len())..];
        let line = |rest: &[u8]| {
            rest.iter()
                .position(|&byte| byte == b'\n')
                .map_or(rest.len(), |at| at + 1)
        };
        position += match rest {
            [byte, ..] if byte.is_ascii_whitespace() || *byte == 0 => 1,
            [b'-', b'-', ..] => line(rest),
            [b'#', b' ' | b'!', ..] => line(rest),
            [b'/', b'*', inner @ ..] => inner
                .windows(2)
                .position(|pair| pair == b"*/")
                .map_or(rest.len(), |at| at + 4),
            _ => return position,
        };
    }
}

/// The position after the closing quote; a backslash escapes, and a doubled quote stands for one.
fn quoted_end(text: &[u8], start: usize) -> usize {
    let quote = text[start];
    let mut position = start + 1;
    while let Some(&byte) = text.get(position) {
        if byte == b'\\' {
            position += 2;
        } else if byte == quote {
            if text.get(position + 1) != Some(&quote) {
                return position + 1;
            }
            position += 2;
        } else {
            position += 1;
        }
    }
    text.len()
}

/// `$tag$ … $tag$`; `None` where the dollar opens no heredoc.
fn heredoc_end(text: &[u8], start: usize) -> Option<usize> {
    let tag_length = text[start + 1..].iter().position(|&byte| !is_word(byte))?;
    (text.get(start + 1 + tag_length) == Some(&b'$')).then(|| {
        let tag = &text[start..start + tag_length + 2];
        let inner = start + tag.len();
        text[inner..]
            .windows(tag.len())
            .position(|window| window == tag)
            .map_or(text.len(), |at| inner + at + tag.len())
    })
}
