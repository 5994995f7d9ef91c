//! A client that writes header blocks in any way that RFC 7541 permits, as the dice have it.

use std::collections::VecDeque;

pub(super) type Field = (Vec<u8>, Vec<u8>);

/// Numbers that look random, and are the same for the same seed.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % most
    }

    pub(super) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(super) fn of<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.below(things.len())]
    }
}

/// RFC 7541, Appendix B: the bits of the code of each octet.
const BITS: [u32; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// The code of an octet: those that are as long or shorter and come first are before it.
fn code(octet: u8) -> u64 {
    let bits = BITS[usize::from(octet)];
    let before = |(other, length): (usize, &u32)| match (*length, other) {
        (length, _) if length < bits => 1 << (bits - length),
        (length, other) if length == bits && other < usize::from(octet) => 1,
        _ => 0,
    };
    BITS.iter().enumerate().map(before).sum()
}

/// A text in the code of Appendix B, filled up with ones.
fn coded(text: &[u8]) -> Vec<u8> {
    let (mut out, mut begun, mut bits) = (Vec::new(), 0_u64, 0);
    for octet in text {
        begun = begun << BITS[usize::from(*octet)] | code(*octet);
        bits += BITS[usize::from(*octet)];
        while bits >= 8 {
            bits -= 8;
            out.push((begun >> bits) as u8);
            begun &= (1 << bits) - 1;
        }
    }
    if bits > 0 {
        out.push((begun << (8 - bits)) as u8 | 0xff >> bits);
    }
    out
}

/// A number (RFC 7541 §5.1) behind what stands before it in its first byte.
pub(super) fn put_number(out: &mut Vec<u8>, first: u8, prefix: u32, number: usize) {
    let full = (1_usize << prefix) - 1;
    if number < full {
        return out.push(first | number as u8);
    }
    out.push(first | full as u8);
    let mut left = number - full;
    while left >= 128 {
        out.push(left as u8 | 128);
        left /= 128;
    }
    out.push(left as u8);
}

fn put_text(out: &mut Vec<u8>, dice: &mut Dice, text: &[u8]) {
    if dice.one_in(2) {
        let text = coded(text);
        put_number(out, 0x80, 7, text.len());
        out.extend(text);
    } else {
        put_number(out, 0, 7, text.len());
        out.extend(text);
    }
}

/// Some entries of the static table.
const STATIC: [(usize, &str, &str); 16] = [
    (1, ":authority", ""),
    (2, ":method", "GET"),
    (3, ":method", "POST"),
    (4, ":path", "/"),
    (5, ":path", "/index.html"),
    (6, ":scheme", "http"),
    (7, ":scheme", "https"),
    (8, ":status", "200"),
    (14, ":status", "500"),
    (15, "accept-charset", ""),
    (16, "accept-encoding", "gzip, deflate"),
    (24, "cache-control", ""),
    (32, "cookie", ""),
    (33, "date", ""),
    (58, "user-agent", ""),
    (61, "www-authenticate", ""),
];

/// The client's side of a connection.
pub(super) struct Encoder {
    /// The newest is the first.
    pub(super) table: VecDeque<Field>,
    most: usize,
}

impl Encoder {
    pub(super) fn new() -> Self {
        Self { table: VecDeque::new(), most: 4096 }
    }

    pub(super) fn block(&mut self, dice: &mut Dice, fields: &[Field]) -> Vec<u8> {
        let mut out = Vec::new();
        if dice.one_in(8) {
            let most = dice.of(&[0, 31, 32, 100, 500, 2000, 4095, 4096]);
            self.resize(&mut out, most);
            if dice.one_in(2) {
                self.resize(&mut out, 4096);
            }
        }
        for field in fields {
            self.field(&mut out, dice, field);
        }
        out
    }

    fn resize(&mut self, out: &mut Vec<u8>, most: usize) {
        put_number(out, 0x20, 5, most);
        self.most = most;
        self.make_room(0);
    }

    fn field(&mut self, out: &mut Vec<u8>, dice: &mut Dice, field: &Field) {
        let known = self.indices(|known| known == field);
        if !known.is_empty() && !dice.one_in(4) {
            return put_number(out, 0x80, 7, dice.of(&known));
        }
        let is_added = dice.one_in(2);
        let (first, prefix) = if is_added { (0x40, 6) } else { (dice.of(&[0, 0x10]), 4) };
        let named = self.indices(|(name, _)| *name == field.0);
        if !named.is_empty() && !dice.one_in(3) {
            put_number(out, first, prefix, dice.of(&named));
        } else {
            out.push(first);
            put_text(out, dice, &field.0);
        }
        put_text(out, dice, &field.1);
        if is_added {
            self.add(field.clone());
        }
    }

    /// Where such a field stands in the tables.
    fn indices(&self, is_it: impl Fn(&Field) -> bool) -> Vec<usize> {
        let fixed = STATIC.iter().map(|(index, name, value)| (*index, owned(name, value)));
        let added = self.table.iter().cloned().enumerate();
        let all = fixed.chain(added.map(|(index, field)| (62 + index, field)));
        all.filter(|(_, field)| is_it(field)).map(|(index, _)| index).collect()
    }

    fn add(&mut self, field: Field) {
        self.make_room(size(&field));
        if size(&field) <= self.most {
            self.table.push_front(field);
        }
    }

    fn make_room(&mut self, more: usize) {
        while self.table.iter().map(size).sum::<usize>() + more > self.most
            && self.table.pop_back().is_some()
        {}
    }
}

/// RFC 7541 §4.1.
fn size((name, value): &Field) -> usize {
    name.len() + value.len() + 32
}

pub(super) fn owned(name: &str, value: &str) -> Field {
    (name.into(), value.into())
}
