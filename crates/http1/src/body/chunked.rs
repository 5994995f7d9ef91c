//! The chunk-size line, byte by byte: what a byte means never depends on when it arrived.

use crate::chars::{ESCAPED, QUOTED, TOKEN, is};
use crate::{BadBody, Limits};
use std::num::NonZeroU64;

/// More digits than a `u64` has are refused, leading zeros included.
const MOST_DIGITS: u8 = 16;

/// A chunk-size line as far as it has arrived. RFC 9112 §7.1.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ChunkLine {
    size: u64,
    digits: u8,
    bytes: usize,
    at: At,
}

/// What the line that just ended announces.
#[derive(Clone, Copy, Debug)]
pub(super) enum LineEnd {
    Data(NonZeroU64),
    LastChunk,
}

/// The position in `1*HEXDIG *( BWS ";" BWS name [ BWS "=" BWS value ] ) CRLF`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Size,
    /// In whitespace that only `;` may end.
    BeforeSemicolon,
    BeforeName,
    Name,
    /// In whitespace that `=` or `;` may end.
    AfterName,
    BeforeValue,
    Token,
    Quoted,
    Escape,
    AfterQuoted,
    /// After CR.
    Lf,
}

impl ChunkLine {
    /// Reads one byte; `Some` when it ended the line. `extensions` counts those of the message.
    pub(super) fn push(
        &mut self,
        byte: u8,
        limits: &Limits,
        extensions: &mut usize,
    ) -> Result<Option<LineEnd>, BadBody> {
        if self.at == At::Lf {
            return if byte == b'\n' { Ok(Some(self.end())) } else { Err(BadBody::BareCr) };
        }
        if byte == b'\n' {
            return Err(BadBody::BareLf);
        }
        let was_size = self.at == At::Size;
        self.at = if was_size { self.size(byte)? } else { extension(self.at, byte)? };
        if self.at == At::Lf {
            return Ok(None);
        }
        self.bytes += 1;
        if self.bytes > limits.chunk_line {
            return Err(BadBody::ChunkLineTooLong);
        }
        *extensions += usize::from(self.at != At::Size);
        if *extensions > limits.chunk_extensions {
            return Err(BadBody::ChunkExtensionsTooLarge);
        }
        Ok(None)
    }

    fn size(&mut self, byte: u8) -> Result<At, BadBody> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            if self.digits == MOST_DIGITS {
                return Err(BadBody::ChunkSizeOverflow);
            }
            self.digits += 1;
            // 16 digits of 4 bits fill the 64 bits and no more.
            self.size = self.size << 4 | u64::from(digit);
            return Ok(At::Size);
        }
        match byte {
            _ if self.digits == 0 => Err(BadBody::ChunkSize),
            b'\r' => Ok(At::Lf),
            b';' => Ok(At::BeforeName),
            b' ' | b'\t' => Ok(At::BeforeSemicolon),
            _ => Err(BadBody::ChunkSize),
        }
    }

    fn end(self) -> LineEnd {
        NonZeroU64::new(self.size).map_or(LineEnd::LastChunk, LineEnd::Data)
    }
}

/// RFC 9112 §7.1.1: where `byte` leads. Extensions are checked and dropped.
fn extension(at: At, byte: u8) -> Result<At, BadBody> {
    let is_space = matches!(byte, b' ' | b'\t');
    let is_token = is(TOKEN, byte);
    match (at, byte) {
        (At::BeforeSemicolon | At::BeforeName | At::AfterName | At::BeforeValue, _) if is_space => {
            Ok(at)
        }
        (At::BeforeSemicolon | At::Name | At::AfterName | At::Token | At::AfterQuoted, b';') => {
            Ok(At::BeforeName)
        }
        (At::BeforeName | At::Name, _) if is_token => Ok(At::Name),
        (At::Name, _) if is_space => Ok(At::AfterName),
        (At::Name | At::AfterName, b'=') => Ok(At::BeforeValue),
        (At::BeforeValue | At::Token, _) if is_token => Ok(At::Token),
        (At::Token | At::AfterQuoted, _) if is_space => Ok(At::BeforeSemicolon),
        (At::Name | At::Token | At::AfterQuoted, b'\r') => Ok(At::Lf),
        (At::BeforeValue, b'"') => Ok(At::Quoted),
        (At::Quoted, b'"') => Ok(At::AfterQuoted),
        (At::Quoted, b'\\') => Ok(At::Escape),
        (At::Quoted, _) if is(QUOTED, byte) => Ok(At::Quoted),
        (At::Escape, _) if is(ESCAPED, byte) => Ok(At::Quoted),
        _ => Err(BadBody::ChunkExtension),
    }
}
