//! The representations of fields in header blocks (RFC 7541 §6), one after the other.

use super::Lost;

/// Entries of the static table (RFC 7541, Appendix A) with the names of pseudo-fields: the first ones.
const PSEUDO: u32 = 14;
/// The first index of the dynamic table.
const DYNAMIC: u32 = 62;
/// The most bits that a number has behind its first byte, for the codec and so for us.
const MOST_BITS: u32 = 28;
/// A text is in the code of RFC 7541, Appendix B...
const CODED: u8 = 0x80;
/// ...in which the colon has seven bits.
const COLON: u8 = 0x5c;

/// The header blocks of one connection.
#[derive(Debug)]
pub(crate) struct Walk {
    /// Which of the fields that were added to the dynamic table are pseudo-fields, the newest in the
    /// lowest bit. However large the table is and whatever leaves it, what is in it are the newest of
    /// them, and no more than 128: RFC 7541 §4.1 reckons each with 32 bytes beside its texts, and the
    /// codec leaves the table at 4,096.
    added: u128,
    at: At,
    /// The field at hand: its form, and whether it is a pseudo-field.
    form: Form,
    is_pseudo: bool,
    /// The block has a pseudo-field.
    has_pseudo: bool,
}

/// Where in a field the next byte lies.
#[derive(Clone, Copy, Debug)]
enum At {
    /// In front of it.
    Field,
    /// In a number whose first byte was not enough.
    Number { of: Number, value: u32, bits: u32 },
    /// In front of the length of a text.
    Length(Part),
    /// In front of a name.
    Name { is_coded: bool, length: u32 },
    /// In a text.
    Text { of: Part, left: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// It stands in a table as a whole.
    Indexed,
    /// It is added to the table.
    Added,
    /// It is not.
    Passing,
    /// It is no field: the size of the table changes.
    Resize,
}

/// What a number says.
#[derive(Clone, Copy, Debug)]
enum Number {
    Index,
    Length { of: Part, is_coded: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Name,
    Value,
}

impl Walk {
    pub(crate) const fn new() -> Self {
        Self { added: 0, at: At::Field, form: Form::Indexed, is_pseudo: false, has_pseudo: false }
    }

    /// More of a block. How much of it there is up to the end of the last field that ends in it.
    pub(crate) fn follow(&mut self, mut bytes: &[u8]) -> Result<usize, Lost> {
        let (all, mut whole) = (bytes.len(), 0);
        while let Some((first, mut rest)) = bytes.split_first() {
            match self.at {
                At::Field => self.field(*first)?,
                At::Number { of, value, bits } => self.go_on(of, value, bits, *first)?,
                At::Length(of) => {
                    let number = Number::Length { of, is_coded: first & CODED != 0 };
                    self.first(number, *first, 7)?;
                }
                At::Name { is_coded, length } => {
                    self.is_pseudo = if is_coded { first >> 1 == COLON } else { *first == b':' };
                    self.text(Part::Name, length - 1);
                }
                At::Text { of, left } => {
                    let taken = bytes.len().min(left as usize);
                    (_, rest) = bytes.split_at(taken);
                    self.text(of, left - taken as u32);
                }
            }
            bytes = rest;
            if matches!(self.at, At::Field) {
                whole = all - bytes.len();
            }
        }
        Ok(whole)
    }

    /// The end of a block: whether there was a pseudo-field in it.
    pub(crate) fn end(&mut self) -> Result<bool, Lost> {
        match self.at {
            At::Field => Ok(std::mem::take(&mut self.has_pseudo)),
            _ => Err(Lost),
        }
    }

    fn field(&mut self, first: u8) -> Result<(), Lost> {
        let (form, prefix) = match first {
            0x80.. => (Form::Indexed, 7),
            0x40.. => (Form::Added, 6),
            0x20.. => (Form::Resize, 5),
            _ => (Form::Passing, 4),
        };
        self.form = form;
        self.first(Number::Index, first, prefix)
    }

    /// The first byte of a number, which has so many bits of it.
    fn first(&mut self, of: Number, byte: u8, prefix: u32) -> Result<(), Lost> {
        let full = (1 << prefix) - 1;
        let value = u32::from(byte) & full;
        if value < full {
            return self.number(of, value);
        }
        self.at = At::Number { of, value, bits: 0 };
        Ok(())
    }

    /// The next byte of a number.
    fn go_on(&mut self, of: Number, value: u32, bits: u32, byte: u8) -> Result<(), Lost> {
        let value = value + (u32::from(byte & 0x7f) << bits);
        if byte & 0x80 == 0 {
            return self.number(of, value);
        }
        let bits = bits + 7;
        self.at = At::Number { of, value, bits };
        if bits < MOST_BITS { Ok(()) } else { Err(Lost) }
    }

    /// A number is whole.
    fn number(&mut self, of: Number, value: u32) -> Result<(), Lost> {
        match (of, self.form) {
            (Number::Index, Form::Resize) => self.at = At::Field,
            (Number::Index, Form::Indexed) => {
                self.has_pseudo |= self.is_pseudo(value);
                self.at = At::Field;
            }
            (Number::Index, _) if value == 0 => self.at = At::Length(Part::Name),
            (Number::Index, _) => {
                self.is_pseudo = self.is_pseudo(value);
                self.at = At::Length(Part::Value);
            }
            (Number::Length { of: Part::Name, .. }, _) if value == 0 => return Err(Lost),
            (Number::Length { of: Part::Name, is_coded }, _) => {
                self.at = At::Name { is_coded, length: value };
            }
            (Number::Length { of: Part::Value, .. }, _) => self.text(Part::Value, value),
        }
        Ok(())
    }

    /// Whether a field with this index in the tables is a pseudo-field.
    fn is_pseudo(&self, index: u32) -> bool {
        let added = index.checked_sub(DYNAMIC).and_then(|index| self.added.checked_shr(index));
        added.map_or((1..=PSEUDO).contains(&index), |added| added & 1 != 0)
    }

    /// So much of a text is still to come.
    fn text(&mut self, of: Part, left: u32) {
        self.at = match of {
            _ if left > 0 => At::Text { of, left },
            Part::Name => At::Length(Part::Value),
            Part::Value => {
                self.has_pseudo |= self.is_pseudo;
                if self.form == Form::Added {
                    self.added = self.added << 1 | u128::from(self.is_pseudo);
                }
                At::Field
            }
        };
    }
}
