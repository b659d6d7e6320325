//! Words, numbers and signs.

use crate::fault::ParseError;

/// The smallest piece of PTX that means something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token<'t> {
    /// A name, a directive or an opcode with all its dots.
    Word(&'t str),
    Number(Number),
    /// What stands between quotation marks, which nothing here needs.
    Text,
    Sign(char),
    End,
}

/// A literal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    /// In two's complement.
    Integer(u64),
    /// The bits of a float32.
    Single(u32),
    /// The bits of a float64.
    Double(u64),
}

/// Reads tokens one after the other.
#[derive(Clone, Debug)]
pub(super) struct Tokens<'t> {
    text: &'t str,
    /// Where the next token is looked for.
    at: usize,
    /// The line of `at`.
    line_here: usize,
    next: Token<'t>,
    /// Where `next` begins and on which line.
    begin: usize,
    line: usize,
    /// Where the token before `next` ended.
    last_end: usize,
}

impl<'t> Tokens<'t> {
    pub(super) fn new(text: &'t str) -> Result<Self, ParseError> {
        let mut tokens = Self { text, at: 0, line_here: 1, next: Token::End, begin: 0, line: 1, last_end: 0 };
        tokens.advance()?;
        Ok(tokens)
    }

    pub(super) fn peek(&self) -> Token<'t> {
        self.next
    }

    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// Where the next token begins.
    pub(super) fn position(&self) -> usize {
        self.begin
    }

    /// What was read since a position.
    pub(super) fn text_since(&self, position: usize) -> &'t str {
        &self.text[position..self.last_end]
    }

    pub(super) fn take(&mut self) -> Result<Token<'t>, ParseError> {
        let token = self.next;
        self.advance()?;
        Ok(token)
    }

    /// Takes a sign if it is the next token.
    pub(super) fn skip(&mut self, sign: char) -> Result<bool, ParseError> {
        let found = self.next == Token::Sign(sign);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    pub(super) fn expect(&mut self, sign: char) -> Result<(), ParseError> {
        if self.skip(sign)? { Ok(()) } else { Err(self.error(format!("`{sign}` is missing before {:?}", self.next))) }
    }

    pub(super) fn word(&mut self) -> Result<&'t str, ParseError> {
        match self.next {
            Token::Word(word) => {
                self.advance()?;
                Ok(word)
            }
            Token::Number(_) | Token::Text | Token::Sign(_) | Token::End => {
                Err(self.error(format!("a name is missing before {:?}", self.next)))
            }
        }
    }

    /// A whole number, perhaps negative.
    pub(super) fn integer(&mut self) -> Result<u64, ParseError> {
        let negative = self.skip('-')?;
        match self.take()? {
            Token::Number(Number::Integer(value)) if negative => Ok(value.wrapping_neg()),
            Token::Number(Number::Integer(value)) => Ok(value),
            other => Err(self.error(format!("{other:?} stands where a whole number should"))),
        }
    }

    /// A whole number that is a size.
    pub(super) fn size(&mut self) -> Result<usize, ParseError> {
        let value = self.integer()?;
        // Larger than any memory, and small enough that sums of sizes do not overflow.
        if value < 1 << 40 { Ok(value as usize) } else { Err(self.error(format!("{value} is no size"))) }
    }

    pub(super) fn error(&self, message: String) -> ParseError {
        ParseError { line: self.line, message }
    }

    fn advance(&mut self) -> Result<(), ParseError> {
        self.last_end = self.at;
        self.skip_blank()?;
        self.begin = self.at;
        self.line = self.line_here;
        let rest = &self.text[self.at..];
        let Some(first) = rest.chars().next() else {
            self.next = Token::End;
            return Ok(());
        };
        let length = match first {
            'a'..='z' | 'A'..='Z' | '_' | '$' | '%' | '.' => word_length(rest),
            '0'..='9' => rest.bytes().position(|b| !(b.is_ascii_alphanumeric() || b == b'.')).unwrap_or(rest.len()),
            '"' => rest[1..].find('"').map_or(rest.len(), |end| end + 2),
            other => other.len_utf8(),
        };
        self.next = match first {
            'a'..='z' | 'A'..='Z' | '_' | '$' | '%' | '.' => Token::Word(&rest[..length]),
            '0'..='9' => {
                let number = number(&rest[..length]);
                Token::Number(number.ok_or_else(|| self.error(format!("`{}` is no number", &rest[..length])))?)
            }
            '"' => {
                self.line_here += rest[..length].matches('\n').count();
                Token::Text
            }
            other => Token::Sign(other),
        };
        self.at += length;
        Ok(())
    }

    fn skip_blank(&mut self) -> Result<(), ParseError> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b'\n') => {
                    self.line_here += 1;
                    self.at += 1;
                }
                Some(b' ' | b'\t' | b'\r') => self.at += 1,
                Some(b'/') if bytes.get(self.at + 1) == Some(&b'/') => {
                    self.at = self.text[self.at..].find('\n').map_or(self.text.len(), |length| self.at + length);
                }
                Some(b'/') if bytes.get(self.at + 1) == Some(&b'*') => {
                    let length = self.text[self.at..].find("*/");
                    let length = length.ok_or_else(|| self.error("a comment does not end".into()))? + 2;
                    self.line_here += self.text[self.at..self.at + length].matches('\n').count();
                    self.at += length;
                }
                _ => return Ok(()),
            }
        }
    }
}

/// Bytes of the word at the beginning of `rest`. `::` belongs to it, a single colon ends a label. A directive ends where the next begins,
/// as in `.reg.b32`.
fn word_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut length = 0;
    loop {
        match bytes.get(length) {
            Some(b'.') if length > 0 && bytes[0] == b'.' => return length,
            Some(b) if b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | b'%' | b'.') => length += 1,
            Some(b':') if bytes.get(length + 1) == Some(&b':') => length += 2,
            _ => return length,
        }
    }
}

/// PTX ISA, "Constants": whole numbers as in C, `0f` and `0d` followed by the bits of a float, and decimal fractions.
fn number(text: &str) -> Option<Number> {
    let text = text.strip_suffix('U').unwrap_or(text);
    let digits = |radix, digits| u64::from_str_radix(digits, radix).ok().map(Number::Integer);
    match text.as_bytes() {
        [b'0', b'f' | b'F', ..] => u32::from_str_radix(&text[2..], 16).ok().map(Number::Single),
        [b'0', b'd' | b'D', ..] => u64::from_str_radix(&text[2..], 16).ok().map(Number::Double),
        [b'0', b'x' | b'X', ..] => digits(16, &text[2..]),
        [b'0', b'b' | b'B', ..] => digits(2, &text[2..]),
        _ if text.contains('.') => text.parse::<f64>().ok().map(|value| Number::Double(value.to_bits())),
        [b'0', _, ..] => digits(8, &text[1..]),
        _ => digits(10, text),
    }
}
